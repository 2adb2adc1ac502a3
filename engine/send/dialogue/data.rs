//! The content of a message as it comes after DATA (RFC 5321 section 4.5.2): its end is CRLF.CRLF and
//! nothing else, the dots that were added at the start of lines are taken away.
//!
//! A bare CR, a bare LF or a NUL makes the message one that is refused; it is read to its end all the
//! same, so that nothing of it is taken for a command.

/// What lies behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A CRLF.
    Start,
    /// Anything else.
    Within,
    /// A CR that is not given out yet.
    Cr,
    /// CRLF and a dot.
    Dot,
    /// CRLF, a dot and a CR.
    DotCr,
}

/// What makes a content unfit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    /// A CR without LF, or an LF without CR.
    LineEnd,
    /// A NUL.
    Nul,
}

/// One content on its way in.
#[derive(Debug)]
pub(super) struct Data {
    at: At,
    stray: Option<Stray>,
}

impl Data {
    /// At its start, where a dot alone is the end at once.
    pub(super) fn new() -> Self {
        Self { at: At::Start, stray: None }
    }

    /// What makes it unfit, as far as it was read.
    pub(super) fn stray(&self) -> Option<Stray> {
        self.stray
    }

    /// Reads on; `out` gets what is content. `true` at the end, behind which `input` goes on.
    pub(super) fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> bool {
        while let Some(&byte) = input.first() {
            if self.at == At::Within {
                self.plain(input, out);
                continue;
            }
            *input = &input[1..];
            if self.special(byte, out) {
                return true;
            }
        }
        false
    }

    /// Copies up to the next byte that matters.
    fn plain(&mut self, input: &mut &[u8], out: &mut Vec<u8>) {
        let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'\0'));
        let (text, rest) = input.split_at(end.unwrap_or(input.len()));
        out.extend_from_slice(text);
        *input = rest;
        match rest.split_first() {
            Some((b'\r', rest)) => {
                *input = rest;
                self.at = At::Cr;
            }
            Some((byte, rest)) => {
                *input = rest;
                self.found(if *byte == 0 { Stray::Nul } else { Stray::LineEnd });
            }
            None => {}
        }
    }

    /// One byte in any place but within a line; `true` at the end.
    fn special(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match (self.at, byte) {
            (At::DotCr, b'\n') => return true,
            (At::Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                self.at = At::Start;
                return false;
            }
            (At::Start, b'.') => {
                self.at = At::Dot;
                return false;
            }
            (At::Dot, b'\r') => {
                self.at = At::DotCr;
                return false;
            }
            (At::Cr | At::DotCr, _) => self.found(Stray::LineEnd),
            _ => {}
        }
        match byte {
            b'\r' => self.at = At::Cr,
            b'\n' => {
                self.found(Stray::LineEnd);
                self.at = At::Within;
            }
            0 => {
                self.found(Stray::Nul);
                self.at = At::Within;
            }
            _ => {
                out.push(byte);
                self.at = At::Within;
            }
        }
        false
    }

    fn found(&mut self, stray: Stray) {
        self.stray.get_or_insert(stray);
    }
}

#[cfg(test)]
mod tests {
    use super::{Data, Stray};

    /// The content, whether its end was found, what is unfit, and what lies behind.
    fn read(input: &[u8], piece: usize) -> (Vec<u8>, bool, Option<Stray>, Vec<u8>) {
        let (mut data, mut out, mut behind) = (Data::new(), Vec::new(), Vec::new());
        let mut ended = false;
        for mut piece in input.chunks(piece) {
            ended = ended || data.read(&mut piece, &mut out);
            behind.extend_from_slice(piece);
        }
        (out, ended, data.stray(), behind)
    }

    #[test]
    fn dots_are_taken_away_and_the_end_is_found_in_any_pieces() {
        let input = b"a: b\r\n\r\n..x\r\n.y\r\nz.\r\n...\r\n.\r\nQUIT\r\n";
        for piece in 1..=input.len() {
            let (out, ended, stray, behind) = read(input, piece);
            assert_eq!(out, b"a: b\r\n\r\n.x\r\ny\r\nz.\r\n..\r\n");
            assert_eq!((ended, stray, &*behind), (true, None, &b"QUIT\r\n"[..]));
        }
        assert_eq!(read(b".\r\nQ", 1).3, b"Q");
    }

    #[test]
    fn no_other_sequence_is_an_end_and_each_is_unfit() {
        for fake in [
            "\n.\n",
            "\n.\r\n",
            "\r.\n",
            "\r.\r",
            "\n.\r",
            "\r\n.\n",
            "\r\n.\r",
            "\r.\r\n",
            "\r\r\n.\r\r\n",
            "\r\n.\r\r\n",
            "\r\n\0.\r\n",
            "\0",
            "\r",
            "\n",
        ] {
            let input = format!("a: b\r\n\r\nx{fake}MAIL FROM:<a@b>\r\n\r\n.\r\n");
            for piece in 1..=input.len() {
                let (out, ended, stray, behind) = read(input.as_bytes(), piece);
                assert!(ended && stray.is_some() && behind.is_empty(), "{fake:?}");
                assert!(out.ends_with(b"MAIL FROM:<a@b>\r\n\r\n"), "{fake:?}");
            }
        }
    }
}
