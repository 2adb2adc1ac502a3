//! What an attempt makes of an entry: who got it, who never will, who is tried again and when.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::relay::{Failure, Kind, Outcome};
use crate::config::QueueTimes;
use crate::store::{QueueEntry, RecipientState};

/// How often an end of data may go without an answer before a person has to look.
const DOUBTS: u32 = 2;

/// Characters of an answer that an entry keeps for each recipient.
const ANSWER: usize = 200;

/// What an attempt changed: places of recipients in the entry.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Those who got it.
    pub(super) sent: Vec<usize>,
    /// Those who never will.
    pub(super) failed: Vec<usize>,
    /// Of those who got it: those whose server reports nothing itself, and whose sender wants to hear
    /// of success.
    pub(super) relayed: Vec<usize>,
}

/// Writes what became of an attempt into its entry.
pub(super) fn settle(
    entry: &mut QueueEntry,
    outcome: &Outcome,
    times: &QueueTimes,
    now_ms: i64,
) -> Settled {
    let mut settled = Settled::default();
    entry.attempts = entry.attempts.saturating_add(1);
    entry.doubt.open = false;
    entry.last_error = None;
    for (at, result) in &outcome.recipients {
        let Some(recipient) = entry.recipients.get_mut(*at) else { continue };
        match result {
            Ok(answer) => {
                recipient.state = RecipientState::Sent { at_ms: now_ms, answer: short(answer) };
                settled.sent.push(*at);
                if recipient.notify.success() && !outcome.reports {
                    settled.relayed.push(*at);
                }
            }
            Err(failure) if failure.is_final() => {
                let answer = short(&failure.said);
                entry.last_error = Some(failure.to_string());
                recipient.state = RecipientState::Failed { at_ms: now_ms, answer };
                settled.failed.push(*at);
            }
            Err(failure) => {
                recipient.state = RecipientState::Pending { answer: Some(short(&failure.said)) };
                entry.last_error = Some(failure.to_string());
                if failure.kind == Kind::SendAs {
                    entry.held = Some(failure.to_string());
                }
            }
        }
    }
    if outcome.in_doubt {
        doubt(entry);
    }
    entry.due_ms = now_ms.saturating_add(millis(pause(times, entry.attempts)));
    settled
}

/// Writes into an entry that its account's server was not reached, which is no fault of its own.
pub(super) fn not_reached(entry: &mut QueueEntry, failure: &Failure) {
    entry.attempts = entry.attempts.saturating_add(1);
    entry.last_error = Some(failure.to_string());
}

/// An end of data went without an answer: the server may have the message. One such is answered by
/// sending it again; after that a person has to look.
pub(super) fn doubt(entry: &mut QueueEntry) {
    entry.doubt.open = false;
    entry.doubt.times = entry.doubt.times.saturating_add(1);
    if entry.doubt.times >= DOUBTS {
        entry.held = Some(
            "twice the connection ended before the server said whether it took the message: it may \
             be there twice already; release it to send it once more, or drop it"
                .into(),
        );
    }
}

/// Gives up those who are still pending; gives their places.
pub(super) fn expire(entry: &mut QueueEntry, times: &QueueTimes, now_ms: i64) -> Vec<usize> {
    let given_up = humantime::format_duration(times.expire).to_string();
    let mut failed = Vec::new();
    for (at, recipient) in entry.recipients.iter_mut().enumerate() {
        let RecipientState::Pending { answer } = &recipient.state else { continue };
        let last = answer.clone().or_else(|| entry.last_error.clone());
        let last = last.unwrap_or_else(|| "its server was never asked".into());
        let answer = short(&format!("4.4.7 given up after {given_up}; last: {last}"));
        recipient.state = RecipientState::Failed { at_ms: now_ms, answer };
        failed.push(at);
    }
    failed
}

/// How long to wait after so many attempts.
pub(super) fn pause(times: &QueueTimes, attempts: u32) -> Duration {
    let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = times.retry.get(at).or(times.retry.last()).copied().unwrap_or_default();
    jittered(pause)
}

/// Between 0.9 and 1.1 times as long, so that what failed together is not tried together.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    pause.mul_f64(0.9 + 0.2 * (random % 1000) as f64 / 1000.0)
}

/// A duration in Unix milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn short(answer: &str) -> String {
    answer.chars().take(ANSWER).collect()
}
