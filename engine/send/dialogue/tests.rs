//! Whole dialogues, in pieces of any size, and bytes that are none.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Clear, Dialogue, Event, Reply, Terms, Tls};

/// A driver that takes anna's password, keeps messages, and says yes.
struct Driver {
    dialogue: Dialogue,
    out: String,
    content: Vec<u8>,
    messages: Vec<(usize, Vec<u8>)>,
    closed: bool,
}

fn terms(tls: Tls, clear: Clear) -> Terms {
    Terms { host: "mx.example.com".into(), max_size: 10_000, max_recipients: 3, tls, clear }
}

impl Driver {
    fn new(tls: Tls, clear: Clear) -> Self {
        let dialogue = Dialogue::new(terms(tls, clear));
        let (out, content) = (String::new(), Vec::new());
        Self { dialogue, out, content, messages: Vec::new(), closed: false }
    }

    fn local() -> Self {
        Self::new(Tls::None, Clear::Allowed)
    }

    fn feed(&mut self, mut input: &[u8]) {
        while !self.closed {
            let event = self.dialogue.step(&mut input);
            match event {
                Event::More | Event::Flush | Event::StartTls | Event::Close => {
                    let replies = self.dialogue.replies();
                    self.out.push_str(std::str::from_utf8(&replies).unwrap());
                    match event {
                        Event::More => return,
                        Event::StartTls => self.dialogue.secured(),
                        Event::Close => self.closed = true,
                        _ => {}
                    }
                }
                Event::Login(login) => self.dialogue.logged_in(match &*login.user {
                    "anna" => Ok(login.user),
                    _ => Err(Reply::new(535, "5.7.8", "no")),
                }),
                Event::Begin => {
                    self.content.clear();
                    self.dialogue.begun(Ok(()));
                }
                Event::Content(piece) => self.content.extend_from_slice(&piece),
                Event::Discard => self.content.clear(),
                Event::Complete(envelope) => {
                    let content = std::mem::take(&mut self.content);
                    self.messages.push((envelope.recipients.len(), content));
                    self.dialogue.answered(&Reply::new(250, "2.0.0", "queued"));
                }
            }
        }
    }

    fn says(&mut self, input: &str) -> String {
        self.feed(input.as_bytes());
        std::mem::take(&mut self.out)
    }

    /// The codes of the replies.
    fn codes(&mut self, input: &str) -> Vec<u16> {
        let out = self.says(input);
        let last = out.lines().filter(|line| line.as_bytes()[3] == b' ');
        last.map(|line| line[..3].parse().unwrap()).collect()
    }
}

const LOGIN: &str = "EHLO me\r\nAUTH PLAIN AGFubmEAeA==\r\n";
const MAIL: &str = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

#[test]
fn a_whole_dialogue_in_any_pieces() {
    let all = format!("{LOGIN}{MAIL}DATA\r\nSubject: x\r\n\r\n..\r\n.\r\nQUIT\r\n");
    for piece in 1..all.len() {
        let mut driver = Driver::local();
        for piece in all.as_bytes().chunks(piece) {
            driver.feed(piece);
        }
        assert_eq!(driver.messages, [(1, b"Subject: x\r\n\r\n.\r\n".to_vec())]);
        assert!(driver.closed && driver.out.ends_with("221 2.0.0 good bye\r\n"));
    }
}

#[test]
fn what_is_offered_depends_on_protection() {
    let mut local = Driver::local();
    let hello = local.says("EHLO me\r\n");
    assert!(hello.contains("AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"), "{hello}");
    let mut remote = Driver::new(Tls::Offered, Clear::Forbidden);
    let hello = remote.says("EHLO me\r\n");
    assert!(!hello.contains("AUTH") && hello.contains("250-STARTTLS\r\n"), "{hello}");
    assert_eq!(remote.codes("AUTH PLAIN AGFubmEAeA==\r\nMAIL FROM:<a@b.example>\r\n"), [538, 530]);
    assert_eq!(remote.codes("STARTTLS\r\n"), [220]);
    assert_eq!(remote.codes("MAIL FROM:<a@b.example>\r\n"), [503], "EHLO is forgotten");
    let hello = remote.says("EHLO me\r\n");
    assert!(hello.contains("AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"), "{hello}");
    assert_eq!(remote.codes("STARTTLS\r\nAUTH PLAIN AGFubmEAeA==\r\n"), [503, 235]);
}

#[test]
fn nothing_that_follows_starttls_is_heard() {
    let mut driver = Driver::new(Tls::Offered, Clear::Allowed);
    let codes = driver.codes("EHLO me\r\nSTARTTLS\r\nAUTH PLAIN AGFubmEAeA==\r\n");
    assert_eq!(codes, [220, 250, 503]);
    assert!(driver.closed && driver.dialogue.user().is_none());
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut driver = Driver::local();
    assert_eq!(driver.codes("MAIL FROM:<a@b.example>\r\nAUTH PLAIN\r\n"), [220, 503, 503]);
    assert_eq!(driver.codes("EHLO me\r\nMAIL FROM:<a@b.example>\r\n"), [250, 530]);
    assert_eq!(driver.codes("RCPT TO:<c@d.example>\r\nDATA\r\n"), [503, 503]);
    assert_eq!(driver.codes(LOGIN), [250, 235]);
    assert_eq!(driver.codes("AUTH PLAIN AGFubmEAeA==\r\n"), [503]);
    assert_eq!(
        driver.codes("MAIL FROM:<a@b.example>\r\nMAIL FROM:<a@b.example>\r\nDATA\r\n"),
        [250, 503, 554]
    );
    assert_eq!(
        driver.codes("RSET\r\nDATA\r\nVRFY x\r\nHELP\r\nNOOP\r\n"),
        [250, 503, 252, 214, 250]
    );
}

#[test]
fn login_in_several_lines_and_cancelled() {
    let mut driver = Driver::local();
    driver.says("EHLO me\r\n");
    assert_eq!(driver.codes("AUTH LOGIN\r\n*\r\n"), [334, 501]);
    assert_eq!(driver.codes("AUTH LOGIN\r\nYW5uYQ==\r\neA==\r\n"), [334, 334, 235]);
}

#[test]
fn failed_logins_end_the_connection() {
    let mut driver = Driver::local();
    let wrong = "AUTH PLAIN AGJlcnQAeA==\r\n";
    assert_eq!(
        driver.codes(&format!("EHLO me\r\n{wrong}{wrong}{wrong}NOOP\r\n")),
        [220, 250, 535, 535, 535, 421]
    );
    assert!(driver.closed);
}

#[test]
fn limits_have_their_codes() {
    let mut driver = Driver::local();
    driver.says(LOGIN);
    assert_eq!(driver.codes("MAIL FROM:<a@b.example> SIZE=10001\r\n"), [552]);
    let rcpt = "RCPT TO:<c@d.example>\r\n";
    let codes = driver.codes(&format!("{MAIL}{rcpt}{rcpt}{rcpt}DATA\r\n"));
    assert_eq!(codes, [250, 250, 250, 250, 452, 354]);
    assert_eq!(driver.codes(&format!("{}\r\n.\r\n", "x".repeat(10_050))), [552]);
    assert_eq!(driver.codes(&format!("NOOP {}\r\n", "x".repeat(20_000))), [500]);
    assert_eq!(driver.codes("MAIL FROM:<\u{fc}@b.example>\r\n"), [553]);
    assert!(driver.messages.is_empty() && !driver.closed);
    // Whoever goes on and on is not listened to.
    driver.says(&format!("{MAIL}DATA\r\n"));
    driver.feed(&vec![b'x'; 20 << 20]);
    assert!(driver.closed && driver.content.is_empty() && driver.messages.is_empty());
}

#[test]
fn smuggled_ends_are_refused_and_end_the_connection() {
    for fake in [
        "\n.\n",
        "\n.\r\n",
        "\r.\n",
        "\r.\r",
        "\n.\r",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\r\n",
        "\r\r\n.\r\r\n",
    ] {
        let mut driver = Driver::local();
        driver.says(LOGIN);
        let inner = format!("DATA\r\nx{fake}{MAIL}DATA\r\nevil\r\n.\r\nNOOP\r\n");
        assert_eq!(driver.codes(&format!("{MAIL}{inner}")), [250, 250, 354, 550], "{fake:?}");
        assert!(driver.closed && driver.messages.is_empty(), "{fake:?}");
    }
}

#[test]
fn ten_thousand_commands_in_one_piece_are_answered_one_by_one() {
    let mut driver = Driver::local();
    driver.says(LOGIN);
    assert_eq!(driver.codes(&"NOOP\r\n".repeat(10_000)).len(), 10_000);
    assert_eq!(driver.codes(&"XYZZY\r\n".repeat(10_000)).len(), 51);
    assert!(driver.closed);
}

/// Not every byte sequence is a dialogue, but each is survived, and none has an effect it should not.
#[test]
fn bytes_that_are_no_dialogue_are_survived() {
    let words = [
        "EHLO me\r\n",
        "AUTH PLAIN AGFubmEAeA==\r\n",
        "AUTH LOGIN\r\n",
        "=\r\n",
        "*\r\n",
        "MAIL FROM:<a@b>",
        " SIZE=1",
        "\r\n",
        "RCPT TO:<",
        "c@d>",
        "DATA\r\n",
        ".\r\n",
        "\r",
        "\n",
        "\0",
        "STARTTLS\r\n",
        " NOTIFY=",
        " ORCPT=rfc822;",
        "+",
        "\"",
        "\\",
        "RSET\r\n",
        "QUIT",
        "\u{fc}",
        "BDAT 5\r\n",
        "\t",
        " ",
        "@",
        ":",
        ",",
        "<>",
        "X",
        "9999999999999999999999",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for _ in 0..3_000 {
        let mut driver = Driver::new(Tls::Offered, Clear::Forbidden);
        for _ in 0..60 {
            match random(8) {
                0 => driver.feed(&[
                    u8::try_from(random(256)).unwrap(),
                    u8::try_from(random(256)).unwrap(),
                ]),
                _ => driver.feed(words[random(words.len())].as_bytes()),
            }
        }
        assert!(driver.messages.iter().all(|(_, content)| !content.contains(&0)));
        assert!(driver.out.lines().all(|line| line.len() <= 510 && line.is_ascii()));
    }
}
