//! A connection as lines and bytes: each line limited in length, each step in time. After a step that
//! failed the connection is of no more use: what was half written or half read is not known.

use std::fmt::Display;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::refusal::Failure;
use super::reply::{Replies, Reply};

/// Bytes of one line of an answer (RFC 5321 section 4.5.3.1.5 says 512).
const LONGEST_LINE: usize = 4 << 10;

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection to a server.
pub(super) struct Wire<S = Box<dyn Stream>> {
    stream: S,
    received: Vec<u8>,
    /// The longest that any step may take.
    longest: Duration,
}

impl<S: Stream> Wire<S> {
    pub(super) fn new(stream: S, longest: Duration) -> Self {
        Self { stream, received: Vec::new(), longest }
    }

    /// The bare connection, with what the server said and was not asked for.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.received)
    }

    /// Sends a command and reads its answer.
    pub(super) async fn ask(&mut self, command: &str, limit: Duration) -> Result<Reply, Failure> {
        let line = Zeroizing::new(format!("{command}\r\n"));
        self.send(line.as_bytes(), limit).await?;
        self.answer(limit).await
    }

    /// Sends a command of lettre's, which brings its line's end, and reads its answer.
    pub(super) async fn command(
        &mut self,
        command: impl Display,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        self.send(command.to_string().as_bytes(), limit).await?;
        self.answer(limit).await
    }

    /// Sends bytes.
    pub(super) async fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Failure> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(limit.min(self.longest), write).await {
            Ok(written) => written.map_err(|why| Failure::lost(why.to_string())),
            Err(_) => Err(self.too_late(limit)),
        }
    }

    /// The next answer.
    pub(super) async fn answer(&mut self, limit: Duration) -> Result<Reply, Failure> {
        match timeout(limit.min(self.longest), self.next_reply()).await {
            Ok(reply) => reply.map_err(Failure::lost),
            Err(_) => Err(self.too_late(limit)),
        }
    }

    /// Whether the server has said something unasked, for instance that it closes (`421`).
    pub(super) async fn is_quiet(&mut self) -> bool {
        let said = timeout(Duration::ZERO, self.stream.read_buf(&mut self.received)).await;
        said.is_err() && self.received.is_empty()
    }

    async fn next_reply(&mut self) -> Result<Reply, String> {
        let mut replies = Replies::default();
        loop {
            let line = self.next_line().await?;
            if let Some(reply) = replies.take(&line)? {
                return Ok(reply);
            }
        }
    }

    async fn next_line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.received.len() > LONGEST_LINE {
                return Err(format!("the server sent a line of more than {LONGEST_LINE} bytes"));
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(_) => {}
                Err(why) => return Err(why.to_string()),
            }
        }
    }

    fn too_late(&self, limit: Duration) -> Failure {
        let seconds = limit.min(self.longest).as_secs_f64();
        Failure::lost(format!("the server did not answer within {seconds} s"))
    }
}
