//! The signature that rules ask for stands in what is queued, once; where it does not, `explain` says
//! why.

use super::Office;

const SCRIPT: &str = r#"
fn outbound(mail) {
    mail.sign(if mail.subject == "broken" { mail.subject } else { "firm" });
    mail.strip_receipt_requests();
}
"#;

fn office() -> Office {
    let mut office = Office::stopped("", "9");
    office.mill.write("scripts/send.rhai", SCRIPT);
    office.mill.write("templates/firm.txt", "{{ user.name }}\n{{ account.address }}\n");
    office.start();
    office
}

#[test]
fn what_is_queued_is_signed_whatever_its_size() {
    let office = office();
    let mut client = office.anna();
    let large = "The quick brown fox jumps over the lazy dog.\r\n".repeat(20_000);
    for text in ["Guten Tag\r\n", &large] {
        let head = "From: anna@example.com\r\nDisposition-Notification-To: anna@example.com";
        let (code, line) = client.send(&format!("{head}\r\nSubject: hello\r\n\r\n{text}"));
        assert_eq!(code, 250, "{line}");
    }
    for ((_, message), text) in office.queue().iter().zip(["Guten Tag\r\n", &large]) {
        assert_eq!(message.matches("office@example.com").count(), 1);
        assert!(message.contains(text));
        assert!(message.contains("Anna Wei"), "{}", &message[..message.len().min(2_000)]);
        assert!(!message.contains("Disposition-Notification-To"));
    }
    for call in [&["explain"][..], &["explain", "1"]] {
        let told = office.mill.expect(0, call);
        assert!(told.contains("signed with firm"), "{told}");
    }
}

#[test]
fn what_cannot_be_signed_is_sent_as_it_is_and_says_why() {
    let office = office();
    let pgp = "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\
        \r\n\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\
        Content-Type: application/octet-stream\r\n\r\nsecret\r\n--b--\r\n";
    let sent = office.anna().send(&format!("From: anna@example.com\r\n{pgp}"));
    assert_eq!(sent.0, 250, "{}", sent.1);
    let (_, message) = office.only();
    assert!(message.contains(pgp.split_once("\r\n\r\n").unwrap().1));
    let told = office.mill.expect(0, &["explain", "1"]);
    assert!(told.contains("not signed with firm: it is encrypted"), "{told}");
}

#[test]
fn a_template_that_is_not_there_holds_the_message() {
    let office = office();
    let sent = office.anna().send("From: anna@example.com\r\nSubject: broken\r\n\r\nx");
    assert_eq!(sent.0, 250, "{}", sent.1);
    let held = office.only().0["held"].as_str().unwrap_or_default().to_owned();
    assert!(held.contains("broken"), "{held}");
}
