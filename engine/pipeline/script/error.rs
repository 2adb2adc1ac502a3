//! How a call of a script ended, in one clause with its place.

use rhai::{Dynamic, EvalAltResult, Position};

use crate::mail::inert;
use crate::pipeline::limits::Limits;
use crate::pipeline::run::Break;

/// What a native function gives to rhai.
pub(super) type Answer<T> = Result<T, Box<EvalAltResult>>;

/// Why a call ends at once. No `try` of a script catches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The body is needed; the run is repeated with it.
    NeedBody,
    /// `stop`, `hold` or `reject` was said.
    LastWord,
    /// The time is up.
    Overdue,
}

/// What a read or a verb refused, as rhai's error. The call's place is filled in by rhai.
pub(super) fn broken(why: Break) -> Box<EvalAltResult> {
    match why {
        Break::NeedBody => terminated(End::NeedBody),
        Break::LastWord => terminated(End::LastWord),
        Break::Refused(why) => refused(why),
    }
}

/// A refusal that a script may catch.
pub(super) fn refused(why: impl Into<String>) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(why.into()), Position::NONE))
}

/// An end that a script cannot catch.
pub(super) fn terminated(end: End) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(end), Position::NONE))
}

/// Why a call failed, and the line where that is known.
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) line: Option<usize>,
}

/// Judges the error that a call ended with: the last word is no failure.
pub(super) fn ended(error: EvalAltResult, limits: &Limits) -> Result<(), Failed> {
    let (error, place) = innermost(error);
    let message = match error {
        EvalAltResult::Exit(..) => return Ok(()),
        EvalAltResult::ErrorTerminated(token, _) => match token.try_cast::<End>() {
            Some(End::LastWord) => return Ok(()),
            Some(End::NeedBody) => "the body of the message is needed".into(),
            _ => format!("it ran longer than {} ms", limits.script_time.as_millis()),
        },
        other => clause(&other, limits),
    };
    Err(Failed { message: shorten(&message), line: place.line() })
}

/// The error at the bottom of nested calls, with the innermost place that is known.
fn innermost(mut error: EvalAltResult) -> (EvalAltResult, Position) {
    let mut place = error.position();
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
    | EvalAltResult::ErrorInModule(_, inner, _) = error
    {
        error = *inner;
        if !error.position().is_none() {
            place = error.position();
        }
    }
    (error, place)
}

fn clause(error: &EvalAltResult, limits: &Limits) -> String {
    match error {
        EvalAltResult::ErrorRuntime(thrown, _) if thrown.is_unit() => "it threw an error".into(),
        EvalAltResult::ErrorRuntime(thrown, _) => thrown.to_string(),
        EvalAltResult::ErrorTooManyOperations(_) => format!(
            "more than {} operations for one message; is there a loop that does not end?",
            limits.script_operations
        ),
        EvalAltResult::ErrorStackOverflow(_) => format!(
            "more than {} calls within each other; does a function call itself without end?",
            limits.script_call_levels
        ),
        EvalAltResult::ErrorTooManyVariables(_) => {
            format!("more than {} variables", limits.script_names)
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            let what = what.strip_suffix(" too large").unwrap_or(what).to_lowercase();
            format!(
                "{what} is too large: a text has at most {} KiB, a list or map {} elements",
                limits.script_string >> 10,
                limits.script_elements
            )
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => no_function(signature),
        EvalAltResult::ErrorModuleNotFound(..) => "scripts cannot import other files".into(),
        other => {
            let text = other.to_string();
            text.split(" (line ")
                .next()
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .into()
        }
    }
}

/// `move_to (mail, ())` as a sentence: the name is known (the lint saw to it), the types do not fit.
fn no_function(signature: &str) -> String {
    let Some((name, types)) = signature.split_once(" (") else {
        return format!("there is no function {signature}");
    };
    let types = types.strip_suffix(')').unwrap_or(types);
    let types = types.replace("&str | ImmutableString | String", "string");
    match types.strip_prefix("mail, ").or_else(|| types.strip_prefix("state, ")) {
        Some(rest) => format!("mail.{name}() cannot take ({rest})"),
        None if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            format!("{name}() cannot take ({types})")
        }
        None => match types.split_once(", ") {
            Some((left, right)) => format!("cannot do {left} {name} {right}"),
            None => format!("cannot do {name} with {types}"),
        },
    }
}

/// At most 300 characters, harmless for terminals.
fn shorten(message: &str) -> String {
    let short: String = message.chars().take(300).collect();
    inert(&short)
}
