//! Writing in the background: what happens on a server is noted while the next command is under
//! way there.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;
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
    /// Told when all up to here is durable.
    done: Option<oneshot::Sender<()>>,
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
        self.hand_over(changes, Sync::AtTheEnd, None);
    }

    /// As [`Writing::put`], but they are synced as soon as they are written.
    pub fn put_soon(&self, changes: Vec<Change>) {
        self.hand_over(changes, Sync::Now, None);
    }

    /// Waits until everything taken so far survives a loss of power.
    ///
    /// # Errors
    /// Nothing is written any more: [`Writing::finish`] tells why.
    pub async fn durable(&self) -> Result<()> {
        let (done, told) = oneshot::channel();
        self.hand_over(Vec::new(), Sync::Now, Some(done));
        told.await.map_err(|_| Error::temporary("write the store", "an earlier write failed"))
    }

    fn hand_over(&self, changes: Vec<Change>, sync: Sync, done: Option<oneshot::Sender<()>>) {
        if !changes.is_empty() || done.is_some() {
            // Who took them is gone only after an error.
            let _ = self.jobs.send(Job { changes, sync, done });
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
    while let Ok(Job { mut changes, mut sync, done }) = taken.recv() {
        let mut waiting: Vec<_> = done.into_iter().collect();
        for job in taken.try_iter() {
            changes.extend(job.changes);
            sync = if job.sync == Sync::Now { Sync::Now } else { sync };
            waiting.extend(job.done);
        }
        store.put(&changes)?;
        unsynced = true;
        if sync == Sync::Now {
            store.sync()?;
            unsynced = false;
        }
        for done in waiting {
            // Who waited may be gone.
            let _ = done.send(());
        }
    }
    if unsynced { store.sync() } else { Ok(()) }
}
