//! A server's answer: a code and lines of text (RFC 5321 section 4.2).
//!
//! It is read here and not by lettre's `Response`, which refuses what servers send: a code without text
//! (the RFC has clients take it) and a second digit above 5 (`571 5.7.1 ...`), so that a refusal for good
//! would look like a broken connection and its text be lost.

use crate::mail::inert;

/// Lines of one answer.
const MOST_LINES: usize = 100;
/// Characters of an answer that are shown and kept.
const SHOWN: usize = 300;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its three digits.
    pub code: u16,
    /// The text of its lines.
    pub lines: Vec<String>,
}

/// An answer as its lines come in.
#[derive(Debug, Default)]
pub(super) struct Replies {
    code: Option<u16>,
    lines: Vec<String>,
}

impl Replies {
    /// Takes a line without its end; gives the answer when it is whole.
    ///
    /// # Errors
    /// What is wrong with the line: it is no answer.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Option<Reply>, String> {
        let text = String::from_utf8_lossy(line);
        let wrong = || format!("the server's answer is no SMTP: {}", shown(&text));
        let digits = line.get(..3).ok_or_else(wrong)?;
        if !matches!(digits, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
            return Err(wrong());
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let last = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(wrong()),
        };
        if self.code.is_some_and(|first| first != code) {
            return Err(wrong());
        }
        if self.lines.len() == MOST_LINES {
            return Err(format!("the server's answer has more than {MOST_LINES} lines"));
        }
        self.code = Some(code);
        self.lines.push(String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned());
        if !last {
            return Ok(None);
        }
        self.code = None;
        Ok(Some(Reply { code, lines: std::mem::take(&mut self.lines) }))
    }
}

impl Reply {
    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The enhanced status code (RFC 3463), where the answer begins with one of its own class.
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut parts = word.split('.');
        let class = parts.next()?.parse().ok()?;
        let (subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let sound = parts.next().is_none() && u16::from(class) == self.code / 100;
        (sound && subject < 1000 && detail < 1000).then_some((class, subject, detail))
    }

    /// All of it in one line, short and harmless to print.
    pub fn shown(&self) -> String {
        shown(&format!("{} {}", self.code, self.lines.join(" ")))
    }
}

/// What a server said, short and harmless to print.
pub(super) fn shown(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", inert(&text[..cut])),
        None => inert(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lettre::transport::smtp::response::Response;

    use super::{MOST_LINES, Replies};

    #[test]
    fn an_answer_is_whole_with_its_last_line() {
        let mut replies = Replies::default();
        assert_eq!(replies.take(b"250-one").unwrap(), None);
        let whole = replies.take(b"250 two").unwrap().unwrap();
        assert_eq!((whole.code, whole.lines), (250, vec!["one".into(), "two".into()]));
        assert_eq!(replies.take(b"354").unwrap().unwrap().code, 354);
        let refused = replies.take(b"550 5.7.60 no\x1b[2J").unwrap().unwrap();
        assert_eq!(refused.enhanced(), Some((5, 7, 60)));
        assert!(!refused.shown().contains('\x1b'));
        let other = Replies::default().take(b"450 5.1.1 no").unwrap().unwrap();
        assert_eq!(other.enhanced(), None);
    }

    /// Once lettre takes them, it can read the answers.
    #[test]
    fn answers_that_lettre_refuses_are_taken() {
        for (line, code, text) in [("354", 354, ""), ("571 5.7.1 no", 571, "5.7.1 no")] {
            format!("{line}\r\n").parse::<Response>().unwrap_err();
            let taken = Replies::default().take(line.as_bytes()).unwrap().unwrap();
            assert_eq!((taken.code, taken.lines), (code, vec![text.to_owned()]));
        }
    }

    /// What lettre takes is taken, and is the same.
    #[test]
    fn answers_are_read_as_lettre_reads_them() {
        for lines in [&["250 "][..], &["220-a", "220-", "220 b  c "], &["550 5.1.1 -x"]] {
            let theirs: Response = format!("{}\r\n", lines.join("\r\n")).parse().unwrap();
            let mut replies = Replies::default();
            let taken = lines.iter().find_map(|line| replies.take(line.as_bytes()).unwrap());
            let taken = taken.unwrap();
            assert_eq!(taken.code, u16::from(theirs.code()));
            assert!(theirs.message().eq(taken.lines.iter().map(String::as_str)));
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for wrong in [&b""[..], b"25", b"abc", b"199 x", b"600 x", b"250x", b"* OK hello"] {
            Replies::default().take(wrong).unwrap_err();
        }
        let mut replies = Replies::default();
        replies.take(b"250-one").unwrap();
        replies.take(b"550 two").unwrap_err();
        let mut replies = Replies::default();
        for _ in 0..MOST_LINES {
            replies.take(b"250-x").unwrap();
        }
        replies.take(b"250 x").unwrap_err();
    }
}
