//! A whole message as mail servers hand it over: 1.5 to 3 KB of header, then its body.

use super::body::Filler;
use super::{Draft, ID, Kind};
use crate::random::Random;

const NAMES: [&str; 8] = [
    "Petra Weber",
    "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?=",
    "\"Schmidt, Karl\"",
    "=?iso-8859-1?Q?Sch=F6n?=",
    "Anna Bauer",
    "Bauamt",
    "\"Dr. Ines Vogel\"",
    "Tom Becker",
];
const DOMAINS: [&str; 6] = [
    "bau.example",
    "planung.example",
    "stadt.example",
    "statik.example",
    "holz.example",
    "elektro.example",
];
const TOPICS: [&str; 10] = [
    "minutes of the site meeting",
    "offer for doors",
    "=?UTF-8?Q?Pr=C3=BCfbericht_Gr=C3=B6=C3=9Fe?=",
    "invoice 2026/117",
    "=?utf-8?B?TmFjaHRyYWcgZsO8ciBkaWUgVMO8cmVu?=",
    "drawings of the second floor",
    "question about the schedule",
    "acceptance on Thursday",
    "delivery of the windows",
    "structural calculation, third version",
];
const PREFIXES: [&str; 8] = ["", "", "", "", "Re: ", "AW: ", "WG: ", "[EXTERN] "];

/// The message.
pub(super) fn message(draft: &Draft, filler: &Filler, random: &mut Random) -> Vec<u8> {
    let boundary = format!("=_{}", random.word(24));
    let mut text = trace(draft, random);
    text += &people(draft, random);
    text += &format!("MIME-Version: 1.0\n{}", extras(random));
    text += &content_type(draft, &boundary);
    text.push('\n');
    let mut bytes = text.into_bytes();
    filler.body(draft, &boundary, &mut bytes, random);
    bytes
}

/// What the servers on the way have written.
fn trace(draft: &Draft, random: &mut Random) -> String {
    let mut text = format!("Return-Path: <{}>\n", address(random));
    if draft.kind != Kind::Person {
        text = "Return-Path: <>\n".into();
    }
    text += "Delivered-To: projects@example.test\n";
    for _ in 0..2 + random.below(4) {
        let (from, by) = (random.word(6), random.word(6));
        text += &format!(
            "Received: from {from}.{} ({from}.{} [192.0.2.{}])\n\tby {by}.example.test (Postfix) \
             with ESMTPS id {}\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\n\t\
             for <projects@example.test>; {}\n",
            random.pick(&DOMAINS),
            random.pick(&DOMAINS),
            random.below(256),
            random.word(12),
            date(draft.id)
        );
    }
    text
}

/// Who writes to whom, about what.
fn people(draft: &Draft, random: &mut Random) -> String {
    let sender = address(random);
    let mut text =
        format!("From: {} <{sender}>\nTo: <projects@example.test>\n", random.pick(&NAMES));
    if random.chance(40) {
        text += &format!(
            "Cc: {} <{}>,\n\t{} <{}>\n",
            random.pick(&NAMES),
            address(random),
            random.pick(&NAMES),
            address(random)
        );
    }
    text += &format!("Subject: {}\nDate: {}\n", subject(draft, random), date(draft.id));
    text += &format!("Message-ID: <{}.{}@{}>\n", draft.id, random.word(16), random.pick(&DOMAINS));
    text += &format!("{ID}: {}\n", draft.id);
    if random.chance(40) {
        let answered = format!("<{}@{}>", random.word(20), random.pick(&DOMAINS));
        text += &format!(
            "In-Reply-To: {answered}\nReferences: <{}@x.example>\n\t{answered}\n",
            random.word(20)
        );
    }
    if draft.asks {
        text += &format!("Disposition-Notification-To: <{sender}>\n");
    }
    text
}

/// At most one known project; other brackets besides.
fn subject(draft: &Draft, random: &mut Random) -> String {
    let prefix = match draft.kind {
        Kind::Person => random.pick(&PREFIXES),
        Kind::Mdn => "Read: ",
        Kind::Dsn => "Undelivered: ",
    };
    let token = match &draft.project {
        Some(code) if random.chance(5) => format!("[T-{}] [{code}] ", 901 + random.below(50)),
        Some(code) => format!("[{code}] "),
        None if random.chance(8) => format!("[T-{}] ", 901 + random.below(50)),
        None if random.chance(3) => "T-101 [T-1] [EXT] ".to_owned(),
        None => String::new(),
    };
    format!("{prefix}{token}{}\n {}", random.pick(&TOPICS), draft.id)
}

/// What filters and mail programs add.
fn extras(random: &mut Random) -> String {
    let mut text = format!(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={}; s=mail;\n\t\
         h=from:to:subject:date:message-id; bh={}=;\n\tb={}\n\t {}\n\t {}\n",
        random.pick(&DOMAINS),
        random.word(43),
        random.word(64),
        random.word(72),
        random.word(72)
    );
    text += &format!(
        "Authentication-Results: mx.example.test; dkim=pass header.d={};\n\tspf=pass \
         smtp.mailfrom={}; dmarc=pass\n",
        random.pick(&DOMAINS),
        random.pick(&DOMAINS)
    );
    text += &format!("Thread-Index: {}\nX-Mailer: Courier {}\n", random.word(30), random.below(20));
    for number in 0..random.below(8) {
        text += &format!("X-MS-Exchange-Part-{number}: {}\n", random.word(60));
    }
    text
}

fn content_type(draft: &Draft, boundary: &str) -> String {
    let kind = match draft.kind {
        Kind::Mdn => "report; report-type=disposition-notification",
        Kind::Dsn => "report; report-type=delivery-status",
        Kind::Person if draft.size < 8_000 => {
            return "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
                .into();
        }
        Kind::Person => "mixed",
    };
    format!("Content-Type: multipart/{kind};\n\tboundary=\"{boundary}\"\n")
}

fn address(random: &mut Random) -> String {
    format!("{}@{}", random.word(8), random.pick(&DOMAINS))
}

fn date(id: usize) -> String {
    let (minute, second) = (id / 60 % 60, id % 60);
    format!("Thu, 12 Nov 2026 {:02}:{minute:02}:{second:02} +0100", id / 3_600 % 24)
}
