//! How an account's mail is relayed: `smtp` and what belongs to it.

use std::time::Duration;

use super::reader::Reader;
use super::server::{self, Server};
use super::{Security, Smtp, login};

/// The keys that mean nothing without `smtp`.
const OWN: [&str; 5] = ["smtp_login", "smtp_rate", "smtp_connections", "smtp_deadline", "sent"];

/// The shortest and the longest limit of one step of the dialogue (RFC 5321 section 4.5.3.2.6).
const STEP: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

/// Messages a minute that Microsoft takes from one mailbox.
const MICROSOFT: u64 = 30;

/// Reads what belongs to `smtp`; `None` where there is none, or something of it is wrong.
pub(super) fn read(account: &Reader<'_>) -> Option<Smtp> {
    if !account.has("smtp") {
        account.refuse(&OWN, "it belongs to `smtp = …`");
        return None;
    }
    let server = server::server(account, &server::SMTP);
    // What is wrong with `tls` beside `imap` was said there.
    let alone = !account.has("imap");
    let security = server.as_ref().map(|server| match alone {
        true => server::security(account, server, &server::SMTP),
        false => beside_imap(account, server),
    });
    let ca = match alone {
        true => server::ca(account, security),
        false => account.path("ca").filter(|_| security != Some(Security::None)),
    };
    let login = login::smtp(account);
    let needs_login = ["smtp_login", "login"].iter().any(|key| account.has(key));
    let Server { host, port, .. } = server?;
    let usual = if is_microsoft(&host) { MICROSOFT } else { 0 };
    let smtp = Smtp {
        rate: account.number("smtp_rate", 0..=100_000, usual),
        connections: account.number("smtp_connections", 1..=100, 2),
        sent: account.mailbox("sent"),
        step: account.duration("smtp_deadline", STEP.0..=STEP.1, STEP.1),
        host,
        port,
        security: security?,
        ca,
        login,
    };
    // A login that was meant and is wrong must not become none.
    (smtp.login.is_some() == needs_login).then_some(smtp)
}

/// `tls = "none"` holds for both servers, so both must be this machine.
fn beside_imap(account: &Reader<'_>, server: &Server) -> Security {
    let none = account.value("tls").and_then(|tls| tls.value.as_str()) == Some("none");
    if none && server::is_loopback(&server.host) && server.security == Security::StartTls {
        return Security::None;
    }
    server.security
}

fn is_microsoft(host: &str) -> bool {
    [".office365.com", ".outlook.com"].iter().any(|domain| host.ends_with(domain))
}
