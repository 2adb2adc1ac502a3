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

#[test]
fn each_kind_with_its_reason() {
    let part = |head: &str, body: &str| format!("--b\n{head}\n\n{body}\n");
    let text = part(TEXT, "Hallo");
    let multi = |kind: &str| format!("Content-Type: multipart/{kind}; boundary=b");
    let both = |second: &str, body: &str| format!("{text}{}--b--\n", part(second, body));
    let pgp = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHallo\n-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n";
    let nested = format!(
        "{}--b--\n",
        part(
            "Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"",
            &text.replace("--b", "--s")
        )
    );
    let invitation = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR";
    let reasons = [
        (
            "S/MIME signed",
            why(
                &(multi("signed") + "; protocol=\"application/pkcs7-signature\""),
                &both("Content-Type: application/pkcs7-signature; name=smime.p7s", "x"),
            ),
        ),
        (
            "PGP signed",
            why(
                &(multi("signed") + "; protocol=\"application/pgp-signature\""),
                &both("Content-Type: application/pgp-signature", "x"),
            ),
        ),
        ("signed within another", why(&multi("mixed"), &nested)),
        (
            "S/MIME opaque",
            why(
                "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
                "x",
            ),
        ),
        ("PGP inline signed", why(TEXT, pgp)),
        (
            "S/MIME encrypted",
            why("Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data", "x"),
        ),
        (
            "PGP encrypted",
            why(
                &(multi("encrypted") + "; protocol=\"application/pgp-encrypted\""),
                &both("Content-Type: application/octet-stream", "x"),
            ),
        ),
        (
            "PGP inline encrypted",
            why(TEXT, "-----BEGIN PGP MESSAGE-----\n\nx\n-----END PGP MESSAGE-----\n"),
        ),
        (
            "rights managed",
            why(
                &multi("mixed"),
                &both(
                    "Content-Type: application/x-microsoft-rpmsg-message; name=message.rpmsg",
                    "x",
                ),
            ),
        ),
        (
            "invitation in an alternative",
            why(
                &multi("alternative"),
                &both("Content-Type: text/calendar; method=REQUEST", invitation),
            ),
        ),
        ("invitation alone", why("Content-Type: text/calendar; method=REPLY", invitation)),
        (
            "invitation of Exchange",
            why(&format!("{TEXT}\nContent-Class: urn:content-classes:calendarmessage"), "x"),
        ),
        (
            "TNEF",
            why(&multi("mixed"), &both("Content-Type: application/ms-tnef; name=winmail.dat", "x")),
        ),
        (
            "a read receipt",
            why(
                &(multi("report") + "; report-type=disposition-notification"),
                &both("Content-Type: message/disposition-notification", "Disposition: x"),
            ),
        ),
        (
            "a bounce",
            why(
                &(multi("report") + "; report-type=delivery-status"),
                &both("Content-Type: message/delivery-status", "x"),
            ),
        ),
        ("a file alone", why("Content-Type: application/pdf", "x")),
        (
            "a text that is a file",
            why(&format!("{TEXT}\nContent-Disposition: attachment; filename=a.txt"), "x"),
        ),
        ("no boundary", why("Content-Type: multipart/mixed", &text)),
        ("a boundary that never comes", why(&multi("mixed"), "Hallo\n")),
        (
            "an unknown encoding",
            why(&format!("{TEXT}\nContent-Transfer-Encoding: x-uuencode"), "begin 644 a\n"),
        ),
    ];
    let told: String = reasons.iter().map(|(what, why)| format!("{what} -> {why}\n")).collect();
    insta::assert_snapshot!(told);
}

#[test]
fn what_the_template_gives() {
    let message = Message::whole(mail(TEXT, "Hallo"));
    let told = |text: &str| {
        let (same, signing) =
            sign(&message, &super::Signature { text: text.into(), ..signature() }).unwrap();
        assert_eq!(same.bytes(), message.bytes());
        signing.to_string()
    };
    assert_eq!(told(" \n\n"), "not signed with smartcity: the template gives no text for it");
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
