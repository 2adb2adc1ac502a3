//! TLS of the listener. The certificate is read anew when its files have changed, so that a renewed
//! one needs neither a restart nor a reload.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Certificate;
use crate::error::{Error, Result};

/// The certificate that was read last.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    last: Mutex<Option<Read>>,
}

#[derive(Debug)]
struct Read {
    files: Certificate,
    marks: [Mark; 2],
    config: Arc<ServerConfig>,
}

/// By what a changed file is told: device, inode, size, time of change.
type Mark = (u64, u64, u64, i64, i64);

impl Certificates {
    /// What to shake hands with. Where changed files are wrong, what was read before stays in use and
    /// the error is given beside it.
    ///
    /// # Errors
    /// Permanent: the files cannot be read, or do not belong together. Blocks.
    pub(super) fn config(&self, files: &Certificate) -> Result<(Arc<ServerConfig>, Option<Error>)> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = [mark(&files.cert), mark(&files.key)];
        if let Some(read) = last.as_ref().filter(|read| read.files == *files)
            && read.marks == marks
        {
            return Ok((read.config.clone(), None));
        }
        match load(files) {
            Ok(config) => {
                let config = Arc::new(config);
                *last = Some(Read { files: files.clone(), marks, config: config.clone() });
                Ok((config, None))
            }
            Err(error) => match last.as_mut().filter(|read| read.files == *files) {
                Some(read) => {
                    // It is told once, and tried again when they change again.
                    read.marks = marks;
                    Ok((read.config.clone(), Some(error)))
                }
                None => Err(error),
            },
        }
    }
}

fn mark(file: &Path) -> Mark {
    fs::metadata(file).map_or((0, 0, 0, 0, 0), |status| {
        (status.dev(), status.ino(), status.size(), status.mtime(), status.mtime_nsec())
    })
}

fn load(files: &Certificate) -> Result<ServerConfig> {
    let what = || format!("use the certificate {}", files.cert.display());
    let wrong = |why: String| {
        Error::permanent(what(), why).next("set `cert` and `key` of [submission] to its PEM files")
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|why| wrong(why.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("there is no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|why| wrong(format!("its key {}: {why}", files.key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|why| wrong(why.to_string()))
}
