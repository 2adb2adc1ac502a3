//! The threads on which messages are decided: as many as the machine has cores, with stacks that deep
//! rules need, apart from the threads that talk to servers.
//!
//! Jobs of all accounts wait in one line, first come first served. Each is short (the caller sees to
//! that), so one account's flood delays another's message by no more than the jobs before it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::error::{Context, Error, Result};

/// Bytes of stack of one thread: what [`crate::pipeline::Limits::script_call_levels`] may need.
const STACK: usize = 8 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A handle on the threads. They end when the last handle is dropped.
#[derive(Clone)]
pub struct Workers {
    queue: Arc<Queue>,
    _open: Arc<Open>,
    threads: usize,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// Closes the queue when the last handle is gone.
struct Open(Arc<Queue>);

impl Workers {
    /// Starts a thread for each core.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start() -> Result<Self> {
        let queue = Arc::<Queue>::default();
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let workers = Self { queue: queue.clone(), _open: Arc::new(Open(queue)), threads };
        for _ in 0..threads {
            let queue = workers.queue.clone();
            thread::Builder::new()
                .name("decide".into())
                .stack_size(STACK)
                .spawn(move || queue.work())
                .or_later(|| "start the threads that decide".into())?;
        }
        Ok(workers)
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs a job and gives what it gave.
    ///
    /// # Errors
    /// It panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (give, given) = oneshot::channel();
        self.queue.add(Box::new(move || {
            // Whoever asked may have gone.
            let _ = give.send(job());
        }));
        given.await.map_err(|_| Error::temporary("decide mail", "a fault of mailmill itself"))
    }
}

impl Queue {
    fn add(&self, job: Job) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).jobs.push_back(job);
        self.changed.notify_one();
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic costs its job alone: what the job would have given is dropped.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.closed;
        let waiting = self.changed.wait_while(waiting, idle);
        waiting.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::Workers;

    #[tokio::test]
    async fn a_job_that_panics_costs_only_itself() {
        let workers = Workers::start().unwrap();
        for _ in 0..20 {
            let failed = workers.run(|| panic!("on purpose")).await;
            assert!(failed.unwrap_err().to_string().contains("a fault of mailmill itself"));
        }
        assert_eq!(workers.run(|| 6 * 7).await.unwrap(), 42);
    }

    #[tokio::test]
    async fn jobs_have_eight_mebibytes_of_stack() {
        fn deep(levels: usize) -> usize {
            let frame = std::hint::black_box([1_u8; 4096]);
            if levels == 0 { 0 } else { usize::from(frame[levels % 4096]) + deep(levels - 1) }
        }
        let workers = Workers::start().unwrap();
        assert_eq!(workers.run(|| deep(1_000)).await.unwrap(), 1_000);
    }
}
