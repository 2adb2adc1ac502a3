//! A message as it is delivered: fetched, with the header changes said before.
//!
//! A small one is fetched whole. A large one comes in pieces: the header block is changed in memory
//! and what follows goes through a [`Spool`], so that memory does not grow with the message.

use super::spool::Spool;
use crate::error::{Error, Result};
use crate::mail::{Flag, Message, Uid};
use crate::mailbox::{Content, Extent, Fetched, Mailboxes};
use crate::perform::{Batch, Ledger, Open};
use crate::pipeline::{Recorded, edit};
use crate::store::MarkOutcome;

/// Bytes that are fetched at once; a message up to this size is fetched whole.
const PIECE: u32 = 1 << 20;

/// What is put somewhere else.
pub(super) struct Letter {
    pub(super) content: Content,
    /// Its header block, as it is in `content`.
    pub(super) header: Vec<u8>,
    pub(super) flags: Vec<Flag>,
    pub(super) received_ms: Option<i64>,
}

/// The message of an action, as it is after the actions before; `None` where it is marked as gone
/// or held, because it cannot be had.
pub(super) async fn fetch(batch: &mut Batch<'_>, open: Open) -> Result<Option<Letter>> {
    let size = batch.ledger.records[open.record].size;
    let most = batch.ledger.site.account.max_size;
    if size > most {
        let why = format!("with {size} bytes it is over max_size = {most}");
        let error = Error::permanent("deliver the message", why);
        batch.ledger.hold(&[open], &error);
        return Ok(None);
    }
    let letter = match size <= u64::from(PIECE) {
        true => small(batch, open).await,
        false => large(batch, open, most).await,
    };
    match letter {
        Ok(None) => {
            let note = format!("{} was no longer there", batch.ledger.here(open));
            batch.ledger.mark([open.done(MarkOutcome::Gone, note)]);
            Ok(None)
        }
        Ok(letter) => Ok(letter),
        Err(error) => batch.refuse(&[open], error).map(|()| None),
    }
}

async fn small(batch: &mut Batch<'_>, open: Open) -> Result<Option<Letter>> {
    let fetched = batch.mailboxes.fetch(&[open.uid], Extent::Whole).await?.pop();
    Ok(fetched.map(|mut fetched| {
        let bytes = std::mem::take(&mut fetched.bytes);
        Letter::whole(&edited(said(&batch.ledger, open), bytes), &fetched)
    }))
}

async fn large(batch: &mut Batch<'_>, open: Open, most: u64) -> Result<Option<Letter>> {
    let Batch { ledger, mailboxes, .. } = batch;
    // As much more as a connection lets through in one go.
    let most = most.saturating_add(most / 8);
    let mut pieces =
        Pieces { mailboxes: &mut **mailboxes, uid: open.uid, most, at: 0, ended: false };
    let Some(mut first) = pieces.with_header().await? else { return Ok(None) };
    let start = edited(said(ledger, open), std::mem::take(&mut first.bytes));
    if pieces.ended {
        return Ok(Some(Letter::whole(&start, &first)));
    }
    let mut spool = Spool::create(&ledger.site.config.engine.data).await?;
    spool.write(start.bytes()).await?;
    let header = start.head_block().to_vec();
    drop(start);
    while !pieces.ended {
        let Some(piece) = pieces.next(PIECE).await? else { return Ok(None) };
        spool.write(&piece.bytes).await?;
    }
    Ok(Some(Letter::new(spool.finish().await?, header, &first)))
}

/// A message that is fetched piece by piece.
struct Pieces<'a> {
    mailboxes: &'a mut dyn Mailboxes,
    uid: Uid,
    /// Bytes that may come at most.
    most: u64,
    /// Bytes that have come.
    at: u64,
    ended: bool,
}

impl Pieces<'_> {
    /// The first pieces, as many as hold the header block; `None` where the message is gone.
    async fn with_header(&mut self) -> Result<Option<Fetched>> {
        let Some(mut first) = self.next(PIECE).await? else { return Ok(None) };
        while !self.ended {
            let start = Message::from_headers(std::mem::take(&mut first.bytes));
            let (header, here) = (start.header_size(), start.size());
            first.bytes = start.bytes().to_vec();
            if header < here {
                break;
            }
            // Twice as many each time, so that the fields are not looked through once a piece.
            let length = u32::try_from(here).unwrap_or(PIECE).max(PIECE);
            let Some(more) = self.next(length).await? else { return Ok(None) };
            first.bytes.extend(more.bytes);
        }
        Ok(Some(first))
    }

    /// The next piece; `None` where the message is gone. A server's size may be an estimate, so a
    /// piece that is short is the end only where the size is reached, and else an empty one.
    async fn next(&mut self, length: u32) -> Result<Option<Fetched>> {
        let part = Extent::Part { offset: self.at, length };
        let Some(piece) = self.mailboxes.fetch(&[self.uid], part).await?.pop() else {
            return Ok(None);
        };
        let here = piece.bytes.len() as u64;
        self.at += here;
        self.ended = here == 0 || (here < u64::from(length) && self.at >= piece.size);
        if self.at > self.most {
            let why = format!("it has more than the {} bytes that are let through", self.most);
            return Err(Error::permanent("deliver the message", why)
                .next("raise `max_size` of the account, or move the message away by hand"));
        }
        Ok(Some(piece))
    }
}

impl Letter {
    fn whole(message: &Message, fetched: &Fetched) -> Self {
        Self::new(message.bytes().clone().into(), message.head_block().to_vec(), fetched)
    }

    fn new(content: Content, header: Vec<u8>, fetched: &Fetched) -> Self {
        Self { content, header, flags: carried(&fetched.flags), received_ms: fetched.received_ms }
    }
}

/// What was said before this action.
fn said<'a>(ledger: &'a Ledger<'_>, open: Open) -> &'a [Recorded] {
    &ledger.records[open.record].decision.actions[..open.action]
}

/// A message, or its beginning with the whole header block, changed.
fn edited(said: &[Recorded], bytes: Vec<u8>) -> Message {
    edit(Message::whole(bytes), said)
}

/// The flags a delivery carries: not `\Deleted`, and no keywords, which the target may not store.
fn carried(flags: &[Flag]) -> Vec<Flag> {
    flags
        .iter()
        .filter(|flag| flag.as_str().starts_with('\\') && **flag != Flag::deleted())
        .cloned()
        .collect()
}
