//! Holding a message: why, and whether it is tried again by itself.

use std::time::Duration;

use crate::error::{Error, Retry};
use crate::store::{Hold, MessageRecord, State};

/// Pauses before a held message is tried again.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
];

/// The most characters of a reason that are kept.
const MOST_REASON: usize = 1_000;

/// Whether a held message is tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Only when a person says so.
    Person,
    /// With growing pauses, and after five tries when a person says so: a rule that fails.
    FiveTimes,
    /// With growing pauses, without end: a server that may come to its senses.
    Always,
}

impl From<&Error> for Again {
    fn from(error: &Error) -> Self {
        match error.retry() {
            Retry::Later => Self::Always,
            Retry::Never => Self::Person,
        }
    }
}

/// Holds a message. How often it was tried before is told by the hold it may have from then.
pub fn hold(record: &mut MessageRecord, reason: &str, again: Again, now_ms: i64) {
    let before = record.hold.take();
    let attempts = before.as_ref().map_or(0, |before| before.attempts);
    let pause = PAUSES.get(attempts as usize);
    let pause = match again {
        Again::Person => None,
        Again::FiveTimes => pause,
        Again::Always => pause.or(PAUSES.last()),
    };
    let after = |pause: &Duration| now_ms + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    record.state = State::Held;
    record.hold = Some(Hold {
        reason: reason.chars().take(MOST_REASON).collect(),
        since_ms: before.map_or(now_ms, |before| before.since_ms),
        attempts,
        retry_at_ms: pause.map(after),
    });
}
