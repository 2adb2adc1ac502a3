//! The file in the data folder that a large message waits in while it is on its way.
//!
//! Its name is taken away before anything is written, so that it is gone with the engine, however
//! that ends. A crash just before leaves an empty file `spool.N`, which the next one of that number
//! removes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt;

use crate::error::{Error, Result};
use crate::mailbox::Content;

/// Numbers the spools of this engine; no other works in its data folder.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A message that is being written down.
pub(super) struct Spool {
    file: tokio::fs::File,
    size: u64,
}

impl Spool {
    /// Begins with nothing in it.
    ///
    /// # Errors
    /// Temporary: the disk.
    pub(super) async fn create(data: &Path) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = data.join(format!("spool.{number}"));
        let file = tokio::task::spawn_blocking(move || nameless(&path));
        let file = file.await.map_err(io::Error::other).flatten().map_err(refused)?;
        Ok(Self { file: tokio::fs::File::from_std(file), size: 0 })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Temporary: the disk.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(refused)
    }

    /// All that was written.
    ///
    /// # Errors
    /// Temporary: the disk.
    pub(super) async fn finish(mut self) -> Result<Content> {
        // Bytes may still be on their way to the file, and what keeps them from it is told here.
        self.file.flush().await.map_err(refused)?;
        Ok(Content::in_file(self.file.into_std().await, self.size))
    }
}

fn nameless(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

fn refused(why: io::Error) -> Error {
    Error::temporary("keep a large message in the data folder on its way", why)
        .next("make room on the disk that the data folder lies on")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_leftover_is_removed_and_nobody_else_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.0");
        fs::write(&path, "of a crash").unwrap();
        let file = nameless(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_was_written_is_read_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path()).await.unwrap();
        let expected = b"piece\n".repeat(500_000);
        for piece in expected.chunks(700_001) {
            spool.write(piece).await.unwrap();
        }
        let content = spool.finish().await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for _ in 0..2 {
            let mut read = Vec::new();
            content.reader().read_to_end(&mut read).unwrap();
            assert!(read == expected);
        }
        assert_eq!(content.crlf_size().await.unwrap(), 500_000 * 7);
    }
}
