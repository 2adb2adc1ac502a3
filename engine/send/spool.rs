//! The messages of the queue, a file each in `data/queue`: the message in its wire form (CRLF line ends) and
//! what [`super::trailer`] says. How one is written: [`super::spool_file`]. See the table at the head of
//! [`super`].

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Seek};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::names::Names;
use super::spares::{self, Spares};
use super::spool_file::SpoolFile;
use super::trailer::{self, END};
use crate::error::{Context, Error, Result};

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
        SpoolFile::new(self.clone(), name)
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

    /// Makes names durable.
    pub(super) fn new_names(&self) -> &Names {
        &self.shared.names
    }

    /// Files to be written over.
    pub(super) fn spares(&self) -> &Spares {
        &self.shared.spares
    }

    pub(super) fn folder(&self) -> &Path {
        &self.shared.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.shared.folder.join(format!("{name}.eml"))
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
