//! `mailmill reload`: bring changed rules into force now, and hear whether they are.

use std::path::Path;

use super::{ConfigArg, Exit, Output, ask_for};
use crate::control::Request;
use crate::daemon::{Came, Wish};
use crate::error::Result;
use crate::mail::inert;
use crate::pipeline::Contrast;

/// Let the running engine read its configuration and rules again and put them in force
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Wait until they are in force or refused; exit 1 if refused
    #[arg(long)]
    wait: bool,
    /// See whether they could be put in force, and do not; exit 1 if not
    #[arg(long, conflicts_with = "shadow")]
    check: bool,
    /// Let them decide so many live messages on trial before; what would differ is shown; 0: no trial
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    shadow: Option<u64>,
    /// One JSON object, once it is known
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let wish = match args.check {
        true => Wish::Check,
        false => Wish::Reload { shadow: args.shadow },
    };
    let wait = args.wait || args.check || args.json;
    let data = args.config.data();
    match ask(&data, wish, wait) {
        Ok(Some(came)) => show(&came, args.json, output),
        Ok(None) => {
            output.note("asked; `mailmill status` tells what came of it");
            Exit::Right
        }
        Err(error) => output.failed(&error),
    }
}

/// Asks the engine, and waits for what comes of it where that is wanted.
pub(super) fn ask(data: &Path, wish: Wish, wait: bool) -> Result<Option<Came>> {
    let number = ask_for(data, &Request::Reload { wish })?;
    if !wait {
        return Ok(None);
    }
    loop {
        if let Some(came) = ask_for(data, &Request::Came { number })? {
            return Ok(Some(came));
        }
    }
}

/// Shows what came of it, with its exit code.
pub(super) fn show(came: &Came, json: bool, output: &mut Output<'_>) -> Exit {
    let exit = match came {
        Came::Refused { .. } => Exit::Findings,
        _ => Exit::Right,
    };
    if json {
        output.line(serde_json::json!(came));
        return exit;
    }
    match came {
        Came::InForce { generation, digest, trial } => {
            trial.iter().for_each(|trial| show_trial(trial, output));
            output.line(format_args!("generation {generation} ({digest}) is in force"));
        }
        Came::Unchanged { generation, digest } => {
            output.line(format_args!("generation {generation} ({digest}) is in force already"));
        }
        Came::Right { digest } => {
            output.line(format_args!("right: {digest} could be put in force"));
        }
        Came::Refused { why, faults } => {
            for fault in faults {
                output.note(fault);
            }
            output.note(format_args!("refused: {}; nothing was changed", inert(why)));
        }
    }
    exit
}

fn show_trial(trial: &Contrast, output: &mut Output<'_>) {
    let Contrast { compared, alike, differences, .. } = trial;
    output.line(format_args!("on trial {alike} of {compared} messages were decided alike"));
    for told in differences {
        output.line(format_args!("{} \"{}\"", inert(&told.message), inert(&told.subject)));
        for (sign, lines) in [("-", &told.before), ("+", &told.after)] {
            lines.iter().for_each(|line| output.line(format_args!("    {sign} {}", inert(line))));
        }
    }
}
