//! The queue: takes messages, and says what is in it. Cheap to clone; the runner relays what is in it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lanes::{Figures, Lanes};
use super::memory;
use super::promise::{By, Promise};
use super::spool::{Found, Spool};
use super::spool_file::SpoolFile;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::Envelope;
use crate::maillog::{Event, Maillog};
use crate::store::{
    Change, DelayNotice, Doubt, Haste, Origin, QueueEntry, Queued, QueuedRecipient, RecipientState,
    SentCopy, Store,
};

/// The most characters of a subject that an entry keeps.
const MAX_SUBJECT: usize = 200;

/// Entries that are changed in one commit.
const AT_ONCE: usize = 1_000;

/// Everything that was promised to be sent.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    spool: Spool,
    clock: Clock,
    log: Maillog,
    lanes: Mutex<Lanes>,
}

/// A message that is to be sent, beside its bytes.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The account whose server relays it.
    pub account: String,
    /// Who handed it over; `None` where it is mailmill's own.
    pub user: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Who it is from and to.
    pub envelope: Envelope,
    /// Its Message-ID without angle brackets. Every message should have one: it is told apart by it
    /// where it may have been sent twice.
    pub message_id: Option<String>,
    /// Its subject, decoded.
    pub subject: Option<String>,
    /// The project it belongs to.
    pub project: Option<String>,
    /// The generation that decided; 0 where none did.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// Why it waits for a person instead of being sent.
    pub held: Option<String>,
    /// What belongs to it and is written with its entry: step memory, for instance.
    pub changes: Vec<Change>,
}

impl Queue {
    /// The queue of a data folder's store and spool; nothing of it is sent before [`Queue::recover`].
    pub fn new(store: Store, spool: Spool, (clock, log): (Clock, Maillog)) -> Self {
        let lanes = Mutex::default();
        Self { shared: Arc::new(Shared { store, spool, clock, log, lanes }) }
    }

    /// Where messages are written before they are queued.
    pub fn spool(&self) -> &Spool {
        &self.shared.spool
    }

    /// Takes a message, and gives the id of its entry. When this returns the message's file survives a
    /// loss of power, and is promised to be sent; its entry is in the store and becomes durable with
    /// the next commit that is waited for, or is made anew from the file ([`Queue::recover`]). When this
    /// fails nothing of it is left.
    ///
    /// # Errors
    /// Temporary: the disk, e.g. a full one (`452 4.3.1`). Permanent: no recipient, or so many that
    /// the entry is too large (`452 4.5.3`).
    pub async fn accept(&self, outgoing: Outgoing, file: SpoolFile) -> Result<u64> {
        let queue = self.clone();
        let accepted = tokio::task::spawn_blocking(move || queue.accept_blocking(outgoing, file));
        accepted.await.map_err(|why| Error::temporary("queue a message", why))?
    }

    /// [`Queue::accept`] for a caller that may block.
    ///
    /// # Errors
    /// As [`Queue::accept`].
    pub fn accept_blocking(&self, mut outgoing: Outgoing, file: SpoolFile) -> Result<u64> {
        if outgoing.envelope.recipients.is_empty() {
            return Err(Error::permanent("queue a message", "it has no recipient"));
        }
        outgoing.changes.extend(memory::of(&outgoing));
        let changes = std::mem::take(&mut outgoing.changes);
        let entry = self.take(outgoing, changes, file)?;
        reach(Point::Queued);
        self.took(&entry);
        Ok(entry.id)
    }

    /// Makes a promise of a message by its file, and tells the store.
    fn take(
        &self,
        outgoing: Outgoing,
        changes: Vec<Change>,
        mut file: SpoolFile,
    ) -> Result<Arc<QueueEntry>> {
        let store = &self.shared.store;
        let promise = self.promise((By::File, outgoing, changes), &mut file)?;
        let entry = Arc::new(promise.entry.clone());
        let changes = [&promise.changes[..], &[Change::Queue(entry.clone())]].concat();
        store.make_way();
        if let Err(error) = store.would_take(&changes) {
            // Nothing was written: the file that it was to lie in is given back as it is.
            store.give_up_queue_id(entry.id);
            return Err(error);
        }
        match file.finish(&promise).and_then(|()| store.put(&changes)) {
            Ok(()) => Ok(entry),
            Err(error) => {
                self.give_up(&entry);
                Err(error)
            }
        }
    }

    /// A message whose file was written is no promise after all: neither its file nor its id comes back as
    /// one.
    pub(super) fn give_up(&self, entry: &QueueEntry) {
        let Shared { store, spool, .. } = &*self.shared;
        let nothing = matches!(spool.look(&entry.file, 0), Ok(Found::Nothing));
        if nothing || matches!(spool.is_spare(&entry.file), Ok(true)) {
            store.give_up_queue_id(entry.id);
            return;
        }
        // Once the store knows its id, what cannot be removed now is removed when the engine starts.
        let known = store.commit(&[Change::Dequeue(entry.id)]);
        let removed = spool.retract(&entry.file);
        store.give_up_queue_id(entry.id);
        for error in [known.err(), removed.err()].into_iter().flatten() {
            self.shared.log.say(&Event::Warning { text: error.to_string() });
        }
    }

    /// What will stand behind a message, and settles where that lies. Its entry has an id.
    fn promise(
        &self,
        (by, outgoing, changes): (By, Outgoing, Vec<Change>),
        file: &mut SpoolFile,
    ) -> Result<Promise> {
        let id = self.shared.store.next_queue_id()?;
        let named = (file.name().to_owned(), file.size());
        let entry = outgoing.into_entry(id, named, self.shared.clock.now_ms());
        let mut promise = Promise { by, entry, changes };
        file.settle(promise.length());
        file.name().clone_into(&mut promise.entry.file);
        Ok(promise)
    }

    /// Makes the message of a report durable and gives its entry: a promise once that is committed.
    pub(super) fn prepare(&self, outgoing: Outgoing, mut file: SpoolFile) -> Result<QueueEntry> {
        let promise = self.promise((By::Commit, outgoing, Vec::new()), &mut file)?;
        match file.finish(&promise) {
            Ok(()) => Ok(promise.entry),
            Err(error) => {
                self.give_up(&promise.entry);
                Err(error)
            }
        }
    }

    /// Takes note of a new promise.
    pub(super) fn took(&self, entry: &QueueEntry) {
        self.lanes().note(entry);
        self.shared.log.say(&Event::Queued {
            id: entry.id,
            account: entry.account.as_str().into(),
            user: entry.user.clone(),
            message_id: entry.message_id.clone(),
            from: entry.reverse_path.as_ref().map(ToString::to_string),
            recipients: entry.recipients.len(),
            size: entry.size,
            held: entry.held.clone(),
        });
    }

    /// The queue in numbers.
    pub fn figures(&self) -> Figures {
        self.lanes().figures()
    }

    /// Looks at the clock anew: something may be due.
    pub fn wake(&self) {
        self.lanes().ring();
    }

    /// All entries, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<QueueEntry>> {
        self.shared.store.queue()
    }

    /// The entries from this id on, at most so many, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn page(&self, from: u64, limit: usize) -> Result<Vec<QueueEntry>> {
        self.shared.store.queue_from(from, limit)
    }

    /// One entry.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn show(&self, id: u64) -> Result<Option<QueueEntry>> {
        self.shared.store.queued(id)
    }

    /// Tries these at once, all that are not held where none is named; gives their ids. A server that
    /// is left alone for a while because it took nothing is asked all the same.
    ///
    /// # Errors
    /// An id that is not in the queue or is held, and a store that cannot be written.
    pub fn retry(&self, ids: &[u64]) -> Result<Vec<u64>> {
        let now = self.shared.clock.now_ms();
        let all: Vec<u64> = match ids {
            [] => self.not_held(),
            ids => self.named(ids, |entry| match entry.held {
                Some(_) => Some("it is held: release it"),
                None => None,
            })?,
        };
        self.change_and_rouse(&all, |entry| {
            entry.due_ms = now;
            Queued::Changed
        })
    }

    /// Lets these wait for a person.
    ///
    /// # Errors
    /// An id that is not in the queue, and a store that cannot be written.
    pub fn hold(&self, ids: &[u64], reason: &str) -> Result<Vec<u64>> {
        let ids = self.named(ids, |_| None)?;
        self.change(&ids, |entry| {
            entry.held = Some(reason.to_owned());
            Queued::Changed
        })
    }

    /// Lets held ones go: they are sent, at once as by [`Queue::retry`].
    ///
    /// # Errors
    /// An id that is not in the queue or not held, and a store that cannot be written.
    pub fn release(&self, ids: &[u64]) -> Result<Vec<u64>> {
        let now = self.shared.clock.now_ms();
        let ids = self.named(ids, |entry| match entry.held {
            Some(_) => None,
            None => Some("it is not held"),
        })?;
        self.change_and_rouse(&ids, |entry| {
            entry.held = None;
            entry.due_ms = now;
            entry.doubt = Doubt::default();
            Queued::Changed
        })
    }

    /// Removes these without sending them to whoever did not get them yet, and without a report.
    ///
    /// # Errors
    /// An id that is not in the queue, one that is being relayed this moment, and a store that cannot
    /// be written.
    pub fn drop(&self, ids: &[u64]) -> Result<Vec<u64>> {
        let wanted = self.named(ids, |_| None)?;
        let _claimed = self.claim_all(&wanted)?;
        let removed =
            self.shared.store.change_queued((&wanted, Haste::Now), |_| Queued::Removed)?;
        removed.iter().for_each(|entry| self.lanes().forget(entry.id));
        removed.iter().try_for_each(|entry| self.shared.spool.remove(&entry.file))?;
        Ok(removed.iter().map(|entry| entry.id).collect())
    }

    /// Takes these into hand, or none of them.
    fn claim_all(&self, ids: &[u64]) -> Result<Vec<Claim>> {
        let mut claims = Vec::new();
        for id in ids {
            let claim = self.claim(*id).ok_or_else(|| {
                let what = format!("drop queued message {id}");
                Error::temporary(what, "it is being relayed this moment").next("try again")
            })?;
            claims.push(claim);
        }
        Ok(claims)
    }

    /// Takes an entry into hand, unless it is in another's.
    pub(super) fn claim(&self, id: u64) -> Option<Claim> {
        self.lanes().claim(id).then(|| self.hand(id))
    }

    /// What stands for an entry that is in hand.
    pub(super) fn hand(&self, id: u64) -> Claim {
        Claim { queue: self.clone(), id }
    }

    /// The ids that a person named: all of them must be there, else nothing at all is changed.
    fn named(
        &self,
        ids: &[u64],
        refused: impl Fn(&QueueEntry) -> Option<&'static str>,
    ) -> Result<Vec<u64>> {
        for id in ids {
            let entry = self.show(*id)?;
            let why = entry.as_ref().map_or(Some("it is not in the queue"), &refused);
            if let Some(why) = why {
                return Err(Error::permanent(format!("find queued message {id}"), why)
                    .next("see `mailmill queue list`"));
            }
        }
        Ok(ids.to_vec())
    }

    /// Changes these, some at once: of a long queue not all is in memory.
    fn change(
        &self,
        ids: &[u64],
        mut change: impl FnMut(&mut QueueEntry) -> Queued,
    ) -> Result<Vec<u64>> {
        let mut all = Vec::new();
        for ids in ids.chunks(AT_ONCE) {
            let changed = self.shared.store.change_queued((ids, Haste::Now), &mut change)?;
            let mut lanes = self.lanes();
            changed.iter().for_each(|entry| lanes.note(entry));
            all.extend(changed.iter().map(|entry| entry.id));
        }
        Ok(all)
    }

    /// The ids of all that wait to be sent.
    fn not_held(&self) -> Vec<u64> {
        let lanes = self.lanes();
        let known = lanes.known().filter(|(_, known)| !known.held);
        let mut ids: Vec<u64> = known.map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// [`Queue::change`] of entries that a person wants tried now: servers that are left alone for a
    /// while are asked all the same.
    fn change_and_rouse(
        &self,
        ids: &[u64],
        mut change: impl FnMut(&mut QueueEntry) -> Queued,
    ) -> Result<Vec<u64>> {
        let mut accounts = BTreeSet::new();
        let changed = self.change(ids, |entry| {
            if !accounts.contains(&entry.account) {
                accounts.insert(entry.account.clone());
            }
            change(entry)
        })?;
        let mut lanes = self.lanes();
        accounts.iter().for_each(|account| lanes.rouse(account));
        Ok(changed)
    }

    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(super) fn log(&self) -> &Maillog {
        &self.shared.log
    }

    /// Does something with the queue off the network threads.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Queue) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&queue)).await;
        done.map_err(|why| Error::temporary("work on the queue", why))?
    }
}

/// An entry in hand: nobody else sends or removes it. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Claim {
    queue: Queue,
    pub(super) id: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.queue.lanes().give_back(self.id);
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// The entry of this message, which lies in a file of this name and size.
    pub(super) fn into_entry(
        self,
        id: u64,
        (file, size): (String, u64),
        now_ms: i64,
    ) -> QueueEntry {
        let Envelope { reverse_path, recipients, ret, envid, body, charset } = self.envelope;
        let recipients = recipients.into_iter().map(|to| QueuedRecipient {
            address: to.address,
            notify: to.notify,
            orcpt: to.orcpt,
            state: RecipientState::Pending { answer: None },
        });
        let short = |subject: String| subject.chars().take(MAX_SUBJECT).collect();
        QueueEntry {
            id,
            file,
            account: self.account,
            user: self.user,
            origin: self.origin,
            queued_ms: now_ms,
            reverse_path,
            ret,
            envid,
            body,
            charset,
            size,
            message_id: self.message_id,
            subject: self.subject.map(short),
            project: self.project,
            generation: self.generation,
            digest: self.digest,
            held: self.held,
            recipients: recipients.collect(),
            attempts: 0,
            due_ms: now_ms,
            last_error: None,
            delay: DelayNotice::None,
            doubt: Doubt::default(),
            copy: SentCopy::None,
        }
    }
}
