//! One number over everything the store holds, kept in every commit and counted again when the
//! store is opened.
//!
//! sled checks each piece of its log, but takes a piece that fails for one that was never written:
//! a flipped bit makes a record vanish without a word. The seal notices. It is the exclusive or of
//! a digest of each key with its value, so that a commit changes it by what it changes itself.

use sha2::{Digest, Sha256};

/// What one key with its value adds to the seal, or takes from it.
pub(super) fn share(key: &[u8], value: &[u8]) -> u64 {
    let mut digest = Sha256::new();
    digest.update((key.len() as u64).to_be_bytes());
    digest.update(key);
    digest.update(value);
    digest.finalize().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

/// The seal of all these entries, or the first error met.
pub(super) fn over<K: AsRef<[u8]>, V: AsRef<[u8]>, E>(
    entries: impl Iterator<Item = Result<(K, V), E>>,
    left_out: &[&[u8]],
) -> Result<u64, E> {
    let mut seal = 0;
    for entry in entries {
        let (key, value) = entry?;
        if !left_out.contains(&key.as_ref()) {
            seal ^= share(key.as_ref(), value.as_ref());
        }
    }
    Ok(seal)
}
