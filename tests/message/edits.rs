//! Edits change what they name and not one byte besides.

use mailmill::mail::Message;

use super::{Random, bytes, files, message};

fn text(message: &Message) -> String {
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

#[test]
fn a_field_is_replaced_where_it_stands_and_its_doubles_go() {
    let given = "A: 1\nSubject: x\n y\nbroken line\n\tmore\nsubject : z\nB: 2\r\n\nSubject: body\n";
    let edited = Message::whole(given.as_bytes()).with_header_set("SUBJECT", "neu");
    let expected = "A: 1\nSUBJECT: neu\nbroken line\n\tmore\nB: 2\r\n\nSubject: body\n";
    assert_eq!(text(&edited), expected);
    assert_eq!(edited.subject(), "neu");
}

#[test]
fn a_field_is_added_above_all_others_with_the_line_ends_in_use() {
    let crlf = Message::whole(&b"A: 1\r\n\r\nbody\r\n"[..]).with_header_added("X-B", "2");
    assert_eq!(text(&crlf), "X-B: 2\r\nA: 1\r\n\r\nbody\r\n");
    let lf = Message::whole(&b"A: 1\n\nbody\n"[..]).with_header_set("X-B", "2");
    assert_eq!(text(&lf), "X-B: 2\nA: 1\n\nbody\n");
    let mbox = Message::whole(&b"From a@b Mon\n stray\nA: 1\n\nx"[..]).with_header_added("B", "2");
    assert_eq!(text(&mbox), "From a@b Mon\n stray\nB: 2\nA: 1\n\nx");
    let bare = Message::whole(&b"\nbody"[..]).with_header_added("B", "2");
    assert_eq!(text(&bare), "B: 2\n\nbody");
}

#[test]
fn a_field_does_not_join_a_last_line_without_an_end() {
    for (given, expected) in [
        (&b" stray"[..], " stray\r\nB: 2\r\n"),
        (b"From a@b Mon", "From a@b Mon\r\nB: 2\r\n"),
        (b"From a@b Mon\n stray", "From a@b Mon\n stray\nB: 2\n"),
        (b"A: 1", "B: 2\r\nA: 1"),
    ] {
        assert_eq!(text(&Message::whole(given).with_header_added("B", "2")), expected);
        assert_eq!(text(&Message::whole(given).with_header_set("B", "2")), expected);
    }
}

#[test]
fn receipt_requests_go_in_every_form_and_nothing_else_does() {
    let stripped = message("receipt-all").without_receipt_requests();
    assert!(!stripped.receipt_requested());
    let expected = "From: anna@example.com\r\nTo: karl@example.org\r\nSubject: alle Formen\r\n\
        Date: Mon, 23 Nov 2026 16:00:00 +0100\r\nMessage-ID: <receipt-2@example.com>\r\n\
        Content-Type: text/plain\r\n\r\nDisposition-Notification-To: in the body is text\r\n";
    assert_eq!(text(&stripped), expected);
    let stripped = message("receipt-dnt").without_receipt_requests();
    assert!(!text(&stripped).contains("Disposition"));
    let plain = message("plain").without_receipt_requests();
    assert_eq!(plain.bytes()[..], bytes("plain"));
}

#[test]
fn an_edit_of_headers_alone_is_the_edit_of_the_whole() {
    let whole = bytes("plain");
    let block = super::header_block(&whole);
    let edit = |message: Message| {
        message.with_header_set("Subject", "Größe").with_headers_removed(&["Cc"])
    };
    let headers = edit(Message::from_headers(block));
    let all = edit(Message::whole(whole.clone()));
    assert!(all.bytes().starts_with(headers.bytes()));
    assert_eq!(all.bytes()[headers.bytes().len()..], whole[block.len()..]);
    assert_eq!(all.size(), all.bytes().len());
}

#[test]
fn an_edited_content_type_changes_what_the_body_means() {
    let plain = message("alternative");
    assert!(plain.html(99).unwrap().starts_with("<p>"));
    let tagged = plain.with_header_added("X-Tag", "1");
    assert!(tagged.html(99).unwrap().starts_with("<p>"));
    let changed = tagged.with_header_set("Content-Type", "text/plain");
    assert_eq!(changed.html(99).unwrap(), "");
    assert!(changed.text(999).unwrap().contains("--alt-1"));
}

#[test]
fn nothing_can_be_injected() {
    let given = message("plain");
    for value in ["a\r\nBcc: x@y.de", "a\nBcc: x@y.de", "a\rb", "a\0b", "a\r\n\r\nbody"] {
        for name in ["Subject", "To", "X-Any"] {
            let edited = given.with_header_set(name, value);
            assert_eq!(edited.header("Bcc"), None, "{value:?} in {name}");
            assert_eq!(edited.text(9999), given.text(9999), "{value:?} in {name}");
        }
    }
    for name in ["", "a b", "a:b", "a\nb", "ü"] {
        assert_eq!(given.with_header_set(name, "x").bytes(), given.bytes(), "{name:?}");
        assert_eq!(given.with_header_added(name, "x").bytes(), given.bytes(), "{name:?}");
    }
}

#[test]
fn addresses_with_umlauts_stay_addresses() {
    let value = "\"Müller, Jörg\" <joerg@example.de>, Anna <anna@example.com>, k@example.org";
    let edited = message("plain").with_header_set("To", value);
    let to: Vec<String> = edited.to().iter().map(ToString::to_string).collect();
    let expected = ["Müller, Jörg <joerg@example.de>", "Anna <anna@example.com>", "k@example.org"];
    assert_eq!(to, expected);
    assert!(edited.bytes().is_ascii());
}

const NAMES: [&str; 6] = ["Subject", "X-Tag", "To", "received", "Content-Type", "X-None"];

/// The message without the fields of a name, by a second, simpler way: line by line.
fn without(bytes: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut in_body = false;
    let mut drops = false;
    let mut has_owner = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let content: Vec<u8> = line.iter().copied().filter(|byte| *byte != b'\n').collect();
        in_body |= content.iter().all(|byte| *byte == b'\r');
        if !in_body {
            if !(matches!(content[0], b' ' | b'\t') && has_owner) {
                let start = String::from_utf8_lossy(&content).to_lowercase();
                let named = start.strip_prefix(&name.to_lowercase());
                drops =
                    named.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(':'));
                has_owner = true;
            }
            if drops {
                continue;
            }
        }
        out.extend_from_slice(line);
    }
    out
}

/// A message file with random damage.
fn damaged(random: &mut Random, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = originals[random.below(originals.len())].clone();
    let junk: [&[u8]; 12] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\n ",
        b"\nSubject: x",
        b"\nX-Tag :y\n\tz",
        b"\xff",
        b"=?utf-8?Q?",
        b":",
        b"\n\n",
    ];
    for _ in 0..random.below(12) {
        let at = random.below(bytes.len().min(900) + 1);
        let end = (at + random.below(8)).min(bytes.len());
        bytes.splice(at..end, random.pick(&junk).iter().copied());
    }
    bytes
}

#[test]
fn random_edits_of_random_messages_leave_all_other_bytes_alone() {
    let mut random = Random::new();
    let originals: Vec<Vec<u8>> = files().iter().map(|path| std::fs::read(path).unwrap()).collect();
    for round in 0..4000 {
        let given = damaged(&mut random, &originals);
        let name = random.pick(&NAMES);
        let message = Message::whole(given.clone());
        let removed = message.with_headers_removed(&[name]);
        assert_eq!(removed.bytes()[..], without(&given, name), "round {round}: remove {name}");
        let set = message.with_header_set(name, "Größe & more");
        assert_eq!(set.headers(name).len(), 1, "round {round}: set {name}");
        assert_eq!(without(set.bytes(), name), without(&given, name), "round {round}: set {name}");
        let added = message.with_header_added(name, "x");
        let more = added.bytes().len() - given.len();
        let same = given.iter().zip(added.bytes().iter()).take_while(|(a, b)| a == b).count();
        assert_eq!(given[same..], added.bytes()[same + more..], "round {round}: add {name}");
        assert_eq!(added.headers(name).len(), message.headers(name).len() + 1, "round {round}");
    }
}

#[test]
fn random_values_read_back_the_same_in_lines_that_fit() {
    let mut random = Random::new();
    let words: [&str; 14] = [
        "Plan",
        "Größe",
        "a",
        "ß",
        "=?utf-8?Q?x?=",
        "[T-071]",
        "😀😀😀",
        "\"q\"",
        "<a@b>",
        "",
        "x=y;",
        "日本語の件名",
        "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnung",
        "http://example.com/a/b/c?d=e&f=ghijklmnopqrstuvwxyz0123456789ghijklmnopqrstuvwxyz0123456789",
    ];
    for round in 0..4000 {
        let mut picked: Vec<&str> = (0..random.below(30)).map(|_| random.pick(&words)).collect();
        let is_blank = |word: Option<&&str>| word.is_some_and(|word| word.is_empty());
        while is_blank(picked.first()) {
            picked.remove(0);
        }
        while is_blank(picked.last()) {
            picked.pop();
        }
        let value = picked.join(" ");
        let name = random.pick(&["Subject", "X-Mailmill-Project", "Comments"]);
        let edited = message("plain").with_header_set(name, &value);
        assert_eq!(edited.header(name).unwrap(), value, "round {round}");
        let head = text(&edited);
        let head = head.split("\r\n\r\n").next().unwrap();
        for line in head.lines() {
            let is_one_word = line.trim().split(' ').count() <= 2;
            assert!(line.len() <= 78 || is_one_word, "round {round}: {line}");
            assert!(line.is_ascii() && line.len() <= 998, "round {round}: {line}");
            let longest = line.split(' ').filter(|word| word.starts_with("=?")).map(str::len).max();
            assert!(longest.unwrap_or(0) <= 75, "round {round}: {line}");
        }
    }
}
