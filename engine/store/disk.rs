//! sled, made to keep its word: opening without surprises, durable writes, errors instead of
//! panics.
//!
//! sled 0.34 is trusted with little. Its `flush` leaves the file's metadata and the drive's cache
//! alone, so the data file is synced over a handle of our own; so are its settings, which it never
//! syncs. It panics on some damaged files; each call into it is fenced. It takes a cut file for a crash
//! ([`super::witness`]) and a flipped bit for something never written ([`super::seal`]), and cuts off what
//! it takes for torn ([`super::untouched`]).

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::carve::is_foreign;
use super::catalog::{Catalog, Listing};
use super::draft::{Draft, Writes};
use super::fence::fenced;
use super::haste::{Durable, Syncs};
use super::lock::Lock;
use super::queue_ids::QueueIds;
use super::witness::{ADVICE, Acknowledged, Witness};
use super::{compact, key, place, seal, untouched, value};
use crate::error::{Context, Error, Result};
use crate::fault_point::{Point, reach};

/// What the seal does not cover: it changes with each commit.
pub(super) const UNSEALED: [&[u8]; 2] = [&key::SEAL, &key::SEQUENCE];

/// Why a store whose seal does not fit is not used.
pub(super) const UNSEALED_WHY: &str = "it is damaged (some of what was written is missing)";

/// Why a file that is none of sled's is not used.
const FOREIGN: &str = "its file db is damaged from end to end, or was not written by mailmill";

/// How long a sled of this process that was just dropped may still hold its file.
pub(super) const LINGERING: Duration = Duration::from_secs(5);

// The lock is the last field: it is let go of after sled has closed.
pub(super) struct Disk {
    tree: sled::Db,
    data: File,
    witness: Witness,
    /// Held by who makes a batch, from its first read until it is applied.
    writers: Mutex<Gathered>,
    /// Held for reading by whoever reads more than one key, for writing while a batch is applied.
    catalog: RwLock<Catalog>,
    /// The last batch that was applied.
    applied: AtomicU64,
    /// Over what the last batch left; changed under [`Disk::writing`] only.
    seal: AtomicU64,
    /// The last group of gathered changes that was applied.
    applied_group: AtomicU64,
    syncs: Syncs,
    next_id: AtomicU64,
    queue_ids: Mutex<QueueIds>,
    /// A write failed: what the disk holds is not known until the next start.
    broken: AtomicBool,
    /// The bytes of all keys and values when the store was opened.
    live: u64,
    lock: Lock,
}

/// Changes in no haste ([`super::Haste::WithOthers`]) that go with the next batch.
#[derive(Default)]
pub(super) struct Gathered {
    writes: Writes,
    /// The number of groups before this one.
    before: u64,
}

impl Gathered {
    /// What was gathered so far, to be added to.
    pub(super) fn writes(&self) -> Writes {
        self.writes.clone()
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the store of a data folder, and makes it small again where it has grown out of all
    /// proportion.
    pub(super) fn open(data: &Path, patience: Duration) -> Result<Self> {
        let what = || opening(data);
        DirBuilder::new().recursive(true).mode(0o700).create(data).or_later(what)?;
        let lock = Lock::take(data, patience)?;
        place::settle(data).or_later(what)?;
        let disk = Self::trusted(data, lock)?;
        compact::when_grown(disk, data)
    }

    /// Opens the store in its place, if it is what was acknowledged; else a repair finds it as it was.
    pub(super) fn trusted(data: &Path, lock: Lock) -> Result<Self> {
        untouched::keep(data);
        let opened = Self::opened(data)?;
        untouched::forget(data).or_later(|| opening(data))?;
        Ok(opened(lock))
    }

    /// What is missing is the lock of the folder.
    fn opened(data: &Path) -> Result<impl FnOnce(Lock) -> Self + use<>> {
        let what = || opening(data);
        let folder = place::store(data);
        remove_torn_snapshots(&folder).or_later(what)?;
        remove_unwritten_settings(&folder).or_later(what)?;
        let tree = open_sled(&folder, data)?;
        reach(Point::StoreOpened);
        let damaged = |why| Error::permanent(what(), why).next(ADVICE);
        let number = |key| match fenced(|| tree.get(key)).map_err(damaged)? {
            Some(bytes) => value::numbered(&bytes).map(|(number, _)| number),
            None => Ok(0),
        };
        let (applied, highest) = (number(key::SEQUENCE)?, number(key::HIGHEST)?);
        let witness = Witness::hear(data, applied)?;
        let mut listing = Listing::default();
        let entries = tree.iter().inspect(|entry| {
            if let Ok((key, value)) = entry {
                listing.see(key, value);
            }
        });
        let seal = fenced(|| seal::over(entries, &UNSEALED)).map_err(damaged)?;
        if seal.seal != number(key::SEAL)? {
            return Err(damaged(UNSEALED_WHY.into()));
        }
        let file = File::open(folder.join("db")).or_later(what)?;
        file.sync_all().or_later(what)?;
        File::open(folder.join("conf")).and_then(|conf| conf.sync_all()).or_later(what)?;
        // The names of sled's files, and of the folders themselves.
        for folder in [Some(&*folder), Some(data), data.parent()].into_iter().flatten() {
            place::sync(folder).or_later(what)?;
        }
        let open = fenced(|| tree.get(key::QUEUE_OPEN)).map_err(damaged)?;
        let queue_ids = QueueIds::read(number(key::QUEUE_HIGHEST)?, open.as_deref())?;
        let catalog = RwLock::new(listing.finish()?);
        Ok(move |lock| Self {
            data: file,
            witness,
            live: seal.bytes,
            writers: Mutex::default(),
            catalog,
            tree,
            applied: AtomicU64::new(applied),
            seal: AtomicU64::new(seal.seal),
            applied_group: AtomicU64::new(0),
            syncs: Syncs::after(applied),
            next_id: AtomicU64::new(highest.saturating_add(1)),
            queue_ids: Mutex::new(queue_ids),
            broken: AtomicBool::new(false),
            lock,
        })
    }

    /// Closes sled and gives the lock back.
    pub(super) fn close(self) -> Lock {
        self.lock
    }

    /// The tree, for whoever reads all of it under [`Disk::reading`].
    pub(super) fn tree(&self) -> &sled::Db {
        &self.tree
    }

    /// The bytes of all keys and values when the store was opened.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// The bytes of its file.
    pub(super) fn bytes(&self) -> u64 {
        self.data.metadata().map_or(0, |file| file.len())
    }

    /// The last commit.
    pub(super) fn sequence(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The seal over everything that was committed.
    pub(super) fn seal(&self) -> u64 {
        self.seal.load(Ordering::Acquire)
    }

    /// Counts the next commit as the one after this: what another store acknowledged is outdone.
    pub(super) fn raise_sequence(&self, to: u64) {
        self.applied.fetch_max(to, Ordering::AcqRel);
    }

    /// While this is held, no batch is applied: several reads see one state.
    pub(super) fn reading(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// While this is held, nobody else makes a batch.
    pub(super) fn writing(&self) -> Result<MutexGuard<'_, Gathered>> {
        let alone = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.broken.load(Ordering::Acquire) { Err(broken()) } else { Ok(alone) }
    }

    /// Applies what was gathered with what was added to it, and gives the number of that batch.
    pub(super) fn apply_all(&self, alone: &mut Gathered, draft: Draft<'_>) -> Result<u64> {
        let sequence = self.apply(draft.into_batch())?;
        let group = alone.before + 1;
        *alone = Gathered { writes: Writes::default(), before: group };
        self.applied_group.store(group, Ordering::Release);
        Ok(sequence)
    }

    /// Keeps what was gathered with what was added to it for the next batch, and gives the number of its
    /// group.
    pub(super) fn gather(&self, alone: &mut Gathered, draft: Draft<'_>) -> u64 {
        alone.writes = draft.into_writes();
        alone.before + 1
    }

    /// Applies a batch of all that was gathered and gives its number in sequence. The caller holds
    /// [`Disk::writing`], or has the store for himself.
    pub(super) fn apply(&self, Writes { entries, held, notes, settled }: Writes) -> Result<u64> {
        let sequence = self.applied.load(Ordering::Acquire) + 1;
        let mut seal = self.seal.load(Ordering::Acquire);
        let mut batch = sled::Batch::default();
        for (key, value) in entries {
            let old = match held.get(&key) {
                Some(held) => held.clone(),
                // What others gathered cannot be left out any more.
                None => self.get(&key).map_err(|why| self.fail(why))?,
            };
            if old == value {
                continue;
            }
            seal ^= old.map_or(0, |old| seal::share(&key, &old));
            seal ^= value.as_ref().map_or(0, |new| seal::share(&key, new));
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(&key::SEQUENCE, value::number(sequence));
        batch.insert(&key::SEAL, value::number(seal));
        reach(Point::StoreUnapplied);
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        fenced(|| self.tree.apply_batch(batch)).map_err(|why| self.fail(why))?;
        notes.iter().for_each(|note| catalog.note(*note));
        self.queue_ids().settle(&settled);
        self.seal.store(seal, Ordering::Release);
        self.applied.store(sequence, Ordering::Release);
        reach(Point::StoreApplied);
        Ok(sequence)
    }

    /// The number of the last batch that was applied.
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Returns when this batch survives a loss of power. Who waits here while another batch is
    /// synced often finds that the same sync was his.
    pub(super) fn make_durable(&self, sequence: u64) -> Result<()> {
        self.make_way();
        let mut durable = self.syncs.turn();
        if durable.batch >= sequence { Ok(()) } else { self.sync(&mut durable) }
    }

    /// Returns when a group of gathered changes survives a loss of power. Whoever comes first applies and
    /// syncs it for all.
    pub(super) fn make_group_durable(&self, group: u64) -> Result<()> {
        let mut durable = self.syncs.turn_with_others(group);
        if durable.group >= group {
            return Ok(());
        }
        if self.applied_group.load(Ordering::Acquire) < group {
            let mut alone = self.writing()?;
            if alone.before < group {
                let draft = Draft::over(self, alone.writes());
                self.apply_all(&mut alone, draft)?;
            }
        }
        self.sync(&mut durable)
    }

    fn sync(&self, turn: &mut MutexGuard<'_, Durable>) -> Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(broken());
        }
        let group = self.applied_group.load(Ordering::Acquire);
        let (batch, began) = (self.applied.load(Ordering::Acquire), Instant::now());
        fenced(|| self.tree.flush()).map_err(|why| self.fail(why))?;
        reach(Point::StoreFlushed);
        self.data.sync_data().map_err(|why| self.fail(why))?;
        reach(Point::StoreSynced);
        let highest = self.next_id.load(Ordering::Acquire).saturating_sub(1);
        let queue = self.queue_ids().highest();
        let known = Acknowledged { commits: batch, highest, queue };
        self.witness.note(known).map_err(|why| self.fail(why))?;
        reach(Point::StoreWitnessed);
        self.syncs.tell(turn, Durable { batch, group, took: began.elapsed() });
        Ok(())
    }

    /// Somebody needs the disk at once: changes in no haste give way for a while.
    pub(super) fn make_way(&self) {
        self.syncs.make_way();
    }

    pub(super) fn next_id(&self) -> Result<u64> {
        let next = |id: u64| id.checked_add(1);
        self.next_id
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .map_err(|_| Error::permanent("take a record id", "all ids are used up"))
    }

    /// The ids of queue entries. Its lock is held by nobody who waits for another.
    pub(super) fn queue_ids(&self) -> MutexGuard<'_, QueueIds> {
        self.queue_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See that ids up to and with this one are not given any more.
    pub(super) fn skip_ids(&self, used: u64) {
        self.next_id.fetch_max(used.saturating_add(1), Ordering::AcqRel);
    }

    /// The value of a key that is never in pieces.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = fenced(|| self.tree.get(key)).or_later(reading_failed)?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>> {
        let bytes = self.get(key)?;
        bytes.map(|bytes| value::numbered(&bytes).map(|(number, _)| number)).transpose()
    }

    /// A value that may be in pieces.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        whole(key, |piece| self.get(piece))
    }

    /// All values whose keys are this prefix and eight bytes more, by key.
    pub(super) fn values(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let keys = self.keys(self.tree.scan_prefix(prefix), usize::MAX)?;
        let firsts = keys.iter().filter_map(|key| match key.split_last() {
            Some((0, base)) => Some(base),
            _ => None,
        });
        firsts.filter_map(|base| self.value(base).transpose()).collect()
    }

    /// The ids of the newest records, newest first.
    pub(super) fn newest_records(&self, limit: usize) -> Result<Vec<u64>> {
        self.first_pieces(self.tree.scan_prefix(key::RECORDS).rev(), limit)
    }

    /// The ids of the oldest records above this one, oldest first.
    pub(super) fn oldest_records(&self, above: u64, limit: usize) -> Result<Vec<u64>> {
        let from = key::record(above.saturating_add(1));
        let to = [key::RECORDS[0] + 1];
        self.first_pieces(self.tree.range(from..to.to_vec()), limit)
    }

    /// The ids of queue entries from this one on, the oldest first.
    pub(super) fn queued_ids(&self, from: u64, limit: usize) -> Result<Vec<u64>> {
        let to = [key::QUEUE[0] + 1];
        self.first_pieces(self.tree.range(key::queued(from)..to.to_vec()), limit)
    }

    fn first_pieces(
        &self,
        entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
        limit: usize,
    ) -> Result<Vec<u64>> {
        let firsts = entries.filter(|entry| match entry {
            Ok((key, _)) => key.last() == Some(&0),
            Err(_) => true,
        });
        let keys = self.keys(firsts, limit)?;
        Ok(keys.iter().filter_map(|key| key::id_of(&key[..key.len() - 1])).collect())
    }

    /// The lowest keys from one up to and with another.
    pub(super) fn keys_between(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>> {
        self.keys(self.tree.range(from..=to), limit)
    }

    fn keys(
        &self,
        entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let keys = entries.take(limit).map(|entry| entry.map(|(key, _)| key.to_vec()));
        fenced(|| keys.collect()).or_later(reading_failed)
    }

    /// After a failed write or sync the kernel may have dropped what was to be written, and the
    /// next sync would succeed without it. So nothing is acknowledged from here on.
    fn fail(&self, why: impl std::fmt::Display) -> Error {
        self.broken.store(true, Ordering::Release);
        Error::temporary("write to the store", why)
            .next("see that its disk is well and has room, then start mailmill again")
    }
}

/// sled takes a snapshot that it was killed in the middle of for a damaged one (sled#1527). Such a
/// file was never the one in use.
pub(super) fn remove_torn_snapshots(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// sled writes its settings once and does not sync them: where the power went before we did, the file
/// may have its length and nothing in it. It only says what we always say, and sled writes it anew.
fn remove_unwritten_settings(folder: &Path) -> std::io::Result<()> {
    let path = folder.join("conf");
    match fs::read(&path) {
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => fs::remove_file(path),
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

fn opening(data: &Path) -> String {
    format!("open the store {}", data.display())
}

/// Opens sled's files in `folder`, the store of the data folder `data`.
pub(super) fn open_sled(folder: &Path, data: &Path) -> Result<sled::Db> {
    if is_foreign(&folder.join("db")).or_later(|| opening(data))? {
        return Err(Error::permanent(opening(data), FOREIGN).next(ADVICE));
    }
    let config = sled::Config::new()
        .path(folder)
        .mode(sled::Mode::HighThroughput)
        .cache_capacity(8 << 20)
        .flush_every_ms(Some(500));
    let started = Instant::now();
    loop {
        let why = match fenced(|| config.open()) {
            Ok(tree) => return Ok(tree),
            Err(why) => why,
        };
        // We hold the folder's lock: only a sled that this process is still closing is in the way.
        if why.contains("could not acquire lock") && started.elapsed() < LINGERING {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        return Err(Error::permanent(opening(data), why).next(ADVICE));
    }
}

/// A value that may be in pieces, which are got one by one.
pub(super) fn whole(
    key: &[u8],
    get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<Option<Vec<u8>>> {
    let Some(first) = get(&value::piece_key(key, 0))? else { return Ok(None) };
    let Some((count, bytes)) = first.split_first() else { return Err(torn()) };
    let mut whole = bytes.to_vec();
    for piece in 1..*count {
        whole.extend(get(&value::piece_key(key, piece))?.ok_or_else(torn)?);
    }
    Ok(Some(whole))
}

fn broken() -> Error {
    Error::temporary("write to the store", "an earlier write failed")
        .next("see that its disk is well and has room, then start mailmill again")
}

fn torn() -> Error {
    Error::permanent("read the store", "a piece of a value is missing: the store is damaged")
}

fn reading_failed() -> String {
    "read the store".into()
}
