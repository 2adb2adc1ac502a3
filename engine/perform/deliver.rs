//! `deliver_to`: the message, with the header changes said before, into a Maildir or another
//! account's mailbox.
//!
//! A Maildir delivery has a name made of the message's key, so a repeated one is recognised. In
//! another account's mailbox a delivery in doubt is searched for.

use std::path::Path;

use super::{Batch, Done, Doubt, Open, delivery_name, likeness};
use crate::config::Target;
use crate::error::{Error, Result};
use crate::mail::{Flag, MailboxName, Message};
use crate::mailbox::maildir::{self, Attempt, Delivered};
use crate::mailbox::{self, Extent, Fetched, Likeness, Mailboxes};
use crate::pipeline::{Action, Recorded};
use crate::store::MarkOutcome;

/// Performs every open delivery, one message in memory at a time.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    for (name, group) in batch.open_by(target) {
        let Some(target) = batch.site.config.targets.get(&name) else {
            batch.refuse(&group, no_such_target(&name)).await?;
            continue;
        };
        match target {
            Target::Maildir { path } => into_maildir(batch, &name, path, group).await?,
            Target::Account { account, mailbox } => {
                into_account(batch, account, mailbox, group).await?;
            }
        }
    }
    Ok(())
}

fn target(action: &Action) -> Option<String> {
    match action {
        Action::DeliverTo { target } => Some(target.clone()),
        _ => None,
    }
}

fn no_such_target(name: &str) -> Error {
    Error::permanent(format!("deliver to \"{}\"", name.escape_debug()), "there is no such target")
        .next("add it to [targets], or correct the rule and try again")
}

async fn into_maildir(
    batch: &mut Batch<'_>,
    name: &str,
    path: &Path,
    group: Vec<Open>,
) -> Result<()> {
    for open in group {
        let Some(fetched) = fetch(batch, open).await? else { continue };
        let bytes = edited(batch, open, fetched.bytes);
        let base = delivery_name(&batch.records[open.record].key, open.action);
        let flags = carried(&fetched.flags);
        let attempt = match batch.doubt {
            Doubt::None => Attempt::First,
            Doubt::Possible => Attempt::Again,
        };
        let (path, file, received) = (path.to_owned(), base.clone(), fetched.received_ms);
        let write = move || maildir::deliver(&path, &file, &bytes, &flags, received, attempt);
        let delivered = tokio::task::spawn_blocking(write)
            .await
            .map_err(|why| Error::temporary(format!("deliver to {name}"), why))?;
        match delivered {
            Ok(Delivered::Now | Delivered::Before) => {
                let note = format!("delivered to {name} as {base}");
                batch.mark(vec![open.done(MarkOutcome::Done, note)]).await?;
            }
            Err(error) => batch.refuse(&[open], error).await?,
        }
    }
    Ok(())
}

async fn into_account(
    batch: &mut Batch<'_>,
    account: &str,
    mailbox: &MailboxName,
    group: Vec<Open>,
) -> Result<()> {
    let config = batch.site.config;
    let Some(account) = config.accounts.get(account) else {
        return batch.refuse(&group, no_such_target(account)).await;
    };
    let mut there = mailbox::open(account, &config.folder).await?;
    if !there.exists(mailbox).await? {
        there.create(mailbox).await?;
    }
    for open in group {
        let Some(fetched) = fetch(batch, open).await? else { continue };
        let bytes = edited(batch, open, fetched.bytes);
        let like = Likeness { size: bytes.len() as u64, ..likeness(&batch.records[open.record]) };
        let found = batch.doubt == Doubt::Possible && !there.find(mailbox, &like).await?.is_empty();
        let note = match found {
            true => format!("found in {}/{mailbox} after an interruption", account.name),
            false => format!("delivered to {}/{mailbox}", account.name),
        };
        if !found {
            let flags = carried(&fetched.flags);
            append(there.as_mut(), mailbox, &bytes, &flags, fetched.received_ms).await?;
        }
        batch.mark(vec![open.done(MarkOutcome::Done, note)]).await?;
    }
    there.close().await
}

async fn append(
    there: &mut dyn Mailboxes,
    mailbox: &MailboxName,
    bytes: &[u8],
    flags: &[Flag],
    received_ms: Option<i64>,
) -> Result<()> {
    there.append(mailbox, bytes, flags, received_ms).await.map(|_| ())
}

/// The whole message; one that is gone is marked so.
async fn fetch(batch: &mut Batch<'_>, open: Open) -> Result<Option<Fetched>> {
    let fetched = batch.mailboxes.fetch(&[open.uid], Extent::Whole).await?.pop();
    if fetched.is_none() {
        let note = format!("{} was no longer there", batch.here(open));
        let gone: Vec<Done> = vec![open.done(MarkOutcome::Gone, note)];
        batch.mark(gone).await?;
    }
    Ok(fetched)
}

/// The message with the changes that were said before this delivery.
fn edited(batch: &Batch<'_>, open: Open, bytes: Vec<u8>) -> Vec<u8> {
    let said = &batch.records[open.record].decision.actions[..open.action];
    edit(Message::whole(bytes), said).bytes().to_vec()
}

/// Applies the header changes among these actions, in their order.
pub fn edit(message: Message, said: &[Recorded]) -> Message {
    said.iter().fold(message, |message, recorded| match &recorded.action {
        Action::SetHeader { name, value } => message.with_header_set(name, value),
        Action::AddHeader { name, value } => message.with_header_added(name, value),
        Action::RemoveHeader { name } => message.with_headers_removed(&[name]),
        Action::StripReceiptRequests => message.without_receipt_requests(),
        _ => message,
    })
}

/// The flags a delivery carries: not `\Deleted`, and no keywords, which the target may not store.
fn carried(flags: &[Flag]) -> Vec<Flag> {
    flags
        .iter()
        .filter(|flag| flag.as_str().starts_with('\\') && **flag != Flag::deleted())
        .cloned()
        .collect()
}
