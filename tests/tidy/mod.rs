//! The house rules that a program can check: who imports whom, the one home of each outside
//! library, sizes, headers, and what must not lie in the tree. Each finding says where and what to
//! do; the checker is itself tested on small wrong samples.

mod imports;
mod shape;
mod source;
mod words;

use source::{Text, texts};

/// One finding: `file:line: what, and what to do`.
type Findings = Vec<String>;

#[track_caller]
fn tidy(check: fn(&Text) -> Findings) {
    let texts = texts();
    assert!(texts.len() > 50, "the tree was not found");
    let findings: Findings = texts.iter().flat_map(check).collect();
    assert!(findings.is_empty(), "\n{}\n{} findings", findings.join("\n"), findings.len());
}

#[test]
fn modules_import_only_what_they_may() {
    tidy(imports::directions);
}

#[test]
fn each_outside_library_has_one_home() {
    tidy(imports::homes);
}

#[test]
fn files_and_functions_stay_small() {
    tidy(shape::sizes);
}

#[test]
fn every_file_says_what_belongs_into_it() {
    tidy(shape::headers);
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    tidy(shape::leftovers);
}

#[test]
fn no_machine_and_no_registry_is_named() {
    tidy(words::places);
}

/// The findings of one check over one sample.
fn sample(check: fn(&Text) -> Findings, path: &str, content: &str) -> Findings {
    check(&Text::new(path, content))
}

#[track_caller]
fn wrong(check: fn(&Text) -> Findings, path: &str, content: &str, finding: &str) {
    let found = sample(check, path, content);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(finding), "{found:?}");
}

#[track_caller]
fn right(check: fn(&Text) -> Findings, path: &str, content: &str) {
    assert_eq!(sample(check, path, content), Findings::new());
}

#[test]
fn a_wrong_import_is_found_in_every_spelling() {
    for content in [
        "use crate::store::Store;",
        "use crate::{error, store};",
        "use crate::{\n    error::Error,\n    store::{Store, Commit},\n};",
        "fn f(s: &crate::store::Store) {}",
        "use super::super::store::Store;",
        "pub(crate) use crate::store;",
    ] {
        wrong(imports::directions, "engine/mail/address.rs", content, "may not import `store`");
    }
    wrong(imports::directions, "engine/mail/mod.rs", "\nuse super::store;", ":2: `mail`");
    wrong(imports::directions, "engine/clock.rs", "use super::store;", "may not import `store`");
    wrong(imports::directions, "engine/novel.rs", "", "what it may import");
    wrong(imports::directions, "engine/config/mod.rs", "use crate::pipeline::Run;", "OnError");
}

#[test]
fn a_right_import_and_a_mere_mention_are_not_found() {
    for content in [
        "use crate::error::Error;",
        "use crate::mail::{Flag, Uid};",
        "// use crate::store::Store;",
        "/// See [`crate::store`].",
        "/* use crate::store; /* nested */ crate::store */",
        "const X: &str = \"crate::store\";",
        "const X: &str = r#\"\"crate::store\"\"#;",
        "const Q: char = '\"'; // crate::store \"",
        "use super::store;",
        "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}",
    ] {
        right(imports::directions, "engine/mail/address.rs", content);
    }
    right(imports::directions, "engine/cli/run.rs", "use crate::{store, daemon, inbound};");
    right(imports::directions, "engine/config/mod.rs", "use crate::pipeline::OnError;");
    right(imports::directions, "tests/x.rs", "use crate::support;");
}

#[test]
fn a_library_away_from_home_is_found() {
    let check = imports::homes;
    wrong(check, "engine/perform/mod.rs", "use sled::Db;", "`sled` lives in engine/store");
    wrong(check, "engine/mailbox/maildir.rs", "fn f(x: imap_proto::Response) {}", "mailbox/imap");
    wrong(check, "engine/daemon.rs", "\n\nuse ::toml::Value;", "engine/daemon.rs:3:");
    wrong(check, "engine/mail/x.rs", "extern crate rhai;", "`rhai` lives in engine/pipeline");
    wrong(check, "engine/storehouse.rs", "use sled;", "`sled` lives in");
    right(check, "engine/store/mod.rs", "use sled::Db;");
    right(check, "engine/store.rs", "use sled::Db;");
    right(check, "engine/mail/x.rs", "// sled::Db\nlet x = \"sled::Db\"; use misled::x;");
    right(check, "tests/store.rs", "use sled::Db;");
}

#[test]
fn a_long_file_or_function_is_found() {
    let long = |lines: usize| format!("fn long() {{\n{}}}\n", "    go();\n".repeat(lines));
    wrong(shape::sizes, "engine/x.rs", &long(79), "engine/x.rs:1: function `long` has 81 lines");
    right(shape::sizes, "engine/x.rs", &long(78));
    wrong(shape::sizes, "tests/x.rs", &"//\n".repeat(601), "has 601 lines");
    right(shape::sizes, "tests/x.rs", &"//\n".repeat(600));
    let tricky =
        "fn f<'a>(x: &'a str) -> [u8; { 2 + 1 }] where 'a: 'a {\n let c = '{'; let s = \"}}\";\n}";
    right(shape::sizes, "engine/x.rs", tricky);
    let nested = format!("trait T {{ fn a(); }}\nmod m {{\n{}}}", long(80));
    wrong(shape::sizes, "engine/x.rs", &nested, "engine/x.rs:3: function `long`");
    right(shape::sizes, "engine/x.md", &"x\n".repeat(700));
}

#[test]
fn what_is_missing_or_left_over_is_found() {
    wrong(shape::headers, "engine/x.rs", "use std::fmt;\n", "engine/x.rs:1: ");
    right(shape::headers, "engine/x.rs", "//! What belongs here.\n");
    wrong(shape::leftovers, "tests/x.rs", "#[test]\n#[ignore]\nfn f() {}", "tests/x.rs:2:");
    wrong(shape::leftovers, "tests/x.rs", "#[ignore = \"slow\"]", "tests/x.rs:1:");
    wrong(shape::leftovers, "engine/x.rs", "fn f() { todo!(\"later\") }", "todo!");
    wrong(shape::leftovers, "engine/x.rs", "fn f() { unimplemented!() }", "unimplemented!");
    right(shape::leftovers, "engine/x.rs", "// todo!()\nlet x = \"#[ignore]\";");
}

#[test]
fn a_machine_or_a_registry_is_found() {
    let root = ["", "root", "project"].join("/");
    let home = ["", "home", "anna"].join("/");
    wrong(words::places, "README.md", &format!("see\n{root}/x"), "README.md:2:");
    wrong(words::places, "tests/x.snap", &format!("(\"{home}/y\")"), "tests/x.snap:1:");
    let host = ["static", "crates", "io"].join(".");
    wrong(words::places, ".ci/run", &format!("curl https://{host}/"), ".ci/run:1:");
    right(words::places, "README.md", "a/home/x, example.com/root/x, /homework, /etc/mailmill");
}
