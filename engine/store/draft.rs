//! The writes of one commit before they are applied: each change turned into keys and values and what
//! the catalog is told of it, over what the store holds and what the batch wrote so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::catalog::{Note, Tag};
use super::change::{Change, Cursor};
use super::disk::{Disk, whole};
use super::doubt;
use super::entry::Item;
use super::links::Link;
use super::queue::QueueEntry;
use super::record::{MessageRecord, Progress, State};
use super::{key, value};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};

/// What a batch writes.
#[derive(Clone, Default)]
pub(super) struct Writes {
    /// Keys with their new values; `None` removes.
    pub(super) entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What the store holds under some of them, as it was read for the draft.
    pub(super) held: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// What changed of records.
    pub(super) notes: Vec<Note>,
    /// The ids of queue entries that are written or removed.
    pub(super) settled: BTreeSet<u64>,
}

/// The most notes that one [`Change::ForgetArrived`] removes.
const MAX_FORGOTTEN: usize = 10_000;

pub(super) struct Draft<'a> {
    disk: &'a Disk,
    writes: Writes,
    /// The records written by this batch.
    records: HashMap<u64, &'a MessageRecord>,
}

impl<'a> Draft<'a> {
    /// A draft over the store as it is; the caller has it for himself.
    pub(super) fn new(disk: &'a Disk) -> Self {
        Self::over(disk, Writes::default())
    }

    /// A draft over the store with what was gathered; the caller holds [`Disk::writing`].
    pub(super) fn over(disk: &'a Disk, writes: Writes) -> Self {
        Self { disk, writes, records: HashMap::new() }
    }

    /// What it writes, to be added to.
    pub(super) fn into_writes(self) -> Writes {
        self.writes
    }

    /// A queue entry as it will be.
    pub(super) fn queued(&self, id: u64) -> Result<Option<QueueEntry>> {
        let bytes = whole(&key::queued(id), |piece| match self.writes.entries.get(piece) {
            Some(written) => Ok(written.clone()),
            None => self.disk.get(piece),
        });
        bytes?.map(|bytes| QueueEntry::decode(id, &bytes)).transpose()
    }

    pub(super) fn into_batch(mut self) -> Writes {
        // An id that is given after this is above all that are settled here: its file will not be taken
        // for one that is done.
        let ids = self.disk.queue_ids();
        let open = self.writes.settled.iter().any(|id| ids.is_open(*id));
        let left = open.then(|| ids.without(&self.writes.settled));
        drop(ids);
        if let Some(left) = left {
            self.put(key::QUEUE_OPEN.to_vec(), left);
        }
        self.writes
    }

    pub(super) fn add(&mut self, change: &'a Change) -> Result<()> {
        match change {
            Change::Record(record) => self.record(record),
            Change::Progress(record) => self.progress(record),
            Change::Cursor { account, mailbox, cursor } => {
                self.put(key::cursor(account, mailbox)?, cursor.encode());
                Ok(())
            }
            Change::State { account, step, key, value } => {
                let key = key::state(account, step, key)?;
                let bytes = (!value.is_empty()).then(|| value::versioned(value.as_bytes()));
                self.put_value(&key, bytes.as_deref())
            }
            Change::Link { project, evidence, id } => self.link(project, evidence, *id),
            Change::Arrived { account, mailbox, uidvalidity, uid } => {
                let key = key::arrived(account, mailbox, *uidvalidity, *uid)?;
                self.put(key, value::versioned(&[]));
                Ok(())
            }
            Change::ForgetArrived { account, mailbox, uidvalidity, up_to } => {
                self.forget_arrived(account, mailbox, *uidvalidity, *up_to)
            }
            Change::Queue(entry) => self.queue(entry),
            Change::Dequeue(id) => {
                self.put_value(&key::queued(*id), None)?;
                self.settle(*id)
            }
            Change::QueueSettled => {
                self.put(key::QUEUE_SETTLED.to_vec(), value::versioned(&[]));
                Ok(())
            }
            Change::DoubtBelow { account, mailbox, uidvalidity, uid } => {
                self.put(key::doubt(account, mailbox)?, doubt::encode(*uidvalidity, *uid));
                Ok(())
            }
        }
    }

    /// Writes what another store held.
    pub(super) fn restore(&mut self, item: &'a Item) -> Result<()> {
        match item {
            Item::Record(record) => self.record(record)?,
            Item::Cursor { account, mailbox, uidvalidity, uid } => {
                let cursor = Cursor { uidvalidity: *uidvalidity, uid: *uid };
                self.put(key::cursor(account, mailbox)?, cursor.encode());
            }
            Item::State { account, step, key, value } => {
                let key = key::state(account, step, key)?;
                self.put_value(&key, Some(&value::versioned(value.as_bytes())))?;
            }
            Item::Link(link) => {
                self.put_value(&key::link(&link.project, link.id)?, Some(&link.encode()?))?;
            }
            Item::Arrived { account, mailbox, uidvalidity, uid } => {
                let key = key::arrived(account, mailbox, *uidvalidity, *uid)?;
                self.put(key, value::versioned(&[]));
            }
            Item::Generation { number, digest } => self.generation(*number, digest),
            Item::Queue(entry) => self.queue(entry)?,
            Item::Ids { highest, pruned, queue } => {
                self.disk.skip_ids(*highest);
                self.disk.queue_ids().skip(*queue);
                self.raise(&key::HIGHEST, *highest)?;
                self.raise(&key::PRUNED, *pruned)?;
                self.raise(&key::QUEUE_HIGHEST, *queue)?;
            }
        }
        Ok(())
    }

    /// Marks the store as one that may know less than was done.
    pub(super) fn salvaged(&mut self) {
        self.put(key::SALVAGED.to_vec(), value::versioned(&[]));
    }

    pub(super) fn generation(&mut self, number: u64, digest: &str) {
        let bytes = [&value::number(number), digest.as_bytes()].concat();
        self.put(key::GENERATION.to_vec(), bytes);
    }

    /// Removes a record, for good.
    pub(super) fn forget(&mut self, id: u64) -> Result<()> {
        if let Some(record) = self.stored_record(id)? {
            self.writes.notes.push(Note::Forgotten { id, tag: Tag::of(&record) });
        }
        self.raise(&key::PRUNED, id)?;
        self.put_value(&key::progress(id), None)?;
        self.put_value(&key::record(id), None)
    }

    fn record(&mut self, record: &'a MessageRecord) -> Result<()> {
        let id = record.id;
        let before = match self.records.get(&id) {
            Some(earlier) => Some(Tag::of(earlier)),
            None => self.stored_tag(id)?,
        };
        if before.is_some() {
            self.put_value(&key::progress(id), None)?;
        }
        self.put_value(&key::record(id), Some(&record.encode()?))?;
        self.records.insert(id, record);
        self.writes.notes.push(Note::Written { id, tag: Tag::of(record), before });
        self.disk.skip_ids(id);
        self.raise(&key::HIGHEST, id)
    }

    fn queue(&mut self, entry: &QueueEntry) -> Result<()> {
        self.put_value(&key::queued(entry.id), Some(&entry.encode()?))?;
        self.settle(entry.id)
    }

    /// From now on the store has heard of this id of the queue.
    fn settle(&mut self, id: u64) -> Result<()> {
        self.disk.queue_ids().skip(id);
        self.writes.settled.insert(id);
        self.raise(&key::QUEUE_HIGHEST, id)
    }

    fn progress(&mut self, record: &'a MessageRecord) -> Result<()> {
        let id = record.id;
        let planned = match self.records.get(&id) {
            Some(earlier) => earlier.state == State::Planned,
            None => self.disk.reading().is_planned(&record.key.account, id),
        };
        if !planned {
            let what = format!("note what was done of record #{id}");
            return Err(Error::permanent(what, "its plan is not open"));
        }
        self.put_value(&key::progress(id), Some(&Progress::encode(record)?))?;
        self.records.insert(id, record);
        self.writes.notes.push(Note::Progressed { id, tag: Tag::of(record) });
        Ok(())
    }

    fn link(&mut self, project: &str, evidence: &str, id: u64) -> Result<()> {
        let link = match self.records.get(&id) {
            Some(record) => Link::new(project, evidence, record),
            None => match self.stored_record(id)? {
                Some(record) => Link::new(project, evidence, &record),
                None => {
                    let what = format!("link record #{id} to {}", project.escape_debug());
                    return Err(Error::permanent(what, "there is no such record"));
                }
            },
        };
        self.put_value(&key::link(project, id)?, Some(&link.encode()?))
    }

    fn forget_arrived(
        &mut self,
        account: &str,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
        up_to: Uid,
    ) -> Result<()> {
        let from = key::arrived_in(account, mailbox)?;
        let to = key::arrived(account, mailbox, uidvalidity, up_to)?;
        for key in self.disk.keys_between(&from, &to, MAX_FORGOTTEN)? {
            self.remove(key);
        }
        let in_this_batch: Vec<_> =
            self.writes.entries.range(from..=to).map(|(key, _)| key.clone()).collect();
        for key in in_this_batch {
            self.remove(key);
        }
        Ok(())
    }

    /// Raises a number that never falls.
    fn raise(&mut self, key: &[u8], to: u64) -> Result<()> {
        let known = match self.writes.entries.get(key) {
            Some(Some(bytes)) => Some(value::numbered(bytes)?.0),
            _ => self.disk.number(key)?,
        };
        if known.is_none_or(|known| to > known) {
            self.put(key.to_vec(), value::number(to));
        }
        Ok(())
    }

    /// As it was planned, or written whole since.
    fn stored_record(&self, id: u64) -> Result<Option<MessageRecord>> {
        let bytes = self.disk.value(&key::record(id))?;
        bytes.map(|bytes| MessageRecord::decode(id, &bytes)).transpose()
    }

    /// What stands in front of a record in the store.
    fn stored_tag(&mut self, id: u64) -> Result<Option<Tag>> {
        let Some(first) = self.held(&value::piece_key(&key::record(id), 0))? else {
            return Ok(None);
        };
        let whole = first.get(1..).unwrap_or_default();
        let body = value::body(whole, || format!("read record #{id}"))?;
        Tag::split(body).map(|(tag, _)| Some(tag))
    }

    /// Writes a long value in pieces and removes what is left of a longer one; `None` removes all.
    fn put_value(&mut self, key: &[u8], bytes: Option<&[u8]>) -> Result<()> {
        let pieces = bytes.map(value::pieces).transpose()?.unwrap_or_default();
        let first = value::piece_key(key, 0);
        let old = match self.writes.entries.get(&first) {
            Some(written) => written.clone(),
            None => self.held(&first)?,
        };
        let old = old.and_then(|old| old.first().copied()).unwrap_or(0);
        // At most 255 pieces: `value::pieces` refuses more.
        let mut next = 0;
        for piece in pieces {
            self.put(value::piece_key(key, next), piece);
            next += 1;
        }
        for left in next..old {
            self.remove(value::piece_key(key, left));
        }
        Ok(())
    }

    /// What the store holds under a key, read once.
    fn held(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(held) = self.writes.held.get(key) {
            return Ok(held.clone());
        }
        let held = self.disk.get(key)?;
        self.writes.held.insert(key.to_vec(), held.clone());
        Ok(held)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.entries.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.writes.entries.insert(key, None);
    }
}
