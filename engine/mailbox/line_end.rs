//! Line ends as IMAP wants them.

use std::borrow::Cow;

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

#[cfg(test)]
mod tests {
    use super::*;

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
        }
        assert!(matches!(crlf(b"a\r\nb"), Cow::Borrowed(_)));
    }
}
