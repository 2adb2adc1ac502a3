//! The call that runs on this thread: whose run it is, where it stands, when its time is up.
//!
//! rhai's progress and print hooks know neither call nor run, so they look here.

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
    refused: Option<String>,
}

/// A call under way; it is over when this is dropped.
pub(super) struct Entered(());

impl Entered {
    /// Begins a call of a script's function on this thread.
    pub(super) fn enter(run: &Arc<Run>, file: String, time: Duration) -> Self {
        let call = Call { run: run.clone(), file, deadline: Instant::now() + time, refused: None };
        CALL.with_borrow_mut(|current| *current = Some(call));
        Self(())
    }

    /// Ends the call; says why a `print` was refused, where one was.
    pub(super) fn leave(self) -> Option<String> {
        CALL.with_borrow_mut(|current| current.take().and_then(|call| call.refused))
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

/// `print` and `debug`: a line of the log. rhai lets them not fail, so a refusal is kept for the
/// end of the call.
pub(super) fn print(line: &str, place: Position) {
    let at = at(place);
    CALL.with_borrow_mut(|call| {
        let Some(call) = call else { return };
        if call.refused.is_none()
            && let Err(Break::Refused(why)) = call.run.log(line, at)
        {
            call.refused = Some(why);
        }
    });
}
