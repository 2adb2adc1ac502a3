//! Where a store lies in its data folder, and how another one takes its place.
//!
//! sled's files lie in `store`; the lock (`pid`) and the witness lie beside it, so that they outlive
//! it. A store that is rebuilt (repair, import, compaction) is made whole and durable first:
//!
//! | what is there | what it means | what the next start does |
//! |---|---|---|
//! | `store` | the store | opens it |
//! | `store`, `store.building` | the new one is not whole yet | removes `store.building` |
//! | `store`, `store.rebuilt` | the new one is whole, and not in its place yet | removes `store.rebuilt`: `store` still holds everything |
//! | `store.rebuilt` and no `store` | the old one is moved aside, the new one not yet in its place | moves it there |
//! | `store`, `store.old` | a compaction is done | removes `store.old` |
//! | `store.untouched` | the last opening was refused or interrupted | leaves it to a repair: [`super::untouched`] |
//! | `store.scratch` | a copy that a check looked into | removes it |
//! | `store.broken-1` and so on | what a repair moved aside | leaves it alone: it is a person's |
//! | `db`, `conf`, `blobs`, `snap.*` | an early mailmill wrote it | moves them into `store` by way of `store.moving` |

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::untouched;

/// sled's folder within a data folder.
pub(super) fn store(data: &Path) -> PathBuf {
    data.join("store")
}

/// The data folder in which a new store is made.
pub(super) fn building(data: &Path) -> PathBuf {
    data.join("store.building")
}

/// The data folder of a new store that is whole.
pub(super) fn rebuilt(data: &Path) -> PathBuf {
    data.join("store.rebuilt")
}

/// Where a store is copied to be looked into.
pub(super) fn scratch(data: &Path) -> PathBuf {
    data.join("store.scratch")
}

/// The store that a compaction replaced.
fn old(data: &Path) -> PathBuf {
    data.join("store.old")
}

/// What becomes of the store whose place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// It is kept for a person, as `store.broken-<n>`.
    Kept,
    /// All of it is in the new one.
    Removed,
}

/// Brings the folder into order after whatever ended the last process; see the table above. The
/// caller holds the lock.
pub(super) fn settle(data: &Path) -> io::Result<()> {
    let (store, rebuilt) = (store(data), store(&rebuilt(data)));
    if !store.exists() {
        if rebuilt.exists() {
            rename(data, &rebuilt, &store)?;
        } else {
            move_in(data)?;
        }
    }
    sweep(data)
}

/// Removes what only an interrupted process needed.
pub(super) fn sweep(data: &Path) -> io::Result<()> {
    for leftover in [building(data), self::rebuilt(data), scratch(data), old(data)] {
        remove(&leftover)?;
    }
    Ok(())
}

/// Removes what an interrupted building left behind.
pub(super) fn sweep_building(data: &Path) -> io::Result<()> {
    remove(&building(data))?;
    remove(&rebuilt(data))
}

/// Says that what was built is whole: from here on it is the store if there is no other.
pub(super) fn complete(data: &Path) -> io::Result<()> {
    remove(&rebuilt(data))?;
    rename(data, &building(data), &rebuilt(data))
}

/// Puts the new store into the place of the old one, and says where the old one is kept.
pub(super) fn swap(data: &Path, fate: Replaced) -> io::Result<Option<PathBuf>> {
    let store = store(data);
    let aside = match fate {
        Replaced::Kept => free_name(data),
        Replaced::Removed => old(data),
    };
    let replaced = store.exists();
    if replaced {
        rename(data, &store, &aside)?;
    }
    rename(data, &self::store(&rebuilt(data)), &store)?;
    untouched::forget(data)?;
    sweep(data)?;
    Ok((replaced && fate == Replaced::Kept).then_some(aside))
}

fn free_name(data: &Path) -> PathBuf {
    let mut number = 1_u32;
    loop {
        let name = data.join(format!("store.broken-{number}"));
        if !name.exists() {
            return name;
        }
        number += 1;
    }
}

/// The folder that holds sled's files now.
pub(super) fn found(data: &Path) -> PathBuf {
    let candidates = [store(data), store(&rebuilt(data))];
    candidates.into_iter().find(|folder| folder.exists()).unwrap_or_else(|| data.to_owned())
}

/// Whether any of sled's files is there.
pub(super) fn is_there(data: &Path) -> bool {
    let Ok(entries) = fs::read_dir(found(data)) else { return false };
    entries.flatten().any(|entry| is_sled(&entry.file_name()))
}

/// How many bytes sled's files have on disk.
pub(super) fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().filter(|entry| is_sled(&entry.file_name())).map(|entry| {
        let metadata = entry.metadata().ok();
        match metadata {
            Some(metadata) if metadata.is_dir() => bytes_of_all(&entry.path()),
            Some(metadata) => metadata.len(),
            None => 0,
        }
    });
    sizes.sum()
}

fn bytes_of_all(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

pub(super) fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for path in files(from)? {
        let below = path.strip_prefix(from).map_err(io::Error::other)?;
        if let Some(folder) = below.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(to.join(folder))?;
        }
        fs::copy(&path, to.join(below))?;
    }
    Ok(())
}

/// sled's files in a folder, those of its folder `blobs` among them.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        if !is_sled(&name) {
            continue;
        }
        if path.is_dir() {
            for blob in fs::read_dir(&path)? {
                files.push(blob?.path());
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Moves the files of an early mailmill to where they lie today. The folder appears as a whole.
fn move_in(data: &Path) -> io::Result<()> {
    let moving = data.join("store.moving");
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if is_sled(&entry.file_name()) {
            DirBuilder::new().recursive(true).mode(0o700).create(&moving)?;
            fs::rename(entry.path(), moving.join(entry.file_name()))?;
        }
    }
    if moving.exists() {
        sync(&moving)?;
        rename(data, &moving, &store(data))?;
    }
    Ok(())
}

fn is_sled(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "db" | "conf" | "blobs") || name.starts_with("snap.")
}

/// A rename within the data folder that survives a loss of power.
fn rename(data: &Path, from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync(data)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// The names in a folder are on disk when this returns.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
