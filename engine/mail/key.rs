//! What names a message for good: account, mailbox, UIDVALIDITY, UID (RFC 9051 section 2.3.1.1).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A message's unique identifier within its mailbox and UIDVALIDITY.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Uid(pub u32);

/// The mailbox's UIDVALIDITY: when it changes, every UID known before is void.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct UidValidity(pub u32);

/// The name of a mailbox (IMAP's folder), levels separated by `/` whatever the server uses.
///
/// It holds 1 to 512 bytes of UTF-8 without control characters, no empty level, no level `.` or
/// `..`, and no wildcard (`*`, `%`). `INBOX` is written in capitals whatever the case it came in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailboxName(Arc<str>);

impl MailboxName {
    /// Checks a name that came from a rule, a configuration or a server.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, String> {
        let shown = name.escape_debug();
        if name.is_empty() || name.len() > 512 {
            return Err(format!("a mailbox name has 1 to 512 bytes, not {}", name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(format!("a mailbox name has no control characters: \"{shown}\""));
        }
        if name.contains(['*', '%']) {
            return Err(format!("a mailbox name has no wildcard: \"{shown}\""));
        }
        if name.split('/').any(|level| matches!(level, "" | "." | "..")) {
            return Err(format!("a mailbox name has no empty, \".\" or \"..\" level: \"{shown}\""));
        }
        let level = name.split('/').next().unwrap_or_default();
        if level.eq_ignore_ascii_case("INBOX") {
            return Ok(Self(format!("INBOX{}", &name[5..]).into()));
        }
        Ok(Self(name.into()))
    }

    /// `INBOX`.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// The name, levels separated by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this mailbox lies below `parent` at any depth.
    pub fn is_below(&self, parent: &MailboxName) -> bool {
        self.0.strip_prefix(&*parent.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl TryFrom<String> for MailboxName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name)
    }
}

impl From<MailboxName> for String {
    fn from(name: MailboxName) -> Self {
        name.0.to_string()
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key of a message in every table and log line. Sequence numbers are never part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey {
    /// The account's name in the configuration.
    pub account: Arc<str>,
    /// The mailbox it was found in.
    pub mailbox: MailboxName,
    /// That mailbox's UIDVALIDITY at the time.
    pub uidvalidity: UidValidity,
    /// Its UID there.
    pub uid: Uid,
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{};{}/{}", self.account, self.mailbox, self.uidvalidity, self.uid)
    }
}
