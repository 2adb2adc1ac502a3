//! The file `mailmill-uidlist` in each mailbox: which UID is which file, for good.
//!
//! ```text
//! mailmill-uidlist 1 UIDVALIDITY UIDNEXT COUNT
//! UID BASE
//! ```
//!
//! One line a message, by UID; in a base, bytes other than visible ASCII are written `%xx`. It is
//! replaced as a whole and under a lock. A list that is broken or cut is put aside and a new one
//! begun under a higher UIDVALIDITY, so that nobody takes an old UID for a new message.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::entry::Base;
use super::folder;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::{Uid, UidValidity};

pub(super) const NAME: &str = "mailmill-uidlist";
/// More than a million messages with the longest names need.
const MAX_BYTES: u64 = 1 << 30;
const LOCK_WAIT: Duration = Duration::from_secs(10);

const SOMETHING_ELSE: &str = "something else stands in the place of a file of mailmill: move it away, \
     and mailmill writes its own";

/// The UIDs of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UidList {
    pub(super) uidvalidity: UidValidity,
    /// The UID of the next message.
    pub(super) next: Uid,
    pub(super) bases: BTreeMap<Uid, Base>,
    /// Whether its UIDVALIDITY is on disk, where it has to stay.
    pub(super) stored: bool,
}

/// While this lives, no other instance or process of mailmill changes the mailbox's list. Its file
/// keeps the last UIDVALIDITY, for the day when the list is lost.
#[derive(Debug)]
pub(super) struct ListLock {
    file: File,
}

impl ListLock {
    /// Waits for the lock, 10 seconds at most.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{NAME}.lock"));
        let what = || format!("lock {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path)
            .map_err(|why| refused(what(), why))?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::temporary(what(), "another process keeps it locked")
                        .next("end the other mailmill that works on this Maildir"));
                }
                Err(TryLockError::Error(why)) => return Err(refused(what(), why)),
            }
        }
    }

    fn remembered(&self) -> Option<UidValidity> {
        let mut digits = [0; 10];
        self.file.read_exact_at(&mut digits, 0).ok()?;
        std::str::from_utf8(&digits).ok()?.parse().ok().map(UidValidity)
    }

    fn remember(&self, uidvalidity: UidValidity) -> io::Result<()> {
        self.file.write_all_at(format!("{:010}\n", uidvalidity.0).as_bytes(), 0)?;
        self.file.sync_all()
    }
}

impl UidList {
    /// Reads the list of a mailbox, or begins one.
    pub(super) fn read(folder: &Path, lock: &ListLock) -> Result<Self> {
        let path = folder.join(NAME);
        let what = || format!("read {}", path.display());
        let mut bytes = Vec::new();
        match OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) {
            Ok(file) => {
                let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
                read.map_err(|why| refused(what(), why))?
            }
            Err(why) if why.kind() == ErrorKind::NotFound => {
                return Ok(Self::begin(lock.remembered()));
            }
            Err(why) => return Err(refused(what(), why)),
        };
        let text = String::from_utf8_lossy(&bytes);
        if let Some(list) = parse(&text) {
            return Ok(list);
        }
        fs::rename(&path, folder.join(format!("{NAME}.broken")))
            .map_err(|why| refused(what(), why))?;
        reach(Point::ListPutAside);
        // `None` is less than any.
        Ok(Self::begin(lock.remembered().max(header(&text).map(|(validity, ..)| validity))))
    }

    /// Replaces the list on disk as a whole.
    pub(super) fn write(&mut self, folder: &Path, lock: &ListLock) -> Result<()> {
        let what = || format!("write {}", folder.join(NAME).display());
        if !self.stored {
            lock.remember(self.uidvalidity).map_err(|why| refused(what(), why))?;
            reach(Point::ValidityRemembered);
        }
        let temporary = folder.join(format!("{NAME}.tmp"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&temporary)
            .map_err(|why| refused(what(), why))?;
        file.write_all(self.text().as_bytes()).map_err(|why| refused(what(), why))?;
        reach(Point::ListWritten);
        file.sync_all().map_err(|why| refused(what(), why))?;
        reach(Point::ListSynced);
        fs::rename(&temporary, folder.join(NAME)).map_err(|why| refused(what(), why))?;
        reach(Point::ListReplaced);
        folder::sync(folder).map_err(|why| refused(what(), why))?;
        self.stored = true;
        Ok(())
    }

    /// Gives UIDs to these messages in their order.
    pub(super) fn add(&mut self, bases: Vec<Base>) {
        if u64::from(self.next.0) + bases.len() as u64 > u64::from(u32::MAX) {
            let old = std::mem::replace(self, Self::begin(Some(self.uidvalidity)));
            self.add(old.bases.into_values().collect());
        }
        for base in bases {
            self.bases.insert(self.next, base);
            self.next.0 += 1;
        }
    }

    /// An empty list under a UIDVALIDITY that was not there before: the time in seconds.
    fn begin(earlier: Option<UidValidity>) -> Self {
        let now = u32::try_from(Clock::System.now_ms() / 1000).unwrap_or(u32::MAX).max(1);
        let uidvalidity = UidValidity(earlier.map_or(now, |old| now.max(old.0.saturating_add(1))));
        Self { uidvalidity, next: Uid(1), bases: BTreeMap::new(), stored: false }
    }

    fn text(&self) -> String {
        let (validity, next, count) = (self.uidvalidity, self.next, self.bases.len());
        let mut text = format!("{NAME} 1 {validity} {next} {count}\n");
        for (uid, base) in &self.bases {
            // Writing to a String cannot fail.
            let _ = write!(text, "{uid} ");
            for byte in base {
                match byte {
                    b'%' | 0..=b' ' | 127.. => {
                        let _ = write!(text, "%{byte:02x}");
                    }
                    byte => text.push(char::from(*byte)),
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Why a file of ours cannot be used, and what a person can do about it. It is of this mailbox only
/// and may pass, so it is temporary.
fn refused(what: String, why: io::Error) -> Error {
    let is_link = why.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    let next = match why.kind() {
        _ if is_link => SOMETHING_ELSE,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => SOMETHING_ELSE,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "let the user that mailmill runs as write in this folder"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
        _ => "look at the disk it lies on",
    };
    Error::temporary(what, why).next(next)
}

/// The whole list, or nothing where anything about it is wrong.
fn parse(text: &str) -> Option<UidList> {
    let (uidvalidity, next, count) = header(text)?;
    let mut list = UidList { uidvalidity, next, bases: BTreeMap::new(), stored: true };
    let mut seen = HashSet::new();
    let mut last = Uid(0);
    for line in text.strip_suffix('\n')?.lines().skip(1) {
        let (uid, base) = line.split_once(' ')?;
        let (uid, base) = (Uid(uid.parse().ok()?), unescape(base)?);
        if uid <= last || uid >= next || !seen.insert(base.clone()) {
            return None;
        }
        last = uid;
        list.bases.insert(uid, base);
    }
    (list.bases.len() == count).then_some(list)
}

fn header(text: &str) -> Option<(UidValidity, Uid, usize)> {
    let mut words = text.lines().next()?.split(' ');
    if words.next()? != NAME || words.next()? != "1" {
        return None;
    }
    let validity: u32 = words.next()?.parse().ok()?;
    let next: u32 = words.next()?.parse().ok()?;
    let count = words.next()?.parse().ok()?;
    let sound = words.next().is_none() && validity > 0 && next > 0;
    sound.then_some((UidValidity(validity), Uid(next), count))
}

fn unescape(text: &str) -> Option<Base> {
    let mut base = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        base.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    (!base.is_empty()).then_some(base)
}

/// `O_NOFOLLOW`: a symbolic link planted in a Maildir is not written or read through.
pub(super) fn no_follow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}
