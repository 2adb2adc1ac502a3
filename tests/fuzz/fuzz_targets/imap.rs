//! Any bytes of a server: no panic, and no difference how the network cuts them.
//!
//! The first byte says how the bytes are cut, the second how many calls follow, then the calls,
//! then what the server sends; 0x01 stands in it for the tag of the command last sent.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use mailmill::mailbox::imap::fuzz::{responses, session};

static QUIET: Once = Once::new();

/// The client catches panics of its parser, so the hook must not end the process at the first. One
/// that comes up to here still does. `LOUD=1` shows them all.
fn be_quiet() {
    let loud = std::env::var_os("LOUD").is_some();
    std::panic::set_hook(Box::new(move |panic| {
        if loud {
            eprintln!("{panic}");
        }
    }));
}

fuzz_target!(|input: &[u8]| {
    QUIET.call_once(be_quiet);
    let [cut, count, rest @ ..] = input else { return };
    let piece = usize::from(*cut) + 1;
    let (calls, bytes) = rest.split_at(usize::from(*count % 8).min(rest.len()));
    assert_eq!(responses(bytes, piece), responses(bytes, usize::MAX), "cut at {piece}");
    session(bytes, piece, calls);
});
