//! What a server said OK to without saying of each message where it went: asked and done are
//! compared.
//!
//! A server without UIDPLUS never says it. One with UIDPLUS leaves out what was no longer there; but
//! it may also leave out what it did not do.

use std::collections::HashSet;

use super::{Batch, Open, UID_NOT_TOLD, uids};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, Uid};
use crate::mailbox::{Alteration, Landed};
use crate::store::MarkOutcome;

/// Messages of an alteration of which the server said nothing.
pub(super) struct Untold {
    target: MailboxName,
    kind: Kind,
    group: Vec<Open>,
    /// Whether it said something of others.
    partly: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Copy,
    Move,
}

/// Parts from a group those of which nothing was told, where that must be looked into.
pub(super) fn told(
    alteration: &Alteration,
    group: Vec<Open>,
    landed: &Landed,
    untold: &mut Vec<Untold>,
) -> Vec<Open> {
    let partly = landed.uidvalidity.is_some();
    let (kind, target) = match alteration {
        Alteration::Flags { .. } => return group,
        // Without UIDPLUS a copy could only be searched for, message by message.
        Alteration::Copy { .. } if !partly => return group,
        Alteration::Copy { target, .. } => (Kind::Copy, target.clone()),
        Alteration::Move { target, .. } => (Kind::Move, target.clone()),
    };
    let is_told = |open: &Open| landed.uids.contains_key(&open.uid);
    let (told, group): (Vec<_>, Vec<_>) = group.into_iter().partition(is_told);
    if !group.is_empty() {
        untold.push(Untold { target, kind, group, partly });
    }
    told
}

impl Batch<'_> {
    /// Looks what became of messages and marks it; those that nothing was done to are held.
    pub(super) async fn check(&mut self, untold: Untold) -> Result<()> {
        let Untold { target, kind, group, partly } = untold;
        let here = match self.mailboxes.present(&uids(&group)).await {
            Ok(here) => here.into_iter().collect::<HashSet<Uid>>(),
            Err(error) => return self.refuse(&group, error),
        };
        for open in group.iter().copied() {
            let here = here.contains(&open.uid);
            let found = match (kind, partly) {
                (Kind::Move, _) if here => Ok(false),
                // It is gone from here, and nothing says that it was not moved.
                (Kind::Move, false) => Ok(true),
                _ => self.found_in(&target, open, &group).await,
            };
            match found {
                Ok(found) => self.conclude(open, &target, here, found),
                Err(error) => self.refuse(&[open], error)?,
            }
        }
        Ok(())
    }

    fn conclude(&mut self, open: Open, target: &MailboxName, here: bool, found: bool) {
        let place = self.ledger.here(open);
        let (outcome, note) = match (here, found) {
            (_, true) => (MarkOutcome::Done, format!("{place} -> {target} {UID_NOT_TOLD}")),
            (false, false) => (MarkOutcome::Gone, format!("{place} was no longer there")),
            (true, false) => {
                let why = format!("the server said OK, but the message did not come to {target}");
                return self.ledger.hold(&[open], &Error::temporary(format!("sort {place}"), why));
            }
        };
        self.ledger.mark([open.done(outcome, note)]);
    }
}
