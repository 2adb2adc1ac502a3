//! Writing in the background: what happens on a server is noted while the next command is under
//! way there.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::task::JoinHandle;

use super::{Change, Store};
use crate::error::{Error, Result};

/// Takes changes in their order. All of them are durable when [`Writing::finish`] returns; dropped
/// without that, it writes them all the same.
#[derive(Debug)]
pub struct Writing {
    jobs: Sender<Job>,
    task: JoinHandle<Result<()>>,
}

struct Job {
    changes: Vec<Change>,
    sync: Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    AtTheEnd,
    Now,
}

impl Writing {
    pub(super) fn begin(store: Store) -> Self {
        let (jobs, taken) = channel();
        let task = tokio::task::spawn_blocking(move || write(&store, &taken));
        Self { jobs, task }
    }

    /// Hands changes over and does not wait. An error shows in [`Writing::finish`]; after one
    /// nothing more is written.
    pub fn put(&self, changes: Vec<Change>) {
        self.hand_over(changes, Sync::AtTheEnd);
    }

    /// As [`Writing::put`], but they are synced as soon as they are written.
    pub fn put_soon(&self, changes: Vec<Change>) {
        self.hand_over(changes, Sync::Now);
    }

    fn hand_over(&self, changes: Vec<Change>, sync: Sync) {
        if !changes.is_empty() {
            // Who took them is gone only after an error.
            let _ = self.jobs.send(Job { changes, sync });
        }
    }

    /// Waits until everything taken survives a loss of power.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn finish(self) -> Result<()> {
        drop(self.jobs);
        self.task.await.map_err(|why| Error::temporary("write the store", why))?
    }
}

fn write(store: &Store, taken: &Receiver<Job>) -> Result<()> {
    let mut unsynced = false;
    while let Ok(Job { mut changes, mut sync }) = taken.recv() {
        for job in taken.try_iter() {
            changes.extend(job.changes);
            sync = if job.sync == Sync::Now { Sync::Now } else { sync };
        }
        store.put(&changes)?;
        unsynced = true;
        if sync == Sync::Now {
            store.sync()?;
            unsynced = false;
        }
    }
    if unsynced { store.sync() } else { Ok(()) }
}
