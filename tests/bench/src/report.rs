//! What was measured, as a table for people and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::Result;
use crate::aims;
use crate::corpus::Sample;
use crate::options::Options;
use crate::rows::{Load, Row};

/// One run of one row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) row: &'static str,
    pub(crate) round: usize,
    pub(crate) messages: usize,
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_kb: u64,
    pub(crate) server_cpu: f64,
    pub(crate) foreign: f64,
    pub(crate) result: String,
}

impl Run {
    /// Whether every message lies where it belongs.
    pub(crate) fn is_right(&self) -> bool {
        self.result.starts_with("ok")
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{:<22} {:>7.2} s, client {:.2} s, server {:.2} s, peak {} MB, foreign {:.2}: {}",
            self.row,
            self.wall,
            self.cpu,
            self.server_cpu,
            self.peak_kb / 1024,
            self.foreign,
            self.result
        )
    }
}

/// Medians of a row's runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) row: &'static str,
    messages: usize,
    pub(crate) wall: f64,
    /// The quickest and the slowest run.
    spread: (f64, f64),
    pub(crate) cpu_us: f64,
    server_cpu: f64,
    pub(crate) peak_mb: f64,
    foreign: f64,
    result: String,
}

/// Prints the tables, and writes them and the JSON to the disk's folder. `about` says on what it was
/// measured.
pub(crate) fn write(options: &Options, rows: &[Row], runs: &[Run], about: &[String]) -> Result<()> {
    let mut text = String::new();
    let mut summaries = Vec::new();
    for load in [Load::Main, Load::Few, Load::Many] {
        let of_load: Vec<Summary> = rows
            .iter()
            .filter(|row| row.load == load)
            .filter_map(|row| summary(row, runs))
            .collect();
        if !of_load.is_empty() {
            text += &table(load, &of_load);
            text.push('\n');
        }
        summaries.extend(of_load);
    }
    text += &aims::table(&summaries);
    let rounds = options.rounds();
    text += &format!("{rounds} rounds, medians.\n{}\n", about.join("\n"));
    let json = json!({ "about": about, "rounds": rounds, "rows": summaries, "runs": runs });
    for (name, content) in [("table.md", text.clone()), ("runs.json", format!("{json:#}\n"))] {
        let file = options.disk.join(name);
        fs::write(&file, content).map_err(|why| format!("write {}: {why}", file.display()))?;
    }
    write!(std::io::stdout(), "{text}").map_err(|why| format!("print: {why}"))
}

fn summary(row: &Row, runs: &[Run]) -> Option<Summary> {
    let runs: Vec<&Run> = runs.iter().filter(|run| run.row == row.name).collect();
    let first = runs.first()?;
    let walls: Vec<f64> = runs.iter().map(|run| run.wall).collect();
    let least = walls.iter().copied().fold(f64::INFINITY, f64::min);
    let most = walls.iter().copied().fold(0.0, f64::max);
    let cpu = median(runs.iter().map(|run| run.cpu));
    let wrong = runs.iter().find(|run| !run.is_right());
    Some(Summary {
        row: row.name,
        messages: first.messages,
        wall: median(walls.iter().copied()),
        spread: (least, most),
        cpu_us: cpu * 1e6 / first.messages as f64,
        server_cpu: median(runs.iter().map(|run| run.server_cpu)),
        peak_mb: median(runs.iter().map(|run| run.peak_kb as f64 / 1024.0)),
        foreign: median(runs.iter().map(|run| run.foreign)),
        result: wrong.map_or_else(
            || first.result.clone(),
            |run| format!("round {}: {}", run.round, run.result),
        ),
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

fn table(load: Load, rows: &[Summary]) -> String {
    let title = match load {
        Load::Main => "the job",
        Load::Few => "20 ms round trip",
        Load::Many => "small messages",
    };
    let base = |name: &str| rows.iter().find(|row| row.row == name).map(|row| row.wall);
    let (whole, fields) =
        (base(rows[0].row).filter(|_| rows[0].row.starts_with("bare")), base("bare-fields"));
    let mut text = format!(
        "| {} messages, {title} | wall s | from - to | msg/s | client CPU us/msg | server CPU s | peak MB \
         | times bare | times bare-fields | foreign cores | result |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        rows[0].messages
    );
    for row in rows {
        let times =
            |base: Option<f64>| base.map_or("-".into(), |base| format!("{:.2}", row.wall / base));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} - {:.2} | {:.0} | {:.1} | {:.2} | {:.1} | {} | {} | {:.2} | {} |",
            row.row,
            row.wall,
            row.spread.0,
            row.spread.1,
            row.messages as f64 / row.wall,
            row.cpu_us,
            row.server_cpu,
            row.peak_mb,
            times(whole),
            times(fields),
            row.foreign,
            row.result
        );
    }
    text
}

/// What the mail of a load is, in a line.
pub(crate) fn about(load: Load, samples: &[Sample]) -> String {
    let mut sizes: Vec<u64> = samples.iter().map(|sample| sample.size).collect();
    sizes.sort_unstable();
    let total: u64 = sizes.iter().sum();
    let count = |test: fn(&Sample) -> bool| samples.iter().filter(|sample| test(sample)).count();
    format!(
        "mail {load:?}: {} messages, {} MB, median {} KB, mean {} KB, {} over 1 MB, largest {} KB; \
         {} of projects, {} receipts, {} ask for one",
        sizes.len(),
        total / 1_000_000,
        sizes.get(sizes.len() / 2).unwrap_or(&0) / 1_000,
        total / 1_000 / sizes.len().max(1) as u64,
        sizes.iter().filter(|size| **size > 1_000_000).count(),
        sizes.last().unwrap_or(&0) / 1_000,
        count(|sample| sample.mailbox.starts_with("Projects/")),
        count(|sample| sample.mailbox == "Receipts"),
        count(|sample| sample.flagged),
    )
}
