//! Accounts are changed one by one; the connections of the others stay up.

use super::{CONFIG, count, decided, mail, mill, started, status};

fn account(name: &str, more: &str) -> String {
    format!("[accounts.{name}]\nmaildir = \"{name}\"\ninbound = \"sort\"\n{more}\n")
}

#[test]
fn accounts_come_change_and_go_and_the_others_stay_connected() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    mill.deliver("other", "1", mail("to-the-new-one"));
    mill.write("mailmill.toml", format!("{CONFIG}{}", account("other", "")));
    running.wait_for("the new account", |event| event["subject"] == "to-the-new-one");

    let changed = account("other", "after = { move = \"Seen\" }");
    mill.write("mailmill.toml", format!("{CONFIG}{changed}"));
    running.wait_event("restarted");
    running.wait_for("the changed account", |event| {
        event["event"] == "connected" && event["account"] == "other"
    });
    mill.deliver("other", "2", mail("after-the-change"));
    running.wait_for("its mail", |event| event["subject"] == "after-the-change");

    mill.write("mailmill.toml", CONFIG);
    running.wait_event("left");
    assert!(status(&mill)["accounts"]["other"].is_null());
    decided(&mill, &mut running, "still-served");
    let connected = running
        .seen()
        .iter()
        .filter(|event| event["event"] == "connected")
        .map(|event| event["account"].as_str().unwrap());
    assert_eq!(connected.filter(|name| *name == "office").count(), 1, "{:#?}", running.seen());
}

#[test]
fn a_renamed_account_takes_its_mailbox_over_and_no_message_twice() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    let paused = CONFIG.replace("maildir = ", "active = false\nmaildir = ");
    mill.write("mailmill.toml", &paused);
    running.wait_event("left");
    assert_eq!(status(&mill)["accounts"]["office"]["state"], "paused");
    mill.deliver("maildir", "1", mail("one"));
    mill.write("mailmill.toml", CONFIG.replace("accounts.office", "accounts.bureau"));
    running.wait_for("the message", |event| event["subject"] == "one");
    assert_eq!(count(&running, "done"), 2);
}

#[test]
fn targets_change_without_a_new_connection() {
    let deliver = "fn inbound(mail) { mail.deliver_to(\"archive\"); }";
    let target = |folder: &str| format!("{CONFIG}[targets.archive]\nmaildir = \"{folder}\"\n");
    let mill = mill(&target("one"));
    mill.write("scripts/sort.rhai", deliver);
    let mut running = started(&mill);
    assert_eq!(std::fs::read_dir(mill.path("one/new")).unwrap().count(), 1);
    mill.write("mailmill.toml", target("two"));
    super::in_force(&mut running, "the other target");
    decided(&mill, &mut running, "to-two");
    assert_eq!(std::fs::read_dir(mill.path("two/new")).unwrap().count(), 1);
    assert_eq!(count(&running, "connected"), 1);
}
