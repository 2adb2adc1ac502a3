//! Every shipped rule has tests beside it, they hold, and they can fail.

use std::path::Path;

use crate::support::mill::{Mill, root};

/// The project mailbox's own configuration, with the rules and tests of the tree in its folders.
fn project_mailbox() -> Mill {
    let example = root().join("examples/project-mailbox");
    let config = std::fs::read_to_string(example.join("mailmill.toml")).unwrap();
    let mill = Mill::new(&config.replace("\"../../", "\""));
    let mill = mill.env("SMARTCITY_PASSWORD", "x").env("OFFICE_PASSWORD", "x");
    for (from, to) in [
        ("examples/project-mailbox", "."),
        ("examples/project-mailbox/templates", "templates"),
        ("scripts", "scripts"),
        ("plugins", "plugins"),
    ] {
        for file in files(&root().join(from)) {
            let endings = [".test.toml", ".csv", ".html", ".txt", ".png"];
            if endings.iter().any(|ending| file.ends_with(ending)) {
                let content = std::fs::read(root().join(from).join(&file)).unwrap();
                mill.write(&format!("{to}/{file}"), content);
            }
        }
    }
    mill
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_shipped_rule_has_tests_beside_it() {
    for folder in ["scripts", "plugins", "examples/quickstart/scripts"] {
        let files = files(&root().join(folder));
        let rules = files
            .iter()
            .filter_map(|file| file.strip_suffix(".rhai").or_else(|| file.strip_suffix(".wasm")));
        for rule in rules {
            assert!(files.contains(&format!("{rule}.test.toml")), "{folder}/{rule} has no tests");
        }
    }
    for example in files(&root().join("examples")) {
        let folder = root().join("examples").join(example);
        if folder.join("mailmill.toml").exists() {
            assert!(folder.join("mailmill.test.toml").exists(), "{folder:?} has no tests");
        }
    }
}

#[test]
fn the_tests_of_each_shipped_folder_hold() {
    let mill = project_mailbox();
    let mut cases = 0;
    for folder in ["scripts", "plugins", "."] {
        let told = mill.expect(0, &["test", folder]);
        let (number, rest) = told.split_once(" cases in ").unwrap();
        assert!(rest.ends_with("all as expected\n"), "{told}");
        cases += number.parse::<usize>().unwrap();
    }
    let all = mill.expect(0, &["test"]);
    assert!(all.starts_with(&format!("{cases} cases in 5 files")), "{cases}: {all}");
    assert!(!mill.path("data/store").exists(), "tests need no store");
}

/// As it lies in the tree, where the example names folders above it.
#[test]
fn the_example_is_tested_where_it_lies() {
    let mill = Mill::new("").env("SMARTCITY_PASSWORD", "x").env("OFFICE_PASSWORD", "x");
    let config = root().join("examples/project-mailbox/mailmill.toml");
    let told = mill.expect(0, &["test", "--config", config.to_str().unwrap()]);
    assert!(told.ends_with("all as expected\n"), "{told}");
}

#[test]
fn a_broken_shipped_rule_fails_its_tests() {
    for (rule, right, wrong) in [
        ("route", "choice == \"stay\"", "choice == \"file\""),
        ("route", "row.mailbox != \"\"", "row.mailbox == \"\""),
        ("strip-receipts", "mail.suppress_receipt();", ""),
        ("strip-receipts", "mail.stop();", ""),
        ("strip-receipts", "!mail.is_mdn", "mail.is_mdn"),
    ] {
        let mill = project_mailbox();
        let script = std::fs::read_to_string(mill.path(&format!("scripts/{rule}.rhai"))).unwrap();
        assert!(script.contains(right), "{rule} has no {right}");
        mill.write(&format!("scripts/{rule}.rhai"), script.replace(right, wrong));
        let told = mill.expect(1, &["test", "scripts"]);
        assert!(told.contains(&format!("scripts/{rule}.test.toml:")), "{told}");
        assert!(told.contains(&format!("({rule}.rhai:")) || wrong.is_empty(), "{told}");
    }
}
