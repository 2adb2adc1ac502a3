//! Reads sled's log without sled: where sled will not open a damaged file, or opens it without most
//! of what is in it, every message of the log whose checksum is right is taken for what it says.
//!
//! The form is that of sled 0.34 (its pagecache version; another one is not read): segments of 512
//! KiB; in each, after 20 bytes, messages of a header (CRC-32, kind, length, segment, page) and a
//! body. A page is replaced by a node (its keys and values, their common prefix left out) or changed
//! by a link (one key set or removed). A message's place in the log follows from its segment's number
//! and its offset, so the messages can be gone through in the order they were written, whatever is
//! missing between them. What comes out may be older than what was there, and never mixed up: a
//! repair treats it so.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::fence::fenced;
use crate::checksum::Checksum;

const SEGMENT: usize = 512 << 10;
const SEGMENT_HEADER: usize = 20;

/// Kinds of messages: a page is freed, replaced, or changed.
const FREE: u8 = 4;
const NODE: u8 = 8;
const LINK: u8 = 10;
const KINDS: std::ops::RangeInclusive<u8> = 1..=11;

/// Changes that are written at once.
const BATCH: usize = 2_000;

/// One message: where its body lies, and where it stands in the log.
struct Message {
    order: u64,
    kind: u8,
    page: u64,
    at: u64,
    length: usize,
}

/// Writes what the log in `file` says into an empty tree. Gives nothing back: who reads the tree
/// sees what came over.
pub(super) fn carve(file: &Path, into: &sled::Db) -> io::Result<()> {
    let file = File::open(file)?;
    let mut messages = messages(&file)?;
    messages.sort_by_key(|message| message.order);
    let mut replay =
        Replay { into, prefixes: HashMap::new(), batch: sled::Batch::default(), size: 0 };
    for message in messages {
        let mut body = vec![0; message.length];
        file.read_exact_at(&mut body, message.at)?;
        // What has a right checksum and no sense was written by another sled.
        let _ = replay.message(&message, &body);
        replay.write(BATCH)?;
    }
    replay.write(1)
}

/// Whether this is another program's file: sled would take it for a torn one of its own, and write
/// zeros over all of it. A file of zeros is none.
pub(super) fn is_foreign(file: &Path) -> io::Result<bool> {
    let file = match File::open(file) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let (mut start, mut foreign) = (0, false);
    let mut header = [0; SEGMENT_HEADER];
    while file.read_at(&mut header, start)? == SEGMENT_HEADER {
        if header != [0; SEGMENT_HEADER] {
            let (crc, rest) = header.split_at(4);
            if crc == (!Checksum::of(&[rest])).to_le_bytes() {
                return Ok(false);
            }
            foreign = true;
        }
        start += SEGMENT as u64;
    }
    Ok(foreign)
}

/// All messages of the file with a right checksum that concern pages of the tree.
fn messages(file: &File) -> io::Result<Vec<Message>> {
    let length = file.metadata()?.len();
    let mut found = Vec::new();
    for start in (0..length).step_by(SEGMENT) {
        let mut segment = vec![0; SEGMENT.min(usize::try_from(length - start).unwrap_or(SEGMENT))];
        file.read_exact_at(&mut segment, start)?;
        let mut at = SEGMENT_HEADER;
        while at < segment.len() {
            let Some((message, size)) = message_at(&segment, at) else {
                at += 1;
                continue;
            };
            if matches!(message.kind, FREE | NODE | LINK) {
                found.push(Message { at: start + message.at, ..message });
            }
            at += size;
        }
    }
    Ok(found)
}

/// The message that begins here, its body's place within the segment, and its whole length.
fn message_at(segment: &[u8], at: usize) -> Option<(Message, usize)> {
    let whole = segment.get(at..)?;
    let (crc, mut rest) = whole.split_first_chunk::<4>()?;
    let (kind, left) = rest.split_first()?;
    if !KINDS.contains(kind) {
        return None;
    }
    rest = left;
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let (number, page) = (varint(&mut rest)?, varint(&mut rest)?);
    let header = whole.len() - rest.len();
    let body = rest.get(..length)?;
    let crc_found = !Checksum::of(&[body, &whole[4..header]]);
    let order = number.checked_mul(SEGMENT as u64)?.checked_add(at as u64)?;
    (u32::from_le_bytes(*crc) == crc_found).then(|| {
        let at = (at + header) as u64;
        (Message { order, kind: *kind, page, at, length }, header + length)
    })
}

/// The tree as it becomes, message by message.
struct Replay<'a> {
    into: &'a sled::Db,
    /// What the keys of each page have in common and leave out.
    prefixes: HashMap<u64, Vec<u8>>,
    batch: sled::Batch,
    size: usize,
}

impl Replay<'_> {
    fn message(&mut self, message: &Message, mut body: &[u8]) -> Option<()> {
        let body = &mut body;
        match message.kind {
            FREE => {
                self.prefixes.remove(&message.page);
            }
            NODE => self.node(message.page, body)?,
            _ => {
                let what = byte(body)?;
                let key = bytes(body)?;
                let key = [self.prefixes.get(&message.page)?, key].concat();
                match what {
                    0 => self.batch.insert(key, bytes(body)?),
                    1 => self.batch.remove(key),
                    _ => {}
                }
                self.size += 1;
            }
        }
        Some(())
    }

    /// A whole page: what is not in it, from its first key to that of the next page, is gone.
    fn node(&mut self, page: u64, body: &mut &[u8]) -> Option<()> {
        let (_next, _merging_child, _merging) = (varint(body)?, varint(body)?, byte(body)?);
        let prefix = usize::from(byte(body)?);
        let (low, high) = (bytes(body)?, bytes(body)?);
        let prefix = low.get(..prefix)?;
        if byte(body)? != 0 {
            // An index of pages.
            return Some(());
        }
        let count = usize::try_from(varint(body)?).ok()?;
        let keys: Vec<&[u8]> = (0..count).map_while(|_| bytes(body)).collect();
        let values: Vec<&[u8]> = (0..count).map_while(|_| bytes(body)).collect();
        if values.len() != count {
            return None;
        }
        self.clear(low, high);
        for (key, value) in keys.into_iter().zip(values) {
            self.batch.insert([prefix, key].concat(), value);
        }
        self.size += count;
        self.prefixes.insert(page, prefix.to_vec());
        Some(())
    }

    /// Removes all from one key up to another; an empty one is the end.
    fn clear(&mut self, low: &[u8], high: &[u8]) {
        // What is waiting may lie between.
        if self.write(1).is_err() {
            return;
        }
        let range = match high {
            [] => self.into.range(low.to_vec()..),
            high => self.into.range(low.to_vec()..high.to_vec()),
        };
        for key in range.keys().map_while(Result::ok) {
            self.batch.remove(key);
            self.size += 1;
        }
    }

    /// Writes what is waiting where there is as much as this.
    fn write(&mut self, least: usize) -> io::Result<()> {
        if self.size < least {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.size = 0;
        fenced(|| self.into.apply_batch(batch)).map_err(io::Error::other)
    }
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, left) = rest.split_first()?;
    *rest = left;
    Some(*byte)
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (bytes, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(bytes)
}

/// A number as sled writes it: small ones in one byte, others with their length before them.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let first = byte(rest)?;
    Some(match first {
        0..=240 => u64::from(first),
        241..=248 => 240 + 256 * (u64::from(first) - 241) + u64::from(byte(rest)?),
        249 => 2_288 + 256 * u64::from(byte(rest)?) + u64::from(byte(rest)?),
        250..=255 => {
            let mut whole = [0; 8];
            for place in whole.iter_mut().take(usize::from(first) - 247) {
                *place = byte(rest)?;
            }
            u64::from_le_bytes(whole)
        }
    })
}
