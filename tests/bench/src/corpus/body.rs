//! Bodies: text, HTML, base64 attachments, reports, up to the size that was drawn. They quote tokens
//! and request lines that must count for nothing.

use super::{Draft, Kind};
use crate::random::Random;

/// Lines that bodies are cut from, so that hundreds of megabytes need not be drawn one by one.
pub(super) struct Filler {
    base64: String,
    prose: String,
}

const LINE: usize = 77;
const LINES: usize = 4_096;

const WORDS: [&str; 24] = [
    "the", "and", "of", "wall", "door", "window", "meeting", "schedule", "Größe", "Prüfung", "für",
    "on", "Thursday", "please", "drawing", "attached", "floor", "north", "measure", "cost", "with",
    "before", "contract", "site",
];

impl Filler {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xb0d7);
        let mut base64 = String::with_capacity(LINE * LINES);
        let mut prose = String::with_capacity(LINE * LINES);
        for _ in 0..LINES {
            base64 += &random.word(LINE - 1);
            base64.push('\n');
            let end = prose.len() + LINE - 12;
            while prose.len() < end {
                prose += random.pick(&WORDS);
                prose.push(' ');
            }
            prose.push('\n');
        }
        Self { base64, prose }
    }

    /// Appends the body that belongs to the header.
    pub(super) fn body(
        &self,
        draft: &Draft,
        boundary: &str,
        to: &mut Vec<u8>,
        random: &mut Random,
    ) {
        match draft.kind {
            Kind::Mdn => report(boundary, "disposition-notification", to),
            Kind::Dsn => report(boundary, "delivery-status", to),
            Kind::Person if draft.size < 8_000 => self.prose(draft.size, to, random),
            Kind::Person => self.mixed(draft, boundary, to, random),
        }
    }

    fn mixed(&self, draft: &Draft, boundary: &str, to: &mut Vec<u8>, random: &mut Random) {
        let plain = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit";
        add(to, &format!("This is a message of several parts.\n--{boundary}\n{plain}\n\n"));
        self.prose(to.len() + draft.size.min(40_000) / 6, to, random);
        add(
            to,
            &format!("--{boundary}\nContent-Type: text/html; charset=utf-8\n\n<html><body><p>\n"),
        );
        self.prose(to.len() + draft.size.min(40_000) / 4, to, random);
        let name = random.word(8);
        add(
            to,
            &format!(
                "</p></body></html>\n--{boundary}\nContent-Type: application/pdf; name=\"{name}.pdf\"\n\
                 Content-Disposition: attachment; filename=\"{name}.pdf\"\n\
                 Content-Transfer-Encoding: base64\n\n"
            ),
        );
        fill(&self.base64, draft.size.saturating_sub(boundary.len() + 5), to, random);
        add(to, &format!("--{boundary}--\n"));
    }

    /// Prose up to this size, after a line or two that would mislead who searches bodies.
    fn prose(&self, size: usize, to: &mut Vec<u8>, random: &mut Random) {
        if random.chance(20) {
            add(to, "> Subject: [T-103] quoted\n> Disposition-Notification-To: <x@bau.example>\n");
        }
        fill(&self.prose, size, to, random);
    }
}

/// Whole lines from anywhere in the text, round and round, until the size is reached.
fn fill(text: &str, size: usize, to: &mut Vec<u8>, random: &mut Random) {
    let text = text.as_bytes();
    let start = random.below(text.len() - LINE);
    let mut at = memchr::memchr(b'\n', &text[start..]).map_or(0, |end| start + end + 1);
    while to.len() < size {
        let rest = &text[at..];
        let wanted = (size - to.len()).min(rest.len());
        let end = memchr::memchr(b'\n', &rest[wanted - 1..]).map_or(rest.len(), |end| wanted + end);
        to.extend_from_slice(&rest[..end]);
        at = 0;
    }
}

fn report(boundary: &str, kind: &str, to: &mut Vec<u8>) {
    let fields = match kind {
        "delivery-status" => {
            "Final-Recipient: rfc822; x@bau.example\nAction: failed\nStatus: 5.1.1"
        }
        _ => {
            "Final-Recipient: rfc822; x@bau.example\nDisposition: manual-action/MDN-sent-manually; displayed"
        }
    };
    add(
        to,
        &format!(
            "--{boundary}\nContent-Type: text/plain\n\nThis is a report.\n\
             --{boundary}\nContent-Type: message/{kind}\n\nReporting-UA: bench\n\n{fields}\n\
             --{boundary}\nContent-Type: text/rfc822-headers\n\n\
             Subject: [T-104] the message that was reported\nDisposition-Notification-To: <y@bau.example>\n\
             --{boundary}--\n"
        ),
    );
}

fn add(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(text.as_bytes());
}
