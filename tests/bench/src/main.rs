//! `bench`: mailmill beside its peers on one private mail server. See `tests/bench/README.md`.
//!
//! `run` makes the mail ([`corpus`]), starts the server ([`server`]), sets each client up ([`peers`]),
//! runs it under [`measure`], compares the mailboxes with the right answer ([`verify`]), and writes the
//! [`report`]. `bare` and `measure` are processes of their own that `run` starts.

mod aims;
mod bare;
mod corpus;
mod delay;
mod environment;
mod measure;
mod options;
mod peers;
mod random;
mod report;
mod rows;
mod runner;
mod server;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// An error is a text that says what failed, where, and why.
type Result<T> = std::result::Result<T, String>;

#[derive(Debug, Parser)]
#[command(name = "tests/bench/run")]
enum Command {
    Run(options::Options),
    #[command(hide = true)]
    Bare(bare::Args),
    #[command(hide = true)]
    Measure(measure::Args),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Run(options) => options.prepare().and_then(|options| runner::run(&options)),
        Command::Bare(args) => bare::run(&args).map(|()| true),
        Command::Measure(args) => measure::run(&args).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // A client put mail into the wrong place: the table says which.
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "bench: {why}");
            ExitCode::FAILURE
        }
    }
}
