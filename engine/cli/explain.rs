//! `mailmill explain`: why is this message here?

use comfy_table::{ContentArrangement, Table, presets};

use super::intent::intent;
use super::{ConfigArg, Exit, Output, ask_for};
use crate::clock::rfc3339;
use crate::control::Request;
use crate::inbound::clause;
use crate::mail::inert;
use crate::pipeline::{Action, Recorded, StepOutcome, StepReport, Verdict};
use crate::store::{MarkOutcome, MessageRecord, State};

/// Explain what was decided for a message, by which rule, and what was done when
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The number from the log, or a Message-ID; without it, the newest decisions as a table
    id: Option<String>,
    /// How many rows the table has
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// One JSON object a decision
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let request = match &args.id {
        Some(what) => Request::Explain { what: what.clone() },
        None => Request::Recent { limit: args.limit as usize },
    };
    let records: Vec<MessageRecord> = match ask_for(&config.engine.data, &request) {
        Ok(records) => records,
        Err(error) => return output.failed(&error),
    };
    if records.is_empty() {
        let what = args.id.as_deref().unwrap_or("any message");
        let _ = writeln!(output.err, "mailmill: no decision about {what} is known");
        return Exit::Findings;
    }
    if args.json {
        records.iter().for_each(|record| output.line(serde_json::json!(record)));
    } else if args.id.is_some() {
        records.iter().for_each(|record| output.line(story(record)));
    } else {
        output.line(table(&records));
    }
    Exit::Right
}

/// The newest decisions, the oldest of them first.
fn table(records: &[MessageRecord]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(110);
    }
    table.set_header(["#", "message", "what happened", "why"]);
    for record in records.iter().rev() {
        let message = format!("{}\n{}", inert(&record.subject), inert(&record.from));
        let (what, why) = what_and_why(record);
        table.add_row([record.id.to_string(), message, what, why]);
    }
    table
}

fn what_and_why(record: &MessageRecord) -> (String, String) {
    let actions = record.decision.actions.iter().enumerate();
    let mut rows: Vec<(String, String)> = actions
        .filter_map(|(index, said)| Some((inert(&outcome(record, index)?), place(said))))
        .collect();
    let whole = match record.state {
        State::Planned | State::Settled => None,
        State::Held => Some(("held", reason(record))),
        State::Released => Some(("released: it stays where it was", reason(record))),
        State::Void => Some(("void", "it was no longer there under this key".into())),
    };
    rows.extend(whole.map(|(what, why)| (what.to_owned(), why)));
    if rows.is_empty() {
        let stays = format!("stays in {}", inert(record.key.mailbox.as_str()));
        return (stays, "no rule asked for more".into());
    }
    let (what, why): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    (what.join("\n"), why.join("\n"))
}

fn reason(record: &MessageRecord) -> String {
    record.hold.as_ref().map_or_else(String::new, |hold| inert(&hold.reason))
}

/// What became of an action that people ask for; `None` where nothing came of it, and nothing will.
fn outcome(record: &MessageRecord, index: usize) -> Option<String> {
    let action = &record.decision.actions[index].action;
    let mark = record.marks.iter().find(|mark| mark.action == index);
    if let Action::Sign { .. } = action {
        // Its note says what became of it, in a clause.
        return mark?.note.as_deref().map(inert);
    }
    let done = clause(action)?;
    let wish = intent(action)?;
    match (mark.map(|mark| mark.outcome), record.state) {
        (Some(MarkOutcome::Done), _) => Some(done),
        (Some(MarkOutcome::Gone), _) => Some(format!("gone: it was no longer there to {wish}")),
        (Some(MarkOutcome::Failed), _) => Some(format!("failed: {wish}")),
        (None, _) if done_with_the_plan(record, action) => Some(done),
        (None, State::Planned) => Some(format!("planned: {wish}")),
        // What has no mark of its own needed none.
        (None, State::Settled) => Some(done),
        (None, State::Held | State::Released | State::Void) => None,
    }
}

/// Whether an action changes nothing outside of the store and was done when the plan was written.
fn done_with_the_plan(record: &MessageRecord, action: &Action) -> bool {
    let inside = matches!(
        action,
        Action::Link { .. } | Action::Tag { .. } | Action::StateSet { .. } | Action::Log { .. }
    );
    // A decision to hold links and remembers nothing.
    inside && record.decision.verdict != Verdict::Hold
}

fn place(said: &Recorded) -> String {
    said.at.clone().unwrap_or_else(|| said.step.clone())
}

/// All that is known of one decision.
fn story(record: &MessageRecord) -> String {
    let decision = &record.decision;
    let mut lines = vec![
        format!("#{} {}", record.id, record.key),
        format!(
            "  \"{}\" from {}, {} bytes",
            inert(&record.subject),
            inert(&record.from),
            record.size
        ),
    ];
    if let Some(id) = &record.message_id {
        lines.push(format!("  Message-ID <{}>", inert(id)));
    }
    lines.push(format!(
        "  decided {} by generation {} ({}): {}",
        rfc3339(record.decided_ms),
        decision.generation,
        decision.digest,
        word(&decision.verdict)
    ));
    if let Some(project) = &decision.project {
        lines.push(format!("  project {project}"));
    }
    lines
        .extend(decision.tags.iter().map(|(key, value)| format!("  tag {key} = {}", inert(value))));
    lines.push("  steps".into());
    lines.extend(decision.steps.iter().map(step_line));
    lines.push("  actions".into());
    lines.extend((0..decision.actions.len()).map(|index| action_line(record, index)));
    lines.push(format!("  {}", ending(record)));
    // Names from servers, rules and senders stand in these lines.
    lines.iter().map(|line| inert(line)).collect::<Vec<_>>().join("\n")
}

fn step_line(step: &StepReport) -> String {
    let outcome = match step.outcome {
        StepOutcome::Ran => format!("ran in {} µs", step.micros),
        StepOutcome::Skipped => "failed and was skipped".into(),
        StepOutcome::Failed => "failed".into(),
        StepOutcome::NotReached => "was not reached".into(),
    };
    let body = if step.read_body { ", read the body" } else { "" };
    let error = step.error.as_ref().map(|error| format!(": {}", inert(error)));
    format!("    {} {outcome}{body}{}", step.step, error.unwrap_or_default())
}

fn action_line(record: &MessageRecord, index: usize) -> String {
    let said = &record.decision.actions[index];
    let mark = record.marks.iter().find(|mark| mark.action == index).map(|mark| {
        let outcome = match mark.outcome {
            MarkOutcome::Done => "done",
            MarkOutcome::Gone => "gone",
            MarkOutcome::Failed => "failed",
        };
        let note = mark.note.as_deref().map(|note| format!(": {}", inert(note)));
        format!(" — {outcome} {}{}", rfc3339(mark.at_ms), note.unwrap_or_default())
    });
    let mark = mark.or_else(|| {
        done_with_the_plan(record, &said.action)
            .then(|| format!(" — done {} with the plan", rfc3339(record.decided_ms)))
    });
    format!("    {} ({}){}", words(said), place(said), mark.unwrap_or_default())
}

/// An action in the words of rules: `move_to mailbox=Projects/T-071`.
fn words(said: &Recorded) -> String {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(&said.action) else {
        return String::new();
    };
    let verb = fields.remove("action");
    let verb = verb.as_ref().and_then(|verb| verb.as_str()).unwrap_or_default().to_owned();
    let values: Vec<String> = fields
        .iter()
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={}", inert(text)),
            None => format!("{name}={value}"),
        })
        .collect();
    [vec![verb], values].concat().join(" ")
}

fn ending(record: &MessageRecord) -> String {
    let hold = record.hold.as_ref();
    match record.state {
        State::Planned => "planned: what has no outcome is still to be done".into(),
        State::Settled => "settled: all of it is done".into(),
        State::Held => {
            let reason = hold.map_or("", |hold| &hold.reason);
            let then = match hold.and_then(|hold| hold.retry_at_ms) {
                Some(at) => format!("tried again at {}", rfc3339(at)),
                None => "waits for a person: `mailmill held retry` or `held release`".into(),
            };
            format!("held: {}; {then}", inert(reason))
        }
        State::Released => "released: a person let it go where it was".into(),
        State::Void => "void: the message was no longer there under this key".into(),
    }
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
