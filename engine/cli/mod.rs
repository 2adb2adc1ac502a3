//! The command line: one file per command, all of one shape (`Args`, `run`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Desk, Request};
use crate::error::{Error, Result, Retry};
use crate::send::sendmail::Code;
use crate::store::Store;

pub mod check;
pub mod docs;
pub mod explain;
pub mod generations;
pub mod held;
pub mod inspect;
pub mod links;
pub mod queue;
pub mod reload;
pub mod run;
pub mod sendmail;
pub mod sign;
pub mod status;
pub mod store;
pub mod test;
pub mod trial;
pub mod users;

mod intent;

/// How a command ended, as the process's exit code (sysexits where they fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: right.
    Right,
    /// 1: findings, or it failed.
    Findings,
    /// 2: the call was wrong.
    Usage,
    /// 75: try again later.
    Later,
    /// 78: the configuration is wrong.
    Config,
    /// Another code of sysexits, from `sendmail`.
    System(Code),
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Right => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Later => 75,
            Self::Config => 78,
            Self::System(code) => code.number(),
        }
    }
}

/// Where a command writes: what it was asked for, and what it has to say besides.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Errors and faults.
    pub err: &'a mut dyn Write,
}

impl Output<'_> {
    /// Writes a line of the result. A reader that went away (`| head`) is no error.
    fn line(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.out, "{line}");
    }

    /// Tells a person something that is no part of the result.
    fn note(&mut self, note: impl std::fmt::Display) {
        let _ = writeln!(self.err, "{note}");
    }

    /// Tells an error and gives its exit code.
    fn failed(&mut self, error: &Error) -> Exit {
        let _ = writeln!(self.err, "mailmill: {error}");
        match error.retry() {
            Retry::Later => Exit::Later,
            Retry::Never => Exit::Findings,
        }
    }
}

/// A mail pipeline engine: sorts and links mail by Rhai scripts and WASM plugins
#[derive(Debug, Parser)]
#[command(name = "mailmill", version, max_term_width = 100)]
struct Call {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Try(trial::Args),
    Test(test::Args),
    Sign(sign::Args),
    Explain(explain::Args),
    Status(status::Args),
    Links(links::Args),
    Held(held::Args),
    Queue(queue::Args),
    Reload(reload::Args),
    Generations(generations::Args),
    Store(store::Args),
    Users(users::Args),
    Sendmail(sendmail::Args),
    Docs(docs::Args),
}

/// The configuration that a command works with.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigArg {
    /// The configuration file
    #[arg(
        long,
        short,
        env = "MAILMILL_CONFIG",
        default_value = "mailmill.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
}

impl ConfigArg {
    /// The data folder that it names, even where something else in it is wrong: a running engine can
    /// then be asked all the same.
    fn data(&self) -> PathBuf {
        let (config, _) = Config::read(&self.config);
        let usual = || self.config.parent().unwrap_or(Path::new("")).join("data");
        config.map_or_else(usual, |config| config.engine.data)
    }

    /// Reads and checks it; faults are told.
    fn load(&self, output: &mut Output<'_>) -> std::result::Result<Config, Exit> {
        Config::load(&self.config).map_err(|faults| {
            let _ = writeln!(output.err, "{faults}");
            Exit::Config
        })
    }
}

/// Understands the arguments, runs the command, and gives its exit code.
pub fn main(args: impl IntoIterator<Item = std::ffi::OsString>, output: &mut Output<'_>) -> Exit {
    let args: Vec<std::ffi::OsString> = args.into_iter().collect();
    if let Some(call) = sendmail::called(&args) {
        return sendmail::run(&call, output);
    }
    let call = match Call::try_parse_from(args) {
        Ok(call) => call,
        Err(message) => return usage(&message, output),
    };
    match &call.command {
        Command::Run(args) => run::run(args, output),
        Command::Check(args) => check::run(args, output),
        Command::Inspect(args) => inspect::run(args, output),
        Command::Try(args) => trial::run(args, output),
        Command::Test(args) => test::run(args, output),
        Command::Sign(args) => sign::run(args, output),
        Command::Explain(args) => explain::run(args, output),
        Command::Status(args) => status::run(args, output),
        Command::Links(args) => links::run(args, output),
        Command::Held(args) => held::run(args, output),
        Command::Queue(args) => queue::run(args, output),
        Command::Reload(args) => reload::run(args, output),
        Command::Generations(args) => generations::run(args, output),
        Command::Store(args) => store::run(args, output),
        Command::Users(args) => users::run(args, output),
        Command::Sendmail(args) => sendmail::run(args, output),
        Command::Docs(args) => docs::run(args, output),
    }
}

/// Help and version were asked for; anything else is a wrong call.
fn usage(message: &clap::Error, output: &mut Output<'_>) -> Exit {
    if message.use_stderr() {
        let _ = write!(output.err, "{}", message.render());
        return Exit::Usage;
    }
    let _ = write!(output.out, "{}", message.render());
    Exit::Right
}

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The running engine.
    Engine,
    /// The store itself: no engine runs.
    Store,
}

/// How long another command may hold the store that this one wants to look into.
const BRIEFLY: Duration = Duration::from_secs(2);

/// Opens the store of an engine that does not run.
fn open_store(data: &Path) -> Result<Store> {
    Store::open_within(data, BRIEFLY)
}

/// Asks the running engine, or the store itself where none runs.
fn ask(data: &Path, request: &Request) -> Result<(Value, By)> {
    if let Some(answer) = control::ask(data, request)? {
        return Ok((answer, By::Engine));
    }
    Ok((desk(data)?.answer(request)?, By::Store))
}

/// Asks again and again until nothing follows from the answer. Where no engine runs, the store is
/// opened once.
fn ask_on(
    data: &Path,
    mut request: Request,
    mut next: impl FnMut(Value) -> Result<Option<Request>>,
) -> Result<()> {
    let mut opened = None;
    loop {
        let by_engine = if opened.is_none() { control::ask(data, &request)? } else { None };
        let answer = match (by_engine, &opened) {
            (Some(answer), _) => answer,
            (None, Some(desk)) => Desk::answer(desk, &request)?,
            (None, None) => opened.insert(desk(data)?).answer(&request)?,
        };
        match next(answer)? {
            Some(following) => request = following,
            None => return Ok(()),
        }
    }
}

/// Who answers where no engine runs.
fn desk(data: &Path) -> Result<Desk> {
    if !data.exists() {
        return Err(Error::permanent(
            format!("open the store in {}", data.display()),
            "no engine has run with this configuration yet",
        )
        .next("start it with `mailmill run`"));
    }
    let desk = Desk::new(open_store(data)?, None, Clock::System).with_folder(data);
    desk.with_queue_in(data)
}

/// Asks, and reads the answer as what it is.
fn ask_for<T: serde::de::DeserializeOwned>(data: &Path, request: &Request) -> Result<T> {
    understood(ask(data, request)?.0)
}

fn understood<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer)
        .map_err(|why| Error::permanent("understand the engine's answer", why))
}

/// "1 case", "2 cases".
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
