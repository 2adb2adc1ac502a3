//! One message over a session: MAIL, RCPT each with its own answer, DATA, and the end of data, which
//! is a step of its own: what cannot be undone comes after it was written down.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::commands::{Data, Rset};
use lettre::transport::smtp::extension::Extension;

use super::connect::{COMMAND, Relay};
use super::data::{Source, Stuffing};
use super::refusal::{Failure, Kind};
use crate::mail::envelope::{Body, Charset, EnvelopeAddress, Notify, Orcpt, Ret, xtext};
use crate::store::{QueueEntry, QueuedRecipient, RecipientState};

/// Limits of the steps (RFC 5321 section 4.5.3.2).
const DATA: Duration = Duration::from_secs(2 * 60);
const PIECE: Duration = Duration::from_secs(3 * 60);
const END: Duration = Duration::from_secs(10 * 60);

/// A message to be sent to those recipients of its entry that are pending.
#[derive(Debug, Clone)]
pub struct Parcel<'p> {
    /// The entry.
    pub entry: &'p QueueEntry,
    /// The file with the message at its beginning.
    pub file: Arc<File>,
}

/// What became of a message so far.
#[derive(Debug)]
pub struct Outcome {
    /// Of recipients by their place in the entry: the server's answer, or why it was not taken.
    pub recipients: Vec<(usize, Result<String, Failure>)>,
    /// Those that the server takes, and that wait for the end of data.
    waiting: Vec<usize>,
    /// What ends the data.
    end: Vec<u8>,
    /// The end of data was sent, or may have been, and no answer was read.
    pub in_doubt: bool,
    /// The session can take another message.
    pub usable: bool,
    /// The server passes on what senders want to hear (RFC 3461).
    pub reports: bool,
}

impl Outcome {
    /// Whether [`Relay::end`] is to be called: all of the message but its end was sent.
    pub fn awaits_end(&self) -> bool {
        self.usable && !self.waiting.is_empty()
    }

    fn all(&mut self, of: Vec<usize>, failure: &Failure) {
        self.usable &= failure.kind != Kind::Connection;
        self.recipients.extend(of.into_iter().map(|at| (at, Err(failure.clone()))));
    }
}

impl Relay {
    /// Sends a message up to its end of data.
    pub async fn begin(&mut self, parcel: &Parcel<'_>) -> Outcome {
        let pending: Vec<usize> = pending(parcel.entry).map(|(at, _)| at).collect();
        let mut outcome = Outcome {
            recipients: Vec::new(),
            waiting: Vec::new(),
            end: Vec::new(),
            in_doubt: false,
            usable: true,
            reports: self.able.dsn,
        };
        if let Err(failure) = self.mail(parcel.entry).await {
            outcome.all(pending, &failure);
            self.reset(&mut outcome).await;
            return outcome;
        }
        self.recipients(parcel.entry, &mut outcome).await;
        if !outcome.usable || outcome.waiting.is_empty() {
            self.reset(&mut outcome).await;
            return outcome;
        }
        match self.data(parcel).await {
            Ok(end) => outcome.end = end,
            Err(failure) => {
                let waiting = std::mem::take(&mut outcome.waiting);
                outcome.all(waiting, &failure);
                self.reset(&mut outcome).await;
            }
        }
        outcome
    }

    /// Ends the data, and reads what the server says of the message.
    pub async fn end(&mut self, outcome: &mut Outcome) {
        let end = std::mem::take(&mut outcome.end);
        let answer = match self.wire.send(&end, PIECE).await {
            Ok(()) => self.wire.answer(END).await,
            Err(failure) => Err(failure),
        };
        let waiting = std::mem::take(&mut outcome.waiting);
        match answer {
            Ok(reply) if reply.is_positive() => {
                let said = reply.shown();
                let sent = waiting.into_iter().map(|at| (at, Ok(said.clone())));
                outcome.recipients.extend(sent);
            }
            Ok(reply) => outcome.all(waiting, &Failure::of(&reply)),
            Err(failure) => {
                outcome.in_doubt = true;
                outcome.all(waiting, &failure);
            }
        }
    }

    async fn mail(&mut self, entry: &QueueEntry) -> Result<(), Failure> {
        let line = self.mail_line(entry)?;
        let answer = self.wire.ask(&line, COMMAND).await?;
        if answer.is_positive() { Ok(()) } else { Err(Failure::of(&answer)) }
    }

    /// MAIL with what the server knows; what it must know and does not keeps the message from it.
    fn mail_line(&self, entry: &QueueEntry) -> Result<String, Failure> {
        let able = &self.able;
        let from = entry.reverse_path.as_ref().map_or("", EnvelopeAddress::as_str);
        let mut line = format!("MAIL FROM:<{from}>");
        if let Some(most) = able.size {
            if most > 0 && entry.size > most {
                let size = entry.size;
                let why = format!("552 5.3.4 it has {size} bytes, and the server takes {most}");
                return Err(Failure::of_message(why));
            }
            line.push_str(&format!(" SIZE={}", entry.size));
        }
        if entry.body == Body::EightBitMime {
            if !able.knows(Extension::EightBitMime) {
                // RFC 6152 section 3 leaves the choice. A message is not rewritten: bytes that are
                // signed would not be those that were signed any more.
                let why = "554 5.6.3 it holds 8-bit text, and the account's server does not take it \
                           (no 8BITMIME): send it as quoted-printable or base64";
                return Err(Failure::of_message(why));
            }
            line.push_str(" BODY=8BITMIME");
        }
        if needs_utf8(entry) {
            if !able.knows(Extension::SmtpUtfEight) {
                let why = "553 5.6.7 it has addresses or header fields beyond ASCII, and the \
                           server does not take these (SMTPUTF8)";
                return Err(Failure::of_message(why));
            }
            line.push_str(" SMTPUTF8");
        }
        if able.dsn {
            line.push_str(match entry.ret {
                Some(Ret::Full) => " RET=FULL",
                Some(Ret::Headers) => " RET=HDRS",
                None => "",
            });
            if let Some(envid) = &entry.envid {
                line.push_str(&format!(" ENVID={}", xtext(envid.as_str())));
            }
        }
        Ok(line)
    }

    async fn recipients(&mut self, entry: &QueueEntry, outcome: &mut Outcome) {
        let mut lost: Option<Failure> = None;
        for (at, recipient) in pending(entry) {
            if let Some(failure) = &lost {
                outcome.recipients.push((at, Err(failure.clone())));
                continue;
            }
            let failure = match self.wire.ask(&self.rcpt_line(recipient), COMMAND).await {
                Ok(answer) if answer.is_positive() => {
                    outcome.waiting.push(at);
                    continue;
                }
                Ok(answer) => Failure::of(&answer),
                Err(failure) => failure,
            };
            outcome.recipients.push((at, Err(failure.clone())));
            lost = Some(failure).filter(|failure| failure.kind == Kind::Connection);
        }
        if let Some(failure) = lost {
            let waiting = std::mem::take(&mut outcome.waiting);
            outcome.all(waiting, &failure);
        }
    }

    fn rcpt_line(&self, recipient: &QueuedRecipient) -> String {
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if self.able.dsn {
            if recipient.notify != Notify::Unsaid {
                line.push_str(&format!(" NOTIFY={}", recipient.notify));
            }
            if let Some(orcpt) = recipient.orcpt.as_ref().map(Orcpt::as_str)
                && let Some((kind, address)) = orcpt.split_once(';')
            {
                line.push_str(&format!(" ORCPT={kind};{}", xtext(address)));
            }
        }
        line
    }

    /// DATA and the message; gives what ends it.
    async fn data(&mut self, parcel: &Parcel<'_>) -> Result<Vec<u8>, Failure> {
        let answer = self.wire.command(Data, DATA).await?;
        if answer.code != 354 {
            return Err(Failure::of(&answer));
        }
        let mut source = Source::new(parcel.file.clone(), parcel.entry.size);
        let mut stuffing = Stuffing::default();
        loop {
            // From here on only the end of data ends it: whatever fails costs the connection.
            let piece = source.next().await;
            let piece = piece.map_err(|why| Failure::lost(format!("read the message: {why}")))?;
            if piece.is_empty() {
                return Ok(stuffing.end());
            }
            let mut out = Vec::with_capacity(piece.len() + piece.len() / 32);
            stuffing.take(&piece, &mut out);
            self.wire.send(&out, PIECE).await?;
        }
    }

    /// After a message that was not sent, the next one begins anew.
    async fn reset(&mut self, outcome: &mut Outcome) {
        if outcome.usable {
            let answer = self.wire.command(Rset, COMMAND).await;
            outcome.usable = answer.is_ok_and(|answer| answer.is_positive());
        }
    }
}

fn pending(entry: &QueueEntry) -> impl Iterator<Item = (usize, &QueuedRecipient)> {
    let recipients = entry.recipients.iter().enumerate();
    recipients.filter(|(_, to)| matches!(to.state, RecipientState::Pending { .. }))
}

fn needs_utf8(entry: &QueueEntry) -> bool {
    entry.charset == Charset::Utf8
        || entry.reverse_path.as_ref().is_some_and(|from| !from.is_ascii())
        || pending(entry).any(|(_, to)| !to.address.is_ascii())
}
