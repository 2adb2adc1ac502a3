//! TLS to a server, with the system's certificate authorities and, where configured, a private one.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, Result};

/// Shakes hands over a fresh connection; checks the certificate and its host name.
///
/// # Errors
/// Permanent: no authority to trust, `ca` unreadable, a certificate that is not accepted.
/// Temporary: anything else.
pub async fn handshake(
    what: &str,
    host: &str,
    ca: Option<&Path>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|why| Error::permanent(what, format!("\"{host}\" is no host name: {why}")))?;
    let connector = TlsConnector::from(Arc::new(client_config(what, ca)?));
    connector.connect(name, tcp).await.map_err(|error| refused(what, host, &error))
}

fn client_config(what: &str, ca: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| Error::permanent(what, why))?;
    Ok(config.with_root_certificates(authorities(what, ca)?).with_no_client_auth())
}

fn authorities(what: &str, ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = system().clone();
    if let Some(file) = ca {
        add_file(what, &mut roots, file)?;
    }
    if roots.is_empty() {
        let why = "this machine has no certificate authorities to trust";
        return Err(Error::permanent(what, why)
            .next("install the system's CA certificates (ca-certificates), or set `ca`"));
    }
    Ok(roots)
}

/// Read once: they are many, and every connection needs them.
fn system() -> &'static RootCertStore {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // One that cannot be read or parsed is one authority less, not a failure.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

fn add_file(what: &str, roots: &mut RootCertStore, file: &Path) -> Result<()> {
    let wrong = |why: String| {
        let why = format!("{}: {why}", file.display());
        Error::permanent(what, why).next("set `ca` to a PEM file with the authority's certificate")
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|why| wrong(why.to_string()))?;
    let mut count = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|why| wrong(why.to_string()))?;
        roots.add(certificate).map_err(|why| wrong(why.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(wrong("no certificate in it".into()));
    }
    Ok(())
}

fn refused(what: &str, host: &str, error: &std::io::Error) -> Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(why @ rustls::Error::InvalidCertificate(_)) => {
            Error::permanent(what, format!("the server's certificate is not accepted: {why}")).next(
                format!("check that {host} is the right host; set `ca` for a private authority"),
            )
        }
        _ => Error::temporary(what, format!("TLS handshake: {error}")),
    }
}
