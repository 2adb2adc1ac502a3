//! `move_to`: MOVE, one command per target, the last thing that happens to a message.
//!
//! In doubt, a message that is gone from its mailbox was moved if the target has it. One that is
//! still there was not moved where the server moves atomically; elsewhere a copy in the target
//! says that only the removal is missing.

use std::collections::HashSet;

use super::{Batch, Done, Open, UID_NOT_TOLD, uids};
use crate::error::Result;
use crate::mail::{MailboxName, Uid};
use crate::mailbox::{Extent, Landed};
use crate::pipeline::Action;
use crate::store::MarkOutcome;

/// Performs every open move.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    for (target, group) in batch.open_by(target) {
        if target == *batch.mailbox {
            stay(batch, &group).await?;
            continue;
        }
        let (doubtful, mut group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|open| batch.in_doubt(*open));
        let present = match present(batch, &doubtful).await {
            Ok(present) => present,
            Err(error) => {
                batch.refuse(&doubtful, error).await?;
                continue;
            }
        };
        for open in doubtful {
            match still_to_move(batch, &target, open, present.contains(&open.uid)).await {
                Ok(Some(done)) => batch.mark(vec![done]).await?,
                Ok(None) => group.push(open),
                Err(error) => batch.refuse(&[open], error).await?,
            }
        }
        if !group.is_empty() {
            relocate(batch, &target, &group).await?;
        }
    }
    Ok(())
}

fn target(action: &Action) -> Option<MailboxName> {
    match action {
        Action::MoveTo { mailbox } => Some(mailbox.clone()),
        _ => None,
    }
}

async fn stay(batch: &mut Batch<'_>, group: &[Open]) -> Result<()> {
    let note = format!("already in {}", batch.mailbox);
    let done = group.iter().map(|open| open.done(MarkOutcome::Done, note.clone()));
    batch.mark(done.collect()).await
}

async fn relocate(batch: &mut Batch<'_>, target: &MailboxName, group: &[Open]) -> Result<()> {
    let mut moved = once(batch, target, group).await;
    if moved.is_err() && batch.lost(target).await {
        moved = once(batch, target, group).await;
    }
    match moved {
        Ok(landed) => {
            let done = batch.landed(group, target, &landed);
            batch.mark(done).await
        }
        Err(error) => batch.refuse(group, error).await,
    }
}

async fn once(batch: &mut Batch<'_>, target: &MailboxName, group: &[Open]) -> Result<Landed> {
    batch.ensure(target).await?;
    batch.mailboxes.move_to(&uids(group), target).await
}

/// Which of these messages are still in their mailbox.
async fn present(batch: &mut Batch<'_>, group: &[Open]) -> Result<HashSet<Uid>> {
    let fetched = batch.mailboxes.fetch(&uids(group), Extent::Headers).await?;
    Ok(fetched.into_iter().map(|message| message.uid).collect())
}

/// What became of a move that may have happened; a half one is finished. `None`: nothing yet.
async fn still_to_move(
    batch: &mut Batch<'_>,
    target: &MailboxName,
    open: Open,
    here: bool,
) -> Result<Option<Done>> {
    if here && batch.mailboxes.moves_atomically() {
        return Ok(None);
    }
    let found = batch.found_in(target, open.record).await?;
    if here && found {
        batch.mailboxes.expunge(&[open.uid]).await?;
    }
    let (outcome, note) = match (here, found) {
        (true, false) => return Ok(None),
        (_, true) => {
            (MarkOutcome::Done, format!("found in {target} after an interruption {UID_NOT_TOLD}"))
        }
        (false, false) => (MarkOutcome::Gone, format!("{} was no longer there", batch.here(open))),
    };
    Ok(Some(open.done(outcome, note)))
}
