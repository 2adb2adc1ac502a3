//! After a damage, a repair and a run: nothing is lost and nothing is done twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::crash::copy_folder;
use crate::support::dovecot::{Dovecot, Profile};
use crate::support::mill::Mill;

const CONFIG: &str = r#"
[accounts.office]
maildir = "office"
inbound = "sort"
watch = [{ mailbox = "INBOX", subfolders = true }]

[accounts.other]
maildir = "other"

[targets.archive]
maildir = "archive"

[targets.other]
account = "other"
mailbox = "INBOX"

[pipelines.sort]
steps = [{ script = "sort" }]
"#;

/// Every kind of action, each alone and all together; `own` comes into a mailbox that is watched.
const SCRIPT: &str = r#"fn inbound(mail) {
    let what = mail.subject.split("-")[0];
    let all = what == "all";
    mail.set_header("X-Seen", "yes");
    if all || what == "deliver" { mail.deliver_to("archive"); }
    if all || what == "account" { mail.deliver_to("other"); }
    if all || what == "flag" { mail.add_flag("\\Flagged"); }
    if all || what == "copy" { mail.copy_to("Copies"); }
    if what == "own" { mail.deliver_to("archive"); mail.copy_to("INBOX/Own"); }
    if what == "hold" { mail.hold("a person is to look"); }
    if what == "link" { mail.link("T-1", "subject"); }
    if all || what == "move" { mail.move_to("Done"); }
}"#;

const KINDS: [&str; 9] =
    ["all", "deliver", "account", "flag", "copy", "own", "hold", "link", "move"];

fn mill() -> Mill {
    let mill = Mill::new(CONFIG);
    mill.write("scripts/sort.rhai", SCRIPT);
    for folder in ["other/cur", "other/new", "other/tmp"] {
        fs::create_dir_all(mill.path(folder)).unwrap();
    }
    mill
}

/// Puts a message of each kind into the inbox.
fn deliver(mill: &Mill, round: &str) {
    for kind in KINDS {
        let token = format!("{kind}-{round}");
        let message = format!(
            "From: Ann <ann@example.org>\nSubject: {token}\nMessage-ID: <{token}@example.org>\n\n\
             Hello {token}.\n"
        );
        mill.deliver("office", &token, message);
    }
}

/// Where every message lies, how often, and with which flags.
fn whereabouts(mill: &Mill) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folders =
        ["office", "office/.Copies", "office/.Done", "office/.INBOX.Own", "other", "archive"];
    for folder in folders {
        for part in ["new", "cur"] {
            let Ok(files) = fs::read_dir(mill.path(folder).join(part)) else { continue };
            for file in files {
                let path = file.unwrap().path();
                let text = fs::read_to_string(&path).unwrap();
                let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
                let flagged = path.to_string_lossy().ends_with(":2,F");
                let place = format!("{folder}{}", if flagged { " flagged" } else { "" });
                found.entry(subject.unwrap().to_owned()).or_default().push(place);
            }
        }
    }
    found.values_mut().for_each(|places| places.sort());
    found
}

fn expected(rounds: &[&str]) -> BTreeMap<String, Vec<String>> {
    let places = |kind| match kind {
        "all" => vec!["archive", "office/.Copies flagged", "office/.Done flagged", "other"],
        "deliver" => vec!["archive", "office"],
        "account" => vec!["office", "other"],
        "flag" => vec!["office flagged"],
        "copy" => vec!["office", "office/.Copies"],
        "own" => vec!["archive", "office", "office/.INBOX.Own"],
        "move" => vec!["office/.Done"],
        _ => vec!["office"],
    };
    let of_round = |round: &&str| {
        let round = (*round).to_owned();
        KINDS.map(|kind| {
            let places = places(kind).into_iter().map(str::to_owned).collect();
            (format!("{kind}-{round}"), places)
        })
    };
    rounds.iter().flat_map(of_round).collect()
}

/// Two rounds are done and the store is kept as it was after the first; then it is damaged.
fn damaged(damage: impl FnOnce(&Path, &Path)) -> Mill {
    let mill = mill();
    deliver(&mill, "1");
    mill.once();
    let older = mill.path("older");
    fs::create_dir(&older).unwrap();
    copy_folder(&mill.path("data/store"), &older);
    deliver(&mill, "2");
    mill.once();
    assert_eq!(whereabouts(&mill), expected(&["1", "2"]), "before the damage");
    damage(&mill.path("data/store"), &older);
    mill
}

/// The store is refused and repaired, and the engine goes on with more mail.
fn check_repaired(mill: &Mill, what: &str) {
    let refused = mill.call(&["run", "--once"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{what}: {error}");
    assert!(error.contains("mailmill store repair"), "{what}: {error}");
    let check: Value =
        serde_json::from_str(&mill.expect(1, &["store", "check", "--json"])).unwrap();
    assert_eq!(check["well"], false, "{what}: {check}");
    let said = mill.expect(0, &["store", "repair"]);
    assert!(said.contains("store.broken-1"), "{what}: {said}");
    go_on(mill, what);
}

fn go_on(mill: &Mill, what: &str) {
    let check: Value =
        serde_json::from_str(&mill.expect(0, &["store", "check", "--json"])).unwrap();
    assert_eq!(check["salvaged"], true, "{what}: {check}");
    deliver(mill, "3");
    for _ in 0..2 {
        mill.once();
    }
    assert_eq!(whereabouts(mill), expected(&["1", "2", "3"]), "{what}");
    let held = mill.expect(0, &["held", "list"]);
    for token in ["hold-1", "hold-2", "hold-3"] {
        assert_eq!(held.matches(token).count(), 1, "{what}: {token} in\n{held}");
    }
    mill.expect(0, &["store", "check"]);
}

fn put_back(store: &Path, older: &Path) {
    fs::remove_dir_all(store).unwrap();
    fs::create_dir(store).unwrap();
    copy_folder(older, store);
}

#[test]
fn an_older_copy_is_refused_and_repaired() {
    check_repaired(&damaged(put_back), "older");
}

#[test]
fn a_store_that_is_gone_is_refused_and_repaired() {
    check_repaired(&damaged(|store, _| fs::remove_dir_all(store).unwrap()), "gone");
}

#[test]
fn a_store_of_garbage_is_refused_and_repaired() {
    let garbage = |store: &Path, _: &Path| {
        let size = fs::metadata(store.join("db")).unwrap().len();
        fs::write(store.join("db"), vec![0xA5; usize::try_from(size).unwrap()]).unwrap();
    };
    check_repaired(&damaged(garbage), "garbage");
}

#[test]
fn a_backup_is_marked_as_one() {
    let backup = |store: &Path, older: &Path| {
        put_back(store, older);
        // The whole data folder was put back.
        fs::remove_file(store.with_file_name("witness")).unwrap();
    };
    let mill = damaged(backup);
    let said = mill.expect(0, &["store", "repair"]);
    assert!(said.contains("is well: nothing was done"), "{said}");
    mill.expect(0, &["store", "repair", "--from-backup"]);
    go_on(&mill, "backup");
}

#[test]
fn a_store_that_was_cut_is_refused_and_repaired() {
    for tenth in [2, 5, 8] {
        let cut = |store: &Path, _: &Path| {
            let mut db = fs::read(store.join("db")).unwrap();
            let end = db.iter().rposition(|byte| *byte != 0).unwrap();
            db.truncate(end * tenth / 10);
            fs::write(store.join("db"), db).unwrap();
        };
        check_repaired(&damaged(cut), &format!("cut at {tenth} tenths"));
    }
}

#[test]
fn a_flipped_bit_is_noticed_and_repaired_or_does_no_harm() {
    for step in 0..8 {
        let flip = |store: &Path, _: &Path| {
            let mut db = fs::read(store.join("db")).unwrap();
            let end = db.iter().rposition(|byte| *byte != 0).unwrap();
            db[end * step / 8 + 100] ^= 0x10;
            fs::write(store.join("db"), db).unwrap();
        };
        let mill = damaged(flip);
        let what = format!("flipped at {step} eighths");
        // What sled no longer reads may be flipped without harm.
        match mill.call(&["store", "check"]).status.code() {
            Some(0) => {
                mill.once();
                assert_eq!(whereabouts(&mill), expected(&["1", "2"]), "{what}");
            }
            _ => check_repaired(&mill, &what),
        }
    }
}

/// The same on a real server: copies, moves and flags of an IMAP account, deliveries into another
/// one's mailbox and into a Maildir.
#[test]
fn on_a_server_nothing_is_done_twice_after_a_repair() {
    const ALICE: &str = "alice@example.test";
    const BOB: &str = "bob@example.test";
    let dovecot = Dovecot::start(Profile::Full);
    let account = |user: &str, name: &str| {
        format!(
            "imap = \"imaps://localhost:{}\"\nca = {:?}\nlogin = {{ user = \"{user}\", password = \
             {{ env = \"{name}\" }} }}\n",
            dovecot.imaps_port, dovecot.ca
        )
    };
    let config = CONFIG
        .replace("maildir = \"office\"\n", &account(ALICE, "ALICE"))
        .replace("maildir = \"other\"\n", &account(BOB, "BOB"))
        .replace("mailbox = \"INBOX\", subfolders = true", "mailbox = \"INBOX\"");
    let mill = Mill::new(&config).env("ALICE", "alice-pw").env("BOB", "bob-pw");
    mill.write("scripts/sort.rhai", SCRIPT);
    let deliver = |round: u32| {
        let messages: Vec<String> = KINDS
            .iter()
            .filter(|kind| **kind != "own")
            .map(|kind| {
                format!(
                    "Subject: {kind}-{round}\r\nMessage-ID: <{kind}-{round}@x>\r\n\r\n{kind}\r\n"
                )
            })
            .collect();
        dovecot.deliver_all(ALICE, "INBOX", messages.iter().map(String::as_bytes));
    };
    let found = || {
        let mut found: Vec<String> = files_in(&mill.path("archive"));
        for (user, mailbox) in
            [(ALICE, "INBOX"), (ALICE, "Copies"), (ALICE, "Done"), (BOB, "INBOX")]
        {
            let subjects = dovecot.subjects(user, mailbox);
            let flags = dovecot.flags(user, mailbox);
            found.extend(subjects.iter().zip(flags).map(|(subject, flags)| {
                let flagged = if flags.contains("\\Flagged") { " flagged" } else { "" };
                format!("{user}/{mailbox} {subject}{flagged}")
            }));
        }
        found.sort();
        found
    };
    deliver(1);
    mill.once();
    let older = mill.path("older");
    fs::create_dir(&older).unwrap();
    copy_folder(&mill.path("data/store"), &older);
    deliver(2);
    mill.once();
    let before = found();
    assert_eq!(before.len(), 2 * 14);
    for damage in ["older", "gone"] {
        match damage {
            "older" => put_back(&mill.path("data/store"), &older),
            _ => fs::remove_dir_all(mill.path("data/store")).unwrap(),
        }
        mill.expect(1, &["run", "--once"]);
        mill.expect(0, &["store", "repair"]);
        for _ in 0..2 {
            mill.once();
        }
        assert_eq!(found(), before, "{damage}");
    }
    deliver(3);
    mill.once();
    assert_eq!(found().len(), 3 * 14, "new mail is not in doubt for ever");
}

/// The subjects of a Maildir.
fn files_in(maildir: &Path) -> Vec<String> {
    let parts = ["new", "cur"].map(|part| fs::read_dir(maildir.join(part)));
    let files = parts.into_iter().flatten().flatten();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    texts
        .map(|text| {
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            format!("archive {}", subject.unwrap())
        })
        .collect()
}
