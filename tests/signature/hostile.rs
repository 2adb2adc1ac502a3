//! Mail made to hurt: it takes no more time than its size asks for, and comes to no harm.

use std::time::{Duration, Instant};

use mailmill::mail::Message;
use mailmill::mail::signature::{Signing, Why, sign};

use super::{mail, signature};

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit";
const HTML: &str = "Content-Type: text/html; charset=utf-8";

/// Signs and says how long it took; signing again changes nothing.
#[track_caller]
fn timed(content: &str, body: &str) -> (Signing, Duration) {
    let message = Message::whole(mail(content, body));
    let started = Instant::now();
    let (signed, signing) = sign(&message, &signature()).unwrap();
    let took = started.elapsed();
    let (again, _) = sign(&Message::whole(signed.bytes().clone()), &signature()).unwrap();
    assert_eq!(again.bytes(), signed.bytes());
    (signing, took)
}

/// Ten times as much takes no more than thirty times as long, with room for a busy machine.
#[track_caller]
fn is_linear(content: &str, piece: &str) {
    is_linear_up_to(1 << 20, content, piece);
}

#[track_caller]
fn is_linear_up_to(most: usize, content: &str, piece: &str) {
    let body = |bytes: usize| piece.repeat(bytes / piece.len()) + "\n";
    let least = Duration::from_millis(20);
    let (_, small) = timed(content, &body(most / 10));
    let (_, large) = timed(content, &body(most));
    assert!(large < small.max(least) * 40, "{piece:?}: {small:?}, then {large:?}");
}

#[test]
fn ten_megabytes_of_text() {
    is_linear_up_to(10 << 20, TEXT, "Hallo, wie geht es?\n");
    is_linear_up_to(10 << 20, HTML, "<p>Hallo, wie geht es?</p>\n");
}

#[test]
fn a_megabyte_of_anything() {
    for piece in ["a", "Hallo, wie geht es?\n", "\n", "> cited\n", "Von: a\n", "x:\n", "ü", "{{ "]
    {
        is_linear(TEXT, piece);
    }
    for piece in [
        "<",
        "<!--",
        "<div>",
        "<blockquote>",
        "</blockquote>",
        "<p>Von: a</p>\n",
        "<style>",
        "&nbsp;",
        "<div class=\"gmail_quote\">",
        "{{signature",
        "<a b",
    ] {
        is_linear(HTML, piece);
    }
    let quoted =
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable";
    for piece in ["=C3=BC", "=\n", "=20\n", "==="] {
        is_linear(quoted, piece);
    }
}

#[test]
fn too_deep_and_too_many() {
    let mut body = String::new();
    for level in 0..200 {
        body += &format!("--b{level}\nContent-Type: multipart/mixed; boundary=b{}\n\n", level + 1);
    }
    let not = |content: &str, body: &str| match timed(content, body).0 {
        Signing::Not { why, .. } => why,
        other => panic!("{other}"),
    };
    assert_eq!(not("Content-Type: multipart/mixed; boundary=b0", &body), Why::Opaque);
    let many = "--b\nContent-Type: text/plain\n\nx\n".repeat(2000);
    assert_eq!(not("Content-Type: multipart/mixed; boundary=b", &many), Why::Opaque);
    let alternatives = "--b\nContent-Type: text/html\n\n<p>x</p>\n".repeat(900);
    assert!(matches!(
        timed("Content-Type: multipart/alternative; boundary=b", &alternatives).0,
        Signing::Signed { .. }
    ));
}

#[test]
fn cut_off_and_broken() {
    let multi = "Content-Type: multipart/alternative; boundary=b";
    for body in [
        "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nHallo\n",
        "--b\nContent-Type: text/plain",
        "--b\n\n--b--\n",
        "--b--\n",
        "--b\nContent-Type: text/html; charset=utf-8\n\n<p>x</p>\n",
        "",
    ] {
        let _ = timed(multi, body);
    }
    for body in
        ["<div", "<!-- x", "</body></html></body>", "<blockquote></blockquote></blockquote>x", "\0"]
    {
        assert!(matches!(timed(HTML, body).0, Signing::Signed { .. }), "{body}");
    }
    for charset in ["x-unknown", "\"", "utf-16", "hz-gb-2312", "iso-2022-kr", "", "ibm037"] {
        let content = format!("Content-Type: text/plain; charset={charset}");
        assert!(matches!(timed(&content, "Hallo\n").0, Signing::Signed { .. }), "{charset}");
    }
}

/// The messages that other tests read: real programs' mail, and broken mail.
#[test]
fn every_message_of_the_corpus() {
    let mut signed = 0;
    for entry in std::fs::read_dir(crate::support::mill::root().join("tests/mail")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "eml") {
            continue;
        }
        let message = Message::whole(std::fs::read(&path).unwrap());
        for signature in [signature(), super::with_logo()] {
            let (once, signing) = sign(&message, &signature).unwrap();
            let (twice, _) = sign(&Message::whole(once.bytes().clone()), &signature).unwrap();
            assert_eq!(twice.bytes(), once.bytes(), "{path:?}");
            let files = once.attachments().unwrap();
            assert!(message.attachments().unwrap().iter().all(|file| files.contains(file)));
            assert_eq!(once.subject(), message.subject());
            match signing {
                Signing::Signed { .. } => signed += 1,
                _ => assert_eq!(once.bytes(), message.bytes(), "{path:?}"),
            }
        }
    }
    assert!(signed > 40, "{signed}");
}
