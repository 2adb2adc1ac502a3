//! `mailmill status`: is it running, with which rules, and is every account well?

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ConfigArg, Exit, Output, ask};
use crate::control::Request;
use crate::daemon::Snapshot;
use crate::mail::inert;

/// Show the engine, its accounts and how much is held; exit 1 if an account is not well
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Answer {
    engine: Option<Snapshot>,
    held: usize,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let answer = match ask(&config.engine.data, &Request::Status) {
        Ok((answer, _)) => answer,
        Err(error) => return output.failed(&error),
    };
    if args.json {
        output.line(&answer);
    }
    let Ok(answer) = serde_json::from_value::<Answer>(answer) else { return Exit::Findings };
    if !args.json {
        show(&answer, output);
    }
    let well = answer
        .engine
        .is_some_and(|engine| engine.accounts.values().all(|account| account.error.is_none()));
    if well { Exit::Right } else { Exit::Findings }
}

fn show(answer: &Answer, output: &mut Output<'_>) {
    match &answer.engine {
        Some(engine) => {
            let Snapshot { pid, since, generation, digest, .. } = engine;
            output.line(format_args!(
                "running since {since} (process {pid}), generation {generation} ({digest})"
            ));
            show_accounts(&engine.accounts, output);
        }
        None => output.line("not running"),
    }
    match answer.held {
        0 => output.line("nothing is held"),
        held => output.line(format_args!("{held} held: see `mailmill held list`")),
    }
}

fn show_accounts(
    accounts: &BTreeMap<String, crate::daemon::AccountStatus>,
    output: &mut Output<'_>,
) {
    for (name, account) in accounts {
        let last = account.last_success.as_deref().unwrap_or("never");
        output.line(format_args!(
            "{name}: {}, {} watched, {} settled, {} held, last success {last}",
            account.state,
            account.mailboxes.len(),
            account.settled,
            account.held,
        ));
        for (step, messages) in &account.body_readers {
            output.line(format_args!("    {} read {messages} bodies", inert(step)));
        }
        if let Some(error) = &account.error {
            output.line(format_args!("    {}", inert(error)));
        }
    }
}
