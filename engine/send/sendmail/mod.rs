//! The `sendmail` command: arguments and standard input -> one file in the drop folder. It works
//! whether an engine runs or not, and ends with a code of sysexits.

mod args;
mod input;

use std::io::{self, BufRead, ErrorKind};
use std::path::Path;

pub use args::{Call, Mode};

use super::drop::{Dropping, Slip};
use crate::mail::Message;
use crate::mail::envelope::{EnvelopeAddress, Recipient};
use input::{Dots, Lines};

/// The most recipients of a message.
const MOST_RECIPIENTS: usize = 10_000;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code to end with.
    pub code: Code,
    /// For people.
    pub text: String,
}

/// The codes of sysexits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 64: the call is wrong.
    Usage,
    /// 65: the message or an address is wrong.
    Data,
    /// 67: the caller is no user of mailmill's.
    NoUser,
    /// 69: that is not offered here.
    Unavailable,
    /// 73: the drop folder is not there and cannot be made.
    CantCreate,
    /// 75: not now; try again later.
    Later,
    /// 77: the caller may not.
    NoPermission,
    /// 78: the configuration is wrong.
    Config,
}

impl Code {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoUser => 67,
            Self::Unavailable => 69,
            Self::CantCreate => 73,
            Self::Later => 75,
            Self::NoPermission => 77,
            Self::Config => 78,
        }
    }
}

impl Failure {
    /// A failure.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// What a message says of itself, and who gets it: for whoever checks that before it is dropped.
pub struct Letter<'a> {
    /// Its header.
    pub head: &'a Message,
    /// Its slip.
    pub slip: &'a Slip,
}

/// Reads a message and drops it. `check` may refuse it before anything of it is kept; `most` is the
/// largest message, in bytes.
///
/// # Errors
/// Nothing of the message is left then.
pub fn send(
    call: &Call,
    input: impl BufRead,
    (folder, most): (&Path, u64),
    check: impl FnOnce(&Letter<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let dots = if call.ignore_dots { Dots::Text } else { Dots::End };
    let mut lines = Lines::new(input, dots);
    let (head, first) = lines.header().map_err(|why| unreadable(&why))?;
    let head = Message::from_headers(head);
    let slip = slip(call, &head)?;
    check(&Letter { head: &head, slip: &slip })?;
    let head = head.with_headers_removed(&["Bcc", "Resent-Bcc"]);
    super::drop::make(folder).map_err(|error| {
        Failure::new(Code::CantCreate, format!("{error}; is `data` of the configuration right?"))
    })?;
    let not_kept = |why: io::Error| not_kept(folder, &why);
    let mut file = Dropping::begin(folder, &slip).map_err(not_kept)?;
    file.write(head.head_block()).map_err(not_kept)?;
    file.write(&first).map_err(not_kept)?;
    let mut size = (head.head_block().len() + first.len()) as u64;
    while let Some(piece) = lines.piece().map_err(|why| unreadable(&why))? {
        size += piece.len() as u64;
        if size > most {
            let text = format!("the message is larger than the {most} bytes that are accepted");
            return Err(Failure::new(Code::Data, text));
        }
        file.write(&piece).map_err(not_kept)?;
    }
    file.finish().map_err(not_kept)
}

fn slip(call: &Call, head: &Message) -> Result<Slip, Failure> {
    let mut addresses = call.recipients.clone();
    if call.from_header {
        addresses.extend(recipients(head));
    }
    let recipients = addresses.iter().map(|address| recipient(call, address));
    let mut recipients = recipients.collect::<Result<Vec<_>, _>>()?;
    let mut seen = std::collections::BTreeSet::new();
    recipients.retain(|recipient| seen.insert(recipient.address.as_str().to_lowercase()));
    if recipients.is_empty() {
        let text = "there is no recipient: name one, or use -t with To, Cc or Bcc in the message";
        return Err(Failure::new(Code::Usage, text));
    }
    if recipients.len() > MOST_RECIPIENTS {
        let text = format!("more than {MOST_RECIPIENTS} recipients");
        return Err(Failure::new(Code::Data, text));
    }
    Ok(Slip {
        v: 1,
        sender: call.sender.clone(),
        full_name: call.full_name.clone(),
        recipients,
        ret: call.ret,
        envid: call.envid.clone(),
        body: call.body,
    })
}

/// Those of the header: of a resent message those it is resent to.
fn recipients(head: &Message) -> Vec<String> {
    let of = |names: &[&str]| {
        let all = names.iter().flat_map(|name| head.addresses(name));
        let all = all.map(|one| match one.address.is_empty() {
            true => one.name.unwrap_or_default(),
            false => one.address,
        });
        all.collect::<Vec<String>>()
    };
    let resent = of(&["Resent-To", "Resent-Cc", "Resent-Bcc"]);
    if resent.is_empty() { of(&["To", "Cc", "Bcc"]) } else { resent }
}

fn recipient(call: &Call, address: &str) -> Result<Recipient, Failure> {
    let bare = address.trim().trim_start_matches('<').trim_end_matches('>');
    let address = EnvelopeAddress::new(bare).map_err(|why| {
        Failure::new(Code::Data, format!("{why}; write an address with its domain"))
    })?;
    Ok(Recipient { address, notify: call.notify, orcpt: None })
}

fn unreadable(why: &io::Error) -> Failure {
    match why.kind() {
        ErrorKind::InvalidData => Failure::new(Code::Data, why.to_string()),
        _ => Failure::new(Code::Later, format!("the message cannot be read: {why}")),
    }
}

fn not_kept(folder: &Path, why: &io::Error) -> Failure {
    let text = format!("the message cannot be kept in {}: {why}", folder.display());
    match why.kind() {
        ErrorKind::PermissionDenied => Failure::new(Code::NoPermission, text),
        ErrorKind::NotFound | ErrorKind::NotADirectory => Failure::new(Code::CantCreate, text),
        _ => Failure::new(Code::Later, text),
    }
}
