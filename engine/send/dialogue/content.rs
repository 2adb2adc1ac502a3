//! DATA: the message on its way in, and the answer to it.

use super::data::{Data, Stray};
use super::{Dialogue, Event, Reply, State};

/// What is read of a message that is refused anyway, beyond the largest that is accepted, in bytes.
const IN_VAIN: u64 = 16 << 20;

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Content {
    data: Data,
    size: u64,
    /// Why it will be refused.
    refusal: Option<Reply>,
    ended: bool,
}

impl Content {
    fn new() -> Self {
        Self { data: Data::new(), size: 0, refusal: None, ended: false }
    }
}

impl Dialogue {
    pub(super) fn begin_content(&mut self) -> Option<Event> {
        let reply = match &self.mail {
            None => Reply::new(503, "5.5.1", "say MAIL and RCPT first"),
            Some(mail) if mail.recipients.is_empty() => {
                Reply::new(554, "5.5.1", "there is no valid recipient")
            }
            Some(_) => {
                self.state = State::Asked;
                return Some(Event::Begin);
            }
        };
        self.refuse(&reply);
        None
    }

    /// Answers [`Event::Begin`].
    pub fn begun(&mut self, ready: Result<(), Reply>) {
        match ready {
            Ok(()) => {
                self.say(&Reply::new(354, "", "go on, and end with a line of one dot"));
                self.state = State::Content(Content::new());
            }
            Err(reply) => {
                self.mail = None;
                self.state = State::Commands;
                self.say(&reply);
            }
        }
    }

    /// The message that is on its way cannot be taken: it is read to its end, and this is the answer.
    pub fn fail(&mut self, reply: Reply) {
        if let State::Content(content) = &mut self.state {
            content.refusal.get_or_insert(reply);
        }
    }

    pub(super) fn content(&mut self, mut content: Content, input: &mut &[u8]) -> Option<Event> {
        if content.ended {
            return self.complete(content);
        }
        let mut piece = Vec::with_capacity(input.len());
        let before = input.len();
        content.ended = content.data.read(input, &mut piece);
        if before == 0 {
            self.state = State::Content(content);
            return Some(Event::More);
        }
        content.size += (before - input.len()) as u64;
        let was_fit = content.refusal.is_none();
        self.judge(&mut content);
        let (fit, size) = (content.refusal.is_none(), content.size);
        if !fit && size > self.terms.max_size.saturating_add(IN_VAIN) && !content.ended {
            self.mail = None;
            self.end(&content.refusal.unwrap_or_else(too_large));
            return Some(Event::Discard);
        }
        self.state = State::Content(content);
        match (fit, was_fit) {
            (true, _) => Some(Event::Content(piece)),
            (false, true) => Some(Event::Discard),
            (false, false) => None,
        }
    }

    /// What is unfit goes before all else, so that the answer does not depend on how the bytes came.
    fn judge(&self, content: &mut Content) {
        match content.data.stray() {
            // Whoever sends this wants another server to see another end (SMTP smuggling).
            Some(Stray::LineEnd) => {
                let reply = Reply::new(550, "5.6.11", "the message has a bare CR or LF");
                content.refusal = Some(reply);
            }
            Some(Stray::Nul) => {
                content.refusal = Some(Reply::new(550, "5.6.0", "the message has a NUL"));
            }
            // The dot that ends it does not count.
            None if content.size > self.terms.max_size.saturating_add(3) => {
                content.refusal.get_or_insert_with(too_large);
            }
            None => {}
        }
    }

    fn complete(&mut self, content: Content) -> Option<Event> {
        let mail = self.mail.take();
        match (content.refusal, mail) {
            (None, Some(mail)) => {
                self.state = State::Asked;
                Some(Event::Complete(Box::new(mail)))
            }
            (refusal, _) => {
                let stray = content.data.stray() == Some(Stray::LineEnd);
                let reply = refusal.unwrap_or_else(|| Reply::new(503, "5.5.1", "no message"));
                match stray {
                    true => self.end(&reply),
                    false => self.refuse(&reply),
                }
                None
            }
        }
    }

    /// Answers [`Event::Complete`].
    pub fn answered(&mut self, reply: &Reply) {
        self.state = State::Commands;
        match reply.code {
            421 => self.end(reply),
            500.. => self.refuse(reply),
            _ => self.say(reply),
        }
    }
}

fn too_large() -> Reply {
    Reply::new(552, "5.3.4", "the message is larger than is accepted here")
}
