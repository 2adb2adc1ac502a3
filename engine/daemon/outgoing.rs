//! What the engine sends: the queue, brought into order before anything is taken in, and who relays
//! what is in it.

use std::path::Path;
use std::sync::Arc;

use super::{GRACE, Until};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::maillog::Maillog;
use crate::send::{Queue, Runner, Spool};
use crate::store::Store;

/// Opens the queue of a data folder and brings it into order.
///
/// # Errors
/// The store or the disk fails.
pub(super) fn open(data: &Path, store: &Store, clock: &Clock, log: &Maillog) -> Result<Queue> {
    let queue = Queue::new(store.clone(), Spool::open(data)?, (clock.clone(), log.clone()));
    queue.recover()?;
    Ok(queue)
}

/// Those who relay, where the engine runs on; one look at each account sends nothing.
pub(super) struct Outgoing {
    runner: Option<Runner>,
}

impl Outgoing {
    pub(super) fn start(queue: &Queue, config: &Arc<Config>, until: Until) -> Self {
        let runs = until == Until::Stopped;
        Self { runner: runs.then(|| Runner::start(queue.clone(), config)) }
    }

    /// Relays as this configuration has it.
    pub(super) fn apply(&mut self, config: &Arc<Config>) {
        if let Some(runner) = &mut self.runner {
            runner.apply(config);
        }
    }

    /// Ends when what is under way is done, or after a grace.
    pub(super) async fn stop(self) {
        if let Some(runner) = self.runner {
            runner.stop(GRACE).await;
        }
    }
}
