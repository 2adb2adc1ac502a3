//! Decides messages on the worker threads, in slices: recognises what was decided before, runs the
//! pipeline, and hands the plans over to be written.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::appetite::Body;
use super::{Broken, Line, record};
use crate::error::Result;
use crate::mail::{MailboxName, Message, Uid, UidValidity};
use crate::mailbox::Fetched;
use crate::perform::Again;
use crate::pipeline::{Action, Decision, Direction, Input, Memory, Outcome, Verdict};
use crate::store::{Change, MessageRecord, Pen, State, Store, StoreMemory};

/// How long a worker stays with one account before others have their turn.
const SLICE: Duration = Duration::from_millis(50);

/// Changes that are handed over to be written at once, about.
const TOGETHER: usize = 100;

/// Why messages are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They were not seen before, as far as is known.
    New,
    /// They are held, and due to be tried again.
    Held,
}

/// One message on its way to a decision.
pub(super) struct Item {
    pub(super) input: Arc<Input>,
    /// Its rules read its body, or are taken to.
    pub(super) wanted: bool,
    /// Why it cannot be decided, e.g. it is too large for its body to be fetched, and whether
    /// trying again may help.
    pub(super) refused: Option<(String, Again)>,
}

/// What a slice has come to.
#[derive(Default)]
pub(super) struct Decided {
    /// The plans, handed over to be written.
    pub(super) records: Vec<Arc<MessageRecord>>,
    /// Their size in bytes, about.
    pub(super) plan_bytes: usize,
    /// What is still to be decided, in UID order.
    pub(super) rest: VecDeque<Item>,
}

impl Item {
    /// Whether it cannot be decided before its body is there.
    pub(super) fn awaits_body(&self) -> bool {
        self.wanted && self.refused.is_none() && !self.input.message.is_whole()
    }

    /// Whether not even its headers could be had.
    pub(super) fn is_broken(&self) -> bool {
        self.refused.is_some() && self.input.size == 0
    }
}

impl Line {
    pub(super) fn item(&self, mailbox: &MailboxName, fetched: Fetched, wanted: bool) -> Item {
        let input = Input {
            direction: Direction::Inbound,
            account: self.name.clone(),
            mailbox: mailbox.clone(),
            uid: fetched.uid,
            size: fetched.size,
            received_ms: fetched.received_ms,
            flags: fetched.flags,
            message: Arc::new(Message::from_headers(fetched.bytes)),
            user: None,
            now_ms: self.clock.now_ms(),
        };
        Item { input: Arc::new(input), wanted, refused: None }
    }

    /// A message that cannot be had is held under its key.
    pub(super) fn broken_item(&self, mailbox: &MailboxName, (uid, error): &Broken) -> Item {
        let (flags, bytes) = (Vec::new(), Vec::new());
        let nothing = Fetched { uid: *uid, flags, received_ms: None, size: 0, bytes };
        let refused = Some((error.to_string(), error.into()));
        Item { refused, ..self.item(mailbox, nothing, false) }
    }

    /// Decides messages, in UID order, off the network threads, for the time of a slice.
    pub(super) async fn decide(&self, items: VecDeque<Item>, desk: &Desk) -> Result<Decided> {
        if items.is_empty() {
            return Ok(Decided::default());
        }
        desk.pen.has_room().await;
        let (line, desk) = (self.clone(), desk.clone());
        self.workers.run(move || Slice::new(&line, &desk).run(items)).await?
    }

    /// A decision to hold that no step made.
    pub(super) fn refusal(&self, reason: &str) -> Decision {
        let action = Action::Hold { reason: reason.to_owned() };
        Decision {
            generation: self.generation.number,
            digest: self.generation.digest.clone(),
            verdict: Verdict::Hold,
            actions: vec![crate::pipeline::Recorded { action, step: "engine".into(), at: None }],
            tags: Default::default(),
            project: None,
            steps: Vec::new(),
        }
    }
}

/// What all slices of a window share.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) uidvalidity: UidValidity,
    pub(super) kind: Kind,
    /// See [`super::doubt`].
    pub(super) doubtful: Uid,
    /// What steps remember, with what earlier messages of the window wrote.
    pub(super) memory: Arc<Overlay>,
    /// Where plans are written.
    pub(super) pen: Pen,
}

/// A worker's turn with one account.
struct Slice<'l> {
    line: &'l Line,
    desk: &'l Desk,
    began: Instant,
    decided: Decided,
    changes: Vec<Change>,
}

impl<'l> Slice<'l> {
    fn new(line: &'l Line, desk: &'l Desk) -> Self {
        let (began, decided, changes) = (Instant::now(), Decided::default(), Vec::new());
        Self { line, desk, began, decided, changes }
    }

    fn run(mut self, mut items: VecDeque<Item>) -> Result<Decided> {
        while let Some(mut item) = items.pop_front() {
            if self.began.elapsed() > SLICE || !self.one(&mut item)? {
                items.push_front(item);
                break;
            }
            if self.changes.len() >= TOGETHER {
                self.hand_over()?;
            }
        }
        self.hand_over()?;
        self.foresee(&mut items);
        self.decided.rest = items;
        Ok(self.decided)
    }

    /// Decides one message; `false` where it waits for its body.
    fn one(&mut self, item: &mut Item) -> Result<bool> {
        if item.awaits_body() {
            return Ok(false);
        }
        let Some(known) = self.line.recognise(self.desk, item)? else {
            return Ok(true);
        };
        let Some((decision, again)) = self.decide(item) else {
            item.wanted = true;
            return Ok(false);
        };
        self.desk.memory.remember(&decision);
        let read = decision.steps.iter().any(|step| step.read_body);
        self.line.appetite.note(if read { Body::Read } else { Body::Unread });
        let (record, bytes) = self.line.record(known, item, decision, again)?;
        self.decided.plan_bytes += bytes;
        let record = Arc::new(record);
        self.changes.push(Change::Record(record.clone()));
        if record.state != State::Held {
            self.changes.extend(record::states(&self.line.name, &record.decision));
        }
        self.changes.extend(record::links(&record));
        self.decided.records.push(record);
        Ok(true)
    }

    /// Looks which of the messages behind one that waits will want their bodies, too: their
    /// decisions are thrown away.
    fn foresee(&self, items: &mut VecDeque<Item>) {
        if !items.front().is_some_and(Item::awaits_body) {
            return;
        }
        for item in items.iter_mut().skip(1) {
            if self.began.elapsed() > SLICE {
                break;
            }
            let open = item.refused.is_none() && !item.input.message.is_whole();
            item.wanted |= open && !item.wanted && self.decide(item).is_none();
        }
    }

    /// `None` asks for the body.
    fn decide(&self, item: &Item) -> Option<(Decision, Again)> {
        if let Some((reason, again)) = &item.refused {
            return Some((self.line.refusal(reason), *again));
        }
        let line = self.line;
        let (input, memory) = (item.input.clone(), self.desk.memory.clone());
        let decide = || line.judge(input, memory);
        match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Some(Outcome::NeedBody)) => None,
            Ok(Some(Outcome::Decided { decision, retry })) => {
                Some((decision, if retry { Again::FiveTimes } else { Again::Person }))
            }
            Ok(None) => Some((line.refusal("its pipeline is gone"), Again::Person)),
            Err(_) => {
                let why = "a fault of mailmill itself while deciding; please report it";
                Some((line.refusal(why), Again::Person))
            }
        }
    }

    /// Hands the plans over to be written, each with what its steps remember and link.
    fn hand_over(&mut self) -> Result<()> {
        // A store that could not be read is no memory that was empty: nothing was decided.
        if let Some(trouble) = self.desk.memory.store.trouble() {
            return Err(trouble);
        }
        self.desk.pen.put(std::mem::take(&mut self.changes));
        Ok(())
    }
}

/// The store's memory with what the messages before in this window wrote.
pub(super) struct Overlay {
    store: Arc<StoreMemory>,
    written: Mutex<HashMap<(String, String), String>>,
}

impl Overlay {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.memory(), written: Mutex::new(HashMap::new()) }
    }

    fn remember(&self, decision: &Decision) {
        if decision.verdict == Verdict::Hold {
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for said in &decision.actions {
            if let Action::StateSet { key, value } = &said.action {
                written.insert((said.step.clone(), key.clone()), value.clone());
            }
        }
    }
}

impl Memory for Overlay {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match written.get(&(step.to_owned(), key.to_owned())) {
            Some(value) => (!value.is_empty()).then(|| value.clone()),
            None => self.store.get(account, step, key),
        }
    }
}
