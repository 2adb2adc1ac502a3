//! From settings to a session: address, TCP, TLS or STARTTLS, greeting, login.
//!
//! There is no way from here to a login in clear text but [`Security::None`], and that only to an
//! address of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use async_imap::Client;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::config::{Imap, Security};
use crate::error::{Context, Error, Result};

use super::filter::{Filter, Wire};
use super::frame::Limits;
use super::random;
use super::refusal::inert;
use super::response::{Code, Reply, Status};
use super::session::{Lost, Session};
use crate::tls;

/// Bytes of text in one response: a search result of some 90,000 UIDs.
const LONGEST_TEXT: usize = 1024 * 1024;

/// Bytes of literals that are always taken, however small `max_size` is: a message with a long
/// header must not end the connection each time it is met.
const LEAST_LITERALS: u64 = 16 * 1024 * 1024;

/// Bytes of a line before TLS.
const LONGEST_LINE: usize = 8 * 1024;

/// Connects and logs in, within `deadline` for all of it.
pub(super) async fn connect(
    settings: &Imap,
    secret: &SecretString,
    deadline: Duration,
    max_size: u64,
) -> Result<Session> {
    let place = format!("{} at {}:{}", settings.user, settings.host, settings.port);
    let what = format!("connect as {place}");
    let steps = async {
        let wire = open(&what, settings).await?;
        let mut session = new_session(place.clone(), deadline, max_size, wire);
        if settings.security != Security::StartTls {
            session.greeting(&what).await?;
        }
        session.log_in(&settings.user, secret).await?;
        session.learn_delimiter().await?;
        Ok(session)
    };
    match timeout(deadline, steps).await {
        Ok(result) => result,
        Err(_) => {
            let why = format!("not connected within {} s", deadline.as_secs_f64());
            Err(Error::temporary(&what, why)
                .next("check host and port, and that no firewall is between"))
        }
    }
}

/// A session over a connection on which nothing was said yet.
pub(super) fn new_session(
    place: String,
    deadline: Duration,
    max_size: u64,
    wire: Box<dyn Wire>,
) -> Session {
    // RFC822.SIZE may be an estimate (Exchange): a message may be somewhat larger than it says.
    let literals = max_size.saturating_add(max_size / 8).max(LEAST_LITERALS);
    Session {
        client: Client::new(Filter::new(wire, Limits { text: LONGEST_TEXT, literals })),
        deadline,
        place,
        capabilities: BTreeSet::new(),
        delimiter: None,
        selected: None,
        uidvalidities: BTreeMap::new(),
        exists: 0,
        uidnext: 0,
        news: false,
        looked_up_to: None,
        idling: None,
        broken: None,
        refusal: None,
        secrets: Vec::new(),
    }
}

async fn open(what: &str, settings: &Imap) -> Result<Box<dyn Wire>> {
    let ca = settings.ca.as_deref();
    let mut tcp = open_tcp(what, settings).await?;
    match settings.security {
        Security::None => Ok(Box::new(tcp)),
        Security::Implicit => Ok(Box::new(tls::handshake(what, &settings.host, ca, tcp).await?)),
        Security::StartTls => {
            start_tls(what, &mut tcp).await?;
            Ok(Box::new(tls::handshake(what, &settings.host, ca, tcp).await?))
        }
    }
}

async fn open_tcp(what: &str, settings: &Imap) -> Result<TcpStream> {
    let host = (settings.host.as_str(), settings.port);
    let addresses: Vec<SocketAddr> = lookup_host(host)
        .await
        .map_err(|why| {
            let why = format!("look up {}: {why}", settings.host);
            Error::temporary(what, why)
                .next("is the host right, and does this machine reach a DNS?")
        })?
        .collect();
    if settings.security == Security::None && !addresses.iter().all(|at| at.ip().is_loopback()) {
        let why = format!("clear text goes to this machine only, and {} is another", settings.host);
        return Err(Error::permanent(what, why).next("use imaps:// or imap:// (STARTTLS)"));
    }
    let mut failed = format!("{} has no address", settings.host);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                tcp.set_nodelay(true).or_later(|| what.to_owned())?;
                return Ok(tcp);
            }
            Err(why) => failed = format!("{address}: {why}"),
        }
    }
    Err(Error::temporary(what, failed)
        .next("is the server up, and are host and port right? No firewall may be between"))
}

/// STARTTLS (RFC 9051 section 6.2.1) on the bare connection. Nothing that the server says before
/// TLS is kept, and a byte after its OK would be taken for one inside TLS: it is an attack.
async fn start_tls(what: &str, tcp: &mut TcpStream) -> Result<()> {
    let mut lines = ClearLines { tcp, received: Vec::new() };
    let broken = |why: String| Error::temporary(what, why);
    let greeting = lines.next().await.map_err(broken)?;
    if !starts(&greeting, "* OK") {
        return Err(not_greeted(what, &greeting));
    }
    let tag = random::token();
    lines
        .tcp
        .write_all(format!("{tag} STARTTLS\r\n").as_bytes())
        .await
        .or_later(|| what.to_owned())?;
    loop {
        let line = lines.next().await.map_err(broken)?;
        if starts(&line, "* BYE") {
            return Err(broken(inert(&line)));
        }
        if line.starts_with("* ") {
            continue;
        }
        let Some(answer) = line.strip_prefix(&format!("{tag} ")) else {
            return Err(broken("the server answered a command that was not sent".into()));
        };
        if !starts(answer, "OK") {
            let why = format!("STARTTLS is refused: {}", inert(answer));
            return Err(Error::permanent(what, why).next("use imaps:// where the server has it"));
        }
        return match lines.received.is_empty() {
            true => Ok(()),
            false => Err(broken(
                "bytes came between STARTTLS and the TLS handshake: somebody may be in between"
                    .into(),
            )),
        };
    }
}

fn not_greeted(what: &str, greeting: &str) -> Error {
    if starts(greeting, "* PREAUTH") {
        return preauth(what);
    }
    Error::temporary(what, format!("the server's greeting: {}", inert(greeting)))
}

/// A session that is logged in already cannot be protected any more, and is of an unknown user.
fn preauth(what: &str) -> Error {
    let why = "the server says that somebody is logged in already (PREAUTH)";
    Error::permanent(what, why).next("use imaps://, and ask the server's administrator")
}

fn starts(line: &str, word: &str) -> bool {
    let start = line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    start && matches!(line.as_bytes().get(word.len()), None | Some(b' '))
}

/// Lines before TLS.
struct ClearLines<'a> {
    tcp: &'a mut TcpStream,
    received: Vec<u8>,
}

impl ClearLines<'_> {
    async fn next(&mut self) -> std::result::Result<String, String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.received.len() > LONGEST_LINE {
                return Err(format!("the server sent a line of more than {LONGEST_LINE} bytes"));
            }
            match self.tcp.read_buf(&mut self.received).await {
                Ok(0) => return Err("the server closed the connection before TLS".into()),
                Ok(_) => {}
                Err(why) => return Err(why.to_string()),
            }
        }
    }
}

impl Session {
    async fn greeting(&mut self, what: &str) -> Result<()> {
        let mut pace = self.pace();
        let reply = match self.next(&mut pace).await {
            Ok(reply) => reply,
            Err(why) => return Err(self.lost("connect", Lost::Broken(why))),
        };
        match reply {
            Reply::Status(said) if said.status == Status::Ok => {
                if let Some(Code::Capabilities(told)) = said.code {
                    self.capabilities = told;
                }
                Ok(())
            }
            Reply::Status(said) if said.status == Status::Preauth => Err(preauth(what)),
            Reply::Status(said) => Err(self.lost("connect", Lost::Bye(said))),
            _ => Err(Error::temporary(what, "the server's first words are no IMAP greeting")),
        }
    }
}
