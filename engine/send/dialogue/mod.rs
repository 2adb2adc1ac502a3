//! The SMTP dialogue of the submission listener (RFC 5321, RFC 6409) as a state machine without I/O:
//! bytes of a client go in, replies and [`Event`]s come out. Sockets, passwords and files are the
//! business of [`super::submission`]. The only folder that uses smtp-proto.
//!
//! | state | expects | leads to |
//! | --- | --- | --- |
//! | commands | a command line | `Login`, `StartTls`, `Begin`, `Close`, or a reply |
//! | login | base64 lines of SASL | `Login` |
//! | asked | the driver's answer ([`Dialogue::logged_in`], [`Dialogue::begun`], [`Dialogue::answered`]) | commands, content |
//! | content | the message up to CRLF.CRLF | `Content`, `Discard`, `Complete` |
//! | closed | nothing | `Close` |
//!
//! Everything is limited: a line ([`line::LONGEST`]), refused commands ([`MOST_REFUSED`]), commands in
//! all ([`MOST_COMMANDS`]), failed logins ([`MOST_FAILED`]), recipients and size ([`Terms`]), replies
//! that wait to be read ([`FULL`]).

mod auth;
mod command;
mod content;
mod data;
mod hello;
mod line;
mod reply;
mod transaction;

#[cfg(test)]
mod tests;

pub use auth::Login;
pub use reply::Reply;

use crate::mail::Envelope;
use crate::mail::envelope::Charset;
use auth::Exchange;
use command::Command;
use content::Content;
use line::{Line, Lines};

/// Bytes of replies from which on the client has to read before more is done.
const FULL: usize = 8 << 10;
/// Refused commands after which the connection ends.
const MOST_REFUSED: u32 = 50;
/// Commands after which the connection ends.
const MOST_COMMANDS: u32 = 100_000;
/// Failed logins after which the connection ends.
const MOST_FAILED: u32 = 3;

/// What is offered and allowed.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The server's name.
    pub host: String,
    /// The largest message, in bytes.
    pub max_size: u64,
    /// The most recipients of a message.
    pub max_recipients: usize,
    /// Whether the connection can be protected by STARTTLS.
    pub tls: Tls,
    /// Whether passwords may come without TLS.
    pub clear: Clear,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// It is.
    Active,
    /// It is not, and STARTTLS is offered.
    Offered,
    /// It is not and cannot be.
    None,
}

/// Whether passwords may come without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clear {
    /// Client and server are the same machine.
    Allowed,
    /// They would go over a network.
    Forbidden,
}

/// What the driver has to do.
#[derive(Debug)]
pub enum Event {
    /// Send the replies, then read more.
    More,
    /// Send the replies, then go on with what was read.
    Flush,
    /// Send the replies, begin TLS, then call [`Dialogue::secured`]. Nothing was read behind it.
    StartTls,
    /// Check this, then call [`Dialogue::logged_in`].
    Login(Login),
    /// A message is about to come: get ready, then call [`Dialogue::begun`].
    Begin,
    /// A piece of the message.
    Content(Vec<u8>),
    /// The message will be refused: forget it.
    Discard,
    /// The message is complete: see to it, then call [`Dialogue::answered`].
    Complete(Box<Envelope>),
    /// Send the replies and close.
    Close,
}

/// A client's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What it says it is.
    pub name: String,
    /// EHLO rather than HELO.
    pub extended: bool,
}

#[derive(Debug)]
enum State {
    Commands,
    Login(Exchange),
    /// The driver was asked something.
    Asked,
    Content(Content),
    Closed,
}

/// One connection's dialogue.
#[derive(Debug)]
pub struct Dialogue {
    terms: Terms,
    state: State,
    lines: Lines,
    out: Vec<u8>,
    hello: Option<Hello>,
    user: Option<String>,
    /// The message that is being announced.
    mail: Option<Envelope>,
    refused: u32,
    commands: u32,
    failed: u32,
}

impl Dialogue {
    /// A connection that has just begun: the greeting is the first reply.
    pub fn new(terms: Terms) -> Self {
        let mut dialogue = Self {
            terms,
            state: State::Commands,
            lines: Lines::default(),
            out: Vec::new(),
            hello: None,
            user: None,
            mail: None,
            refused: 0,
            commands: 0,
            failed: 0,
        };
        let greeting = format!("{} ESMTP mailmill", dialogue.terms.host);
        dialogue.say(&Reply::new(220, "", greeting));
        dialogue
    }

    /// Goes on with what was read; what was used of it is cut off.
    pub fn step(&mut self, input: &mut &[u8]) -> Event {
        loop {
            if self.out.len() >= FULL {
                return Event::Flush;
            }
            let event = match std::mem::replace(&mut self.state, State::Asked) {
                State::Closed => {
                    self.state = State::Closed;
                    return Event::Close;
                }
                State::Asked => return Event::More,
                State::Content(content) => self.content(content, input),
                state => {
                    self.state = state;
                    let Some(line) = self.lines.next(input) else { return Event::More };
                    self.line(&line, input)
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// The replies that are to be sent, which are then taken as sent.
    pub fn replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether replies wait to be sent.
    pub fn has_replies(&self) -> bool {
        !self.out.is_empty()
    }

    /// Who is logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// How the client greeted.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// How the connection is protected.
    pub fn tls(&self) -> Tls {
        self.terms.tls
    }

    /// What the message that is being announced may hold.
    pub fn charset(&self) -> Charset {
        self.mail.as_ref().map_or(Charset::Ascii, |mail| mail.charset)
    }

    /// Greets as before: the client had no chance to read it, as TLS came first.
    pub fn greet_again(&mut self, greeting: Vec<u8>) {
        self.out = greeting;
    }

    /// TLS was begun: what the client said before is forgotten (RFC 3207 section 4.2).
    pub fn secured(&mut self) {
        self.terms.tls = Tls::Active;
        self.lines.forget();
        self.out.clear();
        (self.hello, self.user, self.mail) = (None, None, None);
        self.state = State::Commands;
    }

    /// Ends the connection with this reply.
    pub fn end(&mut self, reply: &Reply) {
        self.say(reply);
        self.state = State::Closed;
    }

    fn line(&mut self, line: &Line, input: &mut &[u8]) -> Option<Event> {
        let logging_in = matches!(self.state, State::Login(_));
        self.commands += 1;
        if self.commands > MOST_COMMANDS {
            self.end(&Reply::new(421, "4.7.0", "too many commands in one connection"));
            return None;
        }
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => {
                self.refuse(&Reply::new(500, "5.5.2", "the line is too long"));
                return None;
            }
            Line::Stray => {
                self.refuse(&Reply::new(
                    501,
                    "5.5.2",
                    "a line ends with CRLF and has no other CR, LF or NUL",
                ));
                return None;
            }
        };
        if logging_in {
            return self.go_on_login(bytes);
        }
        match command::parse(bytes) {
            Ok(command) => self.command(command, input),
            Err(reply) => {
                self.refuse(&reply);
                None
            }
        }
    }

    fn command(&mut self, command: Command, input: &mut &[u8]) -> Option<Event> {
        let reply = match command {
            Command::Ehlo(name) => return self.greet(Hello { name, extended: true }),
            Command::Helo(name) => return self.greet(Hello { name, extended: false }),
            Command::StartTls => return self.start_tls(input),
            Command::Auth(exchange, initial) => return self.begin_login(exchange, &initial),
            Command::Data => return self.begin_content(),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.recipient(recipient),
            Command::Rset => {
                self.mail = None;
                Reply::new(250, "2.0.0", "forgotten")
            }
            Command::Noop => Reply::new(250, "2.0.0", "fine"),
            Command::Vrfy => Reply::new(252, "2.5.0", "send some mail, and it will be tried"),
            Command::Help => {
                Reply::new(214, "2.0.0", "EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY QUIT")
            }
            Command::Quit => {
                self.end(&Reply::new(221, "2.0.0", "good bye"));
                return None;
            }
        };
        match reply.code {
            500.. => self.refuse(&reply),
            _ => self.say(&reply),
        }
        None
    }

    fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.out);
    }

    /// Refuses a command. A client that goes on so is no mail program.
    fn refuse(&mut self, reply: &Reply) {
        self.state = State::Commands;
        self.say(reply);
        self.refused += 1;
        if self.refused >= MOST_REFUSED {
            self.end(&Reply::new(421, "4.7.0", "too many errors"));
        }
    }
}
