//! Standard input of `sendmail`: lines with any end become lines with CRLF, and a line of one dot may
//! be the end.

use std::io::{self, BufRead, ErrorKind};

/// The largest header block, in bytes.
const MOST_HEADER: usize = 1 << 20;
/// Bytes that are handed on at once, about.
const PIECE: usize = 64 << 10;

/// What a line of one dot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dots {
    /// The end of the message.
    End,
    /// Text.
    Text,
}

/// A message from a program.
pub(super) struct Lines<R> {
    input: R,
    dots: Dots,
    ended: bool,
    /// The last line has no end yet, as it is so long that it comes in pieces.
    within: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, dots: Dots) -> Self {
        Self { input, dots, ended: false, within: false }
    }

    /// The header block with the empty line that ends it, and the first line of the body where a line
    /// that is no field stands in place of the empty one.
    pub(super) fn header(&mut self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut head = Vec::new();
        while let Some(line) = self.line()? {
            let first = head.is_empty();
            if first && line.starts_with(b"From ") {
                continue;
            }
            if line == b"\r\n" {
                head.extend_from_slice(b"\r\n");
                return Ok((head, Vec::new()));
            }
            let goes_on = !first && matches!(line[0], b' ' | b'\t');
            if self.within || !goes_on && !is_field(&line) {
                head.extend_from_slice(b"\r\n");
                return Ok((head, line));
            }
            head.extend_from_slice(&line);
            if head.len() > MOST_HEADER {
                let why = "the header is larger than is accepted here";
                return Err(io::Error::new(ErrorKind::InvalidData, why));
            }
        }
        head.extend_from_slice(b"\r\n");
        Ok((head, Vec::new()))
    }

    /// The next lines of the body; `None` at its end.
    pub(super) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE {
            match self.line()? {
                Some(line) => piece.extend_from_slice(&line),
                None => break,
            }
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// The next line with its CRLF, or a piece of a long one.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut line = Vec::new();
        let fresh = !self.within;
        io::Read::take(&mut self.input, PIECE as u64).read_until(b'\n', &mut line)?;
        if line.len() >= PIECE && line.ends_with(b"\r") {
            // Its LF may come next: the two are not torn apart.
            io::Read::take(&mut self.input, 1).read_until(b'\n', &mut line)?;
        }
        let whole = line.ends_with(b"\n");
        self.within = !whole && line.len() >= PIECE;
        self.ended = !whole && !self.within;
        if line.contains(&0) {
            return Err(io::Error::new(ErrorKind::InvalidData, "the message has a NUL"));
        }
        if whole {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if fresh && whole && self.dots == Dots::End && line == b"." {
            self.ended = true;
            return Ok(None);
        }
        if self.ended && line.is_empty() && fresh {
            return Ok(None);
        }
        let mut line = without_bare_cr(line);
        if whole || self.ended {
            line.extend_from_slice(b"\r\n");
        }
        Ok(Some(line))
    }
}

/// A CR of its own is a line end to some readers and none to others: it becomes one to all.
fn without_bare_cr(line: Vec<u8>) -> Vec<u8> {
    if !line.contains(&b'\r') {
        return line;
    }
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b'\r').collect();
    parts.join(&b"\r\n"[..])
}

fn is_field(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':');
    let Some(name) = name.filter(|name| *name > 0) else { return false };
    let blanks = line[name..].iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    blanks.is_some_and(|blanks| line[name + blanks] == b':')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Dots, Lines, PIECE};

    fn read(input: &[u8], dots: Dots) -> (String, String) {
        let mut lines = Lines::new(input, dots);
        let (head, mut body) = lines.header().unwrap();
        while let Some(piece) = lines.piece().unwrap() {
            body.extend(piece);
        }
        (String::from_utf8(head).unwrap(), String::from_utf8(body).unwrap())
    }

    fn pair(head: &str, body: &str) -> (String, String) {
        (head.into(), body.into())
    }

    #[test]
    fn any_line_end_becomes_crlf() {
        let end = |input: &str| read(input.as_bytes(), Dots::Text);
        assert_eq!(end("A: b\n\nc\nd"), pair("A: b\r\n\r\n", "c\r\nd\r\n"));
        assert_eq!(end("A: b\r\n\r\nc\r\n"), pair("A: b\r\n\r\n", "c\r\n"));
        assert_eq!(end("A: b\n\nc\rd\r\r\n"), pair("A: b\r\n\r\n", "c\r\nd\r\n\r\n"));
        assert_eq!(end("hello\nX: y\n"), pair("\r\n", "hello\r\nX: y\r\n"));
        assert_eq!(end("From x\nA: b\n c\n"), pair("A: b\r\n c\r\n\r\n", ""));
        assert_eq!(end(""), pair("\r\n", ""));
    }

    #[test]
    fn a_dot_is_the_end_or_text() {
        let input = b"A: b\n\nc\n.\nd\n";
        assert_eq!(read(input, Dots::End), pair("A: b\r\n\r\n", "c\r\n"));
        assert_eq!(read(input, Dots::Text), pair("A: b\r\n\r\n", "c\r\n.\r\nd\r\n"));
        assert_eq!(read(b"A: b\n.\nd\n", Dots::End), pair("A: b\r\n\r\n", ""));
    }

    #[test]
    fn a_long_line_stays_one() {
        let long = "x".repeat(3 * PIECE + 5);
        let (_, body) = read(format!("A: b\n\n{long}\n").as_bytes(), Dots::End);
        assert_eq!(body, format!("{long}\r\n"));
        let exact = format!("{}\n", "y".repeat(PIECE - 1));
        assert_eq!(read(format!("\n{exact}.\nz").as_bytes(), Dots::End).1.len(), PIECE + 1);
    }
}
