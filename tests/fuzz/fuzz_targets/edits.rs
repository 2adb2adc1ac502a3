//! An edit changes what it names, reads back the same, and leaves every other byte alone.
//!
//! The first line of the input is the name, the second the value, the rest the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailmill::mail::Message;

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// Whether `less` is `more` with one piece taken out.
fn lacks_one_piece(less: &[u8], more: &[u8]) -> bool {
    let start = less.iter().zip(more).take_while(|(a, b)| a == b).count();
    let rest = &less[start..];
    less.len() <= more.len() && more.ends_with(rest)
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let name = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let value = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let bytes = lines.next().unwrap_or_default();
    let given = Message::whole(bytes);
    let set = given.with_header_set(&name, &value);
    let added = given.with_header_added(&name, &value);
    let removed = given.with_headers_removed(&[&name]);
    assert_eq!(set.size(), set.bytes().len());
    if !is_name(&name) {
        assert_eq!(set.bytes()[..], *bytes);
        assert_eq!(added.bytes()[..], *bytes);
    } else {
        assert_eq!(set.headers(&name).len(), 1, "set once");
        // A last line without an end gets one before a field is put below it.
        let without = set.with_headers_removed(&[&name]);
        let ends: [&[u8]; 3] = [b"", b"\n", b"\r\n"];
        let same = |end: &&[u8]| without.bytes().strip_suffix(*end) == Some(&removed.bytes()[..]);
        assert!(ends.iter().any(same), "set, then removed");
        assert_eq!(added.headers(&name).len(), given.headers(&name).len() + 1, "added once");
        assert!(lacks_one_piece(bytes, added.bytes()), "added in one piece");
        assert_eq!(added.header(&name), set.header(&name));
    }
    assert_eq!(removed.header(&name), None);
    assert_eq!(removed.with_headers_removed(&[&name]).bytes(), removed.bytes());
    let stripped = given.without_receipt_requests();
    assert!(!stripped.receipt_requested() && stripped.receipt_headers().is_empty());
    assert_eq!(stripped.without_receipt_requests().bytes(), stripped.bytes());
    if !given.receipt_requested() && given.header("Disposition-Notification-Options").is_none() {
        assert_eq!(stripped.bytes()[..], *bytes);
    }
    // The message below reads the same, joined or not.
    assert_eq!(Message::whole(added.bytes().to_vec()).subject(), added.subject());
    assert_eq!(Message::whole(set.bytes().to_vec()).text(500), set.text(500));
});
