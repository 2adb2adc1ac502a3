//! Accounts of one engine: some that flood, one that trickles, one whose server hangs. How long a
//! trickling message takes from its delivery to its folder, in calm and in the flood. Used by the
//! test and by the figure `cargo run --release --example fairness`, so it knows neither's engine.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time between two messages that trickle.
const EVERY: Duration = Duration::from_millis(100);

/// How long the last messages may take before it is an error.
const PATIENCE: Duration = Duration::from_secs(300);

/// The rule of all three: headers only, a move.
pub const RULE: &str = "fn inbound(mail) {\n    mail.tag(\"kind\", \"test\");\n    \
                        if mail.subject.contains(\"[T-\") { mail.move_to(\"Done\"); }\n}\n";

/// The names of accounts that flood; their Maildirs are called so.
pub fn flooding(accounts: usize) -> Vec<String> {
    (1..=accounts).map(|number| format!("flood-{number}")).collect()
}

/// The configuration, with the accounts that flood and the port of a server that hangs.
pub fn config(flooding: &[String], hanging: u16) -> String {
    let account = |name: &str, home: &str| {
        format!(
            "[accounts.{name}]\naddress = \"{name}@example.com\"\n{home}\ninbound = \"sort\"\n\n"
        )
    };
    let hangs = format!(
        "imap = \"imap://127.0.0.1:{hanging}\"\ntls = \"none\"\ndeadline = \"5m\"\n\
         login = {{ user = \"me\", password = {{ command = [\"echo\", \"secret\"] }} }}"
    );
    let floods: String =
        flooding.iter().map(|name| account(name, &format!("maildir = \"{name}\""))).collect();
    [
        floods,
        account("trickle", "maildir = \"trickle\""),
        account("hang", &hangs),
        "[pipelines.sort]\nsteps = [{ plugin = \"project-link\" }, { script = \"file\" }]\n".into(),
    ]
    .concat()
}

/// A server that takes every connection and never says a word. It lives as long as the process.
pub fn hanging_server() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            silent.push(stream);
        }
    });
    Ok(port)
}

/// Makes an empty Maildir.
pub fn make_maildir(maildir: &Path) -> io::Result<()> {
    ["new", "cur", "tmp"].iter().try_for_each(|part| fs::create_dir_all(maildir.join(part)))
}

/// Lets `count` messages arrive at once.
pub fn pour(maildir: &Path, count: usize) -> io::Result<()> {
    let ready = maildir.with_extension("ready");
    fs::create_dir_all(&ready)?;
    for number in 0..count {
        fs::write(ready.join(format!("{number}.flood")), message(number))?;
    }
    // The new folder takes the place of the empty one in one step.
    fs::rename(ready, maildir.join("new"))
}

/// Whether nothing is left in the inboxes of these Maildirs.
pub fn are_drained(maildirs: &[PathBuf]) -> io::Result<bool> {
    for part in maildirs.iter().flat_map(|maildir| ["new", "cur"].map(|part| maildir.join(part))) {
        if fs::read_dir(part)?.next().is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn message(number: usize) -> String {
    let project = number % 100;
    format!(
        "From: Ann <ann@example.org>\nTo: office@example.com\nSubject: [T-{project:03}] No. {number}\n\
         Message-ID: <{number}.{project}@example.org>\nDate: Thu, 12 Nov 2026 09:14:02 +0100\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{}",
        "A line of an ordinary message, as people write them.\n".repeat(20)
    )
}

/// How long each message took, shortest first.
#[derive(Debug)]
pub struct Latencies {
    took: Vec<Duration>,
    /// The longest that the measuring itself did not get on: a machine or disk that stalls.
    paused: Duration,
}

impl Latencies {
    /// How many messages.
    pub fn count(&self) -> usize {
        self.took.len()
    }

    /// So many per cent took no longer.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, most] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "{} messages: p50 {p50:.0?}, p99 {p99:.0?}, longest {most:.0?}", self.count())?;
        write!(f, " (the measuring itself paused for {:.0?} at most)", self.paused)
    }
}

/// Lets a message arrive every tenth of a second until `enough` says so of how many did, and waits
/// until each lies in `Done`.
///
/// # Errors
/// A folder that cannot be read, or a message that does not come within five minutes.
pub fn trickle(
    maildir: &Path,
    mut enough: impl FnMut(usize) -> io::Result<bool>,
) -> io::Result<Latencies> {
    let done = maildir.join(".Done");
    let mut known = names(&done)?;
    let mut delivered: Vec<Instant> = Vec::new();
    let mut took = Vec::new();
    let run = known.len();
    let mut next = Some(Instant::now());
    let (mut paused, mut round) = (Duration::ZERO, Instant::now());
    loop {
        paused = paused.max(round.elapsed());
        round = Instant::now();
        if next.is_some_and(|at| at <= Instant::now()) {
            next = match enough(delivered.len())? {
                true => None,
                false => {
                    let name = format!("{}.trickle", run + delivered.len());
                    fs::write(maildir.join("tmp").join(&name), message(delivered.len()))?;
                    fs::rename(maildir.join("tmp").join(&name), maildir.join("new").join(&name))?;
                    delivered.push(Instant::now());
                    Some(Instant::now() + EVERY)
                }
            };
        }
        for name in names(&done)? {
            if known.insert(name.clone()) {
                took.push(delivered[number(&name)? - run].elapsed());
            }
        }
        if next.is_none() && took.len() == delivered.len() {
            took.sort();
            return Ok(Latencies { took, paused });
        }
        if delivered.last().is_some_and(|last| last.elapsed() > PATIENCE) {
            return Err(io::Error::other("a trickling message did not come"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The base names in a mailbox; none where it is not there yet.
fn names(mailbox: &Path) -> io::Result<HashSet<String>> {
    let mut names = HashSet::new();
    for part in ["new", "cur"] {
        let Ok(entries) = fs::read_dir(mailbox.join(part)) else { continue };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.insert(name.split(':').next().unwrap_or_default().to_owned());
        }
    }
    Ok(names)
}

/// The number in a base name.
fn number(name: &str) -> io::Result<usize> {
    let number = name.split('.').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{name} was not delivered here")))
}
