//! What copies and moves share: commands for all targets at once, and another try where a target was
//! missing and could be made.

use super::{Batch, Open, Refused, uids};
use crate::error::Result;
use crate::mail::{MailboxName, Uid};
use crate::mailbox::{Alteration, ends_session};

/// Groups of actions by their target.
pub(super) type Groups = Vec<(MailboxName, Vec<Open>)>;

/// Copies or moves groups, as `alteration` says. A target is not asked after beforehand: a server
/// refuses what goes to a mailbox that is missing (RFC 9051 section 6.4.7).
pub(super) async fn perform(
    batch: &mut Batch<'_>,
    groups: Groups,
    alteration: fn(Vec<Uid>, MailboxName) -> Alteration,
) -> Result<()> {
    let refused = once(batch, groups, alteration).await?;
    let again = mend(batch, refused).await?;
    for refused in once(batch, again, alteration).await? {
        batch.refuse(&refused.group, refused.error)?;
    }
    Ok(())
}

async fn once(
    batch: &mut Batch<'_>,
    groups: Groups,
    alteration: fn(Vec<Uid>, MailboxName) -> Alteration,
) -> Result<Vec<Refused>> {
    let alterations: Vec<_> = groups
        .into_iter()
        .filter(|(_, group)| !group.is_empty())
        .map(|(target, group)| (alteration(uids(&group), target), group))
        .collect();
    if alterations.is_empty() { Ok(Vec::new()) } else { batch.alter(&alterations).await }
}

/// Makes the targets that were missing and gives their groups back; the others are held.
async fn mend(batch: &mut Batch<'_>, refused: Vec<Refused>) -> Result<Groups> {
    let mut again = Groups::new();
    for Refused { target, group, error } in refused {
        let Some(target) = target.filter(|_| !ends_session(batch.mailboxes)) else {
            batch.refuse(&group, error)?;
            continue;
        };
        match batch.supply(&target).await {
            Ok(true) => again.push((target, group)),
            Ok(false) => batch.refuse(&group, error)?,
            Err(error) => batch.refuse(&group, error)?,
        }
    }
    Ok(again)
}
