//! Messages as rules see them: what is read of real and of hostile mail, and what edits change.

mod edits;
mod hostile;
mod inspect;
mod reads;
mod reports;

use std::path::{Path, PathBuf};

use mailmill::mail::Message;

/// The folder of message files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail")
}

/// All message files, by name.
fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "eml"))
        .collect();
    files.sort();
    assert!(files.len() >= 40, "the message files are gone");
    files
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name).with_extension("eml")).unwrap()
}

fn message(name: &str) -> Message {
    Message::whole(bytes(name))
}

/// The header block of a message: up to and with the first empty line.
fn header_block(bytes: &[u8]) -> &[u8] {
    let crlf = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
    let lf = bytes.windows(2).position(|w| w == b"\n\n").map(|at| at + 2);
    let end = [crlf, lf].into_iter().flatten().min().unwrap_or(bytes.len());
    &bytes[..end]
}

/// Random numbers that a seed repeats (xorshift).
struct Random(u64);

impl Random {
    /// A stream whose seed is printed when the test fails. `MAILMILL_SEED` repeats one.
    #[allow(clippy::print_stdout, reason = "the test harness shows it where the test fails")]
    fn new() -> Self {
        let given = std::env::var("MAILMILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64
        };
        let seed = given.unwrap_or_else(clock) | 1;
        println!("MAILMILL_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}
