//! What a refusal means: its kind, whether trying again may help, and what a person can do.
//!
//! Codes are those of RFC 5530; the texts are what Exchange Online and Gmail say without a code.

use std::time::Duration;

use crate::error::{Error, Retry};
use crate::mail;

use super::response::{Said, Status};

/// Why a server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// User or password, or logging in this way, is refused.
    Login,
    /// Too many requests; see [`Refusal::back_off`].
    Throttled,
    /// The mailbox is full.
    OverQuota,
    /// The target mailbox is missing and may be made.
    TryCreate,
    /// The mailbox or message does not exist.
    Gone,
    /// It exists already.
    Exists,
    /// The user has no right to it.
    NoPermission,
    /// The server cannot do it now.
    Unavailable,
    /// Anything else.
    Other,
}

/// A NO, BAD or BYE of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means.
    pub kind: RefusalKind,
    /// How long the server asks us to wait, where it says so.
    pub back_off: Option<Duration>,
    /// Status, code and text as the server wrote them, shortened, control characters escaped.
    pub said: String,
}

/// Text kept of what a server says.
const SHOWN: usize = 300;

impl Refusal {
    pub(super) fn new(said: &Said, at_login: AtLogin) -> Self {
        let back_off = back_off(&said.text);
        let kind = match back_off {
            Some(_) => RefusalKind::Throttled,
            None => kind(said, at_login),
        };
        Self { kind, back_off, said: shown(said) }
    }

    /// `what` was tried.
    pub(super) fn error(&self, what: &str) -> Error {
        let error = match self.retry() {
            Retry::Later => Error::temporary(what, &self.said),
            Retry::Never => Error::permanent(what, &self.said),
        };
        match self.advice() {
            Some(advice) => error.next(advice),
            None => error,
        }
    }

    fn retry(&self) -> Retry {
        use RefusalKind as Kind;
        match self.kind {
            Kind::Login | Kind::TryCreate | Kind::Gone | Kind::Exists | Kind::NoPermission => {
                Retry::Never
            }
            Kind::Throttled | Kind::OverQuota | Kind::Unavailable | Kind::Other => Retry::Later,
        }
    }

    fn advice(&self) -> Option<String> {
        use RefusalKind as Kind;
        let advice = match self.kind {
            Kind::Login => {
                "check user and password; many providers want an app password or refuse passwords \
                 for IMAP altogether"
            }
            Kind::Throttled => {
                let seconds = self.back_off.map_or(60, |wait| wait.as_secs().max(1));
                return Some(format!("try again after {seconds} s"));
            }
            Kind::OverQuota => "make room in the mailbox",
            Kind::TryCreate | Kind::Gone => "create the mailbox, or correct its name",
            Kind::NoPermission => "give the user the right to this mailbox",
            Kind::Unavailable if self.said.contains("not connected") => {
                "the login is right but opens no mailbox, now or at all: check that the user may \
                 open it and that IMAP is switched on for it"
            }
            Kind::Exists | Kind::Unavailable | Kind::Other => return None,
        };
        Some(advice.to_owned())
    }
}

/// Whether a refusal answers a login: there, NO without a code means the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtLogin {
    Yes,
    No,
}

fn kind(said: &Said, at_login: AtLogin) -> RefusalKind {
    use RefusalKind as Kind;
    match said.code_name() {
        "AUTHENTICATIONFAILED"
        | "AUTHORIZATIONFAILED"
        | "EXPIRED"
        | "PRIVACYREQUIRED"
        | "WEBALERT" => Kind::Login,
        "THROTTLED" => Kind::Throttled,
        "OVERQUOTA" => Kind::OverQuota,
        "TRYCREATE" => Kind::TryCreate,
        "NONEXISTENT" => Kind::Gone,
        "ALREADYEXISTS" => Kind::Exists,
        "NOPERM" | "CANNOT" => Kind::NoPermission,
        "UNAVAILABLE" | "INUSE" | "LIMIT" | "SERVERBUG" => Kind::Unavailable,
        _ => kind_by_text(said, at_login),
    }
}

fn kind_by_text(said: &Said, at_login: AtLogin) -> RefusalKind {
    let text = said.text.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if says(&["throttl", "too many"]) {
        return RefusalKind::Throttled;
    }
    if says(&["doesn't exist", "does not exist", "no such mailbox", "unknown mailbox"]) {
        return RefusalKind::Gone;
    }
    if said.status == Status::Bye
        || says(&["unavailable", "try again", "temporar", "not connected", "internal error"])
    {
        return RefusalKind::Unavailable;
    }
    if at_login == AtLogin::Yes && said.status == Status::No {
        return RefusalKind::Login;
    }
    RefusalKind::Other
}

/// `Request is throttled. Suggested Backoff Time: 1234 milliseconds` (Exchange Online). At most an
/// hour is believed.
fn back_off(text: &str) -> Option<Duration> {
    const MARK: &str = "suggested backoff time:";
    let text = text.to_ascii_lowercase();
    let rest = text[text.find(MARK)? + MARK.len()..].trim_start();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let millis: u64 = digits.parse().ok()?;
    Some(Duration::from_millis(millis).min(Duration::from_secs(3600)))
}

fn shown(said: &Said) -> String {
    let code = said.code_name();
    let code = if code.is_empty() { String::new() } else { format!(" [{code}]") };
    inert(&format!("{}{code} {}", said.status.as_str(), said.text))
}

/// What a server says, made harmless for terminals and logs, and short.
pub(super) fn inert(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", mail::inert(&text[..cut])),
        None => mail::inert(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::imap::response::Code;

    fn refusal(status: Status, code: Option<&str>, text: &str, at: AtLogin) -> Refusal {
        let code = code.map(|name| Code::Named(name.into()));
        Refusal::new(&Said { status, code, text: text.into() }, at)
    }

    #[test]
    fn kinds_follow_code_then_text() {
        use RefusalKind as Kind;
        for (status, code, text, at, kind, retry) in [
            (Status::No, Some("OVERQUOTA"), "full", AtLogin::No, Kind::OverQuota, Retry::Later),
            (Status::No, Some("TRYCREATE"), "no", AtLogin::No, Kind::TryCreate, Retry::Never),
            (Status::No, None, "Mailbox doesn't exist: x", AtLogin::No, Kind::Gone, Retry::Never),
            (Status::No, None, "LOGIN failed.", AtLogin::Yes, Kind::Login, Retry::Never),
            (
                Status::No,
                None,
                "Server Unavailable. 15",
                AtLogin::Yes,
                Kind::Unavailable,
                Retry::Later,
            ),
            (
                Status::Bad,
                None,
                "User is authenticated but not connected.",
                AtLogin::No,
                Kind::Unavailable,
                Retry::Later,
            ),
            (Status::Bye, None, "shutting down", AtLogin::Yes, Kind::Unavailable, Retry::Later),
            (Status::No, Some("SOMETHING"), "new", AtLogin::No, Kind::Other, Retry::Later),
        ] {
            let refusal = refusal(status, code, text, at);
            assert_eq!((refusal.kind, refusal.retry()), (kind, retry), "{text}");
        }
    }

    #[test]
    fn back_off_is_read_and_bounded() {
        let text = "Request is throttled. Suggested Backoff Time: 1234 milliseconds";
        let told = refusal(Status::Bad, None, text, AtLogin::No);
        assert_eq!(told.back_off, Some(Duration::from_millis(1234)));
        assert_eq!(told.kind, RefusalKind::Throttled);
        let text = "Suggested Backoff Time: 99999999999999 milliseconds";
        let told = refusal(Status::Bad, None, text, AtLogin::No);
        assert_eq!(told.back_off, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_a_server_says_is_shown_inert() {
        let told = refusal(
            Status::No,
            None,
            &format!("a\u{1b}]52;\u{202e}{}", "x".repeat(999)),
            AtLogin::No,
        );
        assert!(!told.said.contains(['\u{1b}', '\u{202e}']) && told.said.len() < 400);
    }
}
