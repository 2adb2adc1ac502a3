//! Any bytes of a client that submits mail: see `tests/support/talk.rs`.
//!
//! The first byte says what is offered, the second how the bytes are cut, the third what the server is
//! unwilling to do, then comes what the client sends.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../support/talk.rs"]
mod talk;

fuzz_target!(|input: &[u8]| talk::talk(input));
