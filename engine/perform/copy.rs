//! `copy_to`: COPY, one command per target.
//!
//! A copy cannot be told from an earlier one by the server, so in doubt the target is searched.

use super::{Batch, Open, UID_NOT_TOLD, uids};
use crate::error::Result;
use crate::mail::MailboxName;
use crate::mailbox::Landed;
use crate::pipeline::Action;
use crate::store::MarkOutcome;

/// Performs every open copy.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    for (target, group) in batch.open_by(target) {
        let (doubtful, mut group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|open| batch.in_doubt(*open));
        for open in doubtful {
            match batch.found_in(&target, open.record).await {
                Ok(true) => {
                    let note = format!("found in {target} after an interruption {UID_NOT_TOLD}");
                    batch.mark(vec![open.done(MarkOutcome::Done, note)]).await?;
                }
                Ok(false) => group.push(open),
                Err(error) => batch.refuse(&[open], error).await?,
            }
        }
        if !group.is_empty() {
            copy(batch, &target, &group).await?;
        }
    }
    Ok(())
}

fn target(action: &Action) -> Option<MailboxName> {
    match action {
        Action::CopyTo { mailbox } => Some(mailbox.clone()),
        _ => None,
    }
}

async fn copy(batch: &mut Batch<'_>, target: &MailboxName, group: &[Open]) -> Result<()> {
    let mut copied = once(batch, target, group).await;
    if copied.is_err() && batch.lost(target).await {
        copied = once(batch, target, group).await;
    }
    match copied {
        Ok(landed) => {
            let done = batch.landed(group, target, &landed);
            batch.mark(done).await
        }
        Err(error) => batch.refuse(group, error).await,
    }
}

async fn once(batch: &mut Batch<'_>, target: &MailboxName, group: &[Open]) -> Result<Landed> {
    batch.ensure(target).await?;
    batch.mailboxes.copy(&uids(group), target).await
}
