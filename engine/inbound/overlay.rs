//! What steps remember while a window is gathered: the store's memory with what the messages before in
//! the window wrote, and which of it a decision has read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::pipeline::{Action, Decision, Memory, Verdict};
use crate::store::{Store, StoreMemory};

/// A step's name and a key in its memory.
type Place = (String, String);

/// The store's memory with what the messages before in this window wrote.
pub(super) struct Overlay {
    store: Arc<StoreMemory>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// Messages that wrote something.
    writers: u64,
    /// Values, each with the number of the message that wrote it last.
    values: HashMap<Place, (String, u64)>,
}

impl Overlay {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.memory(), written: Mutex::default() }
    }

    /// Takes what a decision writes. One that holds its message writes nothing.
    pub(super) fn remember(&self, decision: &Decision) {
        let sets = |action: &Action| matches!(action, Action::StateSet { .. });
        let writes = decision.actions.iter().any(|said| sets(&said.action));
        if decision.verdict == Verdict::Hold || !writes {
            return;
        }
        let mut written = self.written();
        written.writers += 1;
        let writer = written.writers;
        for said in &decision.actions {
            if let Action::StateSet { key, value } = &said.action {
                let place = (said.step.clone(), key.clone());
                written.values.insert(place, (value.clone(), writer));
            }
        }
    }

    /// The first error that a step's question met in the store.
    ///
    /// # Errors
    /// That error.
    pub(super) fn trouble(&self) -> Result<()> {
        self.store.trouble().map_or(Ok(()), Err)
    }

    /// This memory as it is now, for one decision, with a note of what that reads.
    pub(super) fn watched(self: &Arc<Self>) -> Arc<Watched> {
        let since = self.written().writers;
        Arc::new(Watched { overlay: self.clone(), since, read: Mutex::default() })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory for Overlay {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        let place = (step.to_owned(), key.to_owned());
        if let Some((value, _)) = self.written().values.get(&place) {
            return (!value.is_empty()).then(|| value.clone());
        }
        self.store.get(account, step, key)
    }
}

/// A memory that knows what was read of it.
pub(super) struct Watched {
    overlay: Arc<Overlay>,
    /// How many messages had written something when it was made.
    since: u64,
    read: Mutex<Vec<Place>>,
}

impl Watched {
    /// Whether nothing that was read has been written since.
    pub(super) fn still_holds(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.overlay.written();
        written.writers == self.since
            || read.iter().all(|place| {
                written.values.get(place).is_none_or(|(_, writer)| *writer <= self.since)
            })
    }
}

impl Memory for Watched {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        let place = (step.to_owned(), key.to_owned());
        self.read.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        self.overlay.get(account, step, key)
    }
}
