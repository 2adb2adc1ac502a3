//! From a decision to its record, and from a record to what is told.

use std::sync::Arc;

use super::Line;
use super::decide::Item;
use super::recognise::Known;
use crate::clock::rfc3339;
use crate::config::After;
use crate::error::Result;
use crate::mail::{Message, Uid, UidValidity};
use crate::maillog::{Event, Maillog};
use crate::perform::{Again, FINGERPRINT, hold};
use crate::pipeline::{Action, Decision, Recorded, StepOutcome, Verdict};
use crate::store::{Change, Hold, Mark, MarkOutcome, MessageRecord, State};

/// The most characters of a sender that a record keeps.
const MOST_FROM: usize = 200;

/// The most bytes of a Message-ID that a record keeps; a longer one is treated as none.
const MOST_ID: usize = 500;

/// The most bytes of a record when it is planned: marks have room to come.
const MOST_PLAN: usize = 64 << 10;

impl Line {
    /// The record of a decision, and its size in bytes. That of a message which was held before, or
    /// whose plan a new UIDVALIDITY cut short, is replaced; what was done of it stays done.
    pub(super) fn record(
        &self,
        known: Known,
        item: &Item,
        decision: Decision,
        again: Again,
    ) -> Result<(MessageRecord, usize)> {
        let input = &item.input;
        let from = input.message.from();
        let mut record = MessageRecord {
            id: 0,
            key: known.key,
            message_id: Some(known.message_id),
            subject: cut(&input.message.subject(), 200),
            from: cut(&from.first().map(ToString::to_string).unwrap_or_default(), MOST_FROM),
            size: input.size,
            received_ms: input.received_ms,
            decided_ms: input.now_ms,
            decision,
            state: State::Planned,
            marks: Vec::new(),
            hold: None,
        };
        match known.before {
            Some(before) => take_over(&mut record, before, item),
            None => record.id = self.store.next_id()?,
        }
        let size = self.limit(&mut record);
        if record.decision.verdict == Verdict::Hold {
            let (reason, now) = (reason(&record.decision), self.clock.now_ms());
            hold(&mut record, &reason, again, now);
        }
        self.after(&mut record);
        Ok((record, size))
    }

    /// A decision that is too large to be kept holds its message. Gives the record's size in bytes.
    fn limit(&self, record: &mut MessageRecord) -> usize {
        for step in &mut record.decision.steps {
            step.error = step.error.take().map(|error| cut(&error, 1_000));
        }
        let size = serde_json::to_vec(record).map_or(usize::MAX, |json| json.len());
        if size > MOST_PLAN {
            let why = format!("what the rules say of it has {size} bytes, more than {MOST_PLAN}");
            record.marks.clear();
            record.decision = self.refusal(&why);
        }
        size.min(MOST_PLAN)
    }

    /// Adds the move that `after` asks for, where no rule moved the message.
    fn after(&self, record: &mut MessageRecord) {
        let decision = &mut record.decision;
        let moved =
            decision.actions.iter().any(|said| matches!(said.action, Action::MoveTo { .. }));
        if let After::Move(mailbox) = &self.account.after
            && decision.verdict != Verdict::Hold
            && !moved
        {
            let action = Action::MoveTo { mailbox: mailbox.clone() };
            decision.actions.push(Recorded { action, step: "after".into(), at: None });
        }
    }
}

/// Makes a record the successor of an earlier one of the same message.
fn take_over(record: &mut MessageRecord, before: MessageRecord, item: &Item) {
    record.id = before.id;
    record.hold = match before.hold {
        Some(hold) => Some(Hold { attempts: hold.attempts + 1, ..hold }),
        None => (before.state == State::Void).then(|| cut_short(before.decided_ms)),
    };
    if item.is_broken() {
        // It cannot be had now; what is known of it from then is all there is.
        record.message_id = before.message_id;
        (record.subject, record.from) = (before.subject, before.from);
        (record.size, record.received_ms) = (before.size, before.received_ms);
    }
    let mut done: Vec<_> = before.marks;
    done.retain(|mark| mark.outcome == MarkOutcome::Done);
    for (action, said) in record.decision.actions.iter().enumerate() {
        let same = done.iter().position(|mark| {
            before.decision.actions.get(mark.action).map(|said| &said.action) == Some(&said.action)
        });
        if let Some(at) = same {
            record.marks.push(Mark { action, ..done.remove(at) });
        }
    }
}

/// The mark of a plan that a new UIDVALIDITY cut short: some of it may have been done without a
/// word, so its successor is performed in doubt.
fn cut_short(since_ms: i64) -> Hold {
    let reason = "its mailbox got another UIDVALIDITY before all was done".into();
    Hold { reason, since_ms, attempts: 0, retry_at_ms: None }
}

/// By what a message is known: its Message-ID, else a hash of the fields that
/// hardly two messages share.
pub(super) fn identity(message: &Message) -> String {
    use sha2::Digest;
    if let Some(id) = message.message_id().filter(|id| id.len() <= MOST_ID) {
        return id;
    }
    let fields = ["Date", "From", "To", "Subject", "Received"].map(|name| message.headers(name));
    let digest = sha2::Sha256::digest(format!("{fields:?}").as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{FINGERPRINT}{hex}")
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Why a decision holds its message.
fn reason(decision: &Decision) -> String {
    let failed = decision.steps.iter().find(|step| step.outcome == StepOutcome::Failed);
    if let Some(step) = failed {
        let error = step.error.as_deref().unwrap_or("it failed");
        return format!("step {} failed: {error}", step.step);
    }
    let held = decision.actions.iter().rev().find_map(|said| match &said.action {
        Action::Hold { reason } => Some(reason.clone()),
        _ => None,
    });
    held.unwrap_or_else(|| "a rule holds it".into())
}

/// What the steps of a decision remember.
pub(super) fn states(account: &Arc<str>, decision: &Decision) -> Vec<Change> {
    decision
        .actions
        .iter()
        .filter_map(|said| match &said.action {
            Action::StateSet { key, value } => Some(Change::State {
                account: account.clone(),
                step: said.step.clone(),
                key: key.clone(),
                value: value.clone(),
            }),
            _ => None,
        })
        .collect()
}

/// The links of a record; a held message has none yet.
pub(super) fn links(record: &MessageRecord) -> Vec<Change> {
    if record.state == State::Held {
        return Vec::new();
    }
    record
        .decision
        .actions
        .iter()
        .filter_map(|said| match &said.action {
            Action::Link { project, evidence } => Some(Change::Link {
                project: project.clone(),
                evidence: evidence.clone(),
                id: record.id,
            }),
            _ => None,
        })
        .collect()
}

/// Plans whose keys a new UIDVALIDITY made void: their messages are met and decided again.
pub(super) fn void(mut records: Vec<MessageRecord>) -> Vec<MessageRecord> {
    for record in &mut records {
        record.state = State::Void;
    }
    records
}

/// The held records whose message is no longer in its mailbox: nothing is left to decide.
pub(super) fn gone(
    held: Vec<MessageRecord>,
    uidvalidity: UidValidity,
    there: &[Uid],
) -> Vec<MessageRecord> {
    let gone = held
        .into_iter()
        .filter(|record| record.key.uidvalidity != uidvalidity || !there.contains(&record.key.uid));
    void(gone.collect())
}

/// Tells the lines that steps wrote for the log.
pub(super) fn log_lines(log: &Maillog, record: &MessageRecord) {
    for said in &record.decision.actions {
        if let Action::Log { text } = &said.action {
            let (step, text) = (said.step.clone(), text.clone());
            log.say(&Event::Step { id: record.id, step, text });
        }
    }
}

/// Tells how a record ended.
pub(super) fn tell(log: &Maillog, record: &MessageRecord) {
    let (id, key, subject) = (record.id, record.key.clone(), record.subject.clone());
    let (generation, digest) = (record.decision.generation, record.decision.digest.clone());
    match (&record.state, &record.hold) {
        (State::Held, Some(hold)) => log.say(&Event::Held {
            id,
            key,
            subject,
            reason: hold.reason.clone(),
            retry_at: hold.retry_at_ms.map(rfc3339),
            generation,
            digest,
        }),
        (State::Void, _) => {
            let text = format!("#{id} {key}: the message is no longer there under this key");
            log.say(&Event::Warning { text });
        }
        (State::Settled, _) => {
            let did = did(record);
            log.say(&Event::Done { id, key, subject, did, generation, digest });
        }
        _ => {}
    }
}

/// What was done, one clause an action, e.g. `moved to Projects/T-071`.
pub fn did(record: &MessageRecord) -> Vec<String> {
    record
        .decision
        .actions
        .iter()
        .enumerate()
        .filter_map(|(index, said)| {
            let clause = clause(&said.action)?;
            let mark = record.marks.iter().find(|mark| mark.action == index);
            Some(match mark.map(|mark| mark.outcome) {
                Some(MarkOutcome::Gone) => format!("{clause} (it was no longer there)"),
                Some(MarkOutcome::Failed) => format!("{clause} (failed)"),
                _ => clause,
            })
        })
        .collect()
}

/// What an action does to a message, in the past tense; `None` for what only the engine sees.
pub fn clause(action: &Action) -> Option<String> {
    Some(match action {
        Action::MoveTo { mailbox } => format!("moved to {mailbox}"),
        Action::CopyTo { mailbox } => format!("copied to {mailbox}"),
        Action::DeliverTo { target } => format!("delivered to {target}"),
        Action::AddFlag { flag } => format!("flag {flag} set"),
        Action::RemoveFlag { flag } => format!("flag {flag} cleared"),
        Action::Link { project, evidence } => format!("linked to {project} by {evidence}"),
        Action::SuppressReceipt => "read receipt suppressed".into(),
        _ => return None,
    })
}
