//! How fast mail is taken in, beside Postfix doing the same in the same run:
//!
//! ```text
//! cargo run --release --example sending [MESSAGES] [ROUNDS] [SESSIONS]...
//! ```
//!
//! Both listen on loopback, sync each message before its 250, and pass it on meanwhile to where it is
//! thrown away: Postfix (a private instance, which needs root) to its discard transport, mailmill
//! through a pipeline of one script to a server here. Messages have 10 KB; a session hands over one after another on
//! one connection; 1, 4 and 20 sessions where none are named. Rounds are interleaved, each begins when what the one before left is
//! passed on and all sessions are logged in, figures are medians. Then 10,000 messages wait for a relay that is
//! away and are drained when it is back, and memory is looked at while messages of 50 MB pass.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod client;
mod mill;
mod postfix;
mod sink;

use client::{Load, Login};
use mill::Mill;
use postfix::Postfix;
use sink::Sink;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Bytes of a usual message.
const USUAL: usize = 10_240;

/// Bytes of a large one.
const LARGE: usize = 50 << 20;

/// The longest that what was taken in may take to be passed on.
const PASSED_ON: Duration = Duration::from_secs(120);

/// Messages that wait for the relay.
const WAITING: usize = 10_000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |usual| args.next().map_or(Ok(usual), |text| text.parse::<usize>());
    let (messages, rounds) = (number(2_000)?, number(3)?);
    let place = std::env::temp_dir().join(format!("mailmill-sending-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut sessions =
        args.map(|text| text.parse()).collect::<std::result::Result<Vec<usize>, _>>()?;
    if sessions.is_empty() {
        sessions = vec![1, 4, 20];
    }
    let done = threads.block_on(measure(&place, (messages, rounds, &sessions)));
    std::fs::remove_dir_all(&place)?;
    done
}

async fn measure(
    place: &Path,
    (messages, rounds, sessions): (usize, usize, &[usize]),
) -> Result<()> {
    let sink = Sink::start().await?;
    let mill = Mill::start(&place.join("mill"), sink.port()).await?;
    let postfix = Postfix::start(&place.join("postfix")).await?;
    println!("{messages} messages of {USUAL} bytes, {rounds} rounds, medians");
    for sessions in sessions.iter().copied() {
        let mut rows = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let load = Load { sessions, messages, size: USUAL };
            rows[0].push(load.run(postfix.port(), None).await?);
            postfix.drained(PASSED_ON).await?;
            rows[1].push(load.run(mill.port(), Some(mill.login())).await?);
            mill.drained(PASSED_ON).await?;
        }
        let [postfix, mailmill] = rows.map(median);
        println!("{sessions:2} sessions  postfix   {postfix}");
        println!("{sessions:2} sessions  mailmill  {mailmill}");
        println!("{sessions:2} sessions  ratio     {:.2}", mailmill.rate() / postfix.rate());
    }
    postfix.stop().await?;
    large(&mill).await?;
    drain(mill, &sink).await
}

/// How much memory passes of 50 MB take.
async fn large(mill: &Mill) -> Result<()> {
    let before = mill.peak_kib()?;
    let took = Load { sessions: 2, messages: 4, size: LARGE }.run(mill.port(), Some(mill.login()));
    let took = took.await?;
    mill.drained(PASSED_ON).await?;
    let after = mill.peak_kib()?;
    println!(
        "4 messages of {LARGE} bytes in {:.2} s: peak {} MB before, {} MB after",
        took.wall.as_secs_f64(),
        before / 1000,
        after / 1000
    );
    Ok(())
}

/// How long a full queue takes once its relay is back.
async fn drain(mill: Mill, sink: &Sink) -> Result<()> {
    sink.refuse();
    let before = sink.taken();
    let load = Load { sessions: 20, messages: WAITING, size: USUAL };
    let took = load.run(mill.port(), Some(mill.login())).await?;
    println!("{WAITING} taken in while the relay was away: {took}");
    sink.accept();
    let (passed, began) = (sink.taken() - before, Instant::now());
    mill.retry_all().await?;
    sink.wait(before + WAITING, Duration::from_secs(600)).await?;
    let wall = began.elapsed().as_secs_f64();
    let drained = WAITING - passed;
    println!("{drained} drained in {wall:.1} s: {:.0} a second", drained as f64 / wall);
    mill.stop().await
}

fn median(mut all: Vec<client::Took>) -> client::Took {
    all.sort_by_key(|took| took.wall);
    all.swap_remove(all.len() / 2)
}

/// A free port.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits for who listens there.
async fn listening(port: u16, what: &str, log: PathBuf) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if Instant::now() > until {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return Err(format!("{what} does not listen:\n{log}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
