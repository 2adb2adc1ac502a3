//! On what a table was measured: machine, file systems, versions.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use crate::options::Options;

/// One line each.
pub(crate) fn about(options: &Options, memory: &Path) -> Vec<String> {
    let processors = available_parallelism().map_or(0, usize::from);
    vec![
        format!("{processors} processors, shared by client and server; seed {}", options.seed),
        format!(
            "mail and server on {}, store of mailmill on {}",
            file_system(memory),
            file_system(&options.disk)
        ),
        format!("mailmill: {}", first_line(Command::new(&options.mailmill).arg("--version"))),
        format!("Dovecot: {}", first_line(Command::new("dovecot").arg("--version"))),
        format!("imapfilter: {}", first_line(Command::new("imapfilter").arg("-V"))),
        format!("sieve-filter: {}", package("dovecot-sieve")),
        format!("fdm: {}", package("fdm")),
    ]
}

fn file_system(path: &Path) -> String {
    first_line(Command::new("stat").args(["-f", "-c", "%T"]).arg(path))
}

/// fdm and sieve-filter do not tell their versions; Debian's package does.
fn package(name: &str) -> String {
    first_line(Command::new("dpkg-query").args(["-W", "-f", "${Version}", name]))
}

/// What a program says first; some say it on standard error.
fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".into() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}
