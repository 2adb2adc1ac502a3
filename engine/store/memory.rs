//! What steps remember, as a pipeline asks for it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::Store;
use crate::error::Error;
use crate::pipeline::Memory;

/// The store as the memory of a run.
///
/// A pipeline's question has no room for an error, and a store that cannot be read must not pass
/// for one that remembers nothing. So whoever ran the pipeline asks [`StoreMemory::trouble`]
/// afterwards, and throws the decision away where there was any. Take a fresh one for each run.
pub struct StoreMemory {
    store: Store,
    trouble: Mutex<Option<Error>>,
}

impl StoreMemory {
    pub(super) fn new(store: Store) -> Self {
        Self { store, trouble: Mutex::new(None) }
    }

    /// The first error that a step's question met, and forgets it.
    pub fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Memory for StoreMemory {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        self.store.state(account, step, key).unwrap_or_else(|error| {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.get_or_insert(error);
            None
        })
    }
}

impl fmt::Debug for StoreMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreMemory").finish_non_exhaustive()
    }
}
