//! Deliveries into another account's mailbox. One in doubt is searched for.

use super::letter::{self, Letter};
use super::no_such_target;
use crate::config::Source;
use crate::error::{Context, Result};
use crate::mail::{MailboxName, Uid, UidValidity};
use crate::mailbox::{self, Content, Likeness, Mailboxes, crlf};
use crate::perform::{Batch, Done, Found, Open, Site, UID_NOT_TOLD, likeness, same_headers};
use crate::store::MarkOutcome;

/// The name of the target account and the mailbox in it.
type Place<'a> = (&'a str, &'a MailboxName);

pub(super) async fn deliver(
    batch: &mut Batch<'_>,
    place: Place<'_>,
    group: Vec<Open>,
) -> Result<()> {
    let mut there = match reach(batch.ledger.site, place).await {
        Ok(there) => there,
        Err(error) => {
            batch.ledger.hold(&group, &error);
            return Ok(());
        }
    };
    for open in group {
        let Some(letter) = letter::fetch(batch, open).await? else { continue };
        put_in_turn(batch, place, there.as_mut(), open, letter).await?;
    }
    // All of it is there: how the connection ends says nothing about that.
    let _ = there.close().await;
    Ok(())
}

/// Opens the target account; its mailbox is made where it is missing.
async fn reach(site: Site<'_>, (account, mailbox): Place<'_>) -> Result<Box<dyn Mailboxes>> {
    let account = site.config.accounts.get(account).ok_or_else(|| no_such_target(account))?;
    let mut there = mailbox::open(account, &site.config.folder).await?;
    if !there.exists(mailbox).await? {
        there.create(mailbox).await?;
    }
    Ok(there)
}

/// Puts a letter there and marks that. Who watches the mailbox looks there only when the mark is
/// durable, and so knows the message as ours.
async fn put_in_turn(
    batch: &mut Batch<'_>,
    place: Place<'_>,
    there: &mut dyn Mailboxes,
    open: Open,
    letter: Letter,
) -> Result<()> {
    let site = batch.ledger.site;
    let turn = match site.is_watched(place.0, place.1) {
        true => Some(site.store.turn(place.0, place.1).await),
        false => None,
    };
    match put_once(batch, place, there, open, &letter).await {
        Ok(done) => batch.ledger.mark_soon(done),
        Err(error) => batch.ledger.hold(&[open], &error),
    }
    match turn {
        Some(_) => batch.ledger.pen.sync().await,
        None => Ok(()),
    }
}

/// Puts the letter there unless an earlier attempt did.
async fn put_once(
    batch: &mut Batch<'_>,
    place: Place<'_>,
    there: &mut dyn Mailboxes,
    open: Open,
    letter: &Letter,
) -> Result<Done> {
    let in_doubt = batch.in_doubt(open);
    let ledger = &batch.ledger;
    if in_doubt {
        let message_id = likeness(&ledger.records[open.record]).message_id;
        let found = find(ledger.site, place, there, letter, message_id).await?;
        let at = format!("delivered to {}/{}", place.0, place.1);
        if let Some(uid) = ledger.unaccounted(open, Found::Same(found), &at, |_| true)? {
            let note = format!("found after an interruption: {at}/{uid}");
            return Ok(open.done(MarkOutcome::Done, note));
        }
    }
    let Letter { content, flags, received_ms, .. } = letter;
    let put = there.append_content(place.1, content, flags, *received_ms).await?;
    Ok(delivered(ledger.site, open, place, put))
}

/// Letters like this one, with the same header block, that are there.
async fn find(
    site: Site<'_>,
    (account, mailbox): Place<'_>,
    there: &mut dyn Mailboxes,
    letter: &Letter,
    message_id: Option<String>,
) -> Result<Vec<Uid>> {
    let source = site.config.accounts.get(account).map(|account| &account.source);
    let (size, header) = match source {
        Some(Source::Imap(_)) => (crlf_size(&letter.content).await?, crlf(&letter.header)),
        _ => (letter.content.size(), letter.header.as_slice().into()),
    };
    let like = Likeness { message_id, size, received_ms: letter.received_ms };
    let found = there.find(mailbox, &like).await?;
    same_headers(there, found, &header).await
}

/// How large an IMAP server keeps it, which has CRLF line ends.
async fn crlf_size(content: &Content) -> Result<u64> {
    content.crlf_size().await.or_later(|| "look for an earlier delivery".into())
}

/// A delivery that is done. Where the UID is told, the message is known as ours should that mailbox
/// be watched.
fn delivered(
    site: Site<'_>,
    open: Open,
    (account, mailbox): Place<'_>,
    uid: Option<(UidValidity, Uid)>,
) -> Done {
    let there = format!("delivered to {account}/{mailbox}");
    match uid {
        Some((uidvalidity, uid)) => Done {
            landed: site.landing(&account.into(), mailbox, uidvalidity, uid),
            ..open.done(MarkOutcome::Done, format!("{there}/{uid}"))
        },
        None => open.done(MarkOutcome::Done, format!("{there} {UID_NOT_TOLD}")),
    }
}
