//! Signatures: what changes in a message is a snapshot, all else is the same byte for byte.
//!
//! Messages stand here as text and become mail with CRLF. Each is signed, signed again, and looked at
//! in three ways: the lines that changed, the parts that may not, and what a reader sees.

use std::fmt::Write;

use mailmill::mail::Message;
use mailmill::mail::signature::{Image, Signature, Signing, sign};
use similar::{DiffOp, DiffTag, TextDiff};

mod charsets;
mod hostile;
mod outgoing;
mod placed;
mod refused;
mod replies;
mod shapes;
mod templates;

/// How much of a message may change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Lines come in; none goes or changes.
    Inserted,
    /// A part is written anew, or its header says another encoding.
    Rewritten,
}

fn signature() -> Signature {
    Signature {
        template: "smartcity".into(),
        text: "Smart City Quartier\nAnna Muster\nBüro Süd, Straße 1".into(),
        html: "<p>Smart City Quartier<br>\nAnna Muster<br>\nBüro Süd, Straße 1</p>".into(),
        images: Vec::new(),
    }
}

fn ascii() -> Signature {
    Signature {
        template: "plain".into(),
        text: "Smart City\nAnna Muster".into(),
        html: "<p>Smart City<br>Anna Muster</p>".into(),
        images: Vec::new(),
    }
}

fn with_logo() -> Signature {
    let id = "0123456789@signature.mailmill";
    let html = format!("<p><img src=\"cid:{id}\" alt=\"\"><br>Smart City<br>Anna Muster</p>");
    let bytes = b"\x89PNG\r\n\x1a\nlogo".as_slice().into();
    let image = Image { id: id.into(), name: "logo.png".into(), media_type: "image/png", bytes };
    Signature { html, images: vec![image], ..ascii() }
}

/// Text as it is sent.
fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A message with a usual header, and these content fields and body.
fn mail(content: &str, body: &str) -> Vec<u8> {
    let head = "From: Anna Muster <anna@example.com>\nTo: Petra Weber <weber@example.net>\n\
                Subject: Lageplan\nMessage-ID: <m1@example.com>\nMIME-Version: 1.0\n";
    crlf(&format!("{head}{content}\n\n{body}"))
}

/// Signs, checks what holds for every message, and gives the lines that changed.
#[track_caller]
fn changed(name: &str, bytes: &[u8], signature: &Signature, change: Change) -> String {
    let message = Message::whole(bytes.to_vec());
    let (signed, signing) = sign(&message, signature).unwrap();
    assert!(matches!(signing, Signing::Signed { .. }), "{name}: {signing}");
    let (again, signing) = sign(&Message::whole(signed.bytes().clone()), signature).unwrap();
    assert!(matches!(signing, Signing::Already { .. }), "{name}: {signing}");
    assert_eq!(again.bytes(), signed.bytes(), "{name}: signed twice");
    let first = signature.text.lines().next().unwrap();
    let text = signed.text(1 << 20).unwrap();
    let before = message.text(1 << 20).unwrap().matches(first).count();
    assert_eq!(text.matches(first).count(), before + 1, "{name}: {text}");
    let old_files = message.attachments().unwrap();
    let new_files = signed.attachments().unwrap();
    for file in &old_files {
        assert!(new_files.contains(file), "{name}: {file:?} changed");
    }
    assert_eq!(signed.subject(), message.subject());
    assert_eq!(signed.message_id(), message.message_id());
    let (old, new) = (shown(bytes), shown(signed.bytes()));
    let diff = TextDiff::from_lines(&old, &new);
    if change == Change::Inserted {
        assert!(
            diff.ops().iter().all(|op| only_adds(op, &diff)),
            "{name}: {}",
            diff.unified_diff()
        );
    }
    let mut out = format!("== {name}\n");
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        out.push_str("...\n");
        for line in hunk.iter_changes() {
            let _ = writeln!(out, "{}{}", line.tag(), line.value().trim_end_matches('\n'));
        }
    }
    out
}

/// Whether what was there is there still, in its order, with more between.
fn only_adds<'a>(op: &DiffOp, lines: &TextDiff<'a, 'a, 'a, str>) -> bool {
    let old = lines.old_slices()[op.old_range()].concat();
    let new = lines.new_slices()[op.new_range()].concat();
    let ops = TextDiff::from_chars(&old, &new);
    ops.ops().iter().all(|op| matches!(op.tag(), DiffTag::Equal | DiffTag::Insert))
}

/// Bytes as text: line ends of CRLF are told by their absence, blanks at line ends and bytes that are
/// no ASCII by signs.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = match text.strip_suffix(b"\r") {
            Some(text) => text,
            None => {
                if line.ends_with(b"\n") {
                    out.push('\u{240a}');
                }
                text
            }
        };
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b' ' if at + 1 == text.len() => out.push('\u{2423}'),
                0x20..=0x7e => out.push(char::from(*byte)),
                _ => write!(out, "\\x{byte:02x}").unwrap(),
            }
        }
        if line.ends_with(b"\n") {
            out.push('\n');
        }
    }
    out
}

/// The lines that changed in all of these.
#[track_caller]
fn all(cases: &[(&str, Vec<u8>, Change)], signature: &Signature) -> String {
    let each = cases.iter().map(|(name, bytes, change)| changed(name, bytes, signature, *change));
    each.collect::<Vec<_>>().join("\n")
}
