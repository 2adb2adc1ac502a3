//! How others ask for a reload, and are told what came of it.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::pipeline::Contrast;

/// Answers that wait to be fetched at most; the oldest are forgotten.
const MOST_WAITING: usize = 32;

/// Asks that wait to be heard at most.
const MOST_ASKS: usize = 16;

/// How long one call waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Read everything on disk and put it in force.
    Reload {
        /// How many messages it decides on trial before; `None` asks its configuration.
        shadow: Option<u64>,
    },
    /// Read everything on disk and see whether it could be put in force.
    Check,
    /// Put a kept generation in force.
    Activate {
        /// Its number.
        generation: u64,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Came {
    /// It is in force.
    InForce {
        /// Its number.
        generation: u64,
        /// Its digest.
        digest: String,
        /// What the trial showed, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trial: Option<Contrast>,
    },
    /// It is what is in force already.
    Unchanged {
        /// Its number.
        generation: u64,
        /// Its digest.
        digest: String,
    },
    /// It is right, and was not put in force because that was not asked.
    Right {
        /// Its digest.
        digest: String,
    },
    /// It is refused; what was in force stays so.
    Refused {
        /// Why.
        why: String,
        /// What is wrong, each with its place.
        faults: Vec<Fault>,
    },
}

/// Whoever asks gives a way to answer.
pub(in crate::daemon) struct Ask {
    pub(super) wish: Wish,
    pub(super) answer: Answer,
}

/// Tells what came of an ask; whoever asked may have gone.
pub(super) type Answer = mpsc::Sender<Came>;

/// A handle for those who ask. Cheap to clone.
#[derive(Clone)]
pub struct Reloads {
    asks: Sender<Ask>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    answers: BTreeMap<u64, mpsc::Receiver<Came>>,
}

impl Reloads {
    /// A handle, and where its asks come out.
    pub(in crate::daemon) fn new() -> (Self, Receiver<Ask>) {
        let (asks, heard) = channel(MOST_ASKS);
        (Self { asks, waiting: Arc::default() }, heard)
    }

    /// Asks, and gives the number to fetch the answer by.
    ///
    /// # Errors
    /// The engine is ending, or too many asks wait.
    pub fn ask(&self, wish: Wish) -> Result<u64> {
        let (answer, answered) = mpsc::channel();
        self.asks
            .try_send(Ask { wish, answer })
            .map_err(|_| Error::temporary("reload the rules", "the engine is busy or ending"))?;
        let mut waiting = self.waiting();
        waiting.next += 1;
        let number = waiting.next;
        waiting.answers.insert(number, answered);
        if waiting.answers.len() > MOST_WAITING {
            waiting.answers.pop_first();
        }
        Ok(number)
    }

    /// What came of it; `None` where that is still open after some seconds. Blocks.
    ///
    /// # Errors
    /// There is no such number, or the engine is ending.
    pub fn came(&self, number: u64) -> Result<Option<Came>> {
        let what = || format!("wait for reload {number}");
        let Some(answer) = self.waiting().answers.remove(&number) else {
            return Err(Error::permanent(what(), "its answer is no longer known")
                .next("see `mailmill status`"));
        };
        match answer.recv_timeout(PATIENCE) {
            Ok(came) => Ok(Some(came)),
            Err(RecvTimeoutError::Timeout) => {
                self.waiting().answers.insert(number, answer);
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::temporary(what(), "the engine is ending"))
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Reloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloads").finish_non_exhaustive()
    }
}
