//! The bare client: what one connection can do when nothing is kept and nothing can be configured.
//!
//! One FETCH over the whole mailbox, a decision by string search, then one STORE and one MOVE per
//! target, pipelined. It has no store, no rules, no plan on disk, and loses its place when it dies.

mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;

use memchr::memmem;

use crate::Result;
use crate::corpus::{ARCHIVE, RECEIPTS, projects};
use wire::Wire;

/// Bytes of a set of UIDs in one command: servers limit a line, Dovecot to 64 KB.
const SET: usize = 48 << 10;

/// What is fetched of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The whole message.
    Whole,
    /// Its header.
    Headers,
    /// The three fields that decide.
    Fields,
}

/// Run the bare client
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    port: u16,
    #[arg(long, value_enum)]
    part: Part,
    #[arg(long)]
    user: String,
    #[arg(long)]
    password: String,
    /// Use TLS and trust this authority
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// Sorts INBOX.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut wire = Wire::connect(args.port, args.ca.as_deref())?;
    wire.send(&format!("LOGIN \"{}\" \"{}\"", args.user, args.password))?;
    wire.send("SELECT INBOX")?;
    wire.send(&format!("UID FETCH 1:* ({})", item(args.part)))?;
    wire.tagged()?;
    wire.tagged()?;
    let plan = decide(&mut wire)?;
    for set in sets(&plan.flagged) {
        wire.send(&format!("UID STORE {set} +FLAGS.SILENT (\\Flagged)"))?;
    }
    for (mailbox, uids) in &plan.moves {
        for set in sets(uids) {
            wire.send(&format!("UID MOVE {set} \"{mailbox}\""))?;
        }
    }
    wire.settle()?;
    wire.send("LOGOUT")?;
    wire.settle()
}

fn item(part: Part) -> &'static str {
    match part {
        Part::Whole => "BODY.PEEK[]",
        Part::Headers => "BODY.PEEK[HEADER]",
        Part::Fields => {
            "BODY.PEEK[HEADER.FIELDS (Subject Disposition-Notification-To Content-Type)]"
        }
    }
}

#[derive(Default)]
struct Plan {
    flagged: Vec<u32>,
    moves: BTreeMap<String, Vec<u32>>,
}

/// Decides each message as it comes, until the FETCH is answered.
fn decide(wire: &mut Wire) -> Result<Plan> {
    let judge = Judge::new();
    let mut plan = Plan::default();
    while !wire.step()? {
        let Some(uid) = uid(&wire.text) else { continue };
        let (mailbox, flagged) = judge.place(&wire.literal);
        if flagged {
            plan.flagged.push(uid);
        }
        match plan.moves.get_mut(mailbox) {
            Some(uids) => uids.push(uid),
            None => _ = plan.moves.insert(mailbox.to_owned(), vec![uid]),
        }
    }
    Ok(plan)
}

/// The UID in `* 12 FETCH (UID 34 …`.
fn uid(response: &[u8]) -> Option<u32> {
    let at = memmem::find(response, b"(UID ")? + 5;
    let digits = response[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&response[at..at + digits]).ok()?.parse().ok()
}

/// Where a message belongs, by string search in its header.
struct Judge {
    /// `[T-101]` and its mailbox.
    projects: Vec<(String, String)>,
}

impl Judge {
    fn new() -> Self {
        let known = projects().map(|code| (format!("[{code}]"), format!("Projects/{code}")));
        Self { projects: known.collect() }
    }

    fn place(&self, message: &[u8]) -> (&str, bool) {
        let end = memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
        let header = &message[..end];
        let flagged = field(header, b"Disposition-Notification-To:").is_some();
        if let Some(mailbox) = field(header, b"Subject:").and_then(|subject| self.project(subject))
        {
            return (mailbox, flagged);
        }
        let receipt = field(header, b"Content-Type:").is_some_and(|kind| {
            memmem::find(kind, b"report-type=disposition-notification").is_some()
        });
        (if receipt { RECEIPTS } else { ARCHIVE }, flagged)
    }

    fn project(&self, subject: &[u8]) -> Option<&str> {
        memmem::find(subject, b"[T-")?;
        let found = self
            .projects
            .iter()
            .find(|(token, _)| memmem::find(subject, token.as_bytes()).is_some());
        found.map(|(_, mailbox)| mailbox.as_str())
    }
}

/// The text of a field, continued lines included.
fn field<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let starts = memmem::find_iter(header, name);
    let start = starts.into_iter().find(|at| *at == 0 || header[at - 1] == b'\n')?;
    let text = &header[start + name.len()..];
    let folded = |end: &usize| !matches!(text.get(end + 1), Some(b' ' | b'\t'));
    let end = memchr::memchr_iter(b'\n', text).find(folded).unwrap_or(text.len());
    Some(&text[..end])
}

/// The UIDs, which ascend, as sets such as `1:5,7`, each short enough for one command.
fn sets(uids: &[u32]) -> Vec<String> {
    let mut sets: Vec<String> = Vec::new();
    for range in uids.chunk_by(|one, next| one + 1 == *next) {
        let [first, .., last] = range else {
            append(&mut sets, &range[0].to_string());
            continue;
        };
        append(&mut sets, &format!("{first}:{last}"));
    }
    sets
}

fn append(sets: &mut Vec<String>, range: &str) {
    match sets.last_mut() {
        Some(set) if set.len() + range.len() < SET => {
            set.push(',');
            set.push_str(range);
        }
        _ => sets.push(range.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Judge, SET, sets, uid};

    #[test]
    fn sets_are_short_and_name_each_uid_once() {
        assert_eq!(sets(&[]), Vec::<String>::new());
        assert_eq!(sets(&[1, 2, 3, 5, 7, 8]), ["1:3,5,7:8"]);
        let odd: Vec<u32> = (0..40_000).map(|number| 100_001 + 2 * number).collect();
        let sets = sets(&odd);
        assert!(sets.len() > 1 && sets.iter().all(|set| set.len() <= SET));
        let named: Vec<u32> =
            sets.iter().flat_map(|set| set.split(',')).map(|uid| uid.parse().unwrap()).collect();
        assert_eq!(named, odd);
    }

    #[test]
    fn a_uid_is_read_before_and_after_other_data() {
        assert_eq!(uid(b"* 12 FETCH (UID 34 BODY[] {5}"), Some(34));
        assert_eq!(uid(b"* OK [UIDNEXT 7]"), None);
    }

    #[test]
    fn the_header_alone_decides() {
        let judge = Judge::new();
        let place = |message: &str| {
            let (mailbox, flagged) = judge.place(message.as_bytes());
            (mailbox.to_owned(), flagged)
        };
        let body = "\r\n\r\nSubject: [T-103]\r\nDisposition-Notification-To: x\r\n";
        let of = |header: &str| place(&format!("{header}{body}"));
        assert_eq!(of("Subject: AW: [T-102] x"), ("Projects/T-102".into(), false));
        assert_eq!(of("Subject: [T-900]\r\n [T-120]").0, "Projects/T-120");
        assert_eq!(of("X-Subject: [T-102]\r\nSubject: T-102 [T-1]").0, "Archive");
        assert_eq!(of("Subject: x\r\nDisposition-Notification-To: y"), ("Archive".into(), true));
        let receipt =
            "Content-Type: multipart/report; report-type=disposition-notification;\r\n\tboundary=b";
        assert_eq!(of(receipt).0, "Receipts");
        assert_eq!(of(&format!("{receipt}\r\nSubject: Read: [T-101]")).0, "Projects/T-101");
    }
}
