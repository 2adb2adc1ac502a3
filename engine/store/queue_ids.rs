//! Which ids of queue entries were given, and which of these the store has not heard of again: their
//! messages are being made durable. A file of the queue whose id the store never heard of is a promise
//! that only the file knows; one whose id it knows and has no entry of is done.

use std::collections::BTreeSet;

use super::value;
use crate::error::{Error, Result};

/// Ids count up for good: one whose entry was ever committed is not given again.
#[derive(Debug)]
pub(super) struct QueueIds {
    next: u64,
    /// Those below `next` that were given and never written; in a store that was just opened, those
    /// that were so when the last engine ended.
    open: BTreeSet<u64>,
}

impl QueueIds {
    /// As the store has them: the highest id ever written, and which lower ones never were.
    ///
    /// # Errors
    /// The bytes are none of ours.
    pub(super) fn read(highest: u64, open: Option<&[u8]>) -> Result<Self> {
        let body = open.map(|bytes| value::body(bytes, what)).transpose()?.unwrap_or_default();
        let (ids, rest) = body.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Error::permanent(what(), "it is not made of numbers"));
        }
        let open = ids.iter().map(|id| u64::from_be_bytes(*id)).collect();
        Ok(Self { next: highest.saturating_add(1), open })
    }

    /// What a batch writes that settles these.
    pub(super) fn without(&self, settled: &BTreeSet<u64>) -> Vec<u8> {
        let left: Vec<u8> = self.open.difference(settled).flat_map(|id| id.to_be_bytes()).collect();
        value::versioned(&left)
    }

    /// Gives an id.
    ///
    /// # Errors
    /// All are used up.
    pub(super) fn take(&mut self) -> Result<u64> {
        let id = self.next;
        self.next = id
            .checked_add(1)
            .ok_or_else(|| Error::permanent("take an id for the queue", "all ids are used up"))?;
        self.open.insert(id);
        Ok(id)
    }

    /// See that ids up to and with this one are not given any more.
    pub(super) fn skip(&mut self, used: u64) {
        self.next = self.next.max(used.saturating_add(1));
    }

    /// These were written, or never will be.
    pub(super) fn settle(&mut self, ids: &BTreeSet<u64>) {
        self.open.retain(|id| !ids.contains(id));
    }

    /// Whether an id was given and its entry was not written.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.open.contains(&id)
    }

    /// Those that are open.
    pub(super) fn open(&self) -> Vec<u64> {
        self.open.iter().copied().collect()
    }

    /// Whether the entry of this id was ever written, or given up.
    pub(super) fn knows(&self, id: u64) -> bool {
        id < self.next && !self.open.contains(&id)
    }

    /// The highest id that was given.
    pub(super) fn highest(&self) -> u64 {
        self.next.saturating_sub(1)
    }
}

fn what() -> String {
    "read which ids of the queue are open".into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::QueueIds;
    use std::collections::BTreeSet;

    #[test]
    fn what_was_given_and_not_written_is_not_known_after_a_restart_either() {
        let mut ids = QueueIds::read(7, None).unwrap();
        assert_eq!([ids.take().unwrap(), ids.take().unwrap(), ids.take().unwrap()], [8, 9, 10]);
        // The entries of 8 and 10 are written, that of 9 is not.
        let settled = BTreeSet::from([8, 10]);
        let written = ids.without(&settled);
        ids.settle(&settled);
        let mut again = QueueIds::read(10, Some(&written)).unwrap();
        for ids in [&ids, &again] {
            let known: Vec<u64> = (7..13).filter(|id| ids.knows(*id)).collect();
            assert_eq!((known, ids.open()), (vec![7, 8, 10], vec![9]));
        }
        again.skip(20);
        assert_eq!((again.take().unwrap(), again.highest()), (21, 21));
        assert!(again.knows(20) && !again.knows(21) && again.is_open(21));
        assert!(QueueIds::read(1, Some(&written[..5])).is_err());
    }
}
