//! The call that runs on this thread: whose run it is, where it stands, when its time is up.
//!
//! rhai's progress hook, `print` and `debug` know neither call nor run, so they look here.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::Position;

use crate::pipeline::run::{Break, Run};

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

struct Call {
    run: Arc<Run>,
    file: String,
    deadline: Instant,
}

/// A call under way; it is over when this is dropped.
pub(super) struct Entered(());

impl Entered {
    /// Begins a call of a script's function on this thread.
    pub(super) fn enter(run: &Arc<Run>, file: String, time: Duration) -> Self {
        let call = Call { run: run.clone(), file, deadline: Instant::now() + time };
        CALL.with_borrow_mut(|current| *current = Some(call));
        Self(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CALL.with_borrow_mut(|current| *current = None);
    }
}

/// `file:line` of a place in the script that runs.
pub(super) fn at(place: Position) -> Option<String> {
    let line = place.line()?;
    CALL.with_borrow(|call| call.as_ref().map(|call| format!("{}:{line}", call.file)))
}

/// Whether the call has used its time.
pub(super) fn overdue() -> bool {
    CALL.with_borrow(|call| call.as_ref().is_some_and(|call| Instant::now() >= call.deadline))
}

/// `print` and `debug`: a line of the log.
///
/// # Errors
/// As of [`Run::log`].
pub(super) fn print(line: &str, place: Position) -> Result<(), Break> {
    let at = at(place);
    let run = CALL.with_borrow(|call| call.as_ref().map(|call| call.run.clone()));
    run.map_or(Ok(()), |run| run.log(line, at))
}
