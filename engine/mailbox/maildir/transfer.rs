//! What changes a mailbox: flags, copies, moves, appends, removals. Each is one rename, link or
//! unlink a message, and the folders are synced before it counts as done.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::content;
use super::delivery::{entry_for, rename_new, write};
use super::entry::{Base, Entry, Part, fresh_base, letter, permanent_flags};
use super::folder;
use super::index::Index;
use super::target::Target;
use super::uidlist::ListLock;
use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::{Flag, MailboxName, Uid, UidValidity};
use crate::mailbox::{Content, FlagChange, Landed};

/// Sets or clears flags: each message gets another name, in `cur`.
pub(super) fn store_flags(
    mailbox: &MailboxName,
    index: &mut Index,
    uids: &[Uid],
    change: FlagChange,
    flags: &[Flag],
) -> Result<()> {
    let what = || format!("store flags in mailbox {mailbox}");
    let letters = letters_of(flags).map_err(|why| Error::permanent(what(), why))?;
    let folder = index.folder.clone();
    for uid in uids {
        let renamed = index.with_file(*uid, |entry, path| {
            let changed = changed(entry, change, &letters);
            if changed != *entry {
                rename_new(path, &changed.path(&folder))?;
                reach(Point::FlagsChanged);
            }
            Ok(changed)
        });
        if let Some(entry) = renamed.or_later(what)? {
            index.rename(entry);
        }
    }
    sync_parts(&folder).or_later(what)?;
    reach(Point::FlagsSynced);
    Ok(())
}

/// Copies messages by hard links, or byte by byte where the file system has none. A copy that a
/// crash left behind unmarked is recognised by its name and file, and not made again; so a copy
/// to the mailbox that the message lies in is the message itself.
pub(super) fn copy(
    mailbox: &MailboxName,
    index: &mut Index,
    uids: &[Uid],
    (to, lock): (&mut Target, &ListLock),
) -> Result<Landed> {
    transfer(mailbox, index, uids, (to, lock), |entry, path, to| {
        let own = if to.has(entry.base()) { to.file(entry.base())? } else { None };
        if own.is_some_and(|own| same_file(path, &own)) {
            return Ok(Transferred::Already(entry.base().to_vec()));
        }
        let copy = named_in(to, entry, path)?;
        match fs::hard_link(path, copy.path(&to.folder)) {
            Err(why) if cannot_link(&why) => {
                let (mut file, metadata) = content::open(path)?;
                write(&to.folder, &copy, &mut file, content::received_ms(&metadata))?;
            }
            linked => linked?,
        }
        Ok(Transferred::Anew(copy))
    })
}

/// Moves messages by rename: each is in one mailbox or in the other, never in both or none.
pub(super) fn move_to(
    mailbox: &MailboxName,
    index: &mut Index,
    uids: &[Uid],
    (to, lock): (&mut Target, &ListLock),
) -> Result<Landed> {
    let landed = transfer(mailbox, index, uids, (to, lock), |entry, path, to| {
        let moved = named_in(to, entry, path)?;
        rename_new(path, &moved.path(&to.folder))?;
        Ok(Transferred::Anew(moved))
    })?;
    for uid in landed.uids.keys() {
        index.forget(*uid);
    }
    sync_parts(&index.folder).or_later(|| format!("move messages from mailbox {mailbox}"))?;
    reach(Point::SourceSynced);
    Ok(landed)
}

/// Adds a message and tells its UID.
pub(super) fn append(
    (to, lock): (&mut Target, &ListLock),
    content: &Content,
    flags: &[Flag],
    received_ms: Option<i64>,
) -> Result<Option<(UidValidity, Uid)>> {
    let what = || format!("append a message to {}", to.folder.display());
    let entry = entry_for(&fresh_base(content.size()), flags);
    write(&to.folder, &entry, &mut content.reader(), received_ms).or_later(what)?;
    let uid = to.add(entry.base());
    to.save(lock)?;
    Ok(uid.map(|uid| (to.list.uidvalidity, uid)))
}

/// Removes messages for good.
pub(super) fn expunge(mailbox: &MailboxName, index: &mut Index, uids: &[Uid]) -> Result<()> {
    let what = || format!("remove messages from mailbox {mailbox}");
    for uid in uids {
        index.with_file(*uid, |_, path| fs::remove_file(path)).or_later(what)?;
        reach(Point::Removed);
        index.forget(*uid);
    }
    sync_parts(&index.folder).or_later(what)?;
    reach(Point::RemovalSynced);
    Ok(())
}

enum Transferred {
    Anew(Entry),
    Already(Base),
}

/// Brings messages to another mailbox one by one, in the order given, and gives them UIDs there.
fn transfer(
    mailbox: &MailboxName,
    index: &mut Index,
    uids: &[Uid],
    (to, lock): (&mut Target, &ListLock),
    mut bring: impl FnMut(&Entry, &Path, &mut Target) -> io::Result<Transferred>,
) -> Result<Landed> {
    let folder = to.folder.clone();
    let what = || format!("bring messages from mailbox {mailbox} to {}", folder.display());
    let mut landed = Landed::default();
    let mut already = HashMap::new();
    let mut failed = None;
    for uid in uids {
        match index.with_file(*uid, |entry, path| bring(entry, path, to)) {
            Ok(None) => {}
            Ok(Some(Transferred::Anew(entry))) => {
                reach(Point::Brought);
                landed.uids.extend(to.add(entry.base()).map(|there| (*uid, there)));
            }
            Ok(Some(Transferred::Already(base))) => {
                already.insert(base, *uid);
            }
            Err(why) => {
                failed = Some(why);
                break;
            }
        }
    }
    if !already.is_empty() {
        let there = to.list.bases.iter();
        let pairs = there.filter_map(|(there, base)| already.get(base).map(|uid| (*uid, *there)));
        landed.uids.extend(pairs);
    }
    // What came over before a failure keeps the UID it was given.
    landed.uidvalidity = Some(to.list.uidvalidity);
    to.save(lock)?;
    reach(Point::BroughtListed);
    folder::sync(&Part::Cur.path(&folder)).or_later(what)?;
    reach(Point::TargetSynced);
    match failed {
        None => Ok(landed),
        Some(why) if why.kind() == ErrorKind::CrossesDevices => Err(Error::permanent(what(), why)),
        Some(why) => Err(Error::temporary(what(), why)),
    }
}

/// The name of a message in the mailbox it comes to: in `cur`, with its flags.
fn named_in(to: &Target, entry: &Entry, path: &Path) -> io::Result<Entry> {
    let base = if to.has(entry.base()) {
        fresh_base(fs::symlink_metadata(path)?.len())
    } else {
        entry.base().to_vec()
    };
    Ok(Entry::cur(&base, entry.letters()))
}

fn changed(entry: &Entry, change: FlagChange, letters: &[u8]) -> Entry {
    let now: Vec<u8> = entry.letters().collect();
    let set: Vec<u8> = match change {
        FlagChange::Add => now.iter().chain(letters).copied().collect(),
        FlagChange::Remove => {
            now.iter().filter(|letter| !letters.contains(letter)).copied().collect()
        }
    };
    let same = letters.iter().all(|letter| now.contains(letter) == (change == FlagChange::Add));
    // What changes nothing leaves a message in `new`.
    if same { entry.clone() } else { Entry::cur(entry.base(), set) }
}

fn letters_of(flags: &[Flag]) -> Result<Vec<u8>, String> {
    let letter_or = |flag: &Flag| {
        letter(flag).ok_or_else(|| {
            let known: Vec<String> = permanent_flags().iter().map(Flag::to_string).collect();
            format!("a Maildir cannot keep {flag}, only {}", known.join(" "))
        })
    };
    flags.iter().map(letter_or).collect()
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::symlink_metadata(one), fs::symlink_metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

fn cannot_link(why: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(why.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn sync_parts(folder: &Path) -> io::Result<()> {
    folder::sync(&Part::New.path(folder))?;
    folder::sync(&Part::Cur.path(folder))
}
