//! What changing rules costs: from a save to its being in force, what it does to mail that flows, and
//! what memory is left of it:
//!
//! ```text
//! cargo run --release --example reload [SCRIPTS] [SAVES] [RELOADS]
//! ```
//!
//! The engine runs in this process over a Maildir. A save is measured from the moment the file is
//! renamed into place to the log line that says it is in force, with the usual quiet time (300 ms); a
//! message from its delivery to the line that says it is done, with and without a save a second.
//! Memory is what the process has resident after so many reloads in a row.
#![allow(clippy::print_stdout)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mailmill::clock::Clock;
use mailmill::daemon::{Engine, Start, Until};
use mailmill::maillog::{Form, Maillog};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const STACK: usize = 8 << 20;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |usual| args.next().map_or(Ok(usual), |text| text.parse::<usize>());
    let (scripts, saves, reloads) = (number(10)?, number(100)?, number(1_000)?);
    let place = std::env::temp_dir().join(format!("mailmill-reload-{}", std::process::id()));
    let bench = Bench { place: place.clone(), scripts };
    bench.lay(Duration::from_millis(300))?;
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()?;
    let (log, said) = Said::new();
    let maillog = Maillog::new(Form::Json, Clock::System, Box::new(log));
    let start = Start::with(mailmill::pipeline::load(&place.join("mailmill.toml")));
    let engine = Engine::open(start.map_err(|why| why.to_string())?, maillog, Clock::System)?;
    let stop = CancellationToken::new();
    let task = threads.spawn(engine.run(Until::Stopped, stop.clone()));
    wait(&said, |event| event["event"] == "connected")?;

    println!("{scripts} scripts");
    show("save to in force", bench.saves(&said, saves)?);
    show("message, no reload", bench.mail(&said, false)?);
    show("message, a reload a second", bench.mail(&said, true)?);
    bench.lay(Duration::from_millis(10))?;
    wait(&said, |event| event["event"] == "in_force")?;
    bench.memory(&said, reloads)?;
    stop.cancel();
    threads.block_on(task)??;
    Ok(std::fs::remove_dir_all(place)?)
}

struct Bench {
    place: PathBuf,
    scripts: usize,
}

impl Bench {
    /// A pipeline of all scripts, the last of which files the message; every script has some rules.
    fn lay(&self, quiet: Duration) -> Result<()> {
        for folder in ["scripts", "maildir/new", "maildir/cur", "maildir/tmp"] {
            std::fs::create_dir_all(self.place.join(folder))?;
        }
        let steps = (0..self.scripts).map(|number| format!("  {{ script = \"s{number}\" }},\n"));
        let steps: String = steps.collect();
        for number in 0..self.scripts {
            self.save(number, 0)?;
        }
        let quiet = quiet.as_millis();
        let config = format!(
            "[engine]\nquiet = \"{quiet}ms\"\n\
             [accounts.office]\nmaildir = \"maildir\"\ninbound = \"sort\"\n\
             [pipelines.sort]\nsteps = [\n{steps}]\n"
        );
        Ok(std::fs::write(self.place.join("mailmill.toml"), config)?)
    }

    /// Saves a script as an editor does.
    fn save(&self, number: usize, version: usize) -> Result<()> {
        let tests: String = (0..20)
            .map(|rule| {
                format!(
                    "    if mail.subject.contains(\"{number}-{rule}\") {{ mail.tag(\"t\", \"{rule}\"); }}\n"
                )
            })
            .collect();
        let text = format!("// {version}\nfn inbound(mail) {{\n{tests}}}\n");
        let file = self.place.join(format!("scripts/s{number}.rhai"));
        let new = self.place.join("scripts/.new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, file)?)
    }

    fn saves(&self, said: &Receiver<(Instant, Value)>, count: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(count);
        for version in 1..=count {
            self.save(version % self.scripts, version)?;
            let saved = Instant::now();
            let (at, _) = wait(said, |event| event["event"] == "in_force")?;
            times.push(at - saved);
        }
        Ok(times)
    }

    /// Ten seconds of fifty messages a second.
    fn mail(&self, said: &Receiver<(Instant, Value)>, reloading: bool) -> Result<Vec<Duration>> {
        let began = Instant::now();
        let mut delivered = Vec::new();
        for number in 0..500 {
            let name = format!("{reloading}-{number}");
            deliver(&self.place.join("maildir"), &name)?;
            delivered.push(Instant::now());
            if reloading && number % 50 == 0 {
                self.save(0, 1_000_000 + number)?;
            }
            let due = Duration::from_millis(20) * (number as u32 + 1);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let mut times = Vec::new();
        while times.len() < delivered.len() {
            let (at, event) = wait(said, |event| event["event"] == "done")?;
            let subject = event["subject"].as_str().unwrap_or_default();
            let number = subject.strip_prefix(&format!("{reloading}-"));
            if let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) {
                times.push(at.saturating_duration_since(delivered[number]));
            }
        }
        Ok(times)
    }

    fn memory(&self, said: &Receiver<(Instant, Value)>, reloads: usize) -> Result<()> {
        println!("resident at the start: {} KiB", resident()?);
        for version in 1..=reloads {
            self.save(version % self.scripts, 2_000_000 + version)?;
            wait(said, |event| event["event"] == "in_force")?;
            if version % (reloads / 10).max(1) == 0 {
                println!("after {version} reloads: {} KiB", resident()?);
            }
        }
        Ok(())
    }
}

fn deliver(maildir: &Path, name: &str) -> Result<()> {
    let (tmp, new) = (maildir.join("tmp").join(name), maildir.join("new").join(name));
    let text = format!("Subject: {name}\nMessage-ID: <{name}@example.org>\n\nHi.\n");
    std::fs::write(&tmp, text)?;
    Ok(std::fs::rename(tmp, new)?)
}

fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4)
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: p50 {:.1?}, p99 {:.1?}, longest {:.1?}", at(50), at(99), at(100));
}

fn wait(
    said: &Receiver<(Instant, Value)>,
    fits: impl Fn(&Value) -> bool,
) -> Result<(Instant, Value)> {
    loop {
        let (at, event) = said.recv_timeout(Duration::from_secs(60))?;
        if event["event"] == "refused" && event["faults"] != Value::Array(Vec::new()) {
            return Err(event.to_string().into());
        }
        if fits(&event) {
            return Ok((at, event));
        }
    }
}

/// The log, as events with the moment they were written.
struct Said(Sender<(Instant, Value)>);

impl Said {
    fn new() -> (Self, Receiver<(Instant, Value)>) {
        let (send, said) = channel();
        (Self(send), said)
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let at = Instant::now();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let _ = self.0.send((at, serde_json::from_slice(line).unwrap_or_default()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
