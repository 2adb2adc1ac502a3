//! `mailmill generations`: which rules were in force, how they differ, and the way back.

use serde::Deserialize;

use super::{ConfigArg, Exit, Output, ask_for, reload};
use crate::control::Request;
use crate::daemon::Wish;
use crate::mail::inert;
use crate::store::{FileChange, KeptGeneration};

/// List the generations that were in force, compare them, or put one in force again
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the last ten, the newest first
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show how the files of two generations differ
    Diff {
        #[command(flatten)]
        config: ConfigArg,
        /// The older one
        from: u64,
        /// The newer one; without it, the one in force
        #[arg(default_value_t = 0, hide_default_value = true)]
        to: u64,
        /// One JSON object a file
        #[arg(long)]
        json: bool,
    },
    /// Put one in force again; it stays so until the files on disk change, also over a restart
    Activate {
        #[command(flatten)]
        config: ConfigArg,
        /// Its number
        generation: u64,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Deserialize)]
struct Kept {
    in_force: u64,
    kept: Vec<KeptGeneration>,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    match &args.what {
        What::List { config, json } => list(config, *json, output),
        What::Diff { config, from, to, json } => diff(config, (*from, *to), *json, output),
        What::Activate { config, generation, json } => {
            let wish = Wish::Activate { generation: *generation };
            match reload::ask(&config.data(), wish, true) {
                Ok(Some(came)) => reload::show(&came, *json, output),
                Ok(None) => Exit::Right,
                Err(error) => output.failed(&error),
            }
        }
    }
}

fn list(config: &ConfigArg, json: bool, output: &mut Output<'_>) -> Exit {
    let answer: serde_json::Value = match ask_for(&config.data(), &Request::Generations) {
        Ok(answer) => answer,
        Err(error) => return output.failed(&error),
    };
    if json {
        output.line(&answer);
        return Exit::Right;
    }
    let Ok(Kept { in_force, kept }) = serde_json::from_value(answer) else { return Exit::Findings };
    for kept in kept {
        let KeptGeneration { generation, digest, since, files } = kept;
        let bytes: u64 = files.values().map(|file| file.size).sum();
        let (count, mark) = (files.len(), if generation == in_force { "  in force" } else { "" });
        output.line(format_args!(
            "{generation}  {digest}  since {since}  {count} files, {bytes} bytes{mark}"
        ));
    }
    Exit::Right
}

fn diff(config: &ConfigArg, (from, to): (u64, u64), json: bool, output: &mut Output<'_>) -> Exit {
    let request = Request::GenerationDiff { from, to };
    let changes: Vec<FileChange> = match ask_for(&config.data(), &request) {
        Ok(changes) => changes,
        Err(error) => return output.failed(&error),
    };
    if changes.is_empty() && !json {
        output.note("they do not differ");
    }
    for change in changes {
        if json {
            output.line(serde_json::json!(change));
            continue;
        }
        output.line(format_args!("{} {}", change.change, inert(&change.file.to_string_lossy())));
        change.text.lines().for_each(|line| output.line(format_args!("    {}", inert(line))));
    }
    Exit::Right
}
