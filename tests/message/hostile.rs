//! Mail made to kill: nothing panics, nothing overflows a stack, time grows with the size alone.

use std::time::{Duration, Instant};

use mailmill::mail::Message;
use mailmill::mail::guard::{Excess, MOST_BYTES};
use mailmill::mail::report::{delivery, disposition};

use super::{Random, files};

/// Asks everything there is to ask.
fn ask_all(message: &Message) -> usize {
    let mut answers = vec![
        message.subject().len(),
        message.thread_subject().len(),
        message.from().len(),
        message.to().len(),
        message.cc().len(),
        message.reply_to().len(),
        message.in_reply_to().len(),
        message.references().len(),
        message.receipt_headers().len(),
    ];
    let options =
        [message.date(), message.message_id(), message.list_id(), message.header("X-Any")];
    answers.extend(options.map(|option| option.map_or(0, |text| text.len())));
    let kinds = [
        message.is_auto(),
        message.is_bounce(),
        message.is_mdn(),
        message.is_list(),
        message.is_reply(),
    ];
    answers.extend(kinds.map(usize::from));
    let body = [message.is_signed(), message.is_encrypted(), message.has_calendar()];
    answers.extend(body.map(|answer| usize::from(answer.unwrap_or(false))));
    answers.push(message.text(1 << 20).map_or(0, |text| text.len()));
    answers.push(message.html(1 << 20).map_or(0, |text| text.len()));
    answers.push(message.attachments().map_or(0, |list| list.len()));
    answers.push(delivery(message).map_or(0, |report| usize::from(report.is_some())));
    answers.push(disposition(message).map_or(0, |report| usize::from(report.is_some())));
    answers.push(message.without_receipt_requests().with_header_set("Subject", "x").size());
    answers.iter().sum()
}

/// The time this thread has spent on a processor, which other programs do not lengthen. Where the
/// system does not tell, the time on the wall.
fn time_spent(since: Instant) -> Duration {
    // Giving way brings the kernel's count up to date.
    std::thread::yield_now();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn time_of(bytes: Vec<u8>) -> Duration {
    let message = Message::whole(bytes);
    let since = Instant::now();
    let before = time_spent(since);
    std::hint::black_box(ask_all(&message));
    time_spent(since).saturating_sub(before)
}

/// Eight times the size takes about eight times as long; quadratic work would take 64 times. The
/// shortest of a few tries counts, because caches are shared with other programs.
#[track_caller]
fn is_linear(size: usize, build: impl Fn(usize) -> Vec<u8>) {
    let (mut small, mut big) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        small = small.min(time_of(build(size))).max(Duration::from_micros(100));
        big = big.min(time_of(build(8 * size)));
        if big < small * 24 {
            return;
        }
        if big > Duration::from_secs(5) {
            break;
        }
    }
    panic!("{size} take {small:?}, eight times as much takes {big:?}");
}

fn body(content_type: &str, body: impl std::fmt::Display) -> Vec<u8> {
    format!("From: a@b.de\r\nContent-Type: {content_type}\r\n\r\n{body}").into_bytes()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    format!("{name}: {value}\r\n\r\nbody\r\n").into_bytes()
}

#[test]
fn nested_messages_are_not_followed() {
    let deep = |n| body("message/rfc822", "Content-Type: message/rfc822\r\n\r\n".repeat(n));
    let message = Message::whole(deep(50_000));
    assert_eq!(message.attachments().unwrap().len(), 1);
    assert_eq!(message.excess(), Ok(None));
    is_linear(5_000, deep);
}

#[test]
fn nested_multiparts_are_opaque_over_the_limit() {
    let deep = |n: usize| {
        let level =
            |i| format!("--{i}\r\nContent-Type: multipart/mixed; boundary={}\r\n\r\n", i + 1);
        body("multipart/mixed; boundary=0", (0..n).map(level).collect::<String>() + "the end")
    };
    let message = Message::whole(deep(50_000));
    assert_eq!(message.excess(), Ok(Some(Excess::Nesting)));
    assert_eq!(message.attachments(), Ok(Vec::new()));
    assert!(
        message.text(99).unwrap().starts_with("--0\r\nContent-Type".replace('\r', "").as_str())
    );
    assert_eq!(message.from().len(), 1);
    assert_eq!(Message::whole(deep(90)).excess(), Ok(None));
    is_linear(5_000, deep);
}

#[test]
fn parts_whose_boundary_never_comes_cost_no_more_than_their_bytes() {
    let never = |n| {
        let part = "--b\r\nContent-Type: multipart/mixed; boundary=never\r\n\r\nx\r\n";
        body("multipart/mixed; boundary=b", part.repeat(n) + "--b--")
    };
    let message = Message::whole(never(8000));
    assert_eq!(message.excess(), Ok(Some(Excess::Parts)));
    assert_eq!(Message::whole(never(900)).excess(), Ok(None));
    is_linear(200, never);
    is_linear(2000, |n| {
        let part = "--b\r\nContent-Type: multipart/mixed; boundary=never\r\n\r\n";
        body("multipart/mixed; boundary=b", part.repeat(90) + "--x\r\n".repeat(n).as_str())
    });
}

#[test]
fn hundreds_of_thousands_of_parts_are_opaque() {
    let parts = |n| body("multipart/mixed; boundary=b", "--b\r\n\r\n\r\n".repeat(n));
    assert_eq!(Message::whole(parts(250_000)).excess(), Ok(Some(Excess::Parts)));
}

#[test]
fn a_huge_body_is_opaque_and_a_huge_boundary_is_none() {
    let mut bytes = body("multipart/mixed; boundary=b", "--b\r\n\r\ntext\r\n");
    bytes.resize(MOST_BYTES + 200, b'x');
    let message = Message::whole(bytes);
    assert_eq!(message.excess(), Ok(Some(Excess::Size)));
    assert_eq!(message.attachments(), Ok(Vec::new()));
    let boundary = "b".repeat(1 << 20);
    let message = Message::whole(body(
        &format!("multipart/mixed; boundary={boundary}"),
        format!("--{boundary}\r\n\r\nx"),
    ));
    assert!(message.text(99).unwrap().starts_with("--bbb"));
}

#[test]
fn a_hundred_thousand_fields() {
    let fields = |n: usize| {
        let field = |i| format!("X-{i}: y\r\nTo: a{i}@b.de\r\n z\r\n");
        (0..n).map(field).collect::<String>().into_bytes()
    };
    assert_eq!(Message::whole(fields(50_000)).to().len(), 50_000);
    is_linear(5_000, fields);
}

#[test]
fn half_a_million_recipients_in_one_line() {
    let to = |n| field("To", &"A <a@b.de>, ".repeat(n));
    assert_eq!(Message::whole(to(500_000)).to().len(), 500_000);
    is_linear(8_000, to);
}

#[test]
fn hostile_addresses() {
    for piece in [
        "(",
        "\"",
        "<",
        "<a,",
        "<@",
        "a:",
        "\\",
        "=?utf-8?Q?a",
        "\"a\"",
        "a b ",
        "(\\)",
        ";",
        "<\"",
    ] {
        is_linear(5_000, |n| field("From", &piece.repeat(n)));
    }
}

#[test]
fn hostile_encoded_words() {
    let long = |n| field("Subject", &format!("=?utf-8?B?{}?=", "w7xh".repeat(n)));
    assert_eq!(Message::whole(long(2_500_000)).subject().chars().count(), 5_000_000);
    let pieces = [
        "=?",
        "=?utf-8?Q?",
        "=?utf-8?Q?a?= ",
        "=?utf-8?Q?a ",
        "=?a?b",
        "?=",
        "=?a?Q?=",
        "=?utf-8?B?w?==?iso-8859-1?Q?=FC?=",
    ];
    for piece in pieces {
        is_linear(5_000, |n| field("Subject", &piece.repeat(n)));
    }
}

#[test]
fn hostile_ids_subjects_and_parameters() {
    for piece in ["<a@b>", "<", "<<>", "a", " \r\n\t", "<\r\n "] {
        is_linear(8_000, |n| field("References", &piece.repeat(n)));
    }
    for piece in ["Re: ", "[EXT] ", "[", "*", "Re[", "*EXTERN* ", "a\r\n "] {
        is_linear(8_000, |n| field("Subject", &piece.repeat(n)));
    }
    for piece in ["; name*0=x", "; x", ";", "(", "=\"", "; a=b", "\\", "; n*1*=utf-8''%"] {
        is_linear(4_000, |n| field("Content-Type", &format!("text/plain{}", piece.repeat(n))));
    }
    is_linear(1_000, |n| {
        let names: String = (0..n).map(|number| format!(";{number:06}=x")).collect();
        field("Content-Type", &format!("text/plain{names}"))
    });
    for piece in ["(", "1", " ", "Mon, ", "-"] {
        is_linear(8_000, |n| field("Date", &piece.repeat(n)));
    }
}

#[test]
fn hostile_bodies() {
    for piece in [
        "<div><b>",
        "<table><tr><td>",
        "<",
        "<a ",
        "<!--",
        "<style>",
        "</",
        "<p>",
        "&",
        "&amp",
        ";",
        "<script></scrip",
    ] {
        is_linear(8_000, |n| body("text/html", piece.repeat(n)));
    }
    for piece in ["=", "=\r\n", " ", "=3", "\r\n"] {
        let kind = "text/plain\r\nContent-Transfer-Encoding: quoted-printable";
        is_linear(8_000, |n| body(kind, piece.repeat(n)));
    }
    let base64 = "application/pdf\r\nContent-Transfer-Encoding: base64";
    is_linear(20_000, |n| body(base64, "QUJD".repeat(n)));
    is_linear(20_000, |n| body("text/plain; charset=utf-7", "+AAA".repeat(n)));
    for piece in ["Action: failed\r\n\r\n", "\r\n", " \r\n", "x\r\n"] {
        is_linear(5_000, |n| {
            let report = "multipart/report; report-type=delivery-status; boundary=b";
            let part = "--b\r\nContent-Type: message/delivery-status\r\n\r\n";
            body(report, format!("{part}{}", piece.repeat(n)))
        });
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random::new();
    let originals: Vec<Vec<u8>> = files().iter().map(|path| std::fs::read(path).unwrap()).collect();
    for _ in 0..3000 {
        let mut bytes = originals[random.below(originals.len())].clone();
        let other = &originals[random.below(originals.len())];
        for _ in 0..random.below(10) {
            let at = random.below(bytes.len() + 1);
            let end = (at + random.below(30)).min(bytes.len());
            let from = random.below(other.len());
            let until = (from + random.below(200)).min(other.len());
            bytes.splice(at..end, other[from..until].iter().copied());
            let at = random.below(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        bytes.truncate(random.below(bytes.len() + 1).max(bytes.len() / 2));
        ask_all(&Message::whole(bytes.clone()));
        ask_all(&Message::from_headers(bytes));
    }
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..random.below(400)).map(|_| random.below(256) as u8).collect();
        ask_all(&Message::whole(bytes));
    }
}
