//! A second, tiny memory of how many commits were acknowledged and which ids of records and queue
//! entries were given, in a file `witness` beside the store.
//!
//! sled takes a database that was cut short for one that crashed, and opens it without a word with
//! the older half of what it held. An engine on such a store would do things twice. The witness
//! is written after each commit is durable and never ahead of it, so a store that knows of fewer
//! commits than its witness has lost some. It lies outside of the store's folder, so that a store that
//! was removed or put back from a backup is noticed as well.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Context, Error, Result};

#[derive(Debug)]
pub(super) struct Witness {
    file: File,
}

/// What a witness knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// Commits that were acknowledged.
    pub(super) commits: u64,
    /// The highest record id that may have been committed; 0 where an early mailmill wrote it.
    pub(super) highest: u64,
    /// The highest id of a queue entry that may have been committed; 0 where an early mailmill wrote
    /// it.
    pub(super) queue: u64,
}

impl Witness {
    /// Opens the witness and holds what sled found (`committed`) against it.
    pub(super) fn hear(folder: &Path, committed: u64) -> Result<Self> {
        let path = folder.join("witness");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .or_later(|| format!("open {}", path.display()))?;
        let witness = Self { file };
        match number_at(&witness.file, 0) {
            Some(acknowledged) if acknowledged > committed => {
                let what = format!("open the store {}", folder.display());
                Err(Error::permanent(what, lost(acknowledged, committed)).next(ADVICE))
            }
            _ => Ok(witness),
        }
    }

    /// What the witness of a data folder knows; nothing where it cannot be read.
    pub(super) fn read(data: &Path) -> Acknowledged {
        let Ok(file) = File::open(data.join("witness")) else { return Acknowledged::default() };
        Acknowledged {
            commits: number_at(&file, 0).unwrap_or(0),
            highest: number_at(&file, 16).unwrap_or(0),
            queue: number_at(&file, 32).unwrap_or(0),
        }
    }

    /// Notes what is durable. It is not synced itself: after a loss of power older numbers may stand
    /// there, which only makes the witness less strict.
    pub(super) fn note(&self, known: Acknowledged) -> std::io::Result<()> {
        let Acknowledged { commits, highest, queue } = known;
        let numbers = [commits, !commits, highest, !highest, queue, !queue].map(u64::to_be_bytes);
        self.file.write_all_at(&numbers.concat(), 0)
    }
}

/// A number that is followed by its complement; `None` where nothing readable stands there.
fn number_at(file: &File, offset: u64) -> Option<u64> {
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, offset).ok()?;
    let (number, check) = bytes.split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    (check == (!number).to_be_bytes()).then_some(number)
}

/// Why a store with fewer commits than its witness is not used.
pub(super) fn lost(acknowledged: u64, committed: u64) -> String {
    format!(
        "it was cut short, emptied or replaced by an older copy: {acknowledged} commits were \
         acknowledged and only {committed} are there"
    )
}

/// What to do with a store that cannot be used.
pub(super) const ADVICE: &str = "no mail is in it: `mailmill store check` says more, and \
                                 `mailmill store repair` saves what can be read and does nothing \
                                 twice";
