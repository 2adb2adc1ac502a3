//! What a script does wrong, found before the first message: all faults at once, each with its
//! place and what to write instead.
//!
//! The rule of this folder: a script that could work is never refused. Types are followed only
//! where they are certain (`mail`, `mail.from` …); of all else names and numbers of arguments are
//! checked.

mod chain;
mod function;
mod syntax;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rhai::{AST, Position, Stmt};

pub(super) use syntax::syntax;

use super::known::Known;
use super::language::Names;
use crate::fault::{Fault, Faults, nearest};
use crate::pipeline::action::{INBOUND_ONLY, OUTBOUND_ONLY, not_performed};

/// The lines of the functions that a script without faults defines.
pub(super) struct Checked {
    pub(super) inbound: Option<usize>,
    pub(super) outbound: Option<usize>,
}

/// Checks a whole script.
///
/// # Errors
/// All faults.
pub(super) fn check(
    file: &Path,
    text: &str,
    ast: &AST,
    known: &Known,
    names: Names<'_>,
) -> Result<Checked, Faults> {
    let own = ast.iter_fn_def().map(|function| (function.name.to_string(), function.params.len()));
    let mut lint = Lint {
        file,
        text,
        known,
        names,
        own: BTreeMap::new(),
        functions: Vec::new(),
        faults: Faults::default(),
    };
    for (name, parameters) in own {
        lint.own.entry(name).or_default().insert(parameters);
    }
    lint.top_level(ast.statements());
    let checked = lint.entries();
    for function in ast.iter_fn_def() {
        let said = function::check(&mut lint, ast, function);
        lint.functions.push(said);
    }
    lint.directions();
    lint.faults.into_result()?;
    Ok(checked)
}

/// A check under way.
struct Lint<'a> {
    file: &'a Path,
    text: &'a str,
    known: &'a Known,
    names: Names<'a>,
    /// The script's own functions with the numbers of their parameters.
    own: BTreeMap<String, BTreeSet<usize>>,
    functions: Vec<Said>,
    faults: Faults,
}

/// What a function of the script says and calls.
#[derive(Default)]
struct Said {
    name: String,
    parameters: usize,
    /// Verbs with their places.
    verbs: Vec<(String, Position)>,
    /// Names of own functions that it mentions in any way.
    mentions: BTreeSet<String>,
}

impl Lint<'_> {
    fn fault(&mut self, place: Position, what: impl Into<String>, help: Option<String>) {
        let place = (place.line().unwrap_or(1), place.position().unwrap_or(1));
        let fault = Fault::at(self.file, self.text, place, what);
        self.faults.0.push(match help {
            Some(help) => fault.help(help),
            None => fault,
        });
    }

    /// Only functions stand at the top: nothing else would be run.
    fn top_level(&mut self, statements: &[Stmt]) {
        for statement in statements {
            let place = statement.position();
            match statement {
                Stmt::Noop(_) => {}
                Stmt::Import(..) => {
                    let help = "copy the functions that you need into this script";
                    self.fault(place, "scripts cannot import other files", Some(help.into()));
                }
                Stmt::Var(what, ..) => {
                    let name = &what.0.name;
                    let help = format!(
                        "write fn {name}() {{ … }} and call it, or put the value into the step's \
                         `with` and read mail.config"
                    );
                    let what = "a variable outside of a function is seen by no function";
                    self.fault(place, what, Some(help));
                }
                _ => {
                    let help = "put it into fn inbound(mail) { … }";
                    self.fault(
                        place,
                        "a statement outside of a function is not run",
                        Some(help.into()),
                    );
                }
            }
        }
    }

    /// `inbound(mail)` and `outbound(mail)`: one of them at least.
    fn entries(&mut self) -> Checked {
        let mut lines = [None, None];
        for (name, line) in ["inbound", "outbound"].into_iter().zip(&mut lines) {
            let Some(parameters) = self.own.get(name) else { continue };
            let place = self.place_of_function(name);
            if parameters.contains(&1) {
                *line = Some(place.0);
            } else {
                let number = parameters.first().copied().unwrap_or_default();
                let what = format!("{name} takes one parameter, the message, not {number}");
                let help = format!("write fn {name}(mail)");
                self.faults.0.push(Fault::at(self.file, self.text, place, what).help(help));
            }
        }
        if !self.own.contains_key("inbound") && !self.own.contains_key("outbound") {
            self.no_entry();
        }
        Checked { inbound: lines[0], outbound: lines[1] }
    }

    fn no_entry(&mut self) {
        let what = "the script defines neither fn inbound(mail) nor fn outbound(mail)";
        let names = self.own.keys().map(String::as_str);
        let near = names.filter(|name| {
            let name = name.to_lowercase();
            nearest(&name, ["inbound", "outbound"]).is_some()
        });
        let near = near.min().map(str::to_owned);
        let fault = match near {
            Some(near) => {
                let meant = nearest(&near.to_lowercase(), ["inbound", "outbound"]);
                let place = self.place_of_function(&near);
                let help = format!("did you mean fn {}(mail)?", meant.unwrap_or("inbound"));
                Fault::at(self.file, self.text, place, what).help(help)
            }
            None => Fault::whole(self.file, what).help("start with: fn inbound(mail) { … }"),
        };
        self.faults.0.push(fault);
    }

    /// Line and column of a function's name; rhai does not keep them.
    fn place_of_function(&self, name: &str) -> (usize, usize) {
        for (index, line) in self.text.lines().enumerate() {
            let Some((before, after)) = line.split_once("fn ") else { continue };
            let rest = after.trim_start();
            let named =
                rest.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('('));
            if named && !before.contains("//") {
                let bytes = line.len() - rest.len();
                return (index + 1, line[..bytes].chars().count() + 1);
            }
        }
        (1, 1)
    }

    /// Verbs that make no sense, or are not performed, in a direction that reaches them.
    fn directions(&mut self) {
        let mut faults = Vec::new();
        for function in self.reached_from("inbound") {
            for (verb, place) in &function.verbs {
                let help = if OUTBOUND_ONLY.contains(&verb.as_str()) {
                    let what = format!("{verb} makes no sense inbound: the message has arrived");
                    let help = match verb.as_str() {
                        "reject" => "hold(reason) keeps it for a person, move_to(mailbox) files it",
                        _ => "call it from fn outbound(mail)",
                    };
                    (what, Some(help.to_owned()))
                } else if let Some(what) = not_performed(verb) {
                    (what, Some("remove the call until then".to_owned()))
                } else {
                    continue;
                };
                faults.push((*place, help));
            }
        }
        for function in self.reached_from("outbound") {
            for (verb, place) in &function.verbs {
                if INBOUND_ONLY.contains(&verb.as_str()) {
                    let what =
                        format!("{verb} makes no sense outbound: the message is in no mailbox");
                    let help = "call it from fn inbound(mail)".to_owned();
                    faults.push((*place, (what, Some(help))));
                }
            }
        }
        for (place, (what, help)) in faults {
            self.fault(place, what, help);
        }
    }

    fn reached_from(&self, entry: &str) -> Vec<&Said> {
        let mut reached = BTreeSet::from([entry]);
        let mut open = vec![entry];
        while let Some(name) = open.pop() {
            for function in self.functions.iter().filter(|function| function.name == name) {
                let new = function.mentions.iter().filter(|name| !reached.contains(name.as_str()));
                let new: Vec<_> = new.map(String::as_str).collect();
                reached.extend(&new);
                open.extend(new);
            }
        }
        let said = self.functions.iter().filter(|said| reached.contains(said.name.as_str()));
        said.filter(|said| said.name != entry || said.parameters == 1).collect()
    }
}
