//! `move_to`: MOVE, one command per target, the last thing that happens to a message.
//!
//! In doubt, a message that is gone from its mailbox was moved if the target has it. One that is
//! still there was not moved where the server moves atomically; elsewhere a copy in the target
//! says that only the removal is missing.

use super::transfer::{self, Groups};
use super::{Batch, Done, Open, UID_NOT_TOLD, uids};
use crate::error::Result;
use crate::mail::MailboxName;
use crate::mailbox::Alteration;
use crate::pipeline::Action;
use crate::store::MarkOutcome;

/// Performs every open move.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    let mut groups = Groups::new();
    for (target, group) in batch.ledger.open_by(target) {
        if target == *batch.ledger.mailbox {
            stay(batch, &group);
            continue;
        }
        let (doubtful, mut group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|open| batch.in_doubt(*open));
        group.extend(undone(batch, &target, doubtful).await?);
        groups.push((target, group));
    }
    transfer::perform(batch, groups, |uids, target| Alteration::Move { uids, target }).await
}

/// Those of moves in doubt that are still to be made; the others are marked.
async fn undone(
    batch: &mut Batch<'_>,
    target: &MailboxName,
    doubtful: Vec<Open>,
) -> Result<Vec<Open>> {
    if doubtful.is_empty() {
        return Ok(Vec::new());
    }
    let present = match batch.mailboxes.present(&uids(&doubtful)).await {
        Ok(present) => present,
        Err(error) => {
            batch.refuse(&doubtful, error)?;
            return Ok(Vec::new());
        }
    };
    let here = |open: &Open| present.contains(&open.uid);
    let mut undone = Vec::new();
    let (staying, leaving): (Vec<_>, Vec<_>) = match batch.mailboxes.moves_atomically() {
        true => doubtful.into_iter().partition(here),
        false => (Vec::new(), doubtful),
    };
    // What is here was not moved.
    undone.extend(staying);
    for open in leaving.iter().copied() {
        match still_to_move(batch, target, open, (here(&open), &leaving)).await {
            Ok(Some(done)) => batch.ledger.mark([done]),
            Ok(None) => undone.push(open),
            Err(error) => batch.refuse(&[open], error)?,
        }
    }
    Ok(undone)
}

fn target(action: &Action) -> Option<MailboxName> {
    match action {
        Action::MoveTo { mailbox } => Some(mailbox.clone()),
        _ => None,
    }
}

fn stay(batch: &mut Batch<'_>, group: &[Open]) {
    let note = format!("already in {}", batch.ledger.mailbox);
    batch.ledger.mark(group.iter().map(|open| open.done(MarkOutcome::Done, note.clone())));
}

/// What became of a move that may have happened; a half one is finished. `None`: nothing yet.
async fn still_to_move(
    batch: &mut Batch<'_>,
    target: &MailboxName,
    open: Open,
    (here, group): (bool, &[Open]),
) -> Result<Option<Done>> {
    let found = batch.found_in(target, open, group).await?;
    if here && found {
        batch.mailboxes.expunge(&[open.uid]).await?;
    }
    let (outcome, note) = match (here, found) {
        (true, false) => return Ok(None),
        (_, true) => {
            (MarkOutcome::Done, format!("found in {target} after an interruption {UID_NOT_TOLD}"))
        }
        (false, false) => {
            (MarkOutcome::Gone, format!("{} was no longer there", batch.ledger.here(open)))
        }
    };
    Ok(Some(open.done(outcome, note)))
}
