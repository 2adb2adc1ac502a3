//! Deliveries into a Maildir. The file has a name made of the message's key, so that a repeated
//! delivery is recognised.

use std::path::Path;

use super::letter::{self, Letter};
use crate::error::{Error, Result};
use crate::mailbox::Likeness;
use crate::mailbox::maildir::{self, Attempt, Delivered};
use crate::perform::{Batch, Doubt, Open, delivery_name, likeness};
use crate::store::MarkOutcome;

pub(super) async fn deliver(
    batch: &mut Batch<'_>,
    name: &str,
    path: &Path,
    group: Vec<Open>,
) -> Result<()> {
    for open in group {
        let Some(letter) = letter::fetch(batch, open).await? else { continue };
        match is_there(batch, path, open, letter.content.size()).await {
            Ok(true) => {
                let note = format!("found in {name}, delivered before");
                batch.ledger.mark([open.done(MarkOutcome::Done, note)]);
            }
            Ok(false) => put(batch, name, path, open, letter).await,
            Err(error) => batch.ledger.hold(&[open], &error),
        }
    }
    Ok(())
}

async fn put(batch: &mut Batch<'_>, name: &str, path: &Path, open: Open, letter: Letter) {
    let file = delivery_name(&batch.ledger.records[open.record].key, open.action);
    let note = format!("delivered to {name} as {file}");
    let attempt = if batch.in_doubt(open) { Attempt::Again } else { Attempt::First };
    let path = path.to_owned();
    let write = move || {
        let Letter { content, flags, received_ms, .. } = letter;
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
