//! The record of what was decided of a message that is sent, for `explain` and `links`. It is settled
//! at once, with a mark for its signature: what becomes of the message stands in its queue entry.

use super::Line;
use super::decide::{Decided, NOWHERE};
use crate::config::Account;
use crate::mail::signature::Signing;
use crate::mail::{MailboxName, Message, MessageKey, Uid, UidValidity};
use crate::maillog::{Event, Maillog};
use crate::pipeline::{Action, Decision};
use crate::send::Refusal;
use crate::send::dialogue::Reply;
use crate::store::{Change, Mark, MarkOutcome, MessageRecord, State};
use std::sync::Arc;

/// The most bytes of a record.
const MOST: usize = 64 << 10;
/// The most characters of a subject and of a sender that a record keeps.
const MOST_TEXT: usize = 200;

/// What is written beside the queue entry.
pub(super) struct Kept {
    /// The record's id; `None` where nothing was decided.
    pub(super) id: Option<u64>,
    pub(super) changes: Vec<Change>,
}

impl Line {
    /// The record with links and step memory; nothing where no rules decided.
    pub(super) fn record(&self, decided: &Decided, account: &Account) -> Result<Kept, Refusal> {
        let Some(decision) = &decided.decision else {
            return Ok(Kept { id: None, changes: Vec::new() });
        };
        let id = self.store.next_id().map_err(Refusal::later)?;
        let head = Message::from_headers(decided.submission.head.clone());
        let record = MessageRecord {
            id,
            key: key(account, id),
            message_id: head.message_id().map(|id| cut(&id)),
            subject: cut(&head.subject()),
            from: cut(&head.from().first().map(ToString::to_string).unwrap_or_default()),
            size: decided.submission.file.size(),
            received_ms: None,
            decided_ms: self.clock.now_ms(),
            decision: decision.clone(),
            state: State::Settled,
            marks: decided.mark(self.clock.now_ms()).into_iter().collect(),
            hold: None,
        };
        if serde_json::to_vec(&record).map_or(usize::MAX, |json| json.len()) > MOST {
            let text = format!("what the rules say of the message has more than {MOST} bytes");
            return Err(Reply::new(554, "5.3.0", text).into());
        }
        let mut changes = vec![Change::Record(Arc::new(record))];
        changes.extend(links(decision, id));
        if decided.held.is_none() {
            changes.extend(states(account, decision));
        }
        Ok(Kept { id: Some(id), changes })
    }
}

impl Decided {
    /// What became of the signature.
    fn mark(&self, at_ms: i64) -> Option<Mark> {
        let (action, signing) = (self.sign_action()?, self.signing.as_ref()?);
        let outcome = match signing {
            Signing::Signed { .. } | Signing::Already { .. } => MarkOutcome::Done,
            Signing::Not { .. } => MarkOutcome::Failed,
        };
        Some(Mark { action, at_ms, outcome, note: Some(signing.to_string()) })
    }
}

/// No mailbox has UIDVALIDITY 0, so no message in one is taken for it.
fn key(account: &Account, id: u64) -> MessageKey {
    MessageKey {
        account: account.name.as_str().into(),
        mailbox: MailboxName::new(NOWHERE).unwrap_or_else(|_| MailboxName::inbox()),
        uidvalidity: UidValidity(0),
        uid: Uid(u32::try_from(id).unwrap_or(0)),
    }
}

fn links(decision: &Decision, id: u64) -> Vec<Change> {
    let links = decision.actions.iter().filter_map(|said| match &said.action {
        Action::Link { project, evidence } => {
            Some(Change::Link { project: project.clone(), evidence: evidence.clone(), id })
        }
        _ => None,
    });
    links.collect()
}

/// What steps remember; nothing of a message that is held, which may never be sent.
fn states(account: &Account, decision: &Decision) -> Vec<Change> {
    let states = decision.actions.iter().filter_map(|said| match &said.action {
        Action::StateSet { key, value } => Some(Change::State {
            account: account.name.as_str().into(),
            step: said.step.clone(),
            key: key.clone(),
            value: value.clone(),
        }),
        _ => None,
    });
    states.collect()
}

/// Tells the lines that steps wrote for the log, and what was said in vain.
pub(super) fn tell(log: &Maillog, id: Option<u64>, decision: Option<&Decision>) {
    let (Some(id), Some(decision)) = (id, decision) else { return };
    for said in &decision.actions {
        let step = said.step.clone();
        match &said.action {
            Action::Log { text } => log.say(&Event::Step { id, step, text: text.clone() }),
            action if is_in_vain(action) => {
                let verb = action.verb();
                let text = format!("#{id} {step}: {verb} does nothing to a message that is sent");
                log.say(&Event::Warning { text });
            }
            _ => {}
        }
    }
}

fn is_in_vain(action: &Action) -> bool {
    matches!(
        action,
        Action::MoveTo { .. }
            | Action::CopyTo { .. }
            | Action::DeliverTo { .. }
            | Action::AddFlag { .. }
            | Action::RemoveFlag { .. }
            | Action::DeleteAfter { .. }
            | Action::ForwardTo { .. }
            | Action::ReplyWith { .. }
            | Action::Notify { .. }
            | Action::SuppressReceipt
    )
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}
