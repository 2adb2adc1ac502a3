//! Which messages belong to a project. A link keeps what people need to know of its message, so
//! that it outlives the message's record.

use serde::{Deserialize, Serialize};

use super::record::{MessageRecord, shortened};
use super::value;
use crate::error::{Error, Result};

/// One message linked to one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The project's code.
    pub project: String,
    /// What decided it, e.g. `subject-token`.
    pub evidence: String,
    /// The message's record, which may have been pruned since.
    pub id: u64,
    /// Its Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Its subject, at most 200 characters.
    pub subject: String,
    /// When it was decided, Unix milliseconds.
    pub at_ms: i64,
}

impl Link {
    pub(super) fn new(project: &str, evidence: &str, record: &MessageRecord) -> Self {
        Self {
            project: project.into(),
            evidence: evidence.into(),
            id: record.id,
            message_id: record.message_id.clone(),
            subject: shortened(&record.subject).unwrap_or_else(|| record.subject.clone()),
            at_ms: record.decided_ms,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|why| {
            Error::permanent(format!("link record #{} to {}", self.id, self.project), why)
        })?;
        Ok(value::versioned(&json))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        value::json(bytes, || "read a link".into())
    }
}
