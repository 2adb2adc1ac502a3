//! DECIDES. Steps in order over one message give one [`Decision`]. Neither network nor disk is
//! touched while a pipeline runs; rhai, wasmtime and minijinja live here and nowhere else.

use std::sync::Arc;
use std::time::Instant;

pub mod action;
mod candidate;
pub mod case;
mod compiled;
mod csv;
mod files;
pub mod gate;
pub mod generation;
pub mod limits;
mod live;
mod load;
mod outgoing;
pub mod plugin;
pub mod run;
pub mod script;
mod shadow;
pub mod step;
pub mod table;
pub mod template;
pub mod trial;
mod value;
mod verbs;
pub mod watch;

pub use action::{Action, Decision, Direction, Recorded, StepOutcome, StepReport, Verdict};
pub use candidate::{Attempt, Candidate, load, load_kept, load_settled};
pub use files::{Kept, Prints};
pub use generation::{Generation, Health};
pub use limits::Limits;
pub use live::{Leaving, Live};
pub use outgoing::{Edited, edit};
pub use run::{Break, Input, Memory, NoMemory, Run};
pub use shadow::{Contrast, Shadow, Told};
pub use step::{OnError, Step, StepError};
pub use template::{Fields, Templates};

/// A step with its place in a pipeline.
#[derive(Clone)]
pub struct Placed {
    /// The compiled step.
    pub step: Arc<dyn Step>,
    /// Its `with`, as JSON.
    pub config: Arc<serde_json::Value>,
    /// What to do when it fails.
    pub on_error: OnError,
}

/// Steps in order.
pub struct Pipeline {
    /// Its name in the configuration.
    pub name: String,
    /// Its steps.
    pub steps: Vec<Placed>,
}

/// How a run of a pipeline ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A plan. Where a step failed and is not skipped, the verdict is `Hold` and the failed step's
    /// report says why; `retry` tells whether `on_error` asks to try again first.
    Decided {
        /// The plan.
        decision: Decision,
        /// A step failed whose `on_error` is `retry`.
        retry: bool,
    },
    /// A step asked for the body, which was not fetched: run again with the whole message. Or the
    /// generation was ended under way ([`Generation::end`]): run again with the one in force.
    NeedBody,
}

impl Pipeline {
    /// Runs all steps over a fresh `run`. `generation` and `digest` are written into the decision.
    pub fn decide(&self, run: Run, generation: u64, digest: &str) -> Outcome {
        self.decide_until(run, generation, digest, || false)
    }

    /// As [`Pipeline::decide`], but where `ended` says so between two steps, nothing is decided.
    fn decide_until(
        &self,
        run: Run,
        generation: u64,
        digest: &str,
        ended: impl Fn() -> bool,
    ) -> Outcome {
        let run = Arc::new(run);
        let mut reports = Vec::with_capacity(self.steps.len());
        let mut verdict = Verdict::Continue;
        let mut retry = false;
        for placed in &self.steps {
            if verdict != Verdict::Continue {
                reports.push(not_reached(placed.step.name()));
                continue;
            }
            if ended() {
                return Outcome::NeedBody;
            }
            match run_step(placed, &run) {
                Some((report, ended)) => {
                    if report.outcome == StepOutcome::Failed {
                        retry = placed.on_error == OnError::Retry;
                        verdict = Verdict::Hold;
                    } else if ended {
                        verdict = last_verdict(&run);
                    }
                    reports.push(report);
                }
                None => return Outcome::NeedBody,
            }
        }
        if ended() {
            return Outcome::NeedBody;
        }
        Outcome::Decided { decision: conclude(&run, verdict, reports, generation, digest), retry }
    }
}

/// Runs one step; what it said is taken back if it fails. `None` asks for the body. The flag says
/// whether the step had the last word.
fn run_step(placed: &Placed, run: &Arc<Run>) -> Option<(StepReport, bool)> {
    let name = placed.step.name();
    let before = {
        let mut record = run.record();
        record.step = name.into();
        record.config = placed.config.clone();
        record.read_body = false;
        record.log_lines = 0;
        record.clone()
    };
    let started = Instant::now();
    let result =
        if placed.step.defines(run.input().direction) { placed.step.run(run) } else { Ok(()) };
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut record = run.record();
    if record.need_body {
        return None;
    }
    let read_body = record.read_body;
    let report =
        |outcome, error| StepReport { step: name.into(), outcome, micros, read_body, error };
    match result {
        Ok(()) => Some((report(StepOutcome::Ran, None), record.last_word)),
        Err(error) => {
            *record = before;
            let outcome = match placed.on_error {
                OnError::Skip => StepOutcome::Skipped,
                OnError::Hold | OnError::Retry => StepOutcome::Failed,
            };
            Some((report(outcome, Some(error.to_string())), false))
        }
    }
}

fn not_reached(step: &str) -> StepReport {
    StepReport {
        step: step.into(),
        outcome: StepOutcome::NotReached,
        micros: 0,
        read_body: false,
        error: None,
    }
}

fn last_verdict(run: &Run) -> Verdict {
    match run.record().actions.last().map(|said| &said.action) {
        Some(Action::Hold { .. }) => Verdict::Hold,
        Some(Action::Reject { .. }) => Verdict::Reject,
        _ => Verdict::Stop,
    }
}

fn conclude(
    run: &Run,
    verdict: Verdict,
    steps: Vec<StepReport>,
    generation: u64,
    digest: &str,
) -> Decision {
    let record = run.record();
    Decision {
        generation,
        digest: digest.into(),
        verdict,
        actions: record.actions.clone(),
        tags: record.tags.clone(),
        project: record.links.first().map(|(project, _)| project.clone()),
        steps,
    }
}
