//! The byte filter under async-imap: whole, limited, parseable responses go up, one at a time.
//!
//! Whatever is read up there in one go belongs to one response, so its bodies can be fetched from
//! here right after. Commands pass through unchanged.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{Framer, Limits};
use super::random;
use super::repair::{Verdict, repair};

/// A connection of any kind.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Wire for T {}

const CHUNK: usize = 32 * 1024;

/// See the file's header.
pub(super) struct Filter {
    wire: Box<dyn Wire>,
    framer: Framer,
    nonce: String,
    chunk: Box<[u8]>,
    /// What of the chunk is not yet taken.
    pending: std::ops::Range<usize>,
    /// The response on its way up.
    up: Vec<u8>,
    up_at: usize,
    bodies: Vec<Vec<u8>>,
    received: u64,
}

impl Filter {
    pub(super) fn new(wire: Box<dyn Wire>, limits: Limits) -> Self {
        let nonce = random::token();
        Self {
            wire,
            framer: Framer::new(limits, nonce.clone()),
            nonce,
            chunk: vec![0; CHUNK].into_boxed_slice(),
            pending: 0..0,
            up: Vec::new(),
            up_at: 0,
            bodies: Vec::new(),
            received: 0,
        }
    }

    /// Bytes received so far: shows whether a slow answer makes progress.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The literal that this string of the last response stands for, if it stands for one.
    pub(super) fn take_body(&mut self, string: &[u8]) -> Option<Vec<u8>> {
        let index = Framer::body_index(&self.nonce, string)?;
        self.bodies.get_mut(index).map(std::mem::take)
    }

    /// Cuts the next response from what was received.
    fn advance(&mut self) -> io::Result<()> {
        let used = self.framer.feed(&self.chunk[self.pending.clone()]).map_err(refused)?;
        self.pending.start += used;
        let Some(frame) = self.framer.take() else { return Ok(()) };
        if let Verdict::Pass(bytes) = repair(&frame.text).map_err(refused)? {
            self.up = bytes;
            self.up_at = 0;
            self.bodies = frame.bodies;
        }
        Ok(())
    }
}

fn refused(why: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {why}"))
}

impl AsyncRead for Filter {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let rest = &this.up[this.up_at..];
            if !rest.is_empty() {
                let size = rest.len().min(into.remaining());
                into.put_slice(&rest[..size]);
                this.up_at += size;
                return Poll::Ready(Ok(()));
            }
            if !this.pending.is_empty() {
                this.advance()?;
                continue;
            }
            let mut chunk = ReadBuf::new(&mut this.chunk);
            ready!(Pin::new(&mut this.wire).poll_read(cx, &mut chunk))?;
            this.pending = 0..chunk.filled().len();
            this.received += this.pending.len() as u64;
            if this.pending.is_empty() {
                return Poll::Ready(end(&this.framer));
            }
        }
    }
}

fn end(framer: &Framer) -> io::Result<()> {
    if framer.is_amid() {
        let why = "the server closed the connection in the middle of an answer";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
    }
    Ok(())
}

impl AsyncWrite for Filter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("received", &self.received).finish_non_exhaustive()
    }
}
