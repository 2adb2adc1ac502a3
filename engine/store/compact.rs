//! Gives space back: sled's file only grows. When it has grown out of all proportion, everything is
//! copied into a new store at start-up, which takes its place as [`super::place`] says: killed at any
//! step, the next start finds all of it in the old or all of it in the new one.

use std::path::Path;
use std::time::Duration;

use super::check;
use super::disk::{Disk, UNSEALED};
use super::draft::Writes;
use super::fence::fenced;
use super::place::{self, Replaced};
use crate::error::{Context, Error, Result};

/// A file below this many bytes is never too large.
const SMALL: u64 = 64 << 20;

/// How many times the bytes of all keys and values the file may have. A new one has three times as
/// many; one that is much rewritten settles at ten times as many (10,000 records of 600,000 writes).
const PROPORTION: u64 = 5;

/// Keys that are written at once.
const BATCH: usize = 2_000;

/// The store as it is, or made anew where its file is far too large for what it holds. A copy that
/// cannot be made costs nothing but the space.
pub(super) fn when_grown(disk: Disk, data: &Path) -> Result<Disk> {
    let on_disk = place::bytes(&place::store(data));
    if on_disk < SMALL || on_disk < PROPORTION.saturating_mul(disk.live()) {
        return Ok(disk);
    }
    now(disk, data)
}

/// Makes the store of a data folder anew, whatever its size: the bytes of its files before and after.
///
/// # Errors
/// As [`super::Store::open`], and a disk that fails.
pub fn compact(data: &Path) -> Result<(u64, u64)> {
    let disk = Disk::open(data, check::BRIEFLY)?;
    let before = disk.bytes();
    let after = now(disk, data)?.bytes();
    Ok((before, after))
}

fn now(disk: Disk, data: &Path) -> Result<Disk> {
    let what = || format!("make the store {} smaller", data.display());
    if rebuild(&disk, data).is_err() {
        // For instance there is no room for a second one.
        place::sweep(data).or_later(what)?;
        return Ok(disk);
    }
    let lock = disk.close();
    place::complete(data).or_later(what)?;
    place::swap(data, Replaced::Removed).or_later(what)?;
    Disk::trusted(data, lock)
}

/// Copies all keys, and sees that all of them came over.
fn rebuild(disk: &Disk, data: &Path) -> Result<()> {
    let what = || format!("copy the store {}", data.display());
    let copy = Disk::open(&place::building(data), Duration::ZERO)?;
    let mut writes = Writes::default();
    let mut sequence = 0;
    let mut entries = disk.tree().iter();
    while let Some((key, value)) = fenced(|| entries.next().transpose()).or_later(what)? {
        if UNSEALED.contains(&&*key) {
            continue;
        }
        writes.entries.insert(key.to_vec(), Some(value.to_vec()));
        if writes.entries.len() == BATCH {
            sequence = copy.apply(std::mem::take(&mut writes))?;
        }
    }
    copy.raise_sequence(disk.sequence().saturating_sub(1));
    sequence = sequence.max(copy.apply(writes)?);
    copy.make_durable(sequence)?;
    if copy.seal() != disk.seal() || copy.sequence() < disk.sequence() {
        return Err(Error::permanent(what(), "not all of it came over"));
    }
    Ok(())
}
