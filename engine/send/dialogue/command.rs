//! From a command line to what it asks for. The one file that uses smtp-proto: what that lets pass is
//! checked here.

use std::borrow::Cow;

use smtp_proto::{
    AUTH_LOGIN, AUTH_PLAIN, Error, MAIL_BODY_8BITMIME, MAIL_BODY_BINARYMIME, MAIL_BY_NOTIFY,
    MAIL_BY_RETURN, MAIL_CONPERM, MAIL_REQUIRETLS, MAIL_RET_FULL, MAIL_RET_HDRS, MAIL_SMTPUTF8,
    MailFrom, RCPT_CONNEG, RCPT_NOTIFY_DELAY, RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_NEVER,
    RCPT_NOTIFY_SUCCESS, RcptTo, Request,
};

use super::auth::Exchange;
use super::reply::Reply;
use crate::mail::envelope::{Body, Charset, EnvelopeAddress, Envid, Notify, Orcpt, Ret};
use crate::mail::{Envelope, Recipient};

/// The longest command line, in bytes; only AUTH may be longer.
const LONGEST: usize = 2_048;
/// The most bytes of a client's name.
const MOST_NAME: usize = 255;

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Command {
    Ehlo(String),
    Helo(String),
    StartTls,
    Auth(Exchange, String),
    Mail(Mail),
    Rcpt(Recipient),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// MAIL.
#[derive(Debug)]
pub(super) struct Mail {
    /// Without recipients.
    pub(super) envelope: Envelope,
    /// The size that is announced, 0 where none is.
    pub(super) size: u64,
}

/// Reads a line, which ends with CRLF.
pub(super) fn parse(line: &[u8]) -> Result<Command, Reply> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(Reply::new(501, "5.5.2", "a command is ASCII or UTF-8"));
    };
    let request = Request::parse(&mut line.iter()).map_err(|error| wrong(&error))?;
    if line.len() > LONGEST && !matches!(request, Request::Auth { .. }) {
        return Err(Reply::new(500, "5.5.2", "the line is too long"));
    }
    Ok(match request {
        Request::Ehlo { host } => Command::Ehlo(name(&host)),
        Request::Helo { host } => Command::Helo(name(&host)),
        Request::StartTls => Command::StartTls,
        Request::Auth { mechanism, initial_response } => {
            Command::Auth(mechanism_of(mechanism)?, initial_response.into_owned())
        }
        Request::Mail { from } => Command::Mail(mail(from, text)?),
        Request::Rcpt { to } => Command::Rcpt(recipient(to)?),
        Request::Data => Command::Data,
        Request::Rset => Command::Rset,
        Request::Noop { .. } => Command::Noop,
        Request::Vrfy { .. } => Command::Vrfy,
        Request::Help { .. } => Command::Help,
        Request::Quit => Command::Quit,
        _ => return Err(Reply::new(502, "5.5.1", "that command is not offered here")),
    })
}

fn wrong(error: &Error) -> Reply {
    match error {
        Error::UnknownCommand => Reply::new(500, "5.5.2", "that is no command"),
        Error::InvalidSenderAddress => Reply::new(501, "5.1.7", "that is no address"),
        Error::InvalidRecipientAddress => Reply::new(501, "5.1.3", "that is no address"),
        Error::SyntaxError { syntax } => Reply::new(501, "5.5.2", format!("write {syntax}")),
        Error::InvalidParameter { param } => {
            Reply::new(501, "5.5.4", format!("the parameter {param} is wrong"))
        }
        Error::UnsupportedParameter { .. } => {
            Reply::new(555, "5.5.4", "that parameter is not offered here")
        }
        _ => Reply::new(501, "5.5.2", "that is not understood"),
    }
}

/// A client's name, as it may stand in `Received:`.
fn name(host: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    host.chars().filter(|c| fits(*c)).take(MOST_NAME).collect()
}

fn mechanism_of(mechanism: u64) -> Result<Exchange, Reply> {
    match mechanism {
        AUTH_PLAIN => Ok(Exchange::Plain),
        AUTH_LOGIN => Ok(Exchange::Name),
        _ => Err(Reply::new(504, "5.5.4", "PLAIN and LOGIN are offered")),
    }
}

fn mail(from: MailFrom<Cow<'_, str>>, line: &str) -> Result<Mail, Reply> {
    let not_offered =
        MAIL_BODY_BINARYMIME | MAIL_REQUIRETLS | MAIL_CONPERM | MAIL_BY_NOTIFY | MAIL_BY_RETURN;
    let later = from.hold_for != 0 || from.hold_until != 0 || from.trans_id.is_some();
    if from.flags & not_offered != 0 || later || from.mtrk.is_some() || from.solicit.is_some() {
        return Err(Reply::new(555, "5.5.4", "that parameter is not offered here"));
    }
    let charset = if from.flags & MAIL_SMTPUTF8 == 0 { Charset::Ascii } else { Charset::Utf8 };
    let reverse_path = match &*from.address {
        "" if line.contains("<>") => None,
        "" => return Err(Reply::new(501, "5.1.7", "an address has an @")),
        path => Some(address(path, "5.1.7")?),
    };
    let body =
        if from.flags & MAIL_BODY_8BITMIME == 0 { Body::SevenBit } else { Body::EightBitMime };
    let ret = match from.flags & (MAIL_RET_FULL | MAIL_RET_HDRS) {
        MAIL_RET_FULL => Some(Ret::Full),
        MAIL_RET_HDRS => Some(Ret::Headers),
        _ => None,
    };
    let envid = from.env_id.map(|envid| Envid::new(&envid)).transpose().map_err(parameter)?;
    let recipients = Vec::new();
    let envelope = Envelope { reverse_path, recipients, ret, envid, body, charset };
    Ok(Mail { envelope, size: from.size as u64 })
}

fn recipient(to: RcptTo<Cow<'_, str>>) -> Result<Recipient, Reply> {
    if to.flags & RCPT_CONNEG != 0 || to.rrvs != 0 {
        return Err(Reply::new(555, "5.5.4", "that parameter is not offered here"));
    }
    if to.address.is_empty() {
        return Err(Reply::new(501, "5.1.3", "a recipient has an address"));
    }
    let has = |flag: u64| to.flags & flag != 0;
    let on = [RCPT_NOTIFY_SUCCESS, RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_DELAY].map(has);
    let [success, failure, delay] = on;
    let any = on.contains(&true);
    let notify = match (has(RCPT_NOTIFY_NEVER), any) {
        // RFC 3461 section 4.1: NEVER stands alone.
        (true, true) => return Err(Reply::new(501, "5.5.4", "NOTIFY=NEVER stands alone")),
        (true, false) => Notify::Never,
        (false, true) => Notify::On { success, failure, delay },
        (false, false) => Notify::Unsaid,
    };
    let orcpt = to.orcpt.map(|orcpt| Orcpt::new(&format!("rfc822;{orcpt}")));
    let orcpt = orcpt.transpose().map_err(parameter)?;
    Ok(Recipient { address: address(&to.address, "5.1.3")?, notify, orcpt })
}

fn parameter(why: String) -> Reply {
    Reply::new(501, "5.5.4", why)
}

/// The parser takes the quotes of a local part away: it gets them back.
fn address(parsed: &str, enhanced: &'static str) -> Result<EnvelopeAddress, Reply> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let address = match parsed.rsplit_once('@') {
        Some((local, domain)) if !local.chars().all(plain) => {
            let escaped = local.replace('\\', "\\\\").replace('"', "\\\"");
            EnvelopeAddress::new(&format!("\"{escaped}\"@{domain}"))
        }
        _ => EnvelopeAddress::new(parsed),
    };
    address.map_err(|why| Reply::new(501, enhanced, why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::{Command, Mail, parse};
    use crate::mail::Recipient;
    use crate::mail::envelope::{Body, Charset, Notify, Ret};

    fn mail(line: &str) -> Mail {
        match parse(format!("{line}\r\n").as_bytes()) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn rcpt(line: &str) -> Recipient {
        match parse(format!("{line}\r\n").as_bytes()) {
            Ok(Command::Rcpt(recipient)) => recipient,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn code(line: &str) -> u16 {
        match parse(format!("{line}\r\n").as_bytes()) {
            Err(reply) => reply.code,
            Ok(command) => panic!("{line}: {command:?}"),
        }
    }

    #[test]
    fn parameters_reach_the_envelope() {
        let Mail { envelope, size } = mail(
            "mail from:<anna@example.com> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb",
        );
        assert_eq!(envelope.reverse_path.unwrap().as_str(), "anna@example.com");
        assert_eq!(
            (size, envelope.body, envelope.charset),
            (1000, Body::EightBitMime, Charset::Utf8)
        );
        assert_eq!((envelope.ret, envelope.envid.unwrap().as_str()), (Some(Ret::Headers), "a+b"));
        let to = rcpt("RCPT TO:<b@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B@example.com");
        assert_eq!(to.notify, Notify::On { success: true, failure: false, delay: true });
        assert_eq!(to.orcpt.unwrap().as_str(), "rfc822;B@example.com");
        assert_eq!(rcpt("RCPT TO:<b@example.com> NOTIFY=NEVER").notify, Notify::Never);
        assert_eq!(rcpt("RCPT TO: <b@example.com> ").notify, Notify::Unsaid);
        assert_eq!(
            rcpt("RCPT TO:<@x.example,@y.example:b@example.com>").address.as_str(),
            "b@example.com"
        );
        assert!(mail("MAIL FROM:<>").envelope.reverse_path.is_none());
        let quoted = rcpt("RCPT TO:<\"a \\\"b\"@example.com>").address;
        assert_eq!(quoted.as_str(), "\"a \\\"b\"@example.com");
    }

    #[test]
    fn what_is_not_offered_or_wrong_is_refused() {
        for (line, expected) in [
            ("MAIL FROM:<postmaster>", 501),
            ("MAIL FROM:anna@example.com", 501),
            ("MAIL FROM:<anna@example.com> BODY=BINARYMIME", 555),
            ("MAIL FROM:<anna@example.com> REQUIRETLS", 555),
            ("MAIL FROM:<anna@example.com> HOLDFOR=10", 555),
            ("MAIL FROM:<anna@example.com> SIZE=x", 501),
            ("MAIL FROM:<anna@example.com> COLOUR=red", 555),
            ("MAIL FROM:<anna>", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<postmaster>", 501),
            ("RCPT TO:<a@b c>", 501),
            ("RCPT TO:<b@example.com> NOTIFY=NEVER,SUCCESS", 501),
            ("RCPT TO:<b@example.com> ORCPT=rfc822;a+0D+0Ab", 501),
            ("AUTH CRAM-MD5", 504),
            ("BDAT 10 LAST", 502),
            ("EXPN all", 502),
            ("XYZZY", 500),
            ("", 500),
            ("EHLO", 501),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
        assert_eq!(parse(b"MAIL FROM:<\xff@b>\r\n").unwrap_err().code, 501);
        assert_eq!(code(&format!("NOOP {}", "x".repeat(2100))), 500);
    }
}
