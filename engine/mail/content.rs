//! What a part says of itself: type, transfer encoding, disposition, name (RFC 2045, RFC 2183).

use super::field::{self, Fields};
use super::parameter::Parameters;
use super::transfer::Transfer;

/// The content fields of a message or part.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    kind: Parameters,
    pub(super) transfer: Transfer,
    encoding: String,
    is_attachment: bool,
    is_broken: bool,
    name: Option<String>,
}

/// RFC 2046 section 5.1.1 allows 70 bytes; a longer line could not be sent.
const MOST_BOUNDARY: usize = 998;

impl Content {
    /// Reads the content fields of a header. `default` is the type where none is given.
    pub(super) fn of(bytes: &[u8], fields: &Fields, default: &str) -> Self {
        let first = |name| fields.named(bytes, name).next().map(|f| field::unfold(f.value(bytes)));
        let mut kind = Parameters::parse(&first("Content-Type").unwrap_or_default());
        if !kind.value.contains('/') {
            kind.value = default.to_owned();
        }
        let disposition = Parameters::parse(&first("Content-Disposition").unwrap_or_default());
        let transfer = first("Content-Transfer-Encoding").unwrap_or_default();
        let name = disposition.get("filename").or_else(|| disposition.get("name"));
        let name = name.or_else(|| kind.get("name")).or_else(|| kind.get("filename"));
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        Self {
            name,
            is_attachment: disposition.value == "attachment",
            is_broken: false,
            transfer: Transfer::named(transfer.trim()),
            encoding: transfer.trim().to_ascii_lowercase(),
            kind,
        }
    }

    /// Media type in lower case, e.g. `text/plain`.
    pub(super) fn media_type(&self) -> &str {
        &self.kind.value
    }

    /// A parameter of Content-Type; `name` in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.kind.get(name)
    }

    /// A parameter of Content-Type, in lower case; empty where there is none.
    pub(super) fn keyword(&self, name: &str) -> String {
        self.parameter(name).unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The transfer encoding in lower case, as written; empty where none is given.
    pub(super) fn encoding(&self) -> &str {
        &self.encoding
    }

    /// Whether it is offered as a file in so many words.
    pub(super) fn is_attachment(&self) -> bool {
        self.is_attachment
    }

    /// Whether it says that it is a multipart and is none.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether it is shown as part of the message rather than offered as a file.
    pub(super) fn is_inline(&self) -> bool {
        !self.is_attachment && self.name.is_none()
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.media_type().starts_with("multipart/")
    }

    pub(super) fn is_text(&self) -> bool {
        self.media_type().starts_with("text/")
    }

    /// The boundary of a multipart that can have parts.
    pub(super) fn boundary(&self) -> Option<&str> {
        let boundary = self.parameter("boundary").filter(|_| self.is_multipart())?.trim_end();
        (1..=MOST_BOUNDARY).contains(&boundary.len()).then_some(boundary)
    }

    /// Makes it the plain text that a multipart without parts is.
    pub(super) fn demote(&mut self) {
        self.kind.value = "text/plain".into();
        self.is_broken = true;
    }
}
