//! What a report reports: the fields of a read receipt (MDN, RFC 8098) and of a bounce (DSN,
//! RFC 3464).

use super::body::Body;
use super::field::{self, Fields};
use super::structure::Part;
use super::{Message, NeedBody, id};

/// A read receipt: what became of one message at one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Disposition {
    /// The Message-ID of the message it is about, without angle brackets.
    pub original_message_id: Option<String>,
    /// For whom it speaks, without the address type.
    pub final_recipient: Option<String>,
    /// To whom that message was sent, without the address type.
    pub original_recipient: Option<String>,
    /// What was done in lower case: `displayed`, `deleted`, `dispatched`, `processed`.
    pub disposition: String,
    /// Whether a program rather than a person sent it.
    pub is_automatic: bool,
}

/// A delivery report.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivery {
    /// The Message-ID of the message it is about, without angle brackets.
    pub original_message_id: Option<String>,
    /// The envelope id that the sender gave it (RFC 3461 section 4.4).
    pub envelope_id: Option<String>,
    /// What became of it, recipient by recipient; at most [`MOST_RECIPIENTS`].
    pub recipients: Vec<Recipient>,
}

/// What became of a message at one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recipient {
    /// The address, without its type.
    pub final_recipient: Option<String>,
    /// The address as the sender gave it, without its type.
    pub original_recipient: Option<String>,
    /// In lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// The status code, e.g. `5.1.1`.
    pub status: String,
    /// What the refusing server said.
    pub diagnostic: Option<String>,
}

/// Recipients of one delivery report that are read.
pub const MOST_RECIPIENTS: usize = 10_000;

/// Reads a read receipt; `None` where the message is none or its report is missing.
///
/// # Errors
/// Where the body is not here.
pub fn disposition(message: &Message) -> Result<Option<Disposition>, NeedBody> {
    if !message.is_mdn() {
        return Ok(None);
    }
    let (body, bytes) = message.parsed()?;
    let types = ["message/disposition-notification", "message/global-disposition-notification"];
    let Some(report) = content(body, bytes, &types) else { return Ok(None) };
    let block = Block::new(&report);
    let written = block.text("Disposition").unwrap_or_default().to_ascii_lowercase();
    let (mode, done) = written.split_once(';').unwrap_or(("", &written));
    let done = done.split(['/', ',']).next().unwrap_or_default().trim();
    Ok(Some(Disposition {
        original_message_id: block.id("Original-Message-ID"),
        final_recipient: block.address("Final-Recipient"),
        original_recipient: block.address("Original-Recipient"),
        disposition: done.to_owned(),
        is_automatic: mode.contains("automatic-action"),
    }))
}

/// Reads a delivery report; `None` where the message is none or its report is missing.
///
/// # Errors
/// Where the body is not here.
pub fn delivery(message: &Message) -> Result<Option<Delivery>, NeedBody> {
    if !message.is_bounce() {
        return Ok(None);
    }
    let (body, bytes) = message.parsed()?;
    let types = ["message/delivery-status", "message/global-delivery-status"];
    let Some(report) = content(body, bytes, &types) else { return Ok(None) };
    let mut blocks = blocks(&report);
    let envelope = blocks.next().map(Block::new);
    let recipients = blocks.map(Block::new).filter_map(|block| block.recipient());
    Ok(Some(Delivery {
        original_message_id: original_id(body, bytes),
        envelope_id: envelope.and_then(|block| block.text("Original-Envelope-Id")),
        recipients: recipients.take(MOST_RECIPIENTS).collect(),
    }))
}

/// The decoded content of the first part of one of these types.
fn content(body: &Body, bytes: &[u8], types: &[&str]) -> Option<Vec<u8>> {
    let is_it = |part: &&Part| types.contains(&part.content.media_type());
    let part = body.leaves().find(is_it)?;
    Some(part.content.transfer.decode(&bytes[part.body.clone()]).into_owned())
}

/// The Message-ID in the returned message or its header.
fn original_id(body: &Body, bytes: &[u8]) -> Option<String> {
    let types =
        ["message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"];
    let returned = content(body, bytes, &types)?;
    Block::new(&returned).id("Message-ID")
}

/// The groups of fields of a delivery report, parted by empty lines.
fn blocks(report: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = report;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (block, after) = rest.split_at(Fields::scan(rest).body());
            rest = after;
            if !block.trim_ascii().is_empty() {
                return Some(block);
            }
        }
        None
    })
}

/// One group of fields.
struct Block<'a> {
    bytes: &'a [u8],
    fields: Fields,
}

impl<'a> Block<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, fields: Fields::scan(bytes) }
    }

    fn raw(&self, name: &'a str) -> Option<&[u8]> {
        self.fields.named(self.bytes, name).next().map(|field| field.value(self.bytes))
    }

    fn text(&self, name: &'a str) -> Option<String> {
        self.raw(name).map(super::word::decode_value).filter(|text| !text.is_empty())
    }

    fn id(&self, name: &'a str) -> Option<String> {
        id::all(self.raw(name)?).into_iter().next()
    }

    /// An address behind its type: `rfc822;a@b`.
    fn address(&self, name: &'a str) -> Option<String> {
        let text = field::unfold(self.raw(name)?);
        let address = text.split_once(';').map_or(text.as_str(), |(_, address)| address).trim();
        let address = address.trim_start_matches('<').trim_end_matches('>');
        (!address.is_empty()).then(|| super::charset::clean(address))
    }

    fn recipient(&self) -> Option<Recipient> {
        let final_recipient = self.address("Final-Recipient");
        let original_recipient = self.address("Original-Recipient");
        let action = self.text("Action").unwrap_or_default().to_ascii_lowercase();
        if final_recipient.is_none() && original_recipient.is_none() && action.is_empty() {
            return None;
        }
        let status = self.text("Status").unwrap_or_default();
        let status = status.split([' ', '(']).next().unwrap_or_default().to_owned();
        let diagnostic = self.text("Diagnostic-Code");
        Some(Recipient { final_recipient, original_recipient, action, status, diagnostic })
    }
}
