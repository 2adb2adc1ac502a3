//! `mailmill store`: what operators ask of it, with and without a running engine.

use std::fs;

use serde_json::Value;

use super::{count, json, mail, mill, told};
use crate::support::mill::Mill;

const FILE: &str = "fn inbound(mail) { mail.link(\"T-1\", \"subject\"); mail.move_to(\"Done\"); }";

/// A mill that has decided one message.
fn used() -> Mill {
    let mill = mill(FILE);
    mill.deliver("maildir", "1", mail("One"));
    mill.once();
    mill
}

/// Flips a byte in each 4 KiB of the database: none of it can be read.
fn damage(mill: &Mill) {
    let path = mill.path("data/store/db");
    let mut db = fs::read(&path).unwrap();
    db.iter_mut().step_by(4_096).skip(1).for_each(|byte| *byte ^= 0x55);
    db[700] ^= 0x55;
    fs::write(path, db).unwrap();
}

#[test]
fn a_store_is_told_to_be_well_with_what_it_holds() {
    let mill = used();
    let said = mill.expect(0, &["store", "check"]);
    for part in ["is well", "records: 1: 1 settled", "cursors: 1, links: 1", "generation: 1"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let check = json(&mill.expect(0, &["store", "check", "--json"]));
    assert_eq!((&check["v"], &check["well"]), (&1.into(), &true.into()));
    assert_eq!(check["records"]["settled"], 1);
    assert!(check["bytes_on_disk"].as_u64().unwrap() > check["bytes_live"].as_u64().unwrap());
    let said = mill.expect(0, &["store", "repair"]);
    assert!(said.contains("is well: nothing was done"), "{said}");
}

#[test]
fn no_store_and_a_foreign_one_are_told_apart() {
    let mill = mill(FILE);
    let (code, _, err) = told(mill.call(&["store", "check"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("no engine has run with this configuration yet"), "{err}");
    fs::create_dir(mill.path("data")).unwrap();
    mill.write("data/letter.txt", "Dear Ann");
    for command in ["check", "repair", "export"] {
        let (code, _, err) = told(mill.call(&["store", command]));
        assert_eq!(code, Some(1));
        assert!(err.contains("there is no store of mailmill in this folder"), "{err}");
    }
    mill.write("data/store/db", "this was never a database ".repeat(40_000));
    let (code, out, err) = told(mill.call(&["store", "check"]));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("is not well"), "{out}");
}

#[test]
fn a_check_writes_nothing_and_names_what_is_wrong() {
    let mill = used();
    damage(&mill);
    let before = fs::read(mill.path("data/store/db")).unwrap();
    let (code, out, err) = told(mill.call(&["store", "check"]));
    assert_eq!(code, Some(1));
    assert!(out.contains("is not well:"), "{out}");
    assert!(err.contains("mailmill store repair"), "{err}");
    assert_eq!(fs::read(mill.path("data/store/db")).unwrap(), before);
    let (code, _, err) = told(mill.call(&["store", "export", "out.jsonl"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("not exported"), "{err}");
    let repaired = mill.expect(0, &["store", "repair"]);
    assert!(repaired.contains("store.broken-1"), "{repaired}");
    assert_eq!(fs::read(mill.path("data/store.broken-1/db")).unwrap(), before, "it is kept");
    mill.expect(0, &["store", "check"]);
    mill.once();
    assert_eq!(count(&mill, "maildir/.Done"), 1);
}

#[test]
fn an_export_goes_into_a_new_store_and_into_no_other() {
    let mill = used();
    let out = mill.expect(0, &["store", "export"]);
    let lines: Vec<Value> = out.lines().map(json).collect();
    assert_eq!(lines[0]["mailmill_store"], 1);
    for item in ["record", "cursor", "link", "generation", "ids"] {
        assert!(lines.iter().any(|line| line.get(item).is_some()), "{item} is not in\n{out}");
    }
    assert_eq!(lines.last().unwrap()["end"]["whole"], true);
    mill.expect(0, &["store", "export", "out.jsonl"]);
    assert_eq!(fs::read_to_string(mill.path("out.jsonl")).unwrap(), out);
    let (code, _, err) = told(mill.call(&["store", "export", "out.jsonl"]));
    assert_eq!(code, Some(75), "{err}");
    let (code, _, err) = told(mill.call(&["store", "import", "out.jsonl"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("it is not empty"), "{err}");

    fs::rename(mill.path("data"), mill.path("old")).unwrap();
    mill.expect(0, &["store", "import", "out.jsonl"]);
    let explained = |mill: &Mill| mill.expect(0, &["explain", "1", "--json"]);
    let imported = explained(&mill);
    fs::remove_dir_all(mill.path("data")).unwrap();
    fs::rename(mill.path("old"), mill.path("data")).unwrap();
    assert_eq!(imported, explained(&mill));
}

#[test]
fn a_running_engine_answers_or_refuses_by_its_pid() {
    let mill = used();
    let mut engine = mill.start();
    engine.wait_event("connected");
    let check = json(&mill.expect(0, &["store", "check", "--json"]));
    assert_eq!(check["records"]["settled"], 1);
    let out = mill.expect(0, &["store", "export"]);
    assert!(out.contains("\"whole\":true"), "{out}");
    for refused in
        [&["store", "repair", "--from-backup"][..], &["store", "import", "mailmill.toml"]]
    {
        let (code, _, err) = told(mill.call(refused));
        assert_eq!(code, Some(1));
        assert!(err.contains(&format!("pid {}", engine.pid())), "{err}");
    }
    let left: Vec<_> = fs::read_dir(mill.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("store."))
        .collect();
    assert_eq!(left, [""; 0], "nothing is left behind");
    mill.deliver("maildir", "2", mail("Two"));
    engine.wait_for("the second message", |event| event["subject"] == "Two");
}

#[test]
fn the_store_of_an_early_mailmill_is_moved_in() {
    let mill = used();
    for entry in fs::read_dir(mill.path("data/store")).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), mill.path("data").join(entry.file_name())).unwrap();
    }
    fs::remove_dir(mill.path("data/store")).unwrap();
    mill.expect(0, &["store", "check"]);
    assert!(mill.path("data/db").exists(), "a check changes nothing");
    mill.deliver("maildir", "2", mail("Two"));
    mill.once();
    let check = json(&mill.expect(0, &["store", "check", "--json"]));
    assert_eq!(check["records"]["settled"], 2);
}
