//! DOES. Performs the plans of a batch of messages of one mailbox, one file per kind of action.
//!
//! Plans were committed before (see [`crate::store`]). Each kind gathers its actions over the whole
//! batch by target, so that a target costs one command, and marks them when the server has said
//! yes. The order is: deliver (nothing on the server has changed yet if it fails), flags, copies
//! (which carry the flags), and the move last, because it ends the message's key.
//!
//! An error that leaves the connection usable costs the messages it concerns: they are held, and
//! tried again by themselves where that may help. Only the end of the connection (or of the store)
//! ends the batch: the plans stay open and are taken up again in doubt, where what may already have
//! happened is looked up instead of repeated.
//!
//! # Where an action may be cut off
//!
//! Between the durable plan and the durable mark, and what the next start makes of it. Each place is a
//! [`Point`] that a test dies at (`tests/crash`).
//!
//! | action | places | looked up by |
//! |---|---|---|
//! | flags | `Point::Unsent` to `Point::Answered` of STORE; `Point::FlagsChanged`, `Point::FlagsSynced` | nothing: set again |
//! | copy | the same of COPY; `Point::Brought` to `Point::TargetSynced` | likeness in the target, of which no mark tells; a Maildir knows the link by its file |
//! | move | the same of MOVE; `Point::Brought` to `Point::SourceSynced` | the source, if the move is atomic; then as a copy |
//! | move without MOVE | COPY, then STORE and EXPUNGE; `Point::Removed`, `Point::RemovalSynced` | as a copy: found, only the removal is made |
//! | delivery to an account | APPEND, with `Point::HalfSent` | likeness in the target, of which no mark tells |
//! | delivery to a Maildir | `Point::TemporaryWritten` to `Point::DeliverySynced` | its file name, which the message's key makes |
//! | making a target | CREATE; `Point::FolderMade`, `Point::MailboxMade` | whether it is there |
//! | a Maildir's UIDs | `Point::ValidityRemembered` to `Point::ListReplaced`, `Point::TwinRenamed` | the files themselves |
//!
//! Marks of deliveries are durable before anything ends the message's key: a message that is gone
//! cannot be delivered any more.
//!
//! [`Point`]: crate::fault_point::Point

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, MessageKey, Uid, UidValidity};
use crate::mailbox::{Alteration, Altered, Extent, Likeness, Mailboxes, Selected, ends_session};
use crate::store::{MarkOutcome, MessageRecord, Store};

mod check;
mod copy;
mod deliver;
mod flag;
mod hold;
mod ledger;
mod relocate;
mod transfer;

pub use crate::pipeline::edit;
pub use hold::{Again, hold};
use ledger::Found;
pub use ledger::Ledger;

/// How the note of a mark ends where the server did not tell the new UID.
pub const UID_NOT_TOLD: &str = "(UID not told)";

/// Whether an action that is not marked may have happened all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The plan was just committed by this very pass: nothing has happened yet.
    None,
    /// The engine or the connection ended since the plan was committed: look before repeating.
    Possible,
    /// As [`Doubt::Possible`], and the plan may be the second one for its message, which may have had
    /// another key when the first one was carried out: a damaged store lost its record.
    Forgotten,
}

/// What performing needs to know of its surroundings.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The configuration, for targets.
    pub config: &'a Config,
    /// The account whose mailbox is selected.
    pub account: &'a Account,
    /// What mailmill itself put where.
    pub store: &'a Store,
    /// What time it is.
    pub clock: &'a Clock,
}

impl Site<'_> {
    /// Whether an account looks for new mail in this mailbox.
    fn is_watched(&self, account: &str, mailbox: &MailboxName) -> bool {
        self.config.accounts.get(account).is_some_and(|account| account.watches(mailbox))
    }

    /// What is noted of a message that we put into a mailbox: nothing where that is not watched.
    fn landing(
        &self,
        account: &Arc<str>,
        mailbox: &MailboxName,
        uidvalidity: UidValidity,
        uid: Uid,
    ) -> Option<Landing> {
        self.is_watched(account, mailbox).then(|| Landing {
            account: account.clone(),
            mailbox: mailbox.clone(),
            uidvalidity,
            uid,
        })
    }
}

/// Plans of one selected mailbox, performed together.
pub struct Batch<'a> {
    /// The plans and where marks go.
    pub ledger: Ledger<'a>,
    /// The account's connection, the mailbox selected.
    pub mailboxes: &'a mut dyn Mailboxes,
    /// What is known of the mailbox.
    pub selected: &'a Selected,
    /// Whether something may have happened already.
    pub doubt: Doubt,
    /// The plans' UIDs are void: the mailbox got another UIDVALIDITY under way.
    pub renumbered: bool,
}

/// What became of one action.
struct Done {
    record: usize,
    action: usize,
    outcome: MarkOutcome,
    note: String,
    landed: Option<Landing>,
}

/// A message that we put into a mailbox of one of our accounts.
struct Landing {
    account: Arc<str>,
    mailbox: MailboxName,
    uidvalidity: UidValidity,
    uid: Uid,
}

/// Actions that were refused together.
struct Refused {
    target: Option<MailboxName>,
    group: Vec<Open>,
    error: Error,
}

/// An action of a record that is still to be done.
#[derive(Debug, Clone, Copy)]
struct Open {
    record: usize,
    action: usize,
    uid: Uid,
}

impl Batch<'_> {
    /// Performs everything that is open and gives the records back: settled, or held where the
    /// server refused for good. Each is handed to the ledger's pen, whose [`crate::store::Writing`]
    /// the caller finishes, whatever this returns.
    ///
    /// # Errors
    /// What trying again may mend.
    pub async fn perform(mut self) -> Result<Vec<Arc<MessageRecord>>> {
        deliver::perform(&mut self).await?;
        flag::perform(&mut self).await?;
        copy::perform(&mut self).await?;
        relocate::perform(&mut self).await?;
        Ok(self.ledger.close())
    }

    /// Makes alterations, each for a group, and marks what became of them. Gives back what was
    /// refused.
    async fn alter(&mut self, groups: &[(Alteration, Vec<Open>)]) -> Result<Vec<Refused>> {
        let alterations: Vec<Alteration> =
            groups.iter().map(|(alteration, _)| alteration.clone()).collect();
        let (mut refused, mut untold) = (Vec::new(), Vec::new());
        let ledger = &mut self.ledger;
        let mut tell = |Altered { index, uids, outcome }: Altered| {
            let Some((alteration, group)) = groups.get(index) else { return };
            let group = of_uids(group, &uids);
            match outcome {
                Ok(landed) => {
                    let told = check::told(alteration, group, &landed, &mut untold);
                    ledger.altered(alteration, &told, &landed);
                }
                Err(error) => {
                    let target = alteration.target().cloned();
                    refused.push(Refused { target, group, error });
                }
            }
        };
        self.mailboxes.alter(&alterations, &mut tell).await?;
        for untold in untold {
            self.check(untold).await?;
        }
        Ok(refused)
    }

    /// An error on the batch's own connection: where it can still be used, these messages are held;
    /// else it ends the batch.
    fn refuse(&mut self, group: &[Open], error: Error) -> Result<()> {
        if self.renumbered || ends_session(self.mailboxes) {
            return Err(error);
        }
        self.ledger.hold(group, &error);
        Ok(())
    }

    /// Whether the action may have happened although it has no mark.
    fn in_doubt(&self, open: Open) -> bool {
        // A message that was held before is decided anew, but not all of its first plan may have
        // been in vain.
        self.doubt != Doubt::None || self.ledger.was_begun(open)
    }

    /// Makes a target mailbox that is missing, where the account allows. `false`: it is not
    /// missing.
    async fn supply(&mut self, target: &MailboxName) -> Result<bool> {
        if self.mailboxes.exists(target).await? {
            return Ok(false);
        }
        let account = self.ledger.site.account;
        if !account.create {
            return Err(Error::permanent(
                format!("use mailbox {target} of account {}", account.name),
                "it does not exist",
            )
            .next("make it, or allow mailmill to with `create = true`"));
        }
        self.mailboxes.create(target).await.map(|()| true)
    }

    /// Where in `target` the message came to lie, if it did; the batch's own mailbox is selected again.
    ///
    /// Where the message is still here, only what has the same header block is taken for it. What a
    /// mark accounts for is another.
    async fn found_in(&mut self, target: &MailboxName, open: Open) -> Result<Option<Uid>> {
        let like = likeness(&self.ledger.records[open.record]);
        let here = self.mailboxes.fetch(&[open.uid], Extent::Headers).await?.pop();
        let alike = match self.mailboxes.exists(target).await? {
            true => self.mailboxes.find(target, &like).await?,
            false => Vec::new(),
        };
        let found = match here {
            Some(here) => Found::Same(same_headers(self.mailboxes, alike, &here.bytes).await?),
            None => Found::Alike(alike),
        };
        self.select_again().await?;
        let own = self.ledger.site.account.name.as_str();
        let own = |account: &str| account == own;
        self.ledger.unaccounted(open, found, &format!("-> {target}"), own)
    }

    /// Selects the batch's mailbox. Its UIDs must still name the same messages.
    async fn select_again(&mut self) -> Result<()> {
        let mailbox = self.ledger.mailbox;
        let now = self.mailboxes.select(mailbox).await?;
        if now.uidvalidity == self.selected.uidvalidity {
            return Ok(());
        }
        self.renumbered = true;
        let what =
            format!("go on in mailbox {mailbox} of account {}", self.ledger.site.account.name);
        Err(Error::temporary(what, "it got another UIDVALIDITY meanwhile"))
    }
}

impl Open {
    fn done(self, outcome: MarkOutcome, note: String) -> Done {
        Done { record: self.record, action: self.action, outcome, note, landed: None }
    }
}

/// Those of these messages of the selected mailbox that have this header block.
async fn same_headers(
    mailboxes: &mut dyn Mailboxes,
    uids: Vec<Uid>,
    headers: &[u8],
) -> Result<Vec<Uid>> {
    if uids.is_empty() {
        return Ok(uids);
    }
    let fetched = mailboxes.fetch(&uids, Extent::Headers).await?;
    let same = fetched.into_iter().filter(|message| message.bytes == headers);
    Ok(same.map(|message| message.uid).collect())
}

/// Those of a group that speak of these messages (ascending).
fn of_uids(group: &[Open], uids: &[Uid]) -> Vec<Open> {
    group.iter().filter(|open| uids.binary_search(&open.uid).is_ok()).copied().collect()
}

fn uids(group: &[Open]) -> Vec<Uid> {
    let mut uids: Vec<Uid> = group.iter().map(|open| open.uid).collect();
    uids.sort_unstable();
    uids.dedup();
    uids
}

/// How the id of a message begins that has no Message-ID: a hash of its header block follows.
pub const FINGERPRINT: &str = "no-message-id:";

/// How a record's message is recognised when it is looked up.
pub fn likeness(record: &MessageRecord) -> Likeness {
    Likeness {
        message_id: record.message_id.clone().filter(|id| !id.starts_with(FINGERPRINT)),
        size: record.size,
        received_ms: record.received_ms,
    }
}

/// The key a deterministic file name is made of, so that a repeated delivery is recognised.
fn delivery_name(key: &MessageKey, action: usize) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(format!("{key}#{action}").as_bytes());
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("mailmill.{hex}")
}
