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

/// Whatever a message holds: signed twice it is the same, and what was there is there still.
#[test]
fn messages_changed_at_random() {
    let mut random = Random(0x5eed);
    let names =
        ["reply-aw", "alternative", "attachments", "html-only", "umlaut-iso-8859-1", "blank-plain"];
    let folder = crate::support::mill::root().join("tests/mail");
    let mut messages: Vec<Vec<u8>> = names
        .iter()
        .map(|name| std::fs::read(folder.join(format!("{name}.eml"))).unwrap())
        .collect();
    messages.extend(super::replies::some());
    let (mut signed, rounds) = (0, 3_000);
    for round in 0..rounds {
        let mut bytes = messages[random.below(messages.len())].clone();
        for _ in 0..=random.below(4) {
            random.change(&mut bytes);
        }
        let signature = if round % 2 == 0 { signature() } else { super::with_logo() };
        let message = Message::whole(bytes.clone());
        let (once, signing) = sign(&message, &signature).unwrap();
        let (twice, _) = sign(&Message::whole(once.bytes().clone()), &signature).unwrap();
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        assert!(
            twice.bytes() == once.bytes(),
            "signed twice: {}\n\n{}",
            shown(),
            String::from_utf8_lossy(once.bytes())
        );
        match signing {
            Signing::Signed { .. } => signed += 1,
            _ => assert!(once.bytes() == message.bytes()),
        }
    }
    assert!(signed > rounds / 2, "{signed}");
}

/// xorshift: the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (most as u64).max(1)).unwrap()
    }

    /// Takes something out, doubles something, or puts something in that matters.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        const PIECES: [&[u8]; 22] = [
            b"\r\n",
            b"\n",
            b"--b",
            b"<blockquote>",
            b"</blockquote>",
            b"<div class=\"gmail_quote\">",
            b"> ",
            b"\r\n> ",
            b"Von: x\r\n",
            b"Betreff: y\r\n",
            b"An: z\r\n",
            b"-- \r\n",
            b"=\r\n",
            b"=20",
            b"\xfc",
            b"</body>",
            b"<!--",
            b"-->",
            b"{{signature}}",
            b"Am 1.1. schrieb x:\r\n",
            b"-----Original Message-----\r\n",
            b" ",
        ];
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(60)).min(bytes.len());
        match self.below(4) {
            0 => {
                bytes.drain(at..end);
            }
            1 => {
                let piece = bytes[at..end].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}
