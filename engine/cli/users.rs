//! `mailmill users`: who may hand over mail, and as whom.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigArg, Exit, Output};
use crate::config::{Account, Config, Right, User};
use crate::error::{Context, Error, Result};
use crate::send::password;

/// The fewest characters of a password.
const SHORTEST: usize = 8;
/// The most bytes of one.
const LONGEST: u64 = 1_024;

/// Show, check and add users: who may hand over mail, and as whom
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Check(CheckArgs),
    Add(AddArgs),
}

/// Show who may send as what
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// One JSON object a user
    #[arg(long)]
    json: bool,
}

/// Check that each user's password hash can be read and used
#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// Hash a password, and show what to add to the configuration
///
/// The password is asked for, or read from the first line of standard input where that is no
/// terminal. With --file the hash is written there, readable by nobody else, else it is shown
#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The user's name
    name: String,
    /// An address, an account's name, or "*" for all; several times where there are several
    #[arg(long, required = true, value_name = "ADDRESS")]
    send_as: Vec<String>,
    /// Where to write the hash
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    match &args.command {
        Command::List(args) => list(args, output),
        Command::Check(args) => check(args, output),
        Command::Add(args) => match add(args, output) {
            Ok(()) => Exit::Right,
            Err(error) => output.failed(&error),
        },
    }
}

fn list(args: &ListArgs, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if config.users.is_empty() {
        output.note("there are no [users]: nobody may hand over mail");
    }
    for user in config.users.values() {
        let addresses = addresses(&config, user);
        let login = user.password.is_some();
        if args.json {
            let rights: Vec<&str> = user.send_as.iter().map(word).collect();
            output.line(serde_json::json!({
                "v": 1, "user": user.name, "name": user.full_name, "send_as": rights,
                "addresses": addresses, "login": login,
            }));
            continue;
        }
        let all = if user.send_as.contains(&Right::All) { "anybody" } else { "nobody" };
        let as_whom = if addresses.is_empty() { all.into() } else { addresses.join(", ") };
        let login = if login { "" } else { " (cannot log in: no password)" };
        output.line(format_args!("{} may send as {as_whom}{login}", user.name));
    }
    Exit::Right
}

/// The addresses of a user's rights; all that are known where the user may use any.
fn addresses(config: &Config, user: &User) -> Vec<String> {
    let all = |name: Option<&String>| {
        let accounts =
            config.accounts.values().filter(move |one| name.is_none_or(|n| *n == one.name));
        accounts.flat_map(Account::addresses).map(str::to_owned).collect()
    };
    let addresses = user.send_as.iter().flat_map(|right| match right {
        Right::All => vec!["*".to_owned()],
        Right::Address(address) => vec![address.clone()],
        Right::Account(name) => all(Some(name)),
    });
    let mut addresses: Vec<String> = addresses.collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn word(right: &Right) -> &str {
    match right {
        Right::All => "*",
        Right::Address(word) | Right::Account(word) => word,
    }
}

fn check(args: &CheckArgs, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime.or_later(|| "start".into()) {
        Ok(runtime) => runtime,
        Err(error) => return output.failed(&error),
    };
    let mut exit = Exit::Right;
    for user in config.users.values() {
        let Some(source) = &user.password else { continue };
        let read = runtime.block_on(source.read(&config.folder));
        match read.and_then(|hash| password::check(&hash)) {
            Ok(()) => output.line(format_args!("{}: the hash is right", user.name)),
            Err(error) => {
                output.line(format_args!("{}: {error}", user.name));
                exit = Exit::Findings;
            }
        }
    }
    exit
}

fn add(args: &AddArgs, output: &mut Output<'_>) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    if args.name.is_empty() || !args.name.chars().all(fits) {
        let why = "a name has letters, digits or - _ . @ +";
        return Err(Error::permanent(format!("add user \"{}\"", args.name.escape_debug()), why));
    }
    let hash = password::hash(&ask(&args.name)?)?;
    let password = match &args.file {
        Some(file) => {
            write(file, &hash)?;
            format!("{{ file = {} }}", quoted(&file.to_string_lossy()))
        }
        None => quoted(&hash),
    };
    let rights: Vec<String> = args.send_as.iter().map(|right| quoted(right)).collect();
    let name = match args.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        true => args.name.clone(),
        false => quoted(&args.name),
    };
    output.note("add this to the configuration:");
    output.line(format_args!("[users.{name}]"));
    output.line(format_args!("password = {password}"));
    output.line(format_args!("send_as = [{}]", rights.join(", ")));
    Ok(())
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    // What JSON escapes, TOML escapes alike.
    serde_json::Value::from(text).to_string()
}

fn write(file: &Path, hash: &str) -> Result<()> {
    let what = || format!("write {}", file.display());
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.map_err(|why| match why.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::permanent(what(), "it is there already").next("name another file, or remove it")
        }
        _ => Error::temporary(what(), why),
    })?;
    opened.write_all(format!("{hash}\n").as_bytes()).or_later(what)?;
    opened.sync_all().or_later(what)
}

/// The password, from a person or from standard input.
fn ask(name: &str) -> Result<SecretString> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return line();
    }
    let _quiet = Quiet::new();
    let one = prompt(&format!("Password of {name}: "))?;
    let other = prompt("The same again: ")?;
    if one.expose_secret() != other.expose_secret() {
        return Err(Error::permanent("read the password", "the two differ"));
    }
    Ok(one)
}

fn prompt(words: &str) -> Result<SecretString> {
    let mut terminal = std::io::stderr();
    // Without a prompt the answer is read all the same.
    let _ = terminal.write_all(words.as_bytes()).and_then(|()| terminal.flush());
    let line = line();
    let _ = terminal.write_all(b"\n");
    line
}

fn line() -> Result<SecretString> {
    let what = || "read the password".to_owned();
    let mut line = Zeroizing::new(String::new());
    let mut input = std::io::stdin().lock().take(LONGEST + 2);
    input.read_line(&mut line).or_later(what)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.chars().count() < SHORTEST || password.len() as u64 > LONGEST {
        let why =
            format!("a password has {SHORTEST} characters at least, and {LONGEST} bytes at most");
        return Err(Error::permanent(what(), why));
    }
    Ok(SecretString::from(password))
}

/// While this lives, the terminal does not show what is typed.
struct Quiet;

impl Quiet {
    fn new() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(word: &str) {
    // Where there is none, the password shows: better than not to be asked.
    let _ = std::process::Command::new("stty").arg(word).stderr(Stdio::null()).status();
}
