//! Hands over messages, as a mail program does: one command after another, many sessions at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Result;

/// Who logs in.
#[derive(Clone, Copy)]
pub(crate) struct Login {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

/// What is handed over.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) sessions: usize,
    pub(crate) messages: usize,
    pub(crate) size: usize,
}

/// How long that took.
pub(crate) struct Took {
    pub(crate) wall: Duration,
    messages: usize,
    /// From the end of the data to the 250.
    answers: Vec<Duration>,
}

impl Load {
    /// Hands it over; the clock starts when all sessions are logged in.
    pub(crate) async fn run(self, port: u16, login: Option<Login>) -> Result<Took> {
        let (next, message) = (Arc::new(AtomicUsize::new(0)), Arc::new(message(self.size)));
        let mut peers = Vec::new();
        for _ in 0..self.sessions {
            peers.push(Peer::to(port, login).await?);
        }
        let began = Instant::now();
        let mut sessions = tokio::task::JoinSet::new();
        for peer in peers {
            let (next, message) = (next.clone(), message.clone());
            sessions.spawn(async move {
                let session = session(peer, self.messages, &next, &message).await;
                session.map_err(|why| why.to_string())
            });
        }
        let mut answers = Vec::with_capacity(self.messages);
        while let Some(ended) = sessions.join_next().await {
            answers.extend(ended??);
        }
        answers.sort();
        Ok(Took { wall: began.elapsed(), messages: self.messages, answers })
    }
}

async fn session(
    mut peer: Peer,
    messages: usize,
    next: &AtomicUsize,
    message: &[u8],
) -> Result<Vec<Duration>> {
    let mut answers = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= messages {
            break;
        }
        peer.say("MAIL FROM:<anna@example.com>\r\n", "250").await?;
        peer.say("RCPT TO:<someone@example.org>\r\n", "250").await?;
        peer.say("DATA\r\n", "354").await?;
        peer.0.get_mut().write_all(message).await?;
        let sent = Instant::now();
        peer.answer("250").await?;
        answers.push(sent.elapsed());
    }
    peer.say("QUIT\r\n", "221").await?;
    Ok(answers)
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    /// A session that is logged in.
    async fn to(port: u16, login: Option<Login>) -> Result<Self> {
        let mut peer = Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?));
        peer.0.get_ref().set_nodelay(true)?;
        peer.answer("220").await?;
        peer.say("EHLO localhost\r\n", "250").await?;
        if let Some(Login { user, password }) = login {
            let secret = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
            peer.say(&format!("AUTH PLAIN {secret}\r\n"), "235").await?;
        }
        Ok(peer)
    }

    async fn say(&mut self, line: &str, code: &str) -> Result<()> {
        self.0.get_mut().write_all(line.as_bytes()).await?;
        self.answer(code).await
    }

    async fn answer(&mut self, code: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if !line.starts_with(code) {
                return Err(format!("not {code}: {}", line.trim_end()).into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

/// A text of this size, with the dot that ends it.
fn message(size: usize) -> Vec<u8> {
    let mut text = b"From: Anna <anna@example.com>\r\nTo: someone@example.org\r\n\
        Subject: Rechnung\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        .to_vec();
    let line = b"The quick brown fox jumps over the lazy dog, and over it again and again.\r\n";
    while text.len() < size {
        text.extend(line);
    }
    text.extend(b".\r\n");
    text
}

impl Took {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.wall.as_secs_f64()
    }

    fn answered(&self, percent: usize) -> f64 {
        let at = (self.answers.len() * percent / 100).min(self.answers.len().saturating_sub(1));
        self.answers.get(at).map_or(0.0, |answer| answer.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, rate) = (self.wall.as_secs_f64(), self.rate());
        let (half, most) = (self.answered(50), self.answered(99));
        write!(f, "{wall:6.2} s  {rate:6.0}/s  250 after {half:.1} ms (p50), {most:.1} ms (p99)")
    }
}
