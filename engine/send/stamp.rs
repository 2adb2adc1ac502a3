//! What a message gets when it is taken in: `Received:` (RFC 5321 section 4.4), a Date and a
//! Message-ID where it has none (RFC 6409 section 8); and what it loses: Bcc.

use std::net::SocketAddr;

use super::dialogue::Reply;
use super::token::token;
use crate::mail::Message;

/// The most `Received:` fields of a message; one with more goes round in a circle.
const MOST_HOPS: usize = 50;

/// Fields that are for the one who hands a message over.
const FOR_US: [&str; 3] = ["Bcc", "Resent-Bcc", "Return-Path"];

/// What is to be written into a message.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The server's name, which Message-IDs end with.
    host: String,
    now_ms: i64,
    /// How it came; `None` where nobody is told.
    via: Option<Via>,
    /// The From of a message that has none.
    from: Option<String>,
}

/// How a message came.
#[derive(Debug, Clone)]
pub enum Via {
    /// By SMTP.
    Smtp {
        /// What the client said it is.
        name: String,
        /// Where it came from.
        peer: SocketAddr,
        /// `ESMTPSA` and the like (RFC 3848).
        with: &'static str,
    },
    /// By the `sendmail` command of a user of this machine.
    Command {
        /// The user's number.
        uid: u32,
    },
}

impl Stamp {
    /// For a message that comes now.
    pub fn new(host: &str, now_ms: i64, via: Via) -> Self {
        Self { host: host.to_owned(), now_ms, via: Some(via), from: None }
    }

    /// The same, with a From for a message that has none.
    #[must_use]
    pub fn or_from(self, from: Option<String>) -> Self {
        Self { from, ..self }
    }

    /// One that tells nobody how a message came.
    #[cfg(test)]
    pub(super) fn bare() -> Self {
        Self { host: "mx.example.com".into(), now_ms: 0, via: None, from: None }
    }

    /// The header block of a message that is taken.
    ///
    /// # Errors
    /// 554 where the message goes round in a circle.
    pub(super) fn apply(&self, head: Vec<u8>) -> Result<Vec<u8>, Reply> {
        let head = without_mbox_line(head);
        let message = Message::from_headers(head);
        if message.headers("Received").len() > MOST_HOPS {
            return Err(Reply::new(554, "5.4.6", "the message goes round in a circle"));
        }
        let mut message = message.with_headers_removed(&FOR_US);
        let date = date(self.now_ms);
        if message.header("Date").is_none() {
            message = message.with_header_added("Date", &date);
        }
        if let Some(from) = &self.from
            && message.header("From").is_none()
        {
            message = message.with_header_added("From", from);
        }
        if message.header("Message-ID").is_none() {
            let id = format!("<{}@{}>", token(), self.host);
            message = message.with_header_added("Message-ID", &id);
        }
        let received = self.via.as_ref().map(|via| self.received(via, &date)).unwrap_or_default();
        Ok([received.as_bytes(), message.head_block()].concat())
    }

    fn received(&self, via: &Via, date: &str) -> String {
        let (host, id) = (&self.host, token());
        match via {
            Via::Smtp { name, peer, with } => {
                let ip = peer.ip().to_canonical();
                let name = if name.is_empty() { "unknown" } else { name };
                let tag = if ip.is_ipv6() { "IPv6:" } else { "" };
                format!(
                    "Received: from {name} ([{tag}{ip}])\r\n\tby {host} with {with} id {id};\r\n\t{date}\r\n"
                )
            }
            Via::Command { uid } => {
                format!(
                    "Received: by {host} (mailmill, from userid {uid})\r\n\tid {id}; {date}\r\n"
                )
            }
        }
    }
}

/// The line that mbox files and old programs put in front.
fn without_mbox_line(mut head: Vec<u8>) -> Vec<u8> {
    if head.starts_with(b"From ")
        && let Some(end) = head.iter().position(|byte| *byte == b'\n')
    {
        head.drain(..=end);
    }
    head
}

/// RFC 5322 section 3.3, in UTC.
fn date(unix_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Stamp, Via};

    fn stamped(via: Via, head: &str) -> String {
        let stamp = Stamp::new("mx.example.com", 1_764_000_000_000, via);
        String::from_utf8(stamp.apply(head.into()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        let via = || Via::Smtp {
            name: "laptop".into(),
            peer: "[::ffff:192.0.2.1]:4000".parse().unwrap(),
            with: "ESMTPSA",
        };
        let bare = stamped(via(), "From: a@b\r\n\r\n");
        let start = "Received: from laptop ([192.0.2.1])\r\n\tby mx.example.com with ESMTPSA id ";
        assert!(bare.starts_with(start), "{bare}");
        assert!(bare.contains("Date: Mon, 24 Nov 2025 16:00:00 +0000\r\n"), "{bare}");
        assert!(bare.contains("@mx.example.com>\r\n") && bare.ends_with("From: a@b\r\n\r\n"));
        let full = stamped(via(), "Date: x\r\nMessage-ID: <1@b>\r\n\r\n");
        assert!(full.ends_with("+0000\r\nDate: x\r\nMessage-ID: <1@b>\r\n\r\n"), "{full}");
        let other = stamped(Via::Command { uid: 1000 }, "From: a@b\r\n\r\n");
        assert!(other.starts_with("Received: by mx.example.com (mailmill, from userid 1000)"));
    }

    #[test]
    fn a_message_that_goes_round_is_refused() {
        let head = format!("{}\r\n", "Received: x\r\n".repeat(51));
        assert_eq!(Stamp::bare().apply(head.into()).unwrap_err().code, 554);
    }
}
