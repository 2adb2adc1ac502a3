//! `deliver_to`: the message, with the header changes said before, into a Maildir or another
//! account's mailbox.
//!
//! A Maildir delivery has a name made of the message's key, so a repeated one is recognised. In
//! another account's mailbox a delivery in doubt is searched for.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Batch, Done, Doubt, Open, Site, UID_NOT_TOLD, delivery_name, likeness};
use crate::config::{Source, Target};
use crate::error::{Error, Result};
use crate::mail::{Flag, MailboxName, Message, Uid, UidValidity};
use crate::mailbox::maildir::{self, Attempt, Delivered};
use crate::mailbox::{self, Extent, Fetched, Likeness, Mailboxes, crlf};
use crate::pipeline::{Action, Recorded};
use crate::store::MarkOutcome;

/// Performs every open delivery, one message in memory at a time. A target that cannot be reached
/// costs the messages that are to be delivered there, and no others.
///
/// Returns when their marks are durable: what comes after may end the message's key, and then a
/// delivery without a mark could not be made any more.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    let groups = batch.ledger.open_by(target);
    if groups.is_empty() {
        return Ok(());
    }
    for (name, group) in groups {
        let Some(target) = batch.ledger.site.config.targets.get(&name) else {
            batch.ledger.hold(&group, &no_such_target(&name));
            continue;
        };
        match target {
            Target::Maildir { path } => into_maildir(batch, &name, path, group).await?,
            Target::Account { account, mailbox } => {
                into_account(batch, account, mailbox, group).await?;
            }
        }
    }
    batch.ledger.pen.sync().await
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
        let file = delivery_name(&batch.ledger.records[open.record].key, open.action);
        let note = format!("delivered to {name} as {file}");
        let flags = carried(&fetched.flags);
        match is_there(batch, path, open, bytes.len()).await {
            Ok(false) => {}
            Ok(true) => {
                let note = format!("found in {name}, delivered before");
                batch.ledger.mark([open.done(MarkOutcome::Done, note)]);
                continue;
            }
            Err(error) => {
                batch.ledger.hold(&[open], &error);
                continue;
            }
        }
        let attempt = if batch.in_doubt(open) { Attempt::Again } else { Attempt::First };
        let (path, received) = (path.to_owned(), fetched.received_ms);
        let write = move || maildir::deliver(&path, &file, &bytes, &flags, received, attempt);
        let delivered = tokio::task::spawn_blocking(write)
            .await
            .map_err(|why| Error::temporary(format!("deliver to {name}"), why))
            .flatten();
        match delivered {
            Ok(Delivered::Now | Delivered::Before) => {
                batch.ledger.mark_soon(open.done(MarkOutcome::Done, note));
            }
            Err(error) => batch.ledger.hold(&[open], &error),
        }
    }
    Ok(())
}

/// Whether a forgotten delivery put the message there, under a name made of another key. As many
/// must be there as the batch holds that look alike.
async fn is_there(batch: &mut Batch<'_>, path: &Path, open: Open, size: usize) -> Result<bool> {
    if batch.doubt != Doubt::Forgotten {
        return Ok(false);
    }
    let like = likeness(&batch.ledger.records[open.record]);
    let alike = batch.ledger.records.iter().filter(|other| likeness(other) == like).count();
    let (path, like) = (path.to_owned(), Likeness { size: size as u64, ..like });
    let found = tokio::task::spawn_blocking(move || maildir::count_alike(&path, &like))
        .await
        .map_err(|why| Error::temporary("look for an earlier delivery", why))
        .flatten()?;
    Ok(found >= alike)
}

async fn into_account(
    batch: &mut Batch<'_>,
    account: &str,
    mailbox: &MailboxName,
    group: Vec<Open>,
) -> Result<()> {
    let mut there = match reach(batch.ledger.site, account, mailbox).await {
        Ok(there) => there,
        Err(error) => {
            batch.ledger.hold(&group, &error);
            return Ok(());
        }
    };
    for open in group {
        let Some(fetched) = fetch(batch, open).await? else { continue };
        let like = likeness(&batch.ledger.records[open.record]);
        let letter = Letter {
            bytes: as_kept(batch.ledger.site, account, edited(batch, open, fetched.bytes)),
            flags: carried(&fetched.flags),
            received_ms: fetched.received_ms,
            message_id: like.message_id,
        };
        let site = batch.ledger.site;
        let landing = match site.is_watched(account, mailbox) {
            true => Some(site.store.landing(account, mailbox).await),
            false => None,
        };
        let put = match batch.in_doubt(open) {
            true => {
                let at = format!("delivered to {account}/{mailbox}");
                let accounted = batch.ledger.accounted(open, &at, |_| true)?;
                put_once(there.as_mut(), mailbox, &letter, &accounted).await
            }
            false => put(there.as_mut(), mailbox, &letter).await,
        };
        match put {
            Ok(uid) => {
                let done = delivered(site, open, (account, mailbox), uid);
                batch.ledger.mark_soon(done);
                if landing.is_some() {
                    batch.ledger.pen.sync().await?;
                }
            }
            Err(error) => batch.ledger.hold(&[open], &error),
        }
    }
    // All of it is there: how the connection ends says nothing about that.
    let _ = there.close().await;
    Ok(())
}

/// The bytes as the target account keeps them: an IMAP server has CRLF line ends.
fn as_kept(site: Site<'_>, account: &str, bytes: Vec<u8>) -> Vec<u8> {
    match site.config.accounts.get(account).map(|account| &account.source) {
        Some(Source::Imap(_)) => crlf(&bytes).into_owned(),
        _ => bytes,
    }
}

/// What is put into another account's mailbox.
struct Letter {
    bytes: Vec<u8>,
    flags: Vec<Flag>,
    received_ms: Option<i64>,
    message_id: Option<String>,
}

/// Opens the target account; its mailbox is made where it is missing.
async fn reach(site: Site<'_>, account: &str, mailbox: &MailboxName) -> Result<Box<dyn Mailboxes>> {
    let account = site.config.accounts.get(account).ok_or_else(|| no_such_target(account))?;
    let mut there = mailbox::open(account, &site.config.folder).await?;
    if !there.exists(mailbox).await? {
        there.create(mailbox).await?;
    }
    Ok(there)
}

/// Where a message landed, as far as the server tells.
type Placed = Option<(UidValidity, Uid)>;

async fn put(there: &mut dyn Mailboxes, mailbox: &MailboxName, letter: &Letter) -> Result<Placed> {
    there.append(mailbox, &letter.bytes, &letter.flags, letter.received_ms).await
}

/// Puts the letter there unless an earlier attempt did. Letters go one by one: of several that look
/// alike the first has the first place that no mark tells of (`accounted` are those told).
async fn put_once(
    there: &mut dyn Mailboxes,
    mailbox: &MailboxName,
    letter: &Letter,
    accounted: &BTreeSet<Uid>,
) -> Result<Placed> {
    let like = Likeness {
        message_id: letter.message_id.clone(),
        size: letter.bytes.len() as u64,
        received_ms: letter.received_ms,
    };
    let uidvalidity = there.select(mailbox).await?.uidvalidity;
    let found = there.find(mailbox, &like).await?;
    match found.into_iter().find(|uid| !accounted.contains(uid)) {
        Some(uid) => Ok(Some((uidvalidity, uid))),
        None => put(there, mailbox, letter).await,
    }
}

/// A delivery that is done. Where the UID is told, the message is known as ours should that mailbox
/// be watched.
fn delivered(site: Site<'_>, open: Open, place: (&str, &MailboxName), uid: Placed) -> Done {
    let (account, mailbox) = place;
    let there = format!("delivered to {account}/{mailbox}");
    match uid {
        Some((uidvalidity, uid)) => Done {
            landed: site.landing(&account.into(), mailbox, uidvalidity, uid),
            ..open.done(MarkOutcome::Done, format!("{there}/{uid}"))
        },
        None => open.done(MarkOutcome::Done, format!("{there} {UID_NOT_TOLD}")),
    }
}

/// The whole message; `None` where it is marked as gone or held, because it cannot be had.
async fn fetch(batch: &mut Batch<'_>, open: Open) -> Result<Option<Fetched>> {
    let size = batch.ledger.records[open.record].size;
    let most = batch.ledger.site.account.max_size;
    if size > most {
        let why = format!("with {size} bytes it is over max_size = {most}");
        let error = Error::permanent("deliver the message", why);
        batch.ledger.hold(&[open], &error);
        return Ok(None);
    }
    let mut fetched = match batch.mailboxes.fetch(&[open.uid], Extent::Whole).await {
        Ok(fetched) => fetched,
        Err(error) => {
            batch.refuse(&[open], error)?;
            return Ok(None);
        }
    };
    let fetched = fetched.pop();
    if fetched.is_none() {
        let note = format!("{} was no longer there", batch.ledger.here(open));
        batch.ledger.mark([open.done(MarkOutcome::Gone, note)]);
    }
    Ok(fetched)
}

/// The message with the changes that were said before this delivery.
fn edited(batch: &Batch<'_>, open: Open, bytes: Vec<u8>) -> Vec<u8> {
    let said = &batch.ledger.records[open.record].decision.actions[..open.action];
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
