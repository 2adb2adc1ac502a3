//! What a message is when one of our users has handed it over, and who takes it: the outbound
//! straight line, which this folder does not know.

use async_trait::async_trait;

use super::SpoolFile;
use super::dialogue::Reply;
use crate::error::Error;
use crate::mail::Envelope;
use crate::store::Change;

/// A message that one of our users handed over. Nobody was promised anything yet.
#[derive(Debug)]
pub struct Submission {
    /// The user's name in `[users]`.
    pub user: String,
    /// Who it is from and to.
    pub envelope: Envelope,
    /// Its header block with the empty line that ends it, as it is in `file`.
    pub head: Vec<u8>,
    /// All of it, CRLF line ends throughout.
    pub file: SpoolFile,
    /// What belongs to it and is written with its queue entry, if it is accepted.
    pub changes: Vec<Change>,
}

/// A message that was taken: it survives a loss of power, and is promised to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The id of its entry in the queue.
    pub id: u64,
    /// Why it waits for a person.
    pub held: Option<String>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The answer to the client: 4xx where trying again may help.
    pub reply: Reply,
    /// What a person who runs the engine should know and a client should not.
    pub cause: Option<Box<Error>>,
}

impl Refusal {
    /// A message that cannot be kept now (RFC 3463: 4.3.1, mail system full).
    pub fn no_room(cause: Error) -> Self {
        let text = "the message cannot be kept now: try again later";
        Self { reply: Reply::new(452, "4.3.1", text), cause: Some(Box::new(cause)) }
    }

    /// Something that is wrong here and not with the message.
    pub fn later(cause: Error) -> Self {
        let text = "this cannot be decided now: try again later";
        Self { reply: Reply::new(451, "4.3.0", text), cause: Some(Box::new(cause)) }
    }
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self { reply, cause: None }
    }
}

/// Who takes messages that were handed over.
#[async_trait]
pub trait Accept: Send + Sync {
    /// Checks that the user may send it, lets the rules decide, and puts it into the queue.
    ///
    /// # Errors
    /// Why it was not taken.
    async fn accept(&self, submission: Submission) -> Result<Accepted, Refusal>;
}
