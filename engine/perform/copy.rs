//! `copy_to`: COPY, one command per target.
//!
//! A copy cannot be told from an earlier one by the server, so in doubt the target is searched.

use super::transfer::{self, Groups};
use super::{Batch, UID_NOT_TOLD};
use crate::error::Result;
use crate::mail::MailboxName;
use crate::mailbox::Alteration;
use crate::pipeline::Action;
use crate::store::MarkOutcome;

/// Performs every open copy.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    let mut groups = Groups::new();
    for (target, group) in batch.ledger.open_by(target) {
        let (doubtful, mut group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|open| batch.in_doubt(*open));
        for open in doubtful.iter().copied() {
            match batch.found_in(&target, open, &doubtful).await {
                Ok(true) => {
                    let note = format!("found in {target} after an interruption {UID_NOT_TOLD}");
                    batch.ledger.mark([open.done(MarkOutcome::Done, note)]);
                }
                Ok(false) => group.push(open),
                Err(error) => batch.refuse(&[open], error)?,
            }
        }
        groups.push((target, group));
    }
    transfer::perform(batch, groups, |uids, target| Alteration::Copy { uids, target }).await
}

fn target(action: &Action) -> Option<MailboxName> {
    match action {
        Action::CopyTo { mailbox } => Some(mailbox.clone()),
        _ => None,
    }
}
