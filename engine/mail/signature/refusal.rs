//! Mail into which nothing may be put, and why.

use std::fmt;

use super::super::content::Content;
use super::super::structure::Part;
use super::super::{Message, NeedBody};
use super::{Signature, plain};

/// Why a message was not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A cryptographic signature covers it (S/MIME, PGP).
    Signed,
    /// It is encrypted (S/MIME, PGP, rights management).
    Encrypted,
    /// It is an invitation or an answer to one (RFC 6047).
    Calendar,
    /// Its body is Outlook's own format (TNEF).
    Tnef,
    /// It reports to programs: a read receipt, a bounce.
    Report,
    /// Nothing in it is text for a reader.
    NoText,
    /// Its structure is broken: a multipart without a boundary, a text in an unknown encoding.
    Broken,
    /// It has too many parts, or they lie too deep, to be taken apart.
    Opaque,
    /// The template gave no text for it.
    Empty,
    /// It would stand where it is not found again.
    Hidden,
    /// The template's text reads like the start of quoted mail, so it would not be found again.
    LikeQuote,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "a change would break its cryptographic signature",
            Self::Encrypted => "it is encrypted",
            Self::Calendar => "it is an invitation or an answer to one",
            Self::Tnef => "its body is in Outlook's own format (TNEF)",
            Self::Report => "it is a report for programs",
            Self::NoText => "it has no text that is shown",
            Self::Broken => "its structure is broken",
            Self::Opaque => "it has too many or too deep parts",
            Self::Empty => "the template gives no text for it",
            Self::Hidden => "it would stand among text that hides it",
            Self::LikeQuote => "the template's text reads like the start of quoted mail",
        })
    }
}

/// What forbids a signature in this message.
///
/// # Errors
/// Where the body is not here.
pub(super) fn of(message: &Message) -> Result<Option<Why>, NeedBody> {
    let (body, _) = message.parsed()?;
    if body.excess().is_some() {
        return Ok(Some(Why::Opaque));
    }
    let parts = body.parts();
    let any = |is: fn(&Content) -> bool| parts.iter().any(|part| is(&part.content));
    Ok(if message.is_mdn() || message.is_bounce() || any(is_report) {
        Some(Why::Report)
    } else if message.is_signed()? {
        Some(Why::Signed)
    } else if message.is_encrypted()? || any(is_rights_managed) {
        Some(Why::Encrypted)
    } else if is_invitation(message, parts) {
        Some(Why::Calendar)
    } else if any(is_tnef) {
        Some(Why::Tnef)
    } else if message.content().is_multipart()
        && parts.first().is_some_and(|part| !part.is_container)
    {
        Some(Why::Broken)
    } else {
        None
    })
}

/// What forbids this signature anywhere.
pub(super) fn of_signature(signature: &Signature) -> Option<Why> {
    plain::reads_like_quote(&signature.text).then_some(Why::LikeQuote)
}

fn is_report(content: &Content) -> bool {
    let reports = [
        "multipart/report",
        "message/delivery-status",
        "message/global-delivery-status",
        "message/disposition-notification",
        "message/global-disposition-notification",
    ];
    reports.contains(&content.media_type())
}

/// Microsoft's protected mail: an attachment that holds the message.
fn is_rights_managed(content: &Content) -> bool {
    content.media_type() == "application/x-microsoft-rpmsg-message"
        || content.name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".rpmsg"))
}

fn is_tnef(content: &Content) -> bool {
    matches!(content.media_type(), "application/ms-tnef" | "application/vnd.ms-tnef")
        || content.name().is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"))
}

/// A calendar object that is the message, rather than a file sent along.
fn is_invitation(message: &Message, parts: &[Part]) -> bool {
    let class = message.header("Content-Class").unwrap_or_default().to_ascii_lowercase();
    class.contains("content-classes:calendarmessage")
        || parts.iter().any(|part| {
            part.content.media_type() == "text/calendar"
                && (!part.content.is_attachment() || part.content.parameter("method").is_some())
        })
}
