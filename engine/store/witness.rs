//! A second, tiny memory of how many commits were acknowledged, in a file `witness` beside sled's.
//!
//! sled takes a database that was cut short for one that crashed, and opens it without a word with
//! the older half of what it held. An engine on such a store would do things twice. The witness
//! is written after each commit is durable and never ahead of it, so a store that knows of fewer
//! commits than its witness has lost some.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Context, Error, Result};

#[derive(Debug)]
pub(super) struct Witness {
    file: File,
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
        match witness.acknowledged() {
            Some(acknowledged) if acknowledged > committed => {
                Err(lost(folder, acknowledged, committed))
            }
            _ => Ok(witness),
        }
    }

    /// Notes that this many commits are durable. It is not synced itself: after a loss of power
    /// an older number may stand there, which only makes the witness less strict.
    pub(super) fn note(&self, acknowledged: u64) -> std::io::Result<()> {
        let number = acknowledged.to_be_bytes();
        let check = (!acknowledged).to_be_bytes();
        self.file.write_all_at(&[number, check].concat(), 0)
    }

    /// `None` where nothing readable stands there: nothing is known then.
    fn acknowledged(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (number, check) = bytes.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        (check == (!number).to_be_bytes()).then_some(number)
    }
}

fn lost(folder: &Path, acknowledged: u64, committed: u64) -> Error {
    let why = format!(
        "it was cut short, emptied or replaced by an older copy: {acknowledged} commits were \
         acknowledged and only {committed} are there"
    );
    Error::permanent(format!("open the store {}", folder.display()), why).next(advice(folder))
}

/// What to do with a store that cannot be used.
pub(super) fn advice(folder: &Path) -> String {
    format!(
        "restore the folder from a backup, or move it away (mv {0} {0}.broken) and start again: no \
         mail is in it, but messages still in watched mailboxes will be looked at anew",
        folder.display()
    )
}
