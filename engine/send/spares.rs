//! Files of messages that are done, kept under their names and written again: to make, name and remove
//! a file costs a file system more than all else that is done with a small message, and holds up who
//! else does so in the same folder. A file that is written over keeps its place on the disk, and is
//! synced in the time of its bytes alone.
//!
//! Nothing of the message is left in it: it is written over with zeros. What a crash brings back is
//! known to be done ([`crate::store::Store::knows_queue_id`]).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most files that are kept.
const MOST: usize = 1_024;

/// The longest file that is kept, in bytes.
const LONGEST: u64 = 64 << 10;

/// Files have a multiple of this length, so that one of a message fits the next.
const STEP: u64 = 4 << 10;

/// The length of a file that holds so many bytes.
pub(super) fn rounded(bytes: u64) -> u64 {
    if bytes > LONGEST { bytes } else { bytes.next_multiple_of(STEP) }
}

/// The files of one folder that are kept, by their length.
#[derive(Debug, Default)]
pub(super) struct Spares {
    kept: Mutex<BTreeMap<u64, Vec<PathBuf>>>,
}

/// A file that holds nothing, in the hands of one who may write into it.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) length: u64,
}

impl Spares {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<PathBuf>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a message's file; one that is not there is none. Nothing of the message is left.
    pub(super) fn remove(&self, path: PathBuf) -> io::Result<()> {
        let full = self.lock().values().map(Vec::len).sum::<usize>() >= MOST;
        match (!full).then(|| emptied(&path)) {
            Some(Ok(length)) => {
                self.keep(path, length);
                Ok(())
            }
            _ => match fs::remove_file(&path) {
                Err(why) if why.kind() != ErrorKind::NotFound => Err(why),
                _ => Ok(()),
            },
        }
    }

    /// A file that holds so many bytes and is not much longer, where one is kept. One that somebody
    /// has removed or changed meanwhile is passed over.
    pub(super) fn take(&self, bytes: u64) -> Option<Spare> {
        loop {
            let (path, length) = self.next(bytes)?;
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            if file.metadata().is_ok_and(|is| is.len() == length) {
                return Some(Spare { file, path, length });
            }
        }
    }

    fn next(&self, bytes: u64) -> Option<(PathBuf, u64)> {
        let mut kept = self.lock();
        let fit = rounded(bytes)..=rounded(bytes).saturating_mul(2);
        let (length, paths) = kept.range_mut(fit).find(|(_, paths)| !paths.is_empty())?;
        Some((paths.pop()?, *length))
    }

    /// Keeps a file that was not written into.
    pub(super) fn give_back(&self, Spare { path, length, .. }: Spare) {
        self.keep(path, length);
    }

    fn keep(&self, path: PathBuf, length: u64) {
        self.lock().entry(length).or_default().push(path);
    }
}

/// Writes zeros over a file that can be kept, and gives its length.
fn emptied(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    if length == 0 || rounded(length) != length || length > LONGEST {
        return Err(ErrorKind::Unsupported.into());
    }
    file.write_all_at(&vec![0; usize::try_from(length).map_err(io::Error::other)?], 0)?;
    Ok(length)
}

/// Whether a file is one that was kept.
pub(super) fn holds_nothing(file: File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    if length == 0 || length > LONGEST {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{MOST, STEP, Spares, rounded};
    use std::fs;

    #[test]
    fn a_removed_file_holds_nothing_and_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let spares = Spares::default();
        for number in 0..MOST + 3 {
            let path = folder.path().join(format!("{number}.eml"));
            let length = if number % 2 == 0 { STEP } else { 5 * STEP };
            fs::write(&path, vec![b's'; usize::try_from(length).unwrap()]).unwrap();
            spares.remove(path).unwrap();
        }
        spares.remove(folder.path().join("none.eml")).unwrap();
        let kept: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(kept.len(), MOST);
        assert!(kept.iter().all(|file| fs::read(file.path()).unwrap().iter().all(|b| *b == 0)));
        assert!(spares.take(6 * STEP).is_none() && spares.take(2 * STEP).is_none());
        let taken = spares.take(10).unwrap();
        assert_eq!((taken.length, taken.file.metadata().unwrap().len()), (STEP, STEP));
        spares.give_back(taken);
        let small = std::iter::from_fn(|| spares.take(STEP)).count();
        let large = std::iter::from_fn(|| spares.take(3 * STEP)).count();
        assert_eq!((small, large), (MOST / 2, MOST / 2));
    }

    #[test]
    fn what_somebody_removed_or_cut_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let spares = Spares::default();
        let paths = ["gone", "cut", "fine"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, vec![b's'; usize::try_from(STEP).unwrap()]).unwrap();
            spares.remove(path.clone()).unwrap();
        }
        fs::remove_file(&paths[0]).unwrap();
        fs::write(&paths[1], "cut").unwrap();
        let taken: Vec<_> = std::iter::from_fn(|| spares.take(1)).map(|it| it.path).collect();
        assert_eq!(taken, [paths[2].clone()]);
    }

    #[test]
    fn what_is_no_file_or_too_long_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let strange = folder.path().join("strange.eml");
        fs::create_dir(&strange).unwrap();
        let spares = Spares::default();
        spares.remove(strange.clone()).unwrap_err();
        assert!(strange.exists());
        for length in [0, 100, 100 << 10] {
            let path = folder.path().join("odd.eml");
            fs::write(&path, vec![b's'; length]).unwrap();
            spares.remove(path.clone()).unwrap();
            assert!(!path.exists());
        }
        assert_eq!([rounded(1), rounded(4096), rounded(4097)], [4096, 4096, 8192]);
        assert_eq!([rounded(65_536), rounded(65_537)], [65_536, 65_537]);
    }
}
