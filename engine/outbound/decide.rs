//! The account's outbound pipeline over one message. Most rules read the header alone: a large
//! message is loaded only where they read more.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OwnedMutexGuard;

use super::{Line, holds};
use crate::config::{Account, User};
use crate::error::{Context, Error, Result};
use crate::mail::{MailboxName, Message as Mail, Uid};
use crate::pipeline::{
    Action, Decision, Direction, Generation, Input, Memory, Outcome, StepOutcome, Verdict,
};
use crate::send::dialogue::Reply;
use crate::send::{Refusal, Submission};
use crate::store::StoreMemory;

/// How often a message is decided anew because the rules were replaced under way.
const MOST_REPLACED: usize = 5;

/// Where a message lies for rules that ask: in no mailbox.
pub(super) const NOWHERE: &str = "(submitted)";

/// Whose message it is.
pub(super) struct Message<'a> {
    pub(super) account: &'a Account,
    pub(super) user: &'a User,
}

/// A message that was decided.
pub(super) struct Decided {
    pub(super) submission: Submission,
    pub(super) generation: Arc<Generation>,
    /// `None` where the account has no outbound pipeline.
    pub(super) decision: Option<Decision>,
    /// All of it, where it had to be loaded.
    pub(super) loaded: Option<Arc<Mail>>,
    /// Why it waits for a person.
    pub(super) held: Option<String>,
    /// See [`Line::turn`]; held until its memory is written.
    pub(super) turn: Option<OwnedMutexGuard<()>>,
    /// Whether rules changed its header.
    pub(super) header_changed: bool,
}

impl Decided {
    /// Why it is refused.
    pub(super) fn rejected(&self) -> Option<String> {
        let decision = self.decision.as_ref()?;
        if decision.verdict != Verdict::Reject {
            return None;
        }
        let reason = decision.actions.iter().rev().find_map(|said| match &said.action {
            Action::Reject { reason } => Some(reason.clone()),
            _ => None,
        });
        Some(reason.unwrap_or_else(|| "a rule refuses it".into()))
    }
}

impl Line {
    /// Decides a message by what is in force.
    pub(super) async fn decide(
        &self,
        whose: &Message<'_>,
        mut submission: Submission,
    ) -> Result<Decided, Refusal> {
        let mut attempt = Attempt::of(self, whose, &submission);
        let mut generation = self.live.now();
        let Some(pipeline) = whose.account.outbound.clone() else {
            return Ok(Decided::new(submission, generation, attempt, None));
        };
        let mut replaced = 0;
        loop {
            match self.ask(&generation, &pipeline, &mut attempt).await? {
                Some((decision, _)) if attempt.wants_turn() => {
                    drop(decision);
                    attempt.turn = Some(self.turn(&whose.account.name).lock_owned().await);
                }
                Some((_, true)) => return Err(failed_for_now()),
                Some((decision, false)) => {
                    return Ok(Decided::new(submission, generation, attempt, Some(decision)));
                }
                None if !attempt.message.is_whole() => {
                    attempt.message = self.load(whose.account, &mut submission).await?;
                    attempt.loaded = true;
                }
                None if replaced < MOST_REPLACED => {
                    replaced += 1;
                    generation = self.live.now();
                }
                None => return Err(failed_for_now()),
            }
        }
    }

    /// Runs the pipeline once; `None` where the body is needed, or the generation was ended. The flag
    /// says whether trying again may help.
    async fn ask(
        &self,
        generation: &Arc<Generation>,
        pipeline: &str,
        attempt: &mut Attempt,
    ) -> Result<Option<(Decision, bool)>, Refusal> {
        let memory = Arc::new(Noted::new(self.store.memory()));
        let (input, noted) = (Arc::new(attempt.input(self)), memory.clone());
        let (generation, pipeline) = (generation.clone(), pipeline.to_owned());
        let decide =
            move || catch_unwind(AssertUnwindSafe(|| generation.decide(&pipeline, input, noted)));
        let outcome = self.workers.run(decide).await.map_err(Refusal::later)?;
        if let Some(error) = memory.store.trouble() {
            return Err(Refusal::later(error));
        }
        attempt.remembers |= memory.was_read.load(Ordering::Relaxed);
        let wrong = |why: &str| Refusal::later(Error::temporary("decide what is sent", why));
        match outcome {
            Ok(Some(Outcome::Decided { decision, retry })) => Ok(Some((decision, retry))),
            Ok(Some(Outcome::NeedBody)) => Ok(None),
            Ok(None) => Err(wrong("the account's outbound pipeline is gone")),
            Err(_) => Err(wrong("a fault of mailmill itself; please report it")),
        }
    }

    /// Loads a large message, a few at once.
    pub(super) async fn load(
        &self,
        account: &Account,
        submission: &mut Submission,
    ) -> Result<Arc<Mail>, Refusal> {
        let size = submission.file.size();
        if size > account.max_size {
            let text = format!("rules read it, and it is larger than {} bytes", account.max_size);
            return Err(Reply::new(552, "5.3.4", text).into());
        }
        let what = || "read a message that was handed over".to_owned();
        let _turn = self.shared.large.acquire().await.or_later(what).map_err(Refusal::later)?;
        let file = submission.file.reader().map_err(Refusal::no_room)?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.take(size).read_to_end(&mut bytes).map(|_| bytes)
        });
        let bytes = read.await.or_later(what).and_then(|read| read.or_later(what));
        Ok(Arc::new(Mail::whole(bytes.map_err(Refusal::later)?)))
    }
}

/// What is given to the rules, and what was found out by asking them.
struct Attempt {
    account: Arc<str>,
    user: String,
    size: u64,
    now_ms: i64,
    message: Arc<Mail>,
    /// The message is in memory though it is large.
    loaded: bool,
    /// A step asked for what it remembers.
    remembers: bool,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Attempt {
    fn of(line: &Line, whose: &Message<'_>, submission: &Submission) -> Self {
        let message = match submission.file.in_memory() {
            Some(bytes) => Mail::whole(bytes),
            None => Mail::from_headers(submission.head.clone()),
        };
        Self {
            account: whose.account.name.as_str().into(),
            user: whose.user.name.clone(),
            size: submission.file.size(),
            now_ms: line.clock.now_ms(),
            message: Arc::new(message),
            loaded: false,
            remembers: false,
            turn: None,
        }
    }

    /// Whether it was decided by memory that somebody else may just be writing.
    fn wants_turn(&self) -> bool {
        self.remembers && self.turn.is_none()
    }

    fn input(&self, line: &Line) -> Input {
        Input {
            direction: Direction::Outbound,
            account: self.account.clone(),
            mailbox: MailboxName::new(NOWHERE).unwrap_or_else(|_| MailboxName::inbox()),
            uid: Uid(0),
            size: self.size,
            received_ms: Some(self.now_ms),
            flags: Vec::new(),
            message: self.message.clone(),
            user: Some(self.user.clone()),
            now_ms: line.clock.now_ms(),
        }
    }
}

impl Decided {
    fn new(
        submission: Submission,
        generation: Arc<Generation>,
        attempt: Attempt,
        decision: Option<Decision>,
    ) -> Self {
        let held = decision.as_ref().filter(|decision| holds(decision.verdict)).map(why_held);
        let loaded = attempt.loaded.then_some(attempt.message);
        let turn = attempt.turn;
        Self { submission, generation, decision, loaded, held, turn, header_changed: false }
    }
}

fn why_held(decision: &Decision) -> String {
    if let Some(step) = decision.steps.iter().find(|step| step.outcome == StepOutcome::Failed) {
        let error = step.error.as_deref().unwrap_or("it failed");
        return format!("step {} failed: {error}", step.step);
    }
    let reason = decision.actions.iter().rev().find_map(|said| match &said.action {
        Action::Hold { reason } => Some(reason.clone()),
        _ => None,
    });
    reason.unwrap_or_else(|| "a rule holds it".into())
}

fn failed_for_now() -> Refusal {
    Refusal::later(Error::temporary("decide what is sent", "a step failed that is to be retried"))
}

/// A memory that knows whether it was read.
struct Noted {
    store: Arc<StoreMemory>,
    was_read: AtomicBool,
}

impl Noted {
    fn new(store: Arc<StoreMemory>) -> Self {
        Self { store, was_read: AtomicBool::new(false) }
    }
}

impl Memory for Noted {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        self.was_read.store(true, Ordering::Relaxed);
        self.store.get(account, step, key)
    }
}
