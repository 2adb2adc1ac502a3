//! Files of removed messages, emptied and kept to be written again: to make and to remove a file costs
//! a file system more than all else that is done with a small message, and holds up who else does so
//! in the same folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most files that are kept.
const MOST: usize = 64;

/// Empty files under names of messages that were never finished: whatever is left of them is removed
/// when the engine starts.
#[derive(Debug, Default)]
pub(super) struct Spares {
    kept: Mutex<Vec<PathBuf>>,
}

/// A file that is being written, and where.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Spares {
    fn lock(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a message's file; one that is not there is none. Nothing of the message is left.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        if self.lock().len() < MOST && self.keep(path).is_ok() {
            return Ok(());
        }
        match fs::remove_file(path) {
            Err(why) if why.kind() != ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        let spare = path.with_extension("partial");
        fs::rename(path, &spare)?;
        match file.set_len(0) {
            Ok(()) => self.lock().push(spare),
            Err(_) => fs::remove_file(spare)?,
        }
        Ok(())
    }

    /// An empty file to write into, where one is kept.
    pub(super) fn take(&self) -> Option<Temporary> {
        let path = self.lock().pop()?;
        let file = OpenOptions::new().write(true).open(&path).ok()?;
        Some(Temporary { file, path })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{MOST, Spares};
    use std::fs;
    use std::io::Write;

    #[test]
    fn a_removed_file_is_emptied_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let spares = Spares::default();
        for number in 0..MOST + 3 {
            let path = folder.path().join(format!("{number}.eml"));
            fs::write(&path, "secret").unwrap();
            spares.remove(&path).unwrap();
            assert!(!path.exists());
        }
        spares.remove(&folder.path().join("none.eml")).unwrap();
        let kept: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(kept.len(), MOST);
        assert!(kept.iter().all(|file| file.metadata().unwrap().len() == 0));
        let mut taken = spares.take().unwrap();
        taken.file.write_all(b"new").unwrap();
        assert_eq!(fs::read(taken.path).unwrap(), b"new");
        assert_eq!(std::iter::from_fn(|| spares.take()).count(), MOST - 1);
    }

    #[test]
    fn what_is_no_file_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let strange = folder.path().join("strange.eml");
        fs::create_dir(&strange).unwrap();
        Spares::default().remove(&strange).unwrap_err();
        assert!(strange.exists());
    }
}
