//! `copy_to`: COPY, one command per target.
//!
//! A copy cannot be told from an earlier one by the server, so in doubt the target is searched.

use super::{Batch, Doubt, Open, UID_NOT_TOLD, uids};
use crate::error::Result;
use crate::mail::MailboxName;
use crate::pipeline::Action;
use crate::store::MarkOutcome;

/// Performs every open copy.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    for (target, group) in batch.open_by(target) {
        let group = match batch.doubt {
            Doubt::None => group,
            Doubt::Possible => without_found(batch, &target, group).await?,
        };
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
    let copied = match batch.ensure(target).await {
        Ok(()) => batch.mailboxes.copy(&uids(group), target).await,
        Err(error) => Err(error),
    };
    match copied {
        Ok(landed) => {
            let done = batch.landed(group, target, &landed);
            batch.mark(done).await
        }
        Err(error) => batch.refuse(group, error).await,
    }
}

/// Marks what lies in the target already and gives back the rest.
async fn without_found(
    batch: &mut Batch<'_>,
    target: &MailboxName,
    group: Vec<Open>,
) -> Result<Vec<Open>> {
    let mut rest = Vec::new();
    let mut done = Vec::new();
    for open in group {
        if batch.found_in(target, open.record).await? {
            let note = format!("found in {target} after an interruption {UID_NOT_TOLD}");
            done.push(open.done(MarkOutcome::Done, note));
        } else {
            rest.push(open);
        }
    }
    batch.mark(done).await?;
    Ok(rest)
}
