//! Gathers a window: fetches ahead while it decides, headers first, bodies only of messages whose
//! rules read them, and writes the plans down as they are made.
//!
//! Messages are decided in UID order, so that each sees what the steps remembered of those before.
//! One that waits for its body keeps those behind it waiting; the bodies of all that are known to
//! need one are fetched in one go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decide::{Decided, Desk, Item, Kind};
use super::overlay::Overlay;
use super::{Broken, Line, Opened, fetch_each};
use crate::error::Result;
use crate::mail::{Message, Uid};
use crate::mailbox::{Extent, Fetched, Mailboxes};
use crate::perform::Again;
use crate::pipeline::Input;
use crate::store::{MessageRecord, Pen};

/// Messages whose headers are fetched by one command.
const HEADERS: usize = 500;

/// Messages that wait to be decided; no more are fetched.
const AHEAD: usize = 2 * HEADERS;

/// Bytes of bodies that are fetched by one command; a single larger message still goes. As many
/// are being decided meanwhile.
const BODY_BYTES: u64 = 8 << 20;

/// Bytes of plans in one window.
const PLAN_BYTES: usize = 16 << 20;

/// How long a window is gathered before what is planned is performed, so that the server hears of us
/// and people see their mail sorted.
const TIME: Duration = Duration::from_secs(10);

/// What was planned of a window. The plans are handed over to be written, not yet durable.
pub(super) struct Window {
    /// The plans, in UID order.
    pub(super) records: Vec<Arc<MessageRecord>>,
    /// Where it was left off: the first message that was not decided.
    pub(super) left_at: Option<Uid>,
}

/// A window under way.
struct Gathering<'l> {
    line: &'l Line,
    desk: Desk,
    /// Not yet fetched.
    coming: VecDeque<Uid>,
    /// Fetched and not yet decided.
    waiting: VecDeque<Item>,
    records: Vec<Arc<MessageRecord>>,
    plan_bytes: usize,
    began: Instant,
}

/// What is fetched next.
enum Load {
    Nothing,
    Headers(Vec<Uid>),
    Bodies(Vec<Uid>),
}

/// What was fetched.
struct Loaded {
    fetched: Vec<Fetched>,
    broken: Vec<Broken>,
}

impl Line {
    /// Fetches and decides these messages of the selected mailbox, until a bound of the window is
    /// reached or `more` says no.
    pub(super) async fn gather(
        &self,
        open: &mut Opened<'_>,
        uids: Vec<Uid>,
        (kind, pen): (Kind, &Pen),
        more: &(dyn Fn() -> bool + Sync),
    ) -> Result<Window> {
        let uidvalidity = open.selected.uidvalidity;
        let memory = Arc::new(Overlay::new(&self.store));
        let mut gathering = Gathering {
            line: self,
            desk: Desk { uidvalidity, kind, doubtful: open.doubtful, memory, pen: pen.clone() },
            coming: uids.into(),
            waiting: VecDeque::new(),
            records: Vec::new(),
            plan_bytes: 0,
            began: Instant::now(),
        };
        while gathering.goes_on() && more() {
            gathering.step(open).await?;
        }
        let waiting = gathering.waiting.front().map(|item| item.input.uid);
        let left_at = waiting.or(gathering.coming.front().copied());
        Ok(Window { records: gathering.records, left_at })
    }
}

impl Gathering<'_> {
    fn goes_on(&self) -> bool {
        let left = !self.coming.is_empty() || !self.waiting.is_empty();
        left && self.plan_bytes < PLAN_BYTES && self.began.elapsed() < TIME
    }

    /// Decides what can be, and fetches meanwhile what comes next.
    async fn step(&mut self, open: &mut Opened<'_>) -> Result<()> {
        let ready = self.ready();
        let load = self.next_load();
        let (decided, loaded) =
            tokio::join!(self.line.decide(ready, &self.desk), fetch(open.mailboxes, &load));
        // Plans that were made are kept, whatever became of the fetch.
        self.take_decided(decided?);
        let loaded = loaded?;
        match load {
            Load::Nothing => {}
            Load::Headers(_) => self.take_headers(open, loaded),
            Load::Bodies(wanted) => self.take_bodies(&wanted, loaded),
        }
        Ok(())
    }

    /// Messages at the front that do not wait for a body.
    fn ready(&mut self) -> VecDeque<Item> {
        let ready = self.waiting.iter().take_while(|item| !item.awaits_body()).take(HEADERS);
        let count = ready.count();
        let rest = self.waiting.split_off(count);
        std::mem::replace(&mut self.waiting, rest)
    }

    fn next_load(&mut self) -> Load {
        let bodies = self.next_bodies();
        if !bodies.is_empty() {
            return Load::Bodies(bodies);
        }
        let count = self.coming.len().min(HEADERS);
        if self.waiting.len() >= AHEAD || count == 0 {
            return Load::Nothing;
        }
        Load::Headers(self.coming.drain(..count).collect())
    }

    /// The next messages that wait for their bodies. What is too large is refused instead.
    fn next_bodies(&mut self) -> Vec<Uid> {
        let most = self.line.account.max_size;
        let (mut uids, mut bytes) = (Vec::new(), 0);
        for item in self.waiting.iter_mut().filter(|item| item.awaits_body()) {
            let size = item.input.size;
            if size > most {
                let reason = format!(
                    "a rule reads its body, which with {size} bytes is over max_size = {most}"
                );
                item.refused = Some((reason, Again::Person));
                continue;
            }
            bytes += size;
            if bytes > BODY_BYTES && !uids.is_empty() {
                break;
            }
            uids.push(item.input.uid);
        }
        uids
    }

    fn take_decided(&mut self, decided: Decided) {
        let behind = std::mem::replace(&mut self.waiting, decided.rest);
        self.waiting.extend(behind);
        self.plan_bytes += decided.plan_bytes;
        self.records.extend(decided.records);
    }

    fn take_headers(&mut self, open: &Opened<'_>, Loaded { fetched, broken }: Loaded) {
        let line = self.line;
        let wanted = line.appetite.is_large();
        let fetched = fetched.into_iter().map(|fetched| line.item(open.mailbox, fetched, wanted));
        let broken = broken.into_iter().map(|broken| line.broken_item(open.mailbox, &broken));
        let mut items: Vec<Item> = fetched.chain(broken).collect();
        items.sort_by_key(|item| item.input.uid);
        self.waiting.extend(items);
    }

    fn take_bodies(&mut self, wanted: &[Uid], Loaded { fetched, broken }: Loaded) {
        let mut bodies: HashMap<Uid, Vec<u8>> =
            fetched.into_iter().map(|fetched| (fetched.uid, fetched.bytes)).collect();
        let mut refused: HashMap<Uid, _> = broken.into_iter().collect();
        self.waiting.retain_mut(|item| {
            let uid = item.input.uid;
            if let Some(bytes) = bodies.remove(&uid) {
                let message = Arc::new(Message::whole(bytes));
                item.input = Arc::new(Input { message, ..(*item.input).clone() });
                item.ahead = None;
            } else if let Some(error) = refused.remove(&uid) {
                item.refused = Some((error.to_string(), (&error).into()));
            } else {
                // Gone since its headers were fetched: there is nothing left to decide.
                return !wanted.contains(&uid);
            }
            true
        });
    }
}

async fn fetch(mailboxes: &mut dyn Mailboxes, load: &Load) -> Result<Loaded> {
    let (uids, extent) = match load {
        Load::Nothing => return Ok(Loaded { fetched: Vec::new(), broken: Vec::new() }),
        Load::Headers(uids) => (uids, Extent::Headers),
        Load::Bodies(uids) => (uids, Extent::Whole),
    };
    let (fetched, broken) = fetch_each(mailboxes, uids, extent).await?;
    Ok(Loaded { fetched, broken })
}
