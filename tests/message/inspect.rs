//! `mailmill inspect`, as a person and as a program calls it.

use std::path::{Path, PathBuf};

use mailmill::cli::inspect::{Args, run};
use mailmill::cli::{Exit, Output};
use serde_json::Value;

use super::{files, folder};

fn call(files: Vec<PathBuf>, json: bool) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&Args { files, json }, &mut Output { out: &mut out, err: &mut err });
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// What `inspect --json` says of a file, without the folder that it lies in.
pub(super) fn json_of(path: &Path) -> Value {
    let (exit, out, err) = call(vec![path.to_owned()], true);
    assert_eq!((exit, err.as_str()), (Exit::Right, ""));
    let mut seen: Value = serde_json::from_str(&out).unwrap();
    seen["file"] = path.file_name().unwrap().to_str().unwrap().into();
    seen
}

/// The keys of the design, section 6, in order.
const KEYS: &str = "v file subject from to cc reply_to date message_id in_reply_to references \
    list_id receipt_requested receipt_headers is_mdn is_bounce is_auto is_list is_reply is_signed \
    is_encrypted has_calendar size text html attachments";

#[test]
fn json_has_the_keys_of_the_contract_in_order() {
    let (_, out, _) = call(vec![folder().join("attachments.eml")], true);
    assert_eq!(out.lines().count(), 1);
    let mut at = 0;
    for key in KEYS.split_whitespace() {
        let found = out[at..].find(&format!("\"{key}\":"));
        at += found.unwrap_or_else(|| panic!("{key} is missing or out of order"));
    }
    let seen: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(seen.as_object().unwrap().len(), KEYS.split_whitespace().count());
    let attachment = seen["attachments"][1].as_object().unwrap();
    assert_eq!(attachment.keys().collect::<Vec<_>>(), ["name", "sha256", "size", "type"]);
    assert_eq!(attachment["name"], "Übersicht der Pläne für Köln.pdf");
    assert_eq!(
        attachment["sha256"],
        "e5f4c38e97f9ad64d0f8eb62574c2ed0de9149023da1b5599e36f79d558ba4f1"
    );
}

#[test]
fn thousands_of_files_give_a_line_each_and_bad_ones_stop_nothing() {
    let tmp = tempfile::TempDir::new().unwrap();
    let missing = tmp.path().join("missing.eml");
    let mut asked: Vec<PathBuf> = files().iter().cycle().take(3000).cloned().collect();
    asked.insert(1500, missing.clone());
    asked.push(tmp.path().to_owned());
    let (exit, out, err) = call(asked, true);
    assert_eq!(exit, Exit::Findings);
    assert_eq!(out.lines().count(), 3000);
    assert_eq!(err.lines().count(), 2, "{err}");
    assert!(err.contains(&*missing.to_string_lossy()), "{err}");
}

#[test]
fn people_see_no_control_characters() {
    let tmp = tempfile::TempDir::new().unwrap();
    let path = tmp.path().join("evil.eml");
    let evil = "From: =?utf-8?Q?=1B[2J?= <a@b.de>\nSubject: a\u{202e}b\u{9b}31m\n\n\u{1b}]0;x\u{7}\u{7f}\n";
    std::fs::write(&path, evil).unwrap();
    let (exit, out, _) = call(vec![path], false);
    assert_eq!(exit, Exit::Right);
    let inert = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
    assert!(out.chars().all(inert), "{out:?}");
    assert!(out.contains("\\u{1b}]0;x\\u{7}\\u{7f}"), "{out}");
}

#[test]
fn people_see_what_there_is() {
    let (_, out, _) = call(vec![folder().join("attachments.eml")], false);
    for part in [
        "Pläne",
        "Anna <anna@example.com>",
        "2026-11-23T11:00:00+01:00",
        "notiz.txt (text/plain, 10 bytes",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (_, out, _) = call(vec![folder().join("receipt-all.eml")], false);
    assert!(out.contains("Return-Receipt-To"), "{out}");
}
