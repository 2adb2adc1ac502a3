//! `mailmill try`: what would the rules decide about this file? The same code as the live run,
//! with the doing left out.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::{ConfigArg, Exit, Output, ask_for};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Request};
use crate::error::{Context, Error, Result};
use crate::inbound::clause;
use crate::mail::{MailboxName, Message, Uid};
use crate::mail::inert;
use crate::perform::edit;
use crate::pipeline::{
    Decision, Direction, Generation, Input, Memory, Outcome, StepOutcome, Verdict,
};
use crate::store::{Store, StoreMemory};

/// Show what a pipeline or a single step would decide about message files
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("rules").required(true)))]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The pipeline to run
    #[arg(long, group = "rules")]
    pipeline: Option<String>,
    /// The single step to run, by its script's or plugin's name
    #[arg(long, group = "rules")]
    step: Option<String>,
    /// The account it would arrive in; default: the first that uses the pipeline
    #[arg(long)]
    account: Option<String>,
    /// The mailbox it would arrive in
    #[arg(long, default_value = "INBOX")]
    mailbox: String,
    /// Write the edited messages into this folder
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// One JSON object a file
    #[arg(long)]
    json: bool,
    /// Message files; `-` reads standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// The JSON contract of `try`.
#[derive(Serialize)]
struct Answer<'a> {
    v: u32,
    file: &'a Path,
    #[serde(flatten)]
    decision: &'a Decision,
    message: Option<PathBuf>,
}

/// Runs the command: exit 1 where a step failed or a file could not be read.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let loaded = match &args.step {
        Some(step) => Generation::load_with_step(&config, step),
        None => Generation::load(&config),
    };
    let generation = match loaded {
        Ok(generation) => generation,
        Err(faults) => {
            let _ = writeln!(output.err, "{faults}");
            return Exit::Config;
        }
    };
    let trial = match Trial::new(args, &config, generation) {
        Ok(trial) => trial,
        Err(error) => {
            output.failed(&error);
            return Exit::Usage;
        }
    };
    let mut exit = Exit::Right;
    for file in &args.files {
        match trial.file(file) {
            Ok((decision, message)) => {
                let failed =
                    |outcome| matches!(outcome, StepOutcome::Failed | StepOutcome::Skipped);
                if decision.steps.iter().any(|step| failed(step.outcome)) {
                    exit = Exit::Findings;
                }
                show(args, file, &decision, message, output);
            }
            Err(error) => {
                output.failed(&error);
                exit = Exit::Findings;
            }
        }
    }
    exit
}

struct Trial<'a> {
    args: &'a Args,
    account: Arc<str>,
    mailbox: MailboxName,
    generation: Generation,
    memory: Arc<Remembered>,
}

impl<'a> Trial<'a> {
    fn new(args: &'a Args, config: &Config, generation: Generation) -> Result<Self> {
        let wrong = |why: String| Error::permanent("try", why);
        let mailbox = MailboxName::new(&args.mailbox).map_err(wrong)?;
        if let Some(name) = &args.pipeline
            && !config.pipelines.contains_key(name)
        {
            let known: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
            return Err(wrong(format!("there is no pipeline \"{name}\"; there are {known:?}")));
        }
        let account = match &args.account {
            Some(name) if !config.accounts.contains_key(name) => {
                return Err(wrong(format!("there is no account \"{name}\"")));
            }
            Some(name) => name.as_str(),
            None => config
                .accounts
                .values()
                .find(|account| args.pipeline.is_none() || account.inbound == args.pipeline)
                .map_or("", |account| &account.name),
        };
        let memory = Arc::new(Remembered::of(&config.engine.data)?);
        Ok(Self { args, account: account.into(), mailbox, generation, memory })
    }

    fn file(&self, file: &Path) -> Result<(Decision, Option<PathBuf>)> {
        let message = Arc::new(Message::whole(read(file)?));
        let decision = self.decide(&message)?;
        let written = match &self.args.output {
            Some(folder) => Some(self.write(folder, file, &message, &decision)?),
            None => None,
        };
        Ok((decision, written))
    }

    fn decide(&self, message: &Arc<Message>) -> Result<Decision> {
        let now_ms = Clock::System.now_ms();
        let input = Arc::new(Input {
            direction: Direction::Inbound,
            account: self.account.clone(),
            mailbox: self.mailbox.clone(),
            uid: Uid(0),
            size: message.bytes().len() as u64,
            received_ms: Some(now_ms),
            flags: Vec::new(),
            message: message.clone(),
            user: None,
            now_ms,
        });
        let outcome = match (&self.args.pipeline, &self.args.step) {
            (Some(pipeline), _) => self.generation.decide(pipeline, input, self.memory.clone()),
            (None, Some(step)) => self.generation.decide_step(step, input, self.memory.clone()),
            (None, None) => None,
        };
        match outcome {
            Some(Outcome::Decided { decision, .. }) => Ok(decision),
            Some(Outcome::NeedBody) => Err(Error::permanent("try", "the body is not here")),
            None => {
                let step = self.args.step.as_deref().unwrap_or_default();
                Err(Error::permanent("try", format!("no pipeline uses a step \"{step}\"")))
            }
        }
    }

    fn write(
        &self,
        folder: &Path,
        file: &Path,
        message: &Message,
        decision: &Decision,
    ) -> Result<PathBuf> {
        let name = file.file_name().unwrap_or("message.eml".as_ref());
        let path = folder.join(name);
        let edited = edit(Message::whole(message.bytes().clone()), &decision.actions);
        let what = || format!("write {}", path.display());
        std::fs::create_dir_all(folder).or_later(what)?;
        std::fs::write(&path, edited.bytes()).or_later(what)?;
        Ok(path)
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        false => std::fs::read(file),
    };
    read.map_err(|why| Error::permanent(format!("read {}", file.display()), why))
}

/// What steps remember: asked of the running engine, else read from its store.
enum Remembered {
    Engine(PathBuf),
    Store(Arc<StoreMemory>),
    Nothing,
}

impl Remembered {
    fn of(data: &Path) -> Result<Self> {
        if control::ask(data, &Request::Status)?.is_some() {
            return Ok(Self::Engine(data.to_owned()));
        }
        if data.exists() {
            return Ok(Self::Store(Store::open(data)?.memory()));
        }
        Ok(Self::Nothing)
    }
}

impl Memory for Remembered {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        match self {
            Self::Engine(data) => {
                let (account, step, key) = (account.into(), step.into(), key.into());
                ask_for(data, &Request::StepState { account, step, key }).ok()?
            }
            Self::Store(store) => store.get(account, step, key),
            Self::Nothing => None,
        }
    }
}

fn show(
    args: &Args,
    file: &Path,
    decision: &Decision,
    message: Option<PathBuf>,
    output: &mut Output<'_>,
) {
    if args.json {
        let answer = Answer { v: 1, file, decision, message };
        return output.line(serde_json::json!(answer));
    }
    output.line(format_args!("{}", file.display()));
    for said in &decision.actions {
        let place = said.at.as_deref().unwrap_or(&said.step);
        if let Some(clause) = clause(&said.action) {
            output.line(format_args!("    {} ({place})", inert(&clause)));
        }
    }
    for step in &decision.steps {
        if let Some(error) = &step.error {
            output.line(format_args!("    step {} failed: {}", step.step, inert(error)));
        }
    }
    match decision.verdict {
        Verdict::Hold => output.line("    held"),
        Verdict::Reject => output.line("    rejected"),
        Verdict::Continue | Verdict::Stop => {}
    }
    if let Some(path) = message {
        output.line(format_args!("    written to {}", path.display()));
    }
}
