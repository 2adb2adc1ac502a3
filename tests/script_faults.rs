//! What a person is told about a wrong script, table or step: every fault at once, each with its
//! place and what to write instead. The scripts and what is told of them lie in `script_faults/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailmill::config::Config;
use mailmill::pipeline::Generation;
use mailmill::pipeline::action::VERBS;
use mailmill::pipeline::script::{API, Language};
use tempfile::TempDir;

/// A configuration with its files.
struct Desk(TempDir);

impl Desk {
    /// A pipeline of these steps, with a table of projects and a target.
    fn new(steps: &str) -> Self {
        let desk = Self(TempDir::new().unwrap());
        desk.write("templates/firm.txt", b"Firm\n");
        desk.write("projects.csv", b"code,mailbox\nT-071,Projects/T-071\n");
        let config = format!(
            "[accounts.a]\nmaildir = \"maildir\"\nwatch = [{{ mailbox = \"INBOX\" }}]\n\
             inbound = \"p\"\n\n[pipelines.p]\nsteps = [\n{steps}\n]\n\n\
             [tables.projects]\nfile = \"projects.csv\"\nkey = \"code\"\n\n\
             [targets.archive]\naccount = \"a\"\nmailbox = \"Archive\"\n"
        );
        desk.write("mailmill.toml", config.as_bytes());
        desk
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn config(&self) -> Config {
        Config::load(&self.0.path().join("mailmill.toml")).unwrap_or_else(|why| panic!("{why}"))
    }

    fn faults(&self) -> String {
        let faults = Generation::load(&self.config()).unwrap_err();
        let text = faults.to_string();
        assert!(!text.contains(self.0.path().to_str().unwrap()), "paths are relative: {text}");
        text
    }

    fn digest(&self) -> String {
        Generation::load(&self.config()).unwrap_or_else(|why| panic!("{why}")).digest
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/script_faults")
}

fn snapshot(name: &str, told: &str) {
    insta::with_settings!({
        snapshot_path => folder(),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, told) });
}

#[test]
fn each_broken_script_is_told_all_its_faults() {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rhai"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 10);
    for name in names {
        let desk = Desk::new(&format!("{{ script = \"{name}\" }}"));
        let script = std::fs::read(folder().join(format!("{name}.rhai"))).unwrap();
        desk.write(&format!("scripts/{name}.rhai"), &script);
        snapshot(&name, &desk.faults());
    }
}

#[test]
fn the_faults_of_all_files_are_told_at_once() {
    let desk = Desk::new(
        "  { script = \"broken\" },\n  { script = \"rout\" },\n  { plugin = \"project-lnk\" },\n  \
         { script = \"folder\" },",
    );
    desk.write("scripts/broken.rhai", b"fn inbound(mail) { mail.mov_to(\"A\"); }\n");
    desk.write("scripts/route.rhai", b"fn inbound(mail) { }\n");
    desk.write("scripts/folder.rhai/x", b"");
    desk.write("projects.csv", b"code,mailbox\nT-1\nT-2,\"a\nT-3,b\n");
    snapshot("all_files", &desk.faults());
}

#[test]
fn deep_and_large_scripts_are_refused() {
    let told = |script: &str| {
        let desk = Desk::new("{ script = \"big\" }");
        desk.write("scripts/big.rhai", script.as_bytes());
        desk.faults()
    };
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(5_000), close.repeat(5_000));
        told(&format!("fn inbound(mail) {{ let x = {open}1{close}; }}"))
    };
    for text in [deep("[", "]"), deep("(", ")"), deep("#{a:", "}"), deep("- ", ""), deep("{", "}")]
    {
        assert!(text.contains("deep within each other"), "{text}");
    }
    let many = format!("fn inbound(mail) {{ let x = 1{}; }}", " + 1".repeat(5_000));
    assert!(told(&many).contains("deep within each other"));
    let chain = format!("fn inbound(mail) {{ mail{}; }}", ".x".repeat(5_000));
    assert!(told(&chain).contains("deep within each other"));
    let blocks = ["if true {".repeat(5_000), "}".repeat(5_000)].concat();
    assert!(told(&format!("fn inbound(mail) {{ {blocks} }}")).contains("deep within each other"));
    let long = "x".repeat(300 << 10);
    assert!(told(&format!("// {long}")).contains("the file has more than 256 KiB"));
    let functions: String = (0..1_100).map(|number| format!("fn f{number}() {{ }}\n")).collect();
    assert!(told(&functions).contains("more than 1000 functions"));
}

#[test]
fn a_script_that_could_work_is_never_refused() {
    let script = r#"
        fn inbound(mail) {
            let m = mail;
            m.anything;
            let list = [1, 2, 3].filter(|n| n > 1).map(|n| n * 2);
            list.sort(|a, b| a - b);
            let f = Fn("twice");
            let g = |x| twice(x);
            mail.tag("n", f.call(2) + g.call(3) + list[0]);
            for (entry, index) in mail.to { mail.log(`${index}: ${entry.domain}`); }
            let map = #{ a: 1, "b c": [2] };
            map.d = map["b c"][0];
            switch mail.mailbox { "INBOX" if map.d > 1 => mail.log("in"), _ => () }
            let found = mail.subject.captures("T-(\\d+)");
            if found != () { mail.link("T-" + found[1], "subject"); }
            let row = mail.table("pro" + "jects").get(mail.project)?.mailbox ?? "none";
            try { mail.move_to(row); } catch (error) { mail.log(error); }
            mail.subject.shout();
            other(1);
            while false { break; }
            do { } until true;
            let n = if mail.is_auto { 1 } else { 2 };
            n += 1;
            mail.state.set("n", n);
            if mail.date != () && mail.date.weekday > 5 { mail.hold("weekend"); }
            print(type_of(n)); debug(n.type_of());
        }
        fn twice(x) { x * 2 }
        fn shout() { this.to_upper() }
        /// The parameter hides nothing.
        fn other(mail) { mail + 1 }
    "#;
    let desk = Desk::new("{ script = \"fine\" }");
    let script = script.replace("fn other(mail) { mail + 1 }", "fn other(number) { number + 1 }");
    desk.write("scripts/fine.rhai", script.as_bytes());
    assert_eq!(desk.digest().len(), 12);
}

#[test]
fn the_shipped_scripts_have_no_faults() {
    let desk = Desk::new("{ script = \"route\" }, { script = \"strip-receipts\" }");
    for name in ["route", "strip-receipts"] {
        let file = format!("scripts/{name}.rhai");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        desk.write(&file, &std::fs::read(shipped).unwrap());
    }
    desk.digest();
}

#[test]
fn the_digest_changes_with_everything_that_decides() {
    let desk = Desk::new("{ script = \"s\" }");
    desk.write("scripts/s.rhai", b"fn inbound(mail) { }");
    let first = desk.digest();
    assert_eq!(first, desk.digest());
    desk.write("scripts/s.rhai", b"fn inbound(mail) {  }");
    let second = desk.digest();
    desk.write("projects.csv", b"code,mailbox\nT-072,Projects/T-071\n");
    let third = desk.digest();
    let config = std::fs::read_to_string(desk.0.path().join("mailmill.toml")).unwrap();
    let with = config.replace("{ script = \"s\" }", "{ script = \"s\", with = { a = 1 } }");
    desk.write("mailmill.toml", with.as_bytes());
    let fourth = desk.digest();
    let alias = with.replace("maildir =", "project = \"T-072\"\nmaildir =");
    desk.write("mailmill.toml", alias.as_bytes());
    let all = [first, second, third, fourth, desk.digest()];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
}

#[test]
fn a_step_that_no_pipeline_uses_can_be_tried_alone() {
    let desk = Desk::new("{ script = \"used\", with = { n = 1 } }");
    desk.write("scripts/used.rhai", b"fn inbound(mail) { mail.log(mail.config.n); }");
    desk.write("scripts/spare.rhai", b"fn inbound(mail) { mail.stop(); }");
    let config = desk.config();
    assert_eq!(Generation::load(&config).unwrap().steps(), ["used"]);
    let with = |name: &str| Generation::load_with_steps(&config, [name]).unwrap();
    assert_eq!(with("spare").steps(), ["spare", "used"]);
    assert_eq!(with("used").steps(), ["used"]);
    assert_eq!(with("../scripts/spare").steps(), ["used"]);
    assert_eq!(with("none").steps(), ["used"]);
}

#[test]
fn every_word_of_mail_is_documented() {
    let words = Language::new(Arc::default()).words_of_mail();
    assert!(words.len() > 50, "{words:?}");
    let documented = |word: &String| API.contains(&format!("mail.{word}"));
    let missing: Vec<_> = words.iter().filter(|word| !documented(word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for verb in VERBS {
        assert!(
            API.contains(&format!("mail.{}", verb.replace("state_set", "state.set"))),
            "{verb}"
        );
    }
}

#[test]
fn a_long_chain_of_conditions_is_let_in() {
    let chain: String = (0..45)
        .map(|n| format!("else if mail.subject.contains(\"{n}\") {{ mail.move_to(\"M{n}\"); }}\n"))
        .collect();
    let desk = Desk::new("{ script = \"long\" }");
    let script = format!("fn inbound(mail) {{ if mail.is_auto {{ }}\n{chain} }}");
    desk.write("scripts/long.rhai", script.as_bytes());
    assert_eq!(desk.digest().len(), 12);
}
