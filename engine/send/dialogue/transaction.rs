//! MAIL and RCPT: who sends what to whom (RFC 5321 section 3.3).

use super::command::Mail;
use super::{Dialogue, Reply};
use crate::mail::Recipient;
use crate::mail::envelope::{Charset, EnvelopeAddress};

impl Dialogue {
    pub(super) fn mail(&mut self, mail: Mail) -> Reply {
        if self.hello.is_none() {
            return Reply::new(503, "5.5.1", "say EHLO first");
        }
        if self.user.is_none() {
            let text = match self.may_log_in() {
                true => "log in first: AUTH PLAIN or AUTH LOGIN",
                false => "log in first, and before that say STARTTLS",
            };
            return Reply::new(530, "5.7.0", text);
        }
        if self.mail.is_some() {
            return Reply::new(503, "5.5.1", "a message is being announced already: say RSET");
        }
        if mail.size > self.terms.max_size {
            let most = self.terms.max_size;
            return Reply::new(552, "5.3.4", format!("a message may have {most} bytes here"));
        }
        let envelope = mail.envelope;
        if let Some(path) = &envelope.reverse_path
            && let Some(reply) = needs_utf8(path, envelope.charset)
        {
            return reply;
        }
        self.mail = Some(envelope);
        Reply::new(250, "2.1.0", "go on")
    }

    pub(super) fn recipient(&mut self, recipient: Recipient) -> Reply {
        let most = self.terms.max_recipients;
        let Some(mail) = &mut self.mail else {
            return Reply::new(503, "5.5.1", "say MAIL first");
        };
        if let Some(reply) = needs_utf8(&recipient.address, mail.charset) {
            return reply;
        }
        // RFC 5321 section 4.5.3.1.10: the client sends the rest in another message.
        if mail.recipients.len() >= most {
            return Reply::new(452, "4.5.3", format!("a message may have {most} recipients here"));
        }
        mail.recipients.push(recipient);
        Reply::new(250, "2.1.5", "go on")
    }
}

/// RFC 6531 section 3.4: an address beyond ASCII needs SMTPUTF8.
fn needs_utf8(address: &EnvelopeAddress, charset: Charset) -> Option<Reply> {
    (!address.is_ascii() && charset == Charset::Ascii)
        .then(|| Reply::new(553, "5.6.7", "such an address needs SMTPUTF8"))
}
