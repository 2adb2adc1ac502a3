//! Who is measured: each writes its configuration for the job and says what to run.

mod fdm;
mod imapfilter;
mod mailmill;
mod sieve;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::bare::Part;
use crate::server::{PASSWORD, Server, USER};
use crate::verify::Flags;

pub(crate) use mailmill::Rules;

/// A client with what it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Bare(Part),
    Mailmill(Rules),
    /// The server searches; no message is read.
    ImapfilterSearch,
    /// Each message is fetched and looked at in Lua.
    ImapfilterFetch,
    /// Reads the server's storage; no IMAP.
    SieveFilter,
    /// Sorts into local Maildirs.
    Fdm,
}

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Plain,
    Tls,
    /// Plain, 20 ms round trip.
    Far,
}

/// What a client finds when it is set up.
pub(crate) struct Place<'a> {
    /// Its own empty folder, which the server's user can write.
    pub(crate) folder: &'a Path,
    /// Where what must be durable is kept: on a disk.
    pub(crate) data: &'a Path,
    /// The project's folder.
    pub(crate) root: &'a Path,
    pub(crate) server: &'a Server,
    pub(crate) port: u16,
    pub(crate) link: Link,
    /// The program of mailmill.
    pub(crate) mailmill: &'a Path,
}

/// What to run, and where the result lies.
pub(crate) struct Job {
    /// Run before, not measured.
    pub(crate) first: Option<Vec<String>>,
    pub(crate) command: Vec<String>,
    pub(crate) result: PathBuf,
    pub(crate) flags: Flags,
}

impl Client {
    /// Writes the configuration.
    pub(crate) fn set_up(self, place: &Place<'_>) -> Result<Job> {
        match self {
            Self::Bare(part) => bare(place, part),
            Self::Mailmill(rules) => mailmill::set_up(place, rules),
            Self::ImapfilterSearch => imapfilter::search(place),
            Self::ImapfilterFetch => imapfilter::fetch(place),
            Self::SieveFilter => sieve::set_up(place),
            Self::Fdm => fdm::set_up(place),
        }
    }
}

fn bare(place: &Place<'_>, part: Part) -> Result<Job> {
    let own = std::env::current_exe().map_err(|why| format!("find this program: {why}"))?;
    let part = match part {
        Part::Whole => "whole",
        Part::Headers => "headers",
        Part::Fields => "fields",
    };
    let mut command = words([&own.to_string_lossy(), "bare", "--part", part]);
    command.extend(words([
        "--port",
        &place.port.to_string(),
        "--user",
        USER,
        "--password",
        PASSWORD,
    ]));
    if place.link == Link::Tls {
        command.extend(words(["--ca", &place.server.ca().to_string_lossy()]));
    }
    Ok(place.job(command))
}

impl Place<'_> {
    /// A job that sorts on the server.
    fn job(&self, command: Vec<String>) -> Job {
        Job { first: None, command, result: self.server.maildir(), flags: Flags::Compared }
    }

    /// Writes a file of the client's that only its owner may read, as some of them demand.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(file.parent().unwrap_or(self.folder))?;
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
        };
        write().map_err(|why| format!("write {}: {why}", file.display()))?;
        Ok(file)
    }
}

fn words<'a>(from: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    from.into_iter().map(ToOwned::to_owned).collect()
}
