//! Which entries wait for what, in memory: for each account those that are due, by time; and which are
//! in somebody's hands. Made from the store when the engine starts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use crate::store::{DelayNotice, QueueEntry};

/// All entries of the queue.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<String, Lane>,
    known: HashMap<u64, Known>,
    busy: BTreeSet<u64>,
    /// Rings when the clock is to be looked at anew.
    clock: Arc<Notify>,
}

/// The entries of one account that are not held, by when they are due.
#[derive(Debug, Default)]
struct Lane {
    due: BTreeSet<(i64, u64)>,
    bell: Arc<Notify>,
    /// Why its server takes nothing now.
    error: Option<String>,
    /// Until when its server is left alone.
    rest: Option<Instant>,
    /// Wakes everybody who waits for the end of that rest.
    roused: Arc<Notify>,
}

/// What is known of an entry without looking at it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) account: String,
    pub(super) due_ms: i64,
    pub(super) queued_ms: i64,
    pub(super) held: bool,
    pub(super) delay: DelayNotice,
}

/// What there is to do for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This entry is due, and in the caller's hands until it is given back.
    Due(u64),
    /// The first is due then, Unix milliseconds.
    At(i64),
    /// Nothing waits.
    Nothing,
}

/// The queue in numbers, for `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// Messages that wait to be sent.
    pub waiting: usize,
    /// Messages that wait for a person.
    pub held: usize,
    /// When the oldest of those that wait was queued, Unix milliseconds.
    pub oldest_ms: Option<i64>,
    /// Accounts with messages that wait, or whose server takes nothing now.
    pub accounts: BTreeMap<String, LaneFigures>,
}

/// An account's part of the queue in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LaneFigures {
    /// Messages that wait to be sent.
    pub waiting: usize,
    /// Why its server takes nothing now.
    pub error: Option<String>,
}

impl Lanes {
    /// Takes note of an entry as it is now.
    pub(super) fn note(&mut self, entry: &QueueEntry) {
        self.forget(entry.id);
        let known = Known {
            account: entry.account.clone(),
            due_ms: entry.due_ms,
            queued_ms: entry.queued_ms,
            held: entry.held.is_some(),
            delay: entry.delay,
        };
        if !known.held {
            let lane = self.lanes.entry(known.account.clone()).or_default();
            lane.due.insert((known.due_ms, entry.id));
            lane.bell.notify_one();
        }
        self.known.insert(entry.id, known);
    }

    /// An entry is gone.
    pub(super) fn forget(&mut self, id: u64) {
        let Some(known) = self.known.remove(&id) else { return };
        if let Some(lane) = self.lanes.get_mut(&known.account) {
            lane.due.remove(&(known.due_ms, id));
        }
    }

    /// What to do next for an account. Where more is due, it rings for another.
    pub(super) fn next(&mut self, account: &str, now_ms: i64) -> Next {
        let Some(lane) = self.lanes.get(account) else { return Next::Nothing };
        let mut free = lane.due.iter().filter(|(_, id)| !self.busy.contains(id));
        match free.next().copied() {
            Some((due, id)) if due <= now_ms => {
                if free.next().is_some_and(|(due, _)| *due <= now_ms) {
                    lane.bell.notify_one();
                }
                self.busy.insert(id);
                Next::Due(id)
            }
            Some((due, _)) => Next::At(due),
            None => Next::Nothing,
        }
    }

    /// Takes an entry into hand, unless it is in another's.
    pub(super) fn claim(&mut self, id: u64) -> bool {
        self.known.contains_key(&id) && self.busy.insert(id)
    }

    /// An entry is out of hand: somebody may have waited for it.
    pub(super) fn give_back(&mut self, id: u64) {
        self.busy.remove(&id);
        if let Some(known) = self.known.get(&id)
            && let Some(lane) = self.lanes.get(&known.account)
        {
            lane.bell.notify_one();
        }
    }

    /// What rings when there may be something to do for an account.
    pub(super) fn bell(&mut self, account: &str) -> Arc<Notify> {
        self.lanes.entry(account.to_owned()).or_default().bell.clone()
    }

    /// What rings when the clock is to be looked at anew.
    pub(super) fn clock_bell(&self) -> Arc<Notify> {
        self.clock.clone()
    }

    /// Rings for all accounts, and for who looks at the time.
    pub(super) fn ring(&self) {
        self.clock.notify_one();
        self.lanes.values().for_each(|lane| lane.bell.notify_one());
    }

    /// An account's server takes nothing now, and is left alone for a while.
    pub(super) fn rest(&mut self, account: &str, (until, error): (Instant, String)) {
        let lane = self.lanes.entry(account.to_owned()).or_default();
        (lane.rest, lane.error) = (Some(until), Some(error));
    }

    /// An account's server takes mail again.
    pub(super) fn well(&mut self, account: &str) {
        let lane = self.lanes.entry(account.to_owned()).or_default();
        (lane.rest, lane.error) = (None, None);
    }

    /// An account's server is to be tried now, however long it was to be left alone.
    pub(super) fn rouse(&mut self, account: &str) {
        if let Some(lane) = self.lanes.get_mut(account) {
            lane.rest = None;
            lane.roused.notify_waiters();
        }
    }

    /// Until when an account's server is left alone, and what says so if that changes: taken together,
    /// no change is missed.
    pub(super) fn resting(&mut self, account: &str) -> (Option<Instant>, OwnedNotified) {
        let lane = self.lanes.entry(account.to_owned()).or_default();
        (lane.rest, lane.roused.clone().notified_owned())
    }

    /// All that are known.
    pub(super) fn known(&self) -> impl Iterator<Item = (u64, &Known)> {
        self.known.iter().map(|(id, known)| (*id, known))
    }

    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for known in self.known.values() {
            if known.held {
                figures.held += 1;
                continue;
            }
            figures.waiting += 1;
            let oldest = figures.oldest_ms.map_or(known.queued_ms, |ms| ms.min(known.queued_ms));
            figures.oldest_ms = Some(oldest);
        }
        for (name, lane) in &self.lanes {
            if !lane.due.is_empty() || lane.error.is_some() {
                let (waiting, error) = (lane.due.len(), lane.error.clone());
                figures.accounts.insert(name.clone(), LaneFigures { waiting, error });
            }
        }
        figures
    }
}
