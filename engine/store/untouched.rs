//! sled repairs as it opens, and what it takes for torn it cuts off or writes over. A store that is
//! refused then would be worth less to a repair than it was. So sled's files are copied before each
//! opening, and put back where the store is refused.
//!
//! | what is there | what it means | what the next start does |
//! |---|---|---|
//! | `store.untouched` that is whole | an opening was interrupted | puts it into the place of `store` |
//! | `store.untouched` that is not | its making was interrupted, or a loss of power took part of it | removes it |
//!
//! The copy is not synced: it says itself whether it is whole, by a list of lengths and checksums.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::place;
use crate::checksum::Checksum;

/// How long sled may take to let go of a file that it has closed.
const LINGERING: Duration = Duration::from_secs(5);

/// A store of more bytes is not copied: that would hold up the start for seconds.
const LARGEST: u64 = 1 << 30;

/// The list of what the copy holds.
const LIST: &str = "whole";

/// A copy of a data folder's store as it was before it was opened.
pub(super) struct Untouched {
    data: PathBuf,
}

impl Untouched {
    /// Copies the store; `None` where there is none, or where it or the disk is too full for a second one.
    pub(super) fn keep(data: &Path) -> Option<Self> {
        let made = make(data);
        if made.is_err() {
            let _ = fs::remove_dir_all(folder(data));
        }
        made.ok()?.then(|| Self { data: data.to_owned() })
    }

    /// The store was opened: nothing of the copy must come back, whatever happens.
    pub(super) fn forget(self) -> io::Result<()> {
        fs::remove_dir_all(folder(&self.data))?;
        place::sync(&self.data)
    }

    /// The store was refused, and sled has closed it: it becomes what it was.
    pub(super) fn put_back(self) -> io::Result<()> {
        wait_for_sled(&place::store(&self.data).join("db"))?;
        put_back(&self.data)
    }
}

/// Brings the folder into order after whatever ended the last process; see the table above. The caller
/// holds the lock.
pub(super) fn settle(data: &Path) -> io::Result<()> {
    let folder = folder(data);
    match fs::read_to_string(folder.join(LIST)) {
        Ok(list) if list == contents(&folder)? => put_back(data),
        Ok(_) => fs::remove_dir_all(folder),
        Err(_) if folder.exists() => fs::remove_dir_all(folder),
        Err(_) => Ok(()),
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("store.untouched")
}

/// Whether there was anything to copy.
fn make(data: &Path) -> io::Result<bool> {
    let (store, folder) = (place::store(data), folder(data));
    if !store.join("db").exists() || place::bytes(&store) > LARGEST {
        return Ok(false);
    }
    place::copy_files(&store, &folder)?;
    fs::write(folder.join(LIST), contents(&folder)?)?;
    Ok(true)
}

fn put_back(data: &Path) -> io::Result<()> {
    let (store, folder) = (place::store(data), folder(data));
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    fs::remove_file(folder.join(LIST))?;
    place::rename(data, &folder, &store)
}

/// A line for each file: its name, its length, its checksum.
fn contents(folder: &Path) -> io::Result<String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let below = if path.is_dir() { fs::read_dir(&path)?.collect() } else { Vec::new() };
        for file in below {
            add(&mut files, &file?.path())?;
        }
        if path.is_file() && !path.ends_with(LIST) {
            add(&mut files, &path)?;
        }
    }
    Ok(files.into_iter().map(|(name, sum)| format!("{name} {sum}\n")).collect())
}

fn add(files: &mut BTreeMap<String, String>, path: &Path) -> io::Result<()> {
    let (mut file, mut piece) = (File::open(path)?, vec![0; 1 << 20]);
    let (mut length, mut checksum) = (0, Checksum::default());
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        checksum.add(&piece[..read]);
        length += read;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.insert(name, format!("{length} {:08x}", checksum.value()));
    Ok(())
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

    use super::{Untouched, folder, settle};

    fn data() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("store/blobs")).unwrap();
        for (name, text) in [("db", "records"), ("conf", "settings"), ("blobs/1", "large")] {
            fs::write(data.path().join("store").join(name), text).unwrap();
        }
        data
    }

    fn db(data: &Path) -> String {
        fs::read_to_string(data.join("store/db")).unwrap()
    }

    #[test]
    fn what_was_refused_is_as_it_was() {
        let data = data();
        let untouched = Untouched::keep(data.path()).unwrap();
        fs::write(data.path().join("store/db"), "cut").unwrap();
        fs::write(data.path().join("store/snap.7"), "new").unwrap();
        untouched.put_back().unwrap();
        assert_eq!(db(data.path()), "records");
        assert!(!data.path().join("store/snap.7").exists() && !folder(data.path()).exists());
        assert!(!data.path().join("store/whole").exists());
    }

    #[test]
    fn an_opening_that_was_interrupted_is_undone_if_the_copy_is_whole() {
        let data = data();
        let kept = |data: &Path| drop(Untouched::keep(data).unwrap());
        kept(data.path());
        fs::write(data.path().join("store/db"), "cut").unwrap();
        settle(data.path()).unwrap();
        assert_eq!(db(data.path()), "records");
        for (name, text) in [("db", "rec\0rds"), ("blobs/1", ""), ("whole", "db 7 00000000\n")] {
            kept(data.path());
            fs::write(folder(data.path()).join(name), text).unwrap();
            settle(data.path()).unwrap();
            assert_eq!(db(data.path()), "records");
            assert!(!folder(data.path()).exists(), "{name}");
        }
        kept(data.path());
        fs::remove_file(folder(data.path()).join("conf")).unwrap();
        settle(data.path()).unwrap();
        assert!(data.path().join("store/conf").exists() && !folder(data.path()).exists());
    }

    #[test]
    fn what_was_opened_is_not_undone() {
        let data = data();
        let untouched = Untouched::keep(data.path()).unwrap();
        fs::write(data.path().join("store/db"), "more records").unwrap();
        untouched.forget().unwrap();
        settle(data.path()).unwrap();
        assert_eq!(db(data.path()), "more records");
        assert!(Untouched::keep(&data.path().join("none")).is_none());
    }
}
