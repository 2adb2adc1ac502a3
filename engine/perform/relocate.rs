//! `move_to`: MOVE, one command per target, the last thing that happens to a message.
//!
//! In doubt, a message that is gone from its mailbox was moved if the target has it. One that is
//! still there was not moved where the server moves atomically; elsewhere a copy in the target
//! says that only the removal is missing.

use std::collections::HashSet;

use super::{Batch, Doubt, Open, UID_NOT_TOLD, uids};
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
        let group = match batch.doubt {
            Doubt::None => group,
            Doubt::Possible => still_to_move(batch, &target, group).await?,
        };
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
    batch.mark(group.iter().map(|open| open.done(MarkOutcome::Done, note.clone())).collect()).await
}

async fn relocate(batch: &mut Batch<'_>, target: &MailboxName, group: &[Open]) -> Result<()> {
    let moved = match batch.ensure(target).await {
        Ok(()) => batch.mailboxes.move_to(&uids(group), target).await,
        Err(error) => Err(error),
    };
    match moved {
        Ok(landed) => {
            let done = batch.landed(group, target, &landed);
            batch.mark(done).await
        }
        Err(error) => batch.refuse(group, error).await,
    }
}

/// Marks what has been moved already, finishes half moves, and gives back the rest.
async fn still_to_move(
    batch: &mut Batch<'_>,
    target: &MailboxName,
    group: Vec<Open>,
) -> Result<Vec<Open>> {
    let fetched = batch.mailboxes.fetch(&uids(&group), Extent::Headers).await?;
    let present: HashSet<Uid> = fetched.into_iter().map(|message| message.uid).collect();
    let atomic = batch.mailboxes.moves_atomically();
    let mut rest = Vec::new();
    let mut done = Vec::new();
    for open in group {
        let here = present.contains(&open.uid);
        if here && atomic {
            rest.push(open);
            continue;
        }
        let found = batch.found_in(target, open.record).await?;
        match (here, found) {
            (true, false) => rest.push(open),
            (true, true) => {
                batch.mailboxes.expunge(&[open.uid]).await?;
                done.extend(batch.landed(&[open], target, &Landed::default()));
            }
            (false, true) => {
                let note = format!("found in {target} after an interruption {UID_NOT_TOLD}");
                done.push(open.done(MarkOutcome::Done, note));
            }
            (false, false) => {
                let note = format!("{} was no longer there", batch.here(open));
                done.push(open.done(MarkOutcome::Gone, note));
            }
        }
    }
    batch.mark(done).await?;
    Ok(rest)
}
