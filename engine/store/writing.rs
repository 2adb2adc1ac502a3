//! Writing in the background: plans are written while the next messages are decided, marks while
//! the next command is under way on the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::{Change, Store};
use crate::error::{Error, Result};

/// Changes that are written as one batch, about: who reads the store waits for a batch.
const TOGETHER: usize = 200;

/// Changes that may wait to be written before [`Pen::has_room`] waits for some of them.
const MOST_WAITING: usize = 2_000;

/// Takes changes in their order. All of them are durable when [`Writing::finish`] returns; dropped
/// without that, it writes them all the same.
#[derive(Debug)]
pub struct Writing {
    pen: Pen,
    task: JoinHandle<Result<()>>,
}

/// Hands changes to a [`Writing`], from any thread. [`Writing::finish`] waits until all are dropped.
#[derive(Debug, Clone)]
pub struct Pen {
    jobs: Sender<Job>,
    backlog: Arc<Backlog>,
}

/// Changes that were handed over and are not yet written.
#[derive(Debug, Default)]
struct Backlog {
    changes: AtomicUsize,
    /// Some were written, or no more will be.
    shrank: Notify,
    ended: AtomicBool,
}

enum Job {
    Write(Vec<Change>),
    /// Write and sync at once.
    WriteSoon(Vec<Change>),
    /// Sync and tell.
    Sync(oneshot::Sender<()>),
}

impl Job {
    /// How many changes it holds.
    fn size(&self) -> usize {
        match self {
            Self::Write(changes) | Self::WriteSoon(changes) => changes.len(),
            Self::Sync(_) => 0,
        }
    }
}

impl Writing {
    pub(super) fn begin(store: Store) -> Self {
        let (jobs, taken) = channel();
        let backlog = Arc::<Backlog>::default();
        let pen = Pen { jobs, backlog: backlog.clone() };
        let task = tokio::task::spawn_blocking(move || Writer::new(&store, &backlog).run(&taken));
        Self { pen, task }
    }

    /// What hands changes over.
    pub fn pen(&self) -> &Pen {
        &self.pen
    }

    /// Returns when everything taken so far survives a loss of power.
    ///
    /// # Errors
    /// Something was not written; [`Writing::finish`] says why.
    pub async fn sync(&self) -> Result<()> {
        self.pen.sync().await
    }

    /// Waits until everything taken survives a loss of power.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn finish(self) -> Result<()> {
        drop(self.pen);
        self.task.await.map_err(|why| Error::temporary("write the store", why))?
    }
}

impl Pen {
    /// Hands changes over and does not wait. An error shows in [`Writing::finish`]; after one
    /// nothing more is written.
    pub fn put(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.hand_over(Job::Write(changes));
        }
    }

    /// As [`Pen::put`], but they are synced as soon as they are written.
    pub fn put_soon(&self, changes: Vec<Change>) {
        self.hand_over(Job::WriteSoon(changes));
    }

    /// As [`Writing::sync`].
    ///
    /// # Errors
    /// As [`Writing::sync`].
    pub async fn sync(&self) -> Result<()> {
        let (tell, told) = oneshot::channel();
        self.hand_over(Job::Sync(tell));
        told.await.map_err(|_| Error::temporary("write the store", "an earlier write failed"))
    }

    /// Returns when not too much waits to be written.
    pub async fn has_room(&self) {
        loop {
            let shrank = self.backlog.shrank.notified();
            let waiting = self.backlog.changes.load(Ordering::Acquire);
            if waiting < MOST_WAITING || self.backlog.ended.load(Ordering::Acquire) {
                return;
            }
            shrank.await;
        }
    }

    fn hand_over(&self, job: Job) {
        self.backlog.changes.fetch_add(job.size(), Ordering::AcqRel);
        // Who took them is gone only after an error.
        let _ = self.jobs.send(job);
    }
}

/// The task that writes.
struct Writer<'s> {
    store: &'s Store,
    backlog: &'s Backlog,
    changes: Vec<Change>,
    /// Whether something was written since the last sync.
    unsynced: bool,
    /// Whether somebody wants a sync, and who wants to be told of it.
    wanted: bool,
    tell: Vec<oneshot::Sender<()>>,
}

impl<'s> Writer<'s> {
    fn new(store: &'s Store, backlog: &'s Backlog) -> Self {
        Self {
            store,
            backlog,
            changes: Vec::new(),
            unsynced: false,
            wanted: false,
            tell: Vec::new(),
        }
    }

    fn run(mut self, taken: &Receiver<Job>) -> Result<()> {
        while let Ok(job) = taken.recv() {
            self.take(job);
            while self.changes.len() < TOGETHER
                && let Ok(job) = taken.try_recv()
            {
                self.take(job);
            }
            self.write()?;
        }
        self.wanted = true;
        self.write()
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Write(changes) => self.changes.extend(changes),
            Job::WriteSoon(changes) => {
                self.changes.extend(changes);
                self.wanted = true;
            }
            Job::Sync(tell) => {
                self.tell.push(tell);
                self.wanted = true;
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        let changes = std::mem::take(&mut self.changes);
        self.unsynced |= !changes.is_empty();
        self.store.put(&changes)?;
        self.backlog.changes.fetch_sub(changes.len(), Ordering::AcqRel);
        self.backlog.shrank.notify_waiters();
        if self.wanted && self.unsynced {
            self.store.sync()?;
            self.unsynced = false;
        }
        if self.wanted {
            self.wanted = false;
            // Whoever asked may have gone.
            for tell in self.tell.drain(..) {
                let _ = tell.send(());
            }
        }
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.backlog.ended.store(true, Ordering::Release);
        self.backlog.shrank.notify_waiters();
    }
}
