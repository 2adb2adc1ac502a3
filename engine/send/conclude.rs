//! Writes what became of an entry, with the reports that are owed for it, in one commit, and removes
//! what is done.

use std::cell::Cell;
use std::sync::Arc;

use super::queue::Queue;
use super::report::{self, News, Report};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::fault_point::{Point, reach};
use crate::maillog::Event;
use crate::store::{
    Change, DelayNotice, Haste, Origin, QueueEntry, Queued, QueuedRecipient, RecipientState,
    SentCopy,
};

/// What changed of an entry: places of its recipients.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Those who got it.
    pub(super) sent: Vec<usize>,
    /// Those who never will.
    pub(super) failed: Vec<usize>,
    /// Of those who got it, those of whom their sender is told so.
    pub(super) relayed: Vec<usize>,
    /// Those of whom their sender is told that it takes longer, and until when, Unix milliseconds.
    pub(super) delayed: Option<(Vec<usize>, i64)>,
}

/// What is known of an entry's account.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// The name under which reports are made.
    pub(super) host: String,
    /// Whether sent mail is copied.
    pub(super) copies: Copies,
}

/// Whether sent mail is copied into a mailbox of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    Wanted,
    Unwanted,
}

/// Changes an entry that is in hand, and does what follows from it. `change` is called twice: on a
/// copy to see which reports are owed, and on the entry itself. Where a report cannot be made, what
/// became of the message is written all the same, and whom it would be about waits. Blocks.
///
/// # Errors
/// The store or the disk fails; what is not written is tried again.
pub(super) fn conclude(
    queue: &Queue,
    id: u64,
    sender: &Sender,
    change: impl Fn(&mut QueueEntry) -> Changed,
) -> Result<()> {
    let Some(mut copy) = queue.show(id)? else { return Ok(()) };
    let changed = change(&mut copy);
    let (reports, missing) = match reports(queue, &copy, &changed, &sender.host) {
        Ok(reports) => (reports, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    reach(Point::AttemptUnwritten);
    let written = write(queue, (id, sender), &reports, |entry| {
        let before = entry.recipients.clone();
        let changed = change(entry);
        if let Some(error) = &missing {
            postpone(entry, before, &changed, error);
        }
    });
    if !matches!(&written, Ok(written) if !written.is_empty()) && !queue.store().is_broken() {
        reports.iter().for_each(|report| queue.give_up(report));
    }
    let written = written?;
    reach(Point::AttemptWritten);
    for report in reports.iter().filter(|_| !written.is_empty()) {
        queue.took(report);
        tell_report(queue, id, report);
    }
    for (entry, over) in &written {
        tell(queue, entry, &changed);
        match over {
            Over::Yes => remove(queue, entry)?,
            Over::No => queue.lanes().note(entry),
        }
    }
    missing.map_or(Ok(()), Err)
}

/// Whether nothing is left to do for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Yes,
    No,
}

/// Writes a change with the entries of reports in one commit; gives the entry as it is then.
fn write(
    queue: &Queue,
    (id, sender): (u64, &Sender),
    reports: &[Arc<QueueEntry>],
    change: impl Fn(&mut QueueEntry),
) -> Result<Vec<(QueueEntry, Over)>> {
    let over = Cell::new(Over::No);
    let now_ms = queue.clock().now_ms();
    let written = queue.store().change_queued((&[id], Haste::WithOthers), |entry| {
        let (held, pending) = (entry.held.take(), entry.is_pending());
        change(entry);
        // What a person said meanwhile stands.
        entry.held = held.or(entry.held.take());
        let more = reports.iter().map(|report| Change::Queue(report.clone())).collect();
        if entry.is_pending() {
            return Queued::ChangedWith(more);
        }
        entry.held = None;
        if owes_copy(entry, sender.copies) {
            // One that was tried before waits as long as its last try says.
            if pending {
                entry.due_ms = now_ms;
            }
            return Queued::ChangedWith(more);
        }
        over.set(Over::Yes);
        Queued::RemovedWith(more)
    })?;
    Ok(written.into_iter().map(|entry| (entry, over.get())).collect())
}

/// What a report would be about is as it was before, and so tried again, until one can be made; who has
/// the message is not sent it again. That the next server has it is not told then.
fn postpone(entry: &mut QueueEntry, before: Vec<QueuedRecipient>, changed: &Changed, why: &Error) {
    for (at, was) in before.into_iter().enumerate() {
        if changed.failed.contains(&at)
            && let Some(recipient) = entry.recipients.get_mut(at)
        {
            *recipient = was;
        }
    }
    if changed.delayed.is_some() {
        entry.delay = DelayNotice::None;
    }
    entry.last_error = Some(format!("its sender cannot be told: {why}"));
}

/// Whether a copy for the mailbox for sent mail is missing.
pub(super) fn owes_copy(entry: &QueueEntry, copies: Copies) -> bool {
    let sent = |state: &RecipientState| matches!(state, RecipientState::Sent { .. });
    copies == Copies::Wanted
        && entry.origin == Origin::Submission
        && entry.copy != SentCopy::Done
        && entry.recipients.iter().any(|to| sent(&to.state))
}

/// The entries of the reports that are owed, whose messages are durable.
fn reports(
    queue: &Queue,
    entry: &QueueEntry,
    changed: &Changed,
    host: &str,
) -> Result<Vec<Arc<QueueEntry>>> {
    let (delayed, until_ms) = changed.delayed.clone().unwrap_or_default();
    let owed = [
        (News::Failed, &changed.failed),
        (News::Delayed { until_ms }, &delayed),
        (News::Relayed, &changed.relayed),
    ];
    let mut reports = Vec::new();
    for (news, about) in owed.into_iter().filter(|(_, about)| !about.is_empty()) {
        let at = (queue.spool(), host, queue.clock().now_ms());
        let report = report::of(news, entry, about, at)
            .and_then(|report| report.map(|report| prepared(queue, report)).transpose());
        match report {
            Ok(report) => reports.extend(report),
            Err(error) => {
                reports.iter().for_each(|report: &Arc<QueueEntry>| queue.give_up(report));
                return Err(error);
            }
        }
    }
    Ok(reports)
}

fn prepared(queue: &Queue, report: Report) -> Result<Arc<QueueEntry>> {
    let mut file = queue.spool().begin();
    file.write_blocking(&report.text)?;
    queue.prepare(report.outgoing, file).map(Arc::new)
}

/// An entry is removed: so is its file.
pub(super) fn remove(queue: &Queue, entry: &QueueEntry) -> Result<()> {
    reach(Point::Dequeued);
    queue.lanes().forget(entry.id);
    queue.spool().remove(&entry.file)?;
    let account = entry.account.as_str().into();
    queue.log().say(&Event::Dequeued { id: entry.id, account });
    Ok(())
}

fn tell(queue: &Queue, entry: &QueueEntry, changed: &Changed) {
    let account: Arc<str> = entry.account.as_str().into();
    let log = queue.log();
    for at in changed.sent.iter().chain(&changed.failed) {
        let Some(recipient) = entry.recipients.get(*at) else { continue };
        let (id, account, to) = (entry.id, account.clone(), recipient.address.to_string());
        match &recipient.state {
            RecipientState::Sent { answer, .. } => {
                log.say(&Event::Sent { id, account, to, answer: answer.clone() });
            }
            RecipientState::Failed { answer, .. } => {
                log.say(&Event::Failed { id, account, to, answer: answer.clone() });
            }
            RecipientState::Pending { .. } => {}
        }
    }
    let pending = |state: &RecipientState| matches!(state, RecipientState::Pending { .. });
    let waiting = entry.recipients.iter().filter(|to| pending(&to.state)).count();
    if waiting > 0 && changed.delayed.is_none() {
        let error = entry.held.clone().or(entry.last_error.clone()).unwrap_or_default();
        let again_at = entry.held.is_none().then(|| rfc3339(entry.due_ms));
        log.say(&Event::Deferred { id: entry.id, account, recipients: waiting, error, again_at });
    }
}

fn tell_report(queue: &Queue, id: u64, report: &QueueEntry) {
    queue.log().say(&Event::Reported {
        id,
        account: report.account.as_str().into(),
        report: report.id,
        subject: report.subject.clone().unwrap_or_default(),
    });
}
