//! The engine dies again and again while users hand over mail: what was answered `250`, and what
//! `sendmail` took, reaches a real SMTP server; what was in flight does so once more at most; nothing
//! else is sent. Some messages are held by a rule: a person releases half of them meanwhile, and the
//! word of a person who was told that it is done holds over each death; the others are never sent.
//!
//! `MAILMILL_KILLS=200` dies so often (else 40 times), `MAILMILL_TEST_SEED` at the same moments again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Client, LOGIN, Office, drop};
use crate::crash::{random, seed};
use crate::support::mill::{Mill, PATIENCE, Running};
use crate::support::queued::queued_files;
use crate::support::sink::Sink;

/// Programs that hand over mail to the listener at once.
const CLIENTS: usize = 3;
/// Connections to the relay, which is how many messages are in flight at a death at most
/// (`smtp_connections` as it is without being set).
const CONNECTIONS: usize = 2;
/// Messages that were promised for each death at least: else nothing was tested.
const ENOUGH: usize = 10;
/// One message of so many is never finished.
const CUT: usize = 40;

/// One message of so many is held by a rule.
const HELD: usize = 12;
/// The tokens of those that a person releases begin so, and those of the ones that nobody releases.
const RELEASED: &str = "released-";
const KEPT: &str = "kept-";
/// Why the rule holds them.
const RULE: &str = "somebody should look";

/// What the threads that hand over mail have in common.
struct Load<'t> {
    mill: &'t Mill,
    /// Of the listener, 0 while there is none.
    port: AtomicU16,
    stop: AtomicBool,
    /// Messages that were promised so far.
    promised: AtomicUsize,
}

/// Lets the load end, also where the test has failed.
struct Stopping<'l, 't>(&'l Load<'t>);

impl Drop for Stopping<'_, '_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Whether the end of a message's data is sent, or the connection closed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Sent,
    Missing,
}

/// What became of the messages, by token, as far as those who handed them over know.
#[derive(Debug, Default)]
struct Notes {
    promised: BTreeSet<String>,
    /// Their end was sent and no answer came.
    in_flight: BTreeSet<String>,
    refused: usize,
    /// A person released them, and was told that it is done.
    released: BTreeSet<String>,
}

impl Notes {
    fn add(&mut self, other: Self) {
        self.released.extend(other.released);
        self.promised.extend(other.promised);
        self.in_flight.extend(other.in_flight);
        self.refused += other.refused;
    }
}

/// A message up to its last line, which names it again.
fn message(token: &str, line_end: &str) -> String {
    let line = "A line of a message that is neither short nor long.";
    let subject = if is_held(token) { "Subject: hold me" } else { "Subject: count" };
    ["To: carl@example.org", subject, &format!("Message-ID: <{token}@load.example>"), ""]
        .into_iter()
        .chain(std::iter::repeat_n(line, 40))
        .flat_map(|line| [line, line_end])
        .collect()
}

fn is_held(token: &str) -> bool {
    token.starts_with(RELEASED) || token.starts_with(KEPT)
}

fn last_line(token: &str) -> String {
    format!("end of {token}")
}

/// Hands over one message after another to the listener, in new sessions after each death.
fn client(load: &Load<'_>, number: usize) -> Notes {
    let mut notes = Notes::default();
    let mut serial = 0;
    while load.goes_on() {
        let Some(mut client) = log_in(load) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        while load.goes_on() {
            serial += 1;
            let kind = match serial % (2 * HELD) {
                0 => RELEASED,
                HELD => KEPT,
                _ => "",
            };
            let token = format!("{kind}client{number}-{serial:06}");
            let end = if serial % CUT == 0 { End::Missing } else { End::Sent };
            if hand_over(&mut client, (&token, end), &mut notes).is_none() {
                break;
            }
            load.promised.fetch_add(1, Ordering::Relaxed);
        }
    }
    notes
}

fn log_in(load: &Load<'_>) -> Option<Client> {
    let port = Some(load.port.load(Ordering::Relaxed)).filter(|port| *port != 0)?;
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut client = Client { stream: BufReader::new(stream) };
    client.next_reply().filter(|reply| reply.0 == 220)?;
    client.say(LOGIN);
    client.next_reply().filter(|reply| reply.0 == 250)?;
    client.next_reply().filter(|reply| reply.0 == 235)?;
    Some(client)
}

/// Hands over a message; `None` where the session is over.
fn hand_over(client: &mut Client, (token, end): (&str, End), notes: &mut Notes) -> Option<()> {
    for (command, code) in
        [("MAIL FROM:<anna@example.com>", 250), ("RCPT TO:<carl@example.org>", 250), ("DATA", 354)]
    {
        client.say(format!("{command}\r\n"));
        client.next_reply().filter(|reply| reply.0 == code)?;
    }
    client.say(format!("From: anna@example.com\r\n{}", message(token, "\r\n")));
    if end == End::Missing {
        return None;
    }
    notes.in_flight.insert(token.into());
    client.say(format!("{}\r\n.\r\n", last_line(token)));
    let (code, _) = client.next_reply()?;
    notes.in_flight.remove(token);
    if code != 250 {
        notes.refused += 1;
        return None;
    }
    notes.promised.insert(token.into());
    Some(())
}

/// Hands over one message after another with `sendmail`, whether an engine runs or not.
fn sendmail(load: &Load<'_>) -> Notes {
    let mut notes = Notes::default();
    let mut serial = 0;
    while load.goes_on() {
        serial += 1;
        let token = format!("sendmail-{serial:06}");
        let text = format!("{}{}\n", message(&token, "\n"), last_line(&token));
        let called = drop::call(load.mill.command(&["sendmail", "-t", "-i"]), text);
        assert_eq!(called, (0, String::new()));
        notes.promised.insert(token);
        // The pace of a program that sends now and then.
        std::thread::sleep(Duration::from_millis(50));
    }
    notes
}

/// The person who releases what the rule holds, whether an engine runs or not.
fn person(load: &Load<'_>) -> Notes {
    let mut notes = Notes::default();
    while load.goes_on() {
        // An engine that dies meanwhile, or starts, gives no answer.
        let listed = load.mill.call(&["queue", "list", "--json"]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        let listed = listed.lines().filter_map(|line| serde_json::from_str(line).ok());
        let waiting: Vec<Value> = listed.collect();
        for (token, id) in held_by_rule(&waiting).filter(|(token, _)| token.starts_with(RELEASED)) {
            let called = load.mill.call(&["queue", "release", &id]);
            if called.status.success() {
                assert!(notes.released.insert(token.clone()), "{token} is held again");
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    notes
}

/// The messages that the rule holds, with their ids in the queue.
fn held_by_rule(waiting: &[Value]) -> impl Iterator<Item = (String, String)> {
    let held = waiting.iter().filter(|entry| entry["held"].as_str().is_some_and(by_rule));
    held.map(|entry| (token(entry), entry["id"].to_string()))
}

fn by_rule(why: &str) -> bool {
    why.contains(RULE)
}

fn token(entry: &Value) -> String {
    entry["message_id"].as_str().unwrap().trim_end_matches("@load.example").to_owned()
}

/// Waits until the engine listens; the port.
fn listening(running: &mut Running) -> u16 {
    let event = running.wait_event("listening");
    let address = event["address"].as_str().unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One life of the engine: it dies while it starts, or soon after it took so many messages, or soon
/// after it relayed so many.
fn live_and_die(load: &Load<'_>, sink: &Sink, seed: &mut u64) {
    let mut running = load.mill.start();
    let more = ENOUGH + usize::try_from(random(seed) % 60).unwrap();
    let moment = match random(seed) % 5 {
        0 => random(seed) % 400,
        kind => {
            load.port.store(listening(&mut running), Ordering::Relaxed);
            if kind == 1 {
                let goal = sink.count() + more;
                wait_until("mail is relayed", || sink.count() >= goal);
            } else {
                let goal = load.promised.load(Ordering::Relaxed) + more;
                let promised = || load.promised.load(Ordering::Relaxed);
                wait_until("mail is taken", || promised() >= goal);
            }
            random(seed) % 20
        }
    };
    std::thread::sleep(Duration::from_millis(moment));
    running.kill();
    load.port.store(0, Ordering::Relaxed);
}

/// What waits in the queue.
fn queue(mill: &Mill) -> Vec<Value> {
    let listed = mill.expect(0, &["queue", "list", "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until nothing is to be sent any more; what waits for a person then.
fn drained(mill: &Mill) -> Vec<Value> {
    let until = Instant::now() + PATIENCE * 2;
    loop {
        let dropped = std::fs::read_dir(mill.path("data/drop")).unwrap().count();
        let waiting = queue(mill);
        if dropped == 0 && waiting.iter().all(|entry| entry["held"].is_string()) {
            return waiting;
        }
        assert!(Instant::now() < until, "{dropped} dropped and {} queued", waiting.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Every copy of every message that the server took, by token.
type Taken = BTreeMap<String, Vec<String>>;

fn taken(sink: &Sink) -> Taken {
    let mut taken = Taken::new();
    for stored in sink.stored() {
        let field = |name| stored.text.lines().find_map(|line| line.strip_prefix(name));
        let id = field("Message-ID: <").and_then(|id| id.strip_suffix("@load.example>"));
        let token = id.unwrap_or_else(|| panic!("what is this? {}", stored.text)).to_owned();
        let whole = stored.text.ends_with(&format!("\r\n{}\r\n", last_line(&token)));
        // The rule says nothing more of what it holds.
        let ruled = field("X-User: ").is_some() || is_held(&token);
        assert!(whole && ruled, "{}", stored.text);
        taken.entry(token).or_default().push(stored.text);
    }
    taken
}

/// Promised messages that were not taken, and a complaint about each one that was taken and should
/// not have been, or too often.
fn compare(
    notes: &Notes,
    taken: &Taken,
    most: impl Fn(&str) -> usize,
) -> (BTreeSet<String>, Vec<String>) {
    let missing = notes.promised.iter().filter(|token| !taken.contains_key(*token));
    let mut wrong = Vec::new();
    for (token, copies) in taken {
        if !notes.promised.contains(token) && !notes.in_flight.contains(token) {
            wrong.push(format!("{token}: nobody was promised it"));
        }
        if copies.len() > most(token) {
            wrong.push(format!("{token}: sent {} times", copies.len()));
        }
        if copies.iter().any(|copy| *copy != copies[0]) {
            wrong.push(format!("{token}: its copies differ"));
        }
    }
    (missing.cloned().collect(), wrong)
}

/// The script counted every message that was taken in once, and each of them was sent.
fn check_counts(taken: &Taken) {
    let count = |copies: &Vec<String>| -> usize {
        let count = copies[0].lines().find_map(|line| line.strip_prefix("X-Count: "));
        count.unwrap().parse().unwrap()
    };
    let counted = taken.iter().filter(|(token, _)| !is_held(token));
    let mut counts: Vec<usize> = counted.map(|(_, copies)| count(copies)).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=counts.len()).collect::<Vec<_>>());
}

fn under_load(load: &Load<'_>, sink: &Sink, deaths: usize, seed: &mut u64) -> Notes {
    let stopping = Stopping(load);
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || client(load, number))).collect();
        let sendmail = scope.spawn(move || sendmail(load));
        let person = scope.spawn(move || person(load));
        // Dropped here, also by a panic.
        let stopping = stopping;
        (0..deaths).for_each(|_| live_and_die(load, sink, seed));
        std::mem::drop(stopping);
        let mut notes = sendmail.join().unwrap();
        notes.add(person.join().unwrap());
        clients.into_iter().for_each(|client| notes.add(client.join().unwrap()));
        notes
    })
}

/// The messages that wait for a person because they were in flight at two deaths, with their ids in
/// the queue: all that the rule does not hold.
fn doubtful(waiting: &[Value]) -> BTreeMap<String, String> {
    let others = waiting.iter().filter(|entry| !entry["held"].as_str().is_some_and(by_rule));
    let doubtful = |entry: &Value| {
        assert!(entry["held"].as_str().unwrap().starts_with("twice the connection"), "{entry}");
        (token(entry), entry["id"].to_string())
    };
    others.map(doubtful).collect()
}

/// What the rule holds in the end: all that was promised and never released, nothing that a person was
/// told to be released.
fn check_held(notes: &Notes, waiting: &[Value]) {
    let held: BTreeSet<String> = held_by_rule(waiting).map(|(token, _)| token).collect();
    let again: Vec<_> = held.intersection(&notes.released).collect();
    assert!(again.is_empty(), "released and held again: {again:?}");
    let kept = notes.promised.iter().filter(|token| token.starts_with(KEPT));
    let lost: Vec<_> = kept.filter(|token| !held.contains(*token)).collect();
    assert!(lost.is_empty(), "held by a rule, and not there any more: {lost:?}");
    let known =
        |token: &&String| notes.promised.contains(*token) || notes.in_flight.contains(*token);
    let unknown: Vec<_> = held.iter().filter(|token| !known(token)).collect();
    assert!(unknown.is_empty(), "held, and nobody was promised it: {unknown:?}");
}

/// Releases these; nothing where there are none.
fn release<'i>(mill: &Mill, ids: impl Iterator<Item = &'i str>) {
    let call: Vec<&str> = ["queue", "release"].into_iter().chain(ids).collect();
    if call.len() > 2 {
        mill.expect(0, &call);
    }
}

/// Lets the last engine send what there is, and then what waits for a person; how much of that there
/// was, and what the server took in all.
fn settle(mill: &Mill, sink: &Sink, notes: &Notes) -> (usize, Taken) {
    let mut running = mill.start();
    running.wait_event("started");
    let waiting = drained(mill);
    let doubtful = doubtful(&waiting);
    let held: BTreeMap<String, String> = held_by_rule(&waiting).collect();
    // Nobody looked at anything yet: twice is the most.
    check_taken(
        notes,
        &taken(sink),
        |token| doubtful.contains_key(token) || held.contains_key(token),
        |_| 2,
    );
    check_held(notes, &waiting);
    let late = held.iter().filter(|(token, _)| token.starts_with(RELEASED));
    release(mill, doubtful.values().chain(late.map(|(_, id)| id)).map(String::as_str));
    let kept = drained(mill);
    assert!(kept.iter().all(|entry| token(entry).starts_with(KEPT)), "{kept:#?}");
    check_held(notes, &kept);
    let ids: Vec<String> = kept.iter().map(|entry| entry["id"].to_string()).collect();
    mill.expect(
        0,
        &["queue", "drop"].into_iter().chain(ids.iter().map(String::as_str)).collect::<Vec<_>>(),
    );
    assert_eq!(running.terminate().0, Some(0));
    assert!(queued_files(&mill.path("data")).is_empty());
    let taken = taken(sink);
    let most = |token: &str| 2 + usize::from(doubtful.contains_key(token));
    check_taken(notes, &taken, |token| token.starts_with(KEPT), most);
    (doubtful.len(), taken)
}

/// Nothing is lost but what still waits, and nothing is sent that should not be, or too often.
fn check_taken(
    notes: &Notes,
    taken: &Taken,
    waits: impl Fn(&str) -> bool,
    most: impl Fn(&str) -> usize,
) {
    let (mut missing, mut wrong) = compare(notes, taken, most);
    missing.retain(|token| !waits(token));
    let held = taken.keys().filter(|token| token.starts_with(KEPT));
    wrong.extend(held.map(|token| format!("{token}: sent, and nobody released it")));
    assert!(wrong.is_empty() && missing.is_empty(), "{wrong:#?}, lost: {missing:#?}");
}

#[test]
fn what_was_promised_is_sent_over_many_deaths() {
    let deaths = std::env::var("MAILMILL_KILLS").map_or(40, |deaths| deaths.parse().unwrap());
    let (started, mut seed) = (Instant::now(), seed());
    let sink = Sink::start(&[]);
    let office = Office::stopped("", &sink.port.to_string());
    drop::me(&office);
    let mill = &office.mill;
    std::fs::create_dir(mill.path("data")).unwrap();
    let load = Load {
        mill,
        port: AtomicU16::default(),
        stop: AtomicBool::default(),
        promised: AtomicUsize::default(),
    };
    let notes = under_load(&load, &sink, deaths, &mut seed);
    let (held, taken) = settle(mill, &sink, &notes);
    let Notes { promised, in_flight, refused, released } = &notes;
    let kept = promised.iter().filter(|token| token.starts_with(KEPT)).count();
    let repeats: usize = taken.values().map(|copies| copies.len() - 1).sum();
    println!(
        "{deaths} deaths, {} promised, {repeats} repeats, {held} in doubt twice, {} released by a \
         person, {kept} held to the end, {} in flight of which {} were sent, {refused} refused, {:.1?}",
        promised.len(),
        released.len(),
        in_flight.len(),
        in_flight.iter().filter(|token| taken.contains_key(*token)).count(),
        started.elapsed()
    );
    check_counts(&taken);
    assert!(repeats <= CONNECTIONS * deaths, "{repeats} repeats");
    assert!(in_flight.len() <= CLIENTS * deaths, "{in_flight:?}");
    assert!(kept > 0 && !released.is_empty(), "nothing was held, or nothing released");
    assert!(promised.len() >= ENOUGH * deaths, "too little was promised: nothing was tested");
}
