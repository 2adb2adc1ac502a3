//! Replies (RFC 5321 section 4.2) with enhanced status codes (RFC 3463).

use std::fmt;

/// The longest text of a reply, in bytes: a reply line has at most 512.
const LONGEST: usize = 450;

/// One reply to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `250`, `550`, …
    pub code: u16,
    /// `5.7.60`; empty where a reply has none.
    pub enhanced: &'static str,
    /// For people.
    pub text: String,
}

impl Reply {
    /// A reply.
    pub fn new(code: u16, enhanced: &'static str, text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into() }
    }

    /// Whether it says that what was asked for was done.
    pub fn is_right(&self) -> bool {
        self.code < 400
    }

    /// As it goes over the wire. Whatever is no printable ASCII is written in ASCII: a client need
    /// not understand more.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut text = ascii(&self.text);
        text.truncate(LONGEST);
        let blank = if self.enhanced.is_empty() { "" } else { " " };
        let line = format!("{} {}{blank}{text}\r\n", self.code, self.enhanced);
        out.extend_from_slice(line.as_bytes());
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced, self.text)
    }
}

/// A reply of several lines, without enhanced codes (EHLO).
pub(super) fn write_lines(code: u16, lines: &[String], out: &mut Vec<u8>) {
    for (at, line) in lines.iter().enumerate() {
        let between = if at + 1 == lines.len() { ' ' } else { '-' };
        out.extend_from_slice(format!("{code}{between}{}\r\n", ascii(line)).as_bytes());
    }
}

fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'Ä' => out.push_str("Ae"),
            'Ö' => out.push_str("Oe"),
            'Ü' => out.push_str("Ue"),
            'ß' => out.push_str("ss"),
            '–' | '—' => out.push('-'),
            '„' | '“' | '”' => out.push('"'),
            '…' => out.push_str("..."),
            c if c.is_whitespace() => out.push(' '),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Reply;

    #[test]
    fn a_reply_is_one_line_of_ascii_whatever_a_rule_says() {
        let mut out = Vec::new();
        Reply::new(550, "5.7.1", "Für „X“\r\n250 ok\n€").write(&mut out);
        assert_eq!(out, b"550 5.7.1 Fuer \"X\"  250 ok ?\r\n");
        out.clear();
        Reply::new(550, "5.7.1", "x".repeat(5000)).write(&mut out);
        assert!(out.len() <= 512);
    }
}
