//! Brings the queue into order when the engine starts, before anything is taken in: see the table at
//! the head of [`super`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::promise::{By, Promise};
use super::queue::Queue;
use super::retry;
use super::spool::Found;
use crate::error::{Result, Retry};
use crate::fault_point::{Point, reach};
use crate::maillog::Event;
use crate::store::{Change, QueueEntry};

/// What is said of a message whose entry was lost.
const FOUND: &str = "its entry was lost with the damaged store, and it may have been sent already: \
                     release it to send it, or drop it";

/// Promises that are taken over in one commit.
const AT_ONCE: usize = 500;

impl Queue {
    /// Brings the queue into order after whatever ended the last engine, and lets it be sent. Blocks.
    ///
    /// # Errors
    /// The store or the disk fails.
    pub fn recover(&self) -> Result<()> {
        let in_doubt = self.store().is_queue_in_doubt()?;
        let mut entries = self.store().queue()?;
        let mut changes = Vec::new();
        entries.retain_mut(|entry| match self.put_right(entry, in_doubt) {
            Made::Right => true,
            Made::Changed => {
                changes.push(Change::Queue(Arc::new(entry.clone())));
                true
            }
            Made::Over => {
                changes.push(Change::Dequeue(entry.id));
                false
            }
        });
        self.spool().sweep()?.iter().for_each(|error| self.warn(error.to_string()));
        let others = self.others(&entries)?;
        if in_doubt {
            changes.extend(self.over());
            let found = self.find(&others, &entries)?;
            changes.extend(found.iter().cloned().map(Arc::new).map(Change::Queue));
            changes.push(Change::QueueSettled);
            entries.extend(found);
        } else {
            entries.extend(self.keep(&others)?);
            changes.extend(self.over());
        }
        self.store().commit(&changes)?;
        reach(Point::QueueRecovered);
        let mut lanes = self.lanes();
        entries.iter().for_each(|entry| lanes.note(entry));
        Ok(())
    }

    /// What of a queue lies in a data folder, for a command that finds no engine running: promises that
    /// the store has not heard of are told to it, and what may be one and is not understood is put aside;
    /// nothing else is put right.
    ///
    /// # Errors
    /// The store or the disk fails.
    pub fn look(&self) -> Result<()> {
        let mut entries = self.store().queue()?;
        if !self.store().is_queue_in_doubt()? {
            let others = self.others(&entries)?;
            entries.extend(self.adopt(&others)?.0);
        }
        let mut lanes = self.lanes();
        entries.iter().for_each(|entry| lanes.note(entry));
        Ok(())
    }

    /// Ids that were given and will have no entry any more.
    fn over(&self) -> impl Iterator<Item = Change> + use<> {
        self.store().open_queue_ids().into_iter().map(Change::Dequeue)
    }

    /// The names of files without an entry.
    fn others(&self, entries: &[QueueEntry]) -> Result<Vec<String>> {
        let known: BTreeSet<String> = entries.iter().map(|entry| entry.file.clone()).collect();
        self.spool().others(&known)
    }

    fn put_right(&self, entry: &mut QueueEntry, in_doubt: bool) -> Made {
        let found = match in_doubt {
            true => self.look_closely(entry),
            false => self.spool().look(&entry.file, entry.size),
        };
        let why = match found {
            Ok(Found::Whole) => None,
            // Entries are removed before their files: an older store has it still.
            Ok(Found::Nothing) if in_doubt => return Made::Over,
            Ok(Found::Nothing) => Some("is gone".to_owned()),
            Ok(Found::Unfit(why)) => Some(format!("is damaged ({why})")),
            Err(error) => Some(format!("is out of reach ({error})")),
        };
        if let Some(why) = why {
            let text = format!(
                "queue {}: the file {}.eml of the message {why}, it cannot be sent",
                entry.id, entry.file
            );
            self.warn(text.clone());
            entry.held = Some(text);
            return Made::Changed;
        }
        if entry.doubt.open || (in_doubt && entry.is_pending()) {
            retry::doubt(entry);
            return Made::Changed;
        }
        Made::Right
    }

    /// What is there of the message of an entry that an older store may have: its file may hold another
    /// one by now.
    fn look_closely(&self, entry: &QueueEntry) -> Result<Found> {
        let (spool, name) = (self.spool(), &entry.file);
        let Some((json, _)) = spool.behind(name)? else {
            return match spool.is_spare(name)? {
                true => Ok(Found::Nothing),
                false => spool.look(name, entry.size).map(damaged),
            };
        };
        match serde_json::from_slice::<Promise>(&json) {
            Ok(promise) if promise.entry.id == entry.id => Ok(Found::Whole),
            Ok(_) => Ok(Found::Nothing),
            Err(why) => Ok(Found::Unfit(format!("what stands behind it is not understood: {why}"))),
        }
    }

    /// Takes over the promises among these files, and removes all others. Gives the entries.
    fn keep(&self, names: &[String]) -> Result<Vec<QueueEntry>> {
        let (kept, over) = self.adopt(names)?;
        for name in over {
            // What cannot be removed harms nobody.
            self.spool().remove(&name).unwrap_or_else(|error| self.warn(error.to_string()));
        }
        Ok(kept)
    }

    /// Writes the entries of messages that are promised by their files alone, and gives them, and the
    /// names of those files that are none.
    fn adopt(&self, names: &[String]) -> Result<(Vec<QueueEntry>, Vec<String>)> {
        let (mut promises, mut over) = (Vec::new(), Vec::new());
        for name in names {
            match self.judge(name)? {
                Judged::Promise(promise) => promises.push(*promise),
                Judged::Over => over.push(name.clone()),
                Judged::Unknown => {}
            }
        }
        // By id: the store takes those below the highest it knows for done.
        promises.sort_by_key(|promise| promise.entry.id);
        let mut kept = Vec::new();
        for promise in promises {
            self.one_of_each(promise, &mut kept);
        }
        // They may be in the kernel's memory only: who wrote them may have been killed before he synced them.
        self.spool().sync(kept.iter().map(|promise| &*promise.entry.file))?;
        for some in kept.chunks(AT_ONCE) {
            self.write(some)?;
        }
        Ok((kept.into_iter().map(|promise| promise.entry).collect(), over))
    }

    /// Two messages of one id are none that an engine wrote: the second is put aside.
    fn one_of_each(&self, promise: Promise, kept: &mut Vec<Promise>) {
        match kept.last() {
            Some(last) if last.entry.id == promise.entry.id => self.put_aside_twin(&promise.entry),
            _ => kept.push(promise),
        }
    }

    fn put_aside_twin(&self, entry: &QueueEntry) {
        self.put_aside(&entry.file, &format!("another message has its id {}", entry.id));
    }

    /// What a file without an entry is to a store that does not forget.
    fn judge(&self, name: &str) -> Result<Judged> {
        // One that is not whole was being written: nobody was promised anything.
        let Some((json, size)) = self.spool().behind(name)? else { return Ok(Judged::Over) };
        let promise = match serde_json::from_slice::<Promise>(&json) {
            Ok(promise) => promise,
            Err(why) => {
                self.put_aside(name, &not_understood(&why));
                return Ok(Judged::Unknown);
            }
        };
        let Promise { by, entry, .. } = &promise;
        let same = entry.file == name && entry.size == size;
        let new = *by == By::File && same && !self.store().knows_queue_id(entry.id);
        Ok(if new { Judged::Promise(Box::new(promise)) } else { Judged::Over })
    }

    /// Writes entries with what belongs to them. What belongs to one may not fit this store, for
    /// instance because it names a record that is pruned: the message is sent all the same.
    fn write(&self, promises: &[Promise]) -> Result<()> {
        let mut changes = Vec::new();
        for Promise { entry, changes: more, .. } in promises {
            match self.store().would_take(more) {
                Ok(()) => changes.extend_from_slice(more),
                Err(error) if error.retry() == Retry::Never => self.warn(error.to_string()),
                Err(error) => return Err(error),
            }
            changes.push(Change::Queue(Arc::new(entry.clone())));
        }
        self.store().commit(&changes)
    }

    /// The entries of messages that have none in a store that forgot: they wait for a person, under the ids
    /// that they had.
    fn find(&self, names: &[String], entries: &[QueueEntry]) -> Result<Vec<QueueEntry>> {
        let taken: BTreeSet<u64> = entries.iter().map(|entry| entry.id).collect();
        let mut found = Vec::new();
        for name in names {
            if self.spool().is_spare(name)? {
                self.spool().remove(name)?;
            } else {
                found.extend(self.read_or_put_aside(name)?);
            }
        }
        found.sort_by_key(|promise| promise.entry.id);
        let mut kept = Vec::new();
        for promise in found {
            match taken.contains(&promise.entry.id) {
                true => self.put_aside_twin(&promise.entry),
                false => self.one_of_each(promise, &mut kept),
            }
        }
        self.spool().sync(kept.iter().map(|promise| &*promise.entry.file))?;
        Ok(kept.into_iter().map(|promise| self.held(promise.entry)).collect())
    }

    fn held(&self, entry: QueueEntry) -> QueueEntry {
        self.warn(format!("queue {}: {FOUND}", entry.id));
        let now_ms = self.clock().now_ms();
        QueueEntry { held: Some(FOUND.into()), queued_ms: now_ms, due_ms: now_ms, ..entry }
    }

    /// A file that does not say to whom it goes is put aside: it may be all that is left of a promise.
    fn read_or_put_aside(&self, name: &str) -> Result<Option<Promise>> {
        let why = match self.spool().behind(name)? {
            None => "the file is not whole".to_owned(),
            Some((json, size)) => match serde_json::from_slice::<Promise>(&json) {
                Ok(mut promise) => {
                    (promise.entry.file, promise.entry.size) = (name.to_owned(), size);
                    return Ok(Some(promise));
                }
                Err(why) => not_understood(&why),
            },
        };
        self.put_aside(name, &why);
        Ok(None)
    }

    /// Puts a file aside that may be all that is left of a promise and cannot be sent.
    fn put_aside(&self, name: &str, why: &str) {
        let kept = match self.spool().put_aside(name) {
            Ok(aside) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("and it stays where it is: {error}"),
        };
        self.warn(format!(
            "{name}.eml in the queue: {why}: nobody can say to whom it goes, {kept}"
        ));
    }

    fn warn(&self, text: String) {
        self.log().say(&Event::Warning { text });
    }
}

/// A file without an entry.
enum Judged {
    /// A promise that only it knows.
    Promise(Box<Promise>),
    /// Nothing that was promised, or nothing any more.
    Over,
    /// It may be a promise, and is a person's.
    Unknown,
}

enum Made {
    Right,
    Changed,
    Over,
}

fn not_understood(why: &serde_json::Error) -> String {
    format!("what stands behind the message is not understood ({why}): another mailmill wrote it")
}

/// A file that is long enough and not whole.
fn damaged(found: Found) -> Found {
    match found {
        Found::Whole => Found::Unfit("it is not what was written".into()),
        other => other,
    }
}
