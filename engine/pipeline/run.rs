//! `mail`: all that a step gets. One object for scripts and plugins alike, so that the checks and
//! the words are the same for both.
//!
//! Reads answer from the message, from what earlier steps said, from tables and from the step's own
//! memory. Verbs check their values and record an action; they do nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::action::{Action, Direction, Recorded};
use super::limits::Limits;
use super::table::Tables;
use crate::mail::{Flag, MailboxName, Message, NeedBody, Uid};

/// The message a pipeline decides on, with what its mailbox says of it.
#[derive(Debug, Clone)]
pub struct Input {
    /// Which way it goes.
    pub direction: Direction,
    /// The account's name.
    pub account: Arc<str>,
    /// Where it was found.
    pub mailbox: MailboxName,
    /// Its UID there; 0 for a file that was never in a mailbox.
    pub uid: Uid,
    /// Its size in bytes.
    pub size: u64,
    /// When it was received, Unix milliseconds.
    pub received_ms: Option<i64>,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its bytes: the headers, or all of it.
    pub message: Arc<Message>,
    /// Who submits it (outbound).
    pub user: Option<String>,
    /// The time that stands still during the run, Unix milliseconds.
    pub now_ms: i64,
}

/// A step's memory from earlier messages of the account.
pub trait Memory: Send + Sync {
    /// What the step wrote under this key.
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String>;
}

/// A memory that remembers nothing: for `try` without a store.
#[derive(Debug, Clone, Copy)]
pub struct NoMemory;

impl Memory for NoMemory {
    fn get(&self, _account: &str, _step: &str, _key: &str) -> Option<String> {
        None
    }
}

/// Why a read or a verb ends a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// The body is needed and was not fetched: run again with all of it.
    NeedBody,
    /// `stop`, `hold` or `reject` was said: the run ends here, in order.
    LastWord,
    /// A value was refused or a limit reached; the step has failed.
    Refused(String),
}

impl From<NeedBody> for Break {
    fn from(_: NeedBody) -> Self {
        Self::NeedBody
    }
}

/// What all steps of one run have said so far.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) step: Arc<str>,
    pub(super) config: Arc<serde_json::Value>,
    pub(super) message: Arc<Message>,
    pub(super) mailbox: MailboxName,
    pub(super) flags: Vec<Flag>,
    pub(super) actions: Vec<Recorded>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) links: Vec<(String, String)>,
    pub(super) state: HashMap<(Arc<str>, String), String>,
    pub(super) last_word: bool,
    pub(super) read_body: bool,
    pub(super) need_body: bool,
    pub(super) action_bytes: usize,
    pub(super) log_lines: usize,
}

/// One run of a pipeline over one message.
pub struct Run {
    input: Arc<Input>,
    tables: Arc<Tables>,
    memory: Arc<dyn Memory>,
    limits: Arc<Limits>,
    record: Mutex<Record>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("input", &self.input).finish_non_exhaustive()
    }
}

impl Run {
    /// A run that has said nothing yet.
    pub fn new(
        input: Arc<Input>,
        tables: Arc<Tables>,
        memory: Arc<dyn Memory>,
        limits: Arc<Limits>,
    ) -> Self {
        let record = Record {
            step: "".into(),
            config: Arc::new(serde_json::Value::Null),
            message: input.message.clone(),
            mailbox: input.mailbox.clone(),
            flags: input.flags.clone(),
            actions: Vec::new(),
            tags: BTreeMap::new(),
            links: Vec::new(),
            state: HashMap::new(),
            last_word: false,
            read_body: false,
            need_body: false,
            action_bytes: 0,
            log_lines: 0,
        };
        Self { input, tables, memory, limits, record: Mutex::new(record) }
    }

    /// The record. A panic while it was held leaves a whole record: each verb changes it last.
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the message besides its bytes.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The limits of this run.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The message with the header changes said so far.
    pub fn message(&self) -> Arc<Message> {
        self.record().message.clone()
    }

    /// A read that may need the body, e.g. `run.body(Message::text)`.
    ///
    /// # Errors
    /// [`Break::NeedBody`] where only the headers were fetched.
    pub fn body<T>(&self, read: impl FnOnce(&Message) -> Result<T, NeedBody>) -> Result<T, Break> {
        let message = self.message();
        let answer = read(&message);
        let mut record = self.record();
        record.read_body = true;
        record.need_body |= answer.is_err();
        Ok(answer?)
    }

    /// A read that the headers usually answer and only at times the body.
    ///
    /// # Errors
    /// [`Break::NeedBody`] where only the headers were fetched and they do not tell.
    pub fn perhaps_body<T>(
        &self,
        read: impl FnOnce(&Message) -> Result<T, NeedBody>,
    ) -> Result<T, Break> {
        let message = self.message();
        read(&message).map_err(|need| {
            let mut record = self.record();
            record.read_body = true;
            record.need_body = true;
            need.into()
        })
    }

    /// Where the message lies, or will lie after the last `move_to`.
    pub fn mailbox(&self) -> MailboxName {
        self.record().mailbox.clone()
    }

    /// The flags, with the changes said so far.
    pub fn flags(&self) -> Vec<Flag> {
        self.record().flags.clone()
    }

    /// The project it was linked to first.
    pub fn project(&self) -> Option<String> {
        self.record().links.first().map(|(project, _)| project.clone())
    }

    /// All links said so far: project and evidence.
    pub fn links(&self) -> Vec<(String, String)> {
        self.record().links.clone()
    }

    /// All tags said so far.
    pub fn tags(&self) -> BTreeMap<String, String> {
        self.record().tags.clone()
    }

    /// The step's own `with`.
    pub fn config(&self) -> Arc<serde_json::Value> {
        self.record().config.clone()
    }

    /// A row of a table by its key; `Ok(None)` where the table has no such row.
    ///
    /// # Errors
    /// [`Break::Refused`] where there is no such table.
    pub fn table_row(
        &self,
        table: &str,
        key: &str,
    ) -> Result<Option<Arc<BTreeMap<String, String>>>, Break> {
        let rows = self.tables.get(table).ok_or_else(|| {
            Break::Refused(format!("there is no table \"{}\"", table.escape_debug()))
        })?;
        Ok(rows.row(key))
    }

    /// What this step remembers under a key, with what it wrote in this run.
    pub fn state_get(&self, key: &str) -> Option<String> {
        let record = self.record();
        match record.state.get(&(record.step.clone(), key.to_owned())) {
            Some(value) => (!value.is_empty()).then(|| value.clone()),
            None => self.memory.get(&self.input.account, &record.step, key),
        }
    }

    /// `move_to`: a later one replaces an earlier one.
    ///
    /// # Errors
    /// [`Break::Refused`] for a mailbox name that is none.
    pub fn move_to(&self, mailbox: &str, at: Option<String>) -> Result<(), Break> {
        let mailbox = MailboxName::new(mailbox).map_err(Break::Refused)?;
        let action = Action::MoveTo { mailbox: mailbox.clone() };
        self.say_then(action, at, |record| {
            let last = record.actions.len() - 1;
            let mut index = 0;
            record.actions.retain(|said| {
                index += 1;
                index > last || !matches!(said.action, Action::MoveTo { .. })
            });
            record.mailbox = mailbox;
        })
    }

    /// `copy_to`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a mailbox name that is none.
    pub fn copy_to(&self, mailbox: &str, at: Option<String>) -> Result<(), Break> {
        let mailbox = MailboxName::new(mailbox).map_err(Break::Refused)?;
        self.say(Action::CopyTo { mailbox }, at)
    }

    /// `add_flag`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a flag that is none.
    pub fn add_flag(&self, flag: &str, at: Option<String>) -> Result<(), Break> {
        let flag = Flag::new(flag).map_err(Break::Refused)?;
        self.say_then(Action::AddFlag { flag: flag.clone() }, at, |record| {
            if !record.flags.contains(&flag) {
                record.flags.push(flag);
            }
        })
    }

    /// `remove_flag`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a flag that is none.
    pub fn remove_flag(&self, flag: &str, at: Option<String>) -> Result<(), Break> {
        let flag = Flag::new(flag).map_err(Break::Refused)?;
        self.say_then(Action::RemoveFlag { flag: flag.clone() }, at, |record| {
            record.flags.retain(|known| *known != flag);
        })
    }

    /// `link`: the first link is the message's project.
    ///
    /// # Errors
    /// [`Break::Refused`] for a project or evidence that is empty, long or has control characters.
    pub fn link(&self, project: &str, evidence: &str, at: Option<String>) -> Result<(), Break> {
        let project = word("a project", project)?;
        let evidence = word("an evidence", evidence)?;
        let action = Action::Link { project: project.clone(), evidence: evidence.clone() };
        self.say_then(action, at, |record| record.links.push((project, evidence)))
    }

    /// `tag`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a key that is empty or long, or a value over 1 KiB.
    pub fn tag(&self, key: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        let key = word("a tag's key", key)?;
        let value = text("a tag's value", value, 1024)?;
        let action = Action::Tag { key: key.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            record.tags.insert(key, value);
        })
    }

    /// `set_header`, in what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] for a field name or text that cannot stand in a header.
    pub fn set_header(&self, name: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        let (name, value) = header_field(name, value)?;
        let action = Action::SetHeader { name: name.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            record.message = Arc::new(record.message.with_header_set(&name, &value));
        })
    }

    /// `add_header`, in what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] for a field name or text that cannot stand in a header.
    pub fn add_header(&self, name: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        let (name, value) = header_field(name, value)?;
        let action = Action::AddHeader { name: name.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            record.message = Arc::new(record.message.with_header_added(&name, &value));
        })
    }

    /// `remove_header`, in what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] for a field name that is none.
    pub fn remove_header(&self, name: &str, at: Option<String>) -> Result<(), Break> {
        let name = field_name(name)?;
        self.say_then(Action::RemoveHeader { name: name.clone() }, at, |record| {
            record.message = Arc::new(record.message.with_headers_removed(&[&name]));
        })
    }

    /// `suppress_receipt`.
    ///
    /// # Errors
    /// [`Break::Refused`] when a limit is reached.
    pub fn suppress_receipt(&self, at: Option<String>) -> Result<(), Break> {
        self.say_then(Action::SuppressReceipt, at, |record| {
            if !record.flags.contains(&Flag::mdn_sent()) {
                record.flags.push(Flag::mdn_sent());
            }
        })
    }

    /// `strip_receipt_requests`, from what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] when a limit is reached.
    pub fn strip_receipt_requests(&self, at: Option<String>) -> Result<(), Break> {
        self.say_then(Action::StripReceiptRequests, at, |record| {
            record.message = Arc::new(record.message.without_receipt_requests());
        })
    }

    /// `state.set`: an empty value removes the key.
    ///
    /// # Errors
    /// [`Break::Refused`] for a key over 256 bytes or a value over 4 KiB.
    pub fn state_set(&self, key: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        if key.is_empty() || key.len() > 256 {
            return Err(Break::Refused("a state key has 1 to 256 bytes".into()));
        }
        if value.len() > 4096 {
            return Err(Break::Refused("a state value has at most 4 KiB".into()));
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        let action = Action::StateSet { key: key.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            let step = record.step.clone();
            record.state.insert((step, key), value);
        })
    }

    /// `log`: cut at its limit, refused after too many lines.
    ///
    /// # Errors
    /// [`Break::Refused`] after too many lines.
    pub fn log(&self, line: &str, at: Option<String>) -> Result<(), Break> {
        let cut = line.floor_char_boundary(self.limits.log_line);
        let most = self.limits.log_lines;
        if self.record().log_lines >= most {
            return Err(Break::Refused(format!("more than {most} log lines for one message")));
        }
        self.say_then(Action::Log { text: inert(&line[..cut]) }, at, |record| record.log_lines += 1)
    }

    /// `deliver_to`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a target's name that is none; whether the target exists is checked
    /// when the plan is made.
    pub fn deliver_to(&self, target: &str, at: Option<String>) -> Result<(), Break> {
        self.say(Action::DeliverTo { target: word("a target", target)? }, at)
    }

    /// `hold`: the message stays where it is until a person looks.
    ///
    /// # Errors
    /// Always: [`Break::LastWord`], or [`Break::Refused`].
    pub fn hold(&self, reason: &str, at: Option<String>) -> Result<(), Break> {
        let reason = text("a reason", reason, 1024)?;
        self.last_word(Action::Hold { reason }, at)
    }

    /// `reject`: outbound only.
    ///
    /// # Errors
    /// Always: [`Break::LastWord`], or [`Break::Refused`] (inbound, or a reason with line ends).
    pub fn reject(&self, reason: &str, at: Option<String>) -> Result<(), Break> {
        if self.input.direction == Direction::Inbound {
            return Err(Break::Refused(
                "reject() refuses a submission; a message that has arrived can be held or moved"
                    .into(),
            ));
        }
        let reason = text("a reason", reason, 512)?;
        self.last_word(Action::Reject { reason }, at)
    }

    /// `stop`: no later step runs.
    ///
    /// # Errors
    /// Always: [`Break::LastWord`], or [`Break::Refused`].
    pub fn stop(&self, at: Option<String>) -> Result<(), Break> {
        self.last_word(Action::Stop, at)
    }

    fn last_word(&self, action: Action, at: Option<String>) -> Result<(), Break> {
        self.say_then(action, at, |record| record.last_word = true)?;
        Err(Break::LastWord)
    }

    fn say(&self, action: Action, at: Option<String>) -> Result<(), Break> {
        self.say_then(action, at, |_| ())
    }

    /// Records an action within the limits and lets its effect be seen.
    fn say_then(
        &self,
        action: Action,
        at: Option<String>,
        effect: impl FnOnce(&mut Record),
    ) -> Result<(), Break> {
        let mut record = self.record();
        if record.last_word {
            return Err(Break::Refused("the last word (stop, hold or reject) was said".into()));
        }
        record.action_bytes += size_of_action(&action);
        if record.actions.len() >= self.limits.actions {
            let most = self.limits.actions;
            return Err(Break::Refused(format!("more than {most} actions for one message")));
        }
        if record.action_bytes > self.limits.action_bytes {
            let most = self.limits.action_bytes;
            return Err(Break::Refused(format!(
                "more than {most} bytes of actions for one message"
            )));
        }
        let step = record.step.to_string();
        record.actions.push(Recorded { action, step, at });
        effect(&mut record);
        Ok(())
    }
}

fn size_of_action(action: &Action) -> usize {
    serde_json::to_vec(action).map_or(usize::MAX, |json| json.len())
}

/// A short name without control characters.
fn word(what: &str, value: &str) -> Result<String, Break> {
    if value.trim().is_empty() {
        return Err(Break::Refused(format!("{what} is not empty")));
    }
    text(what, value, 256)
}

/// A text without line ends and control characters, of at most `most` bytes.
fn text(what: &str, value: &str, most: usize) -> Result<String, Break> {
    if value.len() > most {
        return Err(Break::Refused(format!("{what} has at most {most} bytes")));
    }
    if value.chars().any(char::is_control) {
        let start: String = value.chars().take(80).collect();
        let shown = start.escape_debug();
        return Err(Break::Refused(format!("{what} has no control characters: \"{shown}\"")));
    }
    Ok(value.to_owned())
}

/// RFC 5322 section 3.6.8: printable ASCII without colon.
fn field_name(name: &str) -> Result<String, Break> {
    let good = (1..=76).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !good {
        let shown = name.escape_debug();
        return Err(Break::Refused(format!("no header field name: \"{shown}\"")));
    }
    Ok(name.to_owned())
}

fn header_field(name: &str, value: &str) -> Result<(String, String), Break> {
    let value = text("a header value", value, 4096)?;
    if value.contains(['\u{2028}', '\u{2029}']) {
        return Err(Break::Refused("a header value has no line separators".into()));
    }
    Ok((field_name(name)?, value))
}

/// A foreign text made harmless for terminals and line-based logs.
fn inert(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
        .collect()
}
