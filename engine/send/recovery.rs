//! Brings the queue into order when the engine starts, before anything is taken in: see the table at
//! the head of [`super`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queue::{Outgoing, Queue};
use super::retry;
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
            Found::Right => true,
            Found::Changed => {
                changes.push(Change::Queue(Arc::new(entry.clone())));
                true
            }
            Found::Over => {
                changes.push(Change::Dequeue(entry.id));
                false
            }
        });
        let known: BTreeSet<String> = entries.iter().map(|entry| entry.file.clone()).collect();
        self.spool().sweep()?;
        for name in self.spool().others(&known)? {
            match in_doubt.then(|| self.adopt(&name)).transpose()?.flatten() {
                Some(entry) => {
                    changes.push(Change::Queue(Arc::new(entry.clone())));
                    entries.push(entry);
                }
                None => self.spool().remove(&name)?,
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

    fn put_right(&self, entry: &mut QueueEntry, in_doubt: bool) -> Found {
        if !self.spool().is_there(&entry.file) {
            if in_doubt {
                // Entries are removed before their files: an older store has it still.
                return Found::Over;
            }
            let text =
                format!("queue {}: the file of the message is gone, it cannot be sent", entry.id);
            self.log().say(&Event::Warning { text: text.clone() });
            entry.held = Some(text);
            return Found::Changed;
        }
        if entry.doubt.open || (in_doubt && entry.is_pending()) {
            retry::doubt(entry);
            return Found::Changed;
        }
        Found::Right
    }

    /// The entry of a message that has none; `None` where its file is not whole.
    fn adopt(&self, name: &str) -> Result<Option<QueueEntry>> {
        let (outgoing, size) = match self.spool().envelope::<Outgoing>(name) {
            Ok(found) => found,
            Err(error) => {
                self.log().say(&Event::Warning { text: error.to_string() });
                return Ok(None);
            }
        };
        let id = self.store().next_queue_id()?;
        let outgoing = Outgoing { held: Some(FOUND.into()), ..outgoing };
        let entry = outgoing.into_entry(id, (name.to_owned(), size), self.clock().now_ms());
        let text = format!("queue {id}: {FOUND}");
        self.log().say(&Event::Warning { text });
        Ok(Some(entry))
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

enum Found {
    Right,
    Changed,
    Over,
}
