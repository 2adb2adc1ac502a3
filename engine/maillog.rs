//! What the engine tells while it runs: one line an event, the same words in text and in JSON.
//!
//! Foreign text (subjects, server answers, script output) is made inert before it is printed. A
//! reader that went away never stops mail: what cannot be written is dropped.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::clock::{Clock, rfc3339};
use crate::mail::{MailboxName, MessageKey};

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The engine runs.
    Started {
        /// How many accounts are served.
        accounts: usize,
        /// The generation in force.
        generation: u64,
        /// Its digest.
        digest: String,
    },
    /// An account's mailboxes are open.
    Connected {
        /// The account.
        account: Arc<str>,
        /// How many mailboxes are watched.
        mailboxes: usize,
    },
    /// An account cannot be served for now.
    Lost {
        /// The account.
        account: Arc<str>,
        /// Why, and what to do.
        error: String,
        /// Seconds until the next try.
        again_in: u64,
    },
    /// Everything decided for a message is done.
    Done {
        /// The record: `mailmill explain ID`.
        id: u64,
        /// The message.
        #[serde(flatten)]
        key: MessageKey,
        /// Its subject.
        subject: String,
        /// What was done, one clause an action.
        did: Vec<String>,
        /// The generation that decided.
        generation: u64,
        /// Its digest.
        digest: String,
    },
    /// A message waits for a person, or for another try.
    Held {
        /// The record: `mailmill explain ID`.
        id: u64,
        /// The message.
        #[serde(flatten)]
        key: MessageKey,
        /// Its subject.
        subject: String,
        /// Why.
        reason: String,
        /// When it is tried again, RFC 3339; `None` waits for a person.
        retry_at: Option<String>,
        /// The generation that decided.
        generation: u64,
        /// Its digest.
        digest: String,
    },
    /// A step wrote a log line.
    Step {
        /// The record.
        id: u64,
        /// The step.
        step: String,
        /// What it wrote.
        text: String,
    },
    /// A mailbox got a new UIDVALIDITY: its messages are recognised anew.
    Renumbered {
        /// The account.
        account: Arc<str>,
        /// The mailbox.
        mailbox: MailboxName,
    },
    /// Something a person should look at, and mail goes on.
    Warning {
        /// What, and what to do.
        text: String,
    },
    /// The engine ends in order.
    Stopped {
        /// Messages settled since the start.
        settled: u64,
        /// Messages held since the start.
        held: u64,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub struct Maillog {
    form: Form,
    clock: Clock,
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Maillog {
    /// A log in this form into `sink`.
    pub fn new(form: Form, clock: Clock, sink: Box<dyn Write + Send>) -> Self {
        Self { form, clock, sink: Arc::new(Mutex::new(sink)) }
    }

    /// Writes one event.
    pub fn say(&self, event: &Event) {
        let at = rfc3339(self.clock.now_ms());
        let line = match self.form {
            Form::Text => format!("{at} {}", inert(&text(event))),
            Form::Json => serde_json::to_string(&Line { at, event }).unwrap_or_default(),
        };
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed pipe or a full disk must not stop mail.
        let _ = writeln!(sink, "{line}").and_then(|()| sink.flush());
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Started { accounts, generation, digest } => {
            format!("started: {}, generation {generation} ({digest})", count(*accounts, "account"))
        }
        Event::Connected { account, mailboxes } => {
            format!("{account}: connected, {} watched", count(*mailboxes, "mailbox"))
        }
        Event::Lost { account, error, again_in } => {
            format!("{account}: {error}; next try in {again_in} s")
        }
        Event::Done { id, key, subject, did, .. } => {
            let did = if did.is_empty() { "left where it is".into() } else { did.join(", ") };
            format!("{} #{id} \"{}\": {did}", place(key), shorten(subject))
        }
        Event::Held { id, key, subject, reason, retry_at, .. } => {
            let then = match retry_at {
                Some(at) => format!("tried again at {at}"),
                None => format!("waits for a person: mailmill explain {id}"),
            };
            format!("{} #{id} \"{}\": held: {reason}; {then}", place(key), shorten(subject))
        }
        Event::Step { id, step, text } => format!("#{id} {step}: {text}"),
        Event::Renumbered { account, mailbox } => {
            format!("{account} {mailbox}: new UIDVALIDITY, messages are recognised anew")
        }
        Event::Warning { text } => format!("warning: {text}"),
        Event::Stopped { settled, held } => format!("stopped: {settled} settled, {held} held"),
    }
}

fn place(key: &MessageKey) -> String {
    format!("{} {}/{}", key.account, key.mailbox, key.uid)
}

/// "1 mailbox", "2 mailboxes".
fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('x') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

fn shorten(subject: &str) -> String {
    let mut short: String = subject.chars().take(60).collect();
    if subject.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// Foreign text made harmless for terminals and line-based logs: no control characters, no
/// bidirectional marks.
pub fn inert(text: &str) -> String {
    text.chars().flat_map(inert_char).collect()
}

fn inert_char(c: char) -> Vec<char> {
    let bidi =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || bidi { c.escape_unicode().collect() } else { vec![c] }
}
