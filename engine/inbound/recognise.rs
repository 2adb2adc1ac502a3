//! Recognises messages that were decided before, so that nothing is done twice.
//!
//! Four ways lead to a message being met again: a crash between a plan and the cursor (its key is
//! known), a new UIDVALIDITY (its Message-ID and size are known from the same mailbox), a move
//! or copy of our own into a watched mailbox on a server that does not tell the new UID, and a store
//! that lost the note of such a move ([`super::doubt`]).

use super::{Line, record};
use crate::config::Target;
use crate::error::Result;
use crate::mail::{MailboxName, Message, MessageKey, Uid, UidValidity};
use crate::mailbox::Fetched;
use crate::perform::UID_NOT_TOLD;
use crate::pipeline::Action;
use crate::store::{Mark, MarkOutcome, MessageRecord, State};

/// How long after our own move a message of unknown UID is taken for it, in milliseconds.
const OWN_MOVE_MS: i64 = 60 * 60 * 1000;

impl Line {
    /// Whether this message was decided before. Of one below `doubtful` the note may be lost that
    /// mailmill itself put it there.
    pub(super) fn recognises(
        &self,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
        doubtful: Uid,
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
        let id = record::identity(&Message::from_headers(message.bytes.clone()));
        let now = self.clock.now_ms();
        let own: IsOwn<'_> = match message.uid < doubtful {
            true => &|mark| mark.outcome == MarkOutcome::Done,
            false => &|mark| is_recent_and_untold(mark, now),
        };
        Ok(self.store.of_message_id(&id)?.iter().any(|record| {
            let here = record.key.account == self.name && record.size == message.size;
            here && (renumbered(record, &key) || moved_here(record, mailbox, own))
                || self.delivered_here(record, mailbox, own)
        }))
    }

    /// Our own delivery into this mailbox. Its size may be another, because deliveries carry header
    /// changes.
    fn delivered_here(&self, record: &MessageRecord, here: &MailboxName, own: IsOwn<'_>) -> bool {
        record.marks.iter().any(|mark| {
            let said = record.decision.actions.get(mark.action).map(|said| &said.action);
            let Some(Action::DeliverTo { target }) = said else { return false };
            matches!(
                self.config.targets.get(target),
                Some(Target::Account { account, mailbox })
                    if **account == *self.name && mailbox == here
            ) && own(mark)
        })
    }
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

/// Our own move or copy into this mailbox.
fn moved_here(record: &MessageRecord, here: &MailboxName, own: IsOwn<'_>) -> bool {
    record.marks.iter().any(|mark| {
        let target = match record.decision.actions.get(mark.action).map(|said| &said.action) {
            Some(Action::MoveTo { mailbox } | Action::CopyTo { mailbox }) => Some(mailbox),
            _ => None,
        };
        target == Some(here) && own(mark)
    })
}

/// Whether the mark of a move, copy or delivery tells that what is met may be what it put there.
type IsOwn<'a> = &'a dyn Fn(&Mark) -> bool;

/// Not long ago, and the UID was not told.
fn is_recent_and_untold(mark: &Mark, now_ms: i64) -> bool {
    now_ms - mark.at_ms < OWN_MOVE_MS
        && mark.note.as_deref().is_some_and(|note| note.ends_with(UID_NOT_TOLD))
}
