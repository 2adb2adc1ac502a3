//! One client's connection: carries bytes between socket and dialogue, and does what the dialogue
//! asks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::config::{Security, Submission as Terms};
use crate::mail::Envelope;
use crate::mail::envelope::{Body, Charset};
use crate::maillog::Event as Said;
use crate::send::accept::{Refusal, Submission};
use crate::send::dialogue::{self, Clear, Dialogue, Event, Reply, Tls};
use crate::send::{Intake, Stamp, Taken, Via, host};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long the rest of a closed connection is listened to, so that the last reply is not lost.
const LINGER: Duration = Duration::from_secs(2);

/// A connection, in the clear or under TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Wire = Box<dyn Stream>;

/// Why a connection ends before the dialogue does: nobody needs to be told.
struct Gone;

/// What a turn of the dialogue leads to.
enum Turn {
    /// More is to be read.
    More,
    /// TLS is to begin.
    Secure,
    /// It is over.
    Over,
}

pub(super) struct Session {
    shared: Arc<Shared>,
    terms: Terms,
    peer: SocketAddr,
    stop: CancellationToken,
    /// When the connection ends in any case.
    deadline: Instant,
    dialogue: Dialogue,
    intake: Option<Intake>,
    host: String,
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        terms: Terms,
        peer: SocketAddr,
        stop: CancellationToken,
    ) -> Self {
        let deadline = Instant::now() + terms.longest;
        let host = host(&terms);
        let local = peer.ip().to_canonical().is_loopback();
        let dialogue = Dialogue::new(dialogue::Terms {
            host: host.clone(),
            max_size: terms.max_size,
            max_recipients: terms.max_recipients,
            tls: if terms.certificate.is_some() { Tls::Offered } else { Tls::None },
            clear: if local { Clear::Allowed } else { Clear::Forbidden },
        });
        Self { shared, terms, peer, stop, deadline, dialogue, intake: None, host }
    }

    /// Serves the client until one of both ends it.
    pub(super) async fn run(mut self, tcp: TcpStream, security: Security) {
        let mut wire: Wire = Box::new(tcp);
        if security == Security::Implicit {
            let greeting = self.dialogue.replies();
            let Ok(secured) = self.secure(wire).await else { return };
            self.dialogue.secured();
            self.dialogue.greet_again(greeting);
            wire = secured;
        }
        let mut buffer = vec![0; PIECE];
        let mut filled = 0;
        loop {
            let input = &buffer[..filled];
            match self.turn(&mut wire, input).await {
                Ok(Turn::More) => {}
                Ok(Turn::Secure) => {
                    let Ok(secured) = self.secure(wire).await else { return };
                    wire = secured;
                    self.dialogue.secured();
                }
                Ok(Turn::Over) => return linger(&mut wire, &mut buffer).await,
                Err(Gone) => return,
            }
            filled = match self.read(&mut wire, &mut buffer).await {
                Some(0) | None => 0,
                Some(read) => read,
            };
            if filled == 0 && self.dialogue.has_replies() {
                // It ends with a word.
                let _ = self.send(&mut wire).await;
                return linger(&mut wire, &mut buffer).await;
            }
            if filled == 0 {
                return;
            }
        }
    }

    /// Reads on; `None` where the client has gone. Where the time is up or the engine ends, the reply
    /// is ready and nothing was read.
    async fn read(&mut self, wire: &mut Wire, buffer: &mut [u8]) -> Option<usize> {
        let until = (Instant::now() + self.terms.idle).min(self.deadline);
        let reply = tokio::select! {
            read = wire.read(buffer) => return read.ok(),
            () = tokio::time::sleep_until(until) => {
                Reply::new(421, "4.4.2", "nothing came for too long: good bye")
            }
            () = self.stop.cancelled() => {
                Reply::new(421, "4.3.2", "the server ends: try again later")
            }
        };
        self.intake = None;
        self.dialogue.end(&reply);
        Some(0)
    }

    /// Goes on with what was read, until more is needed.
    async fn turn(&mut self, wire: &mut Wire, mut input: &[u8]) -> Result<Turn, Gone> {
        loop {
            match self.dialogue.step(&mut input) {
                Event::More => {
                    self.send(wire).await?;
                    return Ok(Turn::More);
                }
                Event::Flush => self.send(wire).await?,
                Event::StartTls => {
                    self.send(wire).await?;
                    return Ok(Turn::Secure);
                }
                Event::Login(login) => self.login(login).await,
                Event::Begin => {
                    self.intake = Some(Intake::begin(&self.shared.spool, self.stamp()));
                    self.dialogue.begun(Ok(()));
                }
                Event::Content(piece) => self.content(&piece).await,
                Event::Discard => self.intake = None,
                Event::Complete(envelope) => self.complete(*envelope).await,
                Event::Close => {
                    self.send(wire).await?;
                    return Ok(Turn::Over);
                }
            }
        }
    }

    /// Sends the replies. A client that does not read them is gone.
    async fn send(&mut self, wire: &mut Wire) -> Result<(), Gone> {
        let replies = self.dialogue.replies();
        if replies.is_empty() {
            return Ok(());
        }
        let sent = async {
            wire.write_all(&replies).await?;
            wire.flush().await
        };
        match tokio::time::timeout(self.terms.idle, sent).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    async fn secure(&self, wire: Wire) -> Result<Wire, Gone> {
        let generation = self.shared.live.now();
        let now = generation.config().submission.as_ref();
        let certificate = now.and_then(|now| now.certificate.clone()).ok_or(Gone)?;
        let shared = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || shared.certificates.config(&certificate));
        let config = match read.await.map_err(|_| Gone)? {
            Ok((config, trouble)) => {
                if let Some(error) = trouble {
                    let text = format!("{error}; the one before stays in use");
                    self.warn(text);
                }
                config
            }
            Err(error) => {
                self.warn(error.to_string());
                return Err(Gone);
            }
        };
        let secured = TlsAcceptor::from(config).accept(wire);
        match tokio::time::timeout(HANDSHAKE, secured).await {
            Ok(Ok(secured)) => Ok(Box::new(secured)),
            _ => Err(Gone),
        }
    }

    async fn login(&mut self, login: dialogue::Login) {
        let generation = self.shared.live.now();
        let (client, user) = (self.peer.ip(), login.user.clone());
        match self.shared.door.open(generation.config(), client, login).await {
            Ok(user) => self.dialogue.logged_in(Ok(user)),
            Err(failed) => {
                let cause = failed.cause.map(|error| format!(": {error}")).unwrap_or_default();
                let user: String = user.chars().take(100).collect();
                let text = format!("login of \"{user}\" from {client} failed{cause}");
                self.warn(text);
                self.dialogue.logged_in(Err(failed.reply));
            }
        }
    }

    fn stamp(&self) -> Stamp {
        let tls = self.dialogue.tls() == Tls::Active;
        let via = Via::Smtp {
            name: self.dialogue.hello().map(|hello| hello.name.clone()).unwrap_or_default(),
            peer: self.peer,
            with: match (tls, self.dialogue.charset()) {
                (true, Charset::Ascii) => "ESMTPSA",
                (false, Charset::Ascii) => "ESMTPA",
                (true, Charset::Utf8) => "UTF8SMTPSA",
                (false, Charset::Utf8) => "UTF8SMTPA",
            },
        };
        Stamp::new(&self.host, self.shared.clock.now_ms(), via)
    }

    async fn content(&mut self, piece: &[u8]) {
        let Some(intake) = &mut self.intake else { return };
        if let Err(refusal) = intake.write(piece).await {
            self.intake = None;
            let reply = self.told(refusal);
            self.dialogue.fail(reply);
        }
    }

    async fn complete(&mut self, envelope: Envelope) {
        let user = self.dialogue.user().map(str::to_owned);
        let reply = match (self.intake.take(), user) {
            (Some(intake), Some(user)) => match self.accept(intake, user, envelope).await {
                Ok(reply) => reply,
                Err(refusal) => self.told(refusal),
            },
            _ => Reply::new(451, "4.3.0", "the message was lost on the way: try again later"),
        };
        self.dialogue.answered(&reply);
    }

    async fn accept(
        &self,
        intake: Intake,
        user: String,
        mut envelope: Envelope,
    ) -> Result<Reply, Refusal> {
        let Taken { head, file, body } = intake.finish().await?;
        if body == Body::EightBitMime {
            // Many programs send it and do not say so.
            envelope.body = body;
        }
        let submission = Submission { user, envelope, head, file, changes: Vec::new() };
        let accepted = self.shared.accept.accept(submission).await?;
        let text = match accepted.held {
            None => format!("queued as {}", accepted.id),
            Some(_) => format!("queued as {}, held until a person looks at it", accepted.id),
        };
        Ok(Reply::new(250, "2.0.0", text))
    }

    /// What the client is told; what it need not know goes into the log.
    fn told(&self, refusal: Refusal) -> Reply {
        let Refusal { reply, cause } = refusal;
        let cause = cause.map(|error| format!(": {error}")).unwrap_or_default();
        let user = self.dialogue.user().unwrap_or_default();
        let text = format!("a message of {user} from {} was refused: {reply}{cause}", self.peer);
        self.warn(text);
        reply
    }

    fn warn(&self, text: String) {
        self.shared.log.say(&Said::Warning { text });
    }
}

/// Waits for the client to have read the last reply: closing a socket with unread input resets it.
async fn linger(wire: &mut Wire, buffer: &mut [u8]) {
    let rest = async {
        let _ = wire.shutdown().await;
        while wire.read(buffer).await.is_ok_and(|read| read > 0) {}
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}
