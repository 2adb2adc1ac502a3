//! `mailmill held`: messages that wait for a person.

use super::{By, ConfigArg, Exit, Output, ask, ask_for, understood};
use crate::clock::rfc3339;
use crate::config::Config;
use crate::control::Request;
use crate::mail::inert;
use crate::store::MessageRecord;

/// List, retry or release held messages
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List held messages with the reason; where there is none, standard error says so
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// One JSON object a message
        #[arg(long)]
        json: bool,
    },
    /// Decide held messages again with the rules in force: at once, or when the engine runs next
    Retry {
        #[command(flatten)]
        config: ConfigArg,
        /// Their ids; without any, all of them
        ids: Vec<u64>,
    },
    /// Let held messages go: they stay where they are, and nothing more happens to them
    Release {
        #[command(flatten)]
        config: ConfigArg,
        /// Their ids
        #[arg(required = true)]
        ids: Vec<u64>,
    },
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let (What::List { config, .. } | What::Retry { config, .. } | What::Release { config, .. }) =
        &args.what;
    let config = match config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    match &args.what {
        What::List { json: true, .. } => list(&config, output, show_json),
        What::List { json: false, .. } => list(&config, output, show_text),
        What::Retry { ids, .. } => {
            change(&config, output, &Request::HeldRetry { ids: ids.clone() }, |by| match by {
                By::Engine => "retried",
                By::Store => "will be retried when the engine runs next",
            })
        }
        What::Release { ids, .. } => {
            change(&config, output, &Request::HeldRelease { ids: ids.clone() }, |_| "released")
        }
    }
}

fn list(config: &Config, output: &mut Output<'_>, show: fn(&MessageRecord) -> String) -> Exit {
    match ask_for::<Vec<MessageRecord>>(&config.engine.data, &Request::Held) {
        Ok(held) => {
            if held.is_empty() {
                output.note("nothing is held");
            }
            held.iter().for_each(|record| output.line(show(record)));
            Exit::Right
        }
        Err(error) => output.failed(&error),
    }
}

fn show_json(record: &MessageRecord) -> String {
    serde_json::json!(record).to_string()
}

fn show_text(record: &MessageRecord) -> String {
    let hold = record.hold.as_ref();
    let reason = hold.map_or("", |hold| &hold.reason);
    let since = hold.map_or_else(String::new, |hold| rfc3339(hold.since_ms));
    let again = match hold.and_then(|hold| hold.retry_at_ms) {
        Some(at) => format!("tried again at {}", rfc3339(at)),
        None => "waits for a person".into(),
    };
    let (id, subject) = (record.id, inert(&record.subject));
    let key = inert(&record.key.to_string());
    format!("#{id} {key} since {since}\n    \"{subject}\"\n    {}; {again}", inert(reason))
}

fn change(
    config: &Config,
    output: &mut Output<'_>,
    request: &Request,
    done: fn(By) -> &'static str,
) -> Exit {
    let answer = ask(&config.engine.data, request)
        .and_then(|(ids, by)| Ok((understood::<Vec<u64>>(ids)?, by)));
    match answer {
        Ok((ids, _)) if ids.is_empty() => {
            output.note(format_args!("nothing is held"));
            Exit::Right
        }
        Ok((ids, by)) => {
            output.line(format_args!("{} {}", ids.len(), done(by)));
            Exit::Right
        }
        Err(error) => output.failed(&error),
    }
}
