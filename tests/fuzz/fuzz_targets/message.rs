//! Everything a rule can read, of any bytes: nothing panics, nothing overflows a stack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailmill::mail::Message;
use mailmill::mail::report::{delivery, disposition};

fn read_head(message: &Message) {
    message.subject();
    message.thread_subject();
    message.from();
    message.to();
    message.cc();
    message.reply_to();
    message.in_reply_to();
    message.references();
    message.receipt_headers();
    message.receipt_requested();
    message.date();
    message.message_id();
    message.list_id();
    message.header("X-Any");
    message.headers("Received");
    message.is_auto();
    message.is_bounce();
    message.is_mdn();
    message.is_list();
    message.is_reply();
}

fuzz_target!(|bytes: &[u8]| {
    let head = Message::from_headers(bytes);
    read_head(&head);
    assert!(head.text(99).is_err(), "a head has no body");
    let whole = Message::whole(bytes);
    read_head(&whole);
    assert_eq!(whole.subject(), head.subject());
    assert_eq!(whole.is_encrypted().is_ok(), true);
    let _ = whole.is_signed();
    let _ = whole.has_calendar();
    assert!(whole.text(1000).is_ok_and(|text| text.len() <= 1000 + 64));
    let _ = whole.html(1 << 16);
    let _ = whole.attachments();
    let _ = whole.raw(1 << 16);
    let _ = whole.excess();
    let _ = delivery(&whole);
    let _ = disposition(&whole);
});
