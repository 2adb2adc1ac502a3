//! `add_flag`, `remove_flag`, `suppress_receipt`: STORE, one command per set of flags.
//!
//! Setting and clearing flags may be repeated, so doubt needs no look.

use std::sync::Arc;

use super::{Batch, Done, Open, uids};
use crate::error::Result;
use crate::mail::Flag;
use crate::mailbox::{Alteration, FlagChange};
use crate::pipeline::Action;
use crate::store::{MarkOutcome, MessageRecord, State};

/// Performs every open change of flags. Where a message's flag is spoken of twice, the last word
/// holds.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    let replaced = replaced(&batch.ledger.records);
    batch.ledger.mark(replaced);
    let (permitted, refused): (Vec<_>, Vec<_>) =
        batch.ledger.open_by(added).into_iter().partition(|(flag, _)| batch.selected.permits(flag));
    for (flag, group) in refused {
        let note = format!("the server does not store {flag} in {}", batch.ledger.mailbox);
        batch.ledger.mark(group.iter().map(|open| open.done(MarkOutcome::Done, note.clone())));
    }
    let added = permitted.into_iter().map(|group| alteration(FlagChange::Add, group));
    let removed = batch.ledger.open_by(removed).into_iter();
    let removed = removed.map(|group| alteration(FlagChange::Remove, group));
    let groups: Vec<_> = added.chain(removed).collect();
    if groups.is_empty() {
        return Ok(());
    }
    for refused in batch.alter(&groups).await? {
        batch.refuse(&refused.group, refused.error)?;
    }
    Ok(())
}

fn alteration(change: FlagChange, (flag, group): (Flag, Vec<Open>)) -> (Alteration, Vec<Open>) {
    (Alteration::Flags { uids: uids(&group), change, flags: vec![flag] }, group)
}

/// Changes that a later one of the same message and flag replaces.
fn replaced(records: &[Arc<MessageRecord>]) -> Vec<Done> {
    let mut replaced = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let mut last: Vec<Flag> = Vec::new();
        for (action, said) in record.decision.actions.iter().enumerate().rev() {
            let Some(flag) = added(&said.action).or_else(|| removed(&said.action)) else {
                continue;
            };
            let marked = record.marks.iter().any(|mark| mark.action == action);
            if last.contains(&flag) && !marked && record.state == State::Planned {
                let open = Open { record: index, action, uid: record.key.uid };
                replaced.push(open.done(MarkOutcome::Done, "replaced by a later word".into()));
            }
            last.push(flag);
        }
    }
    replaced
}

fn added(action: &Action) -> Option<Flag> {
    match action {
        Action::AddFlag { flag } => Some(flag.clone()),
        Action::SuppressReceipt => Some(Flag::mdn_sent()),
        _ => None,
    }
}

fn removed(action: &Action) -> Option<Flag> {
    match action {
        Action::RemoveFlag { flag } => Some(flag.clone()),
        _ => None,
    }
}
