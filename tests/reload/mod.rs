//! Rules change while mail flows: what operators were promised, with the real binary and real files.

mod accounts;
mod broken;
mod history;
mod pitfalls;
mod place;
mod random;
mod storm;
mod trial;

use std::path::Path;

use serde_json::Value;

use crate::support::mill::{Mill, Running};

/// One account whose mail goes through one script.
const CONFIG: &str = r#"
[accounts.office]
maildir = "maildir"
inbound = "sort"

[pipelines.sort]
steps = [{ script = "sort" }]
"#;

/// A rule that says which it is.
fn rule(name: &str) -> String {
    format!("fn inbound(mail) {{ mail.tag(\"rule\", \"{name}\"); mail.move_to(\"{name}\"); }}\n")
}

fn mail(name: &str) -> String {
    format!("From: ann@example.org\nSubject: {name}\nMessage-ID: <{name}@example.org>\n\nHi.\n")
}

/// A mill with the rule `first`, below a folder.
fn mill_below(place: &Path, config: &str) -> Mill {
    let mill = Mill::below(place, config);
    mill.write("scripts/sort.rhai", rule("first"));
    mill.deliver("maildir", "0", mail("0"));
    mill
}

fn mill(config: &str) -> Mill {
    mill_below(Path::new("/tmp"), config)
}

/// Starts it and waits until its first message is done.
#[track_caller]
fn started(mill: &Mill) -> Running {
    let mut running = mill.start();
    running.wait_event("done");
    running
}

/// Delivers a message and gives the event that says it is done.
#[track_caller]
fn decided(mill: &Mill, running: &mut Running, name: &str) -> Value {
    mill.deliver("maildir", name, mail(name));
    running.wait_for(&format!("message {name}"), |event| {
        event["subject"] == name && (event["event"] == "done" || event["event"] == "held")
    })
}

/// Waits until a generation came into force; a refusal of what is half done may come before.
#[track_caller]
fn in_force(running: &mut Running, what: &str) -> Value {
    running.wait_for(what, |event| event["event"] == "in_force")
}

fn count(running: &Running, kind: &str) -> usize {
    running.seen().iter().filter(|event| event["event"] == kind).count()
}

#[track_caller]
fn status(mill: &Mill) -> Value {
    serde_json::from_slice::<Value>(&mill.call(&["status", "--json"]).stdout).unwrap()["engine"]
        .take()
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}
