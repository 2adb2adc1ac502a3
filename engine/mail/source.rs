//! Where a message's bytes are. An edit copies the header block and shares the rest.

use std::sync::{Arc, OnceLock};

use super::field::Fields;

/// The bytes of a message, as given or as edited.
pub(super) enum Source {
    /// One piece.
    Given(Arc<[u8]>),
    /// A header block of its own, and the body of the message that was edited.
    Edited {
        head: Vec<u8>,
        original: Arc<[u8]>,
        /// Where the body begins in `original`.
        body: usize,
        joined: OnceLock<Arc<[u8]>>,
    },
}

impl Source {
    /// All bytes in one piece; an edited message is joined when this is first asked.
    pub(super) fn bytes(&self) -> &Arc<[u8]> {
        match self {
            Self::Given(bytes) => bytes,
            Self::Edited { head, original, body, joined } => {
                joined.get_or_init(|| [head, &original[*body..]].concat().into())
            }
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Given(bytes) => bytes.len(),
            Self::Edited { head, original, body, .. } => head.len() + original.len() - body,
        }
    }

    /// Bytes that begin with the header block. They are what `fields` are scanned of.
    pub(super) fn head(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Edited { head, .. } => head,
        }
    }

    /// The body.
    pub(super) fn body(&self, fields: &Fields) -> &[u8] {
        match self {
            Self::Given(bytes) => &bytes[fields.body()..],
            Self::Edited { original, body, .. } => &original[*body..],
        }
    }

    /// The same body below another header block.
    pub(super) fn with_head(&self, fields: &Fields, head: Vec<u8>) -> Self {
        let (original, body) = match self {
            Self::Given(bytes) => (bytes.clone(), fields.body()),
            Self::Edited { original, body, .. } => (original.clone(), *body),
        };
        Self::Edited { head, original, body, joined: OnceLock::new() }
    }
}
