//! Decides a batch: headers first, bodies only for those whose rules read them.
//!
//! Steps are pure, so the whole batch is decided again, in UID order, once the bodies are there:
//! each message sees what the steps remembered of the messages before it, whatever had to be
//! fetched in between.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Broken, Line, Opened, fetch_each, record};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Message, Uid, UidValidity};
use crate::mailbox::{Extent, Fetched, Mailboxes};
use crate::perform::Again;
use crate::pipeline::{Action, Decision, Direction, Input, Memory, Outcome, Verdict};
use crate::store::{Change, MessageRecord, State, Store, StoreMemory};

/// Bytes of bodies that are in memory at a time; a single larger message still goes.
const BODY_BYTES: u64 = 32 << 20;

/// How long a round may take before it is cut.
const ROUND: Duration = Duration::from_secs(20);

/// A decided batch, nothing of it stored yet.
pub(super) struct Decided {
    /// The plans, in UID order.
    pub(super) records: Vec<MessageRecord>,
    /// What the steps remember.
    pub(super) states: Vec<Change>,
    /// The batch was cut after this UID, because the bodies of the rest were too much at once.
    pub(super) cut_after: Option<Uid>,
}

/// One message on its way to a decision.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) input: Arc<Input>,
    /// Why it cannot be decided, e.g. it is too large for its body to be fetched, and whether
    /// trying again may help.
    pub(super) refused: Option<(String, Again)>,
}

/// What a round gave for each message; `None` asks for its body.
type Round = Vec<Option<(Decision, Again)>>;

impl Line {
    /// Decides messages of the selected mailbox.
    pub(super) async fn decide(
        &self,
        open: &mut Opened<'_>,
        fetched: Vec<Fetched>,
        broken: Vec<Broken>,
    ) -> Result<Decided> {
        let mut items: Vec<Item> =
            fetched.into_iter().map(|fetched| self.item(open.mailbox, fetched)).collect();
        items.extend(broken.into_iter().map(|broken| self.broken_item(open.mailbox, &broken)));
        items.sort_by_key(|item| item.input.uid);
        let mut cut_after = None;
        loop {
            let (back, round) = self.round(items).await?;
            items = back;
            if round.len() < items.len() {
                cut_after = cut_at(&mut items, round.len());
            }
            let needy = needy(&items, &round);
            if needy.is_empty() {
                return self.conclude(open.selected.uidvalidity, items, round, cut_after).await;
            }
            cut_after = cut(&mut items, &needy).or(cut_after);
            self.fetch_bodies(open.mailboxes, &mut items, &needy).await?;
        }
    }

    fn item(&self, mailbox: &MailboxName, fetched: Fetched) -> Item {
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
        Item { input: Arc::new(input), refused: None }
    }

    /// A message that cannot be had is held under its key.
    fn broken_item(&self, mailbox: &MailboxName, (uid, error): &Broken) -> Item {
        let (flags, bytes) = (Vec::new(), Vec::new());
        let nothing = Fetched { uid: *uid, flags, received_ms: None, size: 0, bytes };
        Item { refused: Some((error.to_string(), error.into())), ..self.item(mailbox, nothing) }
    }

    /// One round over the messages, off the network threads, in UID order. It ends early when it
    /// has taken long, so that the server hears of us before it loses patience.
    async fn round(&self, items: Vec<Item>) -> Result<(Vec<Item>, Round)> {
        self.off_network(move |line| {
            let started = Instant::now();
            let memory = Arc::new(Overlay::new(&line.store));
            let mut round = Vec::with_capacity(items.len());
            for item in &items {
                round.push(line.decide_one(item, &memory));
                if started.elapsed() > ROUND {
                    break;
                }
            }
            // A store that could not be read is no memory that was empty: nothing was decided.
            memory.store.trouble().map_or(Ok((items, round)), Err)
        })
        .await
    }

    /// Runs what computes or reads the store where it keeps nobody waiting.
    pub(super) async fn off_network<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Line) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let line = self.clone();
        tokio::task::spawn_blocking(move || work(&line))
            .await
            .map_err(|why| Error::temporary(format!("decide mail of account {}", self.name), why))?
    }

    fn decide_one(&self, item: &Item, memory: &Arc<Overlay>) -> Option<(Decision, Again)> {
        if let Some((reason, again)) = &item.refused {
            return Some((self.refusal(reason), *again));
        }
        let decide = || self.generation.decide(&self.pipeline, item.input.clone(), memory.clone());
        match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Some(Outcome::NeedBody)) => None,
            Ok(Some(Outcome::Decided { decision, retry })) => {
                memory.remember(&decision);
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

    /// Fetches the whole of these messages; the others stay as they are.
    async fn fetch_bodies(
        &self,
        mailboxes: &mut dyn Mailboxes,
        items: &mut Vec<Item>,
        needy: &[Uid],
    ) -> Result<()> {
        let most = self.account.max_size;
        let mut wanted = Vec::new();
        for item in items.iter_mut().filter(|item| needy.contains(&item.input.uid)) {
            if item.input.size > most {
                let size = item.input.size;
                let reason = format!(
                    "a rule reads its body, which with {size} bytes is over max_size = {most}"
                );
                item.refused = Some((reason, Again::Person));
            } else {
                wanted.push(item.input.uid);
            }
        }
        let (fetched, broken) = fetch_each(mailboxes, &wanted, Extent::Whole).await?;
        for (uid, error) in &broken {
            let item = items.iter_mut().find(|item| item.input.uid == *uid);
            if let Some(item) = item {
                item.refused = Some((error.to_string(), error.into()));
            }
        }
        let mut bodies: HashMap<Uid, Vec<u8>> =
            fetched.into_iter().map(|fetched| (fetched.uid, fetched.bytes)).collect();
        items.retain_mut(|item| match bodies.remove(&item.input.uid) {
            Some(bytes) => {
                let message = Arc::new(Message::whole(bytes));
                item.input = Arc::new(Input { message, ..(*item.input).clone() });
                true
            }
            // Gone since its headers were fetched: there is nothing left to decide.
            None => item.refused.is_some() || !wanted.contains(&item.input.uid),
        });
        Ok(())
    }

    /// Makes records of decisions.
    async fn conclude(
        &self,
        uidvalidity: UidValidity,
        items: Vec<Item>,
        round: Round,
        cut_after: Option<Uid>,
    ) -> Result<Decided> {
        self.off_network(move |line| {
            let mut records = Vec::with_capacity(round.len());
            let mut states = Vec::new();
            for (item, decided) in items.iter().zip(round) {
                let Some((decision, again)) = decided else { continue };
                let record = line.record(uidvalidity, item, decision, again)?;
                if record.state != State::Held {
                    states.extend(record::states(&line.name, &record.decision));
                }
                records.push(record);
            }
            Ok(Decided { records, states, cut_after })
        })
        .await
    }
}

/// The messages whose bodies the round asked for.
fn needy(items: &[Item], round: &Round) -> Vec<Uid> {
    let asked = items.iter().zip(round).filter(|(_, decided)| decided.is_none());
    asked.map(|(item, _)| item.input.uid).collect()
}

/// Cuts the batch after this many messages.
fn cut_at(items: &mut Vec<Item>, keep: usize) -> Option<Uid> {
    items.truncate(keep);
    items.last().map(|item| item.input.uid)
}

/// Cuts the batch where the bodies of `needy` come to more than may be in memory.
fn cut(items: &mut Vec<Item>, needy: &[Uid]) -> Option<Uid> {
    let mut bytes = 0;
    let mut keep = 0;
    for item in items.iter() {
        bytes += if needy.contains(&item.input.uid) { item.input.size } else { 0 };
        if bytes > BODY_BYTES && keep > 0 {
            break;
        }
        keep += 1;
    }
    if keep == items.len() {
        return None;
    }
    cut_at(items, keep)
}

/// The store's memory with what the messages before in this batch wrote.
struct Overlay {
    store: Arc<StoreMemory>,
    written: Mutex<HashMap<(String, String), String>>,
}

impl Overlay {
    fn new(store: &Store) -> Self {
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
