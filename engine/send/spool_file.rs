//! How a message is written into the queue. A small one is written over one that is done
//! ([`super::spares`]). Any other is written as `NAME.partial`, renamed to `NAME.eml`, and both it and the
//! folder are synced, which a disk does in the time of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use serde::Serialize;

use super::spares::{Spare, rounded};
use super::spool::Spool;
use super::trailer::{self, Count, END};
use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};

/// How many bytes what stands behind a message may grow by with the name of another file.
const SLACK: u64 = 64;

/// What is kept in memory of a message before it is written: most are never written in two pieces.
const PIECE: usize = 256 << 10;

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

impl SpoolFile {
    pub(super) fn new(spool: Spool, name: String) -> Self {
        let (waiting, file, spare, count) = Default::default();
        Self { spool, name, waiting, file, spare, size: 0, count }
    }

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
            tokio::task::spawn_blocking(move || append(&spool, &name, file, &waiting)).await;
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
        let spare = self.spool.spares().take(self.size + behind + SLACK + END);
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
        // From here on nobody else writes over it.
        let spare = self.spare.take();
        let json = serde_json::to_vec(behind).or_later(what)?;
        if json.len() as u64 > trailer::LONGEST {
            return Err(Error::permanent(what(), "there is too much of it"));
        }
        let bytes = self.size + json.len() as u64 + END;
        let length = spare.as_ref().map_or_else(|| rounded(bytes), |spare| spare.length);
        let blanks = usize::try_from(length.saturating_sub(bytes)).unwrap_or(0);
        self.waiting.extend(std::mem::take(&mut self.count).trailer(json, blanks));
        match spare {
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
        let synced = self.spool.new_names().given().and_then(|name| {
            written.file.sync_data()?;
            reach(Point::SpoolSynced);
            self.spool.new_names().wait(name)
        });
        synced.map_err(refused)
    }

    fn flush(&mut self) -> Result<&Temporary> {
        let waiting = std::mem::take(&mut self.waiting);
        let written = append(&self.spool, &self.name, self.file.take(), &waiting);
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
            self.spool.spares().give_back(spare);
        }
    }
}

/// Adds bytes to a message's file, which is made with the first of them.
fn append(
    spool: &Spool,
    name: &str,
    file: Option<Temporary>,
    bytes: &[u8],
) -> io::Result<Temporary> {
    let mut written = match file {
        Some(written) => written,
        None => {
            let path = spool.folder().join(format!("{name}.partial"));
            let mut new = OpenOptions::new();
            let file = new.write(true).create_new(true).mode(0o600).open(&path)?;
            Temporary { file, path }
        }
    };
    let done = written.file.write_all(bytes);
    done.inspect_err(|_| drop(fs::remove_file(&written.path)))?;
    Ok(written)
}

fn refused(why: io::Error) -> Error {
    Error::temporary("keep a message in the queue", why)
        .next("make room on the disk that the data folder lies on")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Read;

    use super::PIECE;
    use crate::send::spool::{Found, Spool};

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
        assert!(spool.behind("cut").unwrap().is_none());
    }
}
