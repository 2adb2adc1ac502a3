//! Who may send as whom: every address that a message says it is from must be one that its user may
//! use, in the envelope and in the header.

use crate::config::{Config, Right, User};
use crate::mail::{Address, Envelope, EnvelopeAddress, Message};
use crate::send::dialogue::Reply;

/// Fields that say who a message is from, or who is answered: how often each may stand (RFC 5322
/// section 3.6), a resent message may have more.
const FIELDS: [(&str, usize); 5] = [
    ("From", 1),
    ("Sender", 1),
    ("Reply-To", 1),
    ("Resent-From", usize::MAX),
    ("Resent-Sender", usize::MAX),
];

/// Whether a user may send as an address.
pub fn may_send_as(config: &Config, user: &User, address: &str) -> bool {
    user.send_as.iter().any(|right| match right {
        Right::All => true,
        Right::Address(own) => own.eq_ignore_ascii_case(address),
        Right::Account(name) => {
            config.accounts.get(name).is_some_and(|account| account.has(address))
        }
    })
}

/// Checks the envelope and the header; gives the addresses of From.
pub(super) fn check(
    config: &Config,
    user: &User,
    envelope: &Envelope,
    head: &Message,
) -> Result<Vec<Address>, Reply> {
    if let Some(path) = &envelope.reverse_path {
        allowed(config, user, path.as_str(), "MAIL FROM")?;
    }
    let mut from = Vec::new();
    for (name, most) in FIELDS {
        if head.headers(name).len() > most {
            let text = format!("the message has more than one field {name}");
            return Err(Reply::new(550, "5.6.0", text));
        }
        let Some(addresses) = head.plain_addresses(name) else { return Err(unclear(name)) };
        for address in &addresses {
            EnvelopeAddress::new(&address.address).map_err(|_| unclear(name))?;
            allowed(config, user, &address.address, name)?;
        }
        if name == "From" {
            from = addresses;
        }
    }
    if from.is_empty() {
        return Err(Reply::new(550, "5.6.0", "the message has no From with an address"));
    }
    Ok(from)
}

fn allowed(config: &Config, user: &User, address: &str, place: &str) -> Result<(), Reply> {
    if may_send_as(config, user, address) {
        return Ok(());
    }
    let text = format!("{} may not send as {address} ({place})", user.name);
    Err(Reply::new(550, "5.7.60", text))
}

fn unclear(name: &str) -> Reply {
    Reply::new(550, "5.6.0", format!("the addresses of {name} can be read in more than one way"))
}
