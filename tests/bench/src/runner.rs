//! Rounds: each row once per round, one after the other, the mailbox reset before and compared after
//! each run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::corpus::{self, Profile, Sample};
use crate::delay;
use crate::environment;
use crate::measure::Usage;
use crate::options::{Memory, Options};
use crate::peers::{Job, Link, Place};
use crate::report::{self, Run};
use crate::rows::{Load, Row};
use crate::server::{Server, machine_cpu};
use crate::verify;

/// 10 ms each way: 20 ms round trip.
const ONE_WAY: Duration = Duration::from_millis(10);

/// Messages of the far case.
const FEW: usize = 300;

/// Longest run of one client, in seconds.
const LONGEST: &str = "1200";

/// Runs everything and writes the report; whether every row was right.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let rows = options.rows()?;
    let bench = Bench::open(options, &rows)?;
    let mut runs: Vec<Run> = Vec::new();
    for round in 1..=options.rounds() {
        for row in &rows {
            let run = bench.run(row, round)?;
            say(&format!("round {round}: {}", run.line()));
            runs.push(run);
        }
    }
    let about = environment::about(options, &bench.memory.path);
    report::write(options, &rows, &runs, &about)?;
    Ok(runs.iter().all(Run::is_right))
}

struct Bench<'a> {
    options: &'a Options,
    // Dropped in this order: the server before its folder.
    server: Server,
    memory: Memory,
    far_port: u16,
    mail: BTreeMap<Load, Vec<Sample>>,
}

impl<'a> Bench<'a> {
    fn open(options: &'a Options, rows: &[Row]) -> Result<Self> {
        let memory = options.memory()?;
        let server = Server::start(&memory.path.join("d"), &options.root)?;
        let far_port = delay::start(server.port, ONE_WAY)?;
        let mut bench = Self { options, server, memory, far_port, mail: BTreeMap::new() };
        for load in [Load::Main, Load::Few, Load::Many] {
            if rows.iter().any(|row| row.load == load) {
                let samples = bench.write(load)?;
                bench.mail.insert(load, samples);
            }
        }
        Ok(bench)
    }

    fn write(&self, load: Load) -> Result<Vec<Sample>> {
        let (profile, count) = match load {
            Load::Main => (Profile::Mixed, self.options.messages()),
            Load::Few => (Profile::Mixed, self.options.messages().min(FEW)),
            Load::Many => (Profile::Small, self.options.large_messages()),
        };
        let folder = self.memory.path.join(format!("mail-{load:?}"));
        let samples = corpus::write(&folder, profile, count, self.options.seed)?;
        for sample in &samples {
            self.server.own(&sample.file)?;
        }
        say(&report::about(load, &samples));
        Ok(samples)
    }

    fn run(&self, row: &Row, round: usize) -> Result<Run> {
        let samples = &self.mail[&row.load];
        let (folder, data) = (self.memory.path.join("client"), self.options.disk.join("data"));
        empty(&folder)?;
        empty(&data)?;
        self.server.reset(samples)?;
        let port = match row.link {
            Link::Plain => self.server.port,
            Link::Tls => self.server.tls_port,
            Link::Far => self.far_port,
        };
        let place = Place {
            folder: &folder,
            data: &data,
            root: &self.options.root,
            server: &self.server,
            port,
            link: row.link,
            mailmill: &self.options.mailmill,
        };
        let job = row.client.set_up(&place)?;
        self.measured(row, round, &job, samples)
    }

    fn measured(&self, row: &Row, round: usize, job: &Job, samples: &[Sample]) -> Result<Run> {
        let home = self.memory.path.join("client");
        let log = self.options.disk.join(format!("{}-{round}.log", row.name));
        if let Some(first) = &job.first
            && measure(first, &home, &log)?.code != Some(0)
        {
            return Err(format!("{} fails on an empty mailbox, see {}", row.name, log.display()));
        }
        self.server.wait_for_sessions()?;
        let (machine, server) = (machine_cpu(), self.server.cpu()?);
        let usage = measure(&job.command, &home, &log)?;
        self.server.wait_for_sessions()?;
        let server_cpu = self.server.cpu()? - server;
        let foreign = (machine_cpu() - machine - server_cpu - usage.cpu).max(0.0) / usage.wall;
        let mut result = verify::compare(&job.result, samples, job.flags)?;
        if usage.code != Some(0) {
            result = format!("exit code {:?}; {result}", usage.code);
        }
        Ok(Run {
            row: row.name,
            round,
            messages: samples.len(),
            wall: usage.wall,
            cpu: usage.cpu,
            peak_kb: usage.peak_kb,
            server_cpu,
            foreign,
            result,
        })
    }
}

/// Runs a command by `bench measure`, its home in its own folder; what it prints goes to the log.
fn measure(command: &[String], home: &Path, log: &Path) -> Result<Usage> {
    let own = std::env::current_exe().map_err(|why| format!("find this program: {why}"))?;
    let file = File::create(log).map_err(|why| format!("write {}: {why}", log.display()))?;
    let output = Command::new(own)
        .args(["measure", "--", "timeout", LONGEST])
        .args(command)
        .env("HOME", home)
        .stdin(Stdio::null())
        .stderr(file)
        .output()
        .map_err(|why| format!("run {}: {why}", command[0]))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{} was not measured, see {}", command[0], log.display()))
}

/// An empty folder.
fn empty(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).map_err(|why| format!("empty {}: {why}", path.display()))?;
    }
    fs::create_dir_all(path).map_err(|why| format!("make {}: {why}", path.display()))
}

/// Tells the person who waits.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
