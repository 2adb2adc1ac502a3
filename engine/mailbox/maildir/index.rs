//! A mailbox as it is now: its files and their UIDs.
//!
//! Mail programs rename files at any time, and a folder read meanwhile may miss one. So a message
//! that seems gone is looked for a second time before it is believed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::content::now;
use super::entry::{Base, Entry, Part, fresh_base};
use super::uidlist::{ListLock, UidList};
use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::Uid;

/// The most messages of one mailbox.
const MAX_MESSAGES: usize = 1_000_000;

/// A folder's time of change is believed only when it is this much older than our look at it:
/// file systems count time in ticks, and two changes may share one.
const TICK: Duration = Duration::from_secs(1);

/// A mailbox with its files, and what the caller was told of it.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) folder: PathBuf,
    pub(super) list: UidList,
    pub(super) files: HashMap<Base, Entry>,
    look: Look,
    told: (Uid, usize),
}

/// When the files were looked at, and when they had changed last.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: SystemTime,
    changed: [Option<SystemTime>; 2],
}

impl Index {
    /// Reads a mailbox and gives UIDs to messages that have none.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let lock = ListLock::take(folder)?;
        let mut index = Self::open_locked(folder, &lock)?;
        index.tell();
        Ok(index)
    }

    /// The same for who holds the lock already.
    pub(super) fn open_locked(folder: &Path, lock: &ListLock) -> Result<Self> {
        let look = Look::at(folder);
        let list = UidList::read(folder, lock)?;
        let files = HashMap::new();
        let mut index = Self { folder: folder.into(), list, files, look, told: (Uid(1), 0) };
        index.look_again(lock)?;
        Ok(index)
    }

    /// Brings files and UIDs up to date, where anything may have changed. After an error the index
    /// is not to be used any more: its UIDs may be others.
    pub(super) fn refresh(&mut self) -> Result<()> {
        if self.look.still_holds(&self.folder) {
            return Ok(());
        }
        let lock = ListLock::take(&self.folder)?;
        let uidvalidity = self.list.uidvalidity;
        self.list = UidList::read(&self.folder, &lock)?;
        self.look_again(&lock)?;
        if self.list.uidvalidity == uidvalidity {
            return Ok(());
        }
        let what = format!("read the Maildir {}", self.folder.display());
        Err(Error::temporary(what, "its list of UIDs was broken and is begun anew")
            .next("select the mailbox again"))
    }

    /// The lowest UIDs from this one on.
    pub(super) fn uids_from(&self, uid: Uid, limit: usize) -> Vec<Uid> {
        self.list.bases.range(uid..).map(|(uid, _)| *uid).take(limit).collect()
    }

    /// From now on the caller knows what is here.
    pub(super) fn tell(&mut self) {
        self.told = (self.list.next, self.list.bases.len());
    }

    /// Whether a message came or went since [`Index::tell`], other than by us.
    pub(super) fn has_news(&self) -> bool {
        self.told != (self.list.next, self.list.bases.len())
    }

    /// Does something to a message's file. Where the file was renamed meanwhile, it is found and
    /// the same done to it; `None` where the message is gone.
    pub(super) fn with_file<T>(
        &mut self,
        uid: Uid,
        mut act: impl FnMut(&Entry, &Path) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        const ATTEMPTS: usize = 20;
        let Some(base) = self.list.bases.get(&uid).cloned() else { return Ok(None) };
        let mut failed = io::Error::from(ErrorKind::NotFound);
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.files.get(&base) else { return Ok(None) };
            let path = entry.path(&self.folder);
            match act(entry, &path) {
                Err(why) if why.kind() == ErrorKind::NotFound => failed = why,
                done => return done.map(Some),
            }
            // Where it is there after all, it went and came back, or something else is missing.
            if fs::symlink_metadata(&path).is_err() {
                self.files = scan_twice(&self.folder)?.files;
            }
        }
        Err(failed)
    }

    /// A message of ours went from here, by a move or an expunge.
    pub(super) fn forget(&mut self, uid: Uid) {
        if let Some(base) = self.list.bases.remove(&uid) {
            self.files.remove(&base);
            self.told.1 = self.told.1.saturating_sub(1);
        }
    }

    /// A file of the mailbox has another name now, of the same base.
    pub(super) fn rename(&mut self, entry: Entry) {
        self.files.insert(entry.base().to_vec(), entry);
    }

    fn look_again(&mut self, lock: &ListLock) -> Result<()> {
        let what = || format!("read the Maildir {}", self.folder.display());
        let look = Look::at(&self.folder);
        let mut found = scan(&self.folder).or_later(what)?;
        if self.list.bases.values().any(|base| !found.files.contains_key(base)) {
            found = scan_twice(&self.folder).or_later(what)?;
        }
        for twin in std::mem::take(&mut found.twins) {
            separate(&self.folder, &mut found.files, &twin).or_later(what)?;
        }
        if found.files.len() > MAX_MESSAGES {
            let why = format!("it has more than {MAX_MESSAGES} messages");
            return Err(Error::permanent(what(), why).next("move old mail to another folder"));
        }
        (self.files, self.look) = (found.files, look);
        self.match_list(lock)
    }

    /// Takes what is gone from the list, adds what is new by name, and writes it if it changed.
    fn match_list(&mut self, lock: &ListLock) -> Result<()> {
        let before = (self.list.bases.len(), self.list.next);
        self.list.bases.retain(|_, base| self.files.contains_key(base));
        let gone = before.0 - self.list.bases.len();
        let known: HashSet<&Base> = self.list.bases.values().collect();
        let mut new: Vec<Base> =
            self.files.keys().filter(|base| !known.contains(base)).cloned().collect();
        new.sort();
        self.list.add(new);
        if gone == 0 && self.list.next == before.1 && self.list.stored {
            return Ok(());
        }
        self.list.write(&self.folder, lock)
    }
}

impl Look {
    fn at(folder: &Path) -> Self {
        let changed = [Part::New, Part::Cur]
            .map(|part| fs::metadata(part.path(folder)).and_then(|found| found.modified()).ok());
        Self { at: now(), changed }
    }

    fn still_holds(&self, folder: &Path) -> bool {
        let settled = |time: &Option<SystemTime>| time.is_some_and(|time| time + TICK < self.at);
        self.changed.iter().all(settled) && Self::at(folder).changed == self.changed
    }
}

/// The files of a mailbox by base, and those whose base another file has too.
pub(super) struct Found {
    pub(super) files: HashMap<Base, Entry>,
    twins: Vec<Entry>,
}

fn scan(folder: &Path) -> io::Result<Found> {
    let mut found = Found { files: HashMap::new(), twins: Vec::new() };
    for part in [Part::New, Part::Cur] {
        for file in fs::read_dir(part.path(folder))? {
            let file = file?;
            let entry = Entry { part, name: file.file_name() };
            let hidden = entry.base().is_empty() || entry.base().starts_with(b".");
            // Neither links nor pipes nor folders are messages.
            if hidden || !file.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            if let Some(twin) = found.files.insert(entry.base().to_vec(), entry) {
                found.twins.push(twin);
            }
        }
    }
    Ok(found)
}

/// A file that is renamed while a folder is read may be missed: two looks see it.
pub(super) fn scan_twice(folder: &Path) -> io::Result<Found> {
    let mut found = scan(folder)?;
    let again = scan(folder)?;
    found.files.extend(again.files);
    found.twins.extend(again.twins);
    Ok(found)
}

/// Two files of one base: where they are one file under two names (somebody's interrupted move),
/// one name goes; else one gets a base of its own, so that both messages are seen.
fn separate(folder: &Path, files: &mut HashMap<Base, Entry>, twin: &Entry) -> io::Result<()> {
    let Some(kept) = files.get(twin.base()) else { return Ok(()) };
    if kept == twin {
        return Ok(());
    }
    let (path, kept) = (twin.path(folder), kept.path(folder));
    let (Ok(this), Ok(other)) = (fs::symlink_metadata(&path), fs::symlink_metadata(kept)) else {
        return Ok(());
    };
    if (this.dev(), this.ino()) == (other.dev(), other.ino()) {
        // With one link only, the file was just renamed from the one name to the other.
        return if this.nlink() > 1 { gone_is_fine(fs::remove_file(&path)) } else { Ok(()) };
    }
    let base = fresh_base(this.len());
    let entry = match twin.part {
        Part::New => Entry::new(&base),
        Part::Cur => Entry::cur(&base, twin.letters()),
    };
    gone_is_fine(fs::rename(&path, entry.path(folder)))?;
    reach(Point::TwinRenamed);
    files.insert(base, entry);
    Ok(())
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
