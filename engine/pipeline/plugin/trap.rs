//! Why a plugin's call failed, in one clause that a person can act on.

use std::fmt;

use wasmtime::Trap;

use super::caps::CapReached;
use super::host::{HostStop, ONE_CALL};
use crate::mail;
use crate::pipeline::limits::Limits;
use crate::pipeline::run::Break;

/// Bytes of an outside library's error text that are kept.
const OUTSIDE_TEXT: usize = 400;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The plugin itself returned an error; its text is inert and cut.
    Said(String),
    /// The host ended it: a limit, a refused value, a trap.
    Ended(String),
}

impl Failure {
    /// Reads wasmtime's error.
    pub(super) fn of(error: &wasmtime::Error, limits: &Limits) -> Self {
        if let Some(stop) = error.downcast_ref::<HostStop>() {
            return Self::Ended(stop_text(stop));
        }
        if let Some(cap) = error.downcast_ref::<CapReached>() {
            return Self::Ended(cap.to_string());
        }
        match error.downcast_ref::<Trap>() {
            Some(trap) => Self::Ended(trap_text(*trap, limits)),
            None => Self::Ended(other_text(&chain(error))),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => write!(f, "returned an error: {text}"),
            Self::Ended(clause) => f.write_str(clause),
        }
    }
}

/// An error with all its causes in one line.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(|cause| one_line(&cause.to_string())).collect();
    inert(&causes.join(": "), OUTSIDE_TEXT)
}

/// A foreign text made harmless for terminals and line-based logs, and cut to about `most` bytes.
pub(super) fn inert(text: &str, most: usize) -> String {
    let cut = text.floor_char_boundary(most);
    let mut shown = mail::inert(&text[..cut]);
    if cut < text.len() {
        shown.push('…');
    }
    shown
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn stop_text(stop: &HostStop) -> String {
    match stop {
        HostStop::Broke(Break::Refused(why)) => inert(why, OUTSIDE_TEXT),
        HostStop::Failed(why) => inert(why, OUTSIDE_TEXT),
        other => other.to_string(),
    }
}

/// Errors that wasmtime keeps to itself are known by their words; a test sees when these change.
fn other_text(chain: &str) -> String {
    if chain.contains("fuel allocated for hostcalls") {
        return format!("gave more than {} MiB in one call", ONE_CALL >> 20);
    }
    format!("failed: {chain}")
}

fn trap_text(trap: Trap, limits: &Limits) -> String {
    match trap {
        Trap::Interrupt => {
            format!("ran longer than {}", humantime::format_duration(limits.plugin_time))
        }
        Trap::StackOverflow => "called itself too deeply: its stack is full".to_owned(),
        Trap::UnreachableCodeReached => "trapped: unreachable (a panic or an abort)".to_owned(),
        other => {
            let text = other.to_string();
            format!("trapped: {}", text.strip_prefix("wasm trap: ").unwrap_or(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn foreign_text_is_shown_inert_and_cut() {
        assert_eq!(inert("a\u{1b}]52;c\r\nb\u{202e}c", 100), "a\\u{1b}]52;c\\r\\nb\\u{202e}c");
        assert_eq!(inert("größer", 4), "grö…");
        assert_eq!(inert("größer", 3), "gr…");
    }
}
