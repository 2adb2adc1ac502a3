//! Checks of the values that rules give: each says what is wrong in one clause.

use std::time::Duration;

use super::run::Break;
use crate::mail::inert;

/// A short name without control characters.
pub(super) fn word(what: &str, value: &str) -> Result<String, Break> {
    if value.trim().is_empty() {
        return Err(Break::Refused(format!("{what} is not empty")));
    }
    text(what, value, 256)
}

/// A text without line ends and control characters, of at most `most` bytes.
pub(super) fn text(what: &str, value: &str, most: usize) -> Result<String, Break> {
    if value.len() > most {
        return Err(Break::Refused(format!("{what} has at most {most} bytes")));
    }
    if value.chars().any(char::is_control) {
        let start: String = value.chars().take(80).collect();
        let shown = start.escape_debug();
        return Err(Break::Refused(format!("{what} has no control characters: \"{shown}\"")));
    }
    Ok(value.to_owned())
}

/// RFC 5322 section 3.6.8: printable ASCII without colon.
pub(super) fn field_name(name: &str) -> Result<String, Break> {
    let good = (1..=76).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if !good {
        let shown = name.escape_debug();
        return Err(Break::Refused(format!("no header field name: \"{shown}\"")));
    }
    Ok(name.to_owned())
}

/// A header field as it may be written: no line ends, no line separators, at most 4 KiB.
pub(super) fn header_field(name: &str, value: &str) -> Result<(String, String), Break> {
    let value = text("a header value", value, 4096)?;
    if value.contains(['\u{2028}', '\u{2029}']) {
        return Err(Break::Refused("a header value has no line separators".into()));
    }
    Ok((field_name(name)?, value))
}

/// How long a message may live: seconds, from one minute to ten years.
pub(super) fn lifetime(duration: &str) -> Result<u64, Break> {
    const YEAR: u64 = 31_557_600;
    let seconds = seconds(duration)?;
    if (60..=10 * YEAR).contains(&seconds) {
        return Ok(seconds);
    }
    let shown = inert(duration);
    Err(Break::Refused(format!("\"{shown}\" is not within one minute and ten years")))
}

/// A duration as people write it: `90s`, `12h`, `2d`, `1h 30m`.
pub(super) fn seconds(duration: &str) -> Result<u64, Break> {
    let parsed = (duration.len() <= 64).then(|| humantime::parse_duration(duration.trim()).ok());
    parsed.flatten().as_ref().map(Duration::as_secs).ok_or_else(|| {
        let start: String = duration.chars().take(64).collect();
        let shown = start.escape_debug();
        Break::Refused(format!("no duration: \"{shown}\"; write it like \"2d\" or \"12h\""))
    })
}

/// An address in an envelope (RFC 5321 section 4.5.3.1): one `@` with text on both sides, no blanks,
/// brackets or control characters, at most 254 bytes.
pub(super) fn address(address: &str) -> Result<String, Break> {
    let parts = address.split('@').collect::<Vec<_>>();
    let clean =
        !address.contains(|c: char| c.is_control() || c.is_whitespace() || "<>,;\"".contains(c));
    if address.len() <= 254
        && clean
        && parts.len() == 2
        && parts.iter().all(|part| !part.is_empty())
    {
        return Ok(address.to_owned());
    }
    let start: String = address.chars().take(80).collect();
    let shown = start.escape_debug();
    Err(Break::Refused(format!("no address: \"{shown}\"; it looks like name@example.com")))
}
