//! Decides a batch: headers first, bodies only for those whose rules read them.
//!
//! Steps are pure, so the whole batch is decided again, in UID order, once the bodies are there:
//! each message sees what the steps remembered of the messages before it, whatever had to be
//! fetched in between.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Broken, Line, Opened, fetch_each, record};
use crate::error::{Error, Result, Retry};
use crate::mail::{MailboxName, Message, Uid};
use crate::mailbox::{Extent, Fetched, Mailboxes, Selected};
use crate::pipeline::{Action, Decision, Direction, Input, Memory, Outcome, Verdict};
use crate::store::{Change, MessageRecord, Store, StoreMemory};

/// Bytes of bodies that are in memory at a time; a single larger message still goes.
const BODY_BYTES: u64 = 32 << 20;

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
    pub(super) refused: Option<(String, Retry)>,
}

/// What a round gave for one message.
type Round = Vec<(Item, Option<(Decision, Retry)>)>;

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
        let mut round = self.round(items.clone()).await?;
        while round.iter().any(|(_, decided)| decided.is_none()) {
            let needy: Vec<Uid> = round
                .iter()
                .filter(|(_, decided)| decided.is_none())
                .map(|(item, _)| item.input.uid)
                .collect();
            cut_after = cut(&mut items, &needy).or(cut_after);
            self.fetch_bodies(open.mailboxes, &mut items, &needy).await?;
            round = self.round(items.clone()).await?;
        }
        self.conclude(&open.selected, round, cut_after)
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
        Item { refused: Some((error.to_string(), error.retry())), ..self.item(mailbox, nothing) }
    }

    /// One round over all messages, off the network threads.
    async fn round(&self, items: Vec<Item>) -> Result<Round> {
        let line = self.clone();
        tokio::task::spawn_blocking(move || {
            let memory = Arc::new(Overlay::new(&line.store));
            let round = items.into_iter().map(|item| line.decide_one(item, &memory)).collect();
            // A store that could not be read is no memory that was empty: nothing was decided.
            memory.store.trouble().map_or(Ok(round), Err)
        })
        .await
        .map_err(|why| Error::temporary(format!("decide mail of account {}", self.name), why))?
    }

    fn decide_one(&self, item: Item, memory: &Arc<Overlay>) -> (Item, Option<(Decision, Retry)>) {
        if let Some((reason, retry)) = &item.refused {
            let decided = (self.refusal(reason), *retry);
            return (item, Some(decided));
        }
        let decide = || self.generation.decide(&self.pipeline, item.input.clone(), memory.clone());
        let decided = match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Some(Outcome::NeedBody)) => None,
            Ok(Some(Outcome::Decided { decision, retry })) => {
                memory.remember(&decision);
                Some((decision, if retry { Retry::Later } else { Retry::Never }))
            }
            Ok(None) => Some((self.refusal("its pipeline is gone"), Retry::Never)),
            Err(_) => Some((
                self.refusal("a fault of mailmill itself while deciding; please report it"),
                Retry::Never,
            )),
        };
        (item, decided)
    }

    /// A decision to hold that no step made.
    fn refusal(&self, reason: &str) -> Decision {
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
                item.refused = Some((reason, Retry::Never));
            } else {
                wanted.push(item.input.uid);
            }
        }
        let (fetched, broken) = fetch_each(mailboxes, &wanted, Extent::Whole).await?;
        for (uid, error) in &broken {
            let item = items.iter_mut().find(|item| item.input.uid == *uid);
            if let Some(item) = item {
                item.refused = Some((error.to_string(), error.retry()));
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

    fn conclude(
        &self,
        selected: &Selected,
        round: Round,
        cut_after: Option<Uid>,
    ) -> Result<Decided> {
        let mut records = Vec::with_capacity(round.len());
        let mut states = Vec::new();
        for (item, decided) in round {
            let Some((decision, retry)) = decided else { continue };
            if decision.verdict != Verdict::Hold {
                states.extend(record::states(&self.name, &decision));
            }
            records.push(self.record(selected.uidvalidity, &item.input, decision, retry)?);
        }
        Ok(Decided { records, states, cut_after })
    }
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
    items.truncate(keep);
    items.last().map(|item| item.input.uid)
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
