//! Where things lie in the one tree: the keys, each kind under a first byte of its own.
//!
//! Names of any bytes stand in a key with their length before them, so that no name is the prefix
//! of another; numbers are big-endian, so that keys sort as numbers do.

use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};

/// The most bytes of one name in a key.
const MAX_NAME: usize = 1024;

/// The commits so far: a number.
pub(super) const SEQUENCE: [u8; 2] = *b"ms";
/// The seal over all keys but this and [`SEQUENCE`]: a number.
pub(super) const SEAL: [u8; 2] = *b"mx";
/// The highest record id ever committed: a number.
pub(super) const HIGHEST: [u8; 2] = *b"mi";
/// The newest generation: its number and digest.
pub(super) const GENERATION: [u8; 2] = *b"mg";
/// The highest record id that was pruned: a number. A record above it that is missing was lost.
pub(super) const PRUNED: [u8; 2] = *b"mp";
/// Present where the store was put together from a damaged or an older one: what it says of
/// messages may be less than what was done.
pub(super) const SALVAGED: [u8; 2] = *b"mz";
/// The highest id of a queue entry ever committed: a number.
pub(super) const QUEUE_HIGHEST: [u8; 2] = *b"mq";
/// The ids of queue entries that were given and whose entries were not written when this was: numbers.
/// Their messages were being made durable. Those above the highest say nothing.
pub(super) const QUEUE_OPEN: [u8; 2] = *b"mo";
/// Present where the queue of a salvaged store was looked through since.
pub(super) const QUEUE_SETTLED: [u8; 2] = *b"my";
/// Records: id, then the piece.
pub(super) const RECORDS: [u8; 1] = *b"r";
pub(super) fn record(id: u64) -> Vec<u8> {
    with_id(RECORDS.to_vec(), id)
}

/// How far the record's plan was carried out; missing where it was not yet begun.
pub(super) fn progress(id: u64) -> Vec<u8> {
    with_id(vec![b's'], id)
}

/// Queue entries: id, then the piece.
pub(super) const QUEUE: [u8; 1] = *b"q";
pub(super) fn queued(id: u64) -> Vec<u8> {
    with_id(QUEUE.to_vec(), id)
}

pub(super) fn cursor(account: &str, mailbox: &MailboxName) -> Result<Vec<u8>> {
    named(b'c', &[account, mailbox.as_str()])
}

pub(super) fn state(account: &str, step: &str, key: &str) -> Result<Vec<u8>> {
    named(b't', &[account, step, key])
}

pub(super) fn links_of(project: &str) -> Result<Vec<u8>> {
    named(b'l', &[project])
}

pub(super) fn link(project: &str, id: u64) -> Result<Vec<u8>> {
    Ok(with_id(links_of(project)?, id))
}

pub(super) fn arrived_in(account: &str, mailbox: &MailboxName) -> Result<Vec<u8>> {
    named(b'a', &[account, mailbox.as_str()])
}

pub(super) fn arrived(
    account: &str,
    mailbox: &MailboxName,
    uidvalidity: UidValidity,
    uid: Uid,
) -> Result<Vec<u8>> {
    let mut bytes = arrived_in(account, mailbox)?;
    bytes.extend(uidvalidity.0.to_be_bytes());
    bytes.extend(uid.0.to_be_bytes());
    Ok(bytes)
}

/// Up to which UID the messages of a mailbox are in doubt.
pub(super) fn doubt(account: &str, mailbox: &MailboxName) -> Result<Vec<u8>> {
    named(b'z', &[account, mailbox.as_str()])
}

/// The id at the end of a record's key, without the piece.
pub(super) fn id_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|id| u64::from_be_bytes(*id))
}

fn with_id(mut key: Vec<u8>, id: u64) -> Vec<u8> {
    key.extend(id.to_be_bytes());
    key
}

fn named(kind: u8, names: &[&str]) -> Result<Vec<u8>> {
    let mut key = vec![kind];
    for name in names {
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        if name.len() > MAX_NAME {
            let start: String = name.chars().take(40).collect();
            return Err(Error::permanent(
                format!("use \"{}...\" as a key of the store", start.escape_debug()),
                format!("it has {} bytes, more than the {MAX_NAME} allowed", name.len()),
            ));
        }
        key.extend(length.to_be_bytes());
        key.extend(name.as_bytes());
    }
    Ok(key)
}
