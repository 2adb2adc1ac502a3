//! A candidate on trial: it decides live messages beside the generation in force. What it decides is
//! compared and thrown away.
//!
//! It sees what steps remembered by the decisions of the generation in force, not by its own.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Outcome;
use super::action::{Decision, StepOutcome, Verdict};
use super::generation::Generation;
use super::run::{Input, Memory};

/// Differences that are kept to be shown; all are counted.
const MOST_TOLD: usize = 50;

/// Bytes of a message whose body is fetched because the candidate alone reads it.
const MOST_BODY: u64 = 8 << 20;

/// A candidate on trial, and what came of it so far.
pub struct Shadow {
    candidate: Arc<Generation>,
    /// How many messages it is to decide.
    wanted: u64,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    contrast: Contrast,
    /// Hashes of the messages that were compared: each counts once.
    met: HashSet<u64>,
}

/// How a candidate's decisions differ from those of the generation in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contrast {
    /// Messages that both decided.
    pub compared: u64,
    /// Those of them that both decide alike.
    pub alike: u64,
    /// Messages of which a step of the generation in force failed.
    pub failed_before: u64,
    /// Messages of which a step of the candidate failed.
    pub failed_after: u64,
    /// The first messages that they decide differently.
    pub differences: Vec<Told>,
}

/// One message that is decided differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Account, mailbox and UID.
    pub message: String,
    /// Its subject.
    pub subject: String,
    /// What the generation in force says and the candidate does not.
    pub before: Vec<String>,
    /// What the candidate says and the generation in force does not.
    pub after: Vec<String>,
}

impl Shadow {
    /// A trial over so many messages.
    pub fn new(candidate: Arc<Generation>, wanted: u64) -> Self {
        Self { candidate, wanted, so_far: Mutex::default() }
    }

    /// What came of it so far.
    pub fn contrast(&self) -> Contrast {
        self.so_far().contrast.clone()
    }

    /// How many messages it is to decide.
    pub fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Lets the candidate decide a message that the generation in force has decided. `false` where it
    /// needs the body for that: then the message is to be run again with it, by both.
    pub fn beside(&self, input: &Arc<Input>, memory: &Arc<dyn Memory>, by_live: &Decision) -> bool {
        let hash = hash(input);
        {
            let so_far = self.so_far();
            if so_far.contrast.compared >= self.wanted || so_far.met.contains(&hash) {
                return true;
            }
        }
        let lines = match self.decide(input, memory) {
            Tried::Decided(decision) => (lines(&decision), failed(&decision)),
            Tried::NeedsBody if input.size <= MOST_BODY => return false,
            Tried::NeedsBody => {
                (vec!["reads the body, which is too large for a trial".into()], false)
            }
            Tried::Not(why) => (vec![why.into()], false),
        };
        self.compare(hash, input, by_live, lines);
        true
    }

    fn decide(&self, input: &Arc<Input>, memory: &Arc<dyn Memory>) -> Tried {
        let accounts = &self.candidate.config().accounts;
        let account = accounts.get(&*input.account).filter(|account| account.active);
        let Some(pipeline) = account.and_then(|account| account.inbound.as_deref()) else {
            return Tried::Not("is not decided: the account has no pipeline");
        };
        let (input, memory) = (input.clone(), memory.clone());
        let decide = || self.candidate.decide(pipeline, input, memory);
        match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Some(Outcome::Decided { decision, .. })) => Tried::Decided(decision),
            Ok(Some(Outcome::NeedBody)) => Tried::NeedsBody,
            Ok(None) => Tried::Not("is not decided: there is no such pipeline"),
            Err(_) => Tried::Not("made mailmill itself panic"),
        }
    }

    fn compare(
        &self,
        hash: u64,
        input: &Input,
        by_live: &Decision,
        (after, failed_after): (Vec<String>, bool),
    ) {
        let before = lines(by_live);
        let mut so_far = self.so_far();
        if so_far.contrast.compared >= self.wanted || !so_far.met.insert(hash) {
            return;
        }
        let contrast = &mut so_far.contrast;
        contrast.compared += 1;
        contrast.failed_before += u64::from(failed(by_live));
        contrast.failed_after += u64::from(failed_after);
        if before == after {
            contrast.alike += 1;
        } else if contrast.differences.len() < MOST_TOLD {
            contrast.differences.push(Told {
                message: format!("{} {}/{}", input.account, input.mailbox, input.uid),
                subject: input.message.subject().chars().take(60).collect(),
                before: without(&before, &after),
                after: without(&after, &before),
            });
        }
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

enum Tried {
    Decided(Decision),
    NeedsBody,
    Not(&'static str),
}

fn hash(input: &Input) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&input.account, input.mailbox.as_str(), input.uid.0).hash(&mut hasher);
    hasher.finish()
}

fn failed(decision: &Decision) -> bool {
    let failed = |outcome| matches!(outcome, StepOutcome::Failed | StepOutcome::Skipped);
    decision.steps.iter().any(|step| failed(step.outcome))
}

/// What a decision says, a line each, in its order; nothing of where in a file it was said.
fn lines(decision: &Decision) -> Vec<String> {
    let mut lines: Vec<_> =
        decision.actions.iter().map(|said| action(serde_json::json!(said.action))).collect();
    let failed = decision.steps.iter().filter(|step| step.error.is_some());
    lines.extend(failed.map(|step| format!("step {} failed", step.step)));
    match decision.verdict {
        Verdict::Hold => lines.push("is held".into()),
        Verdict::Reject => lines.push("is rejected".into()),
        Verdict::Continue | Verdict::Stop => {}
    }
    if lines.is_empty() {
        lines.push("stays as it is".into());
    }
    lines
}

/// `move_to Invoices`, of an action in JSON.
fn action(said: Value) -> String {
    let Value::Object(mut fields) = said else { return String::new() };
    let verb = fields.remove("action");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words: Vec<_> = verb.iter().chain(fields.values()).map(text).collect();
    words.join(" ")
}

fn without(lines: &[String], others: &[String]) -> Vec<String> {
    let own: Vec<_> = lines.iter().filter(|line| !others.contains(line)).cloned().collect();
    // The same lines in another order.
    if own.is_empty() && others.iter().all(|line| lines.contains(line)) {
        lines.to_vec()
    } else {
        own
    }
}
