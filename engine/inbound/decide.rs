//! Decides messages on the worker threads, in slices: recognises what was decided before, runs the
//! pipeline, and hands the plans over to be written.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::appetite::{Body, Foretold};
use super::foretell::Ahead;
use super::overlay::Overlay;
use super::recognise::Known;
use super::{Broken, Line, record};
use crate::error::Result;
use crate::mail::{MailboxName, Message, Uid, UidValidity};
use crate::mailbox::Fetched;
use crate::perform::Again;
use crate::pipeline::{Action, Decision, Direction, Input, Memory, Outcome, Verdict};
use crate::store::{Change, MessageRecord, Pen, State};

/// How long a worker stays with one account before others have their turn.
pub(super) const SLICE: Duration = Duration::from_millis(50);

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
    /// What was found out ahead of its turn.
    pub(super) ahead: Option<Ahead>,
}

/// A decision, and whether trying again may help where it holds its message.
pub(super) type Made = (Decision, Again);

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
        Item { input: Arc::new(input), wanted, refused: None, ahead: None }
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
        let items = self.foretell(items, desk).await?;
        let (line, desk) = (self.clone(), desk.clone());
        self.workers.run(move || Slice::new(&line, &desk).run(items)).await?
    }

    /// Decides a message; `None` asks for the body.
    pub(super) fn make(&self, item: &Item, memory: Arc<dyn Memory>) -> Option<Made> {
        if let Some((reason, again)) = &item.refused {
            return Some((self.refusal(reason), *again));
        }
        let decide = || self.judge(item.input.clone(), memory);
        match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Some(Outcome::NeedBody)) => None,
            Ok(Some(Outcome::Decided { decision, retry })) => {
                Some((decision, if retry { Again::FiveTimes } else { Again::Person }))
            }
            Ok(None) => Some((self.refusal("its pipeline is gone"), Again::Person)),
            Err(_) => {
                let why = "a fault of mailmill itself while deciding; please report it";
                Some((self.refusal(why), Again::Person))
            }
        }
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
        let (known, made) = match item.ahead.take().filter(|ahead| self.holds(ahead)) {
            Some(Ahead { known, made, .. }) => (known, made),
            None => self.decide(item)?,
        };
        let Some(known) = known else { return Ok(true) };
        let Some((decision, again)) = made else {
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

    /// Whether a decision made ahead is what would be decided now.
    fn holds(&self, ahead: &Ahead) -> bool {
        let holds = ahead.memory.still_holds();
        self.line.appetite.note_foretold(if holds { Foretold::Held } else { Foretold::InVain });
        holds
    }

    fn decide(&self, item: &Item) -> Result<(Option<Known>, Option<Made>)> {
        let Some(known) = self.line.recognise(self.desk, item)? else { return Ok((None, None)) };
        let made = self.line.make(item, self.desk.memory.clone());
        Ok((Some(known), made))
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
            let open = item.refused.is_none() && !item.input.message.is_whole() && !item.wanted;
            let wants = || match &item.ahead {
                Some(Ahead { known, made, .. }) => known.is_some() && made.is_none(),
                None => self.line.make(item, self.desk.memory.clone()).is_none(),
            };
            item.wanted |= open && wants();
        }
    }

    /// Hands the plans over to be written, each with what its steps remember and link.
    fn hand_over(&mut self) -> Result<()> {
        // A store that could not be read is no memory that was empty: nothing was decided.
        self.desk.memory.trouble()?;
        self.desk.pen.put(std::mem::take(&mut self.changes));
        Ok(())
    }
}
