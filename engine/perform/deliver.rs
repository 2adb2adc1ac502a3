//! `deliver_to`: the message, with the header changes said before, into a Maildir or another
//! account's mailbox.
//!
//! A Maildir delivery has a name made of the message's key, so a repeated one is recognised. In
//! another account's mailbox a delivery in doubt is searched for.

use std::collections::BTreeSet;
use std::path::Path;

use super::letter::{self, Letter};
use super::{Batch, Done, Doubt, Open, Site, UID_NOT_TOLD, delivery_name, likeness};
use crate::config::{Source, Target};
use crate::error::{Context, Error, Result};
use crate::mail::{MailboxName, Uid, UidValidity};
use crate::mailbox::maildir::{self, Attempt, Delivered};
use crate::mailbox::{self, Content, Likeness, Mailboxes};
use crate::pipeline::Action;
use crate::store::MarkOutcome;

/// Performs every open delivery, one message on its way at a time. A target that cannot be reached
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
        let Some(letter) = letter::fetch(batch, open).await? else { continue };
        let file = delivery_name(&batch.ledger.records[open.record].key, open.action);
        let note = format!("delivered to {name} as {file}");
        match is_there(batch, path, open, letter.content.size()).await {
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
        let path = path.to_owned();
        let write = move || {
            let Letter { content, flags, received_ms } = letter;
            maildir::deliver(&path, &file, &content, &flags, received_ms, attempt)
        };
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
async fn is_there(batch: &mut Batch<'_>, path: &Path, open: Open, size: u64) -> Result<bool> {
    if batch.doubt != Doubt::Forgotten {
        return Ok(false);
    }
    let like = likeness(&batch.ledger.records[open.record]);
    let alike = batch.ledger.records.iter().filter(|other| likeness(other) == like).count();
    let (path, like) = (path.to_owned(), Likeness { size, ..like });
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
    for open in group.iter().copied() {
        let Some(letter) = letter::fetch(batch, open).await? else { continue };
        let place = (account, mailbox);
        let put = match batch.in_doubt(open) {
            true => {
                let before =
                    Before::of(batch, open, &group, &format!("delivered to {account}/{mailbox}"))?;
                put_once(batch.ledger.site, place, there.as_mut(), &letter, before).await
            }
            false => put(there.as_mut(), mailbox, &letter).await,
        };
        match put {
            Ok(uid) => {
                let done = delivered(batch.ledger.site, open, (account, mailbox), uid);
                batch.ledger.mark_soon(done);
            }
            Err(error) => batch.ledger.hold(&[open], &error),
        }
    }
    // All of it is there: how the connection ends says nothing about that.
    let _ = there.close().await;
    Ok(())
}

/// How large a message is as the target account keeps it: an IMAP server has CRLF line ends.
async fn size_kept(site: Site<'_>, account: &str, content: &Content) -> Result<u64> {
    match site.config.accounts.get(account).map(|account| &account.source) {
        Some(Source::Imap(_)) => {
            content.crlf_size().await.or_later(|| "look for an earlier delivery".into())
        }
        _ => Ok(content.size()),
    }
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
    there.append_content(mailbox, &letter.content, &letter.flags, letter.received_ms).await
}

/// What is known of letters like this one.
struct Before {
    message_id: Option<String>,
    /// Where such letters landed whose deliveries are marked.
    accounted: BTreeSet<Uid>,
    /// How many may have come there without a mark.
    alike: usize,
}

impl Before {
    fn of(batch: &Batch<'_>, open: Open, group: &[Open], at: &str) -> Result<Self> {
        let doubtful: Vec<Open> =
            group.iter().copied().filter(|twin| batch.in_doubt(*twin)).collect();
        let alike = batch.ledger.open_twins(open, &doubtful);
        let accounted = batch.ledger.accounted(open, at, |_| true)?;
        let message_id = likeness(&batch.ledger.records[open.record]).message_id;
        Ok(Self { message_id, accounted, alike })
    }
}

/// Puts the letter there unless an earlier attempt did.
async fn put_once(
    site: Site<'_>,
    (account, mailbox): (&str, &MailboxName),
    there: &mut dyn Mailboxes,
    letter: &Letter,
    before: Before,
) -> Result<Placed> {
    let size = size_kept(site, account, &letter.content).await?;
    let Before { message_id, accounted, alike } = before;
    let like = Likeness { message_id, size, received_ms: letter.received_ms };
    let mut found = there.find(mailbox, &like).await?;
    found.retain(|uid| !accounted.contains(uid));
    match found.len() < alike {
        true => put(there, mailbox, letter).await,
        false => Ok(None),
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
