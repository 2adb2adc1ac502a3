//! `mailmill try`: what would the rules decide about this file? The same code as the live run,
//! with the doing left out.
//!
//! The decision's `generation` is the number that the store knows for exactly these rules: that of
//! the live run where the same rules are in force. 0 means that they are not, or not yet.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::intent::intent;
use super::{ConfigArg, Exit, Output, ask_for, open_store};
use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::control::{self, Request};
use crate::error::{Context, Error, Result};
use crate::mail::signature::Signing;
use crate::mail::{MailboxName, Message, inert};
use crate::pipeline::trial::{self, Given, Rules};
use crate::pipeline::{
    Action, Decision, Direction, Edited, Generation, Memory, StepOutcome, Verdict, edit,
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
    /// The account it would arrive in or leave; default: the first that uses the pipeline
    #[arg(long)]
    account: Option<String>,
    /// Which way the message goes
    #[arg(long, value_enum, default_value_t = Way::Inbound)]
    direction: Way,
    /// Who sends it: a message that leaves
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
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

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// It arrives
    Inbound,
    /// One of our users sends it
    Outbound,
}

/// The JSON contract of `try`. `generation` is 0 for rules that are not in force.
#[derive(Serialize)]
struct Answer<'a> {
    v: u32,
    file: &'a Path,
    #[serde(flatten)]
    decision: &'a Decision,
    message: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a Signing>,
}

/// Runs the command: exit 1 where a step failed, a file could not be read, or what a step remembers
/// could not be asked.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let loaded = match &args.step {
        Some(step) => Generation::load_with_steps(&config, [step.as_str()]),
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
            // What may pass by itself is no wrong call.
            return match output.failed(&error) {
                Exit::Later => Exit::Later,
                _ => Exit::Usage,
            };
        }
    };
    let mut exit = Exit::Right;
    for file in &args.files {
        match trial.file(file) {
            Ok((decision, written)) => {
                let failed =
                    |outcome| matches!(outcome, StepOutcome::Failed | StepOutcome::Skipped);
                if decision.steps.iter().any(|step| failed(step.outcome)) {
                    exit = Exit::Findings;
                }
                show(args, file, (&decision, &written), output);
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
    trial: trial::Trial,
    generation: Generation,
    memory: Arc<Remembered>,
    account: Option<Account>,
}

/// What was written of a message, where that was asked for or a signature has to be tried.
#[derive(Default)]
struct Written {
    path: Option<PathBuf>,
    signing: Option<Signing>,
}

impl<'a> Trial<'a> {
    fn new(args: &'a Args, config: &Config, mut generation: Generation) -> Result<Self> {
        let wrong = |why: String| Error::permanent("try", why);
        let mailbox = MailboxName::new(&args.mailbox).map_err(wrong)?;
        if let Some(name) = &args.pipeline
            && !config.pipelines.contains_key(name)
        {
            let known: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
            return Err(wrong(format!(
                "there is no pipeline \"{name}\"; there are: {}",
                known.join(", ")
            )));
        }
        if let Some(name) = &args.step
            && !generation.steps().contains(&name.as_str())
        {
            let known = generation.steps().join(", ");
            return Err(wrong(format!("there is no step \"{name}\"; pipelines use: {known}")));
        }
        if args.user.is_some() && args.direction == Way::Inbound {
            return Err(wrong("--user goes with --direction outbound".into()));
        }
        let account = match &args.account {
            Some(name) if !config.accounts.contains_key(name) => {
                return Err(wrong(format!("there is no account \"{name}\"")));
            }
            Some(name) => name.as_str(),
            None => {
                let inbound = args.direction == Way::Inbound;
                trial::account(config, args.pipeline.as_deref().filter(|_| inbound))
            }
        };
        let memory = Arc::new(Remembered::of(&config.engine.data)?);
        generation.number = memory.number(&generation.digest)?;
        let trial = question(args, account, mailbox);
        let account = config.accounts.get(account).cloned();
        Ok(Self { args, trial, generation, memory, account })
    }

    fn file(&self, file: &Path) -> Result<(Decision, Written)> {
        let message = Arc::new(Message::whole(read(file)?));
        let decision = self.decide(&message)?;
        let copy = Message::whole(message.bytes().clone());
        let edited = match &self.account {
            Some(account) if self.args.direction == Way::Outbound => {
                let user = self.args.user.as_deref().unwrap_or_default();
                let now_ms = Clock::System.now_ms();
                self.generation.outgoing(copy, &decision, account, user, now_ms)?
            }
            _ => Edited { message: edit(copy, &decision.actions), signing: None },
        };
        let mut written = Written { path: None, signing: edited.signing };
        if let Some(folder) = &self.args.output {
            written.path = Some(write(folder, file, &edited.message)?);
        }
        Ok((decision, written))
    }

    fn decide(&self, message: &Arc<Message>) -> Result<Decision> {
        let decided = self.trial.decide(&self.generation, message.clone(), self.memory.clone());
        // A memory that cannot be asked is no memory that is empty: nothing was decided.
        self.memory.trouble().map_or(decided, Err)
    }
}

fn write(folder: &Path, file: &Path, edited: &Message) -> Result<PathBuf> {
    let name = file.file_name().unwrap_or("message.eml".as_ref());
    let path = folder.join(name);
    let what = || format!("write {}", path.display());
    std::fs::create_dir_all(folder).or_later(what)?;
    std::fs::write(&path, edited.bytes()).or_later(what)?;
    Ok(path)
}

/// What the rules are asked: a message that arrives now.
fn question(args: &Args, account: &str, mailbox: MailboxName) -> trial::Trial {
    let now_ms = Clock::System.now_ms();
    let pipeline = args.pipeline.clone().map(Rules::Pipeline);
    let step = || Rules::Step { name: args.step.clone().unwrap_or_default(), with: None };
    trial::Trial {
        rules: pipeline.unwrap_or_else(step),
        given: Given::default(),
        direction: match args.direction {
            Way::Inbound => Direction::Inbound,
            Way::Outbound => Direction::Outbound,
        },
        account: account.into(),
        mailbox,
        flags: Vec::new(),
        user: args.user.clone(),
        received_ms: now_ms,
        now_ms,
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

/// What is known besides the rules: asked of the running engine, else read from its store.
enum Remembered {
    Engine { data: PathBuf, trouble: Mutex<Option<Error>> },
    Store { store: Store, memory: Arc<StoreMemory> },
    Nothing,
}

impl Remembered {
    fn of(data: &Path) -> Result<Self> {
        if control::ask(data, &Request::Status)?.is_some() {
            return Ok(Self::Engine { data: data.to_owned(), trouble: Mutex::new(None) });
        }
        if data.exists() {
            let store = open_store(data)?;
            return Ok(Self::Store { memory: store.memory(), store });
        }
        Ok(Self::Nothing)
    }

    /// The number of the generation with this digest; 0 where it is not in force.
    fn number(&self, digest: &str) -> Result<u64> {
        let known: Option<u64> = match self {
            Self::Engine { data, .. } => {
                ask_for(data, &Request::Generation { digest: digest.into() })?
            }
            Self::Store { store, .. } => store.known_generation(digest)?,
            Self::Nothing => None,
        };
        Ok(known.unwrap_or(0))
    }

    /// The first error that a step's question met, and forgets it.
    fn trouble(&self) -> Option<Error> {
        match self {
            Self::Engine { trouble, .. } => {
                trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
            }
            Self::Store { memory, .. } => memory.trouble(),
            Self::Nothing => None,
        }
    }
}

impl Memory for Remembered {
    fn get(&self, account: &str, step: &str, key: &str) -> Option<String> {
        match self {
            Self::Engine { data, trouble } => {
                let (account, step, key) = (account.into(), step.into(), key.into());
                let answer = ask_for(data, &Request::StepState { account, step, key });
                answer.unwrap_or_else(|error| {
                    let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                    trouble.get_or_insert(error);
                    None
                })
            }
            Self::Store { memory, .. } => memory.get(account, step, key),
            Self::Nothing => None,
        }
    }
}

fn show(
    args: &Args,
    file: &Path,
    (decision, written): (&Decision, &Written),
    output: &mut Output<'_>,
) {
    if args.json {
        let (message, signature) = (written.path.clone(), written.signing.as_ref());
        let answer = Answer { v: 1, file, decision, message, signature };
        return output.line(serde_json::json!(answer));
    }
    output.line(inert(&file.to_string_lossy()));
    for said in &decision.actions {
        let place = said.at.as_deref().unwrap_or(&said.step);
        if let Some(intent) = intent(&said.action) {
            output.line(format_args!("    {} ({})", inert(&intent), inert(place)));
        }
    }
    for step in &decision.steps {
        if let Some(error) = &step.error {
            output.line(format_args!("    step {} failed: {}", step.step, inert(error)));
        }
    }
    if let Some(verdict) = verdict(decision) {
        output.line(format_args!("    {}", inert(&verdict)));
    }
    if let Some(signing) = &written.signing {
        output.line(format_args!("    {}", inert(&signing.to_string())));
    }
    if let Some(path) = &written.path {
        output.line(format_args!("    written to {}", inert(&path.to_string_lossy())));
    }
}

/// What becomes of the message as a whole, where that is not what its actions say.
fn verdict(decision: &Decision) -> Option<String> {
    let reason = decision.actions.iter().rev().find_map(|said| match &said.action {
        Action::Hold { reason } | Action::Reject { reason } => Some(reason.as_str()),
        _ => None,
    });
    match decision.verdict {
        Verdict::Hold => Some(format!("hold: {}", reason.unwrap_or("a step failed"))),
        Verdict::Reject => Some(format!("reject: {}", reason.unwrap_or("a rule refuses it"))),
        Verdict::Continue | Verdict::Stop => {
            let nothing = decision.actions.iter().all(|said| intent(&said.action).is_none());
            nothing.then(|| "stay where it is".into())
        }
    }
}
