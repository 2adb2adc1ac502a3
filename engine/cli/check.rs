//! `mailmill check`: is everything that a person wrote right? All faults in one go.

use std::collections::BTreeSet;

use serde_json::json;

use super::{ConfigArg, Exit, Output, count};
use crate::config::{Config, StepKind};
use crate::fault::Faults;
use crate::pipeline;

/// Check the configuration, scripts, plugins and tables, and show every fault with its place
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which configuration
    #[command(flatten)]
    pub config: ConfigArg,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command. Exit code 78 where there is a fault.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    match pipeline::load(&args.config.config).outcome {
        Ok(candidate) => {
            let generation = candidate.generation;
            right(args, generation.config(), &generation.digest, output);
            Exit::Right
        }
        Err(faults) => {
            wrong(args, &faults, output);
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
            args.config.config.display(),
            count(accounts, "account"),
            count(pipelines, "pipeline"),
            count(scripts, "script"),
            count(plugins, "plugin"),
        )
    };
    output.line(line);
}

fn wrong(args: &Args, faults: &Faults, output: &mut Output<'_>) {
    if args.json {
        output.line(json!({ "v": 1, "faults": faults.0 }));
    } else {
        // Who does not want to read it is not stopped by it.
        let _ = writeln!(output.err, "{faults}");
    }
}

/// How many scripts or plugins the pipelines use.
fn used(config: &Config, kind: StepKind) -> usize {
    let steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
    steps.filter(|step| step.kind == kind).map(|step| &step.name).collect::<BTreeSet<_>>().len()
}
