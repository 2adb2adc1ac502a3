//! `mailmill inspect`: what rules would see of message files, for people or as JSON.
//!
//! The JSON object is a contract: a key is added only with a new `v` where it could break a
//! reader.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Exit, Output};
use crate::error::{Error, Result};
use crate::mail::{Address, Attachment, Message, NeedBody, inert};
use crate::pipeline::Limits;

/// Show what rules would see of message files.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Message files (RFC 5322); `-` reads one message from standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object a line instead of a form for people.
    #[arg(long)]
    pub json: bool,
}

/// Bytes of a file that is read as a message.
const MOST_BYTES: u64 = 1 << 30;

/// Lines and columns of text that people are shown.
const SHOWN_LINES: usize = 12;
const SHOWN_COLUMNS: usize = 100;

/// Inspects each file in turn, one in memory at a time. A file that cannot be read is told on
/// `err`; the others go on.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let mut exit = Exit::Right;
    for path in &args.files {
        let shown = match show(path, args.json) {
            Ok(shown) => shown,
            Err(error) => {
                // Where even this cannot be told, the exit code still tells it.
                let _ = writeln!(output.err, "mailmill inspect: {error}");
                exit = Exit::Findings;
                continue;
            }
        };
        match output.out.write_all(shown.as_bytes()) {
            Ok(()) => {}
            // Whoever reads (`head`, a pager) has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return exit,
            Err(error) => {
                let _ = writeln!(output.err, "mailmill inspect: write the result: {error}");
                return Exit::Findings;
            }
        }
    }
    exit
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("read {}", inert(&path.to_string_lossy()));
    let refused = |error: io::Error| {
        Error::permanent(what(), error).next("name a file that holds one message")
    };
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(refused)?;
    if bytes.len() as u64 > MOST_BYTES {
        let why = format!("it is larger than {} MiB, and no message is", MOST_BYTES >> 20);
        return Err(Error::permanent(what(), why));
    }
    Ok(bytes)
}

/// What rules would see, in the order and with the names of the contract.
#[derive(serde::Serialize)]
struct Seen {
    v: u32,
    file: String,
    subject: String,
    from: Vec<Address>,
    to: Vec<Address>,
    cc: Vec<Address>,
    reply_to: Vec<Address>,
    date: Option<String>,
    message_id: Option<String>,
    in_reply_to: Vec<String>,
    references: Vec<String>,
    list_id: Option<String>,
    receipt_requested: bool,
    receipt_headers: Vec<String>,
    is_mdn: bool,
    is_bounce: bool,
    is_auto: bool,
    is_list: bool,
    is_reply: bool,
    is_signed: bool,
    is_encrypted: bool,
    has_calendar: bool,
    size: usize,
    text: String,
    html: String,
    attachments: Vec<Attachment>,
}

fn show(path: &Path, json: bool) -> Result<String> {
    let message = Message::whole(read(path)?);
    let what = || format!("inspect {}", inert(&path.to_string_lossy()));
    let seen = seen(path, &message)
        .map_err(|NeedBody| Error::permanent(what(), "a whole message asks for its body"))?;
    if !json {
        let excess = message.excess().ok().flatten().map(|excess| excess.to_string());
        return Ok(form(&seen, excess.as_deref()));
    }
    let mut line = serde_json::to_string(&seen).map_err(|error| Error::permanent(what(), error))?;
    line.push('\n');
    Ok(line)
}

fn seen(path: &Path, message: &Message) -> Result<Seen, NeedBody> {
    // What a rule gets, not more: the text is cut where a rule's would be.
    let most = Limits::default().body_text;
    Ok(Seen {
        v: 1,
        file: path.to_string_lossy().into_owned(),
        subject: message.subject(),
        from: message.from(),
        to: message.to(),
        cc: message.cc(),
        reply_to: message.reply_to(),
        date: message.date(),
        message_id: message.message_id(),
        in_reply_to: message.in_reply_to(),
        references: message.references(),
        list_id: message.list_id(),
        receipt_requested: message.receipt_requested(),
        receipt_headers: message.receipt_headers(),
        is_mdn: message.is_mdn(),
        is_bounce: message.is_bounce(),
        is_auto: message.is_auto(),
        is_list: message.is_list(),
        is_reply: message.is_reply(),
        is_signed: message.is_signed()?,
        is_encrypted: message.is_encrypted()?,
        has_calendar: message.has_calendar()?,
        size: message.size(),
        text: message.text(most)?,
        html: message.html(most)?,
        attachments: message.attachments()?,
    })
}

/// A form for people: what is there, one line a read, the start of the text below.
fn form(seen: &Seen, excess: Option<&str>) -> String {
    let mut out = format!("{}\n", inert(&seen.file));
    let mut line = |label: &str, text: &str| {
        if !text.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "  {label:<13} {}", inert(text));
        }
    };
    line("subject", &seen.subject);
    line("from", &addresses(&seen.from));
    line("to", &addresses(&seen.to));
    line("cc", &addresses(&seen.cc));
    line("reply_to", &addresses(&seen.reply_to));
    line("date", seen.date.as_deref().unwrap_or("none that can be read"));
    line("message_id", seen.message_id.as_deref().unwrap_or("none"));
    line("in_reply_to", &seen.in_reply_to.join(" "));
    line("references", &seen.references.join(" "));
    line("list_id", seen.list_id.as_deref().unwrap_or_default());
    line("receipt to", &seen.receipt_headers.join(", "));
    line("it is", &kinds(seen));
    line("size", &format!("{} bytes", seen.size));
    line("not parsed", excess.unwrap_or_default());
    for attachment in &seen.attachments {
        line("attachment", &described(attachment));
    }
    out.push_str(&start_of(&seen.text));
    out.push('\n');
    out
}

fn addresses(list: &[Address]) -> String {
    const MOST: usize = 20;
    let mut shown: Vec<String> = list.iter().take(MOST).map(Address::to_string).collect();
    if list.len() > MOST {
        shown.push(format!("and {} more", list.len() - MOST));
    }
    shown.join(", ")
}

fn kinds(seen: &Seen) -> String {
    let kinds = [
        (seen.is_reply, "a reply"),
        (seen.is_auto, "automatic"),
        (seen.is_bounce, "a bounce"),
        (seen.is_mdn, "a read receipt"),
        (seen.is_list, "from a list"),
        (seen.is_signed, "signed"),
        (seen.is_encrypted, "encrypted"),
        (seen.has_calendar, "an invitation"),
    ];
    let said: Vec<&str> = kinds.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    said.join(", ")
}

fn described(attachment: &Attachment) -> String {
    let name = attachment.name.as_deref().unwrap_or("(no name)");
    let (kind, size) = (&attachment.media_type, attachment.size);
    let sha256 = attachment.sha256.get(..12).unwrap_or_default();
    format!("{name} ({kind}, {size} bytes, sha256 {sha256}…)")
}

/// The first lines of a text, each cut to the screen.
fn start_of(text: &str) -> String {
    let mut lines = text.trim_end().lines();
    let mut out = String::new();
    for line in lines.by_ref().take(SHOWN_LINES) {
        let start: String = line.chars().take(SHOWN_COLUMNS).collect();
        let more = if start.len() < line.len() { "…" } else { "" };
        let _ = writeln!(out, "  | {}{more}", inert(&start));
    }
    let left = lines.count();
    if left > 0 {
        let _ = writeln!(out, "  | … {left} more lines");
    }
    out
}
