//! A real SMTP server (aiosmtpd) in a folder of its own: STARTTLS, SMTPS, AUTH, DSN parameters, and what
//! it took as files. Dropping it ends it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::mill::root;

/// Who may log in.
pub const USER: &str = "alice@example.test";
pub const PASSWORD: &str = "alice-pw";

pub struct Sink {
    folder: TempDir,
    /// STARTTLS.
    pub port: u16,
    /// TLS from the first byte.
    pub tls_port: u16,
}

/// A message that the server took.
#[derive(Debug, Clone)]
pub struct Stored {
    pub envelope: Value,
    pub text: String,
}

impl Sink {
    /// Starts it with these options of `smtp-sink`.
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("sink").tempdir_in("/tmp").unwrap();
        let mut call = Command::new(script());
        let output = call.arg("start").arg(folder.path()).args(options).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the sink does not start: {said} {why}");
        let port = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
            line.unwrap().parse().unwrap()
        };
        let (port, tls_port) = (port("SMTP_PORT"), port("SMTPS_PORT"));
        Self { folder, port, tls_port }
    }

    /// The authority of its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What it was asked and how it answered, a line of JSON for each command.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.jsonl")).unwrap_or_default()
    }

    /// Lets a user in with a token.
    pub fn allow_token(&self, user: &str, token: &str) {
        std::fs::write(self.folder.path().join("tokens"), format!("{user} {token}\n")).unwrap();
    }

    /// How many messages it took so far.
    pub fn count(&self) -> usize {
        self.paths().len()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("out")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "eml")).collect()
    }

    /// What it took so far, in order.
    pub fn stored(&self) -> Vec<Stored> {
        let mut paths = self.paths();
        paths.sort();
        let stored = |path: &PathBuf| Stored {
            envelope: serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap())
                .unwrap(),
            text: String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned(),
        };
        paths.iter().map(stored).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(self.folder.path()).output();
    }
}

fn script() -> PathBuf {
    let script: &Path = Path::new("tests/support/smtp-sink");
    root().join(script)
}
