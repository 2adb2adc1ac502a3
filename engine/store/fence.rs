//! A fence round calls into sled, which panics on some damaged files: a panic becomes an error,
//! and its message goes nowhere but into that error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls into sled. The error is sled's own in words, or what it said when it panicked.
///
/// What the call changed may be half changed after a panic: it is only to be dropped, or known to
/// be broken ([`super::disk`] takes no write after one).
pub(super) fn fenced<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    quieten();
    let outside = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outside);
    match result {
        Ok(result) => result.map_err(|error| words(&error)),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("it gave up without a word");
            let said: String = said.chars().take(300).collect();
            Err(format!("it is damaged ({})", said.escape_debug()))
        }
    }
}

fn words(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { .. } => "it is damaged (a checksum is wrong)".into(),
        other => other.to_string(),
    }
}

/// Panics inside the fence print nothing; all others go on to the hook that was there before.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !INSIDE.get() {
                hook(info);
            }
        }));
    });
}
