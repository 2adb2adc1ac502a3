//! A thousand mixed messages of a project mailbox, made the same each time, each with a token and
//! the place where the rules of `tests/project_mailbox.rs` must put it.

/// Where the rules put a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Stands in the header `X-Token` and in the body.
    pub token: String,
    /// The watched mailbox it is put into, as an index.
    pub source: usize,
    /// The mailbox where it must end; `None` where it must stay.
    pub target: Option<&'static str>,
    /// Whether `$MDNSent` must be set on it.
    pub receipt: bool,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Projects of the table, with their mailboxes.
pub const PROJECTS: [(&str, &str); 3] = [
    ("T-071", "Projekte/T-071 Grün"),
    ("T-072", "Projekte/T-072"),
    ("B-9", "Projekte/B-9 \"Süd\""),
];

/// Makes `count` samples for `sources` mailboxes.
pub fn samples(count: usize, sources: usize) -> Vec<Sample> {
    (0..count).map(|number| sample(number, sources)).collect()
}

fn sample(number: usize, sources: usize) -> Sample {
    let (code, mailbox) = PROJECTS[number % PROJECTS.len()];
    let token = format!("token-{number:05}");
    let kind = number % 10;
    let receipt = matches!(kind, 0 | 4);
    let (subject, target) = match kind {
        6 => ("Gelesen: Baubesprechung".into(), Some("Receipts")),
        7 => (format!("Mittagessen {number}"), None),
        8 => (format!("[X-{number}] kein Projekt [1] [EXT]"), None),
        _ => (subject(kind, code, number), Some(mailbox)),
    };
    let mut header = format!(
        "Return-Path: <absender@firma.example>\r\nFrom: {}\r\nTo: projekt@example.test\r\n\
         Subject: {}\r\nDate: Thu, 12 Nov 2026 09:{:02}:{:02} +0100\r\n\
         Message-ID: <{token}@firma.example>\r\nX-Token: {token}\r\nMIME-Version: 1.0\r\n",
        encoded_from(kind),
        encode(&subject, kind),
        number / 60 % 60,
        number % 60
    );
    if receipt {
        header += [
            "Disposition-Notification-To: absender@firma.example\r\n",
            "Return-Receipt-To:\r\n absender@firma.example\r\n",
        ][number / 10 % 2];
    }
    let bytes = format!("{header}{}", body(kind, &token)).into_bytes();
    Sample { token, source: number % sources, target, receipt, bytes }
}

fn subject(kind: usize, code: &str, number: usize) -> String {
    match kind {
        1 => format!("AW: WG: [{code}] Angebot über Türen {number}"),
        2 => format!("[EXTERN] [{code}] Nachtrag {number}"),
        5 => format!("Undelivered: [{code}] {number}"),
        9 => format!("Einladung: Baubesprechung [{code}]"),
        _ => format!("[{code}] Prüfbericht Größe {number}"),
    }
}

fn encoded_from(kind: usize) -> &'static str {
    match kind % 3 {
        0 => "=?utf-8?B?SsO8cmdlbiBNw7xsbGVy?= <mueller@firma.example>",
        1 => "\"Weber, Petra\" <weber@firma.example>",
        _ => "bauamt@firma.example",
    }
}

/// RFC 2047 in one of its forms, split into short words.
fn encode(subject: &str, kind: usize) -> String {
    let word = |chars: &[char]| -> String {
        let text: String = chars.iter().collect();
        let hex = |byte: u8| format!("={byte:02X}");
        match kind % 2 {
            0 => format!("=?UTF-8?Q?{}?=", text.bytes().map(hex).collect::<String>()),
            _ => {
                let latin: String = text.chars().map(|c| hex(c as u32 as u8)).collect();
                format!("=?iso-8859-1?q?{latin}?=")
            }
        }
    };
    let chars: Vec<char> = subject.chars().collect();
    chars.chunks(12).map(word).collect::<Vec<_>>().join("\r\n ")
}

fn body(kind: usize, token: &str) -> String {
    let plain =
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    let html = "Content-Type: text/html; charset=utf-8\r\n\r\n";
    match kind {
        1 => format!(
            "In-Reply-To: <unbekannt-{token}@firma.example>\r\n{plain}Grüße\r\n\r\n> {token}\r\n"
        ),
        2 => format!("{html}<p>Schöne Grüße {token}</p>\r\n"),
        3 => multipart("mixed", &[format!("{plain}{token}"), attachment()]),
        4 => {
            multipart("alternative", &[format!("{plain}{token}"), format!("{html}<b>{token}</b>")])
        }
        5 => report(
            "delivery-status",
            "message/delivery-status",
            "Reporting-MTA: dns; firma.example\r\n\r\nFinal-Recipient: rfc822; x@firma.example\r\nAction: failed\r\nStatus: 5.1.1",
        ),
        6 => report(
            "disposition-notification",
            "message/disposition-notification",
            "Final-Recipient: rfc822; x@firma.example\r\nDisposition: manual-action/MDN-sent-manually; displayed",
        ),
        9 => multipart(
            "alternative",
            &[
                format!("{plain}{token}"),
                format!(
                    "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:{token}\r\nEND:VEVENT\r\nEND:VCALENDAR"
                ),
            ],
        ),
        _ => format!("{plain}{token}\r\nGrüße vom Bau\r\n"),
    }
}

fn attachment() -> String {
    let data = "JVBERi0xLjQKJcOkw7zDtsOfCjEgMCBvYmoKPDw+PgplbmRvYmoK\r\n".repeat(40);
    format!(
        "Content-Type: application/pdf; name*=utf-8''Gr%C3%B6%C3%9Fe.pdf\r\n\
         Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}"
    )
}

fn multipart(subtype: &str, parts: &[String]) -> String {
    let joined: String = parts.iter().map(|part| format!("--grenze\r\n{part}\r\n")).collect();
    format!("Content-Type: multipart/{subtype}; boundary=\"grenze\"\r\n\r\n{joined}--grenze--\r\n")
}

fn report(report_type: &str, media_type: &str, fields: &str) -> String {
    format!(
        "Content-Type: multipart/report; report-type={report_type};\r\n boundary=\"grenze\"\r\n\r\n\
         --grenze\r\nContent-Type: text/plain\r\n\r\nBericht\r\n\
         --grenze\r\nContent-Type: {media_type}\r\n\r\n{fields}\r\n--grenze--\r\n"
    )
}
