//! The generations that were in force: kept, compared, put back.

use super::{CONFIG, decided, in_force, json, mill, rule, started, status};
use crate::support::mill::{Mill, Running};

/// A mill whose rules were changed to each of these names in turn.
fn through(names: &[&str]) -> (Mill, Running) {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    for name in names {
        mill.write("scripts/sort.rhai", rule(name));
        in_force(&mut running, name);
    }
    (mill, running)
}

#[test]
fn the_last_ten_are_listed_and_compared() {
    let names: Vec<String> = (2..=12).map(|number| format!("n{number}")).collect();
    let (mill, running) = through(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let list = json(&mill.expect(0, &["generations", "list", "--json"]));
    let numbers: Vec<u64> = list["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| kept["generation"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (3..=12).rev().collect::<Vec<_>>());
    assert_eq!(list["in_force"], 12);
    let diff = mill.expect(0, &["generations", "diff", "11"]);
    for part in ["changed scripts/sort.rhai", "move_to(\"n11\")", "move_to(\"n12\")"] {
        assert!(diff.contains(part), "{part} is not in\n{diff}");
    }
    let diff = mill.expect(0, &["generations", "diff", "3", "4", "--json"]);
    assert_eq!(json(&diff)["file"], "scripts/sort.rhai");
    mill.expect(1, &["generations", "diff", "1", "4"]);
    running.terminate();
    let offline = mill.expect(0, &["generations", "list"]);
    assert!(offline.lines().next().unwrap().contains("in force"), "{offline}");
}

#[test]
fn an_activated_generation_stays_until_the_files_change() {
    let (mill, mut running) = through(&["second", "third"]);
    let told = mill.expect(0, &["generations", "activate", "2"]);
    assert!(told.contains("generation 2"), "{told}");
    let done = decided(&mill, &mut running, "by-the-second");
    assert_eq!((&done["did"][0], &done["generation"]), (&"moved to second".into(), &2.into()));
    assert!(status(&mill)["rules"]["instead_of_disk"].is_string());
    // Touching the files is no change.
    mill.write("scripts/sort.rhai", rule("third"));
    running.terminate();

    let mut running = mill.start();
    running.wait_event("started");
    let done = decided(&mill, &mut running, "after-a-restart");
    assert_eq!((&done["did"][0], &done["generation"]), (&"moved to second".into(), &2.into()));
    mill.write("scripts/sort.rhai", rule("fourth"));
    let event = in_force(&mut running, "a real change");
    assert_eq!(event["generation"], 4);
    assert!(status(&mill)["rules"]["instead_of_disk"].is_null());
    mill.expect(0, &["generations", "activate", "1"]);
    in_force(&mut running, "the first");
    // A person who asks for what is on disk gets it.
    let told = mill.expect(0, &["reload", "--wait"]);
    assert!(told.contains("is in force"), "{told}");
    let done = decided(&mill, &mut running, "by-the-fourth");
    assert_eq!(done["did"][0], "moved to fourth");
    mill.expect(1, &["generations", "activate", "77"]);
}

#[test]
fn a_check_changes_nothing() {
    let (mill, mut running) = through(&[]);
    let off = format!("[engine]\nwatch = \"off\"\n{CONFIG}");
    mill.write("mailmill.toml", off);
    in_force(&mut running, "unwatched");
    mill.write("scripts/sort.rhai", rule("second"));
    let told = json(&mill.expect(0, &["reload", "--check", "--json"]));
    assert_eq!(told["result"], "right");
    let done = decided(&mill, &mut running, "still-by-the-first");
    assert_eq!(done["did"][0], "moved to first");
    mill.write("scripts/sort.rhai", "fn inbound(mail) { mail.mov_to(1); }");
    let told = mill.call(&["reload", "--check"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("mov_to"));
    assert!(status(&mill)["rules"]["refused"].is_null(), "a check is a person's own");
    running.terminate();
    let told = mill.call(&["reload", "--wait"]);
    assert_eq!(told.status.code(), Some(75), "no engine runs");
}

#[test]
fn a_password_in_the_configuration_is_not_kept() {
    use std::os::unix::fs::PermissionsExt;
    let config = "[accounts.far]\nimap = \"imap://127.0.0.1:1\"\ntls = \"none\"\n\
                  login = { user = \"a\", password = \"hunter2hunter2\" }\n";
    let mill = mill(&format!("{config}{CONFIG}"));
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(mill.path("mailmill.toml"), private).unwrap();
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", rule("second"));
    in_force(&mut running, "the second");
    mill.expect(0, &["generations", "activate", "1"]);
    let done = decided(&mill, &mut running, "by-the-first");
    assert_eq!(done["did"][0], "moved to first");
    let found = std::process::Command::new("grep")
        .args(["-rl", "hunter2hunter2", "data/generations"])
        .current_dir(mill.path(""))
        .output()
        .unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn an_activated_generation_has_its_own_templates() {
    let mill = mill(CONFIG);
    let signs = rule("first") + "fn outbound(mail) { mail.sign(\"firm\"); }\n";
    mill.write("templates/firm.html", "<p>Firm</p>\n");
    mill.write("scripts/sort.rhai", signs);
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", rule("second"));
    in_force(&mut running, "without signing");
    std::fs::remove_file(mill.path("templates/firm.html")).unwrap();
    in_force(&mut running, "without the template");
    // Its script names the template, which is no more on disk.
    mill.expect(0, &["generations", "activate", "1"]);
    assert_eq!(decided(&mill, &mut running, "by-the-first")["did"][0], "moved to first");
}
