//! What stands behind the message in a file of the queue: JSON, and 24 bytes that tell whether the file
//! is whole.
//!
//! ```text
//! the message | JSON | length of the JSON, 8 bytes | CRC-32 of all before it, 8 bytes | mmqueue2
//! ```
//!
//! Numbers are big-endian. Blanks after the JSON fill the file up to a length that other messages fit in
//! as well ([`super::spares`]). After a loss of power a file that was not synced may have its length and
//! its end, and nothing or something else in between: the checksum notices.

use std::io::{Read, Seek, SeekFrom};

use crate::checksum::Checksum;

/// The end of a whole file.
const MAGIC: &[u8; 8] = b"mmqueue2";

/// The bytes after the JSON.
pub(super) const END: u64 = 24;

/// The most bytes of JSON.
pub(super) const LONGEST: u64 = 4 << 20;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What is counted over a message while it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Count(Checksum);

impl Count {
    /// Counts what is written next.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.add(bytes);
    }

    /// What stands behind the message, filled up with blanks.
    pub(super) fn trailer(mut self, mut json: Vec<u8>, blanks: usize) -> Vec<u8> {
        json.resize(json.len() + blanks, b' ');
        let length = (json.len() as u64).to_be_bytes();
        self.0.add(&json);
        self.0.add(&length);
        let mut trailer = json;
        trailer.extend(length);
        trailer.extend(u64::from(self.0.value()).to_be_bytes());
        trailer.extend(MAGIC);
        trailer
    }
}

/// The JSON of a file that stands at its beginning, and the message's size. `None` where the file is
/// not whole.
pub(super) fn read(mut file: impl Read + Seek) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(before) = length.checked_sub(END) else { return Ok(None) };
    file.seek(SeekFrom::Start(before))?;
    let mut end = [[0; 8]; 3];
    file.read_exact(end.as_flattened_mut())?;
    let json = u64::from_be_bytes(end[0]);
    let size = before.checked_sub(json).filter(|_| json <= LONGEST && end[2] == *MAGIC);
    let Some(size) = size else { return Ok(None) };
    file.seek(SeekFrom::Start(0))?;
    let mut count = Count::default();
    count_to(&mut file, size, &mut count)?;
    let mut bytes = Vec::new();
    file.take(json).read_to_end(&mut bytes)?;
    let whole = count.trailer(bytes.clone(), 0).ends_with(end.as_flattened());
    Ok(whole.then_some((bytes, size)))
}

fn count_to(file: &mut impl Read, size: u64, count: &mut Count) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let read = file.read(&mut piece[..most])?;
        if read == 0 {
            break;
        }
        count.add(&piece[..read]);
        left -= read as u64;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Count, read};
    use std::io::Cursor;

    #[test]
    fn a_file_is_whole_to_the_last_bit_or_not_at_all() {
        let mut count = Count::default();
        count.add(b"From: a");
        count.add(b"\r\n\r\n");
        let file = [b"From: a\r\n\r\n".to_vec(), count.trailer(b"{}".to_vec(), 3)].concat();
        assert_eq!(read(Cursor::new(&file)).unwrap(), Some((b"{}   ".to_vec(), 11)));
        for at in 0..file.len() {
            assert_eq!(read(Cursor::new(&file[..at])).unwrap(), None, "cut at {at}");
            for bit in 0..8 {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(read(Cursor::new(&flipped)).unwrap(), None, "bit {bit} of {at}");
            }
            let mut torn = file.clone();
            torn[..at].fill(0);
            assert!(at == 0 || read(Cursor::new(&torn)).unwrap().is_none(), "torn at {at}");
        }
    }
}
