//! Recognises messages that were decided before, so that nothing is done twice.
//!
//! Three ways lead to a message being met again: a crash between a plan and the cursor (its key is
//! known), a new UIDVALIDITY (its Message-ID and size are known from the same mailbox), and a move
//! or copy of our own into a watched mailbox on a server that does not tell the new UID.

use super::Line;
use crate::error::Result;
use crate::mail::{MailboxName, Message, MessageKey, UidValidity};
use crate::mailbox::Fetched;
use crate::perform::UID_NOT_TOLD;
use crate::pipeline::Action;
use crate::store::{MessageRecord, State};

/// How long after our own move a message of unknown UID is taken for it, in milliseconds.
const OWN_MOVE_MS: i64 = 60 * 60 * 1000;

impl Line {
    /// Whether this message was decided before.
    pub(super) fn recognises(
        &self,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
        message: &Fetched,
    ) -> Result<bool> {
        let key = MessageKey {
            account: self.name.clone(),
            mailbox: mailbox.clone(),
            uidvalidity,
            uid: message.uid,
        };
        if self.store.of_key(&key)?.is_some_and(|record| record.state != State::Void) {
            return Ok(true);
        }
        let Some(id) = Message::from_headers(message.bytes.clone()).message_id() else {
            return Ok(false);
        };
        let now = self.clock.now_ms();
        Ok(self.store.of_message_id(&id)?.iter().any(|record| {
            record.key.account == self.name
                && record.size == message.size
                && record.state != State::Void
                && (renumbered(record, &key) || moved_here(record, mailbox, now))
        }))
    }
}

/// The same mailbox under an earlier UIDVALIDITY, and it was not moved away from there.
fn renumbered(record: &MessageRecord, key: &MessageKey) -> bool {
    let moved =
        record.decision.actions.iter().any(
            |said| matches!(&said.action, Action::MoveTo { mailbox } if *mailbox != key.mailbox),
        );
    record.key.mailbox == key.mailbox && record.key.uidvalidity != key.uidvalidity && !moved
}

/// Our own move or copy into this mailbox, not long ago, whose UID was not told.
fn moved_here(record: &MessageRecord, here: &MailboxName, now_ms: i64) -> bool {
    record.marks.iter().any(|mark| {
        let target = match record.decision.actions.get(mark.action).map(|said| &said.action) {
            Some(Action::MoveTo { mailbox } | Action::CopyTo { mailbox }) => Some(mailbox),
            _ => None,
        };
        target == Some(here)
            && now_ms - mark.at_ms < OWN_MOVE_MS
            && mark.note.as_deref().is_some_and(|note| note.ends_with(UID_NOT_TOLD))
    })
}
