//! The outbound straight line: a message that one of our users handed over is checked, decided,
//! changed, and put into the queue. Only then is it accepted.
//!
//! ```text
//! accept
//!   rights    may this user send as these?                       550 5.7.60
//!   account   whose message is it, whose server relays it?       550 5.7.60
//!   decide    the account's outbound pipeline, off the network threads
//!               reject                                           550 5.7.1
//!               a step failed: hold (default), skip, or retry    451 4.3.0
//!   edit      the header changes that were said; signatures
//!   rights    again, of what is to be sent
//!   queue     a file with the message, its entry, record, links and step memory, synced   <- the promise: 250
//!             all but the message into the store, in one commit that is synced later
//! ```
//!
//! Nothing of a message is left that was not accepted.

mod account;
mod decide;
mod edit;
mod record;
mod rights;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::clock::Clock;
use crate::config::{Account, User};
use crate::error::{Error, Retry};
use crate::mail::Message;
use crate::maillog::Maillog;
use crate::pipeline::{Generation, Live, Verdict};
use crate::send::dialogue::Reply;
use crate::send::{Accept, Accepted, Outgoing, Queue, Refusal, Submission};
use crate::store::{Origin, Store};
use crate::workers::Workers;

use decide::{Decided, Message as Whose};

pub use rights::may_send_as;

/// Everything the line needs. Cheap to clone.
#[derive(Clone)]
pub struct Line {
    /// What is in force.
    pub live: Live,
    /// Where it is decided.
    pub workers: Workers,
    /// What keeps.
    pub store: Store,
    /// Where it goes.
    pub queue: Queue,
    /// What time it is.
    pub clock: Clock,
    /// What is told.
    pub log: Maillog,
    /// See [`Shared`].
    shared: Arc<Shared>,
}

/// What all messages share.
struct Shared {
    /// Whoever decides by what its account's steps remember does so in turn, so that each sees what
    /// the one before wrote.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Large messages that are in memory at once, because rules read them whole.
    large: tokio::sync::Semaphore,
}

/// Large messages that are in memory at once.
const LARGE_AT_ONCE: usize = 2;

impl Line {
    /// A line.
    pub fn new(
        live: Live,
        workers: Workers,
        (store, queue): (Store, Queue),
        (clock, log): (Clock, Maillog),
    ) -> Self {
        let large = tokio::sync::Semaphore::new(LARGE_AT_ONCE);
        let shared = Arc::new(Shared { turns: Mutex::default(), large });
        Self { live, workers, store, queue, clock, log, shared }
    }

    async fn take(&self, submission: Submission) -> Result<Accepted, Refusal> {
        let generation = self.live.now();
        let (user, account) = self.whose(&generation, &submission)?;
        let whose = Whose { account: &account, user: &user };
        let mut decided = self.decide(&whose, submission).await?;
        if let Some(reason) = decided.rejected() {
            return Err(Reply::new(550, "5.7.1", reason).into());
        }
        self.edit(&mut decided, &whose).await?;
        if decided.header_changed {
            // A rule may say who a message is from; not beyond what its user may.
            let Decided { submission, generation, .. } = &decided;
            let head = Message::from_headers(submission.head.clone());
            rights::check(generation.config(), &user, &submission.envelope, &head)?;
        }
        self.put(decided, account, user).await
    }

    /// The user, who may send this, and the account that sends it.
    fn whose(
        &self,
        generation: &Generation,
        submission: &Submission,
    ) -> Result<(User, Account), Refusal> {
        let config = generation.config();
        let Some(user) = config.users.get(&submission.user) else {
            let text = format!("there is no user {} here any more", submission.user);
            return Err(Reply::new(550, "5.7.60", text).into());
        };
        let head = Message::from_headers(submission.head.clone());
        let from = rights::check(config, user, &submission.envelope, &head)?;
        let account = account::of(config, user, &from)?;
        Ok((user.clone(), account.clone()))
    }

    /// Into the queue: when this returns, the message is promised to be sent.
    async fn put(
        &self,
        decided: Decided,
        account: Account,
        user: User,
    ) -> Result<Accepted, Refusal> {
        let record = self.record(&decided, &account)?;
        let Decided { submission, decision, generation, turn, held, .. } = decided;
        let changes = [record.changes, submission.changes].concat();
        let head = Message::from_headers(submission.head);
        let subject = Some(head.subject()).filter(|subject| !subject.is_empty());
        let outgoing = Outgoing {
            account: account.name.clone(),
            user: Some(user.name.clone()),
            origin: Origin::Submission,
            envelope: submission.envelope,
            message_id: head.message_id(),
            subject,
            project: decision.as_ref().and_then(|d| d.project.clone()).or(account.project),
            generation: generation.number,
            digest: generation.digest.clone(),
            held: held.clone(),
            changes,
        };
        let accepted = self.queue.accept(outgoing, submission.file).await.map_err(not_queued);
        drop(turn);
        let id = accepted?;
        record::tell(&self.log, record.id, decision.as_ref());
        Ok(Accepted { id, held })
    }

    /// The turn of an account, see [`Shared::turns`].
    fn turn(&self, account: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(account.to_owned()).or_default().clone()
    }
}

#[async_trait]
impl Accept for Line {
    async fn accept(&self, submission: Submission) -> Result<Accepted, Refusal> {
        self.take(submission).await
    }
}

/// The verdict of rules that hold a message.
fn holds(verdict: Verdict) -> bool {
    verdict == Verdict::Hold
}

fn not_queued(error: Error) -> Refusal {
    match error.retry() {
        Retry::Later => Refusal::no_room(error),
        Retry::Never => {
            let reply = Reply::new(554, "5.3.0", "the message cannot be queued as it is");
            Refusal { reply, cause: Some(Box::new(error)) }
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}
