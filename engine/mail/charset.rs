//! Characters of mail: a byte string and the label it came with, made text. Never fails.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// Bytes that carry no label: UTF-8 where they are UTF-8, else windows-1252, which gives every
/// byte a meaning.
pub(super) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => charset_decoder(b"windows-1252")
            .map_or_else(|| String::from_utf8_lossy(bytes), |decode| Cow::Owned(decode(bytes))),
    }
}

/// Bytes labelled with a charset. A label that is unknown, or `us-ascii` over bytes that are not,
/// is no label.
pub(super) fn decode<'a>(label: &str, bytes: &'a [u8]) -> Cow<'a, str> {
    let label = label.trim().to_ascii_lowercase();
    match label.as_str() {
        "utf-8" | "utf8" => String::from_utf8_lossy(bytes),
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" => guess(bytes),
        _ => match charset_decoder(label.as_bytes()) {
            Some(decode) => Cow::Owned(decode(bytes)),
            None => guess(bytes),
        },
    }
}

/// A text in a charset, by its label; `None` where that charset has no such characters, or is none
/// that is written here.
pub(super) fn encode(label: &str, text: &str) -> Option<Vec<u8>> {
    let label = label.trim().to_ascii_lowercase();
    if text.is_ascii() {
        return is_ascii_compatible(&label).then(|| text.as_bytes().to_vec());
    }
    match label.as_str() {
        "utf-8" | "utf8" => Some(text.as_bytes().to_vec()),
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" => None,
        "iso-8859-1" | "latin1" | "iso8859-1" => text.chars().map(latin1).collect(),
        _ => {
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes())?;
            if !encoding.is_ascii_compatible() || encoding.output_encoding() != encoding {
                return None;
            }
            let (bytes, _, unknown) = encoding.encode(text);
            // Of ISO's charsets browsers make Microsoft's, which have more characters.
            let is_iso = label.starts_with("iso-8859");
            let is_more = is_iso && bytes.iter().any(|byte| matches!(byte, 0x80..=0x9f));
            (!unknown && !is_more).then(|| bytes.into_owned())
        }
    }
}

fn latin1(c: char) -> Option<u8> {
    u8::try_from(u32::from(c)).ok().filter(|byte| !matches!(byte, 0x80..=0x9f))
}

/// Whether bytes below 128 are ASCII in this charset, at least at the start of a line.
pub(super) fn is_ascii_compatible(label: &str) -> bool {
    const OTHERS: [&str; 9] =
        ["utf-16", "utf16", "utf-32", "utf32", "ucs", "utf-7", "utf7", "unicode", "hz"];
    let label = label.trim().to_ascii_lowercase();
    !OTHERS.iter().any(|other| label.starts_with(other))
        && !label.starts_with("ibm037")
        && !label.starts_with("cp037")
}

/// A decoded header text with each control character (an encoded word may hold any) made a blank,
/// so that what a rule reads it can write again.
pub(super) fn clean(text: &str) -> String {
    let text = text.trim();
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(blank).collect::<String>().trim().to_owned()
}

/// `text` cut to at most `most` bytes, never within a character.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
