//! How many messages a second the queue takes with everything on disk before each is promised, how long
//! it takes to drain, and what a large message costs in memory:
//!
//! ```text
//! cargo run --release --example sending [MESSAGES]
//! ```
//!
//! Messages have 10 KB, as in `smtp-source -l 10240` beside Postfix; no listener is between. They are
//! relayed to a server in this process that takes everything and keeps nothing.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mailmill::clock::Clock;
use mailmill::config::Config;
use mailmill::mail::{Envelope, EnvelopeAddress};
use mailmill::maillog::{Form, Maillog};
use mailmill::send::{Outgoing, Queue, Runner, Spool};
use mailmill::store::{Origin, Store};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SIZE: usize = 10_240;

#[tokio::main]
async fn main() -> Result<()> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let taken = Arc::new(AtomicU64::new(0));
    tokio::spawn(serve(listener, taken.clone()));
    // Beside the sources: not on a file system in memory.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("sending");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("mailmill.toml");
    std::fs::write(
        &file,
        format!("[accounts.a]\nsmtp = \"smtp://127.0.0.1:{port}\"\ntls = \"none\"\n"),
    )?;
    let config = Config::load(&file).map_err(|faults| faults.to_string())?;
    let log = Maillog::new(Form::Text, Clock::System, Box::new(std::io::sink()));
    let store = Store::open(&config.engine.data)?;
    let queue = Queue::new(store, Spool::open(&config.engine.data)?, (Clock::System, log));
    queue.recover()?;
    accept(&queue, 1, count / 10).await?;
    accept(&queue, 20, count - count / 10).await?;
    let (started, before) = (Instant::now(), resident());
    let runner = Runner::start(queue.clone(), &Arc::new(config));
    empty(&queue).await;
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} drained in {seconds:.1} s, {:.0}/s", count as f64 / seconds);
    large(&queue).await?;
    empty(&queue).await;
    println!("one of 50 MB accepted and sent: peak {} MB after {before} MB", resident());
    println!("{} taken by the server", taken.load(Ordering::Relaxed));
    runner.stop(Duration::from_secs(1)).await;
    drop(queue);
    Ok(std::fs::remove_dir_all(folder)?)
}

async fn empty(queue: &Queue) {
    while queue.figures().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets some sessions queue messages one after another, and says how it went.
async fn accept(queue: &Queue, sessions: usize, count: usize) -> Result<()> {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let queue = queue.clone();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for number in 0..count / sessions {
                let started = Instant::now();
                let mut file = queue.spool().begin();
                file.write(&vec![b'x'; SIZE]).await?;
                queue.accept(outgoing(number)?, file).await?;
                times.push(started.elapsed());
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    times.sort_unstable();
    let seconds = started.elapsed().as_secs_f64();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    let rate = times.len() as f64 / seconds;
    println!("{sessions} sessions: {rate:.0} accepted a second, p99 {p99:.1?}");
    Ok(())
}

async fn large(queue: &Queue) -> Result<()> {
    let mut file = queue.spool().begin();
    let line = [vec![b'x'; 76], b"\r\n".to_vec()].concat().repeat(1_000);
    for _ in 0..641 {
        file.write(&line).await?;
    }
    queue.accept(outgoing(0)?, file).await?;
    Ok(())
}

fn outgoing(number: usize) -> Result<Outgoing> {
    let address = EnvelopeAddress::new("bob@example.test")?;
    Ok(Outgoing {
        account: "a".into(),
        user: None,
        origin: Origin::Submission,
        envelope: Envelope::plain(None, vec![address]),
        message_id: Some(format!("m{number}@example.test")),
        subject: Some("About the glass".into()),
        project: None,
        generation: 1,
        digest: String::new(),
        held: None,
        changes: Vec::new(),
    })
}

/// The most memory that this process ever had, in MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

async fn serve(listener: TcpListener, taken: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(session(stream, taken.clone()));
    }
}

async fn session(stream: TcpStream, taken: Arc<AtomicU64>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 hello\r\n").await?;
    let (mut line, mut data) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer: &[u8] = match (data, &line[..]) {
            (true, b".\r\n") => {
                data = false;
                taken.fetch_add(1, Ordering::Relaxed);
                b"250 taken\r\n"
            }
            (true, _) => continue,
            (false, b"DATA\r\n") => {
                data = true;
                b"354 go on\r\n"
            }
            (false, b"QUIT\r\n") => return Ok(()),
            (false, _) => b"250 fine\r\n",
        };
        stream.get_mut().write_all(answer).await?;
    }
}
