//! What is kept in memory of the records on disk, so that a record costs one key there: which are
//! planned or held, and which belong to a message or a Message-ID. Made anew whenever the store is
//! opened, from the tag in front of each record.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::record::{MessageRecord, Progress, State, bare};
use super::value;
use crate::error::{Error, Result};
use crate::mail::MessageKey;

/// What of a record stands in front of it. Names are digests: who looks for one compares the
/// record's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    account: u64,
    key: u64,
    /// 0 where it has none.
    message_id: u64,
    state: State,
}

/// A change of the records on disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Note {
    /// A record was written, over one with another tag where there was one.
    Written { id: u64, tag: Tag, before: Option<Tag> },
    /// Its state is another.
    Progressed { id: u64, tag: Tag },
    /// It was removed.
    Forgotten { id: u64, tag: Tag },
}

/// All records of a store.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    by_key: BTreeSet<(u64, u64)>,
    by_message_id: BTreeSet<(u64, u64)>,
    planned: BTreeSet<(u64, u64)>,
    held: BTreeSet<u64>,
}

impl Tag {
    pub(super) fn of(record: &MessageRecord) -> Self {
        Self {
            account: digest_of_account(&record.key.account),
            key: digest_of_key(&record.key),
            message_id: record.message_id.as_deref().map_or(0, digest_of_id),
            state: record.state,
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let Self { account, key, message_id, state } = self;
        let mut bytes = [account, key, message_id].map(u64::to_be_bytes).concat();
        bytes.push(state.code());
        bytes
    }

    /// The tag, and what stands behind it.
    pub(super) fn split(bytes: &[u8]) -> Result<(Self, &[u8])> {
        Self::parse(bytes)
            .ok_or_else(|| Error::permanent("read a record", "its beginning is damaged"))
    }

    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (account, rest) = number(bytes)?;
        let (key, rest) = number(rest)?;
        let (message_id, rest) = number(rest)?;
        let (state, rest) = rest.split_first()?;
        Some((Self { account, key, message_id, state: State::of_code(*state)? }, rest))
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

impl Catalog {
    pub(super) fn note(&mut self, note: Note) {
        match note {
            Note::Written { id, tag, before } => {
                before.into_iter().for_each(|before| self.forget(id, before));
                self.by_key.insert((tag.key, id));
                if tag.message_id != 0 {
                    self.by_message_id.insert((tag.message_id, id));
                }
                self.place(id, tag);
            }
            Note::Progressed { id, tag } => self.place(id, tag),
            Note::Forgotten { id, tag } => self.forget(id, tag),
        }
    }

    fn place(&mut self, id: u64, tag: Tag) {
        self.displace(id, tag);
        match tag.state {
            State::Planned => drop(self.planned.insert((tag.account, id))),
            State::Held => drop(self.held.insert(id)),
            State::Settled | State::Released | State::Void => {}
        }
    }

    fn displace(&mut self, id: u64, tag: Tag) {
        self.planned.remove(&(tag.account, id));
        self.held.remove(&id);
    }

    fn forget(&mut self, id: u64, tag: Tag) {
        self.by_key.remove(&(tag.key, id));
        self.by_message_id.remove(&(tag.message_id, id));
        self.displace(id, tag);
    }

    /// Records that may be planned ones of this account, oldest first.
    pub(super) fn planned_of(&self, account: &str) -> Vec<u64> {
        let account = digest_of_account(account);
        self.planned.range((account, 0)..=(account, u64::MAX)).map(|(_, id)| *id).collect()
    }

    /// Whether a record of this account is planned.
    pub(super) fn is_planned(&self, account: &str, id: u64) -> bool {
        self.planned.contains(&(digest_of_account(account), id))
    }

    /// The held records, oldest first.
    pub(super) fn held(&self) -> Vec<u64> {
        self.held.iter().copied().collect()
    }

    /// How many records are neither planned nor held.
    pub(super) fn done(&self) -> usize {
        self.by_key.len().saturating_sub(self.planned.len() + self.held.len())
    }

    /// The ids that are planned or held.
    pub(super) fn open(&self) -> BTreeSet<u64> {
        self.planned.iter().map(|(_, id)| *id).chain(self.held.iter().copied()).collect()
    }

    /// Records that may be of this message, newest first.
    pub(super) fn of_key(&self, message: &MessageKey) -> Vec<u64> {
        named(&self.by_key, digest_of_key(message))
    }

    /// Records that may have this Message-ID, newest first.
    pub(super) fn of_message_id(&self, message_id: &str) -> Vec<u64> {
        named(&self.by_message_id, digest_of_id(message_id))
    }
}

/// Makes a catalog from a tree's entries as they are gone through, in the order of their keys.
#[derive(Default)]
pub(super) struct Listing {
    catalog: Catalog,
    /// Planned records, of which a [`Progress`] may follow.
    planned: BTreeMap<u64, Tag>,
    wrong: Option<Error>,
}

impl Listing {
    pub(super) fn see(&mut self, full: &[u8], bytes: &[u8]) {
        let seen = match full {
            [b'r', id @ .., 0] => self.record(id, bytes),
            [b's', id @ .., 0] => self.progress(id, bytes),
            _ => Ok(()),
        };
        if let Err(why) = seen {
            self.wrong.get_or_insert(why);
        }
    }

    fn record(&mut self, id: &[u8], bytes: &[u8]) -> Result<()> {
        let (id, body) = first_piece(id, bytes)?;
        let (tag, _) = Tag::split(body)?;
        if tag.state == State::Planned {
            self.planned.insert(id, tag);
        }
        self.catalog.note(Note::Written { id, tag, before: None });
        Ok(())
    }

    fn progress(&mut self, id: &[u8], bytes: &[u8]) -> Result<()> {
        let (id, body) = first_piece(id, bytes)?;
        let (state, _) = Progress::split(body)?;
        if let Some(tag) = self.planned.get(&id) {
            self.catalog.note(Note::Progressed { id, tag: Tag { state, ..*tag } });
        }
        Ok(())
    }

    /// The catalog of all that was seen.
    ///
    /// # Errors
    /// What was written by another mailmill.
    pub(super) fn finish(self) -> Result<Catalog> {
        self.wrong.map_or(Ok(self.catalog), Err)
    }
}

/// The id in a key, and the body that begins in a first piece.
fn first_piece<'b>(id: &[u8], bytes: &'b [u8]) -> Result<(u64, &'b [u8])> {
    let broken = || Error::permanent("read a record", "its key is damaged");
    let id = <[u8; 8]>::try_from(id).map_err(|_| broken())?;
    let id = u64::from_be_bytes(id);
    let body = bytes.get(1..).unwrap_or_default();
    Ok((id, value::body(body, || format!("read record #{id}"))?))
}

fn named(names: &BTreeSet<(u64, u64)>, digest: u64) -> Vec<u64> {
    names.range((digest, 0)..=(digest, u64::MAX)).rev().map(|(_, id)| *id).collect()
}

fn digest_of_account(account: &str) -> u64 {
    first(Sha256::new_with_prefix(account))
}

fn digest_of_key(MessageKey { account, mailbox, uidvalidity, uid }: &MessageKey) -> u64 {
    let mut digest = Sha256::new();
    for name in [account, mailbox.as_str()] {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    digest.update(uidvalidity.0.to_be_bytes());
    digest.update(uid.0.to_be_bytes());
    first(digest)
}

/// Never 0, which stands for none.
fn digest_of_id(message_id: &str) -> u64 {
    let mut digest = Sha256::new();
    digest.update(bare(message_id));
    first(digest).max(1)
}

fn first(digest: Sha256) -> u64 {
    digest.finalize().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}
