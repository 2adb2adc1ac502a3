//! `deliver_to`: the message, with the header changes said before, into a Maildir or another
//! account's mailbox.

use super::{Batch, Open};
use crate::config::Target;
use crate::error::{Error, Result};
use crate::pipeline::Action;

mod account;
mod letter;
mod maildir;
mod spool;

/// Performs every open delivery, one message on its way at a time. A target that cannot be reached
/// costs the messages that are to be delivered there, and no others.
///
/// Returns when their marks are durable: what comes after may end the message's key, and then a
/// delivery without a mark could not be made any more.
pub(super) async fn perform(batch: &mut Batch<'_>) -> Result<()> {
    let groups = batch.ledger.open_by(target);
    if groups.is_empty() {
        return Ok(());
    }
    for (name, group) in groups {
        to(batch, &name, group).await?;
    }
    batch.ledger.pen.sync().await
}

async fn to(batch: &mut Batch<'_>, name: &str, group: Vec<Open>) -> Result<()> {
    match batch.ledger.site.config.targets.get(name) {
        None => {
            batch.ledger.hold(&group, &no_such_target(name));
            Ok(())
        }
        Some(Target::Maildir { path }) => maildir::deliver(batch, name, path, group).await,
        Some(Target::Account { account, mailbox }) => {
            account::deliver(batch, (account, mailbox), group).await
        }
    }
}

fn target(action: &Action) -> Option<String> {
    match action {
        Action::DeliverTo { target } => Some(target.clone()),
        _ => None,
    }
}

fn no_such_target(name: &str) -> Error {
    Error::permanent(format!("deliver to \"{}\"", name.escape_debug()), "there is no such target")
        .next("add it to [targets], or correct the rule and try again")
}
