//! Two hundred deaths at random moments while mail arrives on a server and in a Maildir.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mailmill::store::{State, Store};

use super::{random, seed};
use crate::support::dovecot::{Dovecot, Profile};
use crate::support::mill::{Mill, signal};
use crate::support::power::powered;

/// How often the engine dies at least: it goes on until enough was sorted in between.
const DEATHS: usize = 200;

/// Messages that are sorted between the deaths at least, as far as the Maildir tells.
const ENOUGH: usize = 300;

/// Messages that wait in the Maildir before more arrive, so that a slow machine is not flooded.
const WAITING: usize = 100;

/// How long the engine lives, in milliseconds.
const LIFE: std::ops::Range<u64> = 20..400;

const ALICE: &str = "alice@example.test";

const SCRIPT: &str = r#"
fn inbound(mail) {
    let n = mail.state.get("n");
    mail.state.set("n", if n == () { "1" } else { (parse_int(n) + 1).to_string() });
    let kind = mail.header("X-Kind");
    if kind == "move" { mail.move_to("Filed/A"); }
    if kind == "copy" { mail.copy_to("Copies"); mail.move_to("Filed/B"); }
    if kind == "flag" { mail.add_flag("\\Flagged"); mail.move_to("Filed/A"); }
    if kind == "shelf" { mail.set_header("X-Shelf", "yes"); mail.deliver_to("shelf"); mail.move_to("Filed/C"); }
    if kind == "colleague" { mail.deliver_to("desk"); }
    if kind == "stay" { mail.add_flag("\\Flagged"); }
    if kind == "watched" { mail.link("T-071", "kind"); mail.move_to("Watched"); }
}
"#;

/// What a message asks for, where it is to be then, and with which flags.
const KINDS: [(&str, &[(&str, &str)]); 7] = [
    ("move", &[("Filed/A", "")]),
    ("copy", &[("Copies", ""), ("Filed/B", "")]),
    ("flag", &[("Filed/A", "flagged")]),
    ("shelf", &[("shelf", ""), ("Filed/C", "")]),
    ("colleague", &[("INBOX", ""), ("desk", "")]),
    ("stay", &[("INBOX", "flagged")]),
    ("watched", &[("Watched", "")]),
];

/// Stops the feeding, also where the test has failed.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where each message is: place and flags, by token.
type Places = BTreeMap<String, Vec<String>>;

fn mill(server: &Dovecot) -> Mill {
    let imap = format!(
        "imap = \"imap://127.0.0.1:{}\"\ntls = \"none\"\n\
         login = {{ user = \"{ALICE}\", password = {{ env = \"ALICE\" }} }}\n",
        server.imap_port
    );
    let watch =
        "watch = [{ mailbox = \"INBOX\" }, { mailbox = \"Watched\" }]\ninbound = \"sort\"\n";
    let mill = Mill::new(&format!(
        "[accounts.server]\n{imap}{watch}[accounts.office]\nmaildir = \"office\"\n{watch}\
         [accounts.desk]\n{imap}\
         [targets.shelf]\nmaildir = \"shelf\"\n[targets.desk]\naccount = \"desk\"\nmailbox = \"Desk\"\n\
         [pipelines.sort]\nsteps = [{{ script = \"sort\" }}]\n"
    ));
    mill.write("scripts/sort.rhai", SCRIPT);
    for folder in ["office/cur", "office/.Watched/cur"] {
        std::fs::create_dir_all(mill.path(folder)).unwrap();
    }
    server.doveadm(&["mailbox", "create", "-u", ALICE, "Watched"]);
    mill.env("ALICE", "alice-pw")
}

fn message(token: &str, kind: &str) -> String {
    format!(
        "From: ann@example.org\r\nSubject: {kind}\r\nMessage-ID: <{token}@example.org>\r\n\
         X-Token: {token}\r\nX-Kind: {kind}\r\n\r\nHello from {token}.\r\n"
    )
}

/// Lets mail arrive in both accounts until it is told to stop; where all of it must be in the end.
fn feed(server: &Dovecot, mill: &Mill, stop: &AtomicBool) -> Places {
    let mut expected = Places::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut letters = Vec::new();
        for _ in 0..KINDS.len() {
            number += 1;
            let (kind, places) = KINDS[number % KINDS.len()];
            for account in ["server", "office"] {
                let token = format!("{account}-{number:05}");
                let letter = message(&token, kind);
                match account {
                    "server" => letters.push(letter),
                    _ => mill.deliver("office", &format!("{number:05}"), letter),
                }
                let place = |(place, flags): &(&str, &str)| match *place {
                    "shelf" | "desk" => format!("{place} {flags}"),
                    _ => format!("{account} {place} {flags}"),
                };
                let mut places: Vec<String> = places.iter().map(place).collect();
                places.sort();
                expected.insert(token, places);
            }
        }
        server.deliver_all(ALICE, "INBOX", letters.iter().map(String::as_bytes));
        // The pace of the arriving mail.
        std::thread::sleep(Duration::from_millis(150));
        while number > sorted_in_maildir(mill) + WAITING && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    expected
}

/// About how many messages were sorted: one in seven goes to a folder where no other goes.
fn sorted_in_maildir(mill: &Mill) -> usize {
    let folder = mill.path("office/.Filed.C");
    let files = |part| std::fs::read_dir(folder.join(part)).map_or(0, Iterator::count);
    (files("new") + files("cur")) * KINDS.len()
}

fn found(server: &Dovecot, mill: &Mill) -> Places {
    let mut found = Places::new();
    let fields = "mailbox hdr.x-token flags";
    let printed = server.doveadm(&["-f", "tab", "fetch", "-u", ALICE, fields, "all"]);
    for line in printed.lines().skip(1) {
        let [mailbox, token, flags] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let flagged = if flags.contains("\\Flagged") { "flagged" } else { "" };
        let place = match mailbox {
            "Desk" => format!("desk {flagged}"),
            _ => format!("server {mailbox} {flagged}"),
        };
        found.entry(token.to_owned()).or_default().push(place);
    }
    let mut folders = vec![(mill.path("shelf"), "shelf".to_owned())];
    for mailbox in ["INBOX", "Filed/A", "Filed/B", "Filed/C", "Copies", "Watched"] {
        let folder = if mailbox == "INBOX" { "".into() } else { mailbox.replace('/', ".") };
        let folder = if folder.is_empty() { folder } else { format!(".{folder}") };
        folders.push((mill.path("office").join(folder), format!("office {mailbox}")));
    }
    for (folder, place) in folders {
        for part in ["new", "cur"] {
            for file in std::fs::read_dir(folder.join(part)).unwrap().map(Result::unwrap) {
                let name = file.file_name().into_string().unwrap();
                let flagged = if name.ends_with(":2,F") { "flagged" } else { "" };
                let text = std::fs::read_to_string(file.path()).unwrap();
                assert!(text.ends_with(".\r\n"), "{name} in {place} is cut");
                let token = text.lines().find_map(|line| line.strip_prefix("X-Token: ")).unwrap();
                found.entry(token.to_owned()).or_default().push(format!("{place} {flagged}"));
            }
        }
    }
    found.values_mut().for_each(|places| places.sort());
    found
}

/// Milliseconds in which an engine certainly comes to sort something: more where others load the machine
/// and already a look at the rules takes long.
fn longest_life(mill: &Mill) -> u64 {
    let started = Instant::now();
    mill.expect(0, &["check"]);
    let look = u64::try_from(started.elapsed().as_millis()).unwrap();
    LIFE.end.max(look * 6)
}

/// Starts the engine and lets it die at a random moment: every third time with the power.
fn live_and_die(mill: &Mill, longest: u64, seed: &mut u64) {
    let life = LIFE.start + random(seed) % (longest - LIFE.start);
    let loses_power = random(seed).is_multiple_of(3);
    let mut command = mill.command(&["run", "--log", "none"]);
    if loses_power {
        powered(&mut command, &mill.path(""), random(seed) % 4);
    }
    let log = std::fs::File::options().append(true).create(true).open(mill.path("err")).unwrap();
    let mut child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(life));
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {}", errors(mill));
    signal(child.id(), if loses_power { "PWR" } else { "KILL" });
    child.wait().unwrap();
}

fn errors(mill: &Mill) -> String {
    std::fs::read_to_string(mill.path("err")).unwrap()
}

#[test]
fn two_hundred_deaths_under_load_lose_and_double_nothing() {
    let server = Dovecot::start(Profile::Full);
    let mill = mill(&server);
    let mut seed = seed();
    let (started, stop) = (Instant::now(), AtomicBool::new(false));
    let stopping = Stopping(&stop);
    let (expected, deaths) = std::thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(&server, &mill, &stop));
        // Dropped here, also by a panic.
        let _stopping = stopping;
        let mut longest = LIFE.end;
        let mut deaths = 0;
        while deaths < DEATHS || sorted_in_maildir(&mill) < ENOUGH {
            if deaths % 10 == 0 {
                longest = longest_life(&mill);
            }
            live_and_die(&mill, longest, &mut seed);
            deaths += 1;
            assert!(deaths < DEATHS * 10, "too little was sorted under way: nothing was tested");
        }
        stop.store(true, Ordering::Relaxed);
        (feeder.join().unwrap(), deaths)
    });
    let sorted = settled(&mill);
    mill.expect(0, &["run", "--once", "--log", "none"]);
    // What a server refused for a moment is held for a minute: not waited for here.
    while mill.expect(0, &["held", "list"]).lines().count() > 0 {
        mill.expect(0, &["held", "retry"]);
        mill.expect(0, &["run", "--once", "--log", "none"]);
    }
    println!(
        "{deaths} deaths, {} messages, {sorted} of them sorted in between, {:.1?}",
        expected.len(),
        started.elapsed()
    );
    let found = found(&server, &mill);
    let mut wrong: Vec<String> = Vec::new();
    for token in expected.keys().chain(found.keys()) {
        if expected.get(token) != found.get(token) {
            wrong.push(format!("{token}: {:?} not {:?}", found.get(token), expected.get(token)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    check_store(&mill, &expected);
}

fn settled(mill: &Mill) -> usize {
    let store = Store::open(&mill.path("data")).unwrap();
    let records = store.recent(usize::MAX).unwrap();
    records.iter().filter(|record| record.state == State::Settled).count()
}

/// Each message has one record, settled, and was counted once by the rules.
fn check_store(mill: &Mill, expected: &Places) {
    let store = Store::open(&mill.path("data")).unwrap();
    let records = store.recent(usize::MAX).unwrap();
    assert!(records.iter().all(|record| record.state == State::Settled));
    let mut ids: Vec<_> = records.iter().map(|record| record.message_id.clone().unwrap()).collect();
    ids.sort();
    let mut tokens: Vec<_> = expected.keys().map(|token| format!("{token}@example.org")).collect();
    tokens.sort();
    assert_eq!(ids, tokens);
    for account in ["server", "office"] {
        let count = expected.keys().filter(|token| token.starts_with(account)).count();
        let counted = store.state(account, "sort", "n").unwrap();
        assert_eq!(counted, Some(count.to_string()), "{account}");
    }
    assert_eq!(store.links("T-071").unwrap().len() * KINDS.len(), expected.len());
    let gone = records.iter().flat_map(|record| &record.marks);
    assert!(gone.clone().all(|mark| mark.outcome == mailmill::store::MarkOutcome::Done));
}
