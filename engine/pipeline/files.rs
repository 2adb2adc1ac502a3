//! The files that a generation is made of: each is read once, and what was read is remembered, so
//! that it can be told whether anything has changed since, and kept for later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// Files up to this size are read again by [`Prints::changed`]; of larger ones the file system's
/// word is taken.
const REREAD: u64 = 1 << 20;

/// How long an emptied file must be left alone before it is taken for an empty one.
const EMPTY: Duration = Duration::from_secs(2);

/// The files of one load: from the disk, or kept from an earlier one.
#[derive(Debug)]
pub(super) struct Files {
    /// Names start here.
    folder: PathBuf,
    /// Where they come from, instead of from the disk.
    kept: Option<Kept>,
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
    listed: Mutex<BTreeMap<Listing, Vec<String>>>,
}

/// A folder, and the endings of the names that count in it.
type Listing = (PathBuf, &'static [&'static str]);

/// Names of one folder that count, at most.
const MOST_NAMES: usize = 1_000;

/// The content of files by their names, relative to the configuration's folder where they are below
/// it.
pub type Kept = BTreeMap<PathBuf, Arc<[u8]>>;

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unread {
    /// There is none.
    Missing,
    /// What is wrong with it.
    Fault(String),
}

#[derive(Debug, Clone)]
struct Seen {
    content: Result<Arc<[u8]>, Unread>,
    stamp: Option<Stamp>,
    /// How many bytes it may have.
    most: usize,
}

/// What the file system says of a file; any write changes it, where clocks are fine enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of what the path leads to, by whatever links.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            place: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// The last change, since 1970.
    fn changed(&self) -> Duration {
        let (seconds, nanos) = self.changed;
        let nanos = u32::try_from(nanos).unwrap_or(0);
        Duration::new(u64::try_from(seconds).unwrap_or(0), nanos)
    }
}

impl Files {
    /// Files on disk. `folder` is the configuration's.
    pub(super) fn on_disk(folder: &Path) -> Self {
        Self::of(folder, None)
    }

    /// Files that were kept.
    pub(super) fn kept(folder: &Path, kept: Kept) -> Self {
        Self::of(folder, Some(kept))
    }

    fn of(folder: &Path, kept: Option<Kept>) -> Self {
        let (seen, listed) = (Mutex::default(), Mutex::default());
        Self { folder: folder.to_owned(), kept, seen, listed }
    }

    /// The names in a folder with one of these endings, sorted, hidden ones left out; the first
    /// thousand. A folder that is not there has none. It is listed once; a name that comes or goes
    /// later is a change.
    pub(super) fn names(&self, folder: &Path, endings: &'static [&'static str]) -> Vec<String> {
        let listing = (folder.to_owned(), endings);
        if let Some(names) = self.listed().get(&listing) {
            return names.clone();
        }
        let names = match &self.kept {
            None => names_on_disk(&listing),
            Some(kept) => {
                let folder = self.name(folder);
                let inside = kept.keys().filter(|path| path.parent() == Some(&folder));
                let names = inside.filter_map(|path| path.file_name());
                sorted(names.map(|name| name.to_string_lossy().into_owned()), endings)
            }
        };
        self.listed().insert(listing, names.clone());
        names
    }

    /// Reads a file of at most `most` bytes. It is read once: a second call gives the same.
    ///
    /// # Errors
    /// It is missing, too large, no regular file (which could block for ever) or unreadable.
    pub(super) fn read(&self, file: &Path, most: usize) -> Result<Arc<[u8]>, Unread> {
        if let Some(seen) = self.seen().get(file) {
            return seen.content.clone();
        }
        let stamp = Stamp::of(file);
        let content = match &self.kept {
            Some(kept) => kept.get(&self.name(file)).cloned().ok_or(Unread::Missing),
            None => from_disk(file, most),
        };
        self.seen().insert(file.to_owned(), Seen { content: content.clone(), stamp, most });
        content
    }

    /// Notes a file of at most `most` bytes that `read` reads in its own way, and gives its answer. Where
    /// that gives no content, what is wrong with the file is found out.
    pub(super) fn note<T>(
        &self,
        (file, most): (&Path, usize),
        read: impl FnOnce() -> (T, Option<Arc<[u8]>>),
    ) -> T {
        let stamp = Stamp::of(file);
        let (answer, content) = read();
        let content = content.map_or_else(|| from_disk(file, most), Ok);
        self.seen().insert(file.to_owned(), Seen { content, stamp, most });
        answer
    }

    /// Whether the file system tells of a change of what was read so far.
    pub(super) fn moved(&self) -> bool {
        self.seen().iter().any(|(path, seen)| Stamp::of(path) != seen.stamp)
            || self.listed().iter().any(|(listing, names)| names_on_disk(listing) != *names)
    }

    /// How long it takes until the last write to them is `quiet` ago, by this machine's clock. One that
    /// was emptied has longer: whoever did it mostly goes on to write it.
    pub(super) fn unrest(&self, quiet: Duration) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seen = self.seen();
        let left = seen.values().filter_map(|seen| seen.stamp).map(|stamp| {
            let quiet = if stamp.size == 0 { quiet.max(EMPTY) } else { quiet };
            // Where another clock is ahead, no longer than ever.
            (stamp.changed() + quiet).saturating_sub(now).min(quiet)
        });
        left.max().unwrap_or_default()
    }

    /// What to tell this load's files by later.
    pub(super) fn prints(&self) -> Prints {
        let print = |(path, seen): (&PathBuf, &Seen)| {
            let Seen { content, stamp, most } = seen;
            let print = Print { digest: digest(content), stamp: *stamp, most: *most };
            (path.clone(), (self.name(path), print))
        };
        let files = self.seen().iter().map(print).collect();
        let named = |((folder, endings), names): (&Listing, &Vec<String>)| {
            ((folder.clone(), *endings), (self.name(folder), digest_of_names(names)))
        };
        Prints { files, listed: self.listed().iter().map(named).collect() }
    }

    /// The content of all that could be read.
    pub(super) fn into_kept(self) -> Kept {
        let Self { folder, seen, .. } = self;
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let name = |path: PathBuf| path.strip_prefix(&folder).map(Path::to_owned).unwrap_or(path);
        seen.into_iter().filter_map(|(path, seen)| Some((name(path), seen.content.ok()?))).collect()
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.folder).unwrap_or(path).to_owned()
    }

    fn listed(&self) -> MutexGuard<'_, BTreeMap<Listing, Vec<String>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names_on_disk((folder, endings): &Listing) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    sorted(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()), endings)
}

fn sorted(names: impl Iterator<Item = String>, endings: &[&str]) -> Vec<String> {
    let counts = |name: &String| {
        !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
    };
    let mut names: Vec<String> = names.filter(counts).collect();
    names.sort_unstable();
    names.truncate(MOST_NAMES);
    names
}

fn digest_of_names(names: &[String]) -> [u8; 32] {
    Sha256::digest(names.join("\0")).into()
}

fn from_disk(file: &Path, most: usize) -> Result<Arc<[u8]>, Unread> {
    let told = |why: std::io::Error| match why.kind() {
        std::io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Fault(format!("the file cannot be read: {why}")),
    };
    if !std::fs::metadata(file).map_err(told)?.is_file() {
        return Err(Unread::Fault("this is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(told)?;
    open.take(most as u64 + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() > most {
        let what = format!("the file has more than {} KiB", most >> 10);
        return Err(Unread::Fault(what));
    }
    Ok(bytes.into())
}

/// What the files of a load are told by: their names, digests and what the file system says of them;
/// and which names were in the folders of which every file counts.
#[derive(Debug, Clone, Default)]
pub struct Prints {
    files: BTreeMap<PathBuf, (PathBuf, Print)>,
    listed: BTreeMap<Listing, (PathBuf, [u8; 32])>,
}

#[derive(Debug, Clone, Copy)]
struct Print {
    digest: [u8; 32],
    stamp: Option<Stamp>,
    most: usize,
}

impl Prints {
    /// One text for all of it: the same for the same names with the same content, on any machine.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let files = self.files.values().map(|(name, print)| (name, &print.digest));
        let listed = self.listed.values().map(|(name, digest)| (name, digest));
        for (name, digest) in files.chain(listed) {
            let name = name.as_os_str().as_encoded_bytes();
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update(digest);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The files, also those that are missing.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The folders of which every file with one of these endings counts.
    pub fn folders(&self) -> impl Iterator<Item = (&Path, &'static [&'static str])> {
        self.listed.keys().map(|(folder, endings)| (folder.as_path(), *endings))
    }

    /// Whether any of them has another content now. Small files are read again whatever the file
    /// system says, because not every file system's clock tells two quick writes apart.
    pub fn changed(&self) -> bool {
        let has_other = |(listing, (_, digest)): (&Listing, &(PathBuf, [u8; 32]))| {
            digest_of_names(&names_on_disk(listing)) != *digest
        };
        if self.listed.iter().any(has_other) {
            return true;
        }
        self.files.iter().any(|(path, (_, print))| {
            let stamp = Stamp::of(path);
            if stamp == print.stamp && stamp.is_none_or(|stamp| stamp.size > REREAD) {
                return false;
            }
            digest(&from_disk(path, print.most)) != print.digest
        })
    }
}

/// A fault has no content, whatever its words.
fn digest(content: &Result<Arc<[u8]>, Unread>) -> [u8; 32] {
    match content {
        Ok(bytes) => Sha256::digest(bytes).into(),
        Err(Unread::Missing) => [0; 32],
        Err(Unread::Fault(_)) => [1; 32],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Files, Unread};

    fn read(folder: &Path) -> Files {
        let files = Files::on_disk(folder);
        let _ = files.read(&folder.join("a"), 10);
        let _ = files.read(&folder.join("missing"), 10);
        files
    }

    #[test]
    fn a_change_shows_whatever_the_file_system_says_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let files = read(folder.path());
        let prints = files.prints();
        assert!(!prints.changed() && !files.moved());
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "two").unwrap();
        std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
        assert!(prints.changed());
        std::fs::write(&path, "one").unwrap();
        assert!(!prints.changed(), "the same content again is no change");
        assert!(files.moved());
        std::fs::write(folder.path().join("missing"), "now there").unwrap();
        assert!(prints.changed());
    }

    #[test]
    fn an_emptied_file_has_longer_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let quiet = Duration::from_millis(300);
        std::fs::write(&path, "one").unwrap();
        assert!(read(folder.path()).unrest(quiet) <= quiet);
        std::fs::write(&path, "").unwrap();
        assert!(read(folder.path()).unrest(quiet) > quiet);
    }

    #[test]
    fn what_cannot_be_read_is_no_change_each_time() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "far too long").unwrap();
        let files = read(folder.path());
        let seen = files.read(&folder.path().join("a"), 10);
        assert!(matches!(seen, Err(Unread::Fault(_))));
        assert!(!files.prints().changed());
        std::fs::write(folder.path().join("a"), "short").unwrap();
        assert!(files.prints().changed());
    }

    #[test]
    fn the_fingerprint_is_of_names_and_content_and_not_of_the_place() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &two] {
            std::fs::write(folder.path().join("a"), "same").unwrap();
        }
        let print = |folder: &tempfile::TempDir| read(folder.path()).prints().fingerprint();
        assert_eq!(print(&one), print(&two));
        std::fs::write(two.path().join("a"), "else").unwrap();
        assert_ne!(print(&one), print(&two));
    }

    #[test]
    fn a_name_that_comes_or_goes_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("b.txt"), "b").unwrap();
        let files = Files::on_disk(folder.path());
        let names = || Files::on_disk(folder.path()).names(folder.path(), &[".txt"]);
        assert_eq!(files.names(folder.path(), &[".txt"]), ["b.txt"]);
        std::fs::write(path("c.html"), "").unwrap();
        std::fs::write(path(".d.txt"), "").unwrap();
        assert!(!files.moved() && !files.prints().changed(), "others do not count");
        std::fs::write(path("a.txt"), "a").unwrap();
        assert!(files.moved() && files.prints().changed());
        assert_eq!(files.names(folder.path(), &[".txt"]), ["b.txt"], "listed once");
        assert_eq!(names(), ["a.txt", "b.txt"]);
        std::fs::remove_file(path("a.txt")).unwrap();
        assert!(!files.moved() && !files.prints().changed());

        let _ = files.read(&path("b.txt"), 10);
        let kept = Files::kept(folder.path(), files.into_kept());
        std::fs::remove_file(path("b.txt")).unwrap();
        assert_eq!(kept.names(folder.path(), &[".txt"]), ["b.txt"]);
    }

    #[test]
    fn kept_files_are_read_instead_of_those_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "old").unwrap();
        let kept = read(folder.path()).into_kept();
        std::fs::write(folder.path().join("a"), "new").unwrap();
        let files = Files::kept(folder.path(), kept);
        assert_eq!(&*files.read(&folder.path().join("a"), 10).unwrap(), b"old");
        assert_eq!(files.read(&folder.path().join("missing"), 10), Err(Unread::Missing));
    }
}
