//! The generation in force: one pointer that everyone reads and one task writes, and those it
//! replaced until nobody uses them any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use super::generation::Generation;
use super::shadow::Shadow;

/// A handle on what is in force. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    now: RwLock<Arc<Generation>>,
    shadow: RwLock<Option<Arc<Shadow>>>,
    leaving: Mutex<Vec<Replaced>>,
}

struct Replaced {
    generation: Weak<Generation>,
    number: u64,
    at: Instant,
}

/// A replaced generation that is still in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Leaving {
    /// Its number.
    pub generation: u64,
    /// Since when it is replaced, in seconds.
    pub seconds: u64,
    /// Whether it was ended: it decides nothing any more.
    pub ended: bool,
}

impl Live {
    /// With its first generation in force.
    pub fn new(generation: Arc<Generation>) -> Self {
        Self(Arc::new(Inner {
            now: RwLock::new(generation),
            shadow: RwLock::default(),
            leaving: Mutex::default(),
        }))
    }

    /// The generation in force. Whoever takes it keeps it for all of one piece of work.
    pub fn now(&self) -> Arc<Generation> {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this very generation is in force.
    pub fn is(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.0.now.read().unwrap_or_else(PoisonError::into_inner), generation)
    }

    /// Puts a generation in force and gives the one it replaces, which those who took it still use.
    pub fn put(&self, generation: Arc<Generation>) -> Arc<Generation> {
        let old = {
            let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, generation)
        };
        let (weak, at) = (Arc::downgrade(&old), Instant::now());
        self.left().push(Replaced { generation: weak, number: old.number, at });
        old
    }

    /// Lets a candidate decide beside the generation in force; `None` ends that.
    pub fn set_shadow(&self, shadow: Option<Arc<Shadow>>) {
        *self.0.shadow.write().unwrap_or_else(PoisonError::into_inner) = shadow;
    }

    /// The candidate that decides beside the generation in force.
    pub fn shadow(&self) -> Option<Arc<Shadow>> {
        self.0.shadow.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaced generations that are still in use. One that came back into force is none.
    pub fn leaving(&self) -> Vec<Leaving> {
        let now = self.now();
        let mut leaving = self.left();
        leaving.retain(|left| left.generation.strong_count() > 0);
        let told = leaving.iter().filter_map(|left| {
            let generation = left.generation.upgrade().filter(|used| !Arc::ptr_eq(used, &now))?;
            let (seconds, ended) = (left.at.elapsed().as_secs(), generation.is_ended());
            Some(Leaving { generation: left.number, seconds, ended })
        });
        told.collect()
    }

    /// Ends those that were replaced `patience` ago and are still in use, and gives their numbers.
    pub fn end_overdue(&self, patience: Duration) -> Vec<u64> {
        let now = self.now();
        let leaving = self.left();
        let overdue = leaving.iter().filter(|left| left.at.elapsed() >= patience);
        let used = overdue.filter_map(|left| Some((left.number, left.generation.upgrade()?)));
        let open = used.filter(|(_, used)| !Arc::ptr_eq(used, &now) && !used.is_ended());
        open.map(|(number, used)| {
            used.end();
            number
        })
        .collect()
    }

    fn left(&self) -> MutexGuard<'_, Vec<Replaced>> {
        self.0.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.now()).finish()
    }
}
