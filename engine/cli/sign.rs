//! `mailmill sign`: a signature as it would stand in a message, without sending anything.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::{ConfigArg, Exit, Output};
use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::error::{Context, Error, Result};
use crate::mail::signature::Signing;
use crate::mail::{Message, inert};
use crate::pipeline::{Generation, trial};

/// Show a message file with a signature in it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The template: NAME of templates/NAME.html or templates/NAME.txt
    #[arg(long, value_name = "NAME")]
    template: String,
    /// The account that sends it; default: the first
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The user who sends it
    #[arg(long, value_name = "NAME", default_value = "")]
    user: String,
    /// The code of its project; default: the account's
    #[arg(long, value_name = "CODE")]
    project: Option<String>,
    /// Write the signed message into this file; `-` writes it to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// The message file; `-` reads standard input
    file: PathBuf,
}

/// The JSON contract of `sign`.
#[derive(Serialize)]
struct Answer<'a> {
    v: u32,
    file: &'a Path,
    #[serde(flatten)]
    signing: &'a Signing,
    /// Where the signed message was written.
    message: Option<&'a Path>,
}

/// Bytes of a file that is read as a message.
const MOST_BYTES: u64 = 1 << 30;

/// Columns of a changed line that are shown.
const SHOWN_COLUMNS: usize = 100;

/// Runs the command: exit 1 where the message was not signed, because it is signed already or may not
/// be.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let generation = match Generation::load(&config) {
        Ok(generation) => generation,
        Err(faults) => {
            output.note(faults);
            return Exit::Config;
        }
    };
    let Some(account) = account(args, &config) else {
        let known: Vec<&str> = config.accounts.keys().map(String::as_str).collect();
        output.note(format_args!("mailmill: no such account; there are: {}", known.join(", ")));
        return Exit::Usage;
    };
    match sign(args, &generation, account, output) {
        Ok(Signing::Signed { .. }) => Exit::Right,
        Ok(_) => Exit::Findings,
        Err(error) => output.failed(&error),
    }
}

fn account<'c>(args: &Args, config: &'c Config) -> Option<&'c Account> {
    let name = args.account.as_deref().unwrap_or_else(|| trial::account(config, None));
    config.accounts.get(name)
}

fn sign(
    args: &Args,
    generation: &Generation,
    account: &Account,
    output: &mut Output<'_>,
) -> Result<Signing> {
    let message = Message::whole(read(&args.file)?);
    let project = args.project.as_deref().or(account.project.as_deref());
    let now_ms = Clock::System.now_ms();
    let by = (project, args.user.as_str());
    let (signed, signing) = generation.sign(&message, &args.template, account, by, now_ms)?;
    let to_output = args.output.as_deref() == Some(Path::new("-"));
    if to_output {
        output.out.write_all(signed.bytes()).or_later(|| "write the message".into())?;
    } else if let Some(path) = &args.output {
        std::fs::write(path, signed.bytes()).or_later(|| format!("write {}", path.display()))?;
    }
    if args.json && !to_output {
        let (file, message) = (args.file.as_path(), args.output.as_deref());
        let answer = Answer { v: 1, file, signing: &signing, message };
        output.line(serde_json::json!(answer));
    } else if !to_output {
        output.line(inert(&args.file.to_string_lossy()));
        output.line(format_args!("    {}", inert(&signing.to_string())));
        changes(&message, &signed, output);
    }
    Ok(signing)
}

/// The lines that differ.
fn changes(old: &Message, new: &Message, output: &mut Output<'_>) {
    let text = |message: &Message| String::from_utf8_lossy(message.bytes()).into_owned();
    let (old, new) = (text(old), text(new));
    let diff = TextDiff::from_lines(&old, &new);
    for change in diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal) {
        let line: String = change.value().trim_end().chars().take(SHOWN_COLUMNS).collect();
        output.line(format_args!("    {} {}", change.tag(), inert(&line)));
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)),
    };
    read.map_err(|why| Error::permanent(format!("read {}", inert(&path.to_string_lossy())), why))?;
    Ok(bytes)
}
