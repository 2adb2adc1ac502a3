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

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::error::{Error, Result};
use crate::mail::{MailboxName, MessageKey, Uid, UidValidity};
use crate::mailbox::{Landed, Likeness, Mailboxes, Selected, ends_session};
use crate::pipeline::Action;
use crate::store::{Change, Mark, MarkOutcome, MessageRecord, State, Store};

mod copy;
mod deliver;
mod flag;
mod hold;
mod relocate;

pub use deliver::edit;
pub use hold::{Again, hold};

/// How the note of a mark ends where the server did not tell the new UID.
pub const UID_NOT_TOLD: &str = "(UID not told)";

/// The most characters of a mark's note that are kept.
const MOST_NOTE: usize = 300;

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
    /// Where marks go.
    pub store: &'a Store,
    /// What time it is.
    pub clock: &'a Clock,
}

/// Plans of one selected mailbox, performed together.
pub struct Batch<'a> {
    /// Surroundings.
    pub site: Site<'a>,
    /// The account's connection, `mailbox` selected.
    pub mailboxes: &'a mut dyn Mailboxes,
    /// The selected mailbox.
    pub mailbox: &'a MailboxName,
    /// What is known of it.
    pub selected: &'a Selected,
    /// Mailboxes known to exist in this session.
    pub known: &'a mut HashSet<MailboxName>,
    /// The plans.
    pub records: Vec<MessageRecord>,
    /// Whether something may have happened already.
    pub doubt: Doubt,
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

/// An action of a record that is still to be done.
#[derive(Debug, Clone, Copy)]
struct Open {
    record: usize,
    action: usize,
    uid: Uid,
}

impl Batch<'_> {
    /// Performs everything that is open and gives the records back: settled, or held where the
    /// server refused for good.
    ///
    /// # Errors
    /// What trying again may mend. Marks made until then are stored.
    pub async fn perform(mut self) -> Result<Vec<MessageRecord>> {
        deliver::perform(&mut self).await?;
        flag::perform(&mut self).await?;
        copy::perform(&mut self).await?;
        relocate::perform(&mut self).await?;
        for record in &mut self.records {
            if record.state == State::Planned {
                record.state = State::Settled;
            }
        }
        Ok(self.records)
    }

    /// Actions of records not held that have no mark yet, gathered by what `target` says.
    fn open_by<T: Ord>(&self, target: impl Fn(&Action) -> Option<T>) -> BTreeMap<T, Vec<Open>> {
        let mut groups: BTreeMap<T, Vec<Open>> = BTreeMap::new();
        for (index, record) in self.records.iter().enumerate() {
            if record.state != State::Planned {
                continue;
            }
            for (action, said) in record.decision.actions.iter().enumerate() {
                let marked = record.marks.iter().any(|mark| mark.action == action);
                if let (false, Some(key)) = (marked, target(&said.action)) {
                    let open = Open { record: index, action, uid: record.key.uid };
                    groups.entry(key).or_default().push(open);
                }
            }
        }
        groups
    }

    /// Writes down what became of actions, with what landed in a mailbox of ours.
    async fn mark(&mut self, done: Vec<Done>) -> Result<()> {
        let at_ms = self.site.clock.now_ms();
        let mut changes = Vec::new();
        let mut touched = Vec::new();
        for done in done {
            if let Some(Landing { account, mailbox, uidvalidity, uid }) = done.landed {
                changes.push(Change::Arrived { account, mailbox, uidvalidity, uid });
            }
            self.records[done.record].marks.push(Mark {
                action: done.action,
                at_ms,
                outcome: done.outcome,
                note: Some(shorten(&done.note)),
            });
            touched.push(done.record);
        }
        touched.sort_unstable();
        touched.dedup();
        changes
            .extend(touched.iter().map(|at| Change::Record(Box::new(self.records[*at].clone()))));
        self.site.store.write(changes).await
    }

    /// An error on the batch's own connection: where it can still be used, these messages are held;
    /// else it ends the batch.
    async fn refuse(&mut self, group: &[Open], error: Error) -> Result<()> {
        if ends_session(self.mailboxes) { Err(error) } else { self.hold(group, &error).await }
    }

    /// Holds messages whose action failed.
    async fn hold(&mut self, group: &[Open], error: &Error) -> Result<()> {
        let (now, why) = (self.site.clock.now_ms(), error.to_string());
        for open in group {
            hold(&mut self.records[open.record], &why, error.into(), now);
        }
        let failed = group.iter().map(|open| open.done(MarkOutcome::Failed, why.clone()));
        self.mark(failed.collect()).await
    }

    /// Whether the action may have happened although it has no mark.
    fn in_doubt(&self, open: Open) -> bool {
        let record = &self.records[open.record];
        // A message that was held before is decided anew, but not all of its first plan may have
        // been in vain.
        self.doubt != Doubt::None || record.hold.is_some() || !record.marks.is_empty()
    }

    /// Sees that a target mailbox is there, making it where the account allows.
    async fn ensure(&mut self, target: &MailboxName) -> Result<()> {
        if self.known.contains(target) {
            return Ok(());
        }
        if !self.mailboxes.exists(target).await? {
            if !self.site.account.create {
                return Err(Error::permanent(
                    format!("use mailbox {target} of account {}", self.site.account.name),
                    "it does not exist",
                )
                .next("make it, or allow mailmill to with `create = true`"));
            }
            self.mailboxes.create(target).await?;
        }
        self.known.insert(target.clone());
        Ok(())
    }

    /// Whether a target that was known is gone: somebody removed it since.
    async fn lost(&mut self, target: &MailboxName) -> bool {
        !ends_session(self.mailboxes)
            && matches!(self.mailboxes.exists(target).await, Ok(false))
            && self.known.remove(target)
    }

    /// Whether the message is to be found in `target`; the batch's own mailbox is selected again.
    ///
    /// Where the batch holds several that look alike, as many must be there: else one of them would
    /// pass for another.
    async fn found_in(&mut self, target: &MailboxName, record: usize) -> Result<bool> {
        let like = likeness(&self.records[record]);
        let alike = self.records.iter().filter(|other| likeness(other) == like).count();
        let found = match self.mailboxes.exists(target).await? {
            true => self.mailboxes.find(target, &like).await?.len(),
            false => 0,
        };
        self.mailboxes.select(self.mailbox).await?;
        Ok(found >= alike)
    }

    /// Where this message is, for notes: `INBOX/17`.
    fn here(&self, open: Open) -> String {
        format!("{}/{}", self.mailbox, open.uid)
    }

    /// The outcome of copying or moving a group, message by message.
    fn landed(&self, group: &[Open], target: &MailboxName, landed: &Landed) -> Vec<Done> {
        group
            .iter()
            .map(|open| {
                let here = self.here(*open);
                match (landed.uidvalidity, landed.uids.get(&open.uid)) {
                    (Some(uidvalidity), Some(uid)) => Done {
                        landed: Some(Landing {
                            account: self.site.account.name.as_str().into(),
                            mailbox: target.clone(),
                            uidvalidity,
                            uid: *uid,
                        }),
                        ..open.done(MarkOutcome::Done, format!("{here} -> {target}/{uid}"))
                    },
                    (Some(_), None) => {
                        open.done(MarkOutcome::Gone, format!("{here} was no longer there"))
                    }
                    (None, _) => {
                        open.done(MarkOutcome::Done, format!("{here} -> {target} {UID_NOT_TOLD}"))
                    }
                }
            })
            .collect()
    }
}

impl Open {
    fn done(self, outcome: MarkOutcome, note: String) -> Done {
        Done { record: self.record, action: self.action, outcome, note, landed: None }
    }
}

/// A note cut to its limit; what its end says is kept.
fn shorten(note: &str) -> String {
    if note.chars().nth(MOST_NOTE).is_none() {
        return note.to_owned();
    }
    let end = if note.ends_with(UID_NOT_TOLD) { UID_NOT_TOLD } else { "" };
    let start: String = note.chars().take(MOST_NOTE).collect();
    format!("{start}… {end}")
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
