//! Mailboxes as folders: Maildir++ names, and folders that can be trusted.
//!
//! `INBOX` is the Maildir itself; `Projects/T-071` is its subfolder `.Projects.T-071`. Within a
//! level `.` is written `\2e` and `\` is `\5c`, as Dovecot's listescape does; all else stands as
//! UTF-8. A folder that these rules would write differently has no mailbox name and is told as such:
//! no two folders have one name. A symbolic link is never followed, so that no name leads out of the Maildir.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::MailboxName;
use crate::mailbox::Listed;

/// The folders that make a Maildir. `cur` is made last: where it is, the others are.
const PARTS: [&str; 3] = ["tmp", "new", "cur"];

/// Where a mailbox lies below the Maildir `root`, whether it exists or not.
pub(super) fn path(root: &Path, mailbox: &MailboxName) -> PathBuf {
    match folder_name(mailbox) {
        Some(name) => root.join(name),
        None => root.to_path_buf(),
    }
}

/// The mailboxes of a Maildir at or below `below`, by name.
pub(super) fn list(root: &Path, below: &MailboxName) -> Result<Listed> {
    let what = || format!("list the mailboxes of {}", root.display());
    let mut listed = Listed::default();
    if *below == MailboxName::inbox() && is_maildir(root).or_later(what)? {
        listed.mailboxes.push(MailboxName::inbox());
    }
    for entry in fs::read_dir(root).or_later(what)? {
        let entry = entry.or_later(what)?;
        let folder = entry.file_name();
        let mailbox = folder.to_str().and_then(mailbox_of);
        let wanted = match &mailbox {
            Some(mailbox) => mailbox == below || mailbox.is_below(below),
            None => is_folder_below(folder.as_bytes(), below),
        };
        if wanted && is_maildir(&entry.path()).or_later(what)? {
            match mailbox {
                Some(mailbox) => listed.mailboxes.push(mailbox),
                None => listed.unnamed.push(shown(&folder)),
            }
        }
    }
    listed.mailboxes.sort();
    listed.unnamed.sort();
    Ok(listed)
}

/// Makes an account's or a target's own Maildir with the folders above it, or what is missing.
pub(super) fn make_top(folder: &Path) -> Result<()> {
    if let Some(parent) = folder.parent() {
        let what = || format!("make the folder {}", parent.display());
        DirBuilder::new().recursive(true).mode(0o700).create(parent).or_later(what)?;
    }
    make(folder, folder)
}

/// Makes a Maildir, or what is missing of one. `top` is the account's own, other ones are its
/// subfolders and marked so for delivery agents (`maildirfolder`).
pub(super) fn make(folder: &Path, top: &Path) -> Result<()> {
    let what = || format!("make the Maildir {}", folder.display());
    let fault = |why: io::Error| match why.kind() {
        ErrorKind::InvalidFilename | ErrorKind::PermissionDenied | ErrorKind::NotADirectory => {
            Error::permanent(what(), why)
        }
        _ => Error::temporary(what(), why),
    };
    if is_whole(folder, top).map_err(fault)? {
        return Ok(());
    }
    make_folder(folder).map_err(fault)?;
    if folder != top {
        mark_subfolder(folder).map_err(fault)?;
    }
    for part in PARTS {
        make_folder(&folder.join(part)).map_err(fault)?;
        reach(Point::FolderMade);
    }
    reach(Point::MailboxMade);
    sync(folder).map_err(fault)?;
    if let Some(parent) = folder.parent() {
        sync(parent).map_err(fault)?;
    }
    Ok(())
}

/// Whether this is a Maildir: a real folder with a real `cur` in it.
pub(super) fn is_maildir(folder: &Path) -> io::Result<bool> {
    Ok(is_real_folder(folder)? && is_real_folder(&folder.join("cur"))?)
}

/// Refuses what is no Maildir, or one with a symbolic link for a part; makes missing parts.
pub(super) fn check(folder: &Path, mailbox: &MailboxName) -> Result<()> {
    let what = || format!("open mailbox {mailbox} in {}", folder.display());
    if !is_maildir(folder).or_later(what)? {
        return Err(Error::permanent(what(), "there is no such mailbox"));
    }
    let missing = |part: &str| fs::symlink_metadata(folder.join(part)).is_err();
    let missing = PARTS.iter().filter(|part| missing(part)).count();
    for part in PARTS {
        make_folder(&folder.join(part)).map_err(|why| Error::permanent(what(), why))?;
    }
    // Mail that comes into a folder whose name was lost with the power would be lost with it.
    if missing > 0 { sync(folder).or_later(what) } else { Ok(()) }
}

/// Makes what was done to the names in a folder survive a loss of power.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// `None` for `INBOX`, which is the Maildir itself.
fn folder_name(mailbox: &MailboxName) -> Option<String> {
    if *mailbox == MailboxName::inbox() {
        return None;
    }
    let mut name = String::from(".");
    for c in mailbox.as_str().chars() {
        match c {
            '/' => name.push('.'),
            '.' => name.push_str("\\2e"),
            '\\' => name.push_str("\\5c"),
            c => name.push(c),
        }
    }
    Some(name)
}

fn mailbox_of(folder: &str) -> Option<MailboxName> {
    let name = folder.strip_prefix('.')?;
    let levels = name.replace('.', "/").replace("\\2e", ".").replace("\\5c", "\\");
    let mailbox = MailboxName::new(&levels).ok()?;
    (folder_name(&mailbox).as_deref() == Some(folder)).then_some(mailbox)
}

/// Whether a folder, whatever its name, would be of a mailbox at or below this one.
fn is_folder_below(folder: &[u8], below: &MailboxName) -> bool {
    let start = folder_name(below).unwrap_or_else(|| ".INBOX".into());
    let Some((begin, rest)) = folder.split_at_checked(start.len()) else { return false };
    let begins = match begin.get(..6) {
        Some(inbox) if inbox.eq_ignore_ascii_case(b".INBOX") => {
            begin.eq_ignore_ascii_case(start.as_bytes())
        }
        _ => begin == start.as_bytes(),
    };
    begins && matches!(rest.first(), None | Some(b'.'))
}

/// A file name made harmless for terminals and logs: at most 255 bytes, each at most one escape.
fn shown(name: &OsStr) -> String {
    format!("{name:?}").trim_matches('"').to_owned()
}

fn is_whole(folder: &Path, top: &Path) -> io::Result<bool> {
    for part in PARTS {
        if !is_real_folder(&folder.join(part))? {
            return Ok(false);
        }
    }
    let marked = folder == top || fs::symlink_metadata(folder.join("maildirfolder")).is_ok();
    Ok(marked && is_real_folder(folder)?)
}

fn mark_subfolder(folder: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(folder.join("maildirfolder"));
    match file {
        Err(why) if why.kind() != ErrorKind::AlreadyExists => Err(why),
        _ => Ok(()),
    }
}

/// Makes a folder for its owner only; one that is there already must be a real one.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => match is_real_folder(folder)? {
            true => Ok(()),
            false => Err(io::Error::new(ErrorKind::NotADirectory, "it is a link or a file")),
        },
        made => made,
    }
}

fn is_real_folder(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(why) => match why.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
                Ok(false)
            }
            _ => Err(why),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{folder_name, mailbox_of};
    use crate::mail::MailboxName;

    #[test]
    fn names_go_to_folders_and_back() {
        for (mailbox, folder) in [
            ("Projects/T-071", ".Projects.T-071"),
            ("v1.2/a", ".v1\\2e2.a"),
            ("a\\2e", ".a\\5c2e"),
            ("a\\5c", ".a\\5c5c"),
            ("Entwürfe", ".Entwürfe"),
            ("INBOX/a", ".INBOX.a"),
            ("...", ".\\2e\\2e\\2e"),
        ] {
            let mailbox = MailboxName::new(mailbox).unwrap();
            assert_eq!(folder_name(&mailbox).as_deref(), Some(folder));
            assert_eq!(mailbox_of(folder), Some(mailbox));
        }
        assert_eq!(folder_name(&MailboxName::inbox()), None);
    }

    #[test]
    fn a_folder_that_would_be_written_differently_has_no_name() {
        for folder in
            [".", "..", "...", ".a..b", ".a.", ".INBOX", ".inbox.x", ".a\\x", "cur", ".\\2E"]
        {
            assert_eq!(mailbox_of(folder), None, "{folder}");
        }
    }
}
