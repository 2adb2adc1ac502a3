//! A message as rules see it: a lazy view over its bytes, headers alone or the whole.
//!
//! What a read means lives beside this file, one noun each; here is only what is asked and what
//! was already answered. The same message gives the same answers whether its headers or all of it
//! is here, but for [`NeedBody`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use mail_parser::DateTime;

use super::body::Body;
use super::content::Content;
use super::field::{Field, Fields};
use super::guard::Excess;
use super::protection::{self, Answer, Protection};
use super::source::Source;
use super::{Address, address_list, charset, field, id, kind, receipt, strict, thread, word};

/// A read that needs the body was asked of a message of which only the headers are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeedBody;

/// What is known of an attachment: any part that is not text shown as part of the message. Inline
/// images, invitations, signatures and attached messages are attachments, too.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Attachment {
    /// File name, decoded; `None` where it has none. It is what the sender wrote, not a safe path.
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
pub struct Message {
    source: Source,
    whole: bool,
    fields: OnceLock<Fields>,
    content: OnceLock<Content>,
    /// Shared with edited copies, unless the edit changes what the body means.
    body: Arc<OnceLock<Body>>,
    from: OnceLock<Vec<Address>>,
    to: OnceLock<Vec<Address>>,
    cc: OnceLock<Vec<Address>>,
}

impl Message {
    /// A message of which only the header block is here.
    pub fn from_headers(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::new(Source::Given(bytes.into()), false)
    }

    /// A whole message.
    pub fn whole(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::new(Source::Given(bytes.into()), true)
    }

    fn new(source: Source, whole: bool) -> Self {
        Self {
            source,
            whole,
            fields: OnceLock::new(),
            content: OnceLock::new(),
            body: Arc::default(),
            from: OnceLock::new(),
            to: OnceLock::new(),
            cc: OnceLock::new(),
        }
    }

    /// Whether the body is here.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The bytes, as given or as edited.
    pub fn bytes(&self) -> &Arc<[u8]> {
        self.source.bytes()
    }

    /// Size in bytes of what is here.
    pub fn size(&self) -> usize {
        self.source.size()
    }

    /// Size in bytes of the header block with the empty line that ends it. Where that is all that is
    /// here, the block may go on in what is not.
    pub fn header_size(&self) -> usize {
        self.head_block().len()
    }

    /// Subject, decoded and unfolded; empty where there is none.
    pub fn subject(&self) -> String {
        self.header("Subject").unwrap_or_default()
    }

    /// Subject without reply and forward prefixes ([`super::thread`]).
    pub fn thread_subject(&self) -> String {
        thread::thread_subject(&self.subject()).to_owned()
    }

    /// From. Where the field is repeated, the addresses of all: readers differ on which they show.
    pub fn from(&self) -> Vec<Address> {
        self.from.get_or_init(|| self.addresses("From")).clone()
    }

    /// To, of all fields of that name.
    pub fn to(&self) -> Vec<Address> {
        self.to.get_or_init(|| self.addresses("To")).clone()
    }

    /// Cc, of all fields of that name.
    pub fn cc(&self) -> Vec<Address> {
        self.cc.get_or_init(|| self.addresses("Cc")).clone()
    }

    /// Reply-To, of all fields of that name.
    pub fn reply_to(&self) -> Vec<Address> {
        self.addresses("Reply-To")
    }

    /// The addresses of all fields of a name; `None` where readers could differ on what they are: for
    /// fields that a right depends on.
    pub fn plain_addresses(&self, name: &str) -> Option<Vec<Address>> {
        let fields = self.raw_values(name).map(strict::parse);
        fields.collect::<Option<Vec<_>>>().map(|fields| fields.concat())
    }

    /// Date as RFC 3339 with the sender's offset; `None` where it is missing or none.
    pub fn date(&self) -> Option<String> {
        let value = self.raw_values("Date").next().map(field::unfold)?;
        // The parser reads line by line. No date is longer than this.
        let value = format!("{}\n", charset::cut(&value, 200));
        let date = DateTime::parse_rfc822(&value)?.to_rfc3339();
        date.parse::<jiff::Timestamp>().ok().map(|_| date)
    }

    /// Message-ID without angle brackets.
    pub fn message_id(&self) -> Option<String> {
        self.raw_values("Message-ID").find_map(|value| id::all(value).into_iter().next())
    }

    /// All ids of In-Reply-To, without angle brackets.
    pub fn in_reply_to(&self) -> Vec<String> {
        self.raw_values("In-Reply-To").flat_map(id::all).collect()
    }

    /// All ids of References, without angle brackets.
    pub fn references(&self) -> Vec<String> {
        self.raw_values("References").flat_map(id::all).collect()
    }

    /// List-Id without angle brackets (RFC 2919).
    pub fn list_id(&self) -> Option<String> {
        self.raw_values("List-Id").next().map(id::last_or_all).filter(|id| !id.is_empty())
    }

    /// The first field of this name, decoded and unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        self.raw_values(name).next().map(word::decode_value)
    }

    /// All fields of this name, decoded and unfolded, top first.
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.raw_values(name).map(word::decode_value).collect()
    }

    /// Sent by a program rather than a person (RFC 3834 and what providers do). It forbids an
    /// answer, never filing or linking: Microsoft marks what its rules forward as automatic.
    pub fn is_auto(&self) -> bool {
        kind::is_auto(self)
    }

    /// A delivery status notification (RFC 3464) or another bounce.
    pub fn is_bounce(&self) -> bool {
        kind::is_bounce(self)
    }

    /// A read receipt: a message disposition notification (RFC 8098).
    pub fn is_mdn(&self) -> bool {
        kind::is_mdn(self)
    }

    /// Sent through a mailing list (RFC 2369, RFC 2919).
    pub fn is_list(&self) -> bool {
        kind::is_list(self)
    }

    /// An answer to another message.
    pub fn is_reply(&self) -> bool {
        kind::is_reply(self)
    }

    /// Asks for a read receipt, in any form.
    pub fn receipt_requested(&self) -> bool {
        !self.receipt_headers().is_empty()
    }

    /// The names of the fields that ask for a receipt, as [`receipt::REQUESTS`] spells them.
    pub fn receipt_headers(&self) -> Vec<String> {
        receipt::requests(self.head(), self.fields())
    }

    /// S/MIME or PGP encrypted.
    ///
    /// # Errors
    /// Where only the body can tell and it is not here.
    pub fn is_encrypted(&self) -> Result<bool, NeedBody> {
        self.protected(Protection::Encrypted)
    }

    /// S/MIME or PGP signed.
    ///
    /// # Errors
    /// Where only the body can tell and it is not here.
    pub fn is_signed(&self) -> Result<bool, NeedBody> {
        self.protected(Protection::Signed)
    }

    /// Carries an invitation or another calendar object (RFC 5545).
    ///
    /// # Errors
    /// Where only the body can tell and it is not here.
    pub fn has_calendar(&self) -> Result<bool, NeedBody> {
        let class = self.header("Content-Class");
        match protection::calendar_by_header(self.content(), class.as_deref()) {
            Answer::Yes => Ok(true),
            Answer::No => Ok(false),
            Answer::Body => self.parsed().map(|(body, _)| protection::calendar_by_body(body)),
        }
    }

    /// The plain text: the first text part that is not blank, or the HTML part as text; at most
    /// `most` bytes. Lines end in LF.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn text(&self, most: usize) -> Result<String, NeedBody> {
        self.parsed().map(|(body, bytes)| charset::cut(body.text(bytes), most).to_owned())
    }

    /// The HTML part as written; empty where there is none; at most `most` bytes.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn html(&self, most: usize) -> Result<String, NeedBody> {
        self.parsed().map(|(body, bytes)| charset::cut(body.html(bytes), most).to_owned())
    }

    /// The attachments.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn attachments(&self) -> Result<Vec<Attachment>, NeedBody> {
        self.parsed().map(|(body, bytes)| body.attachments(bytes).to_vec())
    }

    /// The bytes of the whole message, at most `most` of them.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn raw(&self, most: usize) -> Result<&[u8], NeedBody> {
        if !self.whole {
            return Err(NeedBody);
        }
        let bytes = self.bytes();
        Ok(&bytes[..bytes.len().min(most)])
    }

    /// Why the body is opaque: it exceeds a limit of [`super::guard`] and was not taken apart, so
    /// that its text is the raw body and it has no attachments. `None` where it is not.
    ///
    /// # Errors
    /// Where the body is not here.
    pub fn excess(&self) -> Result<Option<Excess>, NeedBody> {
        self.parsed().map(|(body, _)| body.excess())
    }

    /// The content fields of the message itself.
    pub(super) fn content(&self) -> &Content {
        self.content.get_or_init(|| Content::of(self.head(), self.fields(), "text/plain"))
    }

    /// Whether there is a field of this name.
    pub(super) fn has_field(&self, name: &str) -> bool {
        self.fields().named(self.head(), name).next().is_some()
    }

    /// The body taken apart, and its bytes.
    pub(super) fn parsed(&self) -> Result<(&Body, &[u8]), NeedBody> {
        if !self.whole {
            return Err(NeedBody);
        }
        let bytes = self.source.body(self.fields());
        Ok((self.body.get_or_init(|| Body::new(self.content().clone(), bytes)), bytes))
    }

    fn protected(&self, question: Protection) -> Result<bool, NeedBody> {
        match question.by_header(self.content()) {
            Answer::Yes => Ok(true),
            Answer::No => Ok(false),
            Answer::Body => self.parsed().map(|(body, bytes)| question.by_body(body, bytes)),
        }
    }

    /// The addresses of all fields of a name.
    pub fn addresses(&self, name: &str) -> Vec<Address> {
        self.raw_values(name).flat_map(address_list::parse).collect()
    }

    fn raw_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let head = self.head();
        self.fields().named(head, name).map(|field: &Field| field.value(head))
    }

    fn head(&self) -> &[u8] {
        self.source.head()
    }

    /// The header block alone, with the empty line that ends it.
    pub fn head_block(&self) -> &[u8] {
        &self.head()[..self.fields().body()]
    }

    fn fields(&self) -> &Fields {
        self.fields.get_or_init(|| Fields::scan(self.head()))
    }

    /// This message with another header block; `names` are the fields that differ.
    pub(super) fn edited(&self, head: Vec<u8>, names: &[&str]) -> Message {
        let mut edited = Self::new(self.source.with_head(self.fields(), head), self.whole);
        if !names.iter().any(|name| starts_content_field(name)) {
            edited.body = self.body.clone();
        }
        edited
    }
}

fn starts_content_field(name: &str) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
}

impl fmt::Debug for Message {
    /// Without its text, which belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, whole) = (self.size(), self.whole);
        f.debug_struct("Message").field("size", &size).field("whole", &whole).finish()
    }
}
