//! Whether an account that floods makes others wait: how long a message takes from its delivery to
//! its folder, in calm and while 100,000 messages of another account are worked off, beside an
//! account whose server hangs:
//!
//! ```text
//! cargo run --release --example fairness [MESSAGES] [ACCOUNTS]
//! ```
//!
//! ACCOUNTS is how many the flood is divided among (1).
//!
//! All mail lies in Maildirs in the folder for temporary files; one engine with its store there serves
//! the three accounts. A Maildir without events is looked at every 200 ms, which is most of the
//! latency in calm.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../support/fairness.rs"]
mod fairness;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use mailmill::cli::{self, Output};

const ENGINE: &str = "MAILMILL_FAIRNESS_ENGINE";

/// Messages that trickle in calm.
const CALM: usize = 200;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<ExitCode> {
    if std::env::var_os(ENGINE).is_some() {
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        let exit = cli::main(
            ["mailmill".into(), "run".into()],
            &mut Output { out: &mut out, err: &mut err },
        );
        return Ok(ExitCode::from(exit.code()));
    }
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(Ok(100_000), |count| count.parse())?;
    let accounts = args.next().map_or(Ok(1), |accounts| accounts.parse())?;
    let folder = std::env::temp_dir().join(format!("mailmill-fairness-{}", std::process::id()));
    let measured = measure(&folder, count, &fairness::flooding(accounts));
    fs::remove_dir_all(&folder)?;
    measured.map(|()| ExitCode::SUCCESS)
}

fn measure(folder: &Path, count: usize, flooding: &[String]) -> Result<()> {
    let trickle = folder.join("trickle");
    let floods: Vec<PathBuf> = flooding.iter().map(|name| folder.join(name)).collect();
    fairness::make_maildir(&trickle)?;
    floods.iter().try_for_each(|flood| fairness::make_maildir(flood))?;
    for part in ["scripts", "plugins"] {
        fs::create_dir(folder.join(part))?;
    }
    let config = fairness::config(flooding, fairness::hanging_server()?);
    fs::write(folder.join("mailmill.toml"), config)?;
    fs::write(folder.join("scripts/file.rhai"), fairness::RULE)?;
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/project-link.wasm");
    fs::copy(plugin, folder.join("plugins/project-link.wasm"))?;
    let log = File::create(folder.join("log"))?;
    let mut engine = Command::new(std::env::current_exe()?);
    engine.env(ENGINE, "1").current_dir(folder).stdout(log.try_clone()?).stderr(log);
    let mut engine = engine.spawn()?;
    let told = tell(&floods, &trickle, count);
    engine.kill()?;
    engine.wait()?;
    told
}

fn tell(floods: &[PathBuf], trickle: &Path, count: usize) -> Result<()> {
    // The first message waits for the engine's start.
    fairness::trickle(trickle, |sent| Ok(sent == 1))?;
    let calm = fairness::trickle(trickle, |sent| Ok(sent == CALM))?;
    println!("calm:  {calm}");
    floods.iter().try_for_each(|flood| fairness::pour(flood, count / floods.len()))?;
    let started = Instant::now();
    let flooded = fairness::trickle(trickle, |_| fairness::are_drained(floods))?;
    println!("flood: {flooded}");
    let ratio = |percent| {
        flooded.percentile(percent).as_secs_f64() / calm.percentile(percent).as_secs_f64()
    };
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!(
        "{count} messages in {:.1?} ({rate:.0} a second); p50 {:.1} times, p99 {:.1} times that in calm",
        started.elapsed(),
        ratio(50),
        ratio(99)
    );
    Ok(())
}
