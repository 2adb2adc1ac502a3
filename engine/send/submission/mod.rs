//! The submission listener (RFC 6409): sockets, TLS, time-outs, passwords. What is said over a
//! connection is the business of [`super::dialogue`], what becomes of a message that of whoever
//! [`Accept`]s it.
//!
//! | while | the client is told | on disk |
//! | --- | --- | --- |
//! | the message comes in | – | at most an unfinished file, which goes with the connection |
//! | it is complete and being accepted | – | the spool file and the entry are synced |
//! | it was accepted | `250 2.0.0 queued as N` | it survives a loss of power |
//!
//! A connection that ends before `250` was written may have its message accepted all the same, as SMTP
//! has it: the client cannot know, and sends again with the same Message-ID.
//!
//! Users, rights, limits and pipelines are taken from the generation in force at the start of each
//! connection and of each login and message, so a reload needs no new listener.

mod gate;
mod login;
mod session;
mod throttle;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Accept, Spool};
use crate::clock::Clock;
use crate::config::{Listen, Submission};
use crate::error::{Error, Result};
use crate::maillog::{Event, Maillog};
use crate::pipeline::Live;

use gate::Gate;
use login::Door;
use session::Session;
use tls::Certificates;

/// How long to wait when the system has no socket left.
const SHORT_OF_SOCKETS: Duration = Duration::from_millis(200);

/// What all connections share. Cheap to clone.
#[derive(Clone)]
pub struct Counter {
    shared: Arc<Shared>,
}

struct Shared {
    live: Live,
    spool: Spool,
    accept: Arc<dyn Accept>,
    log: Maillog,
    clock: Clock,
    door: Door,
    gate: Gate,
    certificates: Certificates,
    connections: TaskTracker,
}

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    /// As it is configured.
    pub listen: Listen,
}

impl Listener {
    /// Binds the socket.
    ///
    /// # Errors
    /// Temporary: the address is in use, may not be used, or is not of this machine.
    pub async fn bind(listen: Listen) -> Result<Self> {
        let socket = TcpListener::bind(listen.address).await.map_err(|why| {
            Error::temporary(format!("listen on {} for mail", listen.address), why)
                .next("free it, or set another `listen` in [submission]")
        })?;
        Ok(Self { socket, listen })
    }

    /// Where clients connect to, with the port that the system chose where it was to choose.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.listen.address)
    }
}

impl Counter {
    /// Takes in messages for whoever accepts them.
    pub fn new(
        live: Live,
        spool: Spool,
        accept: Arc<dyn Accept>,
        (log, clock): (Maillog, Clock),
    ) -> Self {
        let shared = Shared {
            live,
            spool,
            accept,
            log,
            clock,
            door: Door::new(),
            gate: Gate::default(),
            certificates: Certificates::default(),
            connections: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether the certificate of the configuration can be used. Blocks.
    ///
    /// # Errors
    /// Permanent: it cannot.
    pub fn check(&self, submission: &Submission) -> Result<()> {
        let certificate = submission.certificate.as_ref();
        certificate.map_or(Ok(()), |files| self.shared.certificates.config(files).map(|_| ()))
    }

    /// Serves the clients of a socket until `stop`. Connections go on until they notice it, too.
    pub async fn serve(&self, listener: Listener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((tcp, peer)) => self.connected(&listener.listen, (tcp, peer), &stop),
                Err(why) if is_of_client(&why) => {}
                Err(why) => {
                    let text = format!("no connection can be accepted for submission: {why}");
                    self.shared.log.say(&Event::Warning { text });
                    tokio::time::sleep(SHORT_OF_SOCKETS).await;
                }
            }
        }
    }

    fn connected(
        &self,
        listen: &Listen,
        (tcp, peer): (TcpStream, SocketAddr),
        stop: &CancellationToken,
    ) {
        let generation = self.shared.live.now();
        let Some(terms) = generation.config().submission.clone() else { return };
        let most = (terms.max_connections, terms.max_per_client);
        let pass = self.shared.gate.enter(peer.ip().to_canonical(), most.0, most.1);
        // It is a line at a time each way: waiting for more to send would only cost time.
        let _ = tcp.set_nodelay(true);
        let Some(pass) = pass else {
            turn_away(&tcp);
            return;
        };
        let session = Session::new(self.shared.clone(), terms, peer, stop.clone());
        let security = listen.security;
        self.shared.connections.spawn(async move {
            session.run(tcp, security).await;
            drop(pass);
        });
    }

    /// Waits until no connection is left.
    pub async fn empty(&self) {
        self.shared.connections.close();
        self.shared.connections.wait().await;
    }
}

/// Tells a client that there are too many; who does not take it in one go does without.
fn turn_away(tcp: &TcpStream) {
    let _ = tcp.try_write(b"421 4.7.0 too many connections: try again later\r\n");
}

/// Whether only the client that was about to connect is concerned.
fn is_of_client(why: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(why.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}
