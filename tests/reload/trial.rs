//! Candidates on trial, rules that fail in force, and rules that will not leave.

use super::{CONFIG, count, decided, in_force, json, mail, mill, rule, started, status};
use crate::plugins::guest::Guest;

#[test]
fn a_candidate_on_trial_decides_beside_and_changes_nothing() {
    let mill = mill(&format!("[engine]\nshadow = 3\n{CONFIG}"));
    let mut running = started(&mill);
    let differs = "fn inbound(mail) {\n  if mail.subject == \"m1\" && mail.text.contains(\"Hi\") \
                   { mail.copy_to(\"Copies\"); }\n  mail.tag(\"rule\", \"first\"); \
                   mail.move_to(\"first\");\n}";
    mill.write("scripts/sort.rhai", differs);
    running.wait_event("trial_began");
    assert_eq!(status(&mill)["rules"]["trial"]["wanted"], 3);
    for name in ["m0", "m1", "m2"] {
        let done = decided(&mill, &mut running, name);
        assert_eq!((&done["did"][0], &done["generation"]), (&"moved to first".into(), &1.into()));
    }
    let trial = running.wait_event("trial");
    let contrast = &trial["contrast"];
    assert_eq!((&contrast["compared"], &contrast["alike"]), (&3.into(), &2.into()), "{contrast}");
    assert_eq!(contrast["differences"][0]["subject"], "m1");
    assert_eq!(contrast["differences"][0]["after"], json("[\"copy_to Copies\"]"));
    assert!(!mill.path("maildir/.Copies").exists(), "only the old plan was performed");
    let event = in_force(&mut running, "after the trial");
    assert_eq!(event["digest"], trial["digest"]);
    let done = decided(&mill, &mut running, "m3");
    assert_eq!(done["generation"], 2);
}

#[test]
fn a_candidate_that_fails_on_trial_is_refused() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    mill.write("mailmill.toml", format!("[engine]\nwatch = \"off\"\n{CONFIG}"));
    in_force(&mut running, "unwatched");
    mill.write("scripts/sort.rhai", "fn inbound(mail) { throw \"no\"; }");
    let told = std::thread::scope(|scope| {
        let asked = scope.spawn(|| mill.call(&["reload", "--shadow", "2", "--wait"]));
        running.wait_event("trial_began");
        for name in ["m0", "m1"] {
            assert_eq!(decided(&mill, &mut running, name)["did"][0], "moved to first");
        }
        asked.join().unwrap()
    });
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("step errors rose: 2 of 2"), "{told}");
    // It may have been told before the last message was done.
    if count(&running, "refused") == 0 {
        running.wait_event("refused");
    }
}

#[test]
fn a_newer_change_ends_a_trial_and_asking_again_puts_it_in_force() {
    let mill = mill(&format!("[engine]\nshadow = 1000\n{CONFIG}"));
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", rule("second"));
    running.wait_event("trial_began");
    mill.write("scripts/sort.rhai", rule("third"));
    running.wait_event("trial_began");
    mill.expect(0, &["reload", "--wait"]);
    in_force(&mut running, "the third");
    assert_eq!(decided(&mill, &mut running, "m")["did"][0], "moved to third");
    assert_eq!(count(&running, "in_force"), 1);
}

#[test]
fn rules_that_fail_in_force_are_put_back_and_their_mail_is_decided_again() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", "fn inbound(mail) { throw \"no\"; }");
    in_force(&mut running, "the bad one");
    for number in 0..5 {
        mill.deliver("maildir", &format!("b{number}"), mail(&format!("b{number}")));
    }
    let back = running.wait_event("put_back");
    assert_eq!((&back["generation"], &back["replaced"]), (&1.into(), &2.into()), "{back}");
    for number in 0..5 {
        let name = format!("b{number}");
        let seen = |event: &serde_json::Value| event["event"] == "done" && event["subject"] == name;
        if !running.seen().iter().any(seen) {
            let done = running.wait_for(&name, seen);
            assert_eq!(done["generation"], 1);
        }
    }
    assert!(status(&mill)["rules"]["instead_of_disk"].as_str().unwrap().contains("step errors"));
    assert_eq!(mill.expect(0, &["held", "list"]), "");
    running.terminate();
    let mut running = mill.start();
    running.wait_event("started");
    let done = decided(&mill, &mut running, "after-a-restart");
    assert_eq!(done["generation"], 1, "what was taken out of force stays out");
    mill.write("scripts/sort.rhai", rule("second"));
    in_force(&mut running, "the corrected one");
}

#[test]
fn rules_that_fail_stay_where_that_is_wanted() {
    let mill = mill(&format!("[engine]\nput_back = false\n{CONFIG}"));
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", "fn inbound(mail) { throw \"no\"; }");
    in_force(&mut running, "the bad one");
    for number in 0..8 {
        assert_eq!(decided(&mill, &mut running, &format!("b{number}"))["event"], "held");
    }
    assert_eq!(status(&mill)["generation"], 2);
}

#[test]
fn a_replaced_generation_that_will_not_leave_is_ended_and_its_message_runs_again() {
    let step = |number| format!("{{ plugin = \"slow{number}\", on_error = \"skip\" }},");
    let steps: String = (0..90).map(step).collect();
    let slow = CONFIG.replace("steps = [", &format!("steps = [{steps}"));
    let mill = mill(CONFIG);
    let looping = Guest::doing("(loop $l br $l)").build();
    for number in 0..90 {
        mill.write(&format!("plugins/slow{number}.wasm"), &looping);
    }
    let mut running = started(&mill);
    mill.write("mailmill.toml", format!("[engine]\nretire = \"1s\"\n{slow}"));
    in_force(&mut running, "the slow one");
    // A minute and a half, were it left alone.
    mill.deliver("maildir", "m", mail("m"));
    running.wait_for_status("working", &mill);
    mill.write("mailmill.toml", format!("[engine]\nretire = \"1s\"\n{CONFIG}"));
    in_force(&mut running, "the quick one");
    running.wait_event("ended");
    let done = running.wait_for("the message", |event| event["subject"] == "m");
    assert_eq!((&done["event"], &done["generation"]), (&"done".into(), &3.into()));
    let until = std::time::Instant::now() + crate::support::mill::PATIENCE;
    while status(&mill)["rules"]["leaving"] != json("[]") {
        assert!(std::time::Instant::now() < until, "it never leaves");
        std::thread::yield_now();
    }
}
