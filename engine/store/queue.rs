//! The queue on disk: an entry for each message that was promised to be sent. The table of its states
//! stands at the head of [`crate::send`]; the message itself is a file ([`crate::send::Spool`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::haste::Haste;
use super::{Change, Store, key, value};
use crate::error::{Error, Result};
use crate::mail::envelope::{Body, Charset, EnvelopeAddress, Envid, Notify, Orcpt, Ret};

/// The most bytes of an entry on disk: a thousand recipients with long addresses and answers.
pub const MAX_ENTRY: usize = 900 << 10;

/// One message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// From [`Store::next_queue_id`]; what people say to name it (`mailmill queue show 42`).
    pub id: u64,
    /// The name of its file in the spool.
    pub file: String,
    /// The account whose server relays it.
    pub account: String,
    /// Who handed it over; `None` where it is mailmill's own.
    pub user: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was promised, Unix milliseconds.
    pub queued_ms: i64,
    /// Where reports go; `None` is `<>`.
    pub reverse_path: Option<EnvelopeAddress>,
    /// How much of it a report returns.
    pub ret: Option<Ret>,
    /// The sender's name for the envelope.
    pub envid: Option<Envid>,
    /// What bytes it holds.
    pub body: Body,
    /// Whether it needs SMTPUTF8.
    pub charset: Charset,
    /// Bytes of the message.
    pub size: u64,
    /// Its Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Its subject, at most 200 characters.
    pub subject: Option<String>,
    /// The project it belongs to.
    pub project: Option<String>,
    /// The generation that decided; 0 where none did.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// Why it waits for a person.
    pub held: Option<String>,
    /// Who gets it.
    pub recipients: Vec<QueuedRecipient>,
    /// How often its account's server was asked to take it.
    pub attempts: u32,
    /// When it is tried next, Unix milliseconds.
    pub due_ms: i64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Whether its sender was told that it takes longer.
    pub delay: DelayNotice,
    /// Whether an answer to its end of data is missing.
    pub doubt: Doubt,
    /// Its copy in the account's mailbox for sent mail.
    pub copy: SentCopy,
}

/// Where a message in the queue comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A user or a program handed it over.
    Submission,
    /// A rule made it: a forward, a reply.
    Rule,
    /// A report of mailmill's own about another message (RFC 3464).
    Report,
}

/// One recipient of a message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// The address.
    pub address: EnvelopeAddress,
    /// What the sender wants to hear.
    pub notify: Notify,
    /// The recipient as the sender wrote it.
    pub orcpt: Option<Orcpt>,
    /// How far it is.
    pub state: RecipientState,
}

/// How far a message is for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum RecipientState {
    /// It is to be sent.
    Pending {
        /// The last answer, where there was one.
        answer: Option<String>,
    },
    /// The server took it.
    Sent {
        /// When, Unix milliseconds.
        at_ms: i64,
        /// The server's answer.
        answer: String,
    },
    /// It will not be sent any more.
    Failed {
        /// When that was decided, Unix milliseconds.
        at_ms: i64,
        /// The server's answer, or why none was waited for any longer.
        answer: String,
    },
}

/// Whether the sender knows that a message takes longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelayNotice {
    /// It was not told.
    #[default]
    None,
    /// It was told, or wants no such notice.
    Settled,
}

/// Whether the server may have taken a message without our knowing: RFC 5321 section 4.5.3.2.6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// How often an end of data went without an answer that was read.
    pub times: u32,
    /// An end of data is under way, or was when the engine ended: its answer is not known.
    pub open: bool,
}

/// The copy in the account's mailbox for sent mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentCopy {
    /// It is not there, and nothing was tried.
    #[default]
    None,
    /// It was tried: whether it is there has to be looked up.
    Tried,
    /// It is there, or given up.
    Done,
}

impl QueueEntry {
    /// Whether a recipient is still to be sent to.
    pub fn is_pending(&self) -> bool {
        self.recipients.iter().any(|to| matches!(to.state, RecipientState::Pending { .. }))
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let what = || format!("write queue entry {}", self.id);
        let json = serde_json::to_vec(self).map_err(|why| Error::permanent(what(), why))?;
        if json.len() > MAX_ENTRY {
            let why = format!("it has {} bytes, more than the {MAX_ENTRY} allowed", json.len());
            return Err(Error::permanent(what(), why).next("send it to fewer recipients at once"));
        }
        Ok(value::versioned(&json))
    }

    pub(super) fn decode(id: u64, bytes: &[u8]) -> Result<Self> {
        let what = || format!("read queue entry {id}");
        let entry: Self = value::json(bytes, what)?;
        if entry.id != id {
            return Err(Error::permanent(what(), format!("it is queue entry {}", entry.id)));
        }
        Ok(entry)
    }
}

/// What becomes of a queue entry that was looked at.
#[derive(Debug)]
pub enum Queued {
    /// It is written as it is now.
    Changed,
    /// It is as it was.
    Left,
    /// It is removed.
    Removed,
    /// It is removed, and these changes are made in the same commit.
    RemovedWith(Vec<Change>),
    /// It is written as it is now, and these changes are made in the same commit.
    ChangedWith(Vec<Change>),
}

impl Queued {
    /// Adds what is to be written of this entry; whether that is anything.
    fn into_changes(self, entry: &Arc<QueueEntry>, changes: &mut Vec<Change>) -> bool {
        let (first, more) = match self {
            Self::Left => return false,
            Self::Changed => (Change::Queue(entry.clone()), Vec::new()),
            Self::ChangedWith(more) => (Change::Queue(entry.clone()), more),
            Self::Removed => (Change::Dequeue(entry.id), Vec::new()),
            Self::RemovedWith(more) => (Change::Dequeue(entry.id), more),
        };
        changes.push(first);
        changes.extend(more);
        true
    }
}

impl Store {
    /// The next id of a queue entry. Ids count up for good. It is open until its entry is written or it
    /// is given up.
    ///
    /// # Errors
    /// All ids are used up.
    pub fn next_queue_id(&self) -> Result<u64> {
        self.disk.queue_ids().take()
    }

    /// An id that will have no entry, and no file that may come back. Where one may, [`Change::Dequeue`] is
    /// committed instead: the store then knows for good that it is no promise.
    pub fn give_up_queue_id(&self, id: u64) {
        self.disk.queue_ids().settle(&BTreeSet::from([id]));
    }

    /// Whether the store ever heard of this id: its entry was written, be it removed since, or given
    /// up. What one commit after another wrote survives up to some point, so a store that was not
    /// repaired never forgets an id that it knew durably.
    pub fn knows_queue_id(&self, id: u64) -> bool {
        self.disk.queue_ids().knows(id)
    }

    /// The ids that were given and have not been heard of since.
    pub fn open_queue_ids(&self) -> Vec<u64> {
        self.disk.queue_ids().open()
    }

    /// Whether these changes can be committed. Nothing is written; their ids are not given any more.
    ///
    /// # Errors
    /// As [`Store::commit`], the disk aside.
    pub fn would_take(&self, changes: &[Change]) -> Result<()> {
        let alone = self.disk.writing()?;
        let mut draft = Draft::over(&self.disk, alone.writes());
        changes.iter().try_for_each(|change| draft.add(change))
    }

    /// All queue entries, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn queue(&self) -> Result<Vec<QueueEntry>> {
        self.queue_from(0, usize::MAX)
    }

    /// The queue entries from this id on, at most so many, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn queue_from(&self, from: u64, limit: usize) -> Result<Vec<QueueEntry>> {
        let _whole = self.disk.reading();
        let ids = self.disk.queued_ids(from, limit)?;
        ids.into_iter().filter_map(|id| self.read_entry(id).transpose()).collect()
    }

    /// A queue entry.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn queued(&self, id: u64) -> Result<Option<QueueEntry>> {
        let _whole = self.disk.reading();
        self.read_entry(id)
    }

    /// Looks at these queue entries and changes them. Reading, changing and writing are one under the
    /// store's lock, and all changes one commit, durable when this returns ([`Haste`]). Gives the
    /// entries that were changed or removed, as they are now.
    ///
    /// `change` must not call the store: it would wait for itself.
    ///
    /// # Errors
    /// As [`Store::commit`], and a store that cannot be read; then nothing is changed.
    pub fn change_queued(
        &self,
        (ids, haste): (&[u64], Haste),
        mut change: impl FnMut(&mut QueueEntry) -> Queued,
    ) -> Result<Vec<QueueEntry>> {
        let wanted: BTreeSet<u64> = ids.iter().copied().collect();
        let mut alone = self.disk.writing()?;
        let mut draft = Draft::over(&self.disk, alone.writes());
        let (mut changes, mut changed) = (Vec::new(), Vec::new());
        for id in wanted {
            let Some(mut entry) = draft.queued(id)? else { continue };
            let said = change(&mut entry);
            let entry = Arc::new(entry);
            if said.into_changes(&entry, &mut changes) {
                changed.push(entry);
            }
        }
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        for change in &changes {
            draft.add(change)?;
        }
        match haste {
            Haste::Now => {
                let sequence = self.disk.apply_all(&mut alone, draft)?;
                drop(alone);
                self.disk.make_durable(sequence)?;
            }
            Haste::WithOthers => {
                let group = self.disk.gather(&mut alone, draft);
                drop(alone);
                self.disk.make_group_durable(group)?;
            }
        }
        drop(changes);
        Ok(changed.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    /// Whether the store was put together from a damaged or an older one, and the queue has not been
    /// looked through since: see [`Change::QueueSettled`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_queue_in_doubt(&self) -> Result<bool> {
        let salvaged = self.disk.get(&key::SALVAGED)?.is_some();
        Ok(salvaged && self.disk.get(&key::QUEUE_SETTLED)?.is_none())
    }

    fn read_entry(&self, id: u64) -> Result<Option<QueueEntry>> {
        let bytes = self.disk.value(&key::queued(id))?;
        bytes.map(|bytes| QueueEntry::decode(id, &bytes)).transpose()
    }
}
