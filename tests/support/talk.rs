//! What must hold of the submission dialogue whatever a client sends. Used by the tests and by the fuzz
//! target `dialogue`.

use mailmill::send::dialogue::{Clear, Dialogue, Event, Reply, Terms, Tls};

/// The largest message.
const MOST: usize = 2_000;
/// The most recipients.
const MOST_RECIPIENTS: usize = 3;

/// A driver without sockets that holds what the dialogue does against the bytes it was given.
struct Driver {
    dialogue: Dialogue,
    /// Bytes that were used so far.
    used: usize,
    /// Where the message began that came last.
    began: usize,
    /// It is on its way.
    coming: bool,
    content: Vec<u8>,
    replies: Vec<u8>,
    messages: Vec<(usize, Vec<u8>)>,
    /// Answers that are owed at most: to the connection, to lines, to messages.
    owed: usize,
    /// What is answered to which message, by its number.
    moods: u8,
    closed: bool,
}

/// Plays a client: the first byte says what is offered, the second how the bytes are cut, the third
/// what the server is unwilling to do; the rest is what the client sends.
pub(crate) fn talk(input: &[u8]) {
    let [offered, cut, moods, client @ ..] = input else { return };
    if client.is_empty() {
        return;
    }
    let (tls, clear) = match offered % 4 {
        0 => (Tls::Active, Clear::Forbidden),
        1 => (Tls::Offered, Clear::Forbidden),
        2 => (Tls::Offered, Clear::Allowed),
        _ => (Tls::None, Clear::Allowed),
    };
    let run = |piece: usize| {
        let mut driver = Driver::new(tls, clear, *moods);
        for piece in client.chunks(piece) {
            driver.feed(piece, client);
        }
        driver.check_replies();
        driver
    };
    let (pieces, whole) = (run(usize::from(*cut) + 1), run(usize::MAX));
    // What is sent behind STARTTLS in one piece with it is told from what comes after it.
    if tls != Tls::Offered {
        assert_eq!(
            String::from_utf8_lossy(&pieces.replies),
            String::from_utf8_lossy(&whole.replies)
        );
        assert_eq!(pieces.messages, whole.messages, "cut at {cut}");
    }
}

impl Driver {
    fn new(tls: Tls, clear: Clear, moods: u8) -> Self {
        let terms = Terms {
            host: "mx.example.com".into(),
            max_size: MOST as u64,
            max_recipients: MOST_RECIPIENTS,
            tls,
            clear,
        };
        Self {
            dialogue: Dialogue::new(terms),
            used: 0,
            began: 0,
            coming: false,
            content: Vec::new(),
            replies: Vec::new(),
            messages: Vec::new(),
            // The greeting, and the last word.
            owed: 2,
            moods,
            closed: false,
        }
    }

    fn feed(&mut self, mut input: &[u8], client: &[u8]) {
        // Each step uses a byte, or is answered, or ends.
        for _ in 0..8 * input.len() + 100 {
            if self.closed {
                return;
            }
            let before = input.len();
            let event = self.dialogue.step(&mut input);
            let used = before - input.len();
            self.used += used;
            let said = self.dialogue.replies();
            let still_coming = self.coming && said.is_empty();
            if !still_coming {
                let used = &client[self.used - used..self.used];
                self.owed += used.iter().filter(|byte| **byte == b'\n').count();
                // The message that was refused at its end, which may have been used before.
                self.owed += usize::from(std::mem::take(&mut self.coming));
            }
            self.replies.extend(said);
            let more = matches!(event, Event::More);
            self.take(event, client);
            self.replies.extend(self.dialogue.replies());
            if more {
                assert!(input.is_empty(), "it wants more and has some");
                return;
            }
        }
        panic!("it does not come to an end");
    }

    /// Does what is to be done.
    fn take(&mut self, event: Event, client: &[u8]) {
        match event {
            Event::More | Event::Flush => {}
            Event::StartTls => {
                assert_eq!(self.dialogue.tls(), Tls::Offered);
                self.dialogue.secured();
                assert!(self.dialogue.user().is_none() && self.dialogue.hello().is_none());
            }
            Event::Login(login) => {
                assert!(self.dialogue.user().is_none(), "logged in twice");
                self.dialogue.logged_in(match &*login.user {
                    "anna" => Ok(login.user),
                    _ => Err(Reply::new(535, "5.7.8", "no")),
                });
            }
            Event::Begin => self.begin(),
            Event::Content(piece) => self.content.extend(piece),
            Event::Discard => self.content.clear(),
            Event::Complete(envelope) => self.complete(envelope.recipients.len(), client),
            Event::Close => self.closed = true,
        }
    }

    /// Whether the server is willing this time.
    fn is_willing(&mut self) -> bool {
        self.moods = self.moods.rotate_left(1);
        self.moods & 1 == 0
    }

    fn begin(&mut self) {
        assert!(self.dialogue.user().is_some(), "nobody is logged in");
        self.content.clear();
        if self.is_willing() {
            self.dialogue.begun(Ok(()));
            (self.began, self.coming) = (self.used, true);
        } else {
            self.dialogue.begun(Err(Reply::new(452, "4.3.1", "no room")));
        }
    }

    /// A message is complete where its one CRLF.CRLF is, holds nothing that another server may take for
    /// one, and is what was sent without the doubled dots.
    fn complete(&mut self, recipients: usize, client: &[u8]) {
        assert!((1..=MOST_RECIPIENTS).contains(&recipients), "{recipients} recipients");
        let sent = &client[self.began..self.used];
        let lines: Vec<&[u8]> = split(sent);
        let (last, lines) = lines.split_last().unwrap();
        assert_eq!(last, b".", "{}", sent.escape_ascii());
        let mut text = Vec::new();
        for line in lines {
            assert!(*line != b"." && !line.iter().any(|byte| b"\r\n\0".contains(byte)));
            text.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            text.extend_from_slice(b"\r\n");
        }
        assert_eq!(text.escape_ascii().to_string(), self.content.escape_ascii().to_string());
        assert!(sent.len() <= MOST + 3, "{} bytes", sent.len());
        self.coming = false;
        self.owed += 1;
        self.messages.push((recipients, std::mem::take(&mut self.content)));
        let reply = match self.is_willing() {
            true => Reply::new(250, "2.0.0", "queued\r\n250 as 1"),
            false => Reply::new(550, "5.7.1", "ein Täuscher \u{1f600}\n"),
        };
        self.dialogue.answered(&reply);
    }

    /// Replies are lines of RFC 5321 section 4.2, and no command has two.
    fn check_replies(&self) {
        let text = std::str::from_utf8(&self.replies).unwrap();
        let lines = split(&self.replies);
        let mut ends = 0;
        let mut of: Option<&[u8]> = None;
        for line in lines {
            let [a @ b'2'..=b'5', b, c, between @ (b' ' | b'-'), rest @ ..] = line else {
                panic!("no reply: {}", line.escape_ascii())
            };
            assert!(b.is_ascii_digit() && c.is_ascii_digit() && line.len() <= 510, "{text}");
            assert!(rest.iter().all(|byte| matches!(byte, b' '..=b'~')), "{text}");
            let code = &line[..3];
            assert!(of.is_none_or(|of| of == code), "{} {a}: {text}", code.escape_ascii());
            of = (*between == b'-').then_some(code);
            ends += usize::from(*between == b' ');
        }
        assert!(of.is_none(), "the last reply is not whole: {text}");
        assert!(ends >= 1 && ends <= self.owed, "{ends} replies to {}: {text}", self.owed);
    }
}

/// Lines that end with CRLF, all of them.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(2).position(|two| two == b"\r\n");
        let end = end.unwrap_or_else(|| panic!("no line: {}", bytes.escape_ascii()));
        lines.push(&bytes[..end]);
        bytes = &bytes[end + 2..];
    }
    lines
}
