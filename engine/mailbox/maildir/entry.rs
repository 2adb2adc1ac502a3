//! The file name of a message: its base, which names it for good, and its flags behind `:2,`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::mail::Flag;

/// The part of a file name before its flags: any bytes but `/`, NUL and `:`.
pub(super) type Base = Vec<u8>;

/// Flags and their letters, by letter as they have to stand in a name. `P` (passed) is kept but
/// has no system flag.
const LETTERS: [(u8, &str); 5] = [
    (b'D', "\\Draft"),
    (b'F', "\\Flagged"),
    (b'R', "\\Answered"),
    (b'S', "\\Seen"),
    (b'T', "\\Deleted"),
];

/// Which folder of a Maildir a message lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Delivered, not yet looked at.
    New,
    /// Looked at by a mail program; only here a name carries flags.
    Cur,
}

/// One message file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) part: Part,
    pub(super) name: OsString,
}

impl Part {
    pub(super) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::New => "new",
            Self::Cur => "cur",
        })
    }
}

impl Entry {
    /// A message in `new`, which has no flags.
    pub(super) fn new(base: &[u8]) -> Self {
        Self { part: Part::New, name: OsStr::from_bytes(base).to_owned() }
    }

    /// A message in `cur` with these letters, in any order.
    pub(super) fn cur(base: &[u8], letters: impl IntoIterator<Item = u8>) -> Self {
        let letters: BTreeSet<u8> = letters.into_iter().collect();
        let mut name = [base, b":2,"].concat();
        name.extend(letters);
        Self { part: Part::Cur, name: OsString::from_vec(name) }
    }

    pub(super) fn base(&self) -> &[u8] {
        self.split().0
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        self.part.path(folder).join(&self.name)
    }

    /// The letters behind `:2,`, those unknown to us too (Dovecot writes keywords as `a` to `z`).
    pub(super) fn letters(&self) -> impl Iterator<Item = u8> + '_ {
        let letters = self.split().1.strip_prefix(b":2,").unwrap_or_default();
        letters.iter().copied().filter(u8::is_ascii_alphabetic)
    }

    pub(super) fn flags(&self) -> Vec<Flag> {
        let known = self.letters().filter_map(|letter| {
            LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, flag)| *flag)
        });
        known.filter_map(|flag| Flag::new(flag).ok()).collect()
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let name = self.name.as_bytes();
        let end = name.iter().position(|byte| *byte == b':').unwrap_or(name.len());
        name.split_at(end)
    }
}

/// The flags that a Maildir can keep.
pub(super) fn permanent_flags() -> Vec<Flag> {
    LETTERS.iter().filter_map(|(_, flag)| Flag::new(flag).ok()).collect()
}

/// The letter of a flag; `None` for one that a Maildir cannot keep.
pub(super) fn letter(flag: &Flag) -> Option<u8> {
    LETTERS.iter().find(|(_, known)| *known == flag.as_str()).map(|(letter, _)| *letter)
}

/// A base that nobody else makes, in the manner of <https://cr.yp.to/proto/maildir.html>: time,
/// process, counter, and a number of chance in place of the host's name.
pub(super) fn fresh_base(size: u64) -> Base {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static CHANCE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    let now = Clock::System.now_ms();
    let (seconds, millis) = (now.div_euclid(1000), now.rem_euclid(1000));
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let chance = *CHANCE;
    format!("{seconds}.M{millis:03}P{process}Q{count}.{chance:016x},S={size}").into_bytes()
}
