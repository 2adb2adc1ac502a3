//! The command layer: sends a command, reads to its own tag, and takes nothing for success but a
//! tagged OK.
//!
//! async-imap is the tokenizer only; its own commands lose refusals and dropped connections. After
//! an I/O error, a missed deadline, BYE, or a command that was cut off (its future dropped), the
//! connection is unusable and every further command says why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_imap::Client;
use secrecy::zeroize::Zeroizing;
use tokio::io::AsyncWriteExt;
use tokio::time::{timeout, timeout_at};

use crate::error::{Error, Result};
use crate::fault_point::{Point, reach_command};
use crate::mail::{MailboxName, Uid};
use crate::mailbox::Content;

use super::command::{Command, LiteralMode, Piece};
use super::filter::Filter;
use super::pace::Pace;
use super::random;
use super::refusal::{AtLogin, Refusal, inert};
use super::response::{Code, Reply, Said, Status};
use super::watch::Idling;

/// Replies kept of one command, messages and search results not counted.
const MOST_REPLIES: usize = 100_000;

/// One connection and what is known of it.
pub(super) struct Session {
    pub(super) client: Client<Filter>,
    pub(super) deadline: Duration,
    /// `user at host:port`
    pub(super) place: String,
    pub(super) capabilities: BTreeSet<String>,
    /// The hierarchy delimiter of the first namespace.
    pub(super) delimiter: Option<char>,
    pub(super) selected: Option<MailboxName>,
    /// The UIDVALIDITY of each mailbox that was selected.
    pub(super) uidvalidities: BTreeMap<MailboxName, u32>,
    /// Messages in the selected mailbox, as last told.
    pub(super) exists: u32,
    /// No message had reached this UID when the mailbox was opened.
    pub(super) uidnext: u32,
    /// Messages have come since the mailbox was last looked through.
    pub(super) news: bool,
    /// When it was last looked through to its end, there was nothing above this UID.
    pub(super) looked_up_to: Option<Uid>,
    /// An IDLE that is not ended: a wait was dropped.
    pub(super) idling: Option<Idling>,
    /// Why the connection is unusable.
    pub(super) broken: Option<String>,
    pub(super) refusal: Option<Refusal>,
    /// While logging in: what must not appear in an error, even if the server repeats it.
    pub(super) secrets: Vec<Zeroizing<String>>,
}

/// A command's answer, or that of several.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) replies: Vec<Reply>,
    /// The tagged OK.
    pub(super) done: Option<Said>,
}

impl Answer {
    /// # Errors
    /// There are too many.
    pub(super) fn keep(&mut self, reply: Reply) -> Result<(), String> {
        self.replies.push(reply);
        match self.replies.len() > MOST_REPLIES {
            true => Err(format!("more than {MOST_REPLIES} responses to one command")),
            false => Ok(()),
        }
    }

    /// Adds the replies of another answer.
    pub(super) fn join(&mut self, other: Self) {
        self.replies.extend(other.replies);
        self.done = other.done;
    }

    /// The codes of all OK statuses, the tagged one last.
    pub(super) fn codes(&self) -> impl Iterator<Item = &Code> {
        let untagged = self.replies.iter().filter_map(|reply| match reply {
            Reply::Status(said) if said.status == Status::Ok => said.code.as_ref(),
            _ => None,
        });
        untagged.chain(self.done.as_ref().and_then(|done| done.code.as_ref()))
    }
}

/// Takes the replies of a command one by one; its error ends the connection.
pub(super) type Sink<'a> = &'a mut (dyn FnMut(Reply) -> Result<(), String> + Send);

/// Why a command has no tagged answer.
pub(super) enum Lost {
    /// The server said BYE.
    Bye(Said),
    Broken(String),
}

impl From<String> for Lost {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl Session {
    /// Runs a command and keeps its untagged replies.
    ///
    /// # Errors
    /// NO and BAD by their kind; BYE, end of connection, I/O, deadline as temporary.
    pub(super) async fn run(&mut self, what: &str, command: Command<'_>) -> Result<Answer> {
        let mut answer = Answer::default();
        let done = self.run_each(what, command, &mut |reply| answer.keep(reply)).await?;
        answer.done = Some(done);
        Ok(answer)
    }

    /// Runs a command and hands each untagged reply on as it comes.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(super) async fn run_each(
        &mut self,
        what: &str,
        command: Command<'_>,
        sink: Sink<'_>,
    ) -> Result<Said> {
        self.make_ready(what).await?;
        self.begin_unfinished();
        let lost = match self.exchange(command, sink).await {
            Ok(said) => return self.conclude(what, said),
            Err(lost) => lost,
        };
        Err(self.lost(what, lost))
    }

    /// The tagged answer has come: the connection is in order, whatever it says.
    pub(super) fn conclude(&mut self, what: &str, said: Said) -> Result<Said> {
        self.broken = None;
        if said.status == Status::Ok {
            self.refusal = None;
            return Ok(said);
        }
        Err(self.refused(what, &said))
    }

    /// No tagged answer will come: the connection is unusable.
    pub(super) fn lost(&mut self, what: &str, lost: Lost) -> Error {
        self.idling = None;
        match lost {
            Lost::Bye(said) => {
                let error = self.refused(what, &said);
                self.broken = Some(error.why().to_owned());
                error
            }
            Lost::Broken(why) => {
                let why = inert(&self.redacted(&why));
                self.broken = Some(why.clone());
                Error::temporary(self.at(what), why)
            }
        }
    }

    /// Until the command is answered the connection must not be used for another: if its future is
    /// dropped, this stays.
    pub(super) fn begin_unfinished(&mut self) {
        self.broken = Some("an earlier command was cut off before its answer".into());
    }

    /// Refuses on an unusable connection; ends an IDLE that a dropped wait left behind.
    pub(super) async fn make_ready(&mut self, what: &str) -> Result<()> {
        self.check_usable(what)?;
        self.end_idle(what).await
    }

    pub(super) fn check_usable(&self, what: &str) -> Result<()> {
        let Some(why) = &self.broken else { return Ok(()) };
        let why = format!("the connection is lost: {why}");
        Err(Error::temporary(self.at(what), why).next("connect again"))
    }

    async fn exchange(&mut self, command: Command<'_>, sink: Sink<'_>) -> Result<Said, Lost> {
        let (tag, verb) = (random::token(), command.verb);
        reach_command(Point::Unsent, verb);
        for piece in command.pieces(&tag, self.literal_mode()) {
            match piece {
                Piece::Send(bytes) => self.write(&bytes).await?,
                Piece::SendBorrowed(bytes) => {
                    reach_command(Point::HalfSent, verb);
                    self.write(bytes).await?;
                }
                Piece::SendContent(content, size) => {
                    reach_command(Point::HalfSent, verb);
                    self.write_content(content, size).await?;
                }
                Piece::AwaitGoAhead => {
                    if let Some(refused) = self.await_go_ahead(&tag, sink).await? {
                        return Ok(refused);
                    }
                }
            }
        }
        self.flush().await?;
        reach_command(Point::Sent, verb);
        let done = self.await_done(&tag, sink).await;
        reach_command(Point::Answered, verb);
        done
    }

    /// Waits for the server's `+`. `Some` is its refusal; an OK to half a command is a lie.
    pub(super) async fn await_go_ahead(
        &mut self,
        tag: &str,
        sink: Sink<'_>,
    ) -> Result<Option<Said>, Lost> {
        self.flush().await?;
        let mut pace = self.pace();
        loop {
            match self.next(&mut pace).await? {
                Reply::Continue => return Ok(None),
                Reply::Done { tag: of, said } => {
                    let said = own(tag, &of, said)?;
                    if said.status == Status::Ok {
                        return Err("the server said OK to a command before it had all of it"
                            .to_owned()
                            .into());
                    }
                    return Ok(Some(said));
                }
                reply => self.take(reply, sink)?,
            }
        }
    }

    pub(super) async fn await_done(&mut self, tag: &str, sink: Sink<'_>) -> Result<Said, Lost> {
        let mut pace = self.pace();
        loop {
            match self.next(&mut pace).await? {
                Reply::Done { tag: of, said } => return own(tag, &of, said),
                reply => self.take(reply, sink)?,
            }
        }
    }

    fn take(&mut self, reply: Reply, sink: Sink<'_>) -> Result<(), Lost> {
        self.note(&reply)?;
        sink(reply).map_err(Lost::Broken)
    }

    /// What every reply may tell, asked for or not.
    pub(super) fn note(&mut self, reply: &Reply) -> Result<(), Lost> {
        match reply {
            Reply::Exists(count) => {
                self.news |= *count > self.exists;
                self.exists = *count;
            }
            Reply::Gone(count) => self.exists = self.exists.saturating_sub(*count),
            Reply::Status(said) if said.status == Status::Bye => {
                return Err(Lost::Bye(said.clone()));
            }
            Reply::Status(Said { code: Some(Code::UidValidity(now)), .. }) => {
                self.check_uidvalidity(*now)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_uidvalidity(&self, now: u32) -> Result<(), String> {
        self.selected.as_ref().map_or(Ok(()), |mailbox| self.still_valid(mailbox, now))
    }

    /// Under another UIDVALIDITY every UID names another message: what is planned is void.
    pub(super) fn still_valid(&self, mailbox: &MailboxName, now: u32) -> Result<(), String> {
        match self.uidvalidities.get(mailbox) {
            Some(before) if *before != now => Err(format!(
                "mailbox {mailbox} got UIDVALIDITY {now} in place of {before} meanwhile"
            )),
            _ => Ok(()),
        }
    }

    /// The next response, within the pace.
    pub(super) async fn next(&mut self, pace: &mut Pace) -> Result<Reply, String> {
        loop {
            match timeout_at(pace.ends(), self.read()).await {
                Ok(reply) => return reply,
                Err(_) => pace.renew(self.client.get_ref().received())?,
            }
        }
    }

    /// The next response, however long it takes. Can be dropped without losing anything.
    pub(super) async fn read(&mut self) -> Result<Reply, String> {
        match self.client.read_response().await {
            Ok(Some(response)) => Ok(Reply::new(response.parsed(), self.client.get_mut())),
            Ok(None) => Err("the server closed the connection".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let limit = Pace::for_writing(self.deadline, bytes.len());
        match timeout(limit, self.client.get_mut().write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the server took no data for {} s", limit.as_secs_f64())),
        }
    }

    /// Sends a message in CRLF form, piece by piece.
    pub(super) async fn write_content(
        &mut self,
        content: &Content,
        size: u64,
    ) -> Result<(), String> {
        let cannot = |why: String| format!("the message that is sent cannot be read: {why}");
        let mut pieces = content.crlf_pieces();
        let mut sent = 0;
        loop {
            let (rest, piece) = pieces.next().await.map_err(|why| cannot(why.to_string()))?;
            if piece.is_empty() && sent == size {
                return Ok(());
            }
            pieces = rest;
            sent += piece.len() as u64;
            if piece.is_empty() || sent > size {
                return Err(cannot(format!("it had {size} bytes, and now others")));
            }
            self.write(&piece).await?;
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), String> {
        match timeout(self.deadline, self.client.get_mut().flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the server took no data for {} s", self.deadline.as_secs_f64())),
        }
    }

    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.deadline, self.client.get_ref().received())
    }

    /// Whether the server announced this, in capitals.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    pub(super) fn literal_mode(&self) -> LiteralMode {
        if self.has("LITERAL+") {
            return LiteralMode::All;
        }
        if self.has("LITERAL-") { LiteralMode::Small } else { LiteralMode::Wait }
    }

    /// `what` with its account and server.
    pub(super) fn at(&self, what: &str) -> String {
        format!("{what} of {}", self.place)
    }

    /// `what` with the selected mailbox.
    ///
    /// # Errors
    /// None is selected.
    pub(super) fn here(&self, what: &str) -> Result<String> {
        match &self.selected {
            Some(mailbox) => Ok(format!("{what} in mailbox {mailbox}")),
            None => Err(Error::temporary(self.at(what), "no mailbox is selected")),
        }
    }

    fn refused(&mut self, what: &str, said: &Said) -> Error {
        let at_login = if what == LOG_IN { AtLogin::Yes } else { AtLogin::No };
        let said = Said { text: self.redacted(&said.text), ..said.clone() };
        let refusal = Refusal::new(&said, at_login);
        let error = refusal.error(&self.at(what));
        self.refusal = Some(refusal);
        error
    }

    fn redacted(&self, text: &str) -> String {
        let hide = |text: String, secret: &Zeroizing<String>| text.replace(secret.as_str(), "***");
        self.secrets.iter().filter(|secret| !secret.is_empty()).fold(text.to_owned(), hide)
    }
}

/// What the command is called that hands the password over.
pub(super) const LOG_IN: &str = "log in";

/// Tags are random: an answer to another one was made up before the command was sent.
pub(super) fn not_sent() -> Lost {
    Lost::Broken("the server answered a command that was not sent".into())
}

fn own(tag: &str, of: &str, said: Said) -> Result<Said, Lost> {
    if tag == of { Ok(said) } else { Err(not_sent()) }
}
