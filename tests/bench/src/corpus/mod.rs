//! The mail of the benchmark: made from a seed, the same on every machine, with the right answer
//! known by construction.
//!
//! Each message is a file with LF line ends, named as Dovecot names files of a Maildir, so that it can
//! be hard-linked into a mailbox. It is recognised by its header field `X-Bench-Id`.

mod body;
mod header;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::random::Random;
use body::Filler;

/// How many projects there are: `T-101` and its followers.
pub(crate) const PROJECTS: usize = 20;

/// Where mail of no project and receipts go.
pub(crate) const ARCHIVE: &str = "Archive";
pub(crate) const RECEIPTS: &str = "Receipts";

/// Names of header fields that are compared.
pub(crate) const ID: &str = "X-Bench-Id";

/// The codes of the known projects.
pub(crate) fn projects() -> impl Iterator<Item = String> {
    (0..PROJECTS).map(|number| format!("T-{}", 101 + number))
}

/// All mailboxes that the job sorts into.
pub(crate) fn mailboxes() -> Vec<String> {
    let projects = projects().map(|code| format!("Projects/{code}"));
    projects.chain([ARCHIVE.to_owned(), RECEIPTS.to_owned()]).collect()
}

/// How large the messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As in a firm's mailbox: median 15 KB, mean 75 KB, 1% over 1 MB, at most 10 MB.
    Mixed,
    /// A few KB each, to have very many.
    Small,
}

/// One message and what is right for it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The value of `X-Bench-Id`.
    pub(crate) id: usize,
    pub(crate) file: PathBuf,
    pub(crate) size: u64,
    /// The mailbox where it must end.
    pub(crate) mailbox: String,
    /// Whether it must be flagged there.
    pub(crate) flagged: bool,
}

/// What a message is, drawn before it is written.
pub(crate) struct Draft {
    pub(crate) id: usize,
    /// The code of a known project in the subject.
    pub(crate) project: Option<String>,
    /// Asks for a read receipt.
    pub(crate) asks: bool,
    pub(crate) kind: Kind,
    /// Bytes that it should have.
    pub(crate) size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    /// A read receipt.
    Mdn,
    /// A bounce: also a multipart/report, but no receipt.
    Dsn,
}

/// Writes the messages into a folder.
///
/// # Errors
/// A text that says which file could not be written.
pub(crate) fn write(
    folder: &Path,
    profile: Profile,
    count: usize,
    seed: u64,
) -> Result<Vec<Sample>> {
    fs::create_dir_all(folder).map_err(|why| format!("make {}: {why}", folder.display()))?;
    let filler = Filler::new(seed);
    (0..count).map(|id| sample(folder, profile, id, seed, &filler)).collect()
}

fn sample(
    folder: &Path,
    profile: Profile,
    id: usize,
    seed: u64,
    filler: &Filler,
) -> Result<Sample> {
    let mut random = Random::new(seed ^ ((id as u64) << 20));
    let draft = draft(profile, id, &mut random);
    let bytes = header::message(&draft, filler, &mut random);
    let lines = memchr::memchr_iter(b'\n', &bytes).count();
    let (size, crlf) = (bytes.len(), bytes.len() + lines);
    let file = folder.join(format!("{}.M{id}P1.bench,S={size},W={crlf}", 1_700_000_000 + id));
    fs::write(&file, &bytes).map_err(|why| format!("write {}: {why}", file.display()))?;
    let mailbox = match (&draft.project, draft.kind) {
        (Some(code), _) => format!("Projects/{code}"),
        (None, Kind::Mdn) => RECEIPTS.to_owned(),
        (None, _) => ARCHIVE.to_owned(),
    };
    Ok(Sample { id, file, size: size as u64, mailbox, flagged: draft.asks })
}

fn draft(profile: Profile, id: usize, random: &mut Random) -> Draft {
    let kind = match random.below(100) {
        0..5 => Kind::Mdn,
        5..8 => Kind::Dsn,
        _ => Kind::Person,
    };
    let project = random.chance(30).then(|| format!("T-{}", 101 + random.below(PROJECTS)));
    let asks = kind == Kind::Person && random.chance(23);
    let size = match (kind, profile) {
        (Kind::Person, Profile::Mixed) => mixed(random),
        (Kind::Person, Profile::Small) => 2_500 + random.below(4_000),
        _ => 5_000,
    };
    Draft { id, project, asks, kind, size }
}

/// Log-normal. Together with the reports, which are small, the median is 15 KB, the mean 75 KB, and 1%
/// are over 1 MB.
fn mixed(random: &mut Random) -> usize {
    let size = 18_000.0 * (1.76 * random.normal()).exp();
    (size as usize).clamp(2_000, 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Profile, draft, write};
    use crate::random::Random;

    #[test]
    fn the_sizes_are_those_of_a_firms_mailbox() {
        let draw = |id| draft(Profile::Mixed, id, &mut Random::new(id as u64)).size;
        let mut sizes: Vec<usize> = (0..100_000).map(draw).collect();
        sizes.sort_unstable();
        let (mean, median) = (sizes.iter().sum::<usize>() / sizes.len(), sizes[sizes.len() / 2]);
        let large = sizes.iter().filter(|size| **size > 1_000_000).count();
        assert!((14_000..16_000).contains(&median), "{median}");
        assert!((70_000..82_000).contains(&mean), "{mean}");
        assert!((800..1_300).contains(&large), "{large}");
        assert_eq!(sizes.last(), Some(&10_000_000));
    }

    #[test]
    fn the_same_seed_makes_the_same_mail() {
        let folder = std::env::temp_dir().join(format!("mmbench-seed-{}", std::process::id()));
        let all = |seed| -> Vec<Vec<u8>> {
            let samples = write(&folder.join(format!("{seed}")), Profile::Mixed, 30, seed).unwrap();
            samples.iter().map(|sample| std::fs::read(&sample.file).unwrap()).collect()
        };
        let (first, again, other) = (all(1), all(1), all(2));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(first == again && first != other);
        for message in first {
            let header = memchr::memmem::find(&message, b"\n\n").unwrap();
            assert!(
                (900..4_000).contains(&header),
                "{}",
                String::from_utf8_lossy(&message[..header])
            );
        }
    }
}
