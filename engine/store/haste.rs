//! When commits become durable: at once where somebody waits for the promise; together with others, and a
//! little later while somebody else waits for the disk, where nobody does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest that changes in no haste wait for others to share a batch and its sync.
const LONGEST: Duration = Duration::from_millis(10);

/// They wait so many times as long as the last sync took: those in haste have most of the disk.
const SHARE: u32 = 4;

/// How long after somebody was in haste they do so, in milliseconds.
const HURRY: u64 = 20;

/// How soon a batch has to survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// At once: somebody waits for the promise.
    Now,
    /// While others need the disk at once, a batch and its sync are shared.
    WithOthers,
}

/// What survives a loss of power.
#[derive(Debug)]
pub(super) struct Durable {
    /// The last batch that does.
    pub(super) batch: u64,
    /// The last group of shared changes that does.
    pub(super) group: u64,
    /// How long the last sync took.
    pub(super) took: Duration,
}

/// Who syncs, and who waits for it.
#[derive(Debug)]
pub(super) struct Syncs {
    /// Its lock is held during the sync.
    durable: Mutex<Durable>,
    /// Told after each sync.
    synced: Condvar,
    began: Instant,
    /// When somebody last needed the disk at once, as [`Syncs::now_ms`] says; 0 where nobody did.
    hurried: AtomicU64,
}

impl Syncs {
    /// Up to and with this batch all is durable.
    pub(super) fn after(batch: u64) -> Self {
        let durable = Mutex::new(Durable { batch, group: 0, took: Duration::ZERO });
        let (synced, hurried) = Default::default();
        Self { durable, synced, began: Instant::now(), hurried }
    }

    /// The turn to sync.
    pub(super) fn turn(&self) -> MutexGuard<'_, Durable> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to sync of a group; while somebody is in haste, not before others had time to join it,
    /// or to sync it.
    pub(super) fn turn_with_others(&self, group: u64) -> MutexGuard<'_, Durable> {
        let durable = self.turn();
        if self.now_ms().saturating_sub(self.hurried.load(Ordering::Relaxed)) > HURRY {
            return durable;
        }
        let lag = durable.took.saturating_mul(SHARE).min(LONGEST);
        let open = |durable: &mut Durable| durable.group < group;
        let waited = self.synced.wait_timeout_while(durable, lag, open);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Tells everybody who waits what is durable now.
    pub(super) fn tell(&self, turn: &mut MutexGuard<'_, Durable>, durable: Durable) {
        **turn = durable;
        self.synced.notify_all();
    }

    /// Somebody needs the disk at once.
    pub(super) fn make_way(&self) {
        self.hurried.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Milliseconds since a moment that is longer ago than haste lasts.
    fn now_ms(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        since.saturating_add(HURRY + 1)
    }
}
