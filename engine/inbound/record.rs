//! From a decision to its record, and from a record to what is told.

use std::sync::Arc;
use std::time::Duration;

use super::{Broken, Line};
use crate::clock::rfc3339;
use crate::config::After;
use crate::error::{Result, Retry};
use crate::mail::{MessageKey, UidValidity};
use crate::mailbox::Fetched;
use crate::maillog::{Event, Maillog};
use crate::pipeline::{Action, Decision, Input, Recorded, StepOutcome, Verdict};
use crate::store::{Change, Hold, MarkOutcome, MessageRecord, State};

/// Pauses before a failed step with `on_error = "retry"` is tried again; after the last the message
/// waits for a person.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
];

impl Line {
    /// The record of a decision; that of a message held before is replaced.
    pub(super) fn record(
        &self,
        uidvalidity: UidValidity,
        input: &Input,
        decision: Decision,
        retry: Retry,
    ) -> Result<MessageRecord> {
        let key = MessageKey {
            account: self.name.clone(),
            mailbox: input.mailbox.clone(),
            uidvalidity,
            uid: input.uid,
        };
        let held = self.store.of_key(&key)?.filter(|record| record.state == State::Held);
        let attempts = held.as_ref().and_then(|record| Some(record.hold.as_ref()?.attempts));
        let id = match &held {
            Some(record) => record.id,
            None => self.store.next_id()?,
        };
        let message = &input.message;
        let mut record = MessageRecord {
            id,
            key,
            message_id: message.message_id(),
            subject: message.subject().chars().take(200).collect(),
            from: message.from().first().map(ToString::to_string).unwrap_or_default(),
            size: input.size,
            received_ms: input.received_ms,
            decided_ms: input.now_ms,
            decision,
            state: State::Planned,
            marks: Vec::new(),
            hold: None,
        };
        self.hold(&mut record, retry, attempts.map_or(0, |attempts| attempts + 1));
        self.after(&mut record);
        Ok(record)
    }

    /// Holds the record where its decision says so.
    fn hold(&self, record: &mut MessageRecord, retry: Retry, attempts: u32) {
        if record.decision.verdict != Verdict::Hold {
            return;
        }
        let now = self.clock.now_ms();
        let pause = PAUSES.get(attempts as usize).filter(|_| retry == Retry::Later);
        record.state = State::Held;
        record.hold = Some(Hold {
            reason: reason(&record.decision),
            since_ms: now,
            attempts,
            retry_at_ms: pause
                .map(|pause| now + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
        });
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
pub(super) fn gone(held: &[MessageRecord], fetched: &[Fetched], broken: &[Broken]) -> Vec<Change> {
    let there = |uid| {
        fetched.iter().any(|message| message.uid == uid)
            || broken.iter().any(|(broken, _)| *broken == uid)
    };
    held.iter()
        .filter(|record| !there(record.key.uid))
        .map(|record| {
            let gone = MessageRecord { state: State::Void, hold: None, ..record.clone() };
            Change::Record(Box::new(gone))
        })
        .collect()
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
