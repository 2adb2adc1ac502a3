//! Where a secret is, and reading it from there when it is needed.
//!
//! A secret is read anew at each login, so that a changed password needs no restart. No error,
//! `Debug` or log line shows one: errors name the source only.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::error::{Error, Result};

/// The largest file, and the longest output of a command, in bytes.
const LARGEST: u64 = 64 << 10;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a secret is; never the secret itself, but for a private configuration file.
#[derive(Clone)]
pub enum Source {
    /// An environment variable.
    Env(String),
    /// The first line of a file that nobody else can read.
    File(PathBuf),
    /// The first line that a program prints; the program and its arguments, no shell.
    Command(Vec<String>),
    /// It stands in the configuration file, which nobody else can read.
    Inline(SecretString),
}

impl Source {
    /// Reads the secret. A command starts in `folder`; a file's path is complete already.
    ///
    /// # Errors
    /// Permanent where a person has to set something right (not set, not there, readable by
    /// others, empty); temporary where a command failed or took more than 10 seconds.
    pub async fn read(&self, folder: &Path) -> Result<SecretString> {
        match self {
            Self::Env(name) => env(name),
            Self::File(path) => {
                let path = path.clone();
                let what = format!("read the password from file {}", path.display());
                let read = tokio::task::spawn_blocking(move || file(&path));
                read.await.map_err(|why| Error::temporary(what, why))?
            }
            Self::Command(argv) => command(argv, folder).await,
            Self::Inline(secret) => Ok(secret.clone()),
        }
    }
}

/// To see whether an account's login has changed.
impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env(one), Self::Env(other)) => one == other,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Command(one), Self::Command(other)) => one == other,
            (Self::Inline(one), Self::Inline(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            _ => false,
        }
    }
}

/// Arguments of a command may be secret themselves, so its program alone is shown.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Command(argv) => write!(f, "Command({:?} …)", argv.first()),
            Self::Inline(_) => f.write_str("Inline(…)"),
        }
    }
}

fn env(name: &str) -> Result<SecretString> {
    let what = || format!("read the password from environment variable {name}");
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
        Ok(_) => Err(Error::permanent(what(), "it is empty")),
        Err(std::env::VarError::NotPresent) => Err(Error::permanent(what(), "it is not set")),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::permanent(what(), "it is not UTF-8")),
    }
    .map_err(|error| error.next(format!("set {name} where mailmill is started")))
}

fn file(path: &Path) -> Result<SecretString> {
    let what = || format!("read the password from file {}", path.display());
    let wrong = |why: &str, next: String| Err(Error::permanent(what(), why).next(next));
    // Without NONBLOCK, opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::LOOP) => {
            return wrong("it is a symbolic link", "name the file itself".into());
        }
        Err(rustix::io::Errno::NOENT) => {
            return wrong("there is no such file", "write the password to it".into());
        }
        Err(rustix::io::Errno::ACCESS) => {
            return wrong("permission denied", "let the user that runs mailmill read it".into());
        }
        Err(why) => return Err(Error::temporary(what(), why)),
    };
    let status = rustix::fs::fstat(&opened).map_err(|why| Error::temporary(what(), why))?;
    if !rustix::fs::FileType::from_raw_mode(status.st_mode).is_file() {
        return wrong("it is no regular file", "name a file".into());
    }
    if status.st_uid != 0 && status.st_uid != rustix::process::geteuid().as_raw() {
        return wrong(
            "it belongs to another user",
            "chown it to the user that runs mailmill".into(),
        );
    }
    if status.st_mode & 0o077 != 0 {
        return wrong("others can read or change it", format!("chmod 600 {}", path.display()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::fs::File::from(opened).take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|why| Error::temporary(what(), why))?;
    first_line(&bytes).map_err(|why| Error::permanent(what(), why))
}

async fn command(argv: &[String], folder: &Path) -> Result<SecretString> {
    let (program, args) = argv.split_first().map_or(("", argv), |(p, args)| (p.as_str(), args));
    let what = || format!("read the password from command {program}");
    let child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A tool may print what it knows; a person sees it by running the command by hand.
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|why| match why.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
            Error::permanent(what(), why).next("check that the program is there and may be run")
        }
        _ => Error::temporary(what(), why),
    })?;
    let output = tokio::time::timeout(PATIENCE, output(&mut child)).await;
    let failed = |why: &str| Error::temporary(what(), why).next("run it by hand to see why");
    let (line, status) = match output {
        Ok(output) => output.map_err(|why| Error::temporary(what(), why))?,
        Err(_) => {
            kill_group(&child);
            return Err(failed("it took more than 10 seconds"));
        }
    };
    if !status.success() {
        return Err(failed(&format!("it ended with {status}")));
    }
    first_line(&line).map_err(|why| Error::permanent(what(), why))
}

async fn output(
    child: &mut Child,
) -> std::io::Result<(Zeroizing<Vec<u8>>, std::process::ExitStatus)> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST + 1).read_to_end(&mut bytes).await?;
    }
    Ok((bytes, child.wait().await?))
}

/// Ends the command with all that it has started.
fn kill_group(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
        // It may just have ended by itself.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// The first line without its end.
fn first_line(bytes: &[u8]) -> Result<SecretString, &'static str> {
    if bytes.len() as u64 > LARGEST {
        return Err("it gives more than 64 KiB");
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let secret = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let secret = SecretString::from(secret);
    if secret.expose_secret().is_empty() { Err("its first line is empty") } else { Ok(secret) }
}
