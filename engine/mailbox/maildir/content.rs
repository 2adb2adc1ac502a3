//! The bytes of a message file, read with limits.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::mailbox::Extent;

/// The most bytes of a header block.
const MAX_HEADERS: u64 = 1 << 20;

/// What a message file says of itself.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) size: u64,
    /// The file's time of change, Unix milliseconds: the time the message was received.
    pub(super) received_ms: Option<i64>,
    pub(super) bytes: Vec<u8>,
}

/// Opens a message file: a plain file, not a link to one, nor a pipe that would block.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a plain file"))
    }
}

/// Reads a message, or its headers with the final empty line.
///
/// # Errors
/// `FileTooLarge` for a message over `max_size` or a header block over 1 MiB.
pub(super) fn read(path: &Path, extent: Extent, max_size: u64) -> io::Result<Content> {
    let (file, metadata) = open(path)?;
    let bytes = match extent {
        Extent::Headers => read_headers(file)?,
        Extent::Whole => read_whole(file, metadata.len(), max_size)?,
        Extent::Part { .. } if metadata.len() > max_size => return Err(over(max_size)),
        Extent::Part { offset, length } => read_part(&file, metadata.len(), offset, length)?,
    };
    Ok(Content { size: metadata.len(), received_ms: received_ms(&metadata), bytes })
}

/// The header block's first line end after which an empty line follows, that line included.
fn read_headers(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut searched = 0;
    loop {
        let before = bytes.len();
        file.by_ref().take(16 << 10).read_to_end(&mut bytes)?;
        if let Some(end) = end_of_headers(&bytes, searched) {
            bytes.truncate(end);
            return Ok(bytes);
        }
        if bytes.len() == before {
            return Ok(bytes);
        }
        if bytes.len() as u64 >= MAX_HEADERS {
            return Err(too_large(format!("its header block has more than {MAX_HEADERS} bytes")));
        }
        // An empty line has two line ends; the first may be in what was searched.
        searched = bytes.len().saturating_sub(16);
    }
}

/// Where the body begins: behind the first empty line at or after `from`.
fn end_of_headers(bytes: &[u8], from: usize) -> Option<usize> {
    if let Some(end) = end_of_empty_line(bytes, 0) {
        return Some(end);
    }
    let from = from.min(bytes.len());
    let mut ends = bytes[from..].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.find_map(|(at, _)| end_of_empty_line(bytes, from + at + 1))
}

/// Where the empty line ends that begins at `at`. Some gateways make CR CR LF of CR LF.
fn end_of_empty_line(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at + bytes[at..].iter().take_while(|byte| **byte == b'\r').count();
    (bytes.get(end) == Some(&b'\n')).then_some(end + 1)
}

fn read_whole(file: File, size: u64, max_size: u64) -> io::Result<Vec<u8>> {
    if size > max_size {
        return Err(over(max_size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(max_size.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_size { Err(over(max_size)) } else { Ok(bytes) }
}

fn read_part(mut file: &File, size: u64, offset: u64, length: u32) -> io::Result<Vec<u8>> {
    if offset > size {
        let why = format!("it has only {size} bytes now: another program changed it");
        return Err(io::Error::other(why));
    }
    file.seek(io::SeekFrom::Start(offset))?;
    let room = u64::from(length).min(size - offset);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
    file.take(u64::from(length)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn over(max_size: u64) -> io::Error {
    too_large(format!("it has more than the {max_size} bytes allowed"))
}

fn too_large(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

pub(super) fn received_ms(metadata: &Metadata) -> Option<i64> {
    let modified = metadata.modified().ok()?;
    match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(before) => i64::try_from(before.duration().as_millis()).ok().map(|ms| -ms),
    }
}

/// A Unix time in milliseconds as file systems take it.
pub(super) fn time_of(unix_ms: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(unix_ms.unsigned_abs());
    if unix_ms < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

/// Now, on the clock that file systems go by.
pub(super) fn now() -> SystemTime {
    time_of(Clock::System.now_ms()).unwrap_or(UNIX_EPOCH)
}

/// Whether a header block carries this Message-ID, given without angle brackets.
pub(super) fn has_message_id(headers: &[u8], message_id: &str) -> bool {
    let mut lines = headers.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some((name, value)) = line.split_at_checked(11) else { continue };
        if !name.eq_ignore_ascii_case(b"message-id:") {
            continue;
        }
        let mut value = value.to_vec();
        while let Some(folded) =
            lines.next_if(|next| next.starts_with(b" ") || next.starts_with(b"\t"))
        {
            value.extend(folded);
        }
        value.retain(|byte| !byte.is_ascii_whitespace());
        let bare = value.strip_prefix(b"<").and_then(|value| value.strip_suffix(b">"));
        if bare.unwrap_or(&value) == message_id.as_bytes() {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{end_of_headers, has_message_id};

    #[test]
    fn headers_end_behind_the_first_empty_line() {
        for (text, end) in [
            ("A: b\n\nbody", Some(6)),
            ("A: b\r\n\r\nbody\r\n\r\n", Some(8)),
            ("\nbody", Some(1)),
            ("\r\nbody", Some(2)),
            ("A: b\r\n", None),
            ("A: b", None),
            ("", None),
        ] {
            assert_eq!(end_of_headers(text.as_bytes(), 0), end, "{text:?}");
        }
    }

    #[test]
    fn a_message_id_is_found_folded_and_in_any_case() {
        let headers = b"Subject: x\r\nMESSAGE-ID:\r\n <a@b>\r\nX: y\r\n\r\n";
        assert!(has_message_id(headers, "a@b"));
        assert!(!has_message_id(headers, "b@b"));
        assert!(!has_message_id(b"X-Message-ID: <a@b>\n\n", "a@b"));
    }
}
