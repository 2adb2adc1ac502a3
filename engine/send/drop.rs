//! The drop folder, `drop` in the data folder: `sendmail` writes a message there, also while no engine
//! runs, and the engine picks it up ([`super::pickup`]).
//!
//! | state | on disk | after a crash here |
//! | --- | --- | --- |
//! | being written | `NAME.tmp` | it is removed a day later: nobody was told that it is taken |
//! | dropped | `NAME.mail`, synced with the folder: `sendmail` ends with 0 | it is picked up |
//! | queued | a promise in the queue, and with it a note of the name | the note says that only the file is left to remove |
//! | refused | `NAME.refused` | it waits for a person: the log says why, and `status` that it is there |
//!
//! A file is a line of JSON ([`Slip`]) and the message. Whose it is, is not said in it: that is the
//! file's owner, whom the system knows. Where others than the engine's own user may drop mail, the
//! folder is one that anybody may write into and nobody may list, and names cannot be guessed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::token::token;
use crate::error::{Context, Result};
use crate::mail::envelope::{Body, EnvelopeAddress, Envid, Recipient, Ret};

/// The most bytes of a [`Slip`].
pub(super) const LONGEST_SLIP: u64 = 1 << 20;

/// The ending of a file that was refused.
pub(super) const REFUSED: &str = "refused";

/// The folder's mode: anybody may add, nobody else may list or remove.
const OPEN_TO_ALL: u32 = 0o1733;

/// What a dropped message is told by besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slip {
    /// The version of this form, 1.
    pub v: u32,
    /// Who reports go to.
    pub sender: Sender,
    /// `-F`: the name of who it is from.
    pub full_name: Option<String>,
    /// Who gets it.
    pub recipients: Vec<Recipient>,
    /// `-R`
    pub ret: Option<Ret>,
    /// `-V`
    pub envid: Option<Envid>,
    /// `-B`
    pub body: Body,
}

/// The reverse-path of a dropped message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// The user's own address, as the configuration has it.
    Own,
    /// `-f ""`
    Null,
    /// `-f ADDRESS`
    Address(EnvelopeAddress),
}

/// The dropped messages that were refused and wait for a person, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many there are.
    pub count: usize,
    /// When the oldest of them was dropped, Unix milliseconds.
    pub oldest_ms: Option<i64>,
    /// Where they lie.
    pub folder: PathBuf,
}

/// What was refused in the drop folder of this data folder; nothing where there is no folder.
///
/// # Errors
/// The disk.
pub fn refused(data: &Path) -> Result<Refused> {
    let folder = folder(data);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let what = || format!("look into {}", folder.display());
    let (mut count, mut oldest_ms) = (0, None::<i64>);
    let entries = match fs::read_dir(&folder) {
        Err(why) if why.kind() == ErrorKind::NotFound => None,
        entries => Some(entries.or_later(what)?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry.or_later(what)?;
        if entry.path().extension().is_none_or(|ending| ending != REFUSED) {
            continue;
        }
        count += 1;
        // One that a person removes this moment has no age.
        if let Some(at) = entry.metadata().and_then(|status| status.modified()).ok().map(unix_ms) {
            oldest_ms = Some(oldest_ms.map_or(at, |oldest| oldest.min(at)));
        }
    }
    Ok(Refused { count, oldest_ms, folder })
}

fn unix_ms(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A message that is being dropped. Dropped itself, it is gone.
#[derive(Debug)]
pub struct Dropping {
    folder: PathBuf,
    name: String,
    file: BufWriter<File>,
    done: bool,
}

/// The folder in the data folder.
pub fn folder(data: &Path) -> PathBuf {
    data.join("drop")
}

/// Makes the folder where it is missing; one that is there stays as it is.
///
/// # Errors
/// The disk.
pub fn make(folder: &Path) -> Result<()> {
    let what = || format!("make the folder {}", folder.display());
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            let mode = fs::Permissions::from_mode(OPEN_TO_ALL);
            fs::set_permissions(folder, mode).or_later(what)
        }
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(why) => Err(why).or_later(what),
    }
}

impl Dropping {
    /// Begins a file with its slip.
    ///
    /// # Errors
    /// The disk, the folder's mode.
    pub fn begin(folder: &Path, slip: &Slip) -> io::Result<Self> {
        let name = token();
        let path = folder.join(format!("{name}.tmp"));
        // Its name is what keeps others from reading it; the engine may be another user.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        let mut dropping =
            Self { folder: folder.to_owned(), name, file: BufWriter::new(file), done: false };
        serde_json::to_writer(&mut dropping.file, slip)?;
        dropping.file.write_all(b"\n")?;
        Ok(dropping)
    }

    /// Adds bytes of the message.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// The message is whole: when this returns it survives a loss of power.
    ///
    /// # Errors
    /// The disk.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let name = |ending: &str| self.folder.join(format!("{}.{ending}", self.name));
        fs::rename(name("tmp"), name("mail"))?;
        // A folder that may not be read cannot be opened to be synced: syncing the file system can.
        match File::open(&self.folder) {
            Ok(folder) => folder.sync_all()?,
            Err(_) => rustix::fs::syncfs(self.file.get_ref())?,
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        if !self.done {
            // What stays is removed by the engine.
            let _ = fs::remove_file(self.folder.join(format!("{}.tmp", self.name)));
        }
    }
}
