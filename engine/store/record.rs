//! The record of one decided message: what was planned, what was done of it, and why it is held.

use serde::{Deserialize, Serialize};

use super::catalog::Tag;
use super::value;
use crate::error::{Error, Result};
use crate::mail::MessageKey;
use crate::pipeline::Decision;

/// The most bytes of a record on disk. A plan is kept far below it, so that its marks have room.
pub const MAX_RECORD: usize = 256 << 10;

/// The most characters of a subject that a record keeps.
pub(super) const MAX_SUBJECT: usize = 200;

/// One decided message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// From [`super::Store::next_id`]; what people say to name it (`mailmill explain 42`).
    pub id: u64,
    /// Where the message was when it was decided.
    pub key: MessageKey,
    /// Its Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Its subject; cut at 200 characters when it is written.
    pub subject: String,
    /// Its author as shown to people.
    pub from: String,
    /// Its size in bytes.
    pub size: u64,
    /// When the server received it, Unix milliseconds.
    pub received_ms: Option<i64>,
    /// When it was decided, Unix milliseconds.
    pub decided_ms: i64,
    /// The plan.
    pub decision: Decision,
    /// How far it is.
    pub state: State,
    /// What was done of the plan, in the order it was done.
    pub marks: Vec<Mark>,
    /// Why it is held and what comes next; kept after a release as history.
    pub hold: Option<Hold>,
}

/// How far a decided message is: the table at the head of [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The plan is on disk; not all of it is known to be done.
    Planned,
    /// All is done.
    Settled,
    /// It waits for a person or for the next try.
    Held,
    /// It was held, and a person let it go where it was.
    Released,
    /// The message is no longer there under this key: it vanished, or UIDVALIDITY is new.
    Void,
}

/// What became of one action of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Index into the decision's actions.
    pub action: usize,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// How it ended.
    pub outcome: MarkOutcome,
    /// What a person wants to know, e.g. `INBOX/5 -> Projects/T-071/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkOutcome {
    /// It is done.
    Done,
    /// The message was no longer there.
    Gone,
    /// It failed for good; the note says why.
    Failed,
}

/// Why a message is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The cause, for people.
    pub reason: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next by itself, Unix milliseconds; `None` waits for a person.
    pub retry_at_ms: Option<i64>,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Settled => "settled",
            Self::Held => "held",
            Self::Released => "released",
            Self::Void => "void",
        })
    }
}

/// How far a plan was carried out, written beside its record, which stays as it was planned.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The record's, so that it is known which message was done should the record be lost.
    pub(super) key: MessageKey,
    pub(super) state: State,
    pub(super) marks: Vec<Mark>,
}

/// A [`Progress`] that is written.
#[derive(Serialize)]
struct Progressed<'r> {
    key: &'r MessageKey,
    state: State,
    marks: &'r [Mark],
}

impl Progress {
    pub(super) fn encode(record: &MessageRecord) -> Result<Vec<u8>> {
        let MessageRecord { id, key, state, marks, .. } = record;
        let json = serde_json::to_vec(&Progressed { key, state: *state, marks });
        let json = json
            .map_err(|why| Error::permanent(format!("write what was done of record #{id}"), why))?;
        Ok(value::versioned(&[&[state.code()], json.as_slice()].concat()))
    }

    pub(super) fn decode(id: u64, bytes: &[u8]) -> Result<Self> {
        let what = || format!("read what was done of record #{id}");
        let (_, json) = Self::split(value::body(bytes, what)?)?;
        serde_json::from_slice(json).map_err(|why| Error::permanent(what(), why))
    }

    /// The state in front, and what stands behind it.
    pub(super) fn split(body: &[u8]) -> Result<(State, &[u8])> {
        let broken = || Error::permanent("read what was done of a record", "it is damaged");
        let (code, rest) = body.split_first().ok_or_else(broken)?;
        Ok((State::of_code(*code).ok_or_else(broken)?, rest))
    }
}

impl State {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Planned => 1,
            Self::Settled => 2,
            Self::Held => 3,
            Self::Released => 4,
            Self::Void => 5,
        }
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        let all = [Self::Planned, Self::Settled, Self::Held, Self::Released, Self::Void];
        all.into_iter().find(|state| state.code() == code)
    }
}

impl MessageRecord {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let what = || format!("write record #{} of message {}", self.id, self.key);
        let json = match shortened(&self.subject) {
            Some(subject) => serde_json::to_vec(&Self { subject, ..self.clone() }),
            None => serde_json::to_vec(self),
        };
        let json = json.map_err(|why| Error::permanent(what(), why))?;
        if json.len() > MAX_RECORD {
            let why = format!("it has {} bytes, more than the {MAX_RECORD} allowed", json.len());
            return Err(Error::permanent(what(), why).next(
                "let the rules record fewer or shorter actions; the message stays where it is",
            ));
        }
        Ok(value::versioned(&[Tag::of(self).encode(), json].concat()))
    }

    pub(super) fn decode(id: u64, bytes: &[u8]) -> Result<Self> {
        let what = || format!("read record #{id}");
        let (_, json) = Tag::split(value::body(bytes, what)?)?;
        serde_json::from_slice(json).map_err(|why| Error::permanent(what(), why))
    }

    /// This record with what was done of it since it was planned.
    pub(super) fn with(self, progress: Option<Progress>) -> Self {
        match progress {
            Some(Progress { state, marks, .. }) => Self { state, marks, ..self },
            None => self,
        }
    }
}

/// A Message-ID without angle brackets and blanks around it.
pub(super) fn bare(message_id: &str) -> &str {
    let id = message_id.trim();
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}

/// The subject cut to [`MAX_SUBJECT`] characters, where it is longer.
pub(super) fn shortened(subject: &str) -> Option<String> {
    subject.char_indices().nth(MAX_SUBJECT).map(|(end, _)| subject[..end].to_owned())
}
