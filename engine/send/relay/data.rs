//! The bytes of a message as they go after DATA (RFC 5321 section 4.5.2): lines end with CRLF and with
//! nothing else, and a dot at the beginning of one is doubled. So nothing in a message can end it: a
//! lone CR or LF, which some servers take for a line's end, becomes a whole one (CVE-2023-51764).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of a message that are in memory at once.
const PIECE: usize = 128 << 10;

/// Turns a message into what is sent, piece by piece.
#[derive(Debug)]
pub(super) struct Stuffing {
    /// A CR was read, and what follows it not yet.
    after_cr: bool,
    line_start: bool,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { after_cr: false, line_start: true }
    }
}

impl Stuffing {
    /// What to send for the next bytes of the message.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            match byte {
                b'\r' => {
                    if self.after_cr {
                        self.end_line(out);
                    }
                    self.after_cr = true;
                }
                b'\n' => self.end_line(out),
                other => {
                    if self.after_cr {
                        self.end_line(out);
                    }
                    if self.line_start && *other == b'.' {
                        out.push(b'.');
                    }
                    out.push(*other);
                    self.line_start = false;
                }
            }
        }
    }

    /// What ends the message: the line that is open, then the dot.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.after_cr || !self.line_start {
            self.end_line(&mut out);
        }
        out.extend(b".\r\n");
        out
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend(b"\r\n");
        (self.after_cr, self.line_start) = (false, true);
    }
}

/// A message in a file, read in pieces off the network threads.
#[derive(Debug)]
pub(super) struct Source {
    file: Arc<File>,
    size: u64,
    at: u64,
}

impl Source {
    pub(super) fn new(file: Arc<File>, size: u64) -> Self {
        Self { file, size, at: 0 }
    }

    /// The next piece; an empty one is the end.
    pub(super) async fn next(&mut self) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(PIECE);
        if left == 0 {
            return Ok(Vec::new());
        }
        let (file, at) = (self.file.clone(), self.at);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; left];
            file.read_exact_at(&mut piece, at).map(|()| piece)
        });
        let piece = read.await.map_err(io::Error::other).flatten()?;
        self.at += piece.len() as u64;
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::Stuffing;

    fn sent(pieces: &[&[u8]]) -> String {
        let (mut stuffing, mut out) = (Stuffing::default(), Vec::new());
        for piece in pieces {
            stuffing.take(piece, &mut out);
        }
        out.extend(stuffing.end());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn dots_are_doubled_and_no_line_is_added() {
        assert_eq!(sent(&[b""]), ".\r\n");
        assert_eq!(sent(&[b"a\r\n"]), "a\r\n.\r\n");
        assert_eq!(sent(&[b"a"]), "a\r\n.\r\n");
        assert_eq!(sent(&[b".\r\n..\r\n.a"]), "..\r\n...\r\n..a\r\n.\r\n");
        assert_eq!(sent(&[b"a\r", b"\n", b".b"]), "a\r\n..b\r\n.\r\n");
    }

    #[test]
    fn no_sequence_ends_a_message_before_its_end() {
        let sequences: [&[u8]; 9] = [
            b"\n.\n",
            b"\n.\r",
            b"\r.\n",
            b"\r.\r",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r\n.\r",
            b"\r\n.\r\r\n",
            b"\r\r\n.\r\r\n",
        ];
        for sequence in sequences {
            let message = [b"a", sequence, b"MAIL FROM:<x@y>"].concat();
            for cut in 0..message.len() {
                let sent = sent(&[&message[..cut], &message[cut..]]);
                assert_eq!(sent.match_indices("\r\n.\r\n").count(), 1, "{sequence:?}");
                assert!(sent.ends_with("\r\n.\r\n"));
                let bare = sent.replace("\r\n", "");
                assert!(!bare.contains(['\r', '\n']), "{sequence:?}");
            }
        }
    }
}
