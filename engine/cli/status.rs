//! `mailmill status`: is it running, with which rules, and is every account well?

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ConfigArg, Exit, Output, ask};
use crate::clock::rfc3339;
use crate::control::Request;
use crate::daemon::{Refusal, RulesStatus, Snapshot, TrialStatus};
use crate::mail::inert;
use crate::pipeline::{Contrast, Leaving};
use crate::send::Figures;
use crate::send::drop::Refused;

/// Show the engine, its accounts, and how much is held or was refused; exit 1 if an account is not well or
/// changed rules were refused
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
    #[serde(default)]
    queue: Option<Figures>,
    #[serde(default)]
    drop_refused: Option<Refused>,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    // What is wrong with the configuration on disk is part of what this tells.
    let answer = match ask(&args.config.data(), &Request::Status) {
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
    let well = answer.engine.is_some_and(|engine| {
        engine.rules.refused.is_none()
            && engine.accounts.values().all(|account| account.error.is_none())
    });
    if well { Exit::Right } else { Exit::Findings }
}

fn show(answer: &Answer, output: &mut Output<'_>) {
    match &answer.engine {
        Some(engine) => {
            let Snapshot { pid, since, generation, digest, rules, .. } = engine;
            output.line(format_args!(
                "running since {since} (process {pid}), generation {generation} ({digest}) in \
                 force since {}",
                rules.since
            ));
            show_rules(rules, output);
            show_accounts(&engine.accounts, output);
        }
        None => output.line("not running"),
    }
    match answer.held {
        0 => output.line("nothing is held"),
        held => output.line(format_args!("{held} held: see `mailmill held list`")),
    }
    if let Some(queue) = &answer.queue {
        show_queue(queue, output);
    }
    if let Some(refused) = answer.drop_refused.as_ref().filter(|refused| refused.count > 0) {
        show_refused(refused, output);
    }
}

/// What programs handed over and was not taken.
fn show_refused(Refused { count, oldest_ms, folder }: &Refused, output: &mut Output<'_>) {
    let oldest = oldest_ms.map_or(String::new(), |ms| format!(", the oldest of {}", rfc3339(ms)));
    output.line(format_args!(
        "dropped by sendmail and refused: {count}{oldest}, in {} as NAME.refused: the log says why; \
         correct the cause and rename it to NAME.mail, or remove it",
        folder.display()
    ));
}

/// What waits to be sent; nothing where nothing does.
fn show_queue(queue: &Figures, output: &mut Output<'_>) {
    let Figures { waiting, held, oldest_ms, accounts } = queue;
    if waiting + held > 0 {
        let oldest =
            oldest_ms.map_or(String::new(), |ms| format!(", the oldest since {}", rfc3339(ms)));
        output.line(format_args!(
            "queue: {waiting} wait to be sent{oldest}, {held} held: see `mailmill queue list`"
        ));
    }
    for (name, lane) in accounts {
        if let Some(error) = &lane.error {
            output.line(format_args!("    {name}: {} wait: {}", lane.waiting, inert(error)));
        }
    }
}

fn show_rules(rules: &RulesStatus, output: &mut Output<'_>) {
    if let Some(why) = &rules.instead_of_disk {
        output.line(format_args!("not what is on disk: {}", inert(why)));
    }
    if let Some(Refusal { at, why, faults }) = &rules.refused {
        output.line(format_args!("refused at {at}: {}", inert(why)));
        for line in faults.iter().flat_map(|fault| fault.lines()) {
            output.line(format_args!("    {}", inert(line)));
        }
    }
    if let Some(TrialStatus { digest, wanted, so_far }) = &rules.trial {
        let Contrast { compared, alike, .. } = so_far;
        output.line(format_args!(
            "candidate {digest} is on trial: {compared} of {wanted} messages, {alike} alike"
        ));
    }
    for Leaving { generation, seconds, .. } in &rules.leaving {
        output.line(format_args!("generation {generation}, replaced {seconds} s ago, is in use"));
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
