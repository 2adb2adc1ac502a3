//! What failed, why, and whether trying again may help.
//!
//! One error type serves the whole engine. It is built where the cause is known and travels
//! unchanged to the log line, the stored record or the terminal. It never holds a secret.

use std::fmt;

/// Whether trying the same thing again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It may pass by itself (network, throttling, a full disk). Whatever is unknown is temporary,
    /// so that nothing is given up by accident.
    Later,
    /// The same attempt fails again until a person changes something.
    Never,
}

/// An error in four parts: what was tried, why it failed, what to do next, and whether to retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    what: String,
    why: String,
    next: Option<String>,
    retry: Retry,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Trying again may help. `what` names the attempt with its place ("select mailbox INBOX of
    /// account smartcity"), `why` the cause in the words of whoever refused.
    pub fn temporary(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string(), next: None, retry: Retry::Later }
    }

    /// Trying again does not help until a person changes something.
    pub fn permanent(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string(), next: None, retry: Retry::Never }
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn next(mut self, advice: impl Into<String>) -> Self {
        self.next = Some(advice.into());
        self
    }

    /// Whether trying again may help.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The cause alone, without what was tried.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        match &self.next {
            Some(next) => write!(f, "; {next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Gives an outside library's error its context.
pub trait Context<T> {
    /// Makes the error a temporary one: what was tried is told by `what`.
    ///
    /// # Errors
    /// The receiver's own error, wrapped.
    fn or_later(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn or_later(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|why| Error::temporary(what(), why))
    }
}
