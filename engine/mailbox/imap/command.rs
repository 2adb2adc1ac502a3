//! Commands as bytes: words, strings, literals, and where to wait for the server's go-ahead.
//!
//! Whatever comes from a rule, a configuration or a mailbox list goes through
//! [`Command::string`], so that no value can end a command and begin another.

use secrecy::zeroize::Zeroizing;

use super::name;
use crate::mailbox::Content;

/// A command without its tag.
pub(super) struct Command<'a> {
    /// How it begins: its name.
    pub(super) verb: &'static str,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Text(Zeroizing<Vec<u8>>),
    Literal(&'a [u8]),
    /// A message as a literal, and its size in CRLF form.
    Content(&'a Content, u64),
    /// A line that the server asks for by a continuation (AUTHENTICATE).
    Response(Zeroizing<Vec<u8>>),
}

/// What is done on the wire, in order.
pub(super) enum Piece<'a> {
    Send(Zeroizing<Vec<u8>>),
    SendBorrowed(&'a [u8]),
    /// A message in CRLF form, which has this many bytes.
    SendContent(&'a Content, u64),
    AwaitGoAhead,
}

/// The non-synchronising literals a server takes (RFC 7888).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LiteralMode {
    /// Each literal waits for the go-ahead.
    Wait,
    /// LITERAL-: up to 4096 bytes go without.
    Small,
    /// LITERAL+: all go without.
    All,
}

impl<'a> Command<'a> {
    /// `verb` is our own text: never a value from outside.
    pub(super) fn new(verb: &'static str) -> Self {
        Self { verb, parts: vec![Part::Text(Zeroizing::new(verb.as_bytes().to_vec()))] }
    }

    /// Adds a blank and our own text.
    pub(super) fn words(mut self, words: &str) -> Self {
        self.push(b" ");
        self.push(words.as_bytes());
        self
    }

    /// Adds a blank and a string of any bytes but NUL: quoted, or as a literal.
    pub(super) fn string(mut self, bytes: &'a [u8]) -> Self {
        self.push(b" ");
        match name::quoted(bytes).map(Zeroizing::new) {
            Some(quoted) => self.push(&quoted),
            None => self.parts.push(Part::Literal(bytes)),
        }
        self
    }

    /// Adds a blank and a message as a literal; in CRLF form it has `size` bytes.
    pub(super) fn content(mut self, content: &'a Content, size: u64) -> Self {
        self.push(b" ");
        self.parts.push(Part::Content(content, size));
        self
    }

    /// Adds a line to send after the server's continuation.
    pub(super) fn response(mut self, line: Zeroizing<Vec<u8>>) -> Self {
        self.parts.push(Part::Response(line));
        self
    }

    /// Whether the command stops in the middle for the server's go-ahead.
    pub(super) fn waits(&self, mode: LiteralMode) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Literal(bytes) => mode.waits(bytes.len() as u64),
            Part::Content(_, size) => mode.waits(*size),
            Part::Response(_) => true,
        })
    }

    /// Bytes of the command without its tag, about.
    pub(super) fn size(&self) -> usize {
        let sizes = self.parts.iter().map(|part| match part {
            Part::Text(text) | Part::Response(text) => text.len(),
            Part::Literal(bytes) => bytes.len(),
            Part::Content(_, size) => usize::try_from(*size).unwrap_or(usize::MAX),
        });
        sizes.fold(0, usize::saturating_add)
    }

    /// The whole command as what is done on the wire.
    pub(super) fn pieces(self, tag: &str, mode: LiteralMode) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut line = Zeroizing::new(format!("{tag} ").into_bytes());
        for part in self.parts {
            match part {
                Part::Text(text) => line.extend_from_slice(&text),
                Part::Literal(bytes) => {
                    announce(bytes.len() as u64, mode, &mut line, &mut pieces);
                    pieces.push(Piece::SendBorrowed(bytes));
                }
                Part::Content(content, size) => {
                    announce(size, mode, &mut line, &mut pieces);
                    pieces.push(Piece::SendContent(content, size));
                }
                Part::Response(text) => {
                    line.extend_from_slice(b"\r\n");
                    pieces.push(Piece::Send(std::mem::take(&mut line)));
                    pieces.push(Piece::AwaitGoAhead);
                    line = text;
                }
            }
        }
        line.extend_from_slice(b"\r\n");
        pieces.push(Piece::Send(line));
        pieces
    }

    fn push(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.extend_from_slice(bytes),
            _ => self.parts.push(Part::Text(Zeroizing::new(bytes.to_vec()))),
        }
    }
}

/// Ends the line with the size of the literal that follows, after the go-ahead where it needs one.
fn announce(
    size: u64,
    mode: LiteralMode,
    line: &mut Zeroizing<Vec<u8>>,
    pieces: &mut Vec<Piece<'_>>,
) {
    let waits = mode.waits(size);
    let plus = if waits { "" } else { "+" };
    line.extend_from_slice(format!("{{{size}{plus}}}\r\n").as_bytes());
    pieces.push(Piece::Send(std::mem::take(line)));
    pieces.extend(waits.then_some(Piece::AwaitGoAhead));
}

impl LiteralMode {
    fn waits(self, size: u64) -> bool {
        match self {
            Self::Wait => true,
            Self::Small => size > 4096,
            Self::All => false,
        }
    }
}
