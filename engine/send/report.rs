//! Reports to the sender of a message (RFC 3464): that it was not delivered, takes longer, or was
//! handed to a server that reports nothing itself (RFC 3461 section 5.2).
//!
//! A report has the null reverse-path, so that none is ever sent about a report. Foreign text in it is
//! made harmless and ASCII.

use std::io::Read;

use super::promise;
use super::queue::Outgoing;
use super::spool::Spool;
use crate::error::{Context, Result};
use crate::mail::envelope::{Body, Charset, EnvelopeAddress, Orcpt, Ret};
use crate::mail::{Envelope, inert};
use crate::store::{Origin, QueueEntry, QueuedRecipient, RecipientState};

/// Bytes of a header that are returned.
const MOST_HEADER: u64 = 64 << 10;
/// Bytes of a message that are returned whole where the sender asked for it.
const MOST_FULL: u64 = 256 << 10;

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It will not be delivered.
    Failed,
    /// It takes longer, and is given up at this Unix time in milliseconds.
    Delayed { until_ms: i64 },
    /// It was handed to a server that reports nothing itself.
    Relayed,
}

/// A report's text and what goes with it.
pub(super) struct Report {
    pub(super) outgoing: Outgoing,
    pub(super) text: Vec<u8>,
}

/// The report about these recipients of an entry; `None` where nobody wants one.
///
/// # Errors
/// The message cannot be read.
pub(super) fn of(
    news: News,
    entry: &QueueEntry,
    recipients: &[usize],
    (spool, host, now_ms): (&Spool, &str, i64),
) -> Result<Option<Report>> {
    let Some(to) = entry.reverse_path.clone() else { return Ok(None) };
    let wants = |recipient: &&QueuedRecipient| match news {
        News::Failed => recipient.notify.failure(),
        News::Delayed { .. } => recipient.notify.delay(),
        News::Relayed => recipient.notify.success(),
    };
    let about: Vec<&QueuedRecipient> =
        recipients.iter().filter_map(|at| entry.recipients.get(*at)).filter(wants).collect();
    if about.is_empty() {
        return Ok(None);
    }
    let returned = returned(entry, spool)?;
    let letter = Letter { news, entry, about, to: &to, host, now_ms };
    let id = letter.id();
    let text = letter.write(&id, &returned);
    let outgoing = Outgoing {
        account: entry.account.clone(),
        user: None,
        origin: Origin::Report,
        envelope: Envelope {
            // Its own text is ASCII; only an address may need more.
            charset: if to.is_ascii() { Charset::Ascii } else { Charset::Utf8 },
            body: Body::SevenBit,
            ..Envelope::plain(None, vec![to.clone()])
        },
        message_id: Some(id),
        subject: Some(letter.subject()),
        project: entry.project.clone(),
        generation: 0,
        digest: String::new(),
        held: None,
        changes: Vec::new(),
    };
    Ok(Some(Report { outgoing, text }))
}

/// What is returned of the message: its type and bytes.
fn returned(entry: &QueueEntry, spool: &Spool) -> Result<(&'static str, Vec<u8>)> {
    let full = entry.ret == Some(Ret::Full) && entry.size <= MOST_FULL;
    let most = if full { entry.size } else { entry.size.min(MOST_HEADER) };
    let mut bytes = Vec::new();
    // Without its message a report still says what is to be said.
    if let Ok(file) = promise::open(spool, entry) {
        file.take(most).read_to_end(&mut bytes).or_later(|| "read a queued message".into())?;
    }
    if full && bytes.is_ascii() {
        return Ok(("message/rfc822", bytes));
    }
    let end =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
    bytes.truncate(end);
    for byte in &mut bytes {
        if !byte.is_ascii() {
            *byte = b'?';
        }
    }
    Ok(("text/rfc822-headers", bytes))
}

struct Letter<'r> {
    news: News,
    entry: &'r QueueEntry,
    about: Vec<&'r QueuedRecipient>,
    to: &'r EnvelopeAddress,
    host: &'r str,
    now_ms: i64,
}

impl Letter<'_> {
    fn id(&self) -> String {
        let kind = match self.news {
            News::Failed => "failed",
            News::Delayed { .. } => "delayed",
            News::Relayed => "relayed",
        };
        format!("{}.{kind}.{}@{}", self.entry.file, self.now_ms, self.host)
    }

    fn subject(&self) -> String {
        let about = ascii(self.entry.subject.as_deref().unwrap_or("(no subject)"));
        match self.news {
            News::Failed => format!("Not delivered: {about}"),
            News::Delayed { .. } => format!("Delayed: {about}"),
            News::Relayed => format!("Handed on: {about}"),
        }
    }

    fn write(&self, id: &str, (kind, bytes): &(&str, Vec<u8>)) -> Vec<u8> {
        // Nothing that is returned can hold it: it names this very moment and entry.
        let boundary = format!("=_mailmill_{}_{}", self.entry.file, self.now_ms);
        let Self { to, host, .. } = self;
        let (date, subject) = (rfc5322(self.now_ms), self.subject());
        let mut text = format!(
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: <{to}>\r\nDate: {date}\r\n\
             Message-ID: <{id}>\r\nSubject: {subject}\r\nAuto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; \
             report-type=delivery-status;\r\n boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        );
        text.push_str(&self.words());
        text.push_str(&format!(
            "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"
        ));
        text.push_str(&self.status());
        text.push_str(&format!("--{boundary}\r\nContent-Type: {kind}\r\n\r\n"));
        let mut text = text.into_bytes();
        text.extend(bytes);
        text.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        text
    }

    /// For people.
    fn words(&self) -> String {
        let (what, then) = match self.news {
            News::Failed => ("could not be delivered to", "It is not tried any more.".to_owned()),
            News::Delayed { until_ms } => (
                "is not delivered yet to",
                format!("It is tried until {}. You need not send it again.", rfc5322(until_ms)),
            ),
            News::Relayed => (
                "was handed to the next mail server for",
                "That server does not tell whether it arrives.".to_owned(),
            ),
        };
        let subject = ascii(self.entry.subject.as_deref().unwrap_or("(no subject)"));
        let queued = rfc5322(self.entry.queued_ms);
        let mut words = format!(
            "Your message\r\n\r\n    Subject: {subject}\r\n    Sent: {queued}\r\n\r\n{what}:\r\n\r\n"
        );
        for recipient in &self.about {
            let address = ascii(recipient.address.as_str());
            words.push_str(&format!("    {address}\r\n"));
            if let Some(answer) = answer(recipient) {
                words.push_str(&format!("        {}\r\n", ascii(answer)));
            }
        }
        words.push_str(&format!("\r\n{then}\r\n"));
        words
    }

    /// For programs (RFC 3464 section 2.1).
    fn status(&self) -> String {
        let mut status = format!("Reporting-MTA: dns; {}\r\n", self.host);
        if let Some(envid) = &self.entry.envid {
            status.push_str(&format!("Original-Envelope-Id: {}\r\n", ascii(envid.as_str())));
        }
        status.push_str(&format!("Arrival-Date: {}\r\n\r\n", rfc5322(self.entry.queued_ms)));
        for recipient in &self.about {
            status.push_str(&self.recipient(recipient));
        }
        status
    }

    fn recipient(&self, recipient: &QueuedRecipient) -> String {
        let mut fields = String::new();
        if let Some(orcpt) = recipient.orcpt.as_ref().map(Orcpt::as_str)
            && let Some((kind, address)) = orcpt.split_once(';')
        {
            fields.push_str(&format!("Original-Recipient: {kind}; {}\r\n", ascii(address)));
        }
        let answer = answer(recipient).unwrap_or_default();
        let (action, class) = match self.news {
            News::Failed => ("failed", 5),
            News::Delayed { .. } => ("delayed", 4),
            News::Relayed => ("relayed", 2),
        };
        let status = enhanced(answer).unwrap_or_else(|| format!("{class}.0.0"));
        let address = ascii(recipient.address.as_str());
        fields.push_str(&format!(
            "Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        ));
        if answer.starts_with(|c: char| c.is_ascii_digit()) {
            fields.push_str(&format!("Diagnostic-Code: smtp; {}\r\n", ascii(answer)));
        }
        fields.push_str(&format!("Last-Attempt-Date: {}\r\n", rfc5322(self.now_ms)));
        if let News::Delayed { until_ms } = self.news {
            fields.push_str(&format!("Will-Retry-Until: {}\r\n", rfc5322(until_ms)));
        }
        fields + "\r\n"
    }
}

fn answer(recipient: &QueuedRecipient) -> Option<&str> {
    match &recipient.state {
        RecipientState::Pending { answer } => answer.as_deref(),
        RecipientState::Sent { answer, .. } | RecipientState::Failed { answer, .. } => Some(answer),
    }
}

/// The enhanced status code among the first words of an answer (RFC 3463).
fn enhanced(answer: &str) -> Option<String> {
    let is_code = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        let number = |part: &&str| (1..=3).contains(&part.len()) && part.parse::<u16>().is_ok();
        parts.len() == 3 && matches!(parts[0], "2" | "4" | "5") && parts.iter().all(number)
    };
    answer.split(' ').take(2).find(is_code).map(str::to_owned)
}

/// Text from outside as it may stand in a header field of a report: one line, ASCII.
fn ascii(text: &str) -> String {
    inert(text).chars().map(|c| if c.is_ascii() { c } else { '?' }).take(400).collect()
}

/// RFC 5322 section 3.3.
fn rfc5322(unix_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let printed = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_string(&at);
    printed.unwrap_or_else(|_| at.to_string())
}
