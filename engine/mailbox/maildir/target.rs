//! A mailbox that messages come to. It is looked through once; from then on its list of UIDs is
//! enough, and that is kept in memory: filing into a large archive stays quick.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::entry::{Base, Entry};
use super::index::{Index, scan_twice};
use super::uidlist::{self, ListLock, UidList};
use crate::error::Result;
use crate::mail::Uid;

/// A mailbox as a target, under its lock.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) folder: PathBuf,
    pub(super) list: UidList,
    bases: HashSet<Base>,
    /// Read only where a message of the same name is there already.
    files: Option<HashMap<Base, Entry>>,
    stamp: Option<Stamp>,
}

/// What tells one writing of the list from another.
type Stamp = (u64, i64, i64, u64);

impl Target {
    /// Opens a target, with what is known of it from the last time where that still holds.
    pub(super) fn open(folder: PathBuf, lock: &ListLock, known: Option<Self>) -> Result<Self> {
        let stamp = stamp(&folder);
        let list = match known {
            Some(known) if stamp.is_some() && known.stamp == stamp => {
                return Ok(Self { files: None, ..known });
            }
            Some(_) => UidList::read(&folder, lock)?,
            // What lies there already gets its UIDs first.
            None => Index::open_locked(&folder, lock)?.list,
        };
        let bases = list.bases.values().cloned().collect();
        Ok(Self { folder, list, bases, files: None, stamp: None })
    }

    /// Whether a message of this base has a UID here. A file that has none yet is not known; a
    /// rename never goes over it.
    pub(super) fn has(&self, base: &[u8]) -> bool {
        self.bases.contains(base)
    }

    /// The file of a base, where there is one.
    pub(super) fn file(&mut self, base: &[u8]) -> io::Result<Option<PathBuf>> {
        let files = match self.files.take() {
            Some(files) => files,
            None => scan_twice(&self.folder)?.files,
        };
        let path = files.get(base).map(|entry| entry.path(&self.folder));
        self.files = Some(files);
        Ok(path)
    }

    /// Gives the next UID to a message that came, in memory.
    pub(super) fn add(&mut self, base: &[u8]) -> Option<Uid> {
        self.bases.insert(base.to_vec());
        self.list.add(vec![base.to_vec()]);
        self.list.bases.last_key_value().map(|(uid, _)| *uid)
    }

    /// Writes the UIDs given since it was opened.
    pub(super) fn save(&mut self, lock: &ListLock) -> Result<()> {
        self.list.write(&self.folder, lock)?;
        self.stamp = stamp(&self.folder);
        Ok(())
    }
}

fn stamp(folder: &Path) -> Option<Stamp> {
    let found = fs::symlink_metadata(folder.join(uidlist::NAME)).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
}
