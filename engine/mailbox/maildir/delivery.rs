//! How a message comes into a Maildir: whole or not at all.
//!
//! It is written in `tmp`, synced, given its time, renamed into `new` or `cur`, and the folder is
//! synced: who sees a file sees all of it, and a crash leaves nothing but a file in `tmp`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::content::{now, time_of};
use super::entry::{Entry, Part, letter};
use super::folder;
use super::uidlist::{ListLock, no_follow};
use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::Flag;
use crate::mailbox::Content;

/// Files in `tmp` that are older than this are nobody's any more
/// (<https://cr.yp.to/proto/maildir.html>).
const STALE: Duration = Duration::from_secs(36 * 60 * 60);

/// Whether a delivery may have been tried before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It is the first: only a file of exactly this name is looked for.
    First,
    /// A crash may have come between an earlier delivery and its mark: the whole folder is looked
    /// through for the base name. Right in every case, but slow in a large folder.
    Again,
}

/// What [`deliver`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The message is there now.
    Now,
    /// It was there from an earlier attempt; nothing was written.
    Before,
}

/// Delivers a message into the Maildir `maildir`, which is made where it is missing. It is on disk
/// when this returns. Blocks on the disk.
///
/// `base` is the file's name for good: 1 to 200 letters, digits and `. _ - + = , @`, not beginning
/// with a dot. The caller makes it from what it delivers, so that a delivery that is repeated
/// after a crash finds the first one and adds no second copy, whatever flags a mail program gave it
/// meanwhile. Where a person moved the first one away in between, it comes again.
///
/// # Errors
/// Permanent for a base name or folder that cannot be; temporary where the disk fails. Then the
/// message is not delivered, or `Attempt::Again` will find it.
pub fn deliver(
    maildir: &Path,
    base: &str,
    content: &Content,
    flags: &[Flag],
    received_ms: Option<i64>,
    attempt: Attempt,
) -> Result<Delivered> {
    let what = || format!("deliver {} into {}", base.escape_debug(), maildir.display());
    check_base(base).map_err(|why| Error::permanent(what(), why))?;
    folder::make_top(maildir)?;
    let _lock = ListLock::take(maildir)?;
    let entry = entry_for(base.as_bytes(), flags);
    if is_there(maildir, &entry, attempt).or_later(what)? {
        return Ok(Delivered::Before);
    }
    write(maildir, &entry, &mut content.reader(), received_ms).or_later(what)?;
    Ok(Delivered::Now)
}

/// The name of a new message: in `new` without flags, in `cur` with them. Flags that a Maildir
/// cannot keep are left out.
pub(super) fn entry_for(base: &[u8], flags: &[Flag]) -> Entry {
    let letters: Vec<u8> = flags.iter().filter_map(letter).collect();
    if letters.is_empty() { Entry::new(base) } else { Entry::cur(base, letters) }
}

/// Writes a message under a name that is not there yet, and syncs it.
pub(super) fn write(
    folder: &Path,
    entry: &Entry,
    bytes: &mut impl Read,
    received_ms: Option<i64>,
) -> io::Result<()> {
    let temporary = folder.join("tmp").join(std::ffi::OsStr::from_bytes(entry.base()));
    let written = write_temporary(&temporary, bytes, received_ms)
        .and_then(|()| rename_new(&temporary, &entry.path(folder)));
    if written.is_err() {
        // What stays behind is swept some day.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    reach(Point::Delivered);
    folder::sync(&entry.part.path(folder))?;
    reach(Point::DeliverySynced);
    Ok(())
}

/// Renames a file to a name that nobody has: never over another message.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it (NFS). Names are unique without that promise.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        renamed => renamed.map_err(io::Error::from),
    }
}

/// Removes files in `tmp` that were left behind 36 hours ago or more.
pub(super) fn sweep(folder: &Path) {
    let Ok(files) = fs::read_dir(folder.join("tmp")) else { return };
    for file in files.flatten() {
        let Ok(metadata) = fs::symlink_metadata(file.path()) else { continue };
        let age = metadata.modified().ok().and_then(|time| now().duration_since(time).ok());
        if metadata.is_file() && age.is_some_and(|age| age > STALE) {
            // The next sweep tries again.
            let _ = fs::remove_file(file.path());
        }
    }
}

fn write_temporary(
    path: &PathBuf,
    bytes: &mut impl Read,
    received_ms: Option<i64>,
) -> io::Result<()> {
    // One of an earlier crash under the same name was never finished.
    match fs::remove_file(path) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)?;
    io::copy(bytes, &mut file)?;
    file.flush()?;
    if let Some(time) = received_ms.and_then(time_of) {
        file.set_modified(time)?;
    }
    reach(Point::TemporaryWritten);
    file.sync_all()?;
    reach(Point::TemporarySynced);
    Ok(())
}

fn is_there(maildir: &Path, entry: &Entry, attempt: Attempt) -> io::Result<bool> {
    let names = [Entry::new(entry.base()), Entry::cur(entry.base(), []), entry.clone()];
    for name in names {
        match fs::symlink_metadata(name.path(maildir)) {
            Ok(_) => return Ok(true),
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
    }
    if attempt == Attempt::First {
        return Ok(false);
    }
    for file in fs::read_dir(Part::Cur.path(maildir))? {
        let other = Entry { part: Part::Cur, name: file?.file_name() };
        if other.base() == entry.base() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_base(base: &str) -> Result<(), &'static str> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=,@".contains(&byte);
    if base.is_empty() || base.len() > 200 {
        return Err("a base name has 1 to 200 characters");
    }
    if base.starts_with('.') || !base.bytes().all(sound) {
        return Err("a base name has letters, digits and . _ - + = , @ and no dot in front");
    }
    Ok(())
}
