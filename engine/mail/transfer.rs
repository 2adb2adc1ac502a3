//! Transfer encodings, read leniently: what is no part of the encoding is passed over, nothing
//! fails (RFC 2045 section 6).

use std::borrow::Cow;

/// How a part is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Transfer {
    /// 7bit, 8bit, binary and whatever is unknown.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Transfer {
    pub(super) fn named(name: &str) -> Self {
        match name.split([';', ' ']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Identity => Cow::Borrowed(bytes),
            Self::Base64 => Cow::Owned(base64(bytes)),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(bytes)),
        }
    }
}

/// Base64. Padding ends a group, so that segments written one after the other are all read.
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3 + 3);
    let mut group = 0u32;
    let mut digits = 0;
    for &byte in bytes {
        match base64_digit(byte) {
            Some(digit) => {
                group = group << 6 | digit;
                digits += 1;
                if digits == 4 {
                    out.extend_from_slice(&group.to_be_bytes()[1..]);
                    (group, digits) = (0, 0);
                }
            }
            None if byte == b'=' => {
                end_group(group, digits, &mut out);
                (group, digits) = (0, 0);
            }
            None => {}
        }
    }
    end_group(group, digits, &mut out);
    out
}

fn base64_digit(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(digit))
}

/// The one or two bytes of a group that is not full.
fn end_group(group: u32, digits: u32, out: &mut Vec<u8>) {
    match digits {
        2 => out.extend_from_slice(&(group >> 4).to_be_bytes()[3..]),
        3 => out.extend_from_slice(&(group >> 2).to_be_bytes()[2..]),
        _ => {}
    }
}

/// Quoted-printable (RFC 2045 section 6.7).
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let ended = line.last() == Some(&b'\n');
        match text.strip_suffix(b"=") {
            Some(text) if ended => escapes(text, b'=', &mut out),
            _ => {
                // Blanks at a line's end were added on the way.
                escapes(text, b'=', &mut out);
                if ended {
                    let crlf = line.ends_with(b"\r\n");
                    out.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
                }
            }
        }
    }
    out
}

/// The last offset in quoted-printable before which `offset` bytes are decoded; `None` where that is
/// within what one escape or one line end gives.
pub(super) fn quoted_offset(raw: &[u8], offset: usize) -> Option<usize> {
    let (mut at, mut decoded) = (0, 0);
    let mut found = (offset == 0).then_some(0);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let is_ended = line.last() == Some(&b'\n');
        let text = line.trim_ascii_end();
        let (text, is_soft) = match text.strip_suffix(b"=") {
            Some(text) if is_ended => (text, true),
            _ => (text, false),
        };
        let mut rest = text;
        while !rest.is_empty() {
            if decoded == offset {
                found = Some(at + (text.len() - rest.len()));
            }
            let is_escape = matches!(rest, [b'=', high, low, ..]
                if hex_digit(*high).is_some() && hex_digit(*low).is_some());
            rest = &rest[if is_escape { 3 } else { 1 }..];
            decoded += 1;
        }
        let end = line.len() - if line.ends_with(b"\r\n") { 2 } else { usize::from(is_ended) };
        if decoded == offset && !is_soft {
            // Behind what was added at the line's end.
            found = Some(at + end.max(text.len()));
        }
        if is_ended && !is_soft {
            decoded += if line.ends_with(b"\r\n") { 2 } else { 1 };
        }
        at += line.len();
        if decoded == offset {
            found = Some(at);
        }
        if decoded > offset {
            break;
        }
    }
    found
}

/// Text in quoted-printable, in lines of at most 76 characters that end as they end in the text; long
/// ones are broken with `eol`.
pub(super) fn to_quoted_printable(text: &[u8], eol: &str) -> Vec<u8> {
    const COLUMNS: usize = 75;
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let end = &line[content.len()..];
        let mut column = 0;
        for (index, &byte) in content.iter().enumerate() {
            let is_last = index + 1 == content.len();
            let is_plain = match byte {
                b' ' | b'\t' => !is_last,
                _ => byte.is_ascii_graphic() && byte != b'=',
            };
            let width = if is_plain { 1 } else { 3 };
            if column + width > COLUMNS {
                out.push(b'=');
                out.extend_from_slice(eol.as_bytes());
                column = 0;
            }
            match is_plain {
                true => out.push(byte),
                false => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
            }
            column += width;
        }
        out.extend_from_slice(end);
    }
    out
}

/// The Q encoding of encoded words (RFC 2047 section 4.2).
pub(super) fn q_encoding(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let blanks: Vec<u8> =
        bytes.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
    escapes(&blanks, b'=', &mut out);
    out
}

/// The percent encoding of RFC 2231 section 4.
pub(super) fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    escapes(bytes, b'%', &mut out);
    out
}

/// A mark and two hex digits; an escape that is none stays as it is.
fn escapes(bytes: &[u8], mark: u8, out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        match after {
            [high, low, tail @ ..] if byte == mark => {
                if let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) {
                    out.push(high << 4 | low);
                    rest = tail;
                    continue;
                }
                out.push(byte);
            }
            _ => out.push(byte),
        }
        rest = after;
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::{base64, quoted_printable};

    #[test]
    fn base64_passes_over_what_is_none() {
        assert_eq!(base64(b"SGFs\r\nbG8="), b"Hallo");
        assert_eq!(base64(b"SGFsbG8"), b"Hallo");
        assert_eq!(base64(b"SGE=bGxv"), b"Hallo");
        assert_eq!(base64(b"S-G_F s!"), b"Hal");
        assert_eq!(base64(b"A"), b"");
    }

    #[test]
    fn quoted_printable_keeps_line_ends_and_broken_escapes() {
        assert_eq!(quoted_printable(b"a=20b=\r\nc  \r\nd=ZZ="), b"a bc\r\nd=ZZ=");
        assert_eq!(quoted_printable(b"=c3=BC\n=\nx"), "ü\nx".as_bytes());
    }
}
