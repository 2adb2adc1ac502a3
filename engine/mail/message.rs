//! A message as rules see it: a lazy view over its bytes, headers alone or the whole.

use std::sync::Arc;

use super::Address;

/// A read that needs the body was asked of a message of which only the headers are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeedBody;

/// What is known of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Attachment {
    /// File name, decoded; `None` where it has none.
    pub name: Option<String>,
    /// Media type in lower case, e.g. `application/pdf`.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Decoded size in bytes.
    pub size: u64,
    /// SHA-256 of the decoded bytes, hex.
    pub sha256: String,
}

/// A message. Cheap to make: nothing is parsed before it is asked for, and then once.
#[derive(Debug)]
pub struct Message {
    bytes: Arc<[u8]>,
    whole: bool,
}

impl Message {
    /// A message of which only the header block is here.
    pub fn from_headers(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), whole: false }
    }
    /// A whole message.
    pub fn whole(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), whole: true }
    }
    /// Whether the body is here.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
    /// The bytes, as given or as edited.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
    /// Subject, decoded and unfolded; empty where there is none.
    pub fn subject(&self) -> String {
        unimplemented!()
    }
    /// Subject without reply and forward prefixes ([`super::thread`]).
    pub fn thread_subject(&self) -> String {
        unimplemented!()
    }
    /// From.
    pub fn from(&self) -> Vec<Address> {
        unimplemented!()
    }
    /// To.
    pub fn to(&self) -> Vec<Address> {
        unimplemented!()
    }
    /// Cc.
    pub fn cc(&self) -> Vec<Address> {
        unimplemented!()
    }
    /// Reply-To.
    pub fn reply_to(&self) -> Vec<Address> {
        unimplemented!()
    }
    /// Date as RFC 3339 with the sender's offset.
    pub fn date(&self) -> Option<String> {
        unimplemented!()
    }
    /// Message-ID without angle brackets.
    pub fn message_id(&self) -> Option<String> {
        unimplemented!()
    }
    /// All ids of In-Reply-To, without angle brackets.
    pub fn in_reply_to(&self) -> Vec<String> {
        unimplemented!()
    }
    /// All ids of References, without angle brackets.
    pub fn references(&self) -> Vec<String> {
        unimplemented!()
    }
    /// List-Id without angle brackets (RFC 2919).
    pub fn list_id(&self) -> Option<String> {
        unimplemented!()
    }
    /// The first field of this name, decoded and unfolded.
    pub fn header(&self, _name: &str) -> Option<String> {
        unimplemented!()
    }
    /// All fields of this name, decoded and unfolded, top first.
    pub fn headers(&self, _name: &str) -> Vec<String> {
        unimplemented!()
    }
    /// Sent by a program rather than a person (RFC 3834 and what providers do).
    pub fn is_auto(&self) -> bool {
        unimplemented!()
    }
    /// A delivery status notification (RFC 3464) or another bounce.
    pub fn is_bounce(&self) -> bool {
        unimplemented!()
    }
    /// A read receipt: a message disposition notification (RFC 8098).
    pub fn is_mdn(&self) -> bool {
        unimplemented!()
    }
    /// Sent through a mailing list (RFC 2369, RFC 2919).
    pub fn is_list(&self) -> bool {
        unimplemented!()
    }
    /// An answer to another message.
    pub fn is_reply(&self) -> bool {
        unimplemented!()
    }
    /// Asks for a read receipt, in any form.
    pub fn receipt_requested(&self) -> bool {
        unimplemented!()
    }
    /// The names of the fields that ask for a receipt.
    pub fn receipt_headers(&self) -> Vec<String> {
        unimplemented!()
    }
    /// S/MIME or PGP encrypted.
    ///
    /// # Errors
    /// Where only the body can tell and it is not here.
    pub fn is_encrypted(&self) -> Result<bool, NeedBody> {
        unimplemented!()
    }
    /// S/MIME or PGP signed.
    ///
    /// # Errors
    /// Where only the body can tell and it is not here.
    pub fn is_signed(&self) -> Result<bool, NeedBody> {
        unimplemented!()
    }
    /// Carries an invitation or another calendar object (RFC 5545).
    ///
    /// # Errors
    /// Where only the body can tell and it is not here.
    pub fn has_calendar(&self) -> Result<bool, NeedBody> {
        unimplemented!()
    }
    /// The plain text: the first text part, or the HTML part as text; at most `most` bytes.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn text(&self, _most: usize) -> Result<String, NeedBody> {
        unimplemented!()
    }
    /// The HTML part as written; empty where there is none; at most `most` bytes.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn html(&self, _most: usize) -> Result<String, NeedBody> {
        unimplemented!()
    }
    /// The attachments.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn attachments(&self) -> Result<Vec<Attachment>, NeedBody> {
        unimplemented!()
    }
    /// The bytes of the whole message, at most `most` of them.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn raw(&self, _most: usize) -> Result<&[u8], NeedBody> {
        unimplemented!()
    }
    /// This message with all fields of a name replaced by one at the place of the first.
    #[must_use]
    pub fn with_header_set(&self, _name: &str, _value: &str) -> Message {
        unimplemented!()
    }
    /// This message with a field added at the top.
    #[must_use]
    pub fn with_header_added(&self, _name: &str, _value: &str) -> Message {
        unimplemented!()
    }
    /// This message without the fields of these names.
    #[must_use]
    pub fn with_headers_removed(&self, _names: &[&str]) -> Message {
        unimplemented!()
    }
    /// This message without any receipt request.
    #[must_use]
    pub fn without_receipt_requests(&self) -> Message {
        unimplemented!()
    }
}
