//! IMAP accounts: [`ImapMailboxes`]. The only folder that speaks IMAP and uses async-imap.
//!
//! From the wire up: `tls` and `connect` make a connection; `filter` lets only whole, limited,
//! parseable responses through (`frame` cuts them, `repair` mends them); async-imap turns them into
//! values (`response` makes them ours); `session` sends a `command` and reads to its own tag;
//! `select`, `search`, `fetch`, `alter` and `watch` are the calls of the trait; `flight` has several
//! commands under way at once.
//!
//! What holds here: a tagged NO or BAD, BYE, the end of the connection and a missed deadline are
//! errors, never "empty" and never "done"; sequence numbers do not leave this folder; no value from
//! outside can end a command and begin another; no secret is in any error.

mod alter;
mod command;
mod connect;
mod fetch;
mod filter;
mod flight;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
mod login;
mod name;
mod pace;
mod random;
mod refusal;
mod repair;
mod response;
mod search;
mod select;
mod session;
mod set;
mod together;
mod watch;

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

use crate::config;
use crate::error::Result;
use crate::mail::{Flag, MailboxName, Uid, UidValidity};

use super::{
    Alteration, Content, Extent, Fetched, FlagChange, Landed, Likeness, Listed, Mailboxes,
    Selected, Tell, Woke,
};
use session::Session;

pub use refusal::{Refusal, RefusalKind};

/// How [`Mailboxes::wait`] learns of news.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitBy {
    /// IDLE where the server has it, else as [`WaitBy::Noop`].
    #[default]
    Idle,
    /// Listens, and asks once by NOOP when the time is over.
    Noop,
}

/// One account's mailboxes over one IMAP connection.
///
/// A command whose future is dropped leaves the connection unusable, but for
/// [`Mailboxes::wait`], which may be dropped while it waits; not while it asks for messages above
/// `seen`, before that.
pub struct ImapMailboxes {
    session: Session,
    wait_by: WaitBy,
}

/// Connects and logs in. `deadline` is for connecting as a whole and then for each command: the
/// time without an answer, or without 8 KiB a second of one that is large. `max_size` is the
/// largest message in bytes that will be fetched whole; a literal an eighth larger ends the
/// connection.
///
/// # Errors
/// Permanent where a person must act: login refused, certificate not accepted, `ca` unreadable,
/// clear text to another machine, PREAUTH. Temporary: everything else.
pub async fn connect(
    settings: &config::Imap,
    secret: &SecretString,
    deadline: Duration,
    max_size: u64,
) -> Result<ImapMailboxes> {
    let session = connect::connect(settings, secret, deadline, max_size).await?;
    Ok(ImapMailboxes { session, wait_by: WaitBy::default() })
}

impl ImapMailboxes {
    /// Chooses how [`Mailboxes::wait`] learns of news.
    pub fn wait_by(&mut self, wait_by: WaitBy) {
        self.wait_by = wait_by;
    }

    /// Whether the server announced this capability after the login. In capitals.
    pub fn has(&self, capability: &str) -> bool {
        self.session.has(capability)
    }

    /// What the server said to the last command, where it refused it.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.session.refusal.as_ref()
    }

    /// Why the connection is unusable, once it is.
    pub fn broken(&self) -> Option<&str> {
        self.session.broken.as_deref()
    }
}

impl fmt::Debug for ImapMailboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapMailboxes")
            .field("place", &self.session.place)
            .field("selected", &self.session.selected)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Mailboxes for ImapMailboxes {
    async fn list_below(&mut self, root: &MailboxName) -> Result<Listed> {
        self.session.list_below(root).await
    }

    async fn select(&mut self, mailbox: &MailboxName) -> Result<Selected> {
        self.session.select(mailbox).await
    }

    async fn uids_above(&mut self, uid: Uid, limit: usize) -> Result<Vec<Uid>> {
        self.session.uids_above(uid, limit).await
    }

    async fn fetch(&mut self, uids: &[Uid], extent: Extent) -> Result<Vec<Fetched>> {
        self.session.fetch(uids, extent).await
    }

    async fn present(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        self.session.present(uids).await
    }

    async fn store_flags(
        &mut self,
        uids: &[Uid],
        change: FlagChange,
        flags: &[Flag],
    ) -> Result<()> {
        self.session.store_flags(uids, change, flags).await
    }

    async fn copy(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        self.session.copy(uids, target).await
    }

    async fn move_to(&mut self, uids: &[Uid], target: &MailboxName) -> Result<Landed> {
        self.session.move_to(uids, target).await
    }

    async fn alter(&mut self, alterations: &[Alteration], tell: Tell<'_>) -> Result<()> {
        self.session.alter(alterations, tell).await
    }

    async fn append_content(
        &mut self,
        mailbox: &MailboxName,
        content: &Content,
        flags: &[Flag],
        received_ms: Option<i64>,
    ) -> Result<Option<(UidValidity, Uid)>> {
        self.session.append(mailbox, content, flags, received_ms).await
    }

    async fn expunge(&mut self, uids: &[Uid]) -> Result<()> {
        self.session.expunge(uids).await
    }

    async fn create(&mut self, mailbox: &MailboxName) -> Result<()> {
        self.session.create(mailbox).await
    }

    async fn exists(&mut self, mailbox: &MailboxName) -> Result<bool> {
        self.session.exists(mailbox).await
    }

    async fn find(&mut self, mailbox: &MailboxName, like: &Likeness) -> Result<Vec<Uid>> {
        self.session.find(mailbox, like).await
    }

    async fn wait(&mut self, seen: Uid, at_most: Duration) -> Result<Woke> {
        self.session.wait(self.wait_by, seen, at_most).await
    }

    async fn close(&mut self) -> Result<()> {
        self.session.logout().await
    }

    fn moves_atomically(&self) -> bool {
        self.has("MOVE")
    }

    fn is_usable(&self) -> bool {
        self.broken().is_none()
    }

    fn back_off(&self) -> Option<Duration> {
        self.session.refusal.as_ref().and_then(|refusal| refusal.back_off)
    }
}
