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
