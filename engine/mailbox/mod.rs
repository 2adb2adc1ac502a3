//! WHERE MAIL LIVES: one trait over IMAP accounts and Maildirs, as source and as target.
//!
//! An implementation never takes a refusal, a dropped connection or silence for "empty" or "done":
//! each is an error. UIDs are the only way to name messages; sequence numbers stay inside.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;
use crate::mail::{Flag, MailboxName, Uid, UidValidity};

mod alteration;
mod content;
pub mod imap;
mod line_end;
pub mod maildir;
mod open;

pub use alteration::{Alteration, Altered, Tell};
pub use content::Content;
pub use line_end::crlf;
pub use open::open;

/// What is known of a mailbox once it is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The mailbox's UIDVALIDITY.
    pub uidvalidity: UidValidity,
    /// A UID that no message in it has reached yet.
    pub uidnext: Uid,
    /// How many messages it holds.
    pub exists: u32,
    /// The flags that may be stored for good (PERMANENTFLAGS without `\*`).
    pub permanent_flags: Vec<Flag>,
    /// Whether new keywords may be stored (`\*` in PERMANENTFLAGS).
    pub any_keyword: bool,
}

impl Selected {
    /// Whether this flag can be stored in the mailbox.
    pub fn permits(&self, flag: &Flag) -> bool {
        self.permanent_flags.contains(flag)
            || (self.any_keyword && !flag.as_str().starts_with('\\'))
    }
}

/// How much of a message to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The header block with its final empty line; of a very long one (256 KiB over IMAP) its start.
    Headers,
    /// All of it, byte for byte.
    Whole,
    /// These of all its bytes: fewer where it ends before, none behind its end.
    Part {
        /// Bytes in front of them.
        offset: u64,
        /// How many.
        length: u32,
    },
}

/// A message as fetched. Fetching never sets `\Seen` (BODY.PEEK).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its UID in the selected mailbox.
    pub uid: Uid,
    /// Its flags at the time, without `\Recent`.
    pub flags: Vec<Flag>,
    /// When the server received it (INTERNALDATE), Unix milliseconds; `None` where the server does
    /// not say.
    pub received_ms: Option<i64>,
    /// Its size in bytes as the server tells it (RFC822.SIZE).
    pub size: u64,
    /// The bytes asked for.
    pub bytes: Vec<u8>,
}

/// Whether flags are set or cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Where messages came to lie after a copy, a move or an append: source UID to target UID.
/// Empty where the server does not say (no UIDPLUS).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landed {
    /// The target's UIDVALIDITY, where told.
    pub uidvalidity: Option<UidValidity>,
    /// Source UID to target UID.
    pub uids: BTreeMap<Uid, Uid>,
}

/// Why `wait` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woke {
    /// The mailbox changed.
    News,
    /// Nothing was heard for the time given.
    Quiet,
}

/// The mailboxes of an account, or some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those that can be selected, by name.
    pub mailboxes: Vec<MailboxName>,
    /// Those that would be listed if their names could be [`MailboxName`]s: as the server or the
    /// file system writes them, cut where they are long, and harmless to print.
    pub unnamed: Vec<String>,
}

/// How to recognise one message in a mailbox when an outcome is in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// Its Message-ID without angle brackets, where it has one.
    pub message_id: Option<String>,
    /// Its size in bytes; of what was appended to an IMAP mailbox, that of its [`crlf`] form.
    pub size: u64,
    /// Its received time, where known.
    pub received_ms: Option<i64>,
}

/// Whether a failed call leaves nothing to do but to end the session: the connection cannot be used,
/// or the server asked to be left alone.
pub fn ends_session(mailboxes: &dyn Mailboxes) -> bool {
    !mailboxes.is_usable() || mailboxes.back_off().is_some()
}

/// One account's mailboxes over one connection.
///
/// `select` comes first; every call that names UIDs speaks of the selected mailbox. An error that
/// says [`crate::error::Retry::Later`] may have left the connection unusable: drop it and connect
/// anew. No call blocks for ever; each has a deadline.
#[async_trait::async_trait]
pub trait Mailboxes: Send {
    /// The mailboxes at or below `root` that can be selected, `root` included where it exists; and
    /// those there that no name of ours leads to.
    async fn list_below(&mut self, root: &MailboxName) -> Result<Listed>;

    /// Opens a mailbox for reading and changing.
    async fn select(&mut self, mailbox: &MailboxName) -> Result<Selected>;

    /// The UIDs above `uid` in the selected mailbox, ascending, at most `limit` of them: the lowest.
    async fn uids_above(&mut self, uid: Uid, limit: usize) -> Result<Vec<Uid>>;

    /// Fetches messages, ascending by UID. A UID that is gone is simply missing from the answer; a
    /// message that the server cannot render is an error.
    async fn fetch(&mut self, uids: &[Uid], extent: Extent) -> Result<Vec<Fetched>>;

    /// Those of these messages that are there, ascending.
    async fn present(&mut self, uids: &[Uid]) -> Result<Vec<Uid>>;

    /// Sets or clears flags. A UID that is gone is no error.
    async fn store_flags(&mut self, uids: &[Uid], change: FlagChange, flags: &[Flag])
    -> Result<()>;

    /// Copies messages to another mailbox of the account.
    async fn copy(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed>;

    /// Moves messages to another mailbox of the account. Atomic where the server can do UID MOVE;
    /// else copy, then `\Deleted` and UID EXPUNGE of these UIDs only.
    async fn move_to(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed>;

    /// Makes changes in their order, several under way at once where the server allows it, and tells
    /// of each what became of it as soon as that is known; of a large one in pieces.
    ///
    /// # Errors
    /// The session ended ([`ends_session`]): what was not told may have happened or not.
    async fn alter(&mut self, alterations: &[Alteration], tell: Tell<'_>) -> Result<()>;

    /// Whether [`Mailboxes::move_to`] is one atomic operation, so that a message still in its
    /// source was not moved.
    fn moves_atomically(&self) -> bool;

    /// Adds a message to a mailbox with its flags and received time; its UID where told. IMAP gets it
    /// with the line ends of [`crlf`], a Maildir as it is. It is never in memory as a whole, unless
    /// `content` is.
    async fn append_content(
        &mut self,
        mailbox: &MailboxName,
        content: &Content,
        flags: &[Flag],
        received_ms: Option<i64>,
    ) -> Result<Option<(UidValidity, Uid)>>;

    /// [`Mailboxes::append_content`] of bytes.
    async fn append(
        &mut self,
        mailbox: &MailboxName,
        bytes: &[u8],
        flags: &[Flag],
        received_ms: Option<i64>,
    ) -> Result<Option<(UidValidity, Uid)>> {
        self.append_content(mailbox, &Content::from(bytes.to_vec()), flags, received_ms).await
    }

    /// Removes exactly these messages for good.
    async fn expunge(&mut self, uids: &[Uid]) -> Result<()>;

    /// Makes a mailbox (and, where needed, its parents). One that exists is no error.
    async fn create(&mut self, mailbox: &MailboxName) -> Result<()>;

    /// Whether a mailbox exists and can be selected.
    async fn exists(&mut self, mailbox: &MailboxName) -> Result<bool>;

    /// The UIDs in `mailbox` of messages that look like this one. Leaves `mailbox` selected.
    async fn find(&mut self, mailbox: &MailboxName, like: &Likeness) -> Result<Vec<Uid>>;

    /// Waits until the selected mailbox has news, for `at_most` this long. `seen` is the highest
    /// UID that the caller has seen: a message above it is news at once, though it came before the
    /// mailbox was selected. `Uid(u32::MAX)` says that nothing is unseen. `Quiet` says the
    /// connection is known to be alive.
    async fn wait(&mut self, seen: Uid, at_most: Duration) -> Result<Woke>;

    /// Ends the connection in order.
    async fn close(&mut self) -> Result<()>;

    /// Whether the connection can still be used after a call that failed.
    fn is_usable(&self) -> bool {
        true
    }

    /// How long the server asked to be left alone when it last refused a call, where it said so.
    fn back_off(&self) -> Option<Duration> {
        None
    }
}
