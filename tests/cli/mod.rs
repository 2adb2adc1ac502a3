//! The command line as its users meet it: the real binary, its words and its exit codes.

mod faults;
mod held;
mod log;
mod store;
mod trial;

use std::process::Output;

use serde_json::Value;

use crate::support::mill::Mill;

const CONFIG: &str = r#"
[accounts.office]
address = "office@example.com"
maildir = "maildir"
inbound = "sort"

[pipelines.sort]
steps = [{ script = "sort" }]
"#;

/// A mill with one account whose mail this script decides.
fn mill(script: &str) -> Mill {
    let mill = Mill::new(CONFIG);
    mill.write("scripts/sort.rhai", script);
    mill
}

fn mail(subject: &str) -> String {
    let id = subject.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!(
        "From: Ann <ann@example.org>\nTo: office@example.com\nSubject: {subject}\n\
         Message-ID: <{id}@example.org>\n\nHello.\n"
    )
}

/// How many messages lie in a folder of a Maildir.
fn count(mill: &Mill, folder: &str) -> usize {
    let parts = ["new", "cur"].map(|part| std::fs::read_dir(mill.path(folder).join(part)));
    parts.into_iter().flatten().map(Iterator::count).sum()
}

/// Exit code, standard output and standard error.
fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}
