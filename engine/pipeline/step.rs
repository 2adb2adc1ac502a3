//! What a pipeline is made of: anything that reads `mail` and says actions.

use std::fmt;
use std::sync::Arc;

use super::action::Direction;
use super::run::Run;

/// A compiled script or plugin, shared by all threads.
pub trait Step: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Whether it has a function for this direction; else it is passed over.
    fn defines(&self, direction: Direction) -> bool;

    /// Runs it over one message. Saying the last word (stop, hold, reject) is `Ok`.
    ///
    /// # Errors
    /// A trap, a limit, a thrown error, a refused value. Where the run needs the body, the error is
    /// ignored and the run repeated.
    fn run(&self, run: &Arc<Run>) -> Result<(), StepError>;
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// What happened, in one clause.
    pub message: String,
    /// `file:line` where the step can tell.
    pub at: Option<String>,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for StepError {}

/// What to do with a message whose step failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Leave it where it is and show it to a person.
    #[default]
    Hold,
    /// Try again later with growing pauses, then hold.
    Retry,
    /// Go on with the next step as if this one had said nothing.
    Skip,
}
