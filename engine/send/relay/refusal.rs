//! What an answer means: whether trying again may help, whether it is about the message or about the
//! account, and what a person can do (`facts`: the texts of Exchange Online and Gmail).

use super::reply::Reply;

/// Why a message, or a recipient of it, was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub kind: Kind,
    /// Whether trying again may help.
    pub fate: Fate,
    /// What the server said, or what went wrong; harmless to print.
    pub said: String,
    /// What a person can do about it.
    pub next: Option<String>,
}

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection: it was not made, or is of no more use.
    Connection,
    /// The account: nobody gets in with this login, or in this way. No message is given up for it.
    Account,
    /// The server takes less at once: it asks to be left alone.
    Throttled,
    /// The user may not send as this address: a person has to give the right, or change the address.
    SendAs,
    /// The message or a recipient.
    Message,
}

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may pass by itself.
    Transient,
    /// The same attempt fails again.
    Permanent,
}

impl Failure {
    /// The connection is gone.
    pub(super) fn lost(said: impl Into<String>) -> Self {
        Self {
            kind: Kind::Connection,
            fate: Fate::Transient,
            said: super::reply::shown(&said.into()),
            next: None,
        }
    }

    /// What this end decides by itself.
    pub(super) fn of_message(said: impl Into<String>) -> Self {
        Self { kind: Kind::Message, fate: Fate::Permanent, said: said.into(), next: None }
    }

    /// Something is wrong with the account.
    pub(super) fn of_account(said: impl Into<String>) -> Self {
        Self { kind: Kind::Account, fate: Fate::Permanent, said: said.into(), next: None }
    }

    /// What a refusal in the middle of a message means.
    pub(super) fn of(reply: &Reply) -> Self {
        let said = reply.shown();
        let kind = kind(reply, &said);
        let fate = match reply.is_permanent() && kind != Kind::Throttled {
            true => Fate::Permanent,
            false => Fate::Transient,
        };
        Self { kind, fate, next: advice(&said, kind), said }
    }

    /// What a refusal of the login means: whatever it is, no message is at fault.
    pub(super) fn at_login(reply: &Reply) -> Self {
        let failure = Self::of(reply);
        let kind = if reply.is_permanent() { Kind::Account } else { failure.kind };
        let next = advice(&failure.said, kind).or_else(|| Some(USUAL.to_owned()));
        Self { kind, next, ..failure }
    }

    /// Something went wrong on this side: the store, the disk.
    pub(in crate::send) fn of_here(error: &crate::error::Error) -> Self {
        Self::lost(error.to_string())
    }

    /// Adds what a person can do.
    #[must_use]
    pub(super) fn next(self, advice: &str) -> Self {
        Self { next: Some(advice.to_owned()), ..self }
    }

    /// Whether the message itself is refused for good.
    pub fn is_final(&self) -> bool {
        self.fate == Fate::Permanent && self.kind == Kind::Message
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said)?;
        match &self.next {
            Some(next) => write!(f, "; {next}"),
            None => Ok(()),
        }
    }
}

const USUAL: &str = "check user and password; many providers want an app password or a token \
                     (oauth2) instead";

fn kind(reply: &Reply, said: &str) -> Kind {
    let has = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    match (reply.code, reply.enhanced()) {
        // The server closes.
        (421, _) => Kind::Connection,
        // RFC 4954 section 6: authentication is needed, too weak, or without TLS.
        (530 | 534 | 535 | 538, _) => Kind::Account,
        (_, Some((5, 7, 57 | 139 | 30))) => Kind::Account,
        (_, Some((5, 7, 60) | (5, 2, 252))) => Kind::SendAs,
        _ if has(&["SendAsDenied", "permissions to send as"]) => Kind::SendAs,
        (_, Some((4, 7, 28) | (4, 3, 2))) => Kind::Throttled,
        (450..=454, _) if has(&["throttl", "rate limit", "too many", "Concurrent connections"]) => {
            Kind::Throttled
        }
        _ => Kind::Message,
    }
}

fn advice(said: &str, kind: Kind) -> Option<String> {
    let table: [(&str, &str); 11] = [
        (
            "SmtpClientAuthentication is disabled",
            "switch Authenticated SMTP on: `Set-CASMailbox -SmtpClientAuthenticationDisabled \
             $false`, for the tenant or the mailbox; OAuth needs it as well",
        ),
        (
            "basic authentication is disabled",
            "passwords are not taken: use a token, `oauth2 = { command = [...] }`",
        ),
        (
            "Basic authentication is not supported",
            "passwords are not taken any more: use a token, `oauth2 = { command = [...] }`",
        ),
        (
            "5.7.3 Authentication unsuccessful",
            "wrong password or token, a second factor without OAuth, or Authenticated SMTP switched \
             off for the mailbox",
        ),
        (
            "not authenticated",
            "set `login` or `smtp_login` for the account: the server wants a login first",
        ),
        ("SendAsDenied", SEND_AS),
        ("permissions to send as", SEND_AS),
        ("Application-specific password required", "make an app password, or use a token (oauth2)"),
        ("5.7.9", "make an app password, or use a token (oauth2)"),
        ("5.7.8", USUAL),
        ("WEBALERT", "open the address in a browser once and log in there"),
    ];
    let known = table.iter().find(|(text, _)| said.contains(text)).map(|(_, advice)| *advice);
    known.or((kind == Kind::Account).then_some(USUAL)).map(str::to_owned)
}

const SEND_AS: &str = "give the login the right to send as this address (SendAs), or send from \
                       another; then `mailmill queue release`";

#[cfg(test)]
mod tests {
    use super::{Failure, Fate, Kind};
    use crate::send::relay::Reply;

    #[test]
    fn an_answer_says_what_it_is_about_and_what_to_do() {
        let table = [
            (550, "5.1.1 no such user", Kind::Message, Fate::Permanent, ""),
            (450, "4.2.0 greylisted", Kind::Message, Fate::Transient, ""),
            (452, "4.3.1 no room", Kind::Message, Fate::Transient, ""),
            (421, "4.3.2 closing", Kind::Connection, Fate::Transient, ""),
            (530, "5.7.57 Client not authenticated", Kind::Account, Fate::Permanent, "login"),
            (535, "5.7.3 Authentication unsuccessful", Kind::Account, Fate::Permanent, "token"),
            (
                535,
                "5.7.139 SmtpClientAuthentication is disabled for the Tenant.",
                Kind::Account,
                Fate::Permanent,
                "Set-CASMailbox",
            ),
            (554, "5.2.252 SendAsDenied; x", Kind::SendAs, Fate::Permanent, "SendAs"),
            (432, "4.3.2 Concurrent connections", Kind::Throttled, Fate::Transient, ""),
            (554, "garbage", Kind::Message, Fate::Permanent, ""),
        ];
        for (code, text, kind, fate, advice) in table {
            let failure = Failure::of(&Reply { code, lines: vec![text.into()] });
            assert_eq!((failure.kind, failure.fate), (kind, fate), "{code} {text}");
            assert!(failure.next.unwrap_or_default().contains(advice), "{code} {text}");
        }
        let at_login = Failure::at_login(&Reply { code: 554, lines: vec!["no".into()] });
        assert_eq!(at_login.kind, Kind::Account);
        assert!(at_login.to_string().contains("app password"));
    }
}
