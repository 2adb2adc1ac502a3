//! The door for the fuzz targets of `tests/fuzz`, open only when they are built: a whole session,
//! and a name, against any bytes.

use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

use crate::mail::{Flag, MailboxName, Uid};
use crate::mailbox::{Extent, FlagChange, Likeness};

use super::connect::new_session;
use super::filter::Filter;
use super::frame::Limits;
use super::name;
use super::response::Reply;
use super::session::Session;
use super::{SecretString, WaitBy};

/// In what is fuzzed, this byte stands for the tag of the command last sent.
const TAG: u8 = 1;

/// What the client calls have brought forth, for comparing.
pub type Outcomes = Vec<String>;

/// All responses in these bytes, received in pieces of this size, up to the first that is refused.
pub fn responses(bytes: &[u8], piece: usize) -> Outcomes {
    let limits = Limits { text: 4096, literals: 4096 };
    let filter = Filter::new(Box::new(Played::new(bytes, piece)), limits);
    let mut client = async_imap::Client::new(filter);
    let mut seen = Vec::new();
    block_on(async {
        while let Ok(Some(response)) = client.read_response().await {
            let reply = Reply::new(response.parsed(), client.get_mut());
            seen.push(format!("{reply:?}"));
        }
    });
    seen
}

/// A session with a server that sends these bytes, whatever it is asked: login, then the calls
/// that `calls` names.
pub fn session(bytes: &[u8], piece: usize, calls: &[u8]) -> Outcomes {
    let wire = Box::new(Played::new(bytes, piece));
    let mut session = new_session("fuzz".into(), Duration::from_secs(5), 4096, wire);
    block_on(async {
        let secret = SecretString::from("hunter2-secret");
        let mut told = vec![format!("{:?}", session.log_in("alice", &secret).await)];
        told.push(format!("{:?}", session.learn_delimiter().await));
        for call in calls {
            told.push(one_call(&mut session, *call).await);
        }
        told
    })
}

async fn one_call(session: &mut Session, call: u8) -> String {
    let (Ok(target), uids) = (MailboxName::new("A/B"), [Uid(1), Uid(2), Uid(3), Uid(9)]) else {
        return String::new();
    };
    let like = Likeness { message_id: Some("a@b".into()), size: 5, received_ms: None };
    match call % 14 {
        0 => format!("{:?}", session.list_below(&target).await),
        1 => format!("{:?}", session.select(&target).await),
        2 => format!("{:?}", session.uids_above(Uid(0), 10).await),
        3 => format!("{:?}", session.fetch(&uids, Extent::Headers).await),
        4 => format!("{:?}", session.fetch(&uids, Extent::Whole).await),
        5 => format!("{:?}", session.store_flags(&uids, FlagChange::Add, &[Flag::seen()]).await),
        6 => format!("{:?}", session.copy(&uids, &target).await),
        7 => format!("{:?}", session.move_to(&uids, &target).await),
        8 => {
            format!("{:?}", session.append(&target, &b"x\r\n".to_vec().into(), &[], Some(0)).await)
        }
        9 => format!("{:?}", session.expunge(&uids).await),
        10 => format!("{:?}", session.create(&target).await),
        11 => format!("{:?}", session.find(&target, &like).await),
        12 => format!("{:?}", session.wait(WaitBy::Idle, Uid(1), Duration::ZERO).await),
        _ => format!("{:?}", session.wait(WaitBy::Noop, Uid(1), Duration::ZERO).await),
    }
}

/// A server's mailbox name as ours, and ours as the server's again.
pub fn there_and_back(raw: &str, delimiter: Option<char>) -> Option<(MailboxName, String)> {
    let ours = name::decode(raw, delimiter)?;
    let back = name::encode(&ours, delimiter).ok()?;
    Some((ours, back))
}

/// Our name as the server's, and the server's as ours again.
pub fn back_and_there(ours: &MailboxName, delimiter: Option<char>) -> Option<Option<MailboxName>> {
    let raw = name::encode(ours, delimiter).ok()?;
    Some(name::decode(&raw, delimiter))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_time().build().ok());
    match runtime {
        Some(runtime) => runtime.block_on(work),
        None => std::process::abort(),
    }
}

/// A wire that plays bytes in pieces and takes everything.
struct Played {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
    tag: Vec<u8>,
    line: Vec<u8>,
}

impl Played {
    fn new(bytes: &[u8], piece: usize) -> Self {
        let (tag, line) = (b"tag".to_vec(), Vec::new());
        Self { bytes: bytes.to_vec(), at: 0, piece: piece.max(1), tag, line }
    }

    /// The tag is the first word of the last line that begins with a word and a blank.
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.line.clear(),
                b' ' if !self.line.is_empty() && !self.line.contains(&b' ') => {
                    self.tag = self.line.clone();
                    self.line.push(b' ');
                }
                byte => self.line.push(*byte),
            }
        }
    }
}

impl AsyncRead for Played {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.bytes[this.at..];
        let most = rest.len().min(this.piece).min(into.remaining());
        let plain = rest[..most].iter().position(|byte| *byte == TAG).unwrap_or(most);
        if plain == 0 && most > 0 && this.tag.len() <= into.remaining() {
            into.put_slice(&this.tag);
            this.at += 1;
        } else {
            into.put_slice(&rest[..plain]);
            this.at += plain;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Played {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().hear(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
