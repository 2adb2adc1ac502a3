//! The gate before a reload: the cases with `gate = true` run against the generation that is to
//! come, within a budget. One that fails, or that does not come to an end in time, refuses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::case::{Test, Tested};
use super::generation::Generation;
use super::trial::STACK;
use crate::fault::{Fault, Faults};

/// How long all cases together may take where nobody says otherwise.
pub const BUDGET: Duration = Duration::from_secs(5);

/// The gate let the generation pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateReport {
    /// Messages that were decided as expected.
    pub messages: usize,
    /// Cases of steps that no pipeline uses: they decide nothing, so they gate nothing. `file:line`.
    pub skipped: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Runs the cases that gate, in their order, on a thread of its own.
///
/// Where the budget is used up, this returns at once; the thread ends when its step has reached its
/// own limits, and holds the generation until then.
///
/// # Errors
/// A fault for each message whose decision differs, at the place of its case; or one for the case
/// that was running when the budget was used up, beside those that had failed before.
pub fn run(
    generation: &Arc<Generation>,
    tests: &Arc<[Test]>,
    budget: Duration,
) -> Result<GateReport, Faults> {
    let started = Instant::now();
    let (send, came) = channel();
    let at = Arc::new(AtomicUsize::new(0));
    let job = {
        let (generation, tests, at) = (generation.clone(), tests.clone(), at.clone());
        move || {
            // Nobody listens any more once the budget is used up.
            each(&generation, &tests, &at, |event| send.send(event).is_ok());
        }
    };
    let spawned = thread::Builder::new().name("gate".into()).stack_size(STACK).spawn(job);
    let thread = match (spawned, tests.first()) {
        (Err(why), Some(test)) => {
            let what = format!("the gate cannot run: the system has no thread left: {why}");
            return Err(test.case.fault(test.case.name.at, what).into());
        }
        (spawned, _) => spawned.ok(),
    };
    let mut report = GateReport { messages: 0, skipped: Vec::new(), took: Duration::ZERO };
    let mut faults = Faults::default();
    loop {
        let running = || tests.get(at.load(Ordering::Acquire));
        match came.recv_timeout(budget.saturating_sub(started.elapsed())) {
            Ok(Event::Right) => report.messages += 1,
            Ok(Event::Skipped(place)) => report.skipped.push(place),
            Ok(Event::Wrong(fault)) => faults.0.push(*fault),
            Ok(Event::End) => break,
            Err(RecvTimeoutError::Timeout) => {
                faults.0.extend(running().map(|test| late(test, budget)));
                break;
            }
            Err(RecvTimeoutError::Disconnected) => {
                faults.0.extend(running().map(broken));
                break;
            }
        }
    }
    faults.into_result()?;
    // It has come to its end, and lets go of the generation before this returns.
    let _ = thread.map(thread::JoinHandle::join);
    report.took = started.elapsed();
    Ok(report)
}

/// What the thread tells.
enum Event {
    /// A message was decided as expected.
    Right,
    /// One was not.
    Wrong(Box<Fault>),
    /// A case's step is in no pipeline.
    Skipped(String),
    /// That was the last one.
    End,
}

/// Runs the cases; `tell` says whether anybody still listens.
fn each(
    generation: &Generation,
    tests: &[Test],
    at: &AtomicUsize,
    tell: impl Fn(Event) -> bool,
) -> bool {
    for (index, test) in tests.iter().enumerate().filter(|(_, test)| test.case.gate) {
        at.store(index, Ordering::Release);
        if !test.fits(generation) {
            if !tell(Event::Skipped(test.case.place())) {
                return false;
            }
            continue;
        }
        for letter in &test.case.messages {
            let tested = test.run(generation, letter);
            let event = match tested.differences.is_empty() {
                true => Event::Right,
                false => Event::Wrong(Box::new(failed(test, &tested))),
            };
            if !tell(event) {
                return false;
            }
        }
    }
    tell(Event::End)
}

/// The fault of a case whose decision differs.
fn failed(test: &Test, tested: &Tested) -> Fault {
    let lines = tested.differences.iter().flat_map(|difference| &difference.lines);
    let lines: String = lines.map(|line| format!("\n    {line}")).collect();
    let of = tested.message.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
    let what = format!("the gate case \"{}\"{of} fails:{lines}", test.case.name.name);
    test.case
        .fault(test.case.name.at, what)
        .help("mend the rule, or the case where it expects the wrong thing; see `mailmill test`")
}

fn late(test: &Test, budget: Duration) -> Fault {
    let name = &test.case.name.name;
    let budget = humantime::format_duration(budget);
    let what = format!("the gate was not through after {budget}; the case \"{name}\" was running");
    test.case.fault(test.case.name.at, what).help(
        "let fewer or faster cases gate the reload: without `gate = true` a case still runs in \
         `mailmill test`",
    )
}

fn broken(test: &Test) -> Fault {
    let name = &test.case.name.name;
    let what = format!("a fault of mailmill itself in the gate case \"{name}\"; please report it");
    test.case.fault(test.case.name.at, what)
}
