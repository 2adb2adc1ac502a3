//! KEEPS everything that outlives a restart: what was decided, what was done, how far each mailbox
//! is read, what steps remember, which message belongs to which project.
//!
//! # The states of an inbound message on disk
//!
//! | state | what is on disk | after a crash here |
//! |---|---|---|
//! | *seen* | nothing: its UID is above the mailbox's cursor | it is fetched and decided again; no harm, nothing was done |
//! | *planned* | its record, [`State::Planned`], with the step state and links it decided | the plan stands and is not decided again: [`Store::unsettled`] gives it. Actions with a mark are done. The first action without one may have been done or not: its outcome is **looked up** at the mailbox before it is tried again |
//! | *performed* | beside the record, a [`Mark`] for each action ([`Change::Progress`]) | nothing is left to do but to settle |
//! | *settled* | [`State::Settled`]; the cursor has passed it | nothing |
//! | *held* (beside them) | [`State::Held`] with a [`Hold`]: why and when next | it stays where it is, the cursor passes it, [`Store::held`] shows it |
//! | *released* | [`State::Released`]: a person let a held message go | nothing |
//! | *void* | [`State::Void`]: its key no longer names a message | nothing: if it still exists it is met again under its new key |
//!
//! The states of a message that is sent stand at the head of [`crate::send`].
//!
//! # Where a commit may be cut off
//!
//! Each place is a [`Point`] that a test dies at (`tests/crash`), by a kill and by a loss of power:
//!
//! | place | after a kill | after a loss of power |
//! |---|---|---|
//! | [`Point::StoreOpened`] | as before | as before: what sled recovered is not needed to recover again |
//! | [`Point::StoreUnapplied`] | nothing of the batch is there | the same |
//! | [`Point::StoreApplied`], [`Point::StoreFlushed`] | all or nothing of it is there | the same; batches survive up to one of them, none after it |
//! | [`Point::StoreSynced`], [`Point::StoreWitnessed`] | all of it is there | all of it is there; the witness may say less, never more |
//! | [`Point::Pruned`] | these records are gone, others wait to be pruned | the same |
//! | [`Point::HeldUnchanged`], [`Point::HeldChanged`] | a person's word is kept or was not given | the same |
//!
//! # What makes this hold
//!
//! - A message is touched on its server only after [`Store::commit`] returned for its plan.
//! - The cursor passes a message in the same commit that settles or holds it, or in a later one;
//!   never in an earlier one. A UID below the cursor is never looked at again, so a cursor that
//!   moves early loses mail.
//! - [`Store::commit`] writes all its changes as one sled batch, so that after a crash all or none
//!   of them are there, and returns only when they survive a loss of power.
//! - What mailmill itself moves or appends to a mailbox it also watches is noted by
//!   [`Change::Arrived`] in the commit that marks the action, and not processed again.
//!
//! # When it is damaged
//!
//! The store is an index, not the mail: messages live on servers and in files. Losing it costs
//! marks, links and memory, never mail. But an engine that has forgotten what it did does it twice.
//! So a store that is cut short, flipped, older than what was acknowledged or foreign is refused:
//!
//! - the *witness* (a file beside it) knows how many commits were acknowledged,
//! - the *seal* (a number in each commit) covers every key and value,
//! - [`check`] says more: it also holds records, links and what was done against each other.
//!
//! [`repair`] makes a new store of what can be read, and [`import`] one of an [`export`]. Both mark it
//! as salvaged: what is in a mailbox when it is selected first is in doubt ([`Doubtful`]), and
//! performed as after a crash: looked up first. A repair also reads the store as it was before an opening
//! that was refused (`untouched.rs`). The table in `place.rs` says how a new store takes the place of an old
//! one, at any moment of which a crash may come. This folder alone knows sled.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::{MailboxName, MessageKey, Uid, UidValidity};

mod build;
mod carve;
mod catalog;
mod change;
mod check;
mod compact;
mod disk;
mod doubt;
mod draft;
mod entry;
mod fence;
mod generation_diff;
mod generations;
mod haste;
mod key;
mod links;
mod lock;
mod memory;
mod place;
mod queue;
mod queue_ids;
mod record;
mod repair;
mod scratch;
mod seal;
mod survey;
mod transfer;
mod turn;
mod untouched;
mod value;
mod walk;
mod witness;
mod writing;

pub use change::{Change, Cursor};
pub use check::{check, must_be_there};
pub use compact::compact;
pub use doubt::Doubtful;
pub use generation_diff::{FileChange, changes};
pub use generations::{Generations, KeptFile, KeptGeneration, Standing};
pub use haste::Haste;
pub use links::Link;
pub use memory::StoreMemory;
pub use queue::{
    DelayNotice, Doubt, MAX_ENTRY, Origin, QueueEntry, Queued, QueuedRecipient, RecipientState,
    SentCopy,
};
pub use record::{Hold, MAX_RECORD, Mark, MarkOutcome, MessageRecord, State};
pub use repair::{Repair, Repaired, repair};
pub use survey::Survey;
pub use transfer::{Exported, export, import};
pub use turn::Turn;
pub use writing::{Pen, Writing};

use disk::Disk;
use draft::Draft;
use record::Progress;
use turn::Turns;

/// The engine's memory on disk. Cheap to clone; all clones are the same store.
///
/// Every call blocks on the disk, [`Store::commit`] for some milliseconds: async code takes
/// [`Store::write`].
#[derive(Debug, Clone)]
pub struct Store {
    disk: Arc<Disk>,
    turns: Arc<Turns>,
}

impl Store {
    /// Opens the store in `folder`, which is made (mode 0700) where it is missing.
    ///
    /// # Errors
    /// Permanent where another process holds the store (it names its pid), where it is damaged, cut
    /// short or older than what was acknowledged, or where a newer mailmill wrote it.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_within(folder, Duration::ZERO)
    }

    /// [`Store::open`], but a holder that lets go within `patience` is waited for: a command that
    /// looks into the store of an engine that is about to start.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_within(folder: &Path, patience: Duration) -> Result<Self> {
        let disk = Disk::open(folder, patience)?;
        Ok(Self { disk: Arc::new(disk), turns: Arc::default() })
    }

    /// How far a mailbox was read; `None` where it never was.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn cursor(&self, account: &str, mailbox: &MailboxName) -> Result<Option<Cursor>> {
        let _whole = self.disk.reading();
        let Some(bytes) = self.disk.get(&key::cursor(account, mailbox)?)? else { return Ok(None) };
        Cursor::decode(&bytes).map(Some)
    }

    /// Writes all changes as one: after a crash all of them are there or none. They survive a loss
    /// of power once this returns. Changes apply in their order, a later one over an earlier one.
    ///
    /// Safe to call from several threads at once.
    ///
    /// # Errors
    /// Permanent for a record over [`MAX_RECORD`], a name too long to be a key, or a link to a
    /// record that does not exist: nothing of the batch is written, and the caller holds the
    /// message. Temporary where the disk failed: the batch may or may not be there after a
    /// restart, and the store takes no further commit until then.
    pub fn commit(&self, changes: &[Change]) -> Result<()> {
        match self.apply(changes)? {
            Some(sequence) => self.disk.make_durable(sequence),
            None => Ok(()),
        }
    }

    /// As [`Store::commit`], but a loss of power may still undo it, until [`Store::sync`] or a later
    /// commit returns: all changes survive up to some point in their order, and none after it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn put(&self, changes: &[Change]) -> Result<()> {
        self.apply(changes).map(drop)
    }

    /// Returns when everything that was put survives a loss of power.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn sync(&self) -> Result<()> {
        self.disk.make_durable(self.disk.applied())
    }

    /// Somebody waits for the disk, though not for the store: commits that are in no haste
    /// ([`Haste::WithOthers`]) share their syncs for a while.
    pub fn make_way(&self) {
        self.disk.make_way();
    }

    /// Begins to write in the background.
    pub fn writing(&self) -> Writing {
        Writing::begin(self.clone())
    }

    /// Applies changes as one batch and gives its number; `None` where there is nothing to apply.
    fn apply(&self, changes: &[Change]) -> Result<Option<u64>> {
        if changes.is_empty() {
            return Ok(None);
        }
        let mut alone = self.disk.writing()?;
        let mut draft = Draft::over(&self.disk, alone.writes());
        for change in changes {
            draft.add(change)?;
        }
        self.disk.apply_all(&mut alone, draft).map(Some)
    }

    /// Changes those of these records that are held, and says which these were, by id. Reading,
    /// changing and writing are one under the store's lock: what was planned or settled since a
    /// person looked is left as it is. All changes are one commit.
    ///
    /// `change` must not call the store: it would wait for itself.
    ///
    /// # Errors
    /// As [`Store::commit`], and a store that cannot be read; then nothing is changed.
    pub fn change_held(
        &self,
        ids: &[u64],
        mut change: impl FnMut(&mut MessageRecord),
    ) -> Result<Vec<u64>> {
        let wanted: BTreeSet<u64> = ids.iter().copied().collect();
        let (changed, sequence) = {
            let mut alone = self.disk.writing()?;
            let mut changes = Vec::new();
            for id in wanted {
                let held = self.read_record(id)?.filter(|record| record.state == State::Held);
                let Some(mut record) = held else { continue };
                change(&mut record);
                changes.push((id, Change::Record(Arc::new(record))));
            }
            if changes.is_empty() {
                return Ok(Vec::new());
            }
            let mut draft = Draft::over(&self.disk, alone.writes());
            for (_, change) in &changes {
                draft.add(change)?;
            }
            let sequence = self.disk.apply_all(&mut alone, draft)?;
            (changes.into_iter().map(|(id, _)| id).collect(), sequence)
        };
        self.disk.make_durable(sequence)?;
        Ok(changed)
    }

    /// The next record id. Ids count up for good: an id that was once committed is never given
    /// again, not after a crash nor after [`Store::prune`].
    ///
    /// # Errors
    /// All ids are used up.
    pub fn next_id(&self) -> Result<u64> {
        self.disk.next_id()
    }

    /// A record.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn record(&self, id: u64) -> Result<Option<MessageRecord>> {
        let _whole = self.disk.reading();
        self.read_record(id)
    }

    /// The records of an account whose plan was not carried out to its end, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unsettled(&self, account: &str) -> Result<Vec<MessageRecord>> {
        let catalog = self.disk.reading();
        let mut records = self.records(&catalog.planned_of(account))?;
        records.retain(|record| *record.key.account == *account);
        Ok(records)
    }

    /// The held records, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self) -> Result<Vec<MessageRecord>> {
        let catalog = self.disk.reading();
        self.records(&catalog.held())
    }

    /// The newest record of a message key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_key(&self, message: &MessageKey) -> Result<Option<MessageRecord>> {
        let catalog = self.disk.reading();
        let records = self.records(&catalog.of_key(message))?;
        Ok(records.into_iter().find(|record| record.key == *message))
    }

    /// What a person means by `what`: an id (`42` or `#42`) or a Message-ID with or without angle
    /// brackets. Newest first, at most 100.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, what: &str) -> Result<Vec<MessageRecord>> {
        let what = what.trim();
        let catalog = self.disk.reading();
        let message_id = record::bare(what);
        let named = newest(catalog.of_message_id(message_id));
        let mut found = match what.strip_prefix('#').unwrap_or(what).parse::<u64>() {
            Ok(id) => self.records(&[id])?,
            Err(_) => Vec::new(),
        };
        for record in self.records(&named)? {
            let same = record.message_id.as_deref().map(record::bare) == Some(message_id);
            if same && found.iter().all(|other| other.id != record.id) {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// The records of a Message-ID (without angle brackets), newest first, at most 100.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_message_id(&self, message_id: &str) -> Result<Vec<MessageRecord>> {
        let catalog = self.disk.reading();
        let mut records = self.records(&newest(catalog.of_message_id(message_id)))?;
        records.retain(|record| record.message_id.as_deref() == Some(message_id));
        Ok(records)
    }

    /// Whether a write or sync has failed: no commit is taken any more until the store is opened
    /// anew, because what is on disk is not known.
    pub fn is_broken(&self) -> bool {
        self.disk.is_broken()
    }

    /// [`Store::commit`] off the network threads.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn write(&self, changes: Vec<Change>) -> Result<()> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.commit(&changes))
            .await
            .map_err(|why| Error::temporary("write the store", why))?
    }

    /// The newest records, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn recent(&self, limit: usize) -> Result<Vec<MessageRecord>> {
        let _whole = self.disk.reading();
        self.records(&self.disk.newest_records(limit)?)
    }

    /// What is linked to a project, in the order of record ids. Links outlive their records.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn links(&self, project: &str) -> Result<Vec<Link>> {
        let _whole = self.disk.reading();
        let values = self.disk.values(&key::links_of(project)?)?;
        values.iter().map(|bytes| Link::decode(bytes)).collect()
    }

    /// What a step of an account remembers under a key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn state(&self, account: &str, step: &str, name: &str) -> Result<Option<String>> {
        let _whole = self.disk.reading();
        let Some(bytes) = self.disk.value(&key::state(account, step, name)?)? else {
            return Ok(None);
        };
        value::text(&bytes).map(Some)
    }

    /// What steps remember, in the form that a pipeline asks for.
    pub fn memory(&self) -> Arc<StoreMemory> {
        Arc::new(StoreMemory::new(self.clone()))
    }

    /// Waits for the turn at a mailbox. Who puts a message there keeps it until [`Change::Arrived`] is
    /// written; who asks for [`Store::arrived`] takes it after he has seen the messages.
    pub async fn turn(&self, account: &str, mailbox: &MailboxName) -> Turn {
        self.turns.at(account, mailbox).await
    }

    /// Which of these messages mailmill itself put into the mailbox, in the order given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn arrived(
        &self,
        account: &str,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
        uids: &[Uid],
    ) -> Result<Vec<Uid>> {
        let _whole = self.disk.reading();
        let mut ours = Vec::new();
        for uid in uids {
            if self.disk.get(&key::arrived(account, mailbox, uidvalidity, *uid)?)?.is_some() {
                ours.push(*uid);
            }
        }
        Ok(ours)
    }

    /// The number of the generation with this digest: that of the newest where the digest is the
    /// same, else the next. It is on disk when this returns.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn generation_number(&self, digest: &str) -> Result<u64> {
        let (number, sequence) = {
            let mut alone = self.disk.writing()?;
            let newest = self.disk.get(&key::GENERATION)?;
            let newest = newest.as_deref().map(value::numbered).transpose()?;
            let number = match newest {
                Some((number, known)) if known == digest => return Ok(number),
                Some((number, _)) => number + 1,
                None => 1,
            };
            let mut draft = Draft::over(&self.disk, alone.writes());
            draft.generation(number, digest);
            (number, self.disk.apply_all(&mut alone, draft)?)
        };
        self.disk.make_durable(sequence)?;
        Ok(number)
    }

    /// The number that [`Store::generation_number`] gave to this digest last, without giving one;
    /// `None` where the newest generation has another digest.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn known_generation(&self, digest: &str) -> Result<Option<u64>> {
        let _whole = self.disk.reading();
        let newest = self.disk.get(&key::GENERATION)?;
        let newest = newest.as_deref().map(value::numbered).transpose()?;
        Ok(newest.filter(|(_, known)| known == digest).map(|(number, _)| number))
    }

    /// Removes the oldest settled and released records beyond the newest `keep` of them, in
    /// batches, and says how many. Planned and held records stay, whatever their number; so do
    /// links, step state and cursors.
    ///
    /// # Errors
    /// The store cannot be read or written; what was removed so far stays removed.
    pub fn prune(&self, keep: usize) -> Result<usize> {
        const BATCH: usize = 500;
        let mut surplus = self.disk.reading().done().saturating_sub(keep);
        let (mut removed, mut above) = (0, 0);
        while surplus > 0 {
            let sequence = {
                let mut alone = self.disk.writing()?;
                let Some(oldest) = self.oldest_done(&mut above, surplus.min(BATCH))? else { break };
                let mut draft = Draft::over(&self.disk, alone.writes());
                for id in &oldest {
                    draft.forget(*id)?;
                }
                removed += oldest.len();
                surplus -= oldest.len();
                self.disk.apply_all(&mut alone, draft)?
            };
            self.disk.make_durable(sequence)?;
            reach(Point::Pruned);
        }
        Ok(removed)
    }

    /// The oldest records above an id that are neither planned nor held, and raises that id; `None`
    /// where no record is above it.
    fn oldest_done(&self, above: &mut u64, limit: usize) -> Result<Option<Vec<u64>>> {
        let open = self.disk.reading().open();
        let mut ids = self.disk.oldest_records(*above, limit)?;
        let Some(last) = ids.last() else { return Ok(None) };
        *above = *last;
        ids.retain(|id| !open.contains(id));
        Ok(Some(ids))
    }

    fn read_record(&self, id: u64) -> Result<Option<MessageRecord>> {
        let Some(bytes) = self.disk.value(&key::record(id))? else { return Ok(None) };
        let progress = self.disk.value(&key::progress(id))?;
        let progress = progress.map(|bytes| Progress::decode(id, &bytes)).transpose()?;
        Ok(Some(MessageRecord::decode(id, &bytes)?.with(progress)))
    }

    fn records(&self, ids: &[u64]) -> Result<Vec<MessageRecord>> {
        ids.iter().filter_map(|id| self.read_record(*id).transpose()).collect()
    }
}

/// The first hundred of what may be named alike.
fn newest(mut ids: Vec<u64>) -> Vec<u64> {
    ids.truncate(100);
    ids
}
