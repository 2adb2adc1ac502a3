//! A scripted IMAP peer on loopback, for what no real server does on demand.
//!
//! The test gives the conversation as an async function over a [`Peer`]; a failed expectation in it
//! fails the test at [`FakeImap::finish`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mailmill::config::{Imap, Security, secret};
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub const USER: &str = "alice@example.test";
pub const PASSWORD: &str = "hunter2-secret";

pub struct FakeImap {
    pub port: u16,
    task: JoinHandle<()>,
}

impl FakeImap {
    /// Takes one connection and plays the script on it.
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: FnOnce(Peer) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            script(Peer { stream: BufReader::new(Box::new(stream)), heard: Vec::new() }).await;
        });
        Self { port, task }
    }

    /// Where to find it; clear text unless said otherwise.
    pub fn settings(&self, security: Security) -> Imap {
        Imap {
            host: "127.0.0.1".into(),
            port: self.port,
            security,
            ca: None,
            user: USER.into(),
            password: secret::Source::Env("NOT_READ_HERE".into()),
        }
    }

    /// Waits for the script's end and passes its failure on.
    pub async fn finish(self) {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await;
        ended.expect("the script does not end").expect("the script failed");
    }
}

/// One command as the client sent it, literals in place.
#[derive(Debug, Clone)]
pub struct Said {
    pub tag: String,
    /// Without the tag: `UID FETCH 1:3 (UID)`.
    pub text: String,
}

/// A connection, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

pub struct Peer {
    stream: BufReader<Box<dyn Wire>>,
    /// Every command so far, without its tag.
    pub heard: Vec<String>,
}

impl Peer {
    /// Sends bytes as they are; `\r\n` is the script's to write. A client that has gone is no
    /// failure here.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref()).await;
        let _ = self.stream.get_mut().flush().await;
    }

    /// Goes on inside TLS.
    ///
    /// # Errors
    /// The client does not shake hands.
    pub async fn into_tls(self, config: Arc<ServerConfig>) -> std::io::Result<Self> {
        assert!(self.stream.buffer().is_empty(), "the client said something before TLS");
        let stream = TlsAcceptor::from(config).accept(self.stream.into_inner()).await?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), heard: self.heard })
    }

    /// Hands the rest of the connection to another server of this machine.
    pub async fn pipe_to(mut self, port: u16) {
        let mut other = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut self.stream, &mut other).await;
    }

    /// The next command; `None` when the client has gone. Literals are asked for.
    pub async fn next(&mut self) -> Option<Said> {
        let mut line = self.line().await?;
        while let Some((size, waits)) = announced(&line) {
            if waits {
                self.send("+ go\r\n").await;
            }
            let mut literal = vec![0; size];
            self.stream.read_exact(&mut literal).await.ok()?;
            line.push_str("\r\n");
            line.push_str(&String::from_utf8_lossy(&literal));
            line.push_str(&self.line().await?);
        }
        let (tag, text) = line.split_once(' ').unwrap_or((&line, ""));
        self.heard.push(text.to_owned());
        Some(Said { tag: tag.into(), text: text.into() })
    }

    /// The next line as it is, without its end.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let size = self.stream.read_until(b'\n', &mut line).await.ok()?;
        (size > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next command, which must begin so; gives its tag.
    pub async fn expect(&mut self, start: &str) -> String {
        let said = self.next().await.unwrap_or_else(|| panic!("expected {start}, got the end"));
        assert!(said.text.starts_with(start), "expected {start}, got {}", said.text);
        said.tag
    }

    /// Expects a command and answers: untagged lines (each ending in CRLF), then OK.
    pub async fn answer(&mut self, start: &str, untagged: &str) {
        let tag = self.expect(start).await;
        self.send(format!("{untagged}{tag} OK done\r\n")).await;
    }

    /// Expects a command and answers it with this status and text.
    pub async fn refuse(&mut self, start: &str, refusal: &str) {
        let tag = self.expect(start).await;
        self.send(format!("{tag} {refusal}\r\n")).await;
    }

    /// Greeting, capabilities, LOGIN, capabilities, delimiter `/`.
    pub async fn log_in(&mut self, capabilities: &str) {
        self.log_in_with_delimiter(capabilities, "\"/\"").await;
    }

    pub async fn log_in_with_delimiter(&mut self, capabilities: &str, delimiter: &str) {
        self.send("* OK ready\r\n").await;
        self.log_in_greeted(capabilities, delimiter).await;
    }

    /// As [`Peer::log_in`], where the greeting was given before TLS.
    pub async fn log_in_after(&mut self, greeting: &str, capabilities: &str) {
        self.send(greeting).await;
        self.log_in_greeted(capabilities, "\"/\"").await;
    }

    async fn log_in_greeted(&mut self, capabilities: &str, delimiter: &str) {
        let told = format!("* CAPABILITY IMAP4rev1 {capabilities}\r\n");
        self.answer("CAPABILITY", &told).await;
        self.answer("LOGIN", "").await;
        self.answer("CAPABILITY", &told).await;
        self.answer("LIST \"\" \"\"", &format!("* LIST (\\Noselect) {delimiter} \"\"\r\n")).await;
    }

    /// SELECT of a mailbox with this many messages, UIDs from 1.
    pub async fn select(&mut self, exists: u32) {
        let uidnext = exists + 1;
        let told = format!(
            "* FLAGS (\\Seen \\Deleted)\r\n* {exists} EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\n\
             * OK [UIDNEXT {uidnext}] ok\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] ok\r\n"
        );
        self.answer("SELECT", &told).await;
    }

    /// Reads until the client goes.
    pub async fn until_end(&mut self) {
        while self.line().await.is_some() {}
    }
}

/// The literal that a line ends with: its size, and whether the client waits for the go-ahead.
fn announced(line: &str) -> Option<(usize, bool)> {
    let inner = line.strip_suffix('}')?.rsplit_once('{')?.1;
    match inner.strip_suffix('+') {
        Some(digits) => Some((digits.parse().ok()?, false)),
        None => Some((inner.parse().ok()?, true)),
    }
}
