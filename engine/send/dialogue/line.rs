//! Cuts the bytes of a client into command lines. A line ends with CRLF and nothing else, and holds
//! neither a CR, an LF nor a NUL besides.

/// The longest command line with its end, in bytes: that of AUTH (RFC 4954 section 4), which has more
/// than any other.
pub(super) const LONGEST: usize = 12_288;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, with its CRLF.
    Whole(Vec<u8>),
    /// A line that is too long; it was passed over to its end.
    TooLong,
    /// A line with a CR, an LF or a NUL where none may be.
    Stray,
}

/// The line that is being read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    held: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// The next line; `None` where its end is not there yet. What was read is cut off `input`.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Line> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
        *input = rest;
        if self.held.len() + piece.len() > LONGEST {
            self.too_long = true;
            self.held.clear();
        } else if !self.too_long {
            self.held.extend_from_slice(piece);
        }
        end?;
        let line = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.too_long) {
            return Some(Line::TooLong);
        }
        let sound = line
            .strip_suffix(b"\r\n")
            .is_some_and(|text| !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')));
        Some(if sound { Line::Whole(line) } else { Line::Stray })
    }

    /// Forgets a line that was begun.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Line, Lines};

    fn all(mut input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::default();
        std::iter::from_fn(|| lines.next(&mut input)).collect()
    }

    #[test]
    fn only_crlf_ends_a_line() {
        let whole = |line: &[u8]| Line::Whole(line.to_vec());
        assert_eq!(all(b"NOOP\r\nQUIT\r\n"), [whole(b"NOOP\r\n"), whole(b"QUIT\r\n")]);
        assert_eq!(all(b"NOOP\nQUIT\r\n"), [Line::Stray, whole(b"QUIT\r\n")]);
        assert_eq!(all(b"NO\rOP\r\n\r\r\n\0\r\n"), [Line::Stray, Line::Stray, Line::Stray]);
        assert_eq!(all(b"NOOP\r"), []);
    }

    #[test]
    fn a_long_line_costs_itself_alone() {
        let mut input = vec![b'x'; 3 * LONGEST];
        input.extend_from_slice(b"\r\nQUIT\r\n");
        assert_eq!(all(&input), [Line::TooLong, Line::Whole(b"QUIT\r\n".to_vec())]);
    }
}
