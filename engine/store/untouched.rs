//! sled repairs as it opens, and what it takes for torn it cuts off or writes over. A store that is
//! refused then is worth less to a repair than it was. So sled's files are copied before each opening, to
//! `store.untouched`. Where the store is opened the copy is removed; else it stays, and a repair reads it
//! beside the store. Nothing is ever put back from it.
//!
//! The copy is not synced: it says itself whether it is whole, by a list of lengths and checksums.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disk::LINGERING;
use super::place;
use crate::checksum::Checksum;

/// A store of more bytes is not copied: that would hold up the start for seconds.
const LARGEST: u64 = 1 << 30;

/// Bytes of the disk that a copy leaves free, beside as many as the store has.
const LEFT_FREE: u64 = 64 << 20;

/// The list of what the copy holds.
const LIST: &str = "whole";

/// Copies the store of a data folder, unless there is a whole copy from an opening that was refused or
/// interrupted: that one is older, and less was done to it. Nothing is copied where there is no store, where
/// it is too large, or where the disk is too full.
pub(super) fn keep(data: &Path) {
    if of(data).is_none() && make(data).is_err() {
        let _ = fs::remove_dir_all(folder(data));
    }
}

/// The store was opened, or another one has its place: the copy says nothing any more, also after a loss of
/// power.
pub(super) fn forget(data: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder(data)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| place::sync(data)),
    }
}

/// The folder with sled's files as they were before an opening that was refused, where it is whole.
pub(super) fn of(data: &Path) -> Option<PathBuf> {
    let folder = folder(data);
    let list = fs::read_to_string(folder.join(LIST)).ok()?;
    (contents(&folder).ok()? == list).then_some(folder)
}

fn folder(data: &Path) -> PathBuf {
    data.join("store.untouched")
}

fn make(data: &Path) -> io::Result<()> {
    let (store, folder) = (place::store(data), folder(data));
    let db = store.join("db");
    let bytes = place::bytes(&store);
    if !db.exists() || bytes > LARGEST || free(data)? < 2 * bytes + LEFT_FREE {
        return Ok(());
    }
    wait_for_sled(&db)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let list = contents(&store)?;
    place::copy_files(&store, &folder)?;
    fs::write(folder.join(LIST), list)
}

/// Bytes of the disk that are free.
fn free(data: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(data)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// A line for each of sled's files: its name, its length, its checksum.
fn contents(folder: &Path) -> io::Result<String> {
    let mut files = BTreeMap::new();
    for path in place::files(folder)? {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        files.insert(name, sum(&path)?);
    }
    Ok(files.into_iter().map(|(name, sum)| format!("{name} {sum}\n")).collect())
}

fn sum(path: &Path) -> io::Result<String> {
    let (mut file, mut piece) = (File::open(path)?, vec![0; 1 << 20]);
    let (mut length, mut checksum) = (0, Checksum::default());
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(format!("{length} {:08x}", checksum.value()));
        }
        checksum.add(&piece[..read]);
        length += read;
    }
}

/// sled keeps a lock on its file until it has closed it.
fn wait_for_sled(db: &Path) -> io::Result<()> {
    let file = File::open(db)?;
    let began = Instant::now();
    while file.try_lock().is_err() {
        if began.elapsed() > LINGERING {
            return Err(io::Error::other("sled does not close it"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{folder, forget, keep, of};

    fn data() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("store/blobs")).unwrap();
        for (name, text) in [("db", "records"), ("conf", "settings"), ("blobs/1", "large")] {
            write(data.path(), name, text);
        }
        data
    }

    fn write(data: &Path, name: &str, text: &str) {
        fs::write(data.join("store").join(name), text).unwrap();
    }

    fn kept(data: &Path) -> String {
        fs::read_to_string(of(data).unwrap().join("db")).unwrap()
    }

    #[test]
    fn the_first_of_several_refused_openings_is_what_counts() {
        let data = data();
        keep(data.path());
        write(data.path(), "db", "cut");
        keep(data.path());
        assert_eq!(kept(data.path()), "records");
        forget(data.path()).unwrap();
        assert!(of(data.path()).is_none());
        keep(data.path());
        assert_eq!(kept(data.path()), "cut");
        assert_eq!(fs::read_to_string(data.path().join("store/db")).unwrap(), "cut");
    }

    #[test]
    fn a_copy_that_is_not_whole_is_none_and_made_anew() {
        let data = data();
        for (name, text) in [("db", "rec\0rds"), ("blobs/1", ""), ("whole", "db 7 00000000\n")] {
            keep(data.path());
            fs::write(folder(data.path()).join(name), text).unwrap();
            assert!(of(data.path()).is_none(), "{name}");
        }
        keep(data.path());
        assert_eq!(kept(data.path()), "records");
        fs::remove_file(folder(data.path()).join("conf")).unwrap();
        assert!(of(data.path()).is_none());
        let none = data.path().join("none");
        keep(&none);
        assert!(of(&none).is_none() && !none.exists());
        forget(&none).unwrap();
    }
}
