//! Recognises messages that were decided before, so that nothing is done twice.
//!
//! These ways lead to a message being met again: a crash between a plan and the cursor (its key is
//! known), a new UIDVALIDITY (its Message-ID and size are known from the same mailbox), and a move,
//! copy or delivery of our own into a mailbox that is watched on a server that does not tell the new
//! UID, that came to be watched only later, or of which a damaged store lost the note
//! ([`super::doubt`]); the record's marks tell where it landed. One more is a copy of what was sent that
//! an engine put there and died before it noted so: its queue entry says that this was tried.

use super::decide::{Desk, Item, Kind};
use super::{Line, record};
use crate::config::Target;
use crate::error::Result;
use crate::mail::{MailboxName, MessageKey, Uid};
use crate::perform::UID_NOT_TOLD;
use crate::pipeline::Action;
use crate::store::{Mark, MarkOutcome, MessageRecord, QueueEntry, SentCopy, State};

/// How long after our own move a message of unknown UID is taken for it, in milliseconds.
const OWN_MOVE_MS: i64 = 60 * 60 * 1000;

/// A message that is to be decided, as the store knows it.
pub(super) struct Known {
    pub(super) key: MessageKey,
    pub(super) message_id: String,
    /// The record that its own replaces: held under the same key, or under an earlier UIDVALIDITY.
    pub(super) before: Option<MessageRecord>,
}

impl Line {
    /// What is known of a message; `None` where nothing is to be decided: it was before, or a
    /// person released it meanwhile.
    pub(super) fn recognise(&self, desk: &Desk, item: &Item) -> Result<Option<Known>> {
        let Desk { uidvalidity, kind, doubtful, .. } = *desk;
        let input = &item.input;
        let key = MessageKey {
            account: self.name.clone(),
            mailbox: input.mailbox.clone(),
            uidvalidity,
            uid: input.uid,
        };
        let same = self.store.of_key(&key)?;
        let state = same.as_ref().map(|record| record.state);
        let open = match kind {
            Kind::New => matches!(state, None | Some(State::Void)),
            Kind::Held => state == Some(State::Held),
        };
        if !open {
            return Ok(None);
        }
        let message_id = record::identity(&input.message);
        let alike = self.store.of_message_id(&message_id)?;
        if kind == Kind::New
            && !item.is_broken()
            && (self.is_among(&alike, &key, input.size, doubtful)
                || self.is_sent_copy(&input.mailbox, &message_id)?)
        {
            return Ok(None);
        }
        let held = same.filter(|same| same.state == State::Held);
        let before =
            held.or_else(|| alike.into_iter().find(|old| cut_short(old, &key, input.size)));
        Ok(Some(Known { key, message_id, before }))
    }

    /// Whether it is the copy of a message that we sent, whose queue entry still says that it was tried.
    fn is_sent_copy(&self, mailbox: &MailboxName, message_id: &str) -> Result<bool> {
        let sent = self.account.smtp.as_ref().and_then(|smtp| smtp.sent.as_ref());
        if sent != Some(mailbox) {
            return Ok(false);
        }
        let is_own = |entry: &QueueEntry| {
            entry.copy == SentCopy::Tried
                && entry.account == *self.name
                && entry.message_id.as_deref() == Some(message_id)
        };
        Ok(self.store.queue()?.iter().any(is_own))
    }

    /// Whether one of these records is of this message under another key.
    fn is_among(
        &self,
        records: &[MessageRecord],
        key: &MessageKey,
        size: u64,
        doubtful: Uid,
    ) -> bool {
        let now = self.clock.now_ms();
        let own: IsOwn<'_> = match key.uid < doubtful {
            true => &|mark| mark.outcome == MarkOutcome::Done,
            false => &|mark| landed_here(mark, key, now),
        };
        records.iter().any(|record| {
            let here = record.key.account == self.name && record.size == size;
            here && (renumbered(record, key) || moved_here(record, key, own))
                || self.delivered_here(record, key, own)
        })
    }

    /// Our own delivery to this place. Its size may be another, because deliveries carry header
    /// changes.
    fn delivered_here(&self, record: &MessageRecord, key: &MessageKey, own: IsOwn<'_>) -> bool {
        record.marks.iter().any(|mark| {
            let said = record.decision.actions.get(mark.action).map(|said| &said.action);
            let Some(Action::DeliverTo { target }) = said else { return false };
            matches!(
                self.config.targets.get(target),
                Some(Target::Account { account, mailbox })
                    if **account == *self.name && *mailbox == key.mailbox
            ) && own(mark)
        })
    }
}

/// Held or void under an earlier UIDVALIDITY: the plan of the same message, cut short.
fn cut_short(record: &MessageRecord, key: &MessageKey, size: u64) -> bool {
    matches!(record.state, State::Held | State::Void)
        && record.key.account == key.account
        && record.key.mailbox == key.mailbox
        && record.key.uidvalidity != key.uidvalidity
        && record.size == size
}

/// The same mailbox under an earlier UIDVALIDITY, and it was not moved away from there.
fn renumbered(record: &MessageRecord, key: &MessageKey) -> bool {
    let moved =
        record.decision.actions.iter().any(
            |said| matches!(&said.action, Action::MoveTo { mailbox } if *mailbox != key.mailbox),
        );
    matches!(record.state, State::Settled | State::Released)
        && record.key.mailbox == key.mailbox
        && record.key.uidvalidity != key.uidvalidity
        && !moved
}

/// Our own move or copy to this place.
fn moved_here(record: &MessageRecord, key: &MessageKey, own: IsOwn<'_>) -> bool {
    record.marks.iter().any(|mark| {
        let target = match record.decision.actions.get(mark.action).map(|said| &said.action) {
            Some(Action::MoveTo { mailbox } | Action::CopyTo { mailbox }) => Some(mailbox),
            _ => None,
        };
        target == Some(&key.mailbox) && own(mark)
    })
}

/// Whether the mark of a move, copy or delivery tells that what is met may be what it put there.
type IsOwn<'a> = &'a dyn Fn(&Mark) -> bool;

/// Whether an action landed under this UID, or not long ago under one that was not told.
fn landed_here(mark: &Mark, key: &MessageKey, now_ms: i64) -> bool {
    let Some(note) = mark.note.as_deref() else { return false };
    let untold = note.ends_with(UID_NOT_TOLD) && now_ms - mark.at_ms < OWN_MOVE_MS;
    untold || note.ends_with(&format!("{}/{}", key.mailbox, key.uid))
}
