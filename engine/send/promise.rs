//! What a file of the queue says of its message besides the bytes: all that is needed to send it.

use serde::{Deserialize, Serialize};

use crate::store::{Change, QueueEntry};

/// The JSON behind a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Promise {
    /// What makes it one.
    pub(super) by: By,
    /// The entry as it is when the message is taken.
    pub(super) entry: QueueEntry,
    /// What belongs to it and is written in the same commit: a record, links, step memory.
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
