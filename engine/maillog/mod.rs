//! What the engine tells while it runs: one line an event, the same words in text and in JSON.
//!
//! Foreign text (subjects, server answers, script output) is made inert before it is printed. A
//! reader that is slow, stuck or gone never stops mail: what it does not take is dropped and counted
//! ([`queue`]).

use std::io::Write;
use std::sync::{Arc, PoisonError, RwLock};
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
    /// A message is promised to be sent.
    Queued {
        /// The entry: `mailmill queue show ID`.
        id: u64,
        /// The account whose server relays it.
        account: Arc<str>,
        /// Who handed it over.
        user: Option<String>,
        /// Its Message-ID.
        message_id: Option<String>,
        /// Its reverse-path; `None` is `<>`.
        from: Option<String>,
        /// How many get it.
        recipients: usize,
        /// Its bytes.
        size: u64,
        /// Why it waits for a person.
        held: Option<String>,
    },
    /// A server took a message for one recipient.
    Sent {
        /// The entry.
        id: u64,
        /// The account.
        account: Arc<str>,
        /// The recipient.
        to: String,
        /// The server's answer.
        answer: String,
    },
    /// A message waits for its next attempt, or for a person.
    Deferred {
        /// The entry.
        id: u64,
        /// The account.
        account: Arc<str>,
        /// How many recipients wait.
        recipients: usize,
        /// Why.
        error: String,
        /// When it is tried again, RFC 3339; `None` waits for a person.
        again_at: Option<String>,
    },
    /// A message will not be sent to one recipient.
    Failed {
        /// The entry.
        id: u64,
        /// The account.
        account: Arc<str>,
        /// The recipient.
        to: String,
        /// Why.
        answer: String,
    },
    /// A sender is told of a message: the report is in the queue.
    Reported {
        /// The entry that it is about.
        id: u64,
        /// The account.
        account: Arc<str>,
        /// The report's own entry.
        report: u64,
        /// The report's subject.
        subject: String,
    },
    /// All is done with a message in the queue, and it is removed.
    Dequeued {
        /// The entry.
        id: u64,
        /// The account.
        account: Arc<str>,
    },
    /// Mail is taken in here.
    Listening {
        /// IP address and port.
        address: String,
    },
    /// Something a person should look at, and mail goes on.
    Warning {
        /// What, and what to do.
        text: String,
    },
    /// Changed rules are in force.
    InForce {
        /// The generation.
        generation: u64,
        /// Its digest.
        digest: String,
        /// The one it replaced; the same where only settings changed that decide nothing.
        replaced: u64,
        /// What asked for it.
        why: String,
        /// How long it took from the look at the files, in milliseconds; a trial counts.
        millis: u64,
    },
    /// What is on disk was not put in force.
    Refused {
        /// Why, in short.
        why: String,
        /// What is wrong, each with its place.
        faults: Vec<String>,
        /// The generation that stays in force.
        generation: u64,
        /// Its digest.
        digest: String,
    },
    /// What is on disk is again what is in force.
    Unchanged {
        /// The generation.
        generation: u64,
        /// Its digest.
        digest: String,
    },
    /// A candidate decides beside the generation in force.
    TrialBegan {
        /// The candidate's digest.
        digest: String,
        /// How many messages it is to decide.
        wanted: u64,
    },
    /// A candidate's trial is over.
    Trial {
        /// The candidate's digest.
        digest: String,
        /// How its decisions differ.
        contrast: serde_json::Value,
        /// The same in words.
        #[serde(skip)]
        told: String,
    },
    /// Step errors rose, and the generation before is in force again.
    PutBack {
        /// The generation in force.
        generation: u64,
        /// Its digest.
        digest: String,
        /// The one that was taken out of force.
        replaced: u64,
        /// Why.
        why: String,
        /// Held messages that are decided again because of it.
        retried: u64,
    },
    /// A replaced generation was still in use and decides nothing any more.
    Ended {
        /// The generation.
        generation: u64,
    },
    /// An account's configuration changed; it is served anew.
    Restarted {
        /// The account.
        account: Arc<str>,
    },
    /// An account is no more served: it was removed or paused.
    Left {
        /// The account.
        account: Arc<str>,
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
    /// The generation in force when it was said, and its digest.
    #[serde(skip_serializing_if = "str::is_empty")]
    in_force: &'a str,
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
    in_force: Arc<RwLock<String>>,
}

impl Maillog {
    /// A log in this form into `sink`, which may block as long as it likes.
    pub fn new(form: Form, clock: Clock, sink: Box<dyn Write + Send>) -> Self {
        let time = clock.clone();
        let gap = move |dropped: u64| {
            let text =
                format!("{dropped} lines of this log were dropped: nobody read them in time");
            line((form, &time, ""), &Event::Warning { text })
        };
        let lines = Arc::new(Queue::new(sink, Box::new(gap)));
        Self { form, clock, lines, in_force: Arc::default() }
    }

    /// Says one event. At most 40,000 wait to be written; those beyond are dropped and counted, and
    /// when the reader takes lines again, one warning says how many.
    pub fn say(&self, event: &Event) {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        self.lines.put(line((self.form, &self.clock, &in_force), event));
    }

    /// From now on each line says that this generation is in force (in JSON).
    pub fn in_force(&self, generation: u64, digest: &str) {
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        *in_force = format!("{generation} {digest}");
    }

    /// Waits until all that was said is written, at most two seconds. Blocks: not for async code.
    pub fn finish(&self) {
        self.lines.flush(LAST_WORDS);
    }
}

fn line((form, clock, in_force): (Form, &Clock, &str), event: &Event) -> String {
    let at = rfc3339(clock.now_ms());
    match form {
        Form::Text => format!("{at} {}", inert(&text(event))),
        Form::Json => serde_json::to_string(&Line { at, event, in_force }).unwrap_or_default(),
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
        Event::Listening { address } => format!("takes mail in on {address}"),
        Event::Renumbered { account, mailbox } => {
            format!("{account} {mailbox}: new UIDVALIDITY, messages are recognised anew")
        }
        Event::Warning { text } => format!("warning: {text}"),
        Event::Restarted { account } => format!("{account}: its configuration changed"),
        Event::Left { account } => format!("{account}: no longer served"),
        other => of_queue(other),
    }
}

/// What is told of the queue, else of rules.
fn of_queue(event: &Event) -> String {
    match event {
        Event::Queued { id, account, from, recipients, size, held, .. } => {
            let from = from.as_deref().unwrap_or("<>");
            let recipients = count(*recipients, "recipient");
            let held = held.as_ref().map_or(String::new(), |why| format!("; held: {why}"));
            format!("{account} queue {id}: queued from {from} for {recipients}, {size} bytes{held}")
        }
        Event::Sent { id, account, to, answer } => {
            format!("{account} queue {id}: sent to {to}: {answer}")
        }
        Event::Deferred { id, account, recipients, error, again_at } => {
            let then = match again_at {
                Some(at) => format!("tried again at {at}"),
                None => format!("waits for a person: mailmill queue show {id}"),
            };
            let recipients = count(*recipients, "recipient");
            format!("{account} queue {id}: not sent yet to {recipients}: {error}; {then}")
        }
        Event::Failed { id, account, to, answer } => {
            format!("{account} queue {id}: failed for {to}: {answer}")
        }
        Event::Reported { id, account, report, subject } => {
            format!("{account} queue {id}: its sender is told (queue {report}): {subject}")
        }
        Event::Dequeued { id, account } => format!("{account} queue {id}: done"),
        rules => of_rules(rules),
    }
}

/// What is told of rules, and the end.
fn of_rules(event: &Event) -> String {
    match event {
        Event::InForce { generation, digest, replaced, why, millis } if generation == replaced => {
            format!(
                "generation {generation} ({digest}) has other settings: {why}, after {millis} ms"
            )
        }
        Event::InForce { generation, digest, replaced, why, millis } => format!(
            "generation {generation} ({digest}) is in force instead of {replaced}: {why}, \
             after {millis} ms"
        ),
        Event::Refused { why, faults, generation, .. } => {
            // Their source lines are for a terminal: `mailmill status`.
            let first = |fault: &String| fault.lines().next().unwrap_or_default().to_owned();
            let faults = faults.iter().map(first).collect::<Vec<_>>().join("; ");
            format!("refused: {why}; generation {generation} stays in force: {faults}")
        }
        Event::Unchanged { generation, digest } => {
            format!("what is on disk is generation {generation} ({digest}) again")
        }
        Event::TrialBegan { digest, wanted } => {
            format!("candidate {digest} decides {wanted} messages on trial")
        }
        Event::Trial { digest, told, .. } => format!("trial of candidate {digest}: {told}"),
        Event::PutBack { generation, digest, replaced, why, retried } => format!(
            "{why}: generation {generation} ({digest}) is in force again instead of {replaced}; \
             {retried} held messages are decided again; correct the rules and save them"
        ),
        Event::Ended { generation } => {
            format!("replaced generation {generation} was still in use and is ended")
        }
        Event::Stopped { settled, held } => format!("stopped: {settled} settled, {held} held"),
        _ => String::new(),
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
