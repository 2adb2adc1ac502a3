//! Faults in files of tests: all at once, each with its place and what to write instead; nothing runs.

use insta::assert_snapshot;

use super::{CONFIG, INVOICE, case, mill};

fn told(tests: &str) -> String {
    let mill = mill(tests);
    mill.write("scripts/empty/notes.txt", "no message");
    let output = mill.call(&["test"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(78), b"".as_slice()),
        "{err}"
    );
    err
}

#[test]
fn unknown_keys_and_wrong_types() {
    let tests = format!(
        "cases = 1\n[default]\nname = \"x\"\nacount = \"office\"\n\
         [[case]]\nname = \"unknown\"\n{INVOICE}expekt = {{ }}\n\
         [[case]]\nname = \"types\"\nmessage = 7\nflags = \"x\"\nnow = 2026-01-01\ngate = \"yes\"\n\
         state = {{ sort = 1 }}\ntables = {{ projects = {{ T-1 = {{ n = 1 }} }} }}\n\
         earlier = {{ evidence = \"x\" }}\ndirection = \"in\"\nmailbox = \"a//b\"\n\
         expect = {{ actions = 1, tags = [], verdict = \"halt\", path = [\"sort: broke\"], read_body = 1 }}\n\
         [[case]]\nname = \"unknown\"\n{INVOICE}flags = ['\\Sean']\nexpect = {{ tag = {{}} }}\n"
    );
    assert_snapshot!(told(&tests));
}

#[test]
fn actions_that_are_none() {
    let tests = [
        case(
            "verb",
            "actions = [{ action = 'move' }, { action = 'teleport' }, { mailbox = 'X' }, 'stop', { action = 1 }]",
        ),
        case(
            "field",
            "contains = [{ action = 'move_to', mailbx = 'X' }], lacks = [{ action = 'stop', reason = 'x' }]",
        ),
        case("both", "actions = [], contains = []"),
        case("nothing", ""),
    ];
    assert_snapshot!(told(&tests.concat()));
}

#[test]
fn names_that_do_not_exist() {
    let one = |name: &str, keys: &str| {
        format!("[[case]]\nname = \"{name}\"\n{INVOICE}{keys}\nexpect.verdict = \"stop\"\n")
    };
    let tests = [
        one("pipeline", "pipeline = \"sotr\""),
        one("step", "step = \"rout\""),
        one("neither", "step = \"nothing-like-it\""),
        one("account", "account = \"offic\""),
        one("both", "pipeline = \"sort\"\nstep = \"sort\""),
        one("with", "pipeline = \"sort\"\nwith = {}"),
        one("outbound", "direction = \"outbound\""),
    ];
    assert_snapshot!(told(&tests.concat()));
}

#[test]
fn messages_that_are_not_there() {
    let one = |name: &str, message: &str| {
        format!("[[case]]\nname = \"{name}\"\nmessage = \"{message}\"\nexpect.verdict = \"stop\"\n")
    };
    let none = "[[case]]\nname = \"none\"\nexpect.verdict = \"stop\"\n[[case]]\nname = \"no expectation\"\nmessage = \"sort.rhai\"\n";
    let tests = [
        one("missing", "mail/x.eml"),
        one("empty", "empty"),
        one("null", "/dev/null"),
        none.into(),
    ];
    assert_snapshot!(told(&tests.concat()));
}

#[test]
fn no_toml() {
    let broken = format!("{}[[case]\nname = \"x\"\n", case("before", "verdit = 'stop'"));
    assert_snapshot!(told(&broken));
    assert_snapshot!(told("# nothing\n"));
}

#[test]
fn a_broken_rule_is_told_beside_broken_tests_and_json_has_the_same() {
    let mill = mill("[[case]]\nname = \"x\"\n");
    mill.write("scripts/sort.rhai", "fn inbound(mail) {\n    mail.mov_to(\"X\");\n}\n");
    let output = mill.call(&["test"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        err.contains("scripts/sort.rhai:2:")
            && err.contains("sort.test.toml:1:1: [[case]] has no `expect`"),
        "{err}"
    );
    let told: serde_json::Value =
        serde_json::from_str(&mill.expect(78, &["test", "--json"])).unwrap();
    let faults = told["faults"].as_array().unwrap();
    assert!(err.ends_with(&format!("{} faults\n", faults.len())), "{err}{told}");
    assert!(faults.iter().any(|fault| fault["file"] == "scripts/sort.rhai" && fault["line"] == 2));
    mill.write("mailmill.toml", CONFIG.replace("inbound", "inbond"));
    let err = String::from_utf8(mill.call(&["test"]).stderr).unwrap();
    assert!(err.contains("did you mean `inbound`?"), "{err}");
}
