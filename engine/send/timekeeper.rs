//! Looks at the time: who has to be told that a message takes longer, and which messages are given up.
//! That holds for messages of all accounts, whether their servers are asked or not.

use std::sync::Arc;

use super::conclude::{Changed, Copies, Sender, conclude};
use super::queue::Queue;
use super::retry::{self, millis};
use crate::config::{Config, QueueTimes};
use crate::error::Result;
use crate::maillog::Event;
use crate::store::{DelayNotice, QueueEntry, RecipientState};

/// Gives up what is too old, and tells who waits; says whether something of it was in another's hands
/// and has to be looked at again. Blocks.
///
/// # Errors
/// The store or the disk fails.
pub(super) fn look(queue: &Queue, config: &Arc<Config>) -> Result<Left> {
    let times = &config.queue;
    let now_ms = queue.clock().now_ms();
    let (mut left, mut failed) = (Left::Nothing, None);
    for (id, account, task) in due(queue, times, now_ms) {
        let Some(claim) = queue.claim(id) else {
            left = Left::Something;
            continue;
        };
        let sender = sender(config, &account, task);
        if sender.copies == Copies::Unwanted {
            tell_of_no_copy(queue, claim.id)?;
        }
        // One that fails keeps no other waiting.
        let concluded = conclude(queue, claim.id, &sender, |entry| task.done(entry, times, now_ms));
        failed = failed.or(concluded.err());
    }
    failed.map_or(Ok(left), Err)
}

/// Whether something is left to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Something,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    GiveUp,
    TellDelay,
}

impl Task {
    /// Does it to an entry.
    fn done(self, entry: &mut QueueEntry, times: &QueueTimes, now_ms: i64) -> Changed {
        match self {
            Self::GiveUp => {
                let failed = retry::expire(entry, times, now_ms);
                Changed { failed, ..Changed::default() }
            }
            Self::TellDelay => {
                entry.delay = DelayNotice::Settled;
                let until_ms = entry.queued_ms.saturating_add(millis(times.expire));
                let pending = entry.recipients.iter().enumerate();
                let pending = pending
                    .filter(|(_, to)| matches!(to.state, RecipientState::Pending { .. }))
                    .map(|(at, _)| at);
                let delayed = Some((pending.collect(), until_ms));
                Changed { delayed, ..Changed::default() }
            }
        }
    }
}

fn due(queue: &Queue, times: &QueueTimes, now_ms: i64) -> Vec<(u64, String, Task)> {
    let (expire, notice) = (millis(times.expire), millis(times.delay_notice));
    let lanes = queue.lanes();
    let mut due: Vec<_> = lanes
        .known()
        .filter(|(_, known)| !known.held)
        .filter_map(|(id, known)| {
            let age = now_ms.saturating_sub(known.queued_ms);
            let task = if age >= expire {
                Task::GiveUp
            } else if age >= notice && known.delay == DelayNotice::None {
                Task::TellDelay
            } else {
                return None;
            };
            Some((id, known.account.clone(), task))
        })
        .collect();
    due.sort_by_key(|(id, ..)| *id);
    due
}

/// What was sent and is only to be copied is given up as well: nobody else would hear of that.
fn tell_of_no_copy(queue: &Queue, id: u64) -> Result<()> {
    if let Some(entry) = queue.show(id)?.filter(|entry| !entry.is_pending()) {
        let last = entry.last_error.unwrap_or_else(|| "it was never tried".into());
        let text = format!(
            "queue {id}: sent, and given up without a copy in the mailbox for sent mail; last: {last}"
        );
        queue.log().say(&Event::Warning { text });
    }
    Ok(())
}

/// How reports about an account's mail are signed. What was sent and is only to be copied waits for
/// that until it is given up, without a copy.
fn sender(config: &Config, account: &str, task: Task) -> Sender {
    let account = config.accounts.get(account);
    let host = account.map_or_else(Sender::own_host, Sender::host_of);
    let sent = account.and_then(|account| account.smtp.as_ref()?.sent.as_ref());
    let copies = match (task, sent) {
        (Task::TellDelay, Some(_)) => Copies::Wanted,
        _ => Copies::Unwanted,
    };
    Sender { host, copies }
}
