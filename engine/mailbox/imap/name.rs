//! Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), the server's hierarchy
//! delimiter, quoting.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::mail::MailboxName;

/// Our name as the server writes it.
///
/// # Errors
/// Why the server cannot have a mailbox of this name.
pub(super) fn encode(name: &MailboxName, delimiter: Option<char>) -> Result<String, String> {
    let levels: Vec<&str> = name.as_str().split('/').collect();
    let Some(delimiter) = delimiter else {
        if levels.len() > 1 {
            return Err(format!("the server has no mailboxes below others, so no \"{name}\""));
        }
        return Ok(encode_level(levels[0]));
    };
    let levels: Vec<String> = levels.into_iter().map(encode_level).collect();
    // As written on the wire: a server may separate levels by `&`, which stands for other
    // characters there.
    if levels.iter().any(|level| level.contains(delimiter)) {
        return Err(format!(
            "\"{}\" separates levels on this server and cannot stand within one: \"{name}\"",
            delimiter.escape_debug()
        ));
    }
    Ok(levels.join(&delimiter.to_string()))
}

/// The server's name as we write it; `None` where ours would not lead back to the same mailbox.
pub(super) fn decode(raw: &str, delimiter: Option<char>) -> Option<MailboxName> {
    let levels: Option<Vec<String>> = match delimiter {
        Some(delimiter) => raw.split(delimiter).map(decode_level).collect(),
        None => decode_level(raw).map(|level| vec![level]),
    };
    let name = MailboxName::new(&levels?.join("/")).ok()?;
    let back = encode(&name, delimiter).ok()?;
    let same = back == raw || (back.starts_with("INBOX") && is_inbox_in_another_case(&back, raw));
    same.then_some(name)
}

fn is_inbox_in_another_case(inbox: &str, raw: &str) -> bool {
    raw.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("INBOX")) && raw[5..] == inbox[5..]
}

/// A string for a command: quoted where quoting can hold it, else `None` (it goes as a literal).
pub(super) fn quoted(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > 1000 || !text.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return None;
    }
    let mut quoted = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    Some(quoted)
}

static BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

fn encode_level(level: &str) -> String {
    let mut encoded = String::new();
    let mut shifted: Vec<u8> = Vec::new();
    for c in level.chars() {
        if (' '..='~').contains(&c) {
            end_shift(&mut encoded, &mut shifted);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
        } else {
            let mut units = [0_u16; 2];
            shifted.extend(c.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    end_shift(&mut encoded, &mut shifted);
    encoded
}

fn end_shift(encoded: &mut String, shifted: &mut Vec<u8>) {
    if !shifted.is_empty() {
        encoded.push('&');
        BASE64.encode_string(&shifted, encoded);
        encoded.push('-');
        shifted.clear();
    }
}

fn decode_level(raw: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut parts = raw.split('&');
    decoded.push_str(parts.next()?);
    for part in parts {
        let (shifted, plain) = part.split_once('-')?;
        if shifted.is_empty() {
            decoded.push('&');
        } else {
            let bytes = BASE64.decode(shifted).ok()?;
            if bytes.len() % 2 != 0 {
                return None;
            }
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            for c in char::decode_utf16(units) {
                decoded.push(c.ok()?);
            }
        }
        decoded.push_str(plain);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    #[test]
    fn names_go_there_and_back() {
        for (ours, wire) in [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A & B/C", "A &- B/C"),
            ("日本語", "&ZeVnLIqe-"),
            ("INBOX/Größe 😀", "INBOX/Gr&APYA3w-e &2D3eAA-"),
            ("say \"x\\y\"", "say \"x\\y\""),
        ] {
            assert_eq!(encode(&name(ours), Some('/')).unwrap(), wire);
            assert_eq!(decode(wire, Some('/')), Some(name(ours)));
        }
        assert_eq!(encode(&name("a/ü"), Some('.')).unwrap(), "a.&APw-");
        assert_eq!(decode("inbox.x", Some('.')), Some(name("INBOX/x")));
    }

    #[test]
    fn a_name_that_would_name_another_mailbox_is_refused() {
        encode(&name("a.b"), Some('.')).unwrap_err();
        encode(&name("a/b"), None).unwrap_err();
        encode(&name("\u{fc}"), Some('&')).unwrap_err();
        encode(&name("\u{fc}"), Some('-')).unwrap_err();
        for (wire, delimiter) in [
            ("a/b", Some('.')),
            ("a/b", None),
            ("&AGE-", Some('/')),
            ("&", Some('/')),
            ("&ZeV", Some('/')),
            ("&2D0-", Some('/')),
            ("100%", Some('/')),
            ("a//b", Some('/')),
            ("Entwürfe", Some('/')),
        ] {
            assert_eq!(decode(wire, delimiter), None, "{wire}");
        }
    }
}
