//! `mailmill docs`: the words of rules, without leaving the terminal.

use super::{Exit, Output};
use crate::pipeline::{case, script, template};

/// Print what a script or a plugin reads and says, and how to test it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For whom
    #[arg(value_enum)]
    subject: Subject,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Subject {
    /// Scripts: every read and verb of `mail`
    Rhai,
    /// Plugins: the contract in WIT
    Wit,
    /// Tests of rules: what can stand in *.test.toml
    Tests,
    /// Templates: what stands in a signature
    Templates,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    output.line(match args.subject {
        Subject::Rhai => script::API,
        Subject::Wit => include_str!("../../plugins/step.wit"),
        Subject::Tests => case::GUIDE,
        Subject::Templates => template::GUIDE,
    });
    Exit::Right
}
