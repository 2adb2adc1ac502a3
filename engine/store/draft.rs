//! The writes of one commit before they are applied: each change turned into keys and values, with
//! the indexes kept right, over what the store holds and what the batch wrote so far.

use std::collections::{BTreeMap, HashMap};

use super::change::{Change, Cursor};
use super::disk::Disk;
use super::doubt;
use super::entry::Item;
use super::links::Link;
use super::record::{Indexed, MessageRecord};
use super::{key, value};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};

/// What a batch writes.
#[derive(Default)]
pub(super) struct Writes {
    /// Keys with their new values; `None` removes.
    pub(super) entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What the store holds under some of them, as it was read for the draft.
    pub(super) held: HashMap<Vec<u8>, Option<Vec<u8>>>,
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
    /// A draft over the store as it is; the caller holds [`Disk::writing`].
    pub(super) fn new(disk: &'a Disk) -> Self {
        Self { disk, writes: Writes::default(), records: HashMap::new() }
    }

    pub(super) fn into_batch(self) -> Writes {
        self.writes
    }

    pub(super) fn add(&mut self, change: &'a Change) -> Result<()> {
        match change {
            Change::Record(record) => self.record(record),
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
            Item::Ids { highest, pruned } => {
                self.disk.skip_ids(*highest);
                self.raise(&key::HIGHEST, *highest)?;
                self.raise(&key::PRUNED, *pruned)?;
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

    /// Removes a record with its indexes, for good.
    pub(super) fn forget(&mut self, id: u64) -> Result<()> {
        for key in self.stored_indexes(id)?.unwrap_or_default() {
            self.remove(key);
        }
        // Where the record is missing, an index that names it must not outlive this.
        self.remove([key::DONE.as_slice(), &id.to_be_bytes()].concat());
        self.raise(&key::PRUNED, id)?;
        self.put_value(&key::record(id), None)
    }

    fn record(&mut self, record: &'a MessageRecord) -> Result<()> {
        let bytes = record.encode()?;
        let before = match self.records.get(&record.id) {
            Some(earlier) => Some(key::indexes(&Indexed::of(earlier))?),
            None => self.stored_indexes(record.id)?,
        };
        let indexes = key::indexes(&Indexed::of(record))?;
        if before.is_none() {
            // An id is never given twice, so nothing of it is there.
            self.writes.held.extend(indexes.iter().map(|key| (key.clone(), None)));
        }
        let before = before.unwrap_or_default();
        for key in before.iter().filter(|key| !indexes.contains(key)) {
            self.remove(key.clone());
        }
        for key in indexes.into_iter().filter(|key| !before.contains(key)) {
            self.put(key, value::versioned(&[]));
        }
        self.put_value(&key::record(record.id), Some(&bytes))?;
        self.records.insert(record.id, record);
        self.disk.skip_ids(record.id);
        self.raise(&key::HIGHEST, record.id)
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

    fn stored_record(&self, id: u64) -> Result<Option<MessageRecord>> {
        let bytes = self.disk.value(&key::record(id))?;
        bytes.map(|bytes| MessageRecord::decode(id, &bytes)).transpose()
    }

    /// The index entries of a record in the store.
    fn stored_indexes(&mut self, id: u64) -> Result<Option<Vec<Vec<u8>>>> {
        let key = key::record(id);
        let first = value::piece_key(&key, 0);
        let Some(bytes) = self.disk.value(&key)? else {
            self.writes.held.insert(first, None);
            return Ok(None);
        };
        key::indexes(&Indexed::decode(id, &bytes)?).map(Some)
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
