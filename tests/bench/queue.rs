//! What a long queue costs, a hundred thousand messages where no other number is given:
//!
//! ```text
//! cargo build --release && cargo run --release --example queue [MESSAGES]
//! ```
//!
//! Small messages of five accounts lie in the queue. A process of its own opens the store and brings
//! the queue into order, takes messages in beside it, reads all of it, makes all of it due. Then the
//! engine itself starts with relays that nobody answers at, and the command line asks it. Memory is
//! the most that was resident so far.
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailmill::clock::Clock;
use mailmill::maillog::{Form, Maillog};
use mailmill::send::{Queue, Spool};
use mailmill::store::Store;

#[path = "../support/spooled.rs"]
mod spooled;

const CHILD: &str = "MAILMILL_QUEUE_DATA";

/// Messages that are taken in beside the long queue.
const TAKEN: u64 = 100;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    if let Some(data) = std::env::var_os(CHILD) {
        return alone(Path::new(&data), count);
    }
    let place = std::env::temp_dir().join(format!("mailmill-queue-{}", std::process::id()));
    let data = place.join("data");
    std::fs::create_dir_all(&place)?;
    let began = Instant::now();
    spooled::fill(&data, count, Clock::System.now_ms())?;
    println!("{count} messages queued in {:.1?}", began.elapsed());
    let mut child = Command::new(std::env::current_exe()?);
    let ended = child.arg(count.to_string()).env(CHILD, &data).status()?;
    let engine = if ended.success() { engine(&place) } else { Err("it failed".into()) };
    std::fs::remove_dir_all(&place)?;
    engine
}

/// The queue without an engine.
fn alone(data: &Path, count: u64) -> Result<()> {
    let before = peak_kib(std::process::id())?;
    let began = Instant::now();
    let store = Store::open(data)?;
    println!("store open after {:.0?}", began.elapsed());
    let log = Maillog::new(Form::Json, Clock::System, Box::new(std::io::sink()));
    let queue = Queue::new(store, Spool::open(data)?, (Clock::System, log));
    queue.recover()?;
    println!("queue in order after {:.0?}", began.elapsed());
    tell_memory("a start", before)?;
    let mut took = Vec::new();
    for number in 1..=TAKEN {
        let mut file = queue.spool().begin();
        file.write_blocking(b"Subject: one more\r\n\r\nHello.\r\n")?;
        let began = Instant::now();
        queue.accept_blocking(spooled::outgoing(count + number), file)?;
        took.push(began.elapsed());
    }
    took.sort();
    println!(
        "one more taken in: {:.1?} (p50), {:.1?} (p99)",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    let began = Instant::now();
    let entries = queue.list()?.len();
    println!("{entries} read in {:.0?}", began.elapsed());
    let began = Instant::now();
    let due = queue.retry(&[])?.len();
    println!("{due} made due in {:.0?}", began.elapsed());
    tell_memory("all of this", before)
}

fn tell_memory(what: &str, before: u64) -> Result<()> {
    let after = peak_kib(std::process::id())?;
    println!("memory of {what}: {} MB before, {} MB at most", before / 1000, after / 1000);
    Ok(())
}

/// The engine as a process of its own, and the command line.
fn engine(place: &Path) -> Result<()> {
    let config = place.join("mailmill.toml");
    let account = |number: u64| {
        format!(
            "[accounts.a{number}]\naddress = \"anna@example.test\"\n\
             smtp = \"smtp://127.0.0.1:1\"\ntls = \"none\"\n"
        )
    };
    std::fs::write(&config, (0..spooled::ACCOUNTS).map(account).collect::<String>())?;
    let began = Instant::now();
    let mut engine = call(&config, &["run", "--log", "json"])?;
    let mut log = BufReader::new(engine.stdout.take().ok_or("it has no output")?).lines();
    let started = log.any(|line| line.is_ok_and(|line| line.contains("\"event\":\"started\"")));
    if !started {
        return Err("the engine did not start".into());
    }
    println!("engine started after {:.0?}", began.elapsed());
    // Whoever reads no more holds the engine up.
    std::thread::spawn(move || log.for_each(drop));
    println!("engine: {} MB at most", peak_kib(engine.id())? / 1000);
    for command in [&["status"][..], &["queue", "list", "--json"], &["queue", "retry"]] {
        let (took, lines, peak) = ask(&config, command)?;
        println!("{command:?}: {lines} lines in {took:.0?}, {} MB at most", peak / 1000);
        println!("engine: {} MB at most", peak_kib(engine.id())? / 1000);
    }
    engine.kill()?;
    engine.wait()?;
    Ok(())
}

/// How long a command takes, the lines it writes, and its memory.
fn ask(config: &Path, command: &[&str]) -> Result<(Duration, usize, u64)> {
    let began = Instant::now();
    let mut child = call(config, command)?;
    let (pid, output) = (child.id(), child.stdout.take().ok_or("it has no output")?);
    let reader = std::thread::spawn(move || BufReader::new(output).lines().count());
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_kib(pid).unwrap_or(0));
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let lines = reader.join().map_err(|_| "its output was not read")?;
    match status.success() {
        true => Ok((began.elapsed(), lines, peak)),
        false => Err(format!("{command:?} failed").into()),
    }
}

fn call(config: &Path, command: &[&str]) -> Result<Child> {
    let mut call = Command::new(program()?);
    Ok(call.args(command).arg("--config").arg(config).stdout(Stdio::piped()).spawn()?)
}

/// The program that was built beside this one.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).ok_or("this program lies nowhere")?;
    let program = folder.join("mailmill");
    if program.is_file() { Ok(program) } else { Err("mailmill is not built".into()) }
}

/// The most memory of a process that was resident so far, in KiB.
fn peak_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or_default().trim().trim_end_matches("kB").trim().parse()?)
}
