//! How an account's servers are reached: the URL of `imap` or `smtp`, `tls`, `ca`.

use std::net::IpAddr;
use std::path::PathBuf;

use super::Security;
use super::page::quoted;
use super::reader::Reader;

/// A server as its URL names it.
pub(super) struct Server {
    pub(super) security: Security,
    pub(super) host: String,
    pub(super) port: u16,
}

/// The schemes of a kind of server.
pub(super) struct Schemes {
    /// The account's key.
    pub(super) key: &'static str,
    /// The scheme with TLS from the first byte, and its port.
    pub(super) implicit: (&'static str, u16),
    /// The scheme with STARTTLS, and its port.
    pub(super) start: (&'static str, u16),
    /// What the URL must start with.
    pub(super) wrong: &'static str,
}

pub(super) static IMAP: Schemes = Schemes {
    key: "imap",
    implicit: ("imaps", 993),
    start: ("imap", 143),
    wrong: "does not start with imaps:// (TLS) or imap:// (STARTTLS)",
};

pub(super) static SMTP: Schemes = Schemes {
    key: "smtp",
    implicit: ("smtps", 465),
    start: ("smtp", 587),
    wrong: "does not start with smtp:// (STARTTLS) or smtps:// (TLS)",
};

/// The server that the account's key of these schemes names.
pub(super) fn server(account: &Reader<'_>, schemes: &Schemes) -> Option<Server> {
    let url = account.text(schemes.key)?;
    match parse(url.value, schemes) {
        Ok(server) => Some(server),
        Err(why) => {
            // The value is not repeated: people put passwords into URLs.
            let key = schemes.key;
            account.page.fault(url.at, format!("`{key}` {why}"), account.write(key));
            None
        }
    }
}

/// `SCHEME://HOST[:PORT]`; an IPv6 address stands in brackets.
fn parse(url: &str, schemes: &Schemes) -> Result<Server, &'static str> {
    let Schemes { implicit, start, wrong, .. } = schemes;
    let (security, rest, default) = match url.split_once("://") {
        Some((scheme, rest)) if scheme == implicit.0 => (Security::Implicit, rest, implicit.1),
        Some((scheme, rest)) if scheme == start.0 => (Security::StartTls, rest, start.1),
        _ => return Err(wrong),
    };
    if rest.contains('@') {
        return Err("names a user; the user and the password belong to `login`");
    }
    if rest.contains(['/', '?', '#']) {
        return Err("has more than a host and a port");
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) if is_ip6(host) => (host, None),
        Some((host, port)) if is_ip6(host) && port.starts_with(':') => (host, Some(&port[1..])),
        Some(_) => return Err("has no IPv6 address in its brackets"),
        None => match rest.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("has an IPv6 address without brackets, or two ports");
            }
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(fit) {
        return Err("has no host name (letters, digits, - and . ; others in their xn-- form)");
    }
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().unwrap_or(0),
        Some(_) => 0,
        None => default,
    };
    if port == 0 {
        return Err("has no port from 1 to 65535 after the colon");
    }
    Ok(Server { security, host: host.to_ascii_lowercase(), port })
}

fn is_ip6(host: &str) -> bool {
    host.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Whether a connection to the host cannot leave the machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// How the connection to it is protected.
pub(super) fn security(account: &Reader<'_>, server: &Server, schemes: &Schemes) -> Security {
    let Some(tls) = account.text("tls") else { return server.security };
    let fault = |what: String, help: &str| account.page.fault(tls.at, what, help);
    if tls.value != "none" {
        let (implicit, start) = (schemes.implicit.0, schemes.start.0);
        let help = &format!(
            "remove it: {implicit}:// means TLS, {start}:// means STARTTLS; only \"none\" can be said"
        );
        fault(format!("`tls` cannot be {}", quoted(tls.value)), help);
        return server.security;
    }
    if server.security == Security::Implicit {
        let (implicit, start) = (schemes.implicit.0, schemes.start.0);
        let what = format!("`tls = \"none\"` contradicts {implicit}://");
        fault(what, &format!("remove it, or write {start}://"));
    } else if !is_loopback(&server.host) {
        let start = schemes.start.0;
        let help = &format!(
            "remove it: {start}:// then requires STARTTLS; only a loopback host may do without"
        );
        fault(
            format!("`tls = \"none\"` would send the password in the clear to {}", server.host),
            help,
        );
    }
    Security::None
}

/// A private CA, where there is TLS: some connection has this `security`.
pub(super) fn ca(account: &Reader<'_>, security: Option<Security>) -> Option<PathBuf> {
    if security == Some(Security::None) {
        account.refuse(&["ca"], "there is no TLS");
        return None;
    }
    let text = account.text("ca")?;
    let path = account.page.path(text.value);
    if !path.is_file() {
        let what = format!("there is no file {}", quoted(&path.to_string_lossy()));
        let help = "name a PEM file with the CA's certificate; paths start at this file's folder";
        account.page.fault(text.at, what, help);
    }
    Some(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{IMAP, SMTP, is_loopback, parse};
    use crate::config::Security;

    #[test]
    fn a_server_has_a_scheme_a_host_and_a_port() {
        let read = |url| parse(url, &IMAP).map(|s| (s.security, s.host, s.port)).unwrap();
        assert_eq!(read("imaps://Mail.example.com").1, "mail.example.com");
        assert_eq!(read("imaps://a.b").2, 993);
        assert_eq!(read("imap://a.b"), (Security::StartTls, "a.b".into(), 143));
        assert_eq!(read("imap://[::1]:1143"), (Security::StartTls, "::1".into(), 1143));
        for wrong in [
            "",
            "a.b",
            "http://a.b",
            "imaps://",
            "imaps://a.b/",
            "imaps://a.b:0",
            "imaps://a.b:x",
            "imaps://a.b:",
            "imaps://a.b:70000",
            "imaps://a.b:+1",
            "imaps://u:p@a.b",
            "imaps://::1",
            "imaps://[a.b]",
            "imaps://[::1]x",
            "imaps://a b",
            "imaps://ä.de",
            "IMAPS:a.b",
        ] {
            assert!(parse(wrong, &IMAP).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_relay_has_schemes_of_its_own() {
        let read = |url| parse(url, &SMTP).map(|s| (s.security, s.host, s.port));
        let expected = (Security::StartTls, "a.b".to_owned(), 587);
        assert_eq!(read("smtp://a.b").unwrap(), expected);
        assert_eq!(read("smtps://a.b").unwrap().2, 465);
        assert!(read("imap://a.b").is_err());
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "::2", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
