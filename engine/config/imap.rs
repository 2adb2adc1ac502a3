//! How an account's server is reached: `imap`, `tls`, `ca`, `login`.

use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use super::page::{At, Privacy, quoted};
use super::reader::{Reader, Shape, Value, kind};
use super::secret::Source;
use super::{Imap, Security, mask};

static LOGIN: Shape = Shape {
    keys: &[("user", "\"anna@example.com\""), ("password", EXAMPLE)],
    later: &[("oauth2", "log in with an app password: password = { env = \"ANNA_PASSWORD\" }")],
    example: "{ user = \"anna@example.com\", password = { env = \"ANNA_PASSWORD\" } }",
};

static PASSWORD: Shape = Shape {
    keys: &[
        ("env", "\"ANNA_PASSWORD\""),
        ("file", "\"secrets/anna\""),
        ("command", "[\"pass\", \"show\", \"mail/anna\"]"),
    ],
    later: &[],
    example: EXAMPLE,
};

const EXAMPLE: &str = "{ env = \"ANNA_PASSWORD\" }";

/// Reads what belongs to `imap`; all keys are read before one that is missing ends it.
pub(super) fn read(account: &Reader<'_>) -> Option<Imap> {
    let server = account.text("imap").and_then(|url| server(account, url));
    let security = server.as_ref().map(|server| security(account, server));
    let ca = ca(account, security);
    let login = login(account);
    let (Server { host, port, .. }, (user, password)) = (server?, login?);
    Some(Imap { host, port, security: security?, ca, user, password })
}

struct Server {
    security: Security,
    host: String,
    port: u16,
}

fn server(account: &Reader<'_>, url: At<&str>) -> Option<Server> {
    match parse(url.value) {
        Ok(server) => Some(server),
        Err(why) => {
            // The value is not repeated: people put passwords into URLs.
            account.page.fault(url.at, format!("`imap` {why}"), account.write("imap"));
            None
        }
    }
}

/// `imaps://HOST[:PORT]` or `imap://HOST[:PORT]`; an IPv6 address stands in brackets.
fn parse(url: &str) -> Result<Server, &'static str> {
    let (security, rest, default) = match url.split_once("://") {
        Some(("imaps", rest)) => (Security::Implicit, rest, 993),
        Some(("imap", rest)) => (Security::StartTls, rest, 143),
        _ => return Err("does not start with imaps:// (TLS) or imap:// (STARTTLS)"),
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

fn security(account: &Reader<'_>, server: &Server) -> Security {
    let Some(tls) = account.text("tls") else { return server.security };
    let fault = |what: String, help: &str| account.page.fault(tls.at, what, help);
    if tls.value != "none" {
        let help =
            "remove it: imaps:// means TLS, imap:// means STARTTLS; only \"none\" can be said";
        fault(format!("`tls` cannot be {}", quoted(tls.value)), help);
        return server.security;
    }
    if server.security == Security::Implicit {
        fault("`tls = \"none\"` contradicts imaps://".into(), "remove it, or write imap://");
    } else if !is_loopback(&server.host) {
        let help = "remove it: imap:// then requires STARTTLS; only a loopback host may do without";
        fault(
            format!("`tls = \"none\"` would send the password in the clear to {}", server.host),
            help,
        );
    }
    Security::None
}

fn ca(account: &Reader<'_>, security: Option<Security>) -> Option<PathBuf> {
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

fn login(account: &Reader<'_>) -> Option<(String, Source)> {
    account.require("login");
    let (at, value) = (account.key_at("login"), account.value("login")?);
    let reader = Reader::table(account.page, "`login`", (at, value), &LOGIN)?;
    let user = reader.required_text("user");
    if !reader.has("oauth2") {
        reader.require("password");
    }
    let password = reader.value("password").and_then(|value| password(&reader, value));
    Some((user?.value.into(), password?))
}

fn password(login: &Reader<'_>, value: Value<'_>) -> Option<Source> {
    if let Some(text) = value.value.as_str() {
        return inline(login, At { value: text, at: value.at });
    }
    if value.value.as_table().is_none() {
        let what = format!("`password` is {}, not a table", kind(value.value));
        login.page.fault(value.at, what, login.write("password"));
        return None;
    }
    let reader = Reader::table(login.page, "`password`", (value.at, value), &PASSWORD)?;
    match reader.one_of(&["env", "file", "command"])? {
        "env" => env(&reader),
        "file" => reader.path("file").map(Source::File),
        _ => command(&reader),
    }
}

fn inline(login: &Reader<'_>, text: At<&str>) -> Option<Source> {
    if login.page.privacy == Privacy::Shared {
        let what = "a password stands in a file that others can read";
        let help = format!("write password = {EXAMPLE}, or `chmod 600` this file");
        login.page.fault(text.at, what, help);
        return None;
    }
    login.text("password").map(|text| Source::Inline(SecretString::from(text.value)))
}

fn env(reader: &Reader<'_>) -> Option<Source> {
    let name = reader.text("env")?;
    if !mask::is_variable(name.value) {
        let what = "`env` is no name of an environment variable";
        reader.page.fault(name.at, what, "write the variable's name, not the password");
        return None;
    }
    Some(Source::Env(name.value.into()))
}

fn command(reader: &Reader<'_>) -> Option<Source> {
    let words: Vec<String> =
        reader.texts("command").into_iter().map(|word| word.value.into()).collect();
    let list = reader.value("command")?;
    if list.value.as_array()?.is_empty() {
        reader.page.fault(list.at, "`command` names no program", reader.write("command"));
        return None;
    }
    // A word that was refused must not shift the others.
    (list.value.as_array()?.len() == words.len()).then_some(Source::Command(words))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{is_loopback, parse};
    use crate::config::Security;

    #[test]
    fn a_server_has_a_scheme_a_host_and_a_port() {
        let read = |url| parse(url).map(|s| (s.security, s.host, s.port)).unwrap();
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
            assert!(parse(wrong).is_err(), "{wrong}");
        }
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
