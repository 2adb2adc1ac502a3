//! The inbound line as its users see it: the real binary over Maildirs.

use serde_json::Value;

use crate::plugins::guest::Guest;
use crate::support::mill::{Mill, root};

const ACCOUNT: &str = r#"
[accounts.office]
address = "office@example.com"
maildir = "maildir"
inbound = "sort"
"#;

fn mill(steps: &str, scripts: &[(&str, &str)]) -> Mill {
    let mill = Mill::new(&format!("{ACCOUNT}\n[pipelines.sort]\nsteps = [{steps}]\n"));
    for (name, script) in scripts {
        mill.write(&format!("scripts/{name}.rhai"), script);
    }
    mill
}

fn mail(subject: &str) -> String {
    format!(
        "From: Ann <ann@example.org>\nTo: office@example.com\nSubject: {subject}\n\
         Message-ID: <{}@example.org>\n\nHello.\n",
        subject.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    )
}

fn files(mill: &Mill, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        let Ok(entries) = std::fs::read_dir(mill.path(folder).join(part)) else { continue };
        for entry in entries {
            found.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    found
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn a_rule_files_mail_and_explain_says_why() {
    let script = "fn inbound(mail) {\n  if mail.subject.contains(\"Invoice\") {\n    \
                  mail.move_to(\"Invoices\");\n  }\n}";
    let mill = mill("{ script = \"sort\" }", &[("sort", script)]);
    mill.deliver("maildir", "1", mail("Invoice 1"));
    mill.deliver("maildir", "2", mail("Lunch"));
    let events = mill.once();
    assert_eq!(of_kind(&events, "done").len(), 2);
    assert_eq!(files(&mill, "maildir/.Invoices").len(), 1);
    assert_eq!(files(&mill, "maildir").len(), 1);

    let story = mill.expect(0, &["explain", "Invoice-1@example.org"]);
    for part in ["generation 1", "sort.rhai:3", "INBOX/1 -> Invoices/1", "settled"] {
        assert!(story.contains(part), "{part} is not in\n{story}");
    }
    assert!(mill.once().iter().all(|event| event["event"] != "done"), "nothing is done twice");
}

#[test]
fn try_decides_as_the_live_run_does() {
    let script = "fn inbound(mail) {\n  if mail.text.contains(\"Hello\") { mail.add_flag(\"\\\\Flagged\"); }\n  \
                  mail.tag(\"size\", mail.size.to_string());\n  mail.move_to(\"Read/\" + mail.from.local);\n}";
    let mill = mill("{ script = \"sort\" }", &[("sort", script)]);
    let message = mail("Same");
    mill.write("same.eml", &message);
    let tried = mill.expect(0, &["try", "--pipeline", "sort", "--json", "same.eml"]);
    let mut tried: Value = serde_json::from_str(&tried).unwrap();
    mill.deliver("maildir", "1", message);
    mill.once();
    let lived = mill.expect(0, &["explain", "1", "--json"]);
    let mut lived: Value = serde_json::from_str::<Value>(&lived).unwrap()["decision"].take();
    assert_eq!(tried["v"], 1);
    assert!(tried["steps"][0]["read_body"].as_bool().unwrap());
    for decision in [&mut tried, &mut lived] {
        decision["steps"][0]["micros"] = 0.into();
    }
    for field in ["actions", "tags", "project", "verdict", "steps", "digest"] {
        assert_eq!(tried[field], lived[field], "{field}");
    }
}

#[test]
fn a_hostile_rule_costs_its_message_and_no_other() {
    let script = r#"fn inbound(mail) {
        let what = mail.subject;
        if what == "loop" { loop { } }
        if what == "grow" { let s = "x"; loop { s += s; } }
        if what == "recurse" { inbound(mail); }
        if what == "throw" { throw "out of paper"; }
        if what == "crlf" { mail.move_to("a\r\nA1 DELETE INBOX"); }
        if what == "flood" { for i in 0..100000 { mail.log("line " + i); } }
        mail.move_to("Done");
    }"#;
    let mill = mill("{ script = \"sort\" }", &[("sort", script)]);
    let hostile = ["loop", "grow", "recurse", "throw", "crlf", "flood"];
    for (number, subject) in hostile.iter().chain(&["good"]).enumerate() {
        mill.deliver("maildir", &number.to_string(), mail(subject));
    }
    let events = mill.once();
    let held = of_kind(&events, "held");
    assert_eq!(held.len(), hostile.len());
    for event in held {
        let reason = event["reason"].as_str().unwrap();
        assert!(reason.starts_with("step sort failed: "), "{reason}");
        assert!(reason.contains("sort.rhai:") && reason.lines().count() == 1, "{reason}");
    }
    assert_eq!(files(&mill, "maildir/.Done").len(), 1);
    assert_eq!(files(&mill, "maildir").len(), hostile.len(), "held mail stays where it is");
}

#[test]
fn held_mail_is_listed_retried_with_better_rules_and_released() {
    let broken = "fn inbound(mail) { throw \"no idea\"; }";
    let mill = mill("{ script = \"sort\" }", &[("sort", broken)]);
    for number in ["1", "2"] {
        mill.deliver("maildir", number, mail(&format!("Message {number}")));
    }
    mill.once();
    let list = mill.expect(0, &["held", "list"]);
    assert!(list.contains("no idea") && list.contains("Message 2"), "{list}");
    mill.expect(0, &["held", "release", "2"]);
    mill.expect(1, &["held", "release", "2"]);
    mill.write("scripts/sort.rhai", "fn inbound(mail) { mail.move_to(\"Done\"); }");
    let retried = mill.expect(0, &["held", "retry"]);
    assert_eq!(retried.trim(), "1 will be retried when the engine runs next");
    let events = mill.once();
    assert_eq!(of_kind(&events, "done")[0]["generation"], 2);
    assert_eq!(files(&mill, "maildir/.Done").len(), 1);
    assert_eq!(mill.expect(0, &["held", "list"]), "");
    let story = mill.expect(0, &["explain", "2"]);
    assert!(story.contains("released"), "{story}");
}

#[test]
fn on_error_skip_goes_on_and_retry_tries_again() {
    let broken = "fn inbound(mail) { mail.tag(\"half\", \"done\"); throw \"no idea\"; }";
    let file = "fn inbound(mail) { mail.move_to(\"Done\"); }";
    let steps = "{ script = \"broken\", on_error = \"skip\" }, { script = \"file\" }";
    let skipping = mill(steps, &[("broken", broken), ("file", file)]);
    skipping.deliver("maildir", "1", mail("One"));
    skipping.once();
    assert_eq!(files(&skipping, "maildir/.Done").len(), 1);
    let record = skipping.expect(0, &["explain", "1", "--json"]);
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["decision"]["tags"], serde_json::json!({}), "it is as if it said nothing");
    assert_eq!(record["decision"]["steps"][0]["outcome"], "skipped");

    let steps = "{ script = \"broken\", on_error = \"retry\" }";
    let retrying = mill(steps, &[("broken", broken)]);
    retrying.deliver("maildir", "1", mail("One"));
    let events = retrying.once();
    assert!(of_kind(&events, "held")[0]["retry_at"].is_string());
}

#[test]
fn what_mailmill_writes_carries_the_edits_and_the_server_copy_does_not() {
    let script = "fn inbound(mail) {\n  mail.strip_receipt_requests();\n  \
                  mail.set_header(\"X-Project\", \"T-071\");\n  mail.deliver_to(\"archive\");\n}";
    let mill = mill("{ script = \"sort\" }", &[("sort", script)]);
    let config = std::fs::read_to_string(mill.path("mailmill.toml")).unwrap();
    mill.write("mailmill.toml", config + "\n[targets.archive]\nmaildir = \"archive\"\n");
    let message = mail("Ask").replace("\n\nHello", "\nReturn-Receipt-To: ann@example.org\n\nHello");
    mill.deliver("maildir", "1", &message);
    mill.once();
    assert_eq!(files(&mill, "maildir"), std::slice::from_ref(&message));
    let delivered = files(&mill, "archive");
    assert_eq!(delivered.len(), 1);
    assert!(!delivered[0].contains("Receipt") && delivered[0].contains("X-Project: T-071"));
}

#[test]
fn two_engines_never_share_a_store() {
    let mill = mill("{ script = \"sort\" }", &[("sort", "fn inbound(mail) { }")]);
    mill.deliver("maildir", "1", mail("One"));
    let mut running = mill.start();
    running.wait_event("done");
    let second = mill.call(&["run"]);
    let error = String::from_utf8_lossy(&second.stderr);
    assert_ne!(second.status.code(), Some(0));
    assert!(error.contains(&running.pid().to_string()), "it names the other: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");

    let status = mill.expect(0, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["engine"]["pid"], running.pid());
    let story = mill.expect(0, &["explain", "1"]);
    assert!(story.contains("settled"), "commands ask the running engine: {story}");

    mill.deliver("maildir", "2", mail("Two"));
    running.wait_for("the second message", |event| event["subject"] == "Two");
    let (code, took) = running.terminate();
    assert_eq!(code, Some(0));
    assert!(took < crate::support::mill::PATIENCE);
}

#[test]
fn the_status_tells_which_step_reads_bodies() {
    let script = "fn inbound(mail) { if mail.subject != \"One\" && mail.text.contains(\"o\") { mail.stop(); } }";
    let mill = mill("{ script = \"read\" }", &[("read", script)]);
    for subject in ["One", "Two", "Three"] {
        mill.deliver("maildir", subject, mail(subject));
    }
    let mut running = mill.start();
    running.wait_event("done");
    let until = std::time::Instant::now() + crate::support::mill::PATIENCE;
    loop {
        let status: Value =
            serde_json::from_slice(&mill.call(&["status", "--json"]).stdout).unwrap();
        let account = status["engine"]["accounts"].as_object().unwrap().values().next().unwrap();
        if account["settled"] == 3 {
            assert_eq!(account["body_readers"], serde_json::json!({ "read": 2 }));
            break;
        }
        assert!(std::time::Instant::now() < until, "{status}");
        std::thread::yield_now();
    }
    assert!(mill.expect(0, &["status"]).contains("read read 2 bodies"));
}

#[test]
fn the_quickstart_shows_what_happened_and_why() {
    let work = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(root().join("examples/quickstart/run"))
        .env("MAILMILL", env!("CARGO_BIN_EXE_mailmill"))
        .env("MAILMILL_QUICKSTART", work.path().join("q"))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    let moved = [
        ("Grundriss", "Projects/T-071 Smart City", "subject-token"),
        ("Angebot", "Projects/T-114 Kita", "subject-token"),
        ("AW: Grundriss", "Projects/T-071 Smart City", "in-reply-to"),
        ("Genehmigung", "Projects/T-114 Kita", "plus-address"),
        ("Termin", "Projects/T-071 Smart City", "alias"),
        ("Gelesen", "Receipts", "strip-receipts.rhai"),
        ("Undelivered", "Bounces", "office.rhai"),
        ("Baunews", "Newsletters", "office.rhai"),
    ];
    for (subject, mailbox, why) in moved {
        for part in [subject, mailbox, why] {
            assert!(out.contains(part), "{part} is not in\n{out}");
        }
    }
}

#[test]
fn a_hostile_plugin_costs_its_own_messages_and_no_others() {
    let deep = "(func $deep (param i32) (result i32)
        (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))";
    let flood = "(loop $l (call $log (local.get $m) (i32.const 128) (i32.const 5)) br $l)";
    let lines = r#"(data (i32.const 1024) "A\0d\0aB")"#;
    let guests = [
        ("loops", "ran longer than", Guest::doing("(loop $l br $l)")),
        (
            "grows",
            "of memory",
            Guest::doing(
                "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))",
            ),
        ),
        ("recurses", "too deeply", Guest::doing("(drop (call $deep (i32.const 1)))").with(deep)),
        ("traps", "unreachable", Guest::doing("unreachable")),
        ("prints", "log lines", Guest::doing(flood)),
        (
            "injects",
            "control characters",
            Guest::doing("(call $copy (local.get $m) (i32.const 1024) (i32.const 4))").with(lines),
        ),
    ];
    let mut config = format!("{ACCOUNT}\n[pipelines.sort]\nsteps = [{{ script = \"sort\" }}]\n");
    for (name, _, _) in &guests {
        config += &format!(
            "[accounts.{name}]\nmaildir = \"{name}\"\ninbound = \"{name}\"\n\
             [pipelines.{name}]\nsteps = [{{ plugin = \"{name}\" }}, {{ script = \"sort\" }}]\n"
        );
    }
    let mill = Mill::new(&config);
    mill.write("scripts/sort.rhai", "fn inbound(mail) { mail.move_to(\"Done\"); }");
    mill.deliver("maildir", "1", mail("Good"));
    for (name, _, guest) in &guests {
        mill.write(&format!("plugins/{name}.wasm"), guest.build());
        mill.deliver(name, "1", mail("One"));
        mill.deliver(name, "2", mail("Two"));
    }
    let events = mill.once();
    assert_eq!(files(&mill, "maildir/.Done").len(), 1);
    for (name, why, _) in &guests {
        let held: Vec<_> = of_kind(&events, "held")
            .into_iter()
            .filter(|event| event["account"] == *name)
            .collect();
        assert_eq!(held.len(), 2, "{name}");
        let reason = held[0]["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("step {name} failed: ")), "{reason}");
        assert!(reason.contains(why) && reason.lines().count() == 1, "{reason}");
        assert_eq!(files(&mill, name).len(), 2, "held mail stays where it is");
    }
}
