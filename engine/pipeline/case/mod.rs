//! The user's own tests of rules: cases made ready for a generation, and what comes of them.
//!
//! A case decides by the same code as the live run ([`super::trial`]); it knows no store, no server
//! and no clock but its own, so it comes out the same everywhere. How a file of cases is written is
//! [`crate::config::cases`]'s; how expectation and decision are compared is `compare`'s.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::load::{folder_step, folder_steps};
use super::table::{Table, Tables};
use super::trial::{self, Given, Rules, Trial};
use super::{Decision, Direction, Generation, Memory};
use crate::config::cases::{self, Case, Letter, Named};
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::fault::{Fault, Faults, nearest};
use crate::mail::Message;

mod compare;

pub use compare::Difference;

/// How tests of rules are written: `mailmill docs tests`.
pub const GUIDE: &str = include_str!("tests.md");

/// Bytes of one message of a case.
const LARGEST: u64 = 64 << 20;

/// A case, made ready: whatever it names is there.
#[derive(Debug)]
pub struct Test {
    /// As it was written.
    pub case: Case,
    trial: Trial,
    memory: Arc<State>,
}

/// What came of a case for one of its messages.
#[derive(Debug, Serialize)]
pub struct Tested {
    /// The message's file; `None` where it stands in the case.
    pub message: Option<String>,
    /// What came and should not have, or the other way round; none is right.
    pub differences: Vec<Difference>,
    /// What was decided; `None` where the message could not be had.
    pub decision: Option<Decision>,
}

/// All cases beside the configuration, its scripts and its plugins.
///
/// # Errors
/// All faults of all files at once, see [`read`].
pub fn beside(config: &Config) -> std::result::Result<Vec<Test>, Faults> {
    read(config, &cases::beside(config)?)
}

/// The cases of these files, in their order.
///
/// # Errors
/// All faults at once: of the files themselves, and a pipeline, step or account that is not in the
/// configuration.
pub fn read(config: &Config, files: &[PathBuf]) -> std::result::Result<Vec<Test>, Faults> {
    let (mut tests, mut faults) = (Vec::new(), Faults::default());
    for file in files {
        let (read, wrong) = cases::read(&config.folder, file);
        faults.0.extend(wrong.0);
        for case in read {
            match Test::new(config, case) {
                Ok(test) => tests.push(test),
                Err(fault) => faults.0.push(fault),
            }
        }
    }
    faults.into_result()?;
    Ok(tests)
}

impl Test {
    fn new(config: &Config, case: Case) -> std::result::Result<Self, Fault> {
        let account = account(config, &case)?;
        let rules = rules(config, &case, account.as_deref())?;
        let pipeline = match &rules {
            Rules::Pipeline(name) => Some(name.as_str()),
            Rules::Step { .. } => None,
        };
        let account = account.unwrap_or_else(|| trial::account(config, pipeline).to_owned());
        let trial = Trial {
            rules,
            given: Given {
                tables: tables(config, &case),
                links: case.earlier.link.clone().into_iter().collect(),
                tags: case.earlier.tags.clone(),
                templates: case.templates.clone(),
            },
            direction: case.direction,
            account: account.into(),
            mailbox: case.mailbox.clone(),
            flags: case.flags.clone(),
            user: case.user.clone(),
            received_ms: case.received_ms,
            now_ms: case.now_ms,
        };
        let memory = Arc::new(State(case.state.clone()));
        Ok(Self { case, trial, memory })
    }

    /// The step that alone is asked.
    pub fn step(&self) -> Option<&str> {
        match &self.trial.rules {
            Rules::Pipeline(_) => None,
            Rules::Step { name, .. } => Some(name),
        }
    }

    /// Whether the generation has what is asked. A step that no pipeline uses is only in one that was
    /// loaded with it.
    pub fn fits(&self, generation: &Generation) -> bool {
        match &self.trial.rules {
            Rules::Pipeline(asked) => generation.pipelines().any(|name| name == asked),
            Rules::Step { name, .. } => generation.steps().contains(&name.as_str()),
        }
    }

    /// Decides one of the case's messages and compares. On a stack of 8 MiB: deep rules need it.
    pub fn run(&self, generation: &Generation, letter: &Letter) -> Tested {
        let message = match letter {
            Letter::Inline(_) => None,
            Letter::File { shown, .. } => Some(shown.clone()),
        };
        let decided = content(letter)
            .and_then(|message| self.trial.decide(generation, message, self.memory.clone()));
        match decided {
            Ok(decision) => Tested {
                message,
                differences: compare::differences(&self.case, &decision),
                decision: Some(decision),
            },
            Err(error) => {
                Tested { message, differences: vec![Difference::trouble(&error)], decision: None }
            }
        }
    }
}

fn content(letter: &Letter) -> Result<Arc<Message>> {
    let bytes = match letter {
        Letter::Inline(text) => text.as_bytes().to_vec(),
        Letter::File { path, .. } => file(path)?,
    };
    Ok(Arc::new(Message::whole(bytes)))
}

fn file(path: &Path) -> Result<Vec<u8>> {
    let wrong =
        |why: &dyn std::fmt::Display| Error::permanent(format!("read {}", path.display()), why);
    let mut bytes = Vec::new();
    let open = File::open(path).map_err(|why| wrong(&why))?;
    open.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|why| wrong(&why))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(&format!("the message has more than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}

/// The account that a case names, or the first one of its own table.
fn account(config: &Config, case: &Case) -> std::result::Result<Option<String>, Fault> {
    let own = case.tables.get("accounts");
    let Some(named) = &case.account else {
        return Ok(own.and_then(|rows| rows.keys().next().cloned()));
    };
    let known = config.accounts.keys().chain(own.into_iter().flat_map(BTreeMap::keys));
    if known.clone().any(|known| *known == named.name) {
        return Ok(Some(named.name.clone()));
    }
    Err(undefined(case, "account", named, known.map(String::as_str)))
}

fn rules(config: &Config, case: &Case, account: Option<&str>) -> std::result::Result<Rules, Fault> {
    match &case.rules {
        Some(cases::Rules::Pipeline(named)) => {
            let known = config.pipelines.keys().map(String::as_str);
            match config.pipelines.contains_key(&named.name) {
                true => Ok(Rules::Pipeline(named.name.clone())),
                false => Err(undefined(case, "pipeline", named, known)),
            }
        }
        Some(cases::Rules::Step { step, with }) => {
            let steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
            let used = steps.map(|step| step.name.as_str());
            if !used.clone().any(|used| used == step.name)
                && folder_step(config, &step.name).is_none()
            {
                let others = folder_steps(config);
                let known = used.chain(others.iter().map(String::as_str));
                return Err(undefined(case, "step", step, known));
            }
            Ok(Rules::Step { name: step.name.clone(), with: with.clone().map(Arc::new) })
        }
        None => inbound(config, case, account).map(Rules::Pipeline).ok_or_else(|| {
            case.fault(case.name.at, "this case does not say which rules are to decide")
                .help("add pipeline = \"…\" or step = \"…\"")
        }),
    }
}

/// The inbound pipeline of the account, or of the first one that has one.
fn inbound(config: &Config, case: &Case, account: Option<&str>) -> Option<String> {
    if case.direction != Direction::Inbound {
        return None;
    }
    match account.and_then(|name| config.accounts.get(name)) {
        Some(account) => account.inbound.clone(),
        None => config.accounts.values().find_map(|account| account.inbound.clone()),
    }
}

fn undefined<'n>(
    case: &Case,
    kind: &str,
    named: &Named,
    known: impl Iterator<Item = &'n str>,
) -> Fault {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    let name = named.name.escape_debug();
    let fault = case.fault(named.at, format!("there is no {kind} \"{name}\""));
    match nearest(&named.name, known.iter().copied()) {
        Some(near) => fault.help(format!("did you mean \"{near}\"?")),
        None if known.is_empty() => fault.help(format!("the configuration has no {kind}")),
        None => fault.help(format!("there are: {}", known.join(", "))),
    }
}

/// The case's own tables. A row has its key in the key column, as a row of the file would.
fn tables(config: &Config, case: &Case) -> Tables {
    let tables = case.tables.iter().map(|(name, rows)| {
        let key = config.tables.get(name).map(|table: &config::Table| &table.key);
        let rows = rows.iter().map(|(code, row)| {
            let mut row = row.clone();
            if let Some(key) = key {
                row.entry(key.clone()).or_insert_with(|| code.clone());
            }
            (code.clone(), row)
        });
        (name.clone(), Table::new(rows))
    });
    tables.collect::<HashMap<_, _>>()
}

/// What a case lets steps remember, whatever the account.
#[derive(Debug)]
struct State(cases::Nested);

impl Memory for State {
    fn get(&self, _account: &str, step: &str, key: &str) -> Option<String> {
        self.0.get(step)?.get(key).cloned()
    }
}
