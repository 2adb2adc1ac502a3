//! What a file of the queue says of its message besides the bytes: all that is needed to send it.

use std::fs::File;

use serde::{Deserialize, Serialize};

use super::spool::Spool;
use crate::error::Result;
use crate::store::{Change, QueueEntry};

/// The JSON behind a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Promise {
    /// What makes it one.
    pub(super) by: By,
    /// The entry as it is when the message is taken.
    pub(super) entry: QueueEntry,
    /// What belongs to it: a record, links, step memory. It is written in the same commit, as far as a
    /// store that takes the promise over from the file can.
    pub(super) changes: Vec<Change>,
}

impl Promise {
    /// Bytes of the JSON.
    pub(super) fn length(&self) -> u64 {
        // What cannot be written is told when it is written.
        serde_json::to_vec(self).map_or(0, |json| json.len() as u64)
    }
}

/// What makes a message one that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    /// The file itself, as soon as it survives a loss of power: the entry is made anew from it where
    /// the store has not heard of it.
    File,
    /// The commit that writes its entry: a report is owed only if what it reports was written, too.
    Commit,
}

/// Who a message belongs to.
#[derive(Deserialize)]
struct Whose {
    entry: Id,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

/// Opens the message of an entry at its beginning. A file that is damaged in any bit, or holds the message
/// of another entry, is refused. Blocks.
///
/// # Errors
/// As [`Spool::open_own`].
pub(super) fn open(spool: &Spool, entry: &QueueEntry) -> Result<File> {
    spool.open_own((&entry.file, entry.size), |json| {
        serde_json::from_slice::<Whose>(json).is_ok_and(|whose| whose.entry.id == entry.id)
    })
}
