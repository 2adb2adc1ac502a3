//! Any bytes of a server: no panic, and no difference how the network cuts them.
//!
//! The first byte says how the bytes are cut, the second how many calls follow, then the calls,
//! then what the server sends; 0x01 stands in it for the tag of the command last sent.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use mailmill::mailbox::imap::fuzz::{responses, session};

static QUIET: Once = Once::new();

fuzz_target!(|input: &[u8]| {
    // A panic that the client catches by itself is none; one that comes up to here still ends it.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let [cut, count, rest @ ..] = input else { return };
    let piece = usize::from(*cut) + 1;
    let (calls, bytes) = rest.split_at(usize::from(*count % 8).min(rest.len()));
    assert_eq!(responses(bytes, piece), responses(bytes, usize::MAX), "cut at {piece}");
    for told in session(bytes, piece, calls) {
        assert!(!told.contains("hunter2-secret"), "a secret is told: {told}");
    }
});
