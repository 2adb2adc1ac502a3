//! Signed, encrypted, an invitation: what the parts of a message say of it.
//!
//! The header decides wherever it can; only multiparts and plain text need the body.

use super::body::{self, Body};
use super::content::Content;
use super::structure::Part;

/// What a header says of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// The body has to be asked.
    Body,
}

/// A question about protection that a part answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Signed,
    Encrypted,
}

impl Protection {
    /// What the content fields of the message itself tell.
    pub(super) fn by_header(self, content: &Content) -> Answer {
        match (self, content.media_type()) {
            (Self::Signed, "multipart/signed") | (Self::Encrypted, "multipart/encrypted") => {
                Answer::Yes
            }
            // What is inside is not to be seen.
            (Self::Signed, "multipart/encrypted") => Answer::No,
            _ if content.is_multipart() || content.is_text() => Answer::Body,
            _ if is_cms(content) => match self.by_smime_type(content) {
                Some(true) => Answer::Yes,
                Some(false) => Answer::No,
                None => Answer::Body,
            },
            _ => Answer::No,
        }
    }

    /// What the body tells. In an opaque body nothing is found.
    pub(super) fn by_body(self, parsed: &Body, bytes: &[u8]) -> bool {
        parsed.parts().iter().any(|part| self.by_part(part, bytes))
    }

    fn by_part(self, part: &Part, bytes: &[u8]) -> bool {
        let content = &part.content;
        if is_cms(content) {
            return self.by_smime_type(content).unwrap_or_else(|| self.by_cms(part, bytes));
        }
        match content.media_type() {
            "multipart/signed" => self == Self::Signed,
            "multipart/encrypted" | "application/pgp-encrypted" => self == Self::Encrypted,
            "text/plain" | "text/html" => self.by_armor(&body::text_of(part, bytes)),
            _ => false,
        }
    }

    /// RFC 8551 section 3.2.2. Mail that leaves it out is told by its content.
    fn by_smime_type(self, content: &Content) -> Option<bool> {
        let found = content.keyword("smime-type");
        if found.is_empty() {
            return None;
        }
        Some(match self {
            Self::Signed => found == "signed-data" || found == "signed-receipt",
            Self::Encrypted => found == "enveloped-data" || found == "authenveloped-data",
        })
    }

    /// The content type that stands at the start of a CMS object (RFC 5652 section 3), in DER.
    fn by_cms(self, part: &Part, bytes: &[u8]) -> bool {
        const SIGNED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
        const ENVELOPED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
        const AUTH_ENVELOPED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17";
        let written = &bytes[part.body.clone()];
        let start = part.content.transfer.decode(&written[..written.len().min(200)]);
        let start = &start[..start.len().min(40)];
        let holds = |oid: &[u8]| start.windows(oid.len()).any(|window| window == oid);
        match self {
            Self::Signed => holds(SIGNED),
            Self::Encrypted => holds(ENVELOPED) || holds(AUTH_ENVELOPED),
        }
    }

    /// PGP in the text itself (RFC 9580 section 6.2), at the start of a line.
    fn by_armor(self, text: &str) -> bool {
        let mark = match self {
            Self::Signed => "-----BEGIN PGP SIGNED MESSAGE-----",
            Self::Encrypted => "-----BEGIN PGP MESSAGE-----",
        };
        text.match_indices(mark).any(|(at, _)| at == 0 || text[..at].ends_with(['\n', '>']))
    }
}

/// S/MIME, also where a gateway made it a file (RFC 8551 section 3.8).
fn is_cms(content: &Content) -> bool {
    let is_file = content.media_type() == "application/octet-stream"
        && content.name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7m"));
    is_file || matches!(content.media_type(), "application/pkcs7-mime" | "application/x-pkcs7-mime")
}

/// Whether the header tells that there is a calendar object, or that there is none.
pub(super) fn calendar_by_header(content: &Content, content_class: Option<&str>) -> Answer {
    let is_exchange = content_class.is_some_and(|class| {
        class.to_ascii_lowercase().contains("content-classes:calendarmessage")
    });
    if is_exchange || is_calendar(content) {
        Answer::Yes
    } else if content.is_multipart() {
        Answer::Body
    } else {
        Answer::No
    }
}

/// Whether any part is a calendar object.
pub(super) fn calendar_by_body(parsed: &Body) -> bool {
    parsed.leaves().any(|part| is_calendar(&part.content))
}

fn is_calendar(content: &Content) -> bool {
    matches!(content.media_type(), "text/calendar" | "application/ics" | "text/x-vcalendar")
        || content.name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".ics"))
}
