//! One function of a script: every call, variable and member in it.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, BinaryExpr, Expr, FnCallExpr, Position, ScriptFuncDef, Stmt};

use super::{Lint, Said, chain};
use crate::fault::nearest;
use crate::pipeline::action::VERBS;
use crate::pipeline::script::reads::OPTIONAL;
use crate::pipeline::script::text;

/// What is known of the function that is walked.
pub(super) struct Scope {
    /// Variables that certainly hold the message.
    pub(super) mail: BTreeSet<String>,
    /// All names it defines, for "did you mean".
    names: BTreeSet<String>,
    /// Places of methods that `chain` has judged, with a better text.
    judged: BTreeSet<(Option<usize>, Option<usize>)>,
    pub(super) said: Said,
}

/// Checks one function of a script; says what it says and calls.
pub(super) fn check(lint: &mut Lint<'_>, script: &AST, function: &ScriptFuncDef) -> Said {
    // Not `clone_functions_only_filtered`: in rhai 1.27 it keeps all functions.
    let mut alone = script.clone();
    alone.clear_statements();
    alone.retain_functions(|_, _, name, parameters| {
        name == function.name && parameters == function.params.len()
    });
    let mut scope = Scope {
        mail: BTreeSet::new(),
        names: function.params.iter().map(ToString::to_string).collect(),
        judged: BTreeSet::new(),
        said: Said {
            name: function.name.to_string(),
            parameters: function.params.len(),
            ..Said::default()
        },
    };
    let redefined = definitions(&alone, &mut scope.names);
    let entry = matches!(&*function.name, "inbound" | "outbound") && function.params.len() == 1;
    for parameter in &function.params {
        if (entry || parameter == "mail") && !redefined.contains(parameter.as_str()) {
            scope.mail.insert(parameter.to_string());
        }
    }
    alone.walk(&mut |path| {
        visit(lint, &mut scope, path);
        true
    });
    scope.said
}

/// Names that the body defines or assigns, added to `names` as well.
fn definitions(body: &AST, names: &mut BTreeSet<String>) -> BTreeSet<String> {
    let mut defined = BTreeSet::new();
    body.walk(&mut |path| {
        if let Some(ASTNode::Stmt(statement)) = path.last() {
            match statement {
                Stmt::Var(var, ..) => {
                    defined.insert(var.0.name.to_string());
                }
                Stmt::For(each, _) => {
                    defined.insert(each.0.name.to_string());
                    defined.extend(each.1.iter().map(|counter| counter.name.to_string()));
                }
                Stmt::TryCatch(tried, _) => {
                    if let Expr::Variable(caught, ..) = &tried.expr {
                        defined.insert(caught.1.to_string());
                    }
                }
                Stmt::Assignment(assigned) => {
                    if let Expr::Variable(variable, ..) = &assigned.1.lhs {
                        defined.insert(variable.1.to_string());
                    }
                }
                _ => {}
            }
        }
        true
    });
    names.extend(defined.iter().cloned());
    defined
}

fn visit(lint: &mut Lint<'_>, scope: &mut Scope, path: &[ASTNode<'_>]) {
    match path.last() {
        Some(ASTNode::Stmt(Stmt::FnCall(call, place))) => function_call(lint, scope, call, *place),
        Some(ASTNode::Stmt(Stmt::Assignment(assigned))) => {
            chain::assigned(lint, scope, &assigned.1.lhs);
        }
        Some(ASTNode::Stmt(Stmt::Import(_, place))) => {
            let help = "copy the functions that you need into this script";
            lint.fault(*place, "scripts cannot import other files", Some(help.into()));
        }
        Some(ASTNode::Expr(expression)) => match expression {
            Expr::FnCall(call, place) => function_call(lint, scope, call, *place),
            Expr::MethodCall(call, place) => method_call(lint, scope, call, *place),
            Expr::Variable(..) => variable(lint, scope, expression),
            Expr::StringConstant(text, _) => mention(lint, scope, text),
            Expr::DynamicConstant(constant, _) => {
                if let Some(function) = constant.read_lock::<rhai::FnPtr>() {
                    mention(lint, scope, function.fn_name());
                }
            }
            Expr::Dot(parts, ..) if begins_chain(path) => chain::check(lint, scope, parts),
            _ => {}
        },
        _ => {}
    }
}

/// Whether the last node, a member access, is not itself the rest of a longer one.
fn begins_chain(path: &[ASTNode<'_>]) -> bool {
    let [.., parent, ASTNode::Expr(this)] = path else { return true };
    match parent {
        ASTNode::Expr(Expr::Dot(parts, ..) | Expr::Index(parts, ..)) => {
            let parts: &BinaryExpr = parts;
            !std::ptr::eq(&raw const parts.rhs, std::ptr::from_ref::<Expr>(this))
        }
        _ => true,
    }
}

fn mention(lint: &Lint<'_>, scope: &mut Scope, name: &str) {
    if lint.own.contains_key(name) {
        scope.said.mentions.insert(name.to_owned());
    }
}

fn variable(lint: &mut Lint<'_>, scope: &mut Scope, expression: &Expr) {
    let Expr::Variable(about, short, place) = expression else { return };
    let name = about.1.as_str();
    if !about.2.is_empty() {
        let what = "there are no modules; a script has only its own functions";
        lint.fault(*place, what, None);
        return;
    }
    mention(lint, scope, name);
    if about.0.is_some() || short.is_some() || lint.own.contains_key(name) {
        return;
    }
    let closure = scope.said.name.starts_with("anon$");
    let help = match nearest(name, scope.names.iter().map(String::as_str)) {
        Some(near) if near != name => Some(format!("did you mean {near}?")),
        _ if closure => {
            Some("a function |…| sees only its own parameters: use a for loop instead".to_owned())
        }
        _ if name == "mail" => {
            Some("a function sees only its parameters: hand mail over to it".to_owned())
        }
        _ => Some(format!("write let {name} = … before, or quote it if it is a text")),
    };
    lint.fault(*place, format!("there is no variable {name} here"), help);
}

fn function_call(lint: &mut Lint<'_>, scope: &mut Scope, call: &FnCallExpr, place: Position) {
    let (name, arguments) = (call.name.as_str(), call.args.len());
    if call.is_operator_call() {
        return comparison(lint, scope, call, place);
    }
    if call.is_qualified() {
        lint.fault(place, "there are no modules; a script has only its own functions", None);
        return;
    }
    mention(lint, scope, name);
    if lint.own.get(name).is_some_and(|takes| takes.contains(&arguments)) {
        return;
    }
    patterns(lint, call);
    let takes = lint.known.function(name).cloned();
    let takes: BTreeSet<usize> =
        takes.iter().flatten().chain(lint.own.get(name).into_iter().flatten()).copied().collect();
    if takes.contains(&arguments) {
        verb(scope, name, place);
    } else if takes.contains(&(arguments + 1)) && VERBS.contains(&name) {
        let help = format!("write mail.{name}(…)");
        lint.fault(place, format!("{name} is a verb of mail"), Some(help));
    } else {
        unknown(lint, name, arguments, &takes, place);
    }
}

fn method_call(lint: &mut Lint<'_>, scope: &mut Scope, call: &FnCallExpr, place: Position) {
    let (name, arguments) = (call.name.as_str(), call.args.len());
    mention(lint, scope, name);
    if lint.own.get(name).is_some_and(|takes| takes.contains(&arguments)) {
        return;
    }
    patterns(lint, call);
    let own = lint.own.get(name).into_iter().flatten().copied();
    let native = lint.known.function(name).into_iter().flatten();
    let takes: BTreeSet<usize> =
        native.filter(|takes| **takes > 0).map(|takes| takes - 1).chain(own).collect();
    if takes.contains(&arguments) {
        verb(scope, if name == "set" { "state_set" } else { name }, place);
    } else if !scope.is_judged(place) {
        unknown(lint, name, arguments, &takes, place);
    }
}

impl Scope {
    /// Notes that a method at this place is judged.
    pub(super) fn judge(&mut self, place: Position) {
        self.judged.insert((place.line(), place.position()));
    }

    fn is_judged(&self, place: Position) -> bool {
        self.judged.contains(&(place.line(), place.position()))
    }
}

fn verb(scope: &mut Scope, name: &str, place: Position) {
    if VERBS.contains(&name) {
        scope.said.verbs.push((name.to_owned(), place));
    }
}

fn unknown(
    lint: &mut Lint<'_>,
    name: &str,
    arguments: usize,
    takes: &BTreeSet<usize>,
    place: Position,
) {
    if !takes.is_empty() {
        let takes = counts(takes);
        lint.fault(place, format!("{name} takes {takes}, not {arguments}"), None);
        return;
    }
    let help = match name {
        "timestamp" => Some("the time of the run is mail.now".to_owned()),
        "eval" => Some("a script cannot run texts; write the code itself".to_owned()),
        _ => {
            let own = lint.own.keys().map(String::as_str).filter(|own| !own.starts_with("anon$"));
            let native =
                lint.known.names().filter(|native| native.chars().next() == name.chars().next());
            let near = nearest(name, own).or_else(|| nearest(name, native));
            near.map(|near| format!("did you mean {near}?"))
        }
    };
    lint.fault(place, format!("there is no function {name}"), help);
}

/// `1 argument`, `1 or 2 arguments`.
pub(super) fn counts(takes: &BTreeSet<usize>) -> String {
    let all: Vec<_> = takes.iter().map(ToString::to_string).collect();
    let plural = if takes.len() == 1 && takes.contains(&1) { "" } else { "s" };
    format!("{} argument{plural}", all.join(" or "))
}

/// A pattern that is written out is compiled at load.
fn patterns(lint: &mut Lint<'_>, call: &FnCallExpr) {
    if !matches!(call.name.as_str(), "matches" | "captures") {
        return;
    }
    if let Some(Expr::StringConstant(pattern, place)) = call.args.last()
        && let Some(why) = text::fault_of(pattern)
    {
        lint.fault(*place, why, None);
    }
}

/// `mail.project == ""` is never true: what is missing is `()`.
fn comparison(lint: &mut Lint<'_>, scope: &Scope, call: &FnCallExpr, place: Position) {
    if !matches!(call.name.as_str(), "==" | "!=") {
        return;
    }
    let [a, b] = &*call.args else { return };
    for (read, other) in [(a, b), (b, a)] {
        let empty = matches!(other, Expr::StringConstant(text, _) if text.is_empty());
        let property = chain::property_of_mail(scope, read);
        if let Some(property) = property.filter(|name| empty && OPTIONAL.contains(name)) {
            let what = format!("mail.{property} is never \"\": where there is none, it is ()");
            lint.fault(place, what, Some(format!("write mail.{property} {} ()", call.name)));
        }
    }
}
