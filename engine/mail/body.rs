//! What a body holds for a rule: text, HTML, attachments.

use std::fmt::Write;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::content::Content;
use super::guard::Excess;
use super::structure::{self, Part};
use super::{Attachment, charset, html};

/// Bytes of text or HTML that are kept of a message. Callers cut further.
pub(super) const MOST_TEXT: usize = 16 << 20;

/// A body taken apart, with what was already read from it.
#[derive(Debug)]
pub(super) struct Body {
    parts: Result<Vec<Part>, Excess>,
    text: OnceLock<String>,
    html: OnceLock<String>,
    attachments: OnceLock<Vec<Attachment>>,
}

impl Body {
    /// `top` are the content fields of the message itself.
    pub(super) fn new(top: Content, bytes: &[u8]) -> Self {
        Self {
            parts: structure::parts(top, bytes),
            text: OnceLock::new(),
            html: OnceLock::new(),
            attachments: OnceLock::new(),
        }
    }

    /// Why the body was not taken apart.
    pub(super) fn excess(&self) -> Option<Excess> {
        self.parts.as_ref().err().copied()
    }

    /// All parts, the message itself first; none where the body is opaque.
    pub(super) fn parts(&self) -> &[Part] {
        self.parts.as_deref().unwrap_or_default()
    }

    /// The parts that hold content themselves.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &Part> {
        self.parts().iter().filter(|part| !part.is_container)
    }

    /// The first text part that is not blank, else the HTML as text: newsletters leave the plain
    /// part of an alternative empty.
    pub(super) fn text(&self, bytes: &[u8]) -> &str {
        self.text.get_or_init(|| {
            if self.parts.is_err() {
                let most = bytes.len().min(MOST_TEXT);
                return unix_lines(&charset::guess(&bytes[..most]));
            }
            let mut plain = self.shown("text/plain").map(|part| text_of(part, bytes));
            let written = plain.find(|text| !text.trim().is_empty());
            written.map_or_else(|| html::to_text(self.html(bytes)), |text| unix_lines(&text))
        })
    }

    pub(super) fn html(&self, bytes: &[u8]) -> &str {
        self.html.get_or_init(|| {
            let mut html = self.shown("text/html").map(|part| text_of(part, bytes));
            html.next().unwrap_or_default()
        })
    }

    /// The parts of this type that are shown as part of the message.
    fn shown(&self, media_type: &str) -> impl Iterator<Item = &Part> {
        self.leaves().filter(move |part| is_shown(part) && part.content.media_type() == media_type)
    }

    pub(super) fn attachments(&self, bytes: &[u8]) -> &[Attachment] {
        self.attachments.get_or_init(|| {
            self.leaves()
                .filter(|part| !is_shown(part))
                .map(|part| attachment(part, bytes))
                .collect()
        })
    }
}

/// Whether a part is text that a reader shows. Everything else is an attachment.
fn is_shown(part: &Part) -> bool {
    part.content.is_inline() && matches!(part.content.media_type(), "text/plain" | "text/html")
}

/// The decoded bytes of a part as text, cut at [`MOST_TEXT`].
pub(super) fn text_of(part: &Part, bytes: &[u8]) -> String {
    let decoded = part.content.transfer.decode(&bytes[part.body.clone()]);
    let most = decoded.len().min(MOST_TEXT);
    let text =
        charset::decode(part.content.parameter("charset").unwrap_or_default(), &decoded[..most]);
    charset::cut(text.strip_prefix('\u{feff}').unwrap_or(&text), MOST_TEXT).to_owned()
}

/// The same message gives the same text whether its store keeps CRLF or LF.
fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn attachment(part: &Part, bytes: &[u8]) -> Attachment {
    let decoded = part.content.transfer.decode(&bytes[part.body.clone()]);
    let mut sha256 = String::with_capacity(64);
    for byte in Sha256::digest(&decoded) {
        // Writing to a string cannot fail.
        let _ = write!(sha256, "{byte:02x}");
    }
    Attachment {
        name: part.content.name().map(str::to_owned),
        media_type: part.content.media_type().to_owned(),
        size: decoded.len() as u64,
        sha256,
    }
}
