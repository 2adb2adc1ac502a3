//! Brings the queue into order when the engine starts, before anything is taken in: see the table at
//! the head of [`super`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queue::{Outgoing, Queue};
use super::retry;
use super::spool::Found;
use crate::error::Result;
use crate::fault_point::{Point, reach};
use crate::maillog::Event;
use crate::store::{Change, QueueEntry};

/// What is said of a message whose entry was lost.
const FOUND: &str = "its entry was lost with the damaged store, and it may have been sent already: \
                     release it to send it, or drop it";

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
        let known: BTreeSet<String> = entries.iter().map(|entry| entry.file.clone()).collect();
        self.spool().sweep()?.iter().for_each(|error| self.warn(error.to_string()));
        for name in self.spool().others(&known)? {
            if !in_doubt {
                // What cannot be removed harms nobody.
                self.spool().remove(&name).unwrap_or_else(|error| self.warn(error.to_string()));
            } else if let Some(entry) = self.adopt(&name)? {
                changes.push(Change::Queue(Arc::new(entry.clone())));
                entries.push(entry);
            }
        }
        if in_doubt {
            changes.push(Change::QueueSettled);
        }
        self.store().commit(&changes)?;
        reach(Point::QueueRecovered);
        let mut lanes = self.lanes();
        entries.iter().for_each(|entry| lanes.note(entry));
        Ok(())
    }

    fn put_right(&self, entry: &mut QueueEntry, in_doubt: bool) -> Made {
        let why = match self.spool().look(&entry.file, entry.size) {
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

    /// The entry of a message that has none. A file that does not say to whom it goes is put aside:
    /// it may be all that is left of a promise.
    fn adopt(&self, name: &str) -> Result<Option<QueueEntry>> {
        let (outgoing, size) = match self.spool().envelope::<Outgoing>(name) {
            Ok(found) => found,
            Err(error) => {
                let kept = match self.spool().put_aside(name) {
                    Ok(aside) => format!("it is kept as {}", aside.display()),
                    Err(error) => format!("and it stays where it is: {error}"),
                };
                self.warn(format!("{error}: nobody can say to whom it goes, {kept}"));
                return Ok(None);
            }
        };
        let id = self.store().next_queue_id()?;
        let outgoing = Outgoing { held: Some(FOUND.into()), ..outgoing };
        let entry = outgoing.into_entry(id, (name.to_owned(), size), self.clock().now_ms());
        self.warn(format!("queue {id}: {FOUND}"));
        Ok(Some(entry))
    }

    fn warn(&self, text: String) {
        self.log().say(&Event::Warning { text });
    }

    /// What of a queue lies in a data folder, for a command that finds no engine running: nothing is
    /// put right.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn look(&self) -> Result<()> {
        let entries = self.store().queue()?;
        let mut lanes = self.lanes();
        entries.iter().for_each(|entry| lanes.note(entry));
        Ok(())
    }
}

enum Made {
    Right,
    Changed,
    Over,
}
