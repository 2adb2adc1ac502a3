//! `mailmill links`: what is linked to a project.

use super::{ConfigArg, Exit, Output, ask_for};
use crate::clock::rfc3339;
use crate::control::Request;
use crate::mail::inert;
use crate::store::Link;

/// Show the messages that are linked to a project, and by which evidence
///
/// Where there is none, standard error says so, and the exit code is 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The project's code
    project: String,
    /// One JSON object a link
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let config = match args.config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let request = Request::Links { project: args.project.clone() };
    let links: Vec<Link> = match ask_for(&config.engine.data, &request) {
        Ok(links) => links,
        Err(error) => return output.failed(&error),
    };
    if links.is_empty() {
        output.note(format_args!("nothing is linked to {}", inert(&args.project)));
    }
    for link in &links {
        if args.json {
            output.line(serde_json::json!(link));
        } else {
            let (at, subject) = (rfc3339(link.at_ms), inert(&link.subject));
            let evidence = inert(&link.evidence);
            output.line(format_args!("#{} {at} by {evidence}: {subject}", link.id));
        }
    }
    Exit::Right
}
