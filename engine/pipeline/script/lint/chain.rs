//! Chains such as `mail.from.domain`: the types of their members are followed as far as they are
//! certain.

use std::collections::BTreeSet;

use rhai::{BinaryExpr, Expr, FnCallExpr, Position};

use super::Lint;
use super::function::{Scope, counts};
use crate::fault::nearest;
use crate::pipeline::script::known::Kind;

/// Checks a chain from its head on.
pub(super) fn check(lint: &mut Lint<'_>, scope: &mut Scope, parts: &BinaryExpr) {
    let Some(mut kind) = head(scope, &parts.lhs) else { return };
    let mut rest = &parts.rhs;
    loop {
        let (member, next) = match rest {
            Expr::Dot(parts, ..) => (&parts.lhs, Some(&parts.rhs)),
            // What an index gives is not followed.
            Expr::Index(parts, ..) => (&parts.lhs, None),
            member => (member, None),
        };
        kind = self::member(lint, scope, kind, member);
        match next {
            Some(next) if kind != Kind::Other => rest = next,
            _ => return,
        }
    }
}

/// A member that is assigned to: all of them are read only.
pub(super) fn assigned(lint: &mut Lint<'_>, scope: &Scope, target: &Expr) {
    let Expr::Dot(parts, ..) = target else { return };
    let (Some(_), Expr::Property(property, place)) = (head(scope, &parts.lhs), &parts.rhs) else {
        return;
    };
    let name = property.2.as_str();
    let help = match name {
        "subject" => Some("write mail.set_header(\"Subject\", …)".to_owned()),
        "mailbox" => Some("write mail.move_to(…)".to_owned()),
        "project" => Some("write mail.link(project, evidence)".to_owned()),
        "flags" => Some("write mail.add_flag(…) or mail.remove_flag(…)".to_owned()),
        "tags" => Some("write mail.tag(key, value)".to_owned()),
        "state" => Some("write mail.state.set(key, value)".to_owned()),
        _ => None,
    };
    lint.fault(*place, format!("mail.{name} is read only"), help);
}

/// The name of a property that is read directly off the message.
pub(super) fn property_of_mail<'a>(scope: &Scope, expression: &'a Expr) -> Option<&'a str> {
    let Expr::Dot(parts, ..) = expression else { return None };
    let Expr::Property(property, _) = &parts.rhs else { return None };
    head(scope, &parts.lhs).map(|_| property.2.as_str())
}

fn head(scope: &Scope, head: &Expr) -> Option<Kind> {
    match head {
        Expr::Variable(variable, ..) if scope.mail.contains(variable.1.as_str()) => {
            Some(Kind::Mail)
        }
        _ => None,
    }
}

/// Judges one member and gives its type.
fn member(lint: &mut Lint<'_>, scope: &mut Scope, kind: Kind, member: &Expr) -> Kind {
    match member {
        Expr::Property(property, place) => {
            let name = property.2.as_str();
            if lint.known.property(kind, name) {
                return kind.member(name);
            }
            let help = match lint.known.method(kind, name) {
                Some(_) => Some(format!("call it: {name}(…)")),
                None => near(lint, kind, name),
            };
            lint.fault(*place, format!("{} has no property {name}", kind.shown()), help);
            Kind::Other
        }
        Expr::MethodCall(call, place) => method(lint, scope, kind, call, *place),
        _ => Kind::Other,
    }
}

fn method(
    lint: &mut Lint<'_>,
    scope: &mut Scope,
    kind: Kind,
    call: &FnCallExpr,
    place: Position,
) -> Kind {
    let (name, arguments) = (call.name.as_str(), call.args.len());
    if lint.own.get(name).is_some_and(|takes| takes.contains(&arguments)) {
        return Kind::Other;
    }
    let takes = lint.known.method(kind, name).cloned().unwrap_or_default();
    if takes.contains(&arguments) {
        match (kind, name) {
            (Kind::Mail, "table") => table(lint, call),
            (Kind::Mail, "deliver_to") => target(lint, call),
            (Kind::Mail, "sign") => template(lint, call),
            _ => {}
        }
        return kind.member(name);
    }
    scope.judge(place);
    let what = kind.shown();
    if !takes.is_empty() {
        let takes = counts(&takes);
        lint.fault(place, format!("{name} takes {takes}, not {arguments}"), None);
    } else if lint.known.property(kind, name) {
        let help = Some(format!("write {name} without ()"));
        lint.fault(place, format!("{name} is a property of {what}"), help);
    } else {
        let help = near(lint, kind, name);
        lint.fault(place, format!("{what} has no {name}"), help);
    }
    Kind::Other
}

fn near(lint: &Lint<'_>, kind: Kind, name: &str) -> Option<String> {
    let near = nearest(name, lint.known.members(kind))?;
    let call = if lint.known.property(kind, near) { "" } else { "(…)" };
    Some(format!("did you mean {near}{call}?"))
}

/// A table that is named in the script must be one of the configuration.
fn table(lint: &mut Lint<'_>, call: &FnCallExpr) {
    let known = lint.names.tables;
    named(lint, call, "table", known, |name| {
        format!("add [tables.{name}] with file and key to the configuration")
    });
}

/// So must a target; without it each message would be held.
fn target(lint: &mut Lint<'_>, call: &FnCallExpr) {
    let known = lint.names.targets;
    named(lint, call, "target", known, |name| {
        format!("add [targets.{name}] with a maildir or an account to the configuration")
    });
}

/// And a template.
fn template(lint: &mut Lint<'_>, call: &FnCallExpr) {
    let known = lint.names.templates;
    named(lint, call, "template", known, |name| {
        format!("write templates/{name}.html or templates/{name}.txt")
    });
}

/// A name that is written out must be known.
fn named(
    lint: &mut Lint<'_>,
    call: &FnCallExpr,
    what: &str,
    known: &BTreeSet<String>,
    add: impl FnOnce(&str) -> String,
) {
    let Some(Expr::StringConstant(name, place)) = call.args.first() else { return };
    if known.contains(name.as_str()) {
        return;
    }
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => add(name),
    };
    lint.fault(*place, format!("there is no {what} \"{name}\""), Some(help));
}
