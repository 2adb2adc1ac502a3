//! `mailmill check`: is everything that a person wrote right? All faults in one go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Output};
use crate::config::{Config, StepKind};
use crate::fault::Faults;
use crate::pipeline::Generation;

/// Check the configuration, scripts, plugins and tables, and show every fault with its place
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, short, default_value = "mailmill.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command. Exit code 78 where there is a fault.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let (config, mut faults) = Config::read(&args.config);
    // Rules are checked even where an account is wrong: nobody likes to hear of faults in turns.
    let generation = config.as_ref().map(Generation::load);
    let digest = match generation {
        Some(Ok(generation)) => generation.digest,
        Some(Err(more)) => {
            faults.0.extend(more.0);
            String::new()
        }
        None => String::new(),
    };
    match (faults.into_result(), config) {
        (Ok(()), Some(config)) => {
            right(args, &config, &digest, output);
            Exit::Right
        }
        (result, _) => {
            wrong(args, &result.err().unwrap_or_default(), output);
            Exit::Config
        }
    }
}

fn right(args: &Args, config: &Config, digest: &str, output: &mut Output<'_>) {
    let (accounts, pipelines) = (config.accounts.len(), config.pipelines.len());
    let (scripts, plugins) = (used(config, StepKind::Script), used(config, StepKind::Plugin));
    let line = if args.json {
        json!({
            "v": 1, "faults": [], "accounts": accounts, "pipelines": pipelines,
            "scripts": scripts, "plugins": plugins, "generation": digest,
        })
        .to_string()
    } else {
        format!(
            "{} is right: {}, {}, {}, {}, generation {digest}",
            args.config.display(),
            count(accounts, "account"),
            count(pipelines, "pipeline"),
            count(scripts, "script"),
            count(plugins, "plugin"),
        )
    };
    // A reader that went away (`| head`) is no error.
    let _ = writeln!(output.out, "{line}");
}

fn wrong(args: &Args, faults: &Faults, output: &mut Output<'_>) {
    let _ = if args.json {
        writeln!(output.out, "{}", json!({ "v": 1, "faults": faults.0 }))
    } else {
        writeln!(output.err, "{faults}")
    };
}

/// How many scripts or plugins the pipelines use.
fn used(config: &Config, kind: StepKind) -> usize {
    let steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
    steps.filter(|step| step.kind == kind).map(|step| &step.name).collect::<BTreeSet<_>>().len()
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
