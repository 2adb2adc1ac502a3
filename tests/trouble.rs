//! What must not stop the line: hostile mail, targets that cannot be reached, mailboxes that cannot
//! be opened, rules that deliver in circles, and interruptions.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use mailmill::store::{Change, MarkOutcome, MessageRecord, State, Store};
use serde_json::Value;

use crate::support::dovecot::{Dovecot, Profile};
use crate::support::mill::Mill;

fn mill(config: &str, script: &str) -> Mill {
    let mill =
        Mill::new(&format!("{config}\n[pipelines.sort]\nsteps = [{{ script = \"sort\" }}]\n"));
    mill.write("scripts/sort.rhai", script);
    mill
}

const OFFICE: &str = "[accounts.office]\nmaildir = \"office\"\ninbound = \"sort\"\n";

const FILE: &str = "fn inbound(mail) { mail.move_to(\"Done\"); }";

fn mail(subject: &str) -> String {
    format!(
        "From: ann@example.org\nSubject: {subject}\nMessage-ID: <{subject}@example.org>\n\nHello.\n"
    )
}

fn count(mill: &Mill, folder: &str) -> usize {
    let parts = ["new", "cur"].map(|part| mill.path(folder).join(part));
    parts.iter().filter_map(|part| fs::read_dir(part).ok()).map(Iterator::count).sum()
}

fn held(mill: &Mill) -> Vec<Value> {
    let list = mill.expect(0, &["held", "list", "--json"]);
    list.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn endless_names_and_ids_do_not_stop_an_account() {
    let mill = mill(OFFICE, FILE);
    let long = "x".repeat(70_000);
    mill.deliver("office", "1", format!("From: {long} <a@example.org>\nSubject: name\n\n.\n"));
    mill.deliver("office", "2", format!("From: a@example.org\nMessage-ID: <{long}@x>\n\n.\n"));
    mill.deliver("office", "3", format!("From: a@example.org\nSubject: {long}\n\n.\n"));
    mill.deliver("office", "4", mail("after"));
    mill.once();
    assert_eq!(count(&mill, "office/.Done"), 4);
}

#[test]
fn a_rule_that_says_too_much_costs_its_message() {
    let script = "fn inbound(mail) {\n  if mail.subject == \"much\" {\n    for i in 0..60 { \
                  mail.tag(\"key\" + i, \"\"); let v = \"\"; v.pad(1000, 'x'); mail.tag(\"key\" + i, v); }\n  }\n  \
                  mail.move_to(\"Done\");\n}";
    let mill = mill(OFFICE, script);
    mill.deliver("office", "1", mail("much"));
    mill.deliver("office", "2", mail("little"));
    mill.once();
    assert_eq!((count(&mill, "office/.Done"), count(&mill, "office")), (1, 1));
    assert_eq!(held(&mill).len(), 1);
}

#[test]
fn a_delivery_into_a_watched_account_is_no_circle() {
    let config = "[accounts.office]\nmaildir = \"office\"\ninbound = \"sort\"\n\
                  [accounts.other]\nmaildir = \"other\"\ninbound = \"back\"\n\
                  [targets.myself]\naccount = \"office\"\nmailbox = \"INBOX\"\n\
                  [targets.other]\naccount = \"other\"\nmailbox = \"INBOX\"\n\
                  [pipelines.back]\nsteps = [{ script = \"back\" }]\n";
    let script = "fn inbound(mail) { mail.deliver_to(\"myself\"); mail.deliver_to(\"other\"); }";
    let mill = mill(config, script);
    mill.write("scripts/back.rhai", "fn inbound(mail) { mail.deliver_to(\"myself\"); }");
    mill.deliver("office", "1", mail("one"));
    mill.deliver("other", "1", mail("two"));
    for _ in 0..3 {
        mill.once();
    }
    assert_eq!((count(&mill, "office"), count(&mill, "other")), (3, 2));
}

#[test]
fn a_target_that_is_the_maildir_of_an_account_is_refused() {
    let config = OFFICE.to_owned() + "[targets.myself]\nmaildir = \"./office\"\n";
    let mill = mill(&config, FILE);
    let said = mill.call(&["check"]);
    assert_eq!(said.status.code(), Some(78));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("account = \"office\""), "{said}");
}

#[test]
fn a_target_that_cannot_be_reached_costs_only_what_goes_there() {
    let config = format!(
        "{OFFICE}[accounts.away]\nimap = \"imap://127.0.0.1:1\"\ntls = \"none\"\nactive = false\n\
         login = {{ user = \"x\", password = {{ env = \"HOME\" }} }}\n\
         [targets.away]\naccount = \"away\"\nmailbox = \"INBOX\"\n"
    );
    let script = "fn inbound(mail) {\n  if mail.subject == \"far\" { mail.deliver_to(\"away\"); }\n  \
                  mail.move_to(\"Done\");\n}";
    let mill = mill(&config, script);
    mill.deliver("office", "1", mail("far"));
    mill.deliver("office", "2", mail("near"));
    mill.once();
    assert_eq!((count(&mill, "office/.Done"), count(&mill, "office")), (1, 1));
    let held = held(&mill);
    assert!(held[0]["hold"]["reason"].as_str().unwrap().contains("127.0.0.1"), "{held:?}");
    assert!(held[0]["hold"]["retry_at_ms"].is_i64(), "it is tried again by itself: {held:?}");
    mill.deliver("office", "3", mail("later"));
    mill.once();
    assert_eq!(count(&mill, "office/.Done"), 2);
}

#[test]
fn a_message_too_large_to_fetch_costs_itself() {
    let config =
        OFFICE.to_owned() + "max_size = \"10KiB\"\n[targets.archive]\nmaildir = \"archive\"\n";
    let mill =
        mill(&config, "fn inbound(mail) { mail.deliver_to(\"archive\"); mail.move_to(\"Done\"); }");
    mill.deliver("office", "1", mail("large") + "x".repeat(20_000).as_str());
    mill.deliver("office", "2", mail("small"));
    mill.once();
    assert_eq!((count(&mill, "office/.Done"), count(&mill, "archive")), (1, 1));
    assert!(held(&mill)[0]["hold"]["reason"].as_str().unwrap().contains("max_size"));
}

#[test]
fn messages_that_cannot_be_read_are_held_and_others_go_on() {
    let mill = mill(OFFICE, FILE);
    for number in ["1", "2"] {
        mill.deliver("office", number, "X: y\n".repeat(400_000));
    }
    mill.once();
    assert_eq!(held(&mill).len(), 2);
    mill.deliver("office", "3", mail("after"));
    mill.once();
    mill.expect(0, &["held", "retry"]);
    mill.once();
    assert_eq!((count(&mill, "office/.Done"), held(&mill).len()), (1, 2));
}

#[test]
fn what_was_done_before_a_hold_is_not_done_again() {
    let config = OFFICE.to_owned() + "create = false\n[targets.archive]\nmaildir = \"archive\"\n";
    let script =
        "fn inbound(mail) {\n  mail.deliver_to(\"archive\");\n  mail.move_to(\"Missing\");\n}";
    let mill = mill(&config, script);
    mill.deliver("office", "1", mail("one"));
    mill.once();
    assert_eq!((count(&mill, "archive"), held(&mill).len()), (1, 1));
    let delivered = fs::read_dir(mill.path("archive/new")).unwrap().next().unwrap().unwrap();
    let read =
        mill.path("archive/cur").join(format!("{}:2,S", delivered.file_name().to_str().unwrap()));
    fs::rename(delivered.path(), read).unwrap();
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(mill.path("office/.Missing").join(part)).unwrap();
    }
    mill.expect(0, &["held", "retry"]);
    mill.once();
    assert_eq!((count(&mill, "archive"), count(&mill, "office/.Missing")), (1, 1));
    let story = mill.expect(0, &["explain", "1"]);
    assert!(story.contains("delivered to archive") && story.contains("settled"), "{story}");
}

#[test]
fn one_mailbox_that_cannot_be_opened_keeps_no_other_waiting() {
    let config = OFFICE.to_owned() + "watch = [{ mailbox = \"INBOX\", subfolders = true }]\n";
    let mill = mill(&config, FILE);
    mill.deliver("office", "1", mail("one"));
    mill.deliver("office/.INBOX.A", "1", mail("two"));
    mill.deliver("office/.INBOX.Z", "1", mail("three"));
    fs::create_dir(mill.path("office/.INBOX.A/mailmill-uidlist")).unwrap();
    let events = mill.once();
    assert!(events.iter().any(|event| event["event"] == "warning"), "{events:?}");
    assert_eq!(count(&mill, "office/.Done"), 2);
}

#[test]
fn the_last_word_on_a_flag_holds() {
    let script = "fn inbound(mail) {\n  mail.remove_flag(\"\\\\Flagged\");\n  \
                  mail.add_flag(\"\\\\Flagged\");\n  mail.add_flag(\"\\\\Seen\");\n  \
                  mail.remove_flag(\"\\\\Seen\");\n}";
    let mill = mill(OFFICE, script);
    mill.deliver("office", "1", mail("one"));
    mill.once();
    let file = fs::read_dir(mill.path("office/cur")).unwrap().next().unwrap().unwrap().file_name();
    assert!(file.to_str().unwrap().ends_with(":2,F"), "{file:?}");
}

#[test]
fn a_held_message_stays_held_under_a_new_uidvalidity() {
    let mill = mill(OFFICE, "fn inbound(mail) { throw \"no idea\"; }");
    mill.deliver("office", "1", mail("one"));
    mill.deliver("office", "2", mail("two").replace("Message-ID", "X-None"));
    mill.once();
    fs::remove_file(mill.path("office/mailmill-uidlist")).unwrap();
    mill.once();
    assert_eq!(held(&mill).len(), 2);
    mill.write("scripts/sort.rhai", FILE);
    mill.expect(0, &["held", "retry"]);
    mill.once();
    assert_eq!((held(&mill).len(), count(&mill, "office/.Done")), (0, 2));
}

#[test]
fn settled_mail_is_recognised_under_a_new_uidvalidity() {
    let config = OFFICE.to_owned() + "[targets.archive]\nmaildir = \"archive\"\n";
    let mill = mill(&config, "fn inbound(mail) { mail.deliver_to(\"archive\"); }");
    mill.deliver("office", "1", mail("one"));
    mill.deliver("office", "2", mail("two").replace("Message-ID", "X-None"));
    mill.once();
    fs::remove_file(mill.path("office/mailmill-uidlist")).unwrap();
    fs::remove_dir_all(mill.path("archive")).unwrap();
    mill.once();
    assert_eq!(count(&mill, "archive"), 0, "nothing is delivered twice");
}

/// Puts the newest record back to what it was when its plan was just written: a crash came before
/// the marks, whatever had been done by then.
fn forget_marks(data: &Path) {
    let store = Store::open(data).unwrap();
    let changes: Vec<Change> = store
        .recent(100)
        .unwrap()
        .into_iter()
        .map(|record| MessageRecord { state: State::Planned, marks: Vec::new(), ..record })
        .map(|record| Change::Record(std::sync::Arc::new(record)))
        .collect();
    store.commit(&changes).unwrap();
}

#[test]
fn a_plan_that_was_done_but_not_marked_is_not_done_again() {
    let config = OFFICE.to_owned() + "[targets.archive]\nmaildir = \"archive\"\n";
    let script = "fn inbound(mail) {\n  mail.deliver_to(\"archive\");\n  mail.copy_to(\"Copies\");\n  \
                  mail.add_flag(\"\\\\Flagged\");\n  mail.move_to(\"Done\");\n}";
    let mill = mill(&config, script);
    for number in ["1", "2", "3"] {
        mill.deliver("office", number, mail(number));
    }
    mill.once();
    forget_marks(&mill.path("data"));
    mill.once();
    let places = ["archive", "office/.Copies", "office/.Done", "office"];
    assert_eq!(places.map(|place| count(&mill, place)), [3, 3, 3, 0]);
    let store = Store::open(&mill.path("data")).unwrap();
    for record in store.recent(10).unwrap() {
        assert_eq!(record.state, State::Settled);
        assert!(record.marks.iter().any(|mark| mark.outcome == MarkOutcome::Done), "{record:?}");
    }
}

#[test]
fn a_plan_that_was_not_done_yet_is_done_after_a_kill() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = |port: u16| {
        format!(
            "{OFFICE}[accounts.bob]\nimap = \"imap://127.0.0.1:{port}\"\ntls = \"none\"\n\
             active = false\n\
             login = {{ user = \"bob@example.test\", password = {{ env = \"BOB\" }} }}\n\
             [targets.bob]\naccount = \"bob\"\nmailbox = \"From office\"\n\
             [pipelines.sort]\nsteps = [{{ script = \"sort\" }}]\n"
        )
    };
    let script = "fn inbound(mail) { mail.deliver_to(\"bob\"); mail.move_to(\"Done\"); }";
    let mill = Mill::new(&config(silent.local_addr().unwrap().port())).env("BOB", "bob-pw");
    mill.write("scripts/sort.rhai", script);
    mill.deliver("office", "1", mail("one"));
    let running = mill.start();
    // Whoever connects to deliver has written the plan down.
    let _connection = silent.accept().unwrap();
    running.kill();
    let store = Store::open(&mill.path("data")).unwrap();
    assert_eq!(store.recent(1).unwrap()[0].state, State::Planned);
    drop(store);

    let dovecot = Dovecot::start(Profile::Full);
    mill.write("mailmill.toml", config(dovecot.imap_port));
    let events = mill.once();
    assert!(events.iter().any(|event| event["event"] == "done"), "{events:?}");
    assert_eq!(dovecot.subjects("bob@example.test", "From office"), ["one"]);
    assert_eq!((count(&mill, "office/.Done"), count(&mill, "office")), (1, 0));
}
