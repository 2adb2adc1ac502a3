//! The engine dies between any two states of the queue, and is started again: every message that was
//! promised is delivered, those in flight once more at most, and nothing else is sent; and of each there
//! is one copy in the mailbox for sent mail.
//!
//! A point is told by its name and by how often it was reached: how many of all points come before it
//! is chance, as several threads reach them. Those of messages come as often in each life
//! ([`EACH_LIFE`]), so a life must die at each of them. Those of the store do not: commits of messages
//! that come together are one batch. Of these the first must be died at, as the first of every kind.
//!
//! `MAILMILL_TEST_KILLS=200` dies so often at random moments under load (else 20 times).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mailmill::clock::Clock;
use mailmill::config::Config;
use mailmill::maillog::{Form, Maillog};
use mailmill::send::{Figures, Queue, Runner, Spool};
use mailmill::store::Store;

use super::{letter, outgoing, plain, times};
use crate::crash::{Death, random, seed};
use crate::support::fake_smtp::{Act, FakeSmtp, Stage, Taken};
use crate::support::mill::PATIENCE;
use crate::support::power::powered;
use crate::support::queued::queued_files;

const FOLDER: &str = "MAILMILL_TEST_QUEUE";
const FROM: &str = "MAILMILL_TEST_QUEUE_FROM";
const COUNT: &str = "MAILMILL_TEST_QUEUE_COUNT";

/// Messages of one sweep: the last is written over one that is done.
const MESSAGES: usize = 4;

/// Lives that are counted before.
const LIVES: usize = 3;

/// How often a life reaches the points of messages: it takes four messages and makes a report of one;
/// one attempt of five and one more fails; four copies are put into a mailbox.
const EACH_LIFE: [(&str, usize); 12] = [
    ("QueueRecovered", 1),
    ("SpoolWritten", 5),
    ("SpoolSynced", 5),
    ("SpoolDurable", 5),
    ("Queued", 4),
    ("EndNoted", 5),
    ("EndAnswered", 5),
    ("AttemptUnwritten", 10),
    ("AttemptWritten", 10),
    ("CopyNoted", 4),
    ("CopyPut", 4),
    ("Dequeued", 5),
];

/// A relay that refuses one address for good, and one only the first time.
fn server() -> FakeSmtp {
    FakeSmtp::start(&["SIZE 1000000"], |stage, line, before| match stage {
        Stage::Rcpt if line.contains("<gone@") => Some(Act::Say("550 5.1.1 gone\r\n".into())),
        Stage::Mail if before == 1 => Some(Act::Say("451 4.3.0 later\r\n".into())),
        _ => None,
    })
}

fn prepare(port: u16) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let more = "smtp_connections = 2\nmaildir = \"office\"\nsent = \"Sent\"";
    let config = plain(port, more, "[queue]\nretry = [\"100ms\"]\n");
    std::fs::write(folder.path().join("mailmill.toml"), config).unwrap();
    std::fs::create_dir_all(folder.path().join("office/cur")).unwrap();
    folder
}

/// What one life of the engine promised, and whether it came to its end.
struct Life {
    promised: Vec<String>,
    ended: bool,
}

/// One life of a process that queues `count` messages from `from` on and sends all there is.
fn live(
    folder: &Path,
    (from, count): (usize, usize),
    fault: Option<(&str, Death)>,
    kill: Option<u64>,
) -> Life {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "send::crash::child_queues_and_sends", "--nocapture"])
        .env(FOLDER, folder)
        .env(FROM, from.to_string())
        .env(COUNT, count.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.env("MAILMILL_FAULT_REPORT", folder.join("points"));
    match fault {
        Some((point, Death::Kill)) => drop(command.env("MAILMILL_FAULT", format!("{point}:kill"))),
        Some((point, Death::Power { seed })) => {
            command.env("MAILMILL_FAULT", format!("{point}:power"));
            powered(&mut command, folder, seed);
        }
        None if kill.is_none() => drop(command.env("MAILMILL_FAULT", "count")),
        None => {}
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let killer = kill.map(|ms| {
        let pid = child.id().to_string();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(ms));
            let _ = Command::new("kill").args(["-KILL", &pid]).stderr(Stdio::null()).status();
        })
    });
    let mut life = Life { promised: Vec::new(), ended: false };
    for line in lines.map_while(Result::ok) {
        if let Some(at) = line.find("promised ") {
            life.promised.push(line[at + 9..].trim().to_owned());
        }
        life.ended |= line.contains("all is sent");
    }
    child.wait().unwrap();
    if let Some(killer) = killer {
        killer.join().unwrap();
    }
    life
}

/// The process that is killed; nothing where it is run as a test.
#[tokio::test(flavor = "multi_thread")]
async fn child_queues_and_sends() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<usize>().unwrap();
    let config = Config::load(&Path::new(&folder).join("mailmill.toml")).unwrap();
    let data = config.engine.data.clone();
    let log = Maillog::new(Form::Text, Clock::System, Box::new(std::io::sink()));
    let store = Store::open_within(&data, Duration::from_secs(5)).unwrap();
    let queue = Queue::new(store, Spool::open(&data).unwrap(), (Clock::System, log));
    queue.recover().unwrap();
    // A person looks at what is in doubt for the second time.
    let held: Vec<u64> =
        queue.list().unwrap().iter().filter(|e| e.held.is_some()).map(|e| e.id).collect();
    queue.release(&held).unwrap();
    let runner = Runner::start(queue.clone(), &Arc::new(config));
    let end = number(FROM) + number(COUNT);
    for at in number(FROM)..end {
        if at + 1 == end {
            all_sent(&queue).await;
        }
        let token = format!("m{at}");
        let own = format!("{token}@example.test");
        let to: &[&str] = match at % 3 {
            1 => &[&own, "gone@example.test"],
            _ => &[&own],
        };
        let mut file = queue.spool().begin();
        file.write(letter(&token).as_bytes()).await.unwrap();
        queue.accept(outgoing(&token, to), file).await.unwrap();
        println!("promised {token}");
    }
    all_sent(&queue).await;
    runner.stop(Duration::from_secs(5)).await;
    println!("all is sent");
}

async fn all_sent(queue: &Queue) {
    let until = Instant::now() + PATIENCE;
    // To read the whole queue again and again would keep those waiting who write it.
    while queue.figures() != Figures::default() || !queue.list().unwrap().is_empty() {
        // The life then did not come to its end, which is what the test is told.
        assert!(Instant::now() < until, "{:#?}", queue.figures());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// That of each promised message there is one copy.
fn check_copies(folder: &Path, promised: &[String]) -> Result<(), String> {
    let folders = ["new", "cur"].map(|name| folder.join("office/.Sent").join(name));
    let files = folders.iter().flat_map(std::fs::read_dir).flatten();
    let texts: Vec<String> =
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let copies = |token: &str| times(token, texts.iter().map(String::as_str));
    match promised.iter().find(|token| copies(token) != 1) {
        Some(token) => Err(format!("there are {} copies of {token}", copies(token))),
        None => Ok(()),
    }
}

/// How often each message and each report came, and that nothing else did.
fn check(server: &FakeSmtp, promised: &[String], deaths: usize) -> Result<(), String> {
    let taken = server.taken();
    let count = |token: &str, report: bool| {
        let texts = taken.iter().filter(|one| one.from.is_empty() == report);
        times(token, texts.map(|one| one.text.as_str()))
    };
    let mut repeats = 0;
    for token in promised {
        let number: usize = token[1..].parse().unwrap();
        let (sent, reports) = (count(token, false), count(token, true));
        let owed = usize::from(number % 3 == 1);
        if sent == 0 || reports < owed || (owed == 0 && reports > 0) {
            return Err(format!("{token} was sent {sent} times, {reports} reports"));
        }
        repeats += sent - 1 + (reports - owed);
    }
    // Two connections: two messages in flight at a death.
    if repeats > 2 * deaths {
        return Err(format!("{repeats} repeats of {deaths} deaths"));
    }
    let mut others = BTreeMap::new();
    for one in &taken {
        if let Some(wrong) = misdelivered(one) {
            return Err(wrong);
        }
        let token = one.text.lines().find_map(|line| line.strip_prefix("X-Token: "));
        let token = token.unwrap_or("no token").to_owned();
        if !promised.contains(&token) {
            *others.entry(token).or_insert(0) += 1;
        }
    }
    // What was written when the process died before it could say so.
    if others.len() > deaths {
        return Err(format!("nobody was promised these: {others:?}"));
    }
    Ok(())
}

/// A message that went to somebody it was not for.
fn misdelivered(one: &Taken) -> Option<String> {
    let token = one.text.lines().find_map(|line| line.strip_prefix("X-Token: "))?;
    let right = if one.from.is_empty() { "anna".to_owned() } else { token.to_owned() };
    let wrong = one.to.iter().any(|to| *to != format!("{right}@example.test"));
    wrong.then(|| format!("{token} went to {:?}", one.to))
}

#[test]
fn every_promise_is_kept_wherever_the_engine_dies() {
    sweep(|_| vec![Death::Kill]);
}

#[test]
fn every_promise_is_kept_wherever_the_power_goes() {
    let seed = seed();
    sweep(|point| vec![Death::Power { seed: 0 }, Death::Power { seed: seed + point as u64 }]);
}

/// The points of lives that end by themselves: how often each was reached at most.
fn points() -> BTreeMap<String, usize> {
    let mut most = BTreeMap::new();
    for _ in 0..LIVES {
        let relay = server();
        let folder = prepare(relay.port);
        let life = live(folder.path(), (0, MESSAGES), None, None);
        assert!(life.ended);
        check(&relay, &life.promised, 0).unwrap();
        check_copies(folder.path(), &life.promised).unwrap();
        let report = std::fs::read_to_string(folder.path().join("points")).unwrap();
        let mut reached = BTreeMap::<String, usize>::new();
        for line in report.lines() {
            *reached.entry(line.split_once(' ').unwrap().1.to_owned()).or_default() += 1;
        }
        for (name, times) in EACH_LIFE {
            assert_eq!(reached.get(name), Some(&times), "{name}: {reached:#?}");
        }
        assert!(reached["SpoolNamed"] < reached["SpoolWritten"], "no file was written over");
        for (name, times) in reached {
            let most = most.entry(name).or_insert(times);
            *most = times.max(*most);
        }
    }
    most
}

/// Whether a life must die at this point, the `number`th of its name.
fn must_die(name: &str, number: usize) -> bool {
    number == 1 || EACH_LIFE.iter().any(|(sure, times)| *sure == name && number <= *times)
}

fn sweep(deaths: impl Fn(usize) -> Vec<Death> + Sync) {
    let points: Vec<(String, usize)> = points()
        .into_iter()
        .flat_map(|(name, times)| (1..=times).map(move |number| (name.clone(), number)))
        .collect();
    let (next, died) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, number)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for death in deaths(*number) {
                        match die_at((name, *number), death) {
                            Ok(End::Died) => drop(died.fetch_add(1, Ordering::Relaxed)),
                            Ok(End::Lived) => {}
                            Err(why) => {
                                let why = format!("{name}#{number} {death:?}: {why}");
                                failures.lock().unwrap().push(why);
                            }
                        }
                    }
                }
            });
        }
    });
    println!("{} points, {} deaths", points.len(), died.into_inner());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether a life came to the point where it was to die.
enum End {
    Died,
    Lived,
}

fn die_at((name, number): (&str, usize), death: Death) -> Result<End, String> {
    let relay = server();
    let folder = prepare(relay.port);
    let point = format!("{name}#{number}");
    let first = live(folder.path(), (0, MESSAGES), Some((&point, death)), None);
    if first.ended && must_die(name, number) {
        return Err("it did not die".into());
    }
    let from = MESSAGES;
    let last = live(folder.path(), (from, 1), None, None);
    if !last.ended {
        return Err("no recovery".into());
    }
    let promised: Vec<String> = first.promised.into_iter().chain(last.promised).collect();
    check(&relay, &promised, usize::from(!first.ended))?;
    check_copies(folder.path(), &promised)?;
    let left = queued_files(&folder.path().join("data")).len();
    match left {
        0 if first.ended => Ok(End::Lived),
        0 => Ok(End::Died),
        left => Err(format!("{left} files are left")),
    }
}

#[test]
fn every_promise_is_kept_over_many_deaths_under_load() {
    let kills: usize =
        std::env::var("MAILMILL_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let mut seed = seed();
    let relay = FakeSmtp::start(&["SIZE 1000000"], |stage, line, _| match stage {
        Stage::Rcpt if line.contains("<gone@") => Some(Act::Say("550 5.1.1 gone\r\n".into())),
        _ => None,
    });
    let folder = prepare(relay.port);
    let (mut promised, mut deaths) = (Vec::new(), 0);
    for round in 0..kills {
        let life =
            live(folder.path(), (round * 1_000, 200), None, Some(100 + random(&mut seed) % 600));
        deaths += usize::from(!life.ended);
        promised.extend(life.promised);
    }
    let last = live(folder.path(), (kills * 1_000, 1), None, None);
    assert!(last.ended);
    promised.extend(last.promised);
    println!("{} promised over {deaths} deaths, {} taken", promised.len(), relay.taken().len());
    check(&relay, &promised, deaths).unwrap();
    check_copies(folder.path(), &promised).unwrap();
}
