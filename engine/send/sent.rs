//! The copy of a message in its account's mailbox for sent mail. A copy that was tried before is
//! looked up before it is put there again. Whoever puts copies relays as well: a server that costs
//! time without taking one is left alone for longer than it took, so that mail goes on.

use std::path::Path;
use std::time::Instant;

use super::promise;
use super::queue::Queue;
use crate::config::Account;
use crate::error::{Error, Result};
use crate::fault_point::{Point, reach};
use crate::mail::{Flag, MailboxName, Uid};
use crate::mailbox::{self, Content, Likeness, Mailboxes};
use crate::maillog::Event;
use crate::store::{Change, Haste, QueueEntry, Queued, SentCopy};

/// How many times as long as a failure took its server is left alone.
const LEFT_ALONE: u32 = 4;

/// The mailboxes of an account, opened when they are needed.
#[derive(Default)]
pub(super) struct Cabinet {
    open: Option<Box<dyn Mailboxes>>,
    /// What the last copy failed by, and until when the server is left alone.
    trouble: Option<(String, Instant)>,
}

impl Cabinet {
    /// Puts a copy of a message into a mailbox, unless it is there. The first failure is logged.
    ///
    /// # Errors
    /// The mailbox cannot be reached or refuses it, or its server is left alone for a while.
    pub(super) async fn put(
        &mut self,
        what: (&Queue, &QueueEntry),
        at: (&Account, &Path),
        mailbox: &MailboxName,
    ) -> Result<()> {
        let begun = Instant::now();
        if let Some((why, until)) = &self.trouble
            && *until > begun
        {
            let why = format!("its server is left alone for a while: {why}");
            return Err(Error::temporary("copy a sent message", why));
        }
        let put = self.put_now(what, at, mailbox).await;
        let Err(error) = &put else {
            self.trouble = None;
            return put;
        };
        self.open = None;
        let (why, took) = (error.to_string(), begun.elapsed());
        let (queue, QueueEntry { id, .. }) = what;
        if self.trouble.is_none() {
            let text = format!("queue {id}: no copy in {mailbox} yet, it is tried again: {why}");
            queue.log().say(&Event::Warning { text });
        }
        self.trouble = Some((why, Instant::now() + took * LEFT_ALONE));
        put
    }

    async fn put_now(
        &mut self,
        what: (&Queue, &QueueEntry),
        (account, folder): (&Account, &Path),
        mailbox: &MailboxName,
    ) -> Result<()> {
        let there = match &mut self.open {
            Some(there) if there.is_usable() => there,
            closed => closed.insert(mailbox::open(account, folder).await?),
        };
        put(what, account, there.as_mut(), mailbox).await
    }

    /// Ends the connection, where there is one.
    pub(super) async fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            // How it ends says nothing about what was put there.
            let _ = open.close().await;
        }
    }
}

async fn put(
    (queue, entry): (&Queue, &QueueEntry),
    account: &Account,
    there: &mut dyn Mailboxes,
    mailbox: &MailboxName,
) -> Result<()> {
    if !there.exists(mailbox).await? {
        there.create(mailbox).await?;
    }
    let own = entry.clone();
    let file = queue.aside(move |queue| promise::open(queue.spool(), &own)).await?;
    let content = Content::in_file(file, entry.size);
    if entry.copy == SentCopy::Tried {
        let like = Likeness {
            message_id: entry.message_id.clone(),
            size: entry.size,
            received_ms: entry.message_id.is_none().then_some(entry.queued_ms),
        };
        let found = there.find(mailbox, &like).await?;
        if !found.is_empty() {
            return note_found(queue, account, there, (mailbox, found)).await;
        }
    }
    let id = entry.id;
    queue.aside(move |queue| note_tried(queue, id)).await?;
    reach(Point::CopyNoted);
    // Who watches the mailbox looks there only when the note is durable, and knows it as ours.
    let watched = account.watches(mailbox);
    let store = queue.store();
    let turn = match watched {
        true => Some(store.turn(&account.name, mailbox).await),
        false => None,
    };
    let flags = [Flag::seen()];
    let landed = there.append_content(mailbox, &content, &flags, Some(entry.queued_ms)).await?;
    reach(Point::CopyPut);
    if let (true, Some((uidvalidity, uid))) = (watched, landed) {
        let (account, mailbox) = (account.name.as_str().into(), mailbox.clone());
        store.write(vec![Change::Arrived { account, mailbox, uidvalidity, uid }]).await?;
    }
    drop(turn);
    Ok(())
}

/// What is there from an earlier try is ours: who watches the mailbox is told so.
async fn note_found(
    queue: &Queue,
    account: &Account,
    there: &mut dyn Mailboxes,
    (mailbox, found): (&MailboxName, Vec<Uid>),
) -> Result<()> {
    if !account.watches(mailbox) {
        return Ok(());
    }
    let uidvalidity = there.select(mailbox).await?.uidvalidity;
    let arrived = |uid| Change::Arrived {
        account: account.name.as_str().into(),
        mailbox: mailbox.clone(),
        uidvalidity,
        uid,
    };
    queue.store().write(found.into_iter().map(arrived).collect()).await
}

fn note_tried(queue: &Queue, id: u64) -> Result<()> {
    let noted = queue.store().change_queued((&[id], Haste::WithOthers), |entry| {
        entry.copy = SentCopy::Tried;
        Queued::Changed
    })?;
    match noted.is_empty() {
        true => Err(Error::permanent("copy a sent message", "it is not in the queue any more")),
        false => Ok(()),
    }
}
