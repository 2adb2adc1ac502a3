//! `[submission]`: where mail is taken in from mail programs, and within which limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::page::{At, quoted};
use super::reader::{Reader, Shape};
use super::{Certificate, Listen, Security, Submission};

static SUBMISSION: Shape = Shape {
    keys: &[
        ("listen", "\"127.0.0.1:2587\" or [\"127.0.0.1:2587\", \"smtps://[::1]:2465\"]"),
        ("cert", "\"tls/fullchain.pem\""),
        ("key", "\"tls/key.pem\""),
        ("host", "\"mail.example.com\""),
        ("max_size", "\"150MiB\""),
        ("max_recipients", "1000"),
        ("max_connections", "200"),
        ("max_per_client", "50"),
        ("idle", "\"5m\""),
        ("longest", "\"1h\""),
    ],
    later: &[],
    example: "{ listen = \"127.0.0.1:2587\" }",
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// `[submission]`; `None` where there is none, or nothing to listen on.
pub(super) fn read(root: &Reader<'_>) -> Option<Submission> {
    let at = root.key_at("submission");
    let value = root.value("submission")?;
    let reader = Reader::table(root.page, "[submission]", (at, value), &SUBMISSION)?;
    reader.require("listen");
    let certificate = certificate(&reader);
    let listen = listen(&reader, certificate.is_some());
    let submission = Submission {
        listen,
        certificate,
        host: reader.text("host").and_then(|host| host_name(&reader, host)),
        max_size: reader.size("max_size", 1 << 10..=2 << 30, 150 << 20),
        max_recipients: count(&reader, "max_recipients", 1..=10_000, 1_000),
        max_connections: count(&reader, "max_connections", 1..=10_000, 200),
        max_per_client: count(&reader, "max_per_client", 1..=10_000, 50),
        idle: reader.duration("idle", SECOND..=60 * MINUTE, 5 * MINUTE),
        longest: reader.duration("longest", SECOND..=24 * 60 * MINUTE, 60 * MINUTE),
    };
    (!submission.listen.is_empty()).then_some(submission)
}

fn count(
    reader: &Reader<'_>,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
    default: u64,
) -> usize {
    usize::try_from(reader.number(key, range, default)).unwrap_or(usize::MAX)
}

/// `cert` and `key` stand together.
fn certificate(reader: &Reader<'_>) -> Option<Certificate> {
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if reader.has(one) {
            reader.require(other);
        }
    }
    let (cert, key) = (file(reader, "cert"), file(reader, "key"));
    Some(Certificate { cert: cert?, key: key? })
}

fn file(reader: &Reader<'_>, key: &str) -> Option<PathBuf> {
    let text = reader.text(key)?;
    let path = reader.page.path(text.value);
    if !path.is_file() {
        let what = format!("there is no file {}", quoted(&path.to_string_lossy()));
        reader.page.fault(text.at, what, "name a PEM file; paths start at this file's folder");
    }
    Some(path)
}

fn listen(reader: &Reader<'_>, certified: bool) -> Vec<Listen> {
    let texts: Vec<At<&str>> = match reader.value("listen") {
        Some(value) if value.value.as_array().is_some() => reader.texts("listen"),
        _ => reader.text("listen").into_iter().collect(),
    };
    let mut all: Vec<Listen> = Vec::new();
    for text in texts {
        let Some(listen) = address(text.value) else {
            let what = format!("{} is no address to listen on", quoted(text.value));
            let help = "write IP:PORT, or smtps://IP:PORT for TLS from the first byte";
            reader.page.fault(text.at, what, help);
            continue;
        };
        let help = "add cert = \"…\" and key = \"…\", or listen on 127.0.0.1";
        if !certified && listen.security == Security::Implicit {
            reader.page.fault(text.at, "smtps:// needs a certificate", help);
        } else if !certified && !listen.address.ip().is_loopback() {
            let what = "a password would come in the clear over the network";
            reader.page.fault(text.at, what, help);
        }
        let fixed = listen.address.port() != 0;
        if fixed && all.iter().any(|other| other.address == listen.address) {
            let what = format!("{} stands twice", quoted(text.value));
            reader.page.fault(text.at, what, "remove one");
        }
        all.push(listen);
    }
    all
}

/// `IP:PORT`, `smtp://IP:PORT` (the same) or `smtps://IP:PORT`. Port 0 lets the system choose.
fn address(text: &str) -> Option<Listen> {
    let (security, rest) = match text.split_once("://") {
        Some(("smtps", rest)) => (Security::Implicit, rest),
        Some(("smtp", rest)) => (Security::StartTls, rest),
        Some(_) => return None,
        None => (Security::StartTls, text),
    };
    let address: SocketAddr = rest.parse().ok()?;
    Some(Listen { address, security })
}

/// A name for the greeting and `Received:` (RFC 5321 section 4.1.2).
fn host_name(reader: &Reader<'_>, host: At<&str>) -> Option<String> {
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let sound = host.value.len() <= 253 && host.value.bytes().all(fit);
    if !sound {
        let what = format!("{} is no host name", quoted(host.value));
        reader.page.fault(host.at, what, reader.write("host"));
    }
    sound.then(|| host.value.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::address;
    use crate::config::Security;

    #[test]
    fn an_address_is_an_ip_and_a_port() {
        assert_eq!(address("127.0.0.1:2587").unwrap().security, Security::StartTls);
        assert_eq!(address("smtps://[::1]:465").unwrap().security, Security::Implicit);
        for wrong in ["", "2587", "localhost:25", "http://127.0.0.1:1", "127.0.0.1", "smtps://:25"]
        {
            assert!(address(wrong).is_none(), "{wrong}");
        }
    }
}
