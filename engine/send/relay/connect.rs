//! From settings to a session: TCP, TLS or STARTTLS, greeting, EHLO, login.
//!
//! There is no way from here to a login in clear text but [`Security::None`], and that only to an
//! address of this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lettre::transport::smtp::commands::{Ehlo, Quit, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::abilities::Abilities;
use super::refusal::Failure;
use super::wire::{Stream, Wire};
use crate::config::{Security, Smtp};
use crate::error::Retry;
use crate::send::machine;
use crate::tls;

/// Limits of the steps (RFC 5321 section 4.5.3.2).
pub(super) const COMMAND: Duration = Duration::from_secs(5 * 60);
const CONNECT: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(60);
const QUIT: Duration = Duration::from_secs(2);

/// A session with a relay, logged in. It is dropped after a failure of [`super::Kind::Connection`].
pub struct Relay {
    pub(super) wire: Wire,
    pub(super) able: Abilities,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("able", &self.able).finish_non_exhaustive()
    }
}

/// Connects and logs in. `folder` is that of the configuration, where commands for secrets start.
///
/// # Errors
/// Whatever keeps the session from being made; nothing of it is a message's fault.
pub async fn connect(settings: &Smtp, folder: &Path) -> Result<Relay, Failure> {
    let mut relay = open(settings).await?;
    if let Some(login) = &settings.login {
        relay.log_in(login, folder).await?;
    }
    Ok(relay)
}

async fn open(settings: &Smtp) -> Result<Relay, Failure> {
    let tcp = open_tcp(settings).await?;
    let (stream, greeted): (Box<dyn Stream>, bool) = match settings.security {
        Security::None => (Box::new(tcp), false),
        Security::Implicit => (Box::new(handshake(settings, tcp).await?), false),
        Security::StartTls => {
            let tcp = start_tls(settings, tcp).await?;
            (Box::new(handshake(settings, tcp).await?), true)
        }
    };
    let mut wire = Wire::new(stream, settings.step);
    if !greeted {
        greeting(&mut wire).await?;
    }
    let able = hello(&mut wire).await?;
    Ok(Relay { wire, able })
}

async fn open_tcp(settings: &Smtp) -> Result<TcpStream, Failure> {
    let Smtp { host, port, .. } = settings;
    let limit = CONNECT.min(settings.step);
    let found = timeout(limit, lookup_host((host.as_str(), *port))).await;
    let found = found.map_err(|_| Failure::lost(format!("look up {host}: no answer")))?;
    let addresses: Vec<SocketAddr> =
        found.map_err(|why| Failure::lost(format!("look up {host}: {why}")))?.collect();
    if settings.security == Security::None && !addresses.iter().all(|at| at.ip().is_loopback()) {
        let why = format!("clear text goes to this machine only, and {host} is another");
        return Err(Failure::of_account(why).next("use smtp:// (STARTTLS) or smtps://"));
    }
    let mut failed = format!("{host} has no address");
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // A connection without it is slower, not wrong.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(why)) => failed = format!("connect to {host} ({address}): {why}"),
            Err(_) => failed = format!("connect to {host} ({address}): no answer"),
        }
    }
    Err(Failure::lost(failed))
}

async fn handshake(
    settings: &Smtp,
    tcp: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let what = format!("connect to {}:{}", settings.host, settings.port);
    let shaken = tls::handshake(&what, &settings.host, settings.ca.as_deref(), tcp);
    let shaken = timeout(HANDSHAKE.min(settings.step), shaken).await;
    let shaken = shaken.map_err(|_| Failure::lost("no TLS handshake within a minute"))?;
    shaken.map_err(|error| match error.retry() {
        // A certificate that is not accepted is for a person to look at.
        Retry::Never => Failure::of_account(error.to_string()),
        Retry::Later => Failure::lost(error.to_string()),
    })
}

/// STARTTLS (RFC 3207). A byte after the server's answer would be taken for one inside TLS: it is an
/// attack. What the server said before TLS is forgotten.
async fn start_tls(settings: &Smtp, tcp: TcpStream) -> Result<TcpStream, Failure> {
    let mut wire = Wire::new(tcp, settings.step);
    greeting(&mut wire).await?;
    if !hello(&mut wire).await?.knows(Extension::StartTls) {
        let why = format!("{} does not offer STARTTLS", settings.host);
        return Err(Failure::of_account(why).next("use smtps:// where the server has it"));
    }
    let answer = wire.command(Starttls, COMMAND).await?;
    if answer.code != 220 {
        return Err(Failure::lost(format!("STARTTLS is refused: {}", answer.shown())));
    }
    let (tcp, rest) = wire.into_parts();
    if !rest.is_empty() {
        let why = "bytes came between STARTTLS and the TLS handshake: somebody may be in between";
        return Err(Failure::lost(why));
    }
    Ok(tcp)
}

async fn greeting(wire: &mut Wire<impl Stream>) -> Result<(), Failure> {
    let greeting = wire.answer(COMMAND).await?;
    if greeting.code == 220 {
        return Ok(());
    }
    // 554 is "no SMTP service here": it is nothing that a message did (RFC 5321 section 3.1).
    Err(Failure::lost(format!("the server's greeting: {}", greeting.shown())))
}

async fn hello(wire: &mut Wire<impl Stream>) -> Result<Abilities, Failure> {
    let answer = wire.command(Ehlo::new(ClientId::Domain(machine())), COMMAND).await?;
    if !answer.is_positive() {
        return Err(Failure::lost(format!("EHLO is refused: {}", answer.shown())));
    }
    Ok(Abilities::of(&answer))
}

impl Relay {
    /// Whether the connection can take another message: the server has not closed it.
    pub async fn is_alive(&mut self) -> bool {
        self.wire.is_quiet().await
    }

    /// Ends the session in order.
    pub async fn quit(mut self) {
        // How it ends says nothing about what was sent.
        let _ = self.wire.command(Quit, QUIT).await;
    }
}
