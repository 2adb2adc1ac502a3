//! A mailbox name leads to one mailbox: there and back is the same name, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailmill::mail::MailboxName;
use mailmill::mailbox::imap::fuzz::{back_and_there, there_and_back};

fuzz_target!(|input: &[u8]| {
    let [first, rest @ ..] = input else { return };
    let delimiter = match first % 4 {
        0 => None,
        1 => Some('/'),
        2 => Some('.'),
        _ => Some(char::from(first / 4 + 0x20)),
    };
    let text = String::from_utf8_lossy(rest);
    if let Some((ours, back)) = there_and_back(&text, delimiter) {
        assert!(back == text || ours.as_str().starts_with("INBOX"), "{text:?} is {back:?}");
        assert!(back.is_ascii(), "{back:?}");
    }
    if let Ok(ours) = MailboxName::new(&text)
        && let Some(again) = back_and_there(&ours, delimiter)
    {
        assert_eq!(again, Some(ours));
    }
});
