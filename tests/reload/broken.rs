//! Whatever is wrong stays out: the rules in force go on, it is told once, and the next good save
//! heals it.

use super::{CONFIG, count, decided, in_force, mill, rule, started, status};
use crate::plugins::guest::Guest;
use crate::support::mill::Mill;

const FULL: &str = r#"
[accounts.office]
maildir = "maildir"
inbound = "sort"

[pipelines.sort]
steps = [{ plugin = "own" }, { script = "sort" }]

[tables.projects]
file = "projects.csv"
key = "code"
"#;

const TABLE: &str = "code,mailbox\nT-1,Projects/T-1\n";

fn full() -> Mill {
    let mill = mill(FULL);
    mill.write("plugins/own.wasm", Guest::default().build());
    mill.write("projects.csv", TABLE);
    mill.write("templates/firm.html", "<p>{{ project.mailbox }}</p>\n");
    mill
}

#[test]
fn a_broken_part_keeps_the_old_rules_and_the_next_good_save_heals_it() {
    let hangs = Guest { describe_body: "(loop $l br $l) i32.const 16", ..Guest::default() };
    let plugin = Guest::default().build();
    let cut = &plugin[..plugin.len() / 2];
    let broken: [(&str, &str, Vec<u8>, &str); 7] = [
        ("script", "scripts/sort.rhai", b"fn inbound(mail) { mail.mov_to(1); }".into(), "mov_to"),
        ("plugin", "plugins/own.wasm", b"no plugin".into(), "is not WASM"),
        ("plugin that was cut", "plugins/own.wasm", cut.into(), "not a valid component"),
        ("plugin that hangs in its start", "plugins/own.wasm", hangs.build(), "longer than 1s"),
        ("template", "templates/firm.html", b"<p>{{ project.nmae }}</p>".into(), "firm.html:1:7"),
        ("table", "projects.csv", b"code,mailbox\nT-1\n".into(), "projects.csv:2"),
        (
            "configuration",
            "mailmill.toml",
            FULL.replace("maildir =", "maildri =").into(),
            "maildri",
        ),
    ];
    let mill = full();
    let mut running = started(&mill);
    for (number, (what, file, content, why)) in broken.into_iter().enumerate() {
        let right = std::fs::read(mill.path(file)).unwrap();
        mill.write(file, content);
        let refused = running.wait_event("refused");
        assert!(refused["faults"].to_string().contains(why), "{what}: {refused}");
        let done = decided(&mill, &mut running, &format!("during-{number}"));
        assert_eq!(done["generation"], refused["generation"], "{what}");
        let told = status(&mill);
        assert_eq!(told["generation"], refused["generation"]);
        assert!(told["rules"]["refused"]["faults"].to_string().contains(why), "{told}");
        // Looking again tells nothing new.
        let again = mill.call(&["reload", "--wait"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&again.stderr).contains(why));
        assert_eq!(count(&running, "refused"), number + 1, "{what} is told once");

        mill.write(file, right);
        running.wait_event("unchanged");
        let name = format!("good{number}");
        mill.write("scripts/sort.rhai", rule(&name));
        in_force(&mut running, what);
        let done = decided(&mill, &mut running, &format!("after-{number}"));
        assert_eq!(done["did"][0], format!("moved to {name}"), "{what}");
        assert!(status(&mill)["rules"]["refused"].is_null());
    }
    assert_eq!(mill.call(&["status"]).status.code(), Some(0));
}

#[test]
fn all_faults_are_told_at_once() {
    let mill = full();
    let mut running = started(&mill);
    mill.write("projects.csv", "code,mailbox\nT-1\n");
    mill.write("plugins/own.wasm", "no plugin");
    mill.write("scripts/sort.rhai", "fn inbound(mail) { mail.mov_to(1); mail.cpy_to(2); }");
    let all = ["projects.csv:2", "own.wasm", "mov_to", "cpy_to"];
    running.wait_for("all faults", |event| {
        let faults = event["faults"].to_string();
        event["event"] == "refused" && all.iter().all(|fault| faults.contains(fault))
    });
}

#[test]
fn an_emptied_configuration_takes_no_account_away() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    mill.write("mailmill.toml", "");
    let refused = running.wait_event("refused");
    assert!(refused["faults"].to_string().contains("names no account"), "{refused}");
    assert_eq!(decided(&mill, &mut running, "m")["did"][0], "moved to first");
}

#[test]
fn the_data_folder_stays_where_it_is() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    mill.write("mailmill.toml", format!("[engine]\ndata = \"other\"\n{CONFIG}"));
    let refused = running.wait_event("refused");
    assert!(refused["faults"].to_string().contains("`data` cannot change"), "{refused}");
    assert!(!mill.path("other").exists());
}

#[test]
fn a_start_with_broken_rules_is_refused_unless_the_last_good_ones_will_do() {
    let mill = mill(CONFIG);
    let running = started(&mill);
    running.terminate();
    mill.write("scripts/sort.rhai", "fn inbound(mail) {");
    mill.expect(78, &["run", "--once"]);
    mill.expect(78, &["run"]);
    let mut running = mill.start_with(&["--last-good"]);
    running.wait_event("started");
    let done = decided(&mill, &mut running, "by-the-last-good");
    assert_eq!((&done["did"][0], &done["generation"]), (&"moved to first".into(), &1.into()));
    assert!(status(&mill)["rules"]["refused"]["faults"].to_string().contains("sort.rhai:1"));
    mill.write("scripts/sort.rhai", rule("healed"));
    in_force(&mut running, "the good save");
    running.terminate();

    // Not even the configuration can be read.
    mill.write("mailmill.toml", "[accounts");
    mill.expect(78, &["run", "--once"]);
    let mut running = mill.start_with(&["--last-good"]);
    running.wait_event("started");
    let done = decided(&mill, &mut running, "without-a-configuration");
    assert_eq!(done["did"][0], "moved to healed");
}

#[test]
fn without_a_last_good_one_the_start_says_so() {
    let mill = mill(CONFIG);
    mill.write("scripts/sort.rhai", "fn inbound(mail) {");
    let output = mill.call(&["run", "--once", "--last-good"]);
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no last good") && told.contains("sort.rhai:1"), "{told}");
}

#[test]
fn a_failing_test_of_the_user_refuses_what_it_gates() {
    let mill = mill(CONFIG);
    let test = |mailbox: &str| {
        format!(
            "[[case]]\nname = \"all mail is sorted\"\nstep = \"sort\"\ngate = true\n\
             message = \"Subject: x\\n\\nHello.\\n\"\n\
             expect.contains = [{{ action = \"move_to\", mailbox = \"{mailbox}\" }}]\n"
        )
    };
    mill.write("scripts/sort.test.toml", test("first"));
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", rule("second"));
    let refused = running.wait_event("refused");
    let told = refused["faults"].to_string();
    assert!(told.contains("sort.test.toml") && told.contains("all mail is sorted"), "{told}");
    assert_eq!(decided(&mill, &mut running, "during")["did"][0], "moved to first");
    // The rule was right, and its test is behind.
    mill.write("scripts/sort.test.toml", test("second"));
    in_force(&mut running, "the test that was put right");
    assert_eq!(decided(&mill, &mut running, "after")["did"][0], "moved to second");
}

#[test]
fn a_new_template_is_in_force_at_once_and_a_removed_one_no_more() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    mill.write("templates/firm.txt", "Firm\n");
    in_force(&mut running, "a new template in a new folder");
    mill.write("templates/kita.txt", "{{ prject.code }}\n");
    let refused = running.wait_event("refused");
    assert!(refused["faults"].to_string().contains("kita.txt:1"), "{refused}");
    std::fs::remove_file(mill.path("templates/kita.txt")).unwrap();
    running.wait_event("unchanged");
    let signs = rule("first") + "fn outbound(mail) { mail.sign(\"firm\"); }\n";
    mill.write("scripts/sort.rhai", signs);
    in_force(&mut running, "a rule that names it");
    std::fs::remove_file(mill.path("templates/firm.txt")).unwrap();
    let refused = running.wait_event("refused");
    assert!(refused["faults"].to_string().contains("there is no template"), "{refused}");
    mill.write("scripts/sort.rhai", rule("second"));
    in_force(&mut running, "without the template");
}

#[test]
fn a_new_file_of_tests_gates_at_once() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    // It says that the rules in force are wrong: they stay, and that is told.
    mill.write(
        "scripts/sort.test.toml",
        "[[case]]\nname = \"all mail is sorted\"\nstep = \"sort\"\ngate = true\n\
         message = \"Subject: x\\n\\nHello.\\n\"\n\
         expect.contains = [{ action = \"move_to\", mailbox = \"second\" }]\n",
    );
    let refused = running.wait_event("refused");
    assert!(refused["faults"].to_string().contains("all mail is sorted"), "{refused}");
    assert_eq!(decided(&mill, &mut running, "during")["did"][0], "moved to first");
    mill.write("scripts/sort.rhai", rule("second"));
    in_force(&mut running, "the rule that was put right");
    std::fs::remove_file(mill.path("scripts/sort.test.toml")).unwrap();
    in_force(&mut running, "without the tests");
}
