//! `mailmill test`: the user's own tests of rules, `*.test.toml`. It asks no store and no server, so
//! it gives the same answer on every machine.

use std::path::PathBuf;
use std::thread;

use serde::Serialize;
use serde_json::json;

use super::{ConfigArg, Exit, Output};
use crate::config::{Config, cases};
use crate::error::{Context, Error, Result};
use crate::fault::Faults;
use crate::mail::inert;
use crate::pipeline::Generation;
use crate::pipeline::case::{self, Test, Tested};
use crate::pipeline::trial::STACK;

/// Run the tests of rules: *.test.toml beside the configuration, its scripts and its plugins
#[derive(Debug, clap::Args)]
#[command(after_help = "`mailmill docs tests` tells what can stand in a file of tests.\n\
                        Exit code 0: all as expected, 1: something differs, 2: there is nothing to \
                        test, 78: a fault in the configuration, a rule or a file of tests.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only the tests of this file, or of the files in this folder
    path: Option<PathBuf>,
    /// Only cases with this text in their name or in their file's name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// One JSON object a message
    #[arg(long)]
    json: bool,
}

/// What came of a case, with its messages in their order.
type Came = (Test, Vec<Tested>);

/// The JSON contract of `test`.
#[derive(Serialize)]
struct Answer<'a> {
    v: u32,
    case: &'a str,
    at: String,
    gate: bool,
    passed: bool,
    #[serde(flatten)]
    tested: &'a Tested,
}

/// Runs the command: exit 1 where a decision differs from what is expected.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match Config::load(&args.config.config) {
        Ok(config) => config,
        Err(faults) => return wrong(args, &faults, output),
    };
    if let Some(path) = args.path.as_ref().filter(|path| !path.exists()) {
        output.note(format_args!("mailmill: there is no file or folder {}", path.display()));
        return Exit::Usage;
    }
    let loaded = files(args, &config).and_then(|files| load(&config, &files));
    let (generation, mut tests) = match loaded {
        Ok(loaded) => loaded,
        Err(faults) => return wrong(args, &faults, output),
    };
    let all = tests.len();
    tests.retain(|test| wanted(args, test));
    if tests.is_empty() {
        return nothing(args, all, output);
    }
    match decide(generation, tests) {
        Ok(came) => told(args, &came, output),
        Err(error) => output.failed(&error),
    }
}

fn files(args: &Args, config: &Config) -> Result<Vec<PathBuf>, Faults> {
    match &args.path {
        Some(path) if path.is_dir() => cases::within(path),
        Some(path) => Ok(vec![path.clone()]),
        None => cases::beside(config),
    }
}

/// The cases, and the rules with the steps that only cases use: all faults at once.
fn load(config: &Config, files: &[PathBuf]) -> Result<(Generation, Vec<Test>), Faults> {
    let (tests, mut faults) = match case::read(config, files) {
        Ok(tests) => (tests, Faults::default()),
        Err(faults) => (Vec::new(), faults),
    };
    match Generation::load_with_steps(config, tests.iter().filter_map(Test::step)) {
        Ok(generation) => faults.into_result().map(|()| (generation, tests)),
        Err(more) => {
            faults.0.extend(more.0);
            Err(faults.into_result().err().unwrap_or_default())
        }
    }
}

fn wanted(args: &Args, test: &Test) -> bool {
    let file = test.case.source.shown.to_string_lossy();
    let fits = |text: &String| test.case.name.name.contains(text) || file.contains(text);
    args.filter.as_ref().is_none_or(fits)
}

/// Who tests nothing is told so: it is nothing that could be relied on.
fn nothing(args: &Args, all: usize, output: &mut Output<'_>) -> Exit {
    let what = match &args.filter {
        Some(text) if all > 0 => {
            format!("of {} none has \"{text}\" in its name", super::count(all, "case"))
        }
        _ => format!("there are no tests: no file ends with {}", cases::ENDING),
    };
    output.note(format_args!("mailmill: {}; see `mailmill docs tests`", inert(&what)));
    Exit::Usage
}

/// Runs the cases on a stack that deep rules need.
fn decide(generation: Generation, tests: Vec<Test>) -> Result<Vec<Came>> {
    let one = move |test: Test| {
        let came = test.case.messages.iter().map(|letter| test.run(&generation, letter));
        let came = came.collect();
        (test, came)
    };
    let all = move || tests.into_iter().map(one).collect();
    let thread = thread::Builder::new().name("decide".into()).stack_size(STACK).spawn(all);
    let thread = thread.or_later(|| "start the thread that decides".into())?;
    thread.join().map_err(|_| Error::temporary("run the tests", "a fault of mailmill itself"))
}

fn wrong(args: &Args, faults: &Faults, output: &mut Output<'_>) -> Exit {
    match args.json {
        true => output.line(json!({ "v": 1, "faults": faults.0 })),
        false => output.note(faults),
    }
    Exit::Config
}

fn told(args: &Args, came: &[Came], output: &mut Output<'_>) -> Exit {
    let differs = |(_, tested): &&Came| tested.iter().any(|tested| !tested.differences.is_empty());
    let wrong = came.iter().filter(differs).count();
    for (test, tested) in came {
        for tested in tested {
            match args.json {
                true => output.line(json!(answer(test, tested))),
                false => differences(test, tested, output),
            }
        }
    }
    if !args.json {
        output.line(sum(came, wrong));
    }
    if wrong == 0 { Exit::Right } else { Exit::Findings }
}

fn answer<'a>(test: &'a Test, tested: &'a Tested) -> Answer<'a> {
    let (case, at, gate) = (&test.case.name.name, test.case.place(), test.case.gate);
    Answer { v: 1, case, at, gate, passed: tested.differences.is_empty(), tested }
}

fn differences(test: &Test, tested: &Tested, output: &mut Output<'_>) {
    if tested.differences.is_empty() {
        return;
    }
    let place = test.case.place();
    output.line(format_args!("{}: {}", inert(&place), inert(&test.case.name.name)));
    if let Some(file) = &tested.message {
        output.line(format_args!("  of {}", inert(file)));
    }
    for line in tested.differences.iter().flat_map(|difference| &difference.lines) {
        output.line(format_args!("  {line}"));
    }
}

fn sum(came: &[Came], wrong: usize) -> String {
    let messages: usize = came.iter().map(|(_, tested)| tested.len()).sum();
    let mut files: Vec<_> = came.iter().map(|(test, _)| &test.case.source.shown).collect();
    files.sort();
    files.dedup();
    let count = super::count;
    let all = format!(
        "{} in {}, {}",
        count(came.len(), "case"),
        count(files.len(), "file"),
        count(messages, "message")
    );
    match wrong {
        0 => format!("{all}: all as expected"),
        wrong => format!("{all}: {wrong} not as expected (- expected, + came)"),
    }
}
