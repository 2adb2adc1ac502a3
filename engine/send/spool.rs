//! The messages of the queue, a file each in `data/queue`.
//!
//! A file is the message in its wire form (CRLF line ends) and what [`super::trailer`] says. A small
//! message is written over one that is done ([`super::spares`]). Any other is written as `NAME.partial`,
//! renamed to `NAME.eml`, and both it and the folder are synced, which a disk does in the time of one. See
//! the table at the head of [`super`].

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::names::Names;
use super::spares::{self, Spare, Spares, rounded};
use super::trailer::{self, Count, END};
use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};

/// How many bytes what stands behind a message may grow by with the name of another file.
const SLACK: u64 = 64;

/// What is kept in memory of a message before it is written: most are never written in two pieces.
const PIECE: usize = 256 << 10;

/// The folder of queued messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Told apart from the names of earlier engines.
    prefix: String,
    next: AtomicU64,
    names: Names,
    spares: Spares,
}

/// A message that is being written. Dropped, it is gone.
#[derive(Debug)]
pub struct SpoolFile {
    spool: Spool,
    name: String,
    /// What is not written yet.
    waiting: Vec<u8>,
    file: Option<Temporary>,
    /// The file of a message that is done, to be written over.
    spare: Option<Spare>,
    size: u64,
    count: Count,
}

/// A new file that is being written, and where.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
}

/// What is there of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All of it, as far as can be told without reading it.
    Whole,
    /// No file.
    Nothing,
    /// Something that cannot be sent, and why.
    Unfit(String),
}

impl Spool {
    /// Opens `queue` in the data folder; it is made (mode 0700) where it is missing.
    ///
    /// # Errors
    /// The disk fails.
    pub fn open(data: &Path) -> Result<Self> {
        let folder = data.join("queue");
        let what = || format!("make the folder {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).or_later(what)?;
        // Names that an engine gave which was killed then are durable from here on.
        for folder in [data, &*folder] {
            File::open(folder).and_then(|folder| folder.sync_all()).or_later(what)?;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shared = Shared {
            prefix: format!("{:x}-{:x}", since.as_micros(), std::process::id()),
            names: Names::of(folder.clone()),
            spares: Spares::default(),
            folder,
            next: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Begins a message with nothing in it. Small ones touch the disk in [`SpoolFile::finish`] only.
    pub fn begin(&self) -> SpoolFile {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number:x}", self.shared.prefix);
        let (waiting, file, spare, count) = Default::default();
        SpoolFile { spool: self.clone(), name, waiting, file, spare, size: 0, count }
    }

    /// Opens a message for reading: the file stands at its beginning and holds more than the message,
    /// which is its first `size` bytes.
    ///
    /// # Errors
    /// Permanent where there is no such file; else temporary.
    pub fn open_message(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        File::open(&path).map_err(|why| {
            let what = format!("open the queued message {}", path.display());
            match why.kind() {
                ErrorKind::NotFound => Error::permanent(what, why),
                _ => Error::temporary(what, why),
            }
        })
    }

    /// [`Spool::open_message`] for a message of this size: a file that cannot hold it is refused, so
    /// that a part of a message is never taken for all of it.
    ///
    /// # Errors
    /// As [`Spool::open_message`]; permanent where the file was cut or is none.
    pub fn open_whole(&self, name: &str, size: u64) -> Result<File> {
        let file = self.open_message(name)?;
        let what = || format!("open the queued message {}", self.path(name).display());
        match unfit(&file.metadata().or_later(what)?, size) {
            None => Ok(file),
            Some(why) => Err(Error::permanent(what(), why)),
        }
    }

    /// What is there of a message of this size.
    ///
    /// # Errors
    /// The disk fails.
    pub fn look(&self, name: &str, size: u64) -> Result<Found> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(file) => Ok(unfit(&file, size).map_or(Found::Whole, Found::Unfit)),
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
            Err(why) => Err(why).or_later(|| format!("look at {}", path.display())),
        }
    }

    /// Puts aside what lies under a message's name and is none, where nobody sends or removes it, and
    /// says where.
    ///
    /// # Errors
    /// The disk fails.
    pub fn put_aside(&self, name: &str) -> Result<PathBuf> {
        let aside = self.shared.folder.join(format!("{name}.damaged"));
        let what = || format!("put the damaged message {name} aside");
        fs::rename(self.path(name), &aside).or_later(what)?;
        File::open(&self.shared.folder).and_then(|folder| folder.sync_all()).or_later(what)?;
        Ok(aside)
    }

    /// Removes a message; one that is not there is none.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&self, name: &str) -> Result<()> {
        let what = || format!("remove the queued message {name}");
        self.shared.spares.remove(self.path(name)).or_later(what)
    }

    /// Removes a message that is not to come back after a loss of power either; one that is not there is
    /// none.
    ///
    /// # Errors
    /// The disk fails.
    pub fn retract(&self, name: &str) -> Result<()> {
        let what = || format!("remove the message {name} from the queue");
        match fs::remove_file(self.path(name)) {
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed.or_later(what)?,
        }
        File::open(&self.shared.folder).and_then(|folder| folder.sync_all()).or_later(what)
    }

    /// The names of all messages but these, for instance those without an entry; one that is just
    /// being written may not be whole.
    ///
    /// # Errors
    /// The disk fails.
    pub fn others(&self, known: &BTreeSet<String>) -> Result<Vec<String>> {
        let names = self.names()?.into_iter();
        let mut others: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".eml").map(str::to_owned))
            .filter(|name| !known.contains(name))
            .collect();
        others.sort();
        Ok(others)
    }

    /// Removes what was never finished, and gives what could not be removed.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sweep(&self) -> Result<Vec<Error>> {
        let mut left = Vec::new();
        for name in self.names()?.iter().filter(|name| name.ends_with(".partial")) {
            let what = || format!("remove the unfinished message {name}");
            left.extend(fs::remove_file(self.shared.folder.join(name)).or_later(what).err());
        }
        Ok(left)
    }

    /// The JSON that stands behind a message in its file, and the message's size; `None` where the file
    /// is not whole. All of it is read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn behind(&self, name: &str) -> Result<Option<(Vec<u8>, u64)>> {
        let what = || format!("read what stands behind the queued message {name}");
        match self.look(name, 0)? {
            Found::Whole => trailer::read(&self.open_message(name)?).or_later(what),
            _ => Ok(None),
        }
    }

    /// Opens the message with this JSON behind it, as `is_own` tells. Nothing of a file that is damaged, or
    /// holds another message, is ever read. Blocks.
    ///
    /// # Errors
    /// As [`Spool::open_whole`]; permanent where the file is damaged or holds another message.
    pub fn open_own(
        &self,
        (name, size): (&str, u64),
        is_own: impl FnOnce(&[u8]) -> bool,
    ) -> Result<File> {
        let what = || format!("open the queued message {}", self.path(name).display());
        let mut file = self.open_whole(name, size)?;
        match trailer::read(&file).or_later(what)? {
            None => Err(Error::permanent(what(), "it is damaged")),
            Some((json, found)) if found == size && is_own(&json) => {
                file.rewind().or_later(what)?;
                Ok(file)
            }
            Some(_) => Err(Error::permanent(what(), "it holds another message")),
        }
    }

    /// Returns when the bytes of these messages survive a loss of power.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
        names.into_iter().try_for_each(|name| {
            let file = self.open_message(name)?;
            file.sync_data().or_later(|| format!("sync the queued message {name}"))
        })
    }

    /// Whether a file is one of a message that is done: it holds nothing and was to be written over.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_spare(&self, name: &str) -> Result<bool> {
        let what = || format!("read the file {name} of the queue");
        if self.look(name, 0)? != Found::Whole {
            return Ok(false);
        }
        spares::holds_nothing(self.open_message(name)?).or_later(what)
    }

    fn names(&self) -> Result<Vec<String>> {
        let what = || format!("list {}", self.shared.folder.display());
        let entries = fs::read_dir(&self.shared.folder).or_later(what)?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.or_later(what)?.file_name();
            names.extend(name.into_string().ok());
        }
        Ok(names)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.shared.folder.join(format!("{name}.eml"))
    }

    /// Adds bytes to a message's file, which is made with the first of them.
    fn append(&self, name: &str, file: Option<Temporary>, bytes: &[u8]) -> io::Result<Temporary> {
        let mut written = match file {
            Some(written) => written,
            None => {
                let path = self.shared.folder.join(format!("{name}.partial"));
                let mut new = OpenOptions::new();
                let file = new.write(true).create_new(true).mode(0o600).open(&path)?;
                Temporary { file, path }
            }
        };
        let done = written.file.write_all(bytes);
        done.inspect_err(|_| drop(fs::remove_file(&written.path)))?;
        Ok(written)
    }
}

impl SpoolFile {
    /// Adds bytes of the message, off the network threads where they are written.
    ///
    /// # Errors
    /// Temporary: the disk, e.g. a full one (`452 4.3.1`). The message is lost then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.take(bytes);
        if self.waiting.len() < PIECE {
            return Ok(());
        }
        let (spool, name, file) = (self.spool.clone(), self.name.clone(), self.file.take());
        let waiting = std::mem::take(&mut self.waiting);
        let written =
            tokio::task::spawn_blocking(move || spool.append(&name, file, &waiting)).await;
        self.file = Some(written.map_err(io::Error::other).flatten().map_err(refused)?);
        Ok(())
    }

    /// [`SpoolFile::write`] for a caller that may block.
    ///
    /// # Errors
    /// As [`SpoolFile::write`].
    pub fn write_blocking(&mut self, bytes: &[u8]) -> Result<()> {
        self.take(bytes);
        if self.waiting.len() < PIECE { Ok(()) } else { self.flush().map(drop) }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.count.add(bytes);
        self.size += bytes.len() as u64;
    }

    /// The name that its file will have, without folder and ending, once it is settled.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Settles where the message will lie, as so many bytes of JSON stand behind it. Its name may be
    /// another one afterwards, under which [`SpoolFile::finish`] finds room for that JSON.
    pub fn settle(&mut self, behind: u64) {
        if self.file.is_some() || self.spare.is_some() {
            return;
        }
        let spare = self.spool.shared.spares.take(self.size + behind + SLACK + END);
        let name = spare.as_ref().and_then(|spare| spare.path.file_name()?.to_str());
        if let Some(name) = name.and_then(|name| name.strip_suffix(".eml")) {
            self.name = name.to_owned();
            self.spare = spare;
        }
    }

    /// Bytes of the message so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The message so far, where nothing of it had to be written yet (up to 256 KiB).
    pub fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.waiting)
    }

    /// A file of the message so far, at its beginning; it may be read while this lives. Blocks.
    ///
    /// # Errors
    /// As [`SpoolFile::write`].
    pub fn reader(&mut self) -> Result<File> {
        File::open(&self.flush()?.path).map_err(refused)
    }

    /// Writes all of it with what stands behind it, and returns when it survives a loss of power. Blocks.
    ///
    /// # Errors
    /// As [`SpoolFile::write`]. There may be a file of that name then, which is to be retracted
    /// ([`Spool::retract`]).
    pub fn finish(mut self, behind: &impl Serialize) -> Result<()> {
        let what = || "write what stands behind a message".to_owned();
        let json = serde_json::to_vec(behind).or_later(what)?;
        if json.len() as u64 > trailer::LONGEST {
            return Err(Error::permanent(what(), "there is too much of it"));
        }
        let bytes = self.size + json.len() as u64 + END;
        let length = self.spare.as_ref().map_or_else(|| rounded(bytes), |spare| spare.length);
        let blanks = usize::try_from(length.saturating_sub(bytes)).unwrap_or(0);
        self.waiting.extend(std::mem::take(&mut self.count).trailer(json, blanks));
        match self.spare.take() {
            Some(spare) => self.write_over(&spare).map_err(refused)?,
            None => self.write_new()?,
        }
        reach(Point::SpoolDurable);
        Ok(())
    }

    fn write_over(&mut self, spare: &Spare) -> io::Result<()> {
        if self.waiting.len() as u64 != spare.length {
            return Err(io::Error::other("it does not fit the file that it was settled in"));
        }
        spare.file.write_all_at(&self.waiting, 0)?;
        reach(Point::SpoolWritten);
        spare.file.sync_data()?;
        reach(Point::SpoolSynced);
        Ok(())
    }

    fn write_new(&mut self) -> Result<()> {
        let path = self.spool.path(&self.name);
        let written = self.flush()?;
        reach(Point::SpoolWritten);
        fs::rename(&written.path, path).map_err(refused)?;
        let Some(written) = self.file.take() else {
            return Err(refused(io::Error::other("the file was not made")));
        };
        reach(Point::SpoolNamed);
        let synced = self.spool.shared.names.given().and_then(|name| {
            written.file.sync_data()?;
            reach(Point::SpoolSynced);
            self.spool.shared.names.wait(name)
        });
        synced.map_err(refused)
    }

    fn flush(&mut self) -> Result<&Temporary> {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.spool.append(&self.name, self.file.take(), &waiting);
        Ok(self.file.insert(written.map_err(refused)?))
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if let Some(written) = &self.file {
            // What stays is removed when the engine starts.
            let _ = fs::remove_file(&written.path);
        }
        if let Some(spare) = self.spare.take() {
            self.spool.shared.spares.give_back(spare);
        }
    }
}

/// Why a file cannot hold a message of this size and what stands after it.
fn unfit(file: &fs::Metadata, size: u64) -> Option<String> {
    let length = file.len();
    if !file.is_file() {
        return Some("it is no file".into());
    }
    let cut = length < size.saturating_add(END);
    cut.then(|| format!("it was cut: it has {length} bytes, and the message alone {size}"))
}

fn refused(why: io::Error) -> Error {
    Error::temporary("keep a message in the queue", why)
        .next("make room on the disk that the data folder lies on")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;

    #[tokio::test]
    async fn a_message_is_whole_with_its_envelope_or_not_there() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path()).unwrap();
        let text = b"line\r\n".repeat(200_000);
        let mut file = spool.begin();
        for piece in text.chunks(60_001) {
            file.write(piece).await.unwrap();
        }
        assert!(file.in_memory().is_none());
        let mut read = Vec::new();
        file.reader().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == text);
        let (name, size) = (file.name().to_owned(), file.size());
        file.finish(&("to", 7)).unwrap();
        let (behind, length) = spool.behind(&name).unwrap().unwrap();
        assert!(behind.starts_with(br#"["to",7]"#) && length == text.len() as u64);
        let mut message = Vec::new();
        let file = spool.open_message(&name).unwrap();
        file.take(size).read_to_end(&mut message).unwrap();
        assert!(message == text);
        assert_eq!(spool.others(&BTreeSet::new()).unwrap(), std::slice::from_ref(&name));
        assert_eq!(spool.look(&name, size).unwrap(), Found::Whole);
        let cut = spool.look(&name, size + 100).unwrap();
        assert!(matches!(cut, Found::Unfit(why) if why.contains("it was cut")));
        spool.remove(&name).unwrap();
        assert_eq!(spool.look(&name, size).unwrap(), Found::Nothing);
    }

    #[test]
    fn a_small_message_is_written_over_one_that_is_done() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path()).unwrap();
        let put = |text: &str| {
            let mut file = spool.begin();
            file.write_blocking(text.as_bytes()).unwrap();
            file.settle(2);
            let name = file.name().to_owned();
            file.finish(&7).unwrap();
            let (behind, size) = spool.behind(&name).unwrap().unwrap();
            assert!(behind.starts_with(b"7") && size == text.len() as u64);
            name
        };
        let first = put("first, which is longer than the others");
        let second = put("second");
        assert_ne!(first, second);
        spool.remove(&first).unwrap();
        assert!(spool.behind(&first).unwrap().is_none() && spool.is_spare(&first).unwrap());
        let mut dropped = spool.begin();
        dropped.settle(2);
        assert_eq!(dropped.name(), first);
        drop(dropped);
        assert_eq!(put("third"), first);
        assert_eq!(spool.behind(&second).unwrap().unwrap().1, 6);
        let own = |json: &[u8]| json.starts_with(b"7");
        assert!(spool.open_own((&second, 6), own).is_ok());
        let other = spool.open_own((&second, 6), |_| false).unwrap_err().to_string();
        assert!(other.contains("another message"), "{other}");
        let path = data.path().join(format!("queue/{second}.eml"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[2] ^= 1;
        fs::write(path, bytes).unwrap();
        let damaged = spool.open_own((&second, 6), own).unwrap_err().to_string();
        assert!(damaged.contains("it is damaged"), "{damaged}");
        assert_eq!(put(&"large".repeat(20_000)).len(), first.len());
        assert_eq!(fs::read_dir(data.path().join("queue")).unwrap().count(), 3);
    }

    #[test]
    fn what_was_not_finished_is_gone() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path()).unwrap();
        let folder = data.path().join("queue");
        let mut dropped = spool.begin();
        dropped.write_blocking(&[b'x'; PIECE]).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        drop(dropped);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::write(folder.join("a-1-0.partial"), "of a crash").unwrap();
        spool.sweep().unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::write(folder.join("cut.eml"), "cut short").unwrap();
        assert!(spool.behind::<String>("cut").unwrap_err().to_string().contains("not whole"));
    }
}
