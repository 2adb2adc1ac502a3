//! The whole engine against servers, networks and mail that mean no good. After each fault a run
//! without it must bring everything to where the rules say: nothing lost, nothing done twice.

mod commands;
mod cut;
mod lies;
mod mail;
mod renumbered;
mod waiting;

use std::collections::BTreeSet;

use mailmill::store::State;

use crate::support::fake_server::{FakeServer, PASSWORD, Sent, USERS};
use crate::support::office::Office;

const EVERYTHING: &str = "UIDPLUS MOVE IDLE LITERAL+";

/// Files by subject; one reads a body, one is delivered into another account.
const RULES: &str = r#"
fn inbound(mail) {
    let subject = mail.subject;
    if subject.contains("deliver") { mail.deliver_to("other"); }
    if subject.contains("copy") { mail.copy_to("Copies"); }
    if subject.contains("flag") { mail.add_flag("\\Flagged"); }
    if subject.contains("body") && !mail.text.contains("secret word") { return; }
    if subject.contains("move") { mail.move_to("Done"); }
}
"#;

const SUBJECTS: [&str; 5] = ["move 1", "copy 2", "flag move 3", "body move 4", "deliver move 5"];

/// What is where after the rules have done their work, as [`summary`] tells it.
const SETTLED: [&str; 7] = [
    "alice@example.test Copies copy 2 ",
    "alice@example.test Done body move 4 ",
    "alice@example.test Done deliver move 5 ",
    "alice@example.test Done flag move 3 \\Flagged",
    "alice@example.test Done move 1 ",
    "alice@example.test INBOX copy 2 ",
    "other@example.test Post deliver move 5 ",
];

fn message(subject: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "From: bob@example.test\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\
         Message-ID: <{id}@example.test>\r\n\r\nThe secret word of {subject}.\r\n"
    )
    .into_bytes()
}

fn config(port: u16) -> String {
    let account = |name: &str, user: &str, more: &str| {
        format!(
            "[accounts.{name}]\nimap = \"imap://127.0.0.1:{port}\"\ntls = \"none\"\n\
             deadline = \"5s\"\nlogin = {{ user = \"{user}\", password = {{ file = \"secret\" }} \
             }}\n{more}\n"
        )
    };
    let target = "[targets.other]\naccount = \"other\"\nmailbox = \"Post\"\n";
    let office = account("office", USERS[0], "inbound = \"sort\"");
    office + account("other", USERS[1], target).as_str()
}

/// A server with the five messages, and an engine for it.
fn office(capabilities: &str) -> (FakeServer, Office) {
    let server = FakeServer::start(capabilities);
    let office = Office::new(&config(server.port), RULES, PASSWORD);
    for target in ["Copies", "Done"] {
        server.world(|world| world.make(USERS[0], target).uidnext);
    }
    for subject in SUBJECTS {
        server.world(|world| world.deliver(USERS[0], &message(subject)));
    }
    (server, office)
}

/// All mail without its UIDs, one entry a message: a double shows.
fn summary(server: &FakeServer) -> Vec<String> {
    let everything: BTreeSet<String> = server.world(|world| world.everything());
    let bare = everything.iter().map(|line| line.rsplit_once(" #").unwrap().0.to_owned());
    let mut bare: Vec<String> = bare.collect();
    bare.sort();
    bare
}

/// Runs without faults until nothing is open, and compares.
#[track_caller]
fn settles(case: &str, server: &FakeServer, office: &Office) {
    server.heal();
    for _ in 0..2 {
        let looked = office.look();
        assert!(looked.is_ok(), "{case}: {looked:?}");
    }
    assert_eq!(summary(server), SETTLED, "{case}\n{}", office.told());
    let store = office.store();
    for record in store.recent(100).unwrap() {
        // A server that says NO to what it does leaves a plan without its message.
        assert!(matches!(record.state, State::Settled | State::Void), "{case}: {record:?}");
    }
    let told = office.told();
    assert!(!told.contains("fault of mailmill"), "{case}: {told}");
    assert!(!told.contains(PASSWORD), "{case}: {told}");
}

fn say(text: String) -> Sent {
    Sent { bytes: text.into_bytes(), ends: false }
}

#[test]
fn without_faults_everything_settles_in_one_run() {
    for capabilities in [EVERYTHING, "UIDPLUS MOVE", "UIDPLUS", "MOVE"] {
        let (server, office) = office(capabilities);
        office.look().unwrap();
        assert_eq!(summary(&server), SETTLED, "{capabilities}\n{}", office.told());
        settles(capabilities, &server, &office);
    }
}
