//! `mail`: all that a step gets. One object for scripts and plugins alike, so that the checks and
//! the words are the same for both.
//!
//! Reads answer from the message, from what earlier steps said, from tables and from the step's own
//! memory. The verbs stand in `verbs.rs`: they check their values and record an action, no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::action::{Direction, Recorded};
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
    pub(super) log_bytes: usize,
    pub(super) log_lines: usize,
}

/// One run of a pipeline over one message.
pub struct Run {
    input: Arc<Input>,
    tables: Arc<Tables>,
    memory: Arc<dyn Memory>,
    limits: Arc<Limits>,
    templates: BTreeSet<String>,
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
            log_bytes: 0,
            log_lines: 0,
        };
        let templates = BTreeSet::new();
        Self { input, tables, memory, limits, templates, record: Mutex::new(record) }
    }

    /// A run whose steps may name these templates.
    #[must_use]
    pub fn with_templates<'n>(mut self, names: impl Iterator<Item = &'n str>) -> Self {
        // Inbound nothing is signed.
        if self.input.direction == Direction::Outbound {
            self.templates = names.map(str::to_owned).collect();
        }
        self
    }

    /// The templates that a step may name.
    pub(super) fn templates(&self) -> &BTreeSet<String> {
        &self.templates
    }

    /// A run whose steps come after others that have linked and tagged so.
    pub(super) fn after(
        mut self,
        links: Vec<(String, String)>,
        tags: BTreeMap<String, String>,
    ) -> Self {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner);
        (record.links, record.tags) = (links, tags);
        self
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

    /// Whether there is such a table.
    pub fn has_table(&self, table: &str) -> bool {
        self.tables.contains_key(table)
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
}
