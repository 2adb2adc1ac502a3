//! Makes the names of new files in the queue's folder durable, in a thread beside the one that syncs
//! such a file: a disk does both at once in the time of one.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

/// The names of one folder. The thread starts with the first name and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Names {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    /// A name was given, or it is the end.
    asked: Condvar,
    /// The folder was synced, or could not be.
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Names given so far.
    given: u64,
    /// So many of them survive a loss of power.
    durable: u64,
    /// Why a sync failed. The kernel may have dropped what was to be written, and a later sync would
    /// succeed without it: no name becomes durable any more until the engine is started again.
    failed: Option<String>,
    thread: Thread,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Thread {
    #[default]
    None,
    Runs,
    Ends,
}

impl Names {
    pub(super) fn of(folder: PathBuf) -> Self {
        let (state, asked, answered) = Default::default();
        Self { shared: Arc::new(Shared { folder, state, asked, answered }) }
    }

    /// A file has got its name: gives what [`Names::wait`] waits for.
    ///
    /// # Errors
    /// The folder cannot be opened, or no thread can be started.
    pub(super) fn given(&self) -> io::Result<u64> {
        let mut state = self.shared.lock();
        if state.thread == Thread::None {
            let (shared, folder) = (self.shared.clone(), File::open(&self.shared.folder)?);
            thread::Builder::new()
                .name("queue-names".into())
                .spawn(move || shared.serve(&folder))?;
            state.thread = Thread::Runs;
        }
        state.given += 1;
        self.shared.asked.notify_one();
        Ok(state.given)
    }

    /// Returns when this name survives a loss of power.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn wait(&self, name: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        loop {
            if state.durable >= name {
                return Ok(());
            }
            if let Some(why) = &state.failed {
                let why = format!("{why}; when the disk is well again, start mailmill again");
                return Err(io::Error::other(why));
            }
            state = self.shared.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the folder whenever names were given since; one sync for all of them.
    fn serve(&self, folder: &File) {
        let mut state = self.lock();
        let mut seen = 0;
        while state.thread != Thread::Ends && state.failed.is_none() {
            if state.given == seen {
                state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            seen = state.given;
            drop(state);
            let synced = folder.sync_all();
            state = self.lock();
            match synced {
                Ok(()) => state.durable = seen,
                Err(why) => state.failed = Some(why.to_string()),
            }
            self.answered.notify_all();
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.shared.lock().thread = Thread::Ends;
        self.shared.asked.notify_one();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_durable_together() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of(folder.path().to_owned());
        let given: Vec<u64> = (0..5).map(|_| names.given().unwrap()).collect();
        std::thread::scope(|scope| {
            given.iter().for_each(|name| drop(scope.spawn(|| names.wait(*name).unwrap())));
        });
        assert!(Names::of(folder.path().join("none")).given().is_err());
    }

    /// A folder of the kernel's own cannot be synced.
    #[test]
    fn after_a_failed_sync_no_name_is_durable() {
        let names = Names::of("/proc/self".into());
        let lost = names.given().unwrap();
        names.wait(lost).unwrap_err();
        let later = names.given().unwrap();
        assert!(names.wait(lost).is_err() && names.wait(later).is_err());
    }
}
