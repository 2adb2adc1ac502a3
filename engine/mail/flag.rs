//! Message flags: system flags and keywords (RFC 9051 section 2.3.2).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A flag that may be stored: a system flag such as `\Seen`, or a keyword such as `$MDNSent`.
/// Compares without regard to case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Flag(Arc<str>);

const SYSTEM: [&str; 5] = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"];

impl Flag {
    /// Checks a flag that came from a rule or a server. `\Recent` cannot be stored and is refused.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub fn new(flag: &str) -> Result<Self, String> {
        if flag.starts_with('\\') {
            return SYSTEM
                .iter()
                .find(|known| known.eq_ignore_ascii_case(flag))
                .map(|known| Self((*known).into()))
                .ok_or_else(|| {
                    format!(
                        "no such system flag: \"{}\"; there are {SYSTEM:?}",
                        flag.escape_debug()
                    )
                });
        }
        let keyword = !flag.is_empty() && flag.len() <= 64 && flag.bytes().all(is_keyword_byte);
        if !keyword {
            return Err(format!(
                "a keyword has 1 to 64 ASCII characters without blanks, quotes, brackets, \\ % *: \"{}\"",
                flag.escape_debug()
            ));
        }
        Ok(Self(flag.into()))
    }

    /// `\Seen`.
    pub fn seen() -> Self {
        Self("\\Seen".into())
    }

    /// `\Deleted`.
    pub fn deleted() -> Self {
        Self("\\Deleted".into())
    }

    /// `$MDNSent` (RFC 3503): nobody is to send a read receipt for this message any more.
    pub fn mdn_sent() -> Self {
        Self("$MDNSent".into())
    }

    /// As it is written in IMAP.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 9051 section 9, `flag-keyword = atom`.
fn is_keyword_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

impl PartialEq for Flag {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Flag {}

impl PartialOrd for Flag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flag {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_ascii_lowercase().cmp(&other.0.to_ascii_lowercase())
    }
}

impl std::hash::Hash for Flag {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl TryFrom<String> for Flag {
    type Error = String;
    fn try_from(flag: String) -> Result<Self, String> {
        Self::new(&flag)
    }
}

impl From<Flag> for String {
    fn from(flag: Flag) -> Self {
        flag.0.to_string()
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
