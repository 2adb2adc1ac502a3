//! Faults of syntax: rhai stops at the first.

use std::path::Path;

use rhai::{ParseError, ParseErrorType};

use crate::fault::{Fault, Faults};
use crate::pipeline::limits::Limits;

/// The fault that rhai's parser stopped at, in our words where they help more.
pub(in crate::pipeline::script) fn syntax(
    file: &Path,
    text: &str,
    error: &ParseError,
    limits: &Limits,
) -> Faults {
    let place = error.position();
    let end = (text.lines().count().max(1), text.lines().last().map_or(1, end_of));
    let place = match place.line() {
        Some(line) => (line, place.position().unwrap_or(1)),
        None => end,
    };
    let (what, help) = words(error.err_type(), limits);
    let fault = Fault::at(file, text, place, what);
    match help {
        Some(help) => fault.help(help).into(),
        None => fault.into(),
    }
}

fn end_of(line: &str) -> usize {
    line.chars().count() + 1
}

fn words(error: &ParseErrorType, limits: &Limits) -> (String, Option<String>) {
    let help = |help: &str| Some(help.to_owned());
    match error {
        ParseErrorType::BadInput(why) if why.to_string().contains("'eval'") => {
            ("a script cannot run texts".into(), help("write the code itself instead of eval"))
        }
        ParseErrorType::Reserved(word) if word.starts_with(char::is_alphabetic) => {
            (format!("{word} is a reserved word"), help("choose another name"))
        }
        ParseErrorType::Reserved(symbol) => (format!("{symbol} has no meaning in Rhai"), None),
        ParseErrorType::ExprTooDeep => {
            let (_, deep) = limits.script_expr_depth;
            let what = format!("expressions stand more than {deep} deep within each other");
            let advice = "use let, a function or a switch; each else if is one level, too";
            (what, help(advice))
        }
        ParseErrorType::TooManyFunctions => {
            (format!("more than {} functions", limits.script_names), None)
        }
        ParseErrorType::FnDuplicatedDefinition(name, parameters) => {
            let plural = if *parameters == 1 { "" } else { "s" };
            let what = format!("fn {name} with {parameters} parameter{plural} is defined twice");
            (what, help("remove or rename one of the two"))
        }
        ParseErrorType::UnexpectedEOF => {
            ("the script ends too early".into(), help("is a } or ) missing?"))
        }
        ParseErrorType::MissingToken(token, why) if token == ";" => {
            (lower(&format!("expecting ; {why}")), help("end the statement before with ;"))
        }
        ParseErrorType::MissingToken(token, why) if token == "}" => {
            (lower(&format!("expecting }} {why}")), help("a block that was opened is not closed"))
        }
        other => (lower(&other.to_string()), None),
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
