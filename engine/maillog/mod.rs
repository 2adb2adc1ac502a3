//! What the engine tells while it runs: one line an event, the same words in text and in JSON.
//!
//! Foreign text (subjects, server answers, script output) is made inert before it is printed. A
//! reader that is slow, stuck or gone never stops mail: what it does not take is dropped and counted
//! ([`queue`]).

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, rfc3339};
use crate::mail::{MailboxName, MessageKey, inert};

mod queue;

use queue::Queue;

/// How long [`Maillog::finish`] waits for a reader.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
        /// Seconds until the next try; 0 where there is none.
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
///
/// Events are written by a thread of their own, so that saying one never waits for the log's reader.
/// The last clone to be dropped does not wait either: call [`Maillog::finish`] before the process
/// ends.
#[derive(Clone)]
pub struct Maillog {
    form: Form,
    clock: Clock,
    lines: Arc<Queue>,
}

impl Maillog {
    /// A log in this form into `sink`, which may block as long as it likes.
    pub fn new(form: Form, clock: Clock, sink: Box<dyn Write + Send>) -> Self {
        let time = clock.clone();
        let gap = move |dropped: u64| {
            let text =
                format!("{dropped} lines of this log were dropped: nobody read them in time");
            line(form, &time, &Event::Warning { text })
        };
        Self { form, clock, lines: Arc::new(Queue::new(sink, Box::new(gap))) }
    }

    /// Says one event. At most 40,000 wait to be written; those beyond are dropped and counted, and
    /// when the reader takes lines again, one warning says how many.
    pub fn say(&self, event: &Event) {
        self.lines.put(line(self.form, &self.clock, event));
    }

    /// Waits until all that was said is written, at most two seconds. Blocks: not for async code.
    pub fn finish(&self) {
        self.lines.flush(LAST_WORDS);
    }
}

fn line(form: Form, clock: &Clock, event: &Event) -> String {
    let at = rfc3339(clock.now_ms());
    match form {
        Form::Text => format!("{at} {}", inert(&text(event))),
        Form::Json => serde_json::to_string(&Line { at, event }).unwrap_or_default(),
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
            let next = match again_in {
                0 => String::new(),
                seconds => format!("; next try in {seconds} s"),
            };
            format!("{account}: {error}{next}")
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
