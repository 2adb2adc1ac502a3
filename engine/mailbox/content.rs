//! The bytes of a message that is put into a mailbox, wherever they are: a small one in memory, a
//! large one in a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::line_end::CrlfReader;

/// Bytes that are in memory at once of a message that lies in a file.
const PIECE: usize = 256 << 10;

/// A message's bytes. Cheap to clone; they can be read more than once, and at the same time.
#[derive(Clone)]
pub struct Content {
    place: Place,
    size: u64,
}

#[derive(Clone)]
enum Place {
    Memory(Arc<[u8]>),
    File(Arc<File>),
}

impl Content {
    /// The first `size` bytes of a file that nobody changes.
    pub fn in_file(file: File, size: u64) -> Self {
        Self { place: Place::File(Arc::new(file)), size }
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads from the first byte to the last. Blocks on the disk.
    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), at: 0 }
    }

    /// How many bytes there are in the form of [`super::crlf`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn crlf_size(&self) -> io::Result<u64> {
        let mut lines = CrlfReader::new(self.reader());
        blocking(move || io::copy(&mut lines, &mut io::sink())).await
    }

    /// The bytes in the form of [`super::crlf`], piece by piece.
    pub(super) fn crlf_pieces(&self) -> Pieces {
        Pieces { lines: CrlfReader::new(self.reader()) }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.place {
            Place::File(file) => file.read_at(into, offset),
            Place::Memory(bytes) => {
                let mut rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
                rest.as_mut().map_or(Ok(0), |rest| rest.read(into))
            }
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Arc::<[u8]>::from(bytes).into()
    }
}

impl From<Arc<[u8]>> for Content {
    fn from(bytes: Arc<[u8]>) -> Self {
        let size = bytes.len() as u64;
        Self { place: Place::Memory(bytes), size }
    }
}

impl fmt::Debug for Content {
    /// Without its text, which belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("size", &self.size).finish_non_exhaustive()
    }
}

/// See [`Content::reader`].
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    at: u64,
}

impl Read for ContentReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.content.size - self.at).unwrap_or(usize::MAX);
        let room = into.len().min(left);
        if room == 0 {
            return Ok(0);
        }
        let read = self.content.read_at(&mut into[..room], self.at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// See [`Content::crlf_pieces`].
pub(super) struct Pieces {
    lines: CrlfReader<ContentReader>,
}

impl Pieces {
    /// The next piece, and what follows it; an empty one is the end.
    pub(super) async fn next(mut self) -> io::Result<(Self, Vec<u8>)> {
        blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            self.lines.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            Ok((self, piece))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
