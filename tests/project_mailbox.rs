//! The mission on a real server: a project mailbox with subfolders in a private Dovecot, sorted by
//! the shipped rules.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::corpus::{PROJECTS, Sample, samples};
use crate::support::dovecot::{Dovecot, Profile};
use crate::support::mill::Mill;

/// The watched mailboxes; the configuration names the first with its subfolders.
const SOURCES: [&str; 3] = ["Cubes-Import", "Cubes-Import/Nord", "Cubes-Import/Nord/B-9"];

fn config(dovecot: &Dovecot, extra: &str) -> String {
    format!(
        "[accounts.projekt]\naddress = \"alice@example.test\"\nimap = \"imaps://localhost:{}\"\n\
         ca = {:?}\nlogin = {{ user = \"alice@example.test\", password = {{ env = \"ALICE\" }} }}\n\
         watch = [{{ mailbox = \"{}\", subfolders = true }}]\ninbound = \"project-mail\"\n{extra}\n\
         [pipelines.project-mail]\nsteps = [\n  {{ plugin = \"project-link\" }},\n  \
         {{ script = \"strip-receipts\", with = {{ mdn = \"Receipts\" }} }},\n  \
         {{ script = \"route\" }},\n]\n\n[tables.projects]\nfile = \"projects.csv\"\nkey = \"code\"\n\n\
         [tables.senders]\nfile = \"senders.csv\"\nkey = \"sender\"\n",
        dovecot.imaps_port, dovecot.ca, SOURCES[0],
    )
}

fn mill(dovecot: &Dovecot, extra: &str) -> Mill {
    let mill = Mill::new(&config(dovecot, extra)).env("ALICE", "alice-pw");
    let rows: String = PROJECTS
        .iter()
        .map(|(code, to)| format!("{code},\"{}\"\n", to.replace('"', "\"\"")))
        .collect();
    mill.write("projects.csv", format!("code,mailbox\n{rows}"));
    mill.write("senders.csv", "sender,who\nfirma.example,known\n");
    mill
}

const ALICE: &str = "alice@example.test";

fn fill(dovecot: &Dovecot, samples: &[Sample]) {
    for source in SOURCES {
        dovecot.doveadm(&["mailbox", "create", "-u", ALICE, source]);
    }
    for (index, source) in SOURCES.iter().enumerate() {
        let here = samples.iter().filter(|sample| sample.source == index);
        dovecot.deliver_all(ALICE, source, here.map(|sample| sample.bytes.as_slice()));
    }
}

/// Token to the mailboxes it lies in, over the whole account.
fn whereabouts(dovecot: &Dovecot) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mailbox in dovecot.mailboxes(ALICE) {
        for token in dovecot.fields(ALICE, &mailbox, "hdr.x-token") {
            found.entry(token).or_default().push(mailbox.clone());
        }
    }
    found
}

/// The tokens of messages that carry this flag, over the whole account.
fn flagged(dovecot: &Dovecot, flag: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mailbox in dovecot.mailboxes(ALICE) {
        let tokens = dovecot.fields(ALICE, &mailbox, "hdr.x-token");
        let flags = dovecot.flags(ALICE, &mailbox);
        let with = tokens.into_iter().zip(flags).filter(|(_, flags)| flags.contains(flag));
        found.extend(with.map(|(token, _)| token));
    }
    found.sort();
    found
}

fn expected(samples: &[Sample]) -> BTreeMap<String, Vec<String>> {
    samples
        .iter()
        .map(|sample| {
            let place = sample.target.unwrap_or(SOURCES[sample.source]);
            (sample.token.clone(), vec![place.to_owned()])
        })
        .collect()
}

#[test]
fn a_thousand_mixed_messages_end_where_the_rules_say() {
    let dovecot = Dovecot::start(Profile::Full);
    let samples = samples(1_000, SOURCES.len());
    fill(&dovecot, &samples);
    let mill = mill(&dovecot, "");
    let started = Instant::now();
    let events = mill.once();
    let took = started.elapsed();
    let done = events.iter().filter(|event| event["event"] == "done").count();
    assert_eq!(done, samples.len());
    assert_eq!(whereabouts(&dovecot), expected(&samples));
    let asked: Vec<&str> = samples
        .iter()
        .filter(|sample| sample.receipt)
        .map(|sample| sample.token.as_str())
        .collect();
    assert_eq!(flagged(&dovecot, "$MDNSent"), asked);
    assert_eq!(flagged(&dovecot, "\\Seen"), Vec::<String>::new(), "PEEK only");
    println!("1,000 messages in {took:.2?}");

    assert!(mill.once().iter().all(|event| event["event"] != "done"), "nothing is done twice");
    assert_eq!(whereabouts(&dovecot), expected(&samples));
    let links = mill.expect(0, &["links", "T-072"]);
    assert!(links.contains("subject-token"), "{links}");
}

#[test]
fn new_mail_is_filed_while_idling_and_while_polling() {
    for extra in ["", "idle = false\npoll = \"1s\""] {
        let dovecot = Dovecot::start(Profile::Full);
        fill(&dovecot, &[]);
        let mill = mill(&dovecot, extra);
        let mut running = mill.start();
        running.wait_event("connected");
        running.wait_for_status("waiting", &mill);
        let sample = samples(1, 1).remove(0);
        let started = Instant::now();
        dovecot.deliver(ALICE, SOURCES[0], &sample.bytes);
        running.wait_event("done");
        println!("filed after {:.2?} with {extra:?}", started.elapsed());
        assert_eq!(whereabouts(&dovecot), expected(&[sample]));
        let (code, took) = running.terminate();
        assert_eq!(code, Some(0));
        println!("ended {took:.2?} after SIGTERM");
    }
}

#[test]
fn a_server_that_dies_and_comes_back_is_picked_up_again() {
    let mut dovecot = Dovecot::start(Profile::Full);
    fill(&dovecot, &[]);
    let mill = mill(&dovecot, "");
    let mut running = mill.start();
    running.wait_for_status("waiting", &mill);
    dovecot.kill();
    running.wait_event("lost");
    let status = mill.expect(1, &["status"]);
    assert!(status.contains("projekt: lost"), "{status}");
    dovecot.start_again();
    let sample = samples(1, 1).remove(0);
    dovecot.deliver(ALICE, SOURCES[0], &sample.bytes);
    running.wait_event("done");
    assert_eq!(whereabouts(&dovecot), expected(&[sample]));
}

#[test]
fn a_half_open_connection_is_noticed() {
    let dovecot = Dovecot::start(Profile::Full);
    fill(&dovecot, &[]);
    let mill = mill(&dovecot, "idle_renew = \"1s\"\ndeadline = \"2s\"");
    let mut running = mill.start();
    running.wait_for_status("waiting", &mill);
    dovecot.freeze_sessions();
    let lost = running.wait_event("lost");
    println!("{}", lost["error"]);
    let sample = samples(1, 1).remove(0);
    dovecot.deliver(ALICE, SOURCES[0], &sample.bytes);
    running.wait_event("done");
}

#[test]
fn kill_9_at_any_time_loses_and_doubles_nothing() {
    let dovecot = Dovecot::start(Profile::Full);
    let samples = samples(600, SOURCES.len());
    fill(&dovecot, &samples);
    let mill = mill(&dovecot, "");
    let seed = std::process::id();
    for round in 0..8 {
        let mut running = mill.start();
        running.wait_event("started");
        // Not a wait for something, but the random moment of a crash.
        let moment = (seed.wrapping_mul(2_654_435_761).rotate_left(round * 5) % 600).into();
        std::thread::sleep(Duration::from_millis(moment));
        running.kill();
        let left = SOURCES.map(|source| dovecot.uids(ALICE, source).len());
        println!("killed after {moment} ms: {left:?} left in {SOURCES:?}");
    }
    mill.once();
    assert_eq!(whereabouts(&dovecot), expected(&samples), "seed {seed}");
    assert!(mill.once().iter().all(|event| event["event"] != "done"), "seed {seed}");
}
