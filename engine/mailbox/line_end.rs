//! Line ends as IMAP wants them.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

/// A message with CRLF at the end of each line, as it lies on an IMAP server once it was appended
/// there (RFC 9051 section 2.2, RFC 5322 section 2.3): each LF without a CR before it gets one, all
/// other bytes stay. Who looks for an appended message by its size ([`super::Likeness`]) reckons
/// with the size of this.
pub fn crlf(bytes: &[u8]) -> Cow<'_, [u8]> {
    let bare = |at: usize| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
    let count = (0..bytes.len()).filter(|at| bare(*at)).count();
    if count == 0 {
        return Cow::Borrowed(bytes);
    }
    let mut converted = Vec::with_capacity(bytes.len() + count);
    for (at, byte) in bytes.iter().enumerate() {
        if bare(at) {
            converted.push(b'\r');
        }
        converted.push(*byte);
    }
    Cow::Owned(converted)
}

/// Reads the form of [`crlf`] of what another reader gives, of any size.
pub(super) struct CrlfReader<R> {
    from: R,
    chunk: Box<[u8]>,
    ready: Vec<u8>,
    ready_at: usize,
    /// Whether the last byte so far is a CR.
    after_cr: bool,
}

impl<R: Read> CrlfReader<R> {
    pub(super) fn new(from: R) -> Self {
        let chunk = vec![0; 32 << 10].into_boxed_slice();
        Self { from, chunk, ready: Vec::new(), ready_at: 0, after_cr: false }
    }

    fn convert(&mut self, size: usize) -> io::Result<()> {
        let mut rest = &self.chunk[..size];
        while !rest.is_empty() {
            // The standard library's fast search.
            let length = { rest }.skip_until(b'\n')?;
            let (line, behind) = rest.split_at(length);
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    self.ready.extend_from_slice(text);
                    let has_cr = text.last().map_or(self.after_cr, |last| *last == b'\r');
                    self.ready.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
                    self.after_cr = false;
                }
                None => {
                    self.ready.extend_from_slice(line);
                    self.after_cr = line.last() == Some(&b'\r');
                }
            }
            rest = behind;
        }
        Ok(())
    }
}

impl<R: Read> Read for CrlfReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready_at == self.ready.len() {
            let size = self.from.read(&mut self.chunk)?;
            self.ready.clear();
            self.ready_at = 0;
            self.convert(size)?;
        }
        let size = (&self.ready[self.ready_at..]).read(into)?;
        self.ready_at += size;
        Ok(size)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let room = into.len().min(1);
            self.0.read(&mut into[..room])
        }
    }

    fn read(from: impl Read) -> Vec<u8> {
        let mut all = Vec::new();
        CrlfReader::new(from).read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn only_bare_line_feeds_change() {
        for (from, to) in [
            ("", ""),
            ("\n", "\r\n"),
            ("\n\n", "\r\n\r\n"),
            ("a\nb\r\nc\r\rd\n", "a\r\nb\r\nc\r\rd\r\n"),
            ("a\r", "a\r"),
        ] {
            assert_eq!(crlf(from.as_bytes()), to.as_bytes(), "{from:?}");
            assert_eq!(read(from.as_bytes()), to.as_bytes(), "{from:?}");
            assert_eq!(read(Dripping(from.as_bytes())), to.as_bytes(), "{from:?}");
        }
        assert!(matches!(crlf(b"a\r\nb"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_reader_gives_what_the_whole_would_be_wherever_it_is_cut() {
        let text = b"line\nline\r\n\n\r\r\n no end\r".repeat(9_000);
        assert!(text.len() > 200_000);
        assert_eq!(read(&text[..]), crlf(&text)[..]);
        let odd = text.len() % 7 + 1;
        assert_eq!(read(text[..odd].chain(&text[odd..])), crlf(&text)[..]);
    }
}
