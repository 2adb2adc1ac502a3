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

/// The seal of all entries, and how many bytes they have.
pub(super) struct Sealed {
    pub(super) seal: u64,
    pub(super) bytes: u64,
}

/// The seal of all these entries, or the first error met.
pub(super) fn over<K: AsRef<[u8]>, V: AsRef<[u8]>, E>(
    entries: impl Iterator<Item = Result<(K, V), E>>,
    left_out: &[&[u8]],
) -> Result<Sealed, E> {
    let mut sealed = Sealed { seal: 0, bytes: 0 };
    for entry in entries {
        let (key, value) = entry?;
        let (key, value) = (key.as_ref(), value.as_ref());
        if !left_out.contains(&key) {
            sealed.seal ^= share(key, value);
            sealed.bytes += (key.len() + value.len()) as u64;
        }
    }
    Ok(sealed)
}
