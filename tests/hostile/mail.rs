//! Hostile mail through the whole engine, read by a rule that asks for everything: each message is
//! sorted or held with a reason, and none keeps the others.

use mailmill::store::State;

use super::{EVERYTHING, config, message, say};
use crate::support::fake_server::{Effect, FakeServer, PASSWORD, USERS};
use crate::support::office::Office;

const READ_ALL: &str = r#"
fn inbound(mail) {
    let sum = mail.subject.len + mail.thread_subject.len + mail.from.address.len + mail.to.len;
    sum += mail.cc.len + mail.in_reply_to.len + mail.references.len + mail.headers("Received").len;
    if mail.is_auto || mail.is_bounce || mail.is_mdn || mail.is_list || mail.is_reply { sum += 1; }
    if mail.is_encrypted || mail.is_signed || mail.has_calendar || mail.receipt_requested { sum += 1; }
    sum += mail.text.len + mail.html.len + mail.attachments.len;
    mail.move_to("Done");
}
"#;

fn body(content_type: &str, body: &str) -> Vec<u8> {
    format!("From: a@b.de\r\nContent-Type: {content_type}\r\n\r\n{body}").into_bytes()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    format!("From: a@b.de\r\n{name}: {value}\r\n\r\nbody\r\n").into_bytes()
}

fn nested_multiparts(depth: usize) -> Vec<u8> {
    let level =
        |at| format!("--{at}\r\nContent-Type: multipart/mixed; boundary={}\r\n\r\n", at + 1);
    body("multipart/mixed; boundary=0", &(0..depth).map(level).collect::<String>())
}

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let never = "--b\r\nContent-Type: multipart/mixed; boundary=never\r\n\r\nx\r\n".repeat(8_000);
    let fields: String = (0..100_000).map(|at| format!("X-{at}: y\r\n")).collect();
    let encoded = "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ";
    vec![
        ("nothing", Vec::new()),
        ("line ends", b"\r\n\r\n\r\n".to_vec()),
        ("no header", b"\r\nbody".to_vec()),
        ("no body", b"From: a@b.de".to_vec()),
        ("NUL", b"From: a\0@b.de\r\nSubject: \0\0\r\n\r\n\0body\0\r\n".to_vec()),
        ("bare CR", b"From: a@b.de\rSubject: x\r\rbody\r".to_vec()),
        ("LF only", b"From: a@b.de\nSubject: x\n\nbody\n".to_vec()),
        ("8-bit", b"From: \xff\xfe@b.de\r\nSubject: \x80\r\n\r\n\xc3\x28\r\n".to_vec()),
        (
            "nested messages",
            body("message/rfc822", &"Content-Type: message/rfc822\r\n\r\n".repeat(50_000)),
        ),
        ("nested multiparts", nested_multiparts(50_000)),
        ("parts that never end", body("multipart/mixed; boundary=b", &never)),
        ("fields", format!("From: a@b.de\r\n{fields}\r\nbody").into_bytes()),
        ("one field of 10 MB", field("Subject", &"x".repeat(10 << 20))),
        ("folded", field("Subject", &"x\r\n ".repeat(100_000))),
        ("recipients", field("To", &"A <a@b.de>, ".repeat(1_000_000))),
        ("parameters", field("Content-Type", &format!("text/plain{}", "; a=b".repeat(100_000)))),
        ("words", field("Subject", &"=?utf-8?Q?a?= ".repeat(100_000))),
        ("long word", field("Subject", &format!("=?utf-8?B?{}?=", "w7xh".repeat(1_000_000)))),
        ("references", field("References", &"<a@b> ".repeat(100_000))),
        (
            "quoted-printable",
            body(&format!("{encoded}quoted-printable"), &"=\r\n=3=ZZ= \r\n".repeat(50_000)),
        ),
        ("base64", body(&format!("{encoded}base64"), &"Q=U\0==JD\r\n*".repeat(50_000))),
        ("charset", body("text/plain; charset=\"utf-8\\\" \u{1b}]52;\"", "\u{202e}x")),
        ("another charset", body("text/plain; charset=utf-7", &"+AAA+".repeat(50_000))),
        ("HTML", body("text/html", &"<div><b>".repeat(50_000))),
        ("HTML that never ends", body("text/html", &"<a href=\"".repeat(50_000))),
    ]
}

#[test]
fn hostile_mail_costs_itself_at_most() {
    let server = FakeServer::start(EVERYTHING);
    let office = Office::new(&config(server.port), READ_ALL, PASSWORD);
    let hostile = hostile();
    for (_, bytes) in &hostile {
        server.world(|world| world.deliver(USERS[0], bytes));
    }
    server.world(|world| world.deliver(USERS[0], &message("last")));
    office.look().unwrap();
    let records = office.store().recent(100).unwrap();
    assert_eq!(records.len(), hostile.len() + 1, "each is decided");
    for record in &records {
        let name = hostile.get(record.key.uid.0 as usize - 1).map_or("last", |(name, _)| name);
        let reason = record.hold.as_ref().map(|hold| hold.reason.as_str());
        assert!(matches!(record.state, State::Settled | State::Held), "{name}: {record:?}");
        assert!(reason.is_none_or(|why| why.contains("step sort")), "{name}: {reason:?}");
    }
    let left = server.world(|world| world.mailbox(USERS[0], "INBOX").unwrap().messages.len());
    let done = server.world(|world| world.mailbox(USERS[0], "Done").unwrap().messages.len());
    assert_eq!(left + done, hostile.len() + 1);
    assert!(done > hostile.len() / 2, "only {done} of {} are sorted", hostile.len());
    assert!(!office.told().contains("fault of mailmill"), "{}", office.told());
}

/// Rules that read headers alone never move the bytes of a body, whatever its size; others hold
/// what is over `max_size`.
#[test]
fn a_body_over_the_limit_is_never_asked_for() {
    for (script, held) in [
        ("fn inbound(mail) { mail.move_to(\"Done\"); }", false),
        ("fn inbound(mail) { if mail.text.len > 0 { mail.move_to(\"Done\"); } }", true),
    ] {
        let server = FakeServer::start(EVERYTHING);
        let office = Office::new(&config(server.port), script, PASSWORD);
        server.world(|world| world.deliver(USERS[0], &message("huge")));
        server.fault("UID FETCH", Effect::Done, (0, 9), |_, right| {
            let right = String::from_utf8(right).unwrap();
            say(right.replace("RFC822.SIZE 1", "RFC822.SIZE 9999999"))
        });
        office.look().unwrap();
        let heard = server.heard();
        assert!(!heard.iter().any(|said| said.contains("BODY.PEEK[]")), "{heard:?}");
        assert_eq!(server.subjects(USERS[0], "Done").len(), usize::from(!held));
        assert_eq!(office.told().contains("over max_size"), held, "{}", office.told());
    }
}
