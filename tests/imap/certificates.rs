//! Certificates that must not be trusted, over both ways to TLS, with and without `ca`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mailmill::config::{Imap, Security};
use mailmill::error::{Error, Retry};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::connect;
use crate::support::fake_imap::{FakeImap, PASSWORD, Peer};

/// What is wrong with a certificate; everything else about it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    Expired,
    NotYetValid,
    WrongHost,
    SelfSigned,
    UnknownAuthority,
    Sha1,
}

/// A folder with two authorities and what they sign.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for name in ["ca", "other"] {
            let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
            desk.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
                 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -keyout {key} -out {pem}"
            ));
        }
        std::fs::write(
            desk.path("ca.conf"),
            "[ca]\ndefault_ca=x\n[x]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
             unique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n",
        )
        .unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_whitespace()).current_dir(self.0.path());
        let output = openssl.output().expect("openssl is missing: `tests/run` installs it");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {told}");
    }

    /// A key and a certificate with this flaw, as PEM files.
    fn issue(&self, flaw: Flaw, new_key: &str) -> (PathBuf, PathBuf) {
        let host = if flaw == Flaw::WrongHost { "example.test" } else { "localhost" };
        // A name of its own: some machine trusts an authority that is called localhost.
        let subject = "/CN=leaf.mailmill.test";
        self.openssl(&format!("req -newkey {new_key} -nodes -subj {subject} -keyout key -out csr"));
        std::fs::write(self.path("ext"), format!("subjectAltName=DNS:{host}\n")).unwrap();
        for (name, content) in [("index", ""), ("serial", "01")] {
            std::fs::write(self.path(name), content).unwrap();
        }
        let (from, until) = match flaw {
            Flaw::Expired => ("20200101000000Z", "20210101000000Z"),
            Flaw::NotYetValid => ("20900101000000Z", "20910101000000Z"),
            _ => ("20200101000000Z", "20800101000000Z"),
        };
        let digest = if flaw == Flaw::Sha1 { "sha1" } else { "sha256" };
        let authority = if flaw == Flaw::UnknownAuthority { "other" } else { "ca" };
        let by = match flaw {
            Flaw::SelfSigned => "-selfsign -keyfile key".to_owned(),
            _ => format!("-keyfile {authority}.key -cert {authority}.pem"),
        };
        self.openssl(&format!(
            "ca -batch -notext -config ca.conf -in csr -out cert -startdate {from} -enddate {until} \
             -md {digest} -extfile ext {by}"
        ));
        (self.path("cert"), self.path("key"))
    }
}

const EC: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";

fn server(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn settings(fake: &FakeImap, security: Security, ca: Option<PathBuf>) -> Imap {
    Imap { host: "localhost".into(), ca, ..fake.settings(security) }
}

/// Says what comes before TLS.
async fn before_tls(peer: &mut Peer, security: Security) {
    if security == Security::StartTls {
        peer.send("* OK ready\r\n").await;
        let tag = peer.expect("STARTTLS").await;
        peer.send(format!("{tag} OK begin\r\n")).await;
    }
}

/// A login on a server with this certificate. The password must not reach one that is refused.
async fn log_in(
    tls: Arc<ServerConfig>,
    security: Security,
    ca: Option<PathBuf>,
) -> Result<(), Error> {
    let fake = FakeImap::start(move |mut peer: Peer| async move {
        before_tls(&mut peer, security).await;
        let Ok(mut peer) = peer.into_tls(tls).await else { return };
        let greets = security == Security::Implicit;
        peer.log_in_after(if greets { "* OK ready\r\n" } else { "" }, "").await;
    })
    .await;
    let logged_in = connect(&settings(&fake, security, ca), PASSWORD).await;
    if logged_in.is_ok() {
        fake.finish().await;
    }
    logged_in.map(drop)
}

#[tokio::test]
async fn a_certificate_is_accepted_only_where_everything_about_it_is_right() {
    let desk = Desk::new();
    for (flaw, told) in [
        (Flaw::None, None),
        (Flaw::Expired, Some("expired")),
        (Flaw::NotYetValid, Some("not valid before")),
        (Flaw::WrongHost, Some("not valid for name")),
        (Flaw::SelfSigned, Some("UnknownIssuer")),
        (Flaw::UnknownAuthority, Some("UnknownIssuer")),
        (Flaw::Sha1, Some("signature")),
    ] {
        let (certificate, key) = desk.issue(flaw, EC);
        for security in [Security::Implicit, Security::StartTls] {
            let tls = server(&certificate, &key);
            let trusted = log_in(tls.clone(), security, Some(desk.path("ca.pem"))).await;
            match told {
                None => trusted.unwrap(),
                Some(told) => is_refused(&trusted.unwrap_err(), told, flaw),
            }
            let unknown = log_in(tls, security, None).await.unwrap_err();
            is_refused(&unknown, "", flaw);
        }
    }
}

#[track_caller]
fn is_refused(error: &Error, told: &str, flaw: Flaw) {
    let text = error.to_string();
    assert_eq!(error.retry(), Retry::Never, "{flaw:?}: {text}");
    assert!(text.contains("certificate is not accepted"), "{flaw:?}: {text}");
    assert!(text.contains(told), "{flaw:?}: {text}");
    assert!(text.contains("set `ca`"), "{flaw:?}: {text}");
}

/// `openssl s_server`, for what rustls does not serve.
struct OldServer {
    child: Child,
    port: u16,
}

impl OldServer {
    fn start(certificate: &Path, key: &Path, more: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-quiet", "-cipher", "ALL@SECLEVEL=0", "-accept"]);
        openssl.arg(format!("127.0.0.1:{port}")).arg("-cert").arg(certificate).arg("-key").arg(key);
        openssl.args(more).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = openssl.spawn().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self { child, port }
    }
}

impl Drop for OldServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_weak_key_and_an_old_protocol_are_refused() {
    let desk = Desk::new();
    for (new_key, more) in [
        ("rsa:1024", &["-tls1_3"][..]),
        ("rsa:1024", &["-tls1_2"]),
        ("rsa:2048", &["-tls1_1"]),
        ("rsa:2048", &["-tls1"]),
    ] {
        let (certificate, key) = desk.issue(Flaw::None, new_key);
        for security in [Security::Implicit, Security::StartTls] {
            let old = OldServer::start(&certificate, &key, more);
            let port = old.port;
            let fake = FakeImap::start(move |mut peer: Peer| async move {
                before_tls(&mut peer, security).await;
                peer.pipe_to(port).await;
            })
            .await;
            let settings = settings(&fake, security, Some(desk.path("ca.pem")));
            let error = connect(&settings, PASSWORD).await.unwrap_err().to_string();
            let told = if new_key == "rsa:1024" { "certificate is not accepted" } else { "TLS" };
            assert!(error.contains(told), "{new_key} {more:?}: {error}");
        }
    }
}
