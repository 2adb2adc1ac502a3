//! What can be written: the changes of one commit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::queue::QueueEntry;
use super::record::MessageRecord;
use super::value;
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};

/// How far a mailbox was read: every message up to and with `uid` was decided or passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The mailbox's UIDVALIDITY when it was read. Under another one the UID says nothing.
    pub uidvalidity: UidValidity,
    /// The highest UID passed.
    pub uid: Uid,
}

/// One change of a commit. In this form it also stands in a file of the queue, where the promise that it
/// belongs to is made by the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Writes a record, over an earlier one of the same id where there is one.
    Record(Arc<MessageRecord>),
    /// Writes the state and marks of a record whose plan is on disk and not carried out to its end;
    /// what else it says is left as it was written.
    Progress(Arc<MessageRecord>),
    /// Moves a cursor, forth or back.
    Cursor {
        /// The account's name.
        account: Arc<str>,
        /// The mailbox.
        mailbox: MailboxName,
        /// Where the cursor stands from now on.
        cursor: Cursor,
    },
    /// Writes into a step's memory.
    State {
        /// The account's name.
        account: Arc<str>,
        /// The step's name.
        step: String,
        /// The key.
        key: String,
        /// The value; empty removes the key.
        value: String,
    },
    /// Links a message to a project; a second link of the same two replaces the evidence.
    Link {
        /// The project's code.
        project: String,
        /// What decided it.
        evidence: String,
        /// The message's record, in this batch before the link or in the store.
        id: u64,
    },
    /// A move, copy or append of ours put this message there: it is not to be processed again.
    Arrived {
        /// The account's name.
        account: Arc<str>,
        /// The mailbox it landed in.
        mailbox: MailboxName,
        /// That mailbox's UIDVALIDITY.
        uidvalidity: UidValidity,
        /// Its UID there.
        uid: Uid,
    },
    /// The cursor has passed these: what [`Change::Arrived`] noted of them is no longer needed.
    /// Removes at most 10,000 notes; what is left goes with the next such change. Notes under a
    /// lower UIDVALIDITY of the mailbox go too.
    ForgetArrived {
        /// The account's name.
        account: Arc<str>,
        /// The mailbox.
        mailbox: MailboxName,
        /// The mailbox's UIDVALIDITY.
        uidvalidity: UidValidity,
        /// The highest UID to forget.
        up_to: Uid,
    },
    /// Writes a queue entry, over an earlier one of the same id where there is one.
    Queue(Arc<QueueEntry>),
    /// Removes a queue entry, where there is one. An id that never had an entry is given up: its file is
    /// no promise.
    Dequeue(u64),
    /// The queue of a salvaged store was looked through.
    QueueSettled,
    /// Fixes up to where a mailbox is in doubt ([`super::Doubtful::Unfixed`]).
    DoubtBelow {
        /// The account's name.
        account: Arc<str>,
        /// The mailbox.
        mailbox: MailboxName,
        /// The mailbox's UIDVALIDITY.
        uidvalidity: UidValidity,
        /// Its UIDNEXT: every message below was there before.
        uid: Uid,
    },
}

impl Cursor {
    pub(super) fn encode(self) -> Vec<u8> {
        let Self { uidvalidity, uid } = self;
        value::versioned(&[uidvalidity.0.to_be_bytes(), uid.0.to_be_bytes()].concat())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let broken = || Error::permanent("read a cursor", "it does not have 8 bytes");
        let body = value::body(bytes, || "read a cursor".into())?;
        let (validity, uid) = body.split_first_chunk::<4>().ok_or_else(broken)?;
        let uid = <[u8; 4]>::try_from(uid).map_err(|_| broken())?;
        Ok(Self {
            uidvalidity: UidValidity(u32::from_be_bytes(*validity)),
            uid: Uid(u32::from_be_bytes(uid)),
        })
    }
}
