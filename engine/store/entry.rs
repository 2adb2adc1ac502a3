//! What an entry of the tree is, read back from its key; and the content of a store as items, in the
//! form they are exported in.

use serde::{Deserialize, Serialize};

use super::change::Cursor;
use super::links::Link;
use super::queue::QueueEntry;
use super::record::MessageRecord;
use super::value;
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};

/// One thing that a store holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Item {
    Record(Box<MessageRecord>),
    Cursor {
        account: String,
        mailbox: MailboxName,
        uidvalidity: UidValidity,
        uid: Uid,
    },
    State {
        account: String,
        step: String,
        key: String,
        value: String,
    },
    Link(Link),
    Arrived {
        account: String,
        mailbox: MailboxName,
        uidvalidity: UidValidity,
        uid: Uid,
    },
    Queue(Box<QueueEntry>),
    Generation {
        number: u64,
        digest: String,
    },
    Ids {
        highest: u64,
        pruned: u64,
        /// The highest id of a queue entry; an early mailmill had none.
        #[serde(default)]
        queue: u64,
    },
}

/// An entry as its key tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Record(u64),
    Cursor {
        account: String,
        mailbox: MailboxName,
    },
    State {
        account: String,
        step: String,
        key: String,
    },
    Link {
        project: String,
        id: u64,
    },
    Arrived {
        account: String,
        mailbox: MailboxName,
        uidvalidity: UidValidity,
        uid: Uid,
    },
    Doubt {
        account: String,
        mailbox: MailboxName,
    },
    /// What was done of a record.
    Progress(u64),
    Queued(u64),
    Meta,
}

/// Whether values under this first byte are in pieces, so that keys end with the piece's number.
pub(super) fn in_pieces(family: u8) -> bool {
    matches!(family, b'r' | b's' | b't' | b'l' | b'q')
}

/// Reads a key; of a value in pieces, without the piece's number.
pub(super) fn read_key(bytes: &[u8]) -> Result<Key> {
    parse(bytes).ok_or_else(|| {
        let shown: String = bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
        Error::permanent(format!("read the key {shown}"), "it is none of mailmill's")
    })
}

fn parse(bytes: &[u8]) -> Option<Key> {
    let (family, mut rest) = bytes.split_first()?;
    let rest = &mut rest;
    let key = match family {
        b'r' => Key::Record(number(rest)?),
        b'c' => Key::Cursor { account: name(rest)?, mailbox: mailbox(rest)? },
        b't' => Key::State { account: name(rest)?, step: name(rest)?, key: name(rest)? },
        b'l' => Key::Link { project: name(rest)?, id: number(rest)? },
        b'a' => Key::Arrived {
            account: name(rest)?,
            mailbox: mailbox(rest)?,
            uidvalidity: UidValidity(short(rest)?),
            uid: Uid(short(rest)?),
        },
        b'z' => Key::Doubt { account: name(rest)?, mailbox: mailbox(rest)? },
        b's' => Key::Progress(number(rest)?),
        b'q' => Key::Queued(number(rest)?),
        b'm' if rest.len() == 1 => return Some(Key::Meta),
        _ => return None,
    };
    rest.is_empty().then_some(key)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, left) = rest.split_first_chunk::<8>()?;
    *rest = left;
    Some(u64::from_be_bytes(*number))
}

fn short(rest: &mut &[u8]) -> Option<u32> {
    let (number, left) = rest.split_first_chunk::<4>()?;
    *rest = left;
    Some(u32::from_be_bytes(*number))
}

fn name(rest: &mut &[u8]) -> Option<String> {
    let (length, left) = rest.split_first_chunk::<2>()?;
    let (name, left) = left.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = left;
    String::from_utf8(name.to_vec()).ok()
}

fn mailbox(rest: &mut &[u8]) -> Option<MailboxName> {
    MailboxName::new(&name(rest)?).ok()
}

/// The item of a key and its whole value; `None` for what is part of another item or made anew:
/// counters, doubts.
pub(super) fn item(key: Key, bytes: &[u8]) -> Result<Option<Item>> {
    Ok(Some(match key {
        Key::Record(id) => {
            let record = MessageRecord::decode(id, bytes)?;
            if record.id != id {
                let why = format!("it is record #{}", record.id);
                return Err(Error::permanent(format!("read record #{id}"), why));
            }
            Item::Record(Box::new(record))
        }
        Key::Cursor { account, mailbox } => {
            let Cursor { uidvalidity, uid } = Cursor::decode(bytes)?;
            Item::Cursor { account, mailbox, uidvalidity, uid }
        }
        Key::State { account, step, key } => {
            Item::State { account, step, key, value: value::text(bytes)? }
        }
        Key::Link { .. } => Item::Link(Link::decode(bytes)?),
        Key::Arrived { account, mailbox, uidvalidity, uid } => {
            Item::Arrived { account, mailbox, uidvalidity, uid }
        }
        Key::Queued(id) => Item::Queue(Box::new(QueueEntry::decode(id, bytes)?)),
        Key::Doubt { .. } | Key::Progress(_) | Key::Meta => return Ok(None),
    }))
}

/// A value put together from its pieces, as they come in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    base: Vec<u8>,
    bytes: Vec<u8>,
    missing: u8,
    next: u8,
}

/// What a piece makes of the value it belongs to.
pub(super) enum Piece {
    /// More must come.
    More,
    /// The value is whole: its key and its bytes.
    Whole(Vec<u8>, Vec<u8>),
    /// An earlier piece of the value with this key is missing.
    Torn(Vec<u8>),
}

impl Pieces {
    /// The key of the value before this piece, where that value is not whole.
    pub(super) fn torn_before(&mut self, full: &[u8]) -> Option<Vec<u8>> {
        match full.split_last() {
            Some((piece, base)) if *piece != 0 && base == self.base => None,
            _ => self.torn(),
        }
    }

    /// The key whose last pieces never came.
    pub(super) fn torn(&mut self) -> Option<Vec<u8>> {
        let missing = std::mem::take(&mut self.missing);
        (missing > 0).then(|| std::mem::take(&mut self.base))
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, full: &[u8], bytes: &[u8]) -> Piece {
        let Some((piece, base)) = full.split_last() else { return Piece::Torn(Vec::new()) };
        if *piece == 0 {
            let (count, rest) = bytes.split_first().unwrap_or((&0, &[]));
            let (base, bytes) = (base.to_vec(), rest.to_vec());
            *self = Self { base, bytes, missing: count.saturating_sub(1), next: 1 };
        } else if self.base != base || self.next != *piece || self.missing == 0 {
            self.missing = 0;
            return Piece::Torn(base.to_vec());
        } else {
            self.bytes.extend(bytes);
            (self.missing, self.next) = (self.missing - 1, self.next.saturating_add(1));
        }
        match self.missing {
            0 => Piece::Whole(self.base.clone(), std::mem::take(&mut self.bytes)),
            _ => Piece::More,
        }
    }
}
