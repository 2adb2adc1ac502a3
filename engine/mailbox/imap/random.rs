//! Names that a peer cannot guess: command tags, placeholders.

use rustls::crypto::ring::default_provider;

/// 16 random characters, a letter first.
pub(super) fn token() -> String {
    let mut bytes = [0_u8; 8];
    // The system's generator fails only where there is none; then the hasher's random keys, which
    // the standard library draws at start, must do.
    if default_provider().secure_random.fill(&mut bytes).is_err() {
        use std::hash::{BuildHasher, RandomState};
        bytes = RandomState::new().hash_one(std::time::Instant::now()).to_ne_bytes();
    }
    let hex: String = bytes[1..].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}{}{hex}", char::from(b'g' + bytes[0] % 20), char::from(b'a' + bytes[0] / 16))
}
