//! Builds a candidate on a thread of its own, below the priority of mail.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;

use super::gate;
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::fault::Faults;
use crate::pipeline::{self, Attempt, Candidate, Generation, Kept};

/// Bytes of stack: compiling scripts recurses, within their limits.
const STACK: usize = 16 << 20;

/// Steps of the scheduler's priority that it stands back.
const STANDS_BACK: i32 = 5;

/// Reads everything on disk, checks it, and passes it through the gate. What has not changed is taken
/// from the generation in force.
pub(super) async fn from_disk(file: PathBuf, now: Arc<Generation>) -> Result<Attempt> {
    apart(move || {
        let mut attempt = pipeline::load_settled(&file, &now);
        // It may be on its way out by the end of the tests.
        drop(now);
        attempt.outcome = attempt.outcome.and_then(gate::pass);
        attempt
    })
    .await
}

/// Makes a candidate of files that were kept.
pub(super) async fn from_kept(
    file: PathBuf,
    kept: Kept,
    passwords: Arc<Config>,
) -> Result<Result<Candidate, Faults>> {
    apart(move || pipeline::load_kept(&file, kept, Some(&passwords))).await
}

/// Runs a job on a thread that ends with it.
async fn apart<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let what = || "load the rules".to_owned();
    let (give, given) = oneshot::channel();
    let run = move || {
        // Where it is not allowed, it has the usual priority.
        let _ = rustix::process::nice(STANDS_BACK);
        let _ = give.send(job());
    };
    let thread = thread::Builder::new().name("reload".into()).stack_size(STACK).spawn(run);
    drop(thread.or_later(what)?);
    given.await.map_err(|_| {
        Error::temporary(what(), "a fault of mailmill itself")
            .next("please report it with the lines above")
    })
}
