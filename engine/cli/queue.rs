//! `mailmill queue`: what waits to be sent.

use super::{By, ConfigArg, Exit, Output, ask, ask_for, ask_on, understood};
use crate::clock::rfc3339;
use crate::config::Config;
use crate::control::Request;
use crate::mail::inert;
use crate::store::{QueueEntry, RecipientState};

/// Messages that are asked for at once.
const PAGE: usize = 250;

/// List, show, retry, hold, release or drop messages that wait to be sent
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List what waits to be sent; where nothing does, standard error says so
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// One JSON object a message
        #[arg(long)]
        json: bool,
    },
    /// Show one message with what became of each recipient
    Show {
        #[command(flatten)]
        config: ConfigArg,
        /// Its id
        id: u64,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Try messages at once: without ids, all that are not held
    Retry {
        #[command(flatten)]
        change: Change,
    },
    /// Let messages wait until they are released
    Hold {
        #[command(flatten)]
        change: Change,
        /// Why
        #[arg(long, default_value = "held by a person")]
        reason: String,
    },
    /// Send messages that are held
    Release {
        #[command(flatten)]
        change: Change,
    },
    /// Remove messages without sending them on and without a report to their senders
    Drop {
        #[command(flatten)]
        change: Change,
    },
}

/// Which messages to change.
#[derive(Debug, clap::Args)]
struct Change {
    #[command(flatten)]
    config: ConfigArg,
    /// Their ids
    ids: Vec<u64>,
    /// One JSON list of the ids that were changed
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    match &args.what {
        What::List { config, json } => with(config, output, |config, output| {
            list(config, output, if *json { show_json } else { show_line })
        }),
        What::Show { config, id, json } => with(config, output, |config, output| {
            show(config, output, *id, if *json { show_json } else { show_whole })
        }),
        What::Retry { change } => {
            let ids = change.ids.clone();
            alter(change, output, &Request::QueueRetry { ids }, |by| match by {
                By::Engine => "tried now",
                By::Store => "tried when the engine runs",
            })
        }
        What::Hold { change, reason } => {
            let request = Request::QueueHold { ids: change.ids.clone(), reason: reason.clone() };
            alter(change, output, &request, |_| "held")
        }
        What::Release { change } => {
            let ids = change.ids.clone();
            alter(change, output, &Request::QueueRelease { ids }, |_| "released")
        }
        What::Drop { change } => {
            let ids = change.ids.clone();
            alter(change, output, &Request::QueueDrop { ids }, |_| "dropped")
        }
    }
}

fn with(
    config: &ConfigArg,
    output: &mut Output<'_>,
    work: impl FnOnce(&Config, &mut Output<'_>) -> Exit,
) -> Exit {
    match config.load(output) {
        Ok(config) => work(&config, output),
        Err(exit) => exit,
    }
}

fn list(config: &Config, output: &mut Output<'_>, show: fn(&QueueEntry) -> String) -> Exit {
    let page = |from| Request::Queue { from, limit: PAGE };
    let mut any = false;
    let listed = ask_on(&config.engine.data, page(0), |answer| {
        let entries: Vec<QueueEntry> = understood(answer)?;
        any |= !entries.is_empty();
        entries.iter().for_each(|entry| output.line(show(entry)));
        let full = entries.last().filter(|_| entries.len() == PAGE);
        Ok(full.map(|last| page(last.id.saturating_add(1))))
    });
    match listed {
        Ok(()) => {
            if !any {
                output.note("nothing waits to be sent");
            }
            Exit::Right
        }
        Err(error) => output.failed(&error),
    }
}

fn show(
    config: &Config,
    output: &mut Output<'_>,
    id: u64,
    show: fn(&QueueEntry) -> String,
) -> Exit {
    match ask_for::<QueueEntry>(&config.engine.data, &Request::QueueShow { id }) {
        Ok(entry) => {
            output.line(show(&entry));
            Exit::Right
        }
        Err(error) => output.failed(&error),
    }
}

fn alter(
    change: &Change,
    output: &mut Output<'_>,
    request: &Request,
    done: fn(By) -> &'static str,
) -> Exit {
    if change.ids.is_empty() && !matches!(request, Request::QueueRetry { .. }) {
        output.note("name the messages by their ids: see `mailmill queue list`");
        return Exit::Usage;
    }
    let config = match change.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let answer = ask(&config.engine.data, request)
        .and_then(|(ids, by)| Ok((understood::<Vec<u64>>(ids)?, by)));
    match answer {
        Ok((ids, _)) if change.json => {
            output.line(serde_json::json!(ids));
            Exit::Right
        }
        Ok((ids, by)) => {
            output.line(format_args!("{} {}", ids.len(), done(by)));
            Exit::Right
        }
        Err(error) => output.failed(&error),
    }
}

fn show_json(entry: &QueueEntry) -> String {
    serde_json::json!(entry).to_string()
}

fn show_line(entry: &QueueEntry) -> String {
    let QueueEntry { id, account, queued_ms, size, attempts, .. } = entry;
    let from = entry.reverse_path.as_ref().map_or("<>", |from| from.as_str());
    let subject = inert(entry.subject.as_deref().unwrap_or_default());
    let then = match &entry.held {
        Some(why) => format!("held: {}", inert(why)),
        None => format!("due {}, tried {attempts} times", rfc3339(entry.due_ms)),
    };
    let waiting = entry.recipients.iter().filter(|to| is_pending(&to.state)).count();
    let all = entry.recipients.len();
    let since = rfc3339(*queued_ms);
    let mut line = format!(
        "{id} {account} since {since} from {from} to {waiting} of {all}, {size} bytes\n    \
         \"{subject}\"\n    {then}"
    );
    if let Some(error) = entry.last_error.as_ref().filter(|_| entry.held.is_none()) {
        line.push_str(&format!("\n    {}", inert(error)));
    }
    line
}

fn show_whole(entry: &QueueEntry) -> String {
    let mut text = show_line(entry);
    if let Some(id) = &entry.message_id {
        text.push_str(&format!("\n    Message-ID {}", inert(id)));
    }
    if entry.doubt.times > 0 {
        text.push_str("\n    the server may have it: an end of data went without an answer");
    }
    for recipient in &entry.recipients {
        let how = match &recipient.state {
            RecipientState::Pending { answer: None } => "waits".into(),
            RecipientState::Pending { answer: Some(answer) } => format!("waits: {answer}"),
            RecipientState::Sent { at_ms, answer } => format!("sent {}: {answer}", rfc3339(*at_ms)),
            RecipientState::Failed { at_ms, answer } => {
                format!("failed {}: {answer}", rfc3339(*at_ms))
            }
        };
        text.push_str(&format!("\n    {}: {}", recipient.address, inert(&how)));
    }
    text
}

fn is_pending(state: &RecipientState) -> bool {
    matches!(state, RecipientState::Pending { .. })
}
