//! Names that are used once: of Message-IDs, of dropped files, in `Received:`.

use rustls::crypto::ring::default_provider;

/// 24 random hex digits.
pub(super) fn token() -> String {
    let mut bytes = [0_u8; 12];
    // The system's generator fails only where there is none; then the clock and the process must do.
    if default_provider().secure_random.fill(&mut bytes).is_err() {
        use std::hash::{BuildHasher, RandomState};
        bytes[..8].copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
