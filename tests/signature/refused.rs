//! Mail that is never signed, and the reason that is recorded.

use mailmill::mail::Message;
use mailmill::mail::signature::{Signing, sign};

use super::{mail, signature};

#[track_caller]
fn why(content: &str, body: &str) -> String {
    let bytes = mail(content, body);
    let message = Message::whole(bytes.clone());
    let (signed, signing) = sign(&message, &signature()).unwrap();
    assert_eq!(**signed.bytes(), *bytes, "nothing changes");
    match &signing {
        Signing::Not { why, .. } => {
            let json = serde_json::to_value(&signing).unwrap();
            assert_eq!(json["signing"], "not");
            assert_eq!(json["why"], serde_json::to_value(why).unwrap());
            format!("{}: {why}", json["why"].as_str().unwrap())
        }
        other => panic!("{other}"),
    }
}

const TEXT: &str = "Content-Type: text/plain; charset=utf-8";

fn part(head: &str, body: &str) -> String {
    format!("--b\n{head}\n\n{body}\n")
}

fn multi(kind: &str) -> String {
    format!("Content-Type: multipart/{kind}; boundary=b")
}

/// A text with a second part.
fn both(second: &str, body: &str) -> String {
    format!("{}{}--b--\n", part(TEXT, "Hallo"), part(second, body))
}

#[track_caller]
fn told(reasons: &[(&str, String)]) -> String {
    reasons.iter().map(|(what, why)| format!("{what} -> {why}\n")).collect()
}

#[test]
fn signed_mail() {
    let of = |protocol: &str| format!("{}; protocol=\"application/{protocol}\"", multi("signed"));
    let pgp = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHallo\n\
               -----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n";
    let smime = both("Content-Type: application/pkcs7-signature; name=smime.p7s", "x");
    let inner =
        "Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"";
    let nested = part(inner, &part(TEXT, "Hallo").replace("--b", "--s")) + "--b--\n";
    let opaque = "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m";
    insta::assert_snapshot!(told(&[
        ("S/MIME", why(&of("pkcs7-signature"), &smime)),
        ("PGP", why(&of("pgp-signature"), &both("Content-Type: application/pgp-signature", "x"))),
        ("within another", why(&multi("mixed"), &nested)),
        ("S/MIME opaque", why(opaque, "x")),
        ("PGP inline", why(TEXT, pgp)),
    ]));
}

#[test]
fn encrypted_mail() {
    let pgp = multi("encrypted") + "; protocol=\"application/pgp-encrypted\"";
    let armor = "-----BEGIN PGP MESSAGE-----\n\nx\n-----END PGP MESSAGE-----\n";
    let managed = "Content-Type: application/x-microsoft-rpmsg-message; name=message.rpmsg";
    let smime = "Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data";
    insta::assert_snapshot!(told(&[
        ("S/MIME", why(smime, "x")),
        ("PGP", why(&pgp, &both("Content-Type: application/octet-stream", "x"))),
        ("PGP inline", why(TEXT, armor)),
        ("rights managed", why(&multi("mixed"), &both(managed, "x"))),
    ]));
}

#[test]
fn mail_for_programs() {
    let invitation = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR";
    let request = both("Content-Type: text/calendar; method=REQUEST", invitation);
    let exchange = format!("{TEXT}\nContent-Class: urn:content-classes:calendarmessage");
    let tnef = both("Content-Type: application/ms-tnef; name=winmail.dat", "x");
    let receipt = multi("report") + "; report-type=disposition-notification";
    let bounce = multi("report") + "; report-type=delivery-status";
    let mdn = both("Content-Type: message/disposition-notification", "Disposition: x");
    insta::assert_snapshot!(told(&[
        ("invitation in an alternative", why(&multi("alternative"), &request)),
        ("invitation alone", why("Content-Type: text/calendar; method=REPLY", invitation)),
        ("invitation of Exchange", why(&exchange, "x")),
        ("TNEF", why(&multi("mixed"), &tnef)),
        ("a read receipt", why(&receipt, &mdn)),
        ("a bounce", why(&bounce, &both("Content-Type: message/delivery-status", "x"))),
    ]));
}

#[test]
fn mail_without_a_text_that_can_be_read() {
    let file = format!("{TEXT}\nContent-Disposition: attachment; filename=a.txt");
    let coded = format!("{TEXT}\nContent-Transfer-Encoding: x-uuencode");
    insta::assert_snapshot!(told(&[
        ("a file alone", why("Content-Type: application/pdf", "x")),
        ("a text that is a file", why(&file, "x")),
        ("no boundary", why("Content-Type: multipart/mixed", &part(TEXT, "Hallo"))),
        ("a boundary that never comes", why(&multi("mixed"), "Hallo\n")),
        ("an unknown encoding", why(&coded, "begin 644 a\n")),
    ]));
}

#[test]
fn what_the_template_gives() {
    let message = Message::whole(mail(TEXT, "Hallo"));
    let told = |text: &str| {
        let (same, signing) = sign(
            &message,
            &super::Signature { text: text.into(), html: String::new(), ..signature() },
        )
        .unwrap();
        assert_eq!(same.bytes(), message.bytes());
        signing.to_string()
    };
    assert_eq!(told(" \n\n"), "not signed with smartcity: the template gives no text for it");
    assert_eq!(told("-- \n"), "not signed with smartcity: the template gives no text for it");
    assert!(told("> cited").contains("reads like the start of quoted mail"));
    assert!(told("Von: a\nAn: b\nBetreff: c").contains("reads like the start of quoted mail"));
}

#[test]
fn a_calendar_file_that_is_sent_along_forbids_nothing() {
    let body = "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nTermine anbei\n--b\n\
                Content-Type: text/calendar; name=feiertage.ics\n\
                Content-Disposition: attachment; filename=feiertage.ics\n\nBEGIN:VCALENDAR\n--b--\n";
    let message = Message::whole(mail("Content-Type: multipart/mixed; boundary=b", body));
    assert!(matches!(sign(&message, &signature()).unwrap().1, Signing::Signed { .. }));
}

#[test]
fn headers_alone_are_not_enough() {
    let message = Message::from_headers(mail(TEXT, ""));
    assert!(sign(&message, &signature()).is_err());
}
