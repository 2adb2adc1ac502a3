//! Broken configuration, scripts and plugins all at once: `check` and `run` tell every fault, end
//! with 78, and touch nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{mail, told};
use crate::plugin_faults;
use crate::support::mill::{Mill, root};

/// Ten faults, each on or under its marked line.
const FAULTS: &str = r#"colour = "red" # 1
[engine]
script = "scripts" # 2
[accounts.office]
maildir = "maildir"
inbound = "sort"
adress = "office@example.com" # 3
[accounts.none] # 4
address = "none@example.com"
[accounts.lost]
maildir = "lost"
inbound = "sorted" # 5
[accounts.quick]
maildir = "quick"
poll = "1ms" # 6
[accounts.empty]
maildir = "empty"
watch = [] # 7
[pipelines.none]
steps = [] # 8
[tables.senders] # 9
key = "sender"
[targets.t]
path = "t" # 10
"#;

const PLUGINS: [&str; 10] = [
    "empty",
    "text",
    "core-module",
    "other-version",
    "cut-off",
    "no-exports",
    "no-outbound",
    "wrong-signature",
    "describe-traps",
    "describe-no-json",
];

/// The script faults' samples by name.
fn scripts() -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(root().join("tests/script_faults")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|ending| ending == "rhai"));
    scripts
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect()
}

/// All files and folders below with what they hold and when they were changed.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            all.extend(tree(&path));
            all.insert(path, (changed, Vec::new()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.insert(path, (changed, bytes));
        }
    }
    all
}

#[test]
fn every_fault_of_every_file_is_told_and_nothing_is_touched() {
    let scripts = scripts();
    assert!(scripts.len() >= 10);
    let steps = scripts.iter().map(|(name, _)| format!("  {{ script = \"{name}\" }},\n"));
    let plugins = PLUGINS.iter().map(|name| format!("  {{ plugin = \"{name}\" }},\n"));
    let steps: String = steps.chain(plugins).collect();
    let mill = Mill::new(&format!("{FAULTS}[pipelines.sort]\nsteps = [\n{steps}]\n"));
    for (name, script) in &scripts {
        mill.write(&format!("scripts/{name}.rhai"), script);
    }
    let broken: BTreeMap<_, _> = plugin_faults::broken().collect();
    for name in PLUGINS {
        mill.write(&format!("plugins/{name}.wasm"), &broken[name]);
    }
    mill.deliver("maildir", "1", mail("One"));
    let before = tree(&mill.path(""));

    let (code, out, faults) = told(mill.call(&["check"]));
    assert_eq!((code, out.as_str()), (Some(78), ""), "{faults}");
    let lines = FAULTS.lines().enumerate().filter(|(_, line)| line.contains(" # "));
    let lines = lines.map(|(index, _)| format!("\nmailmill.toml:{}:", index + 1));
    let scripts = scripts.iter().map(|(name, _)| format!("\nscripts/{name}.rhai:"));
    let plugins = PLUGINS.iter().map(|name| format!("\nplugins/{name}.wasm:"));
    let told_of = format!("\n{faults}");
    for place in lines.chain(scripts).chain(plugins) {
        assert!(told_of.contains(&place), "{place} is not in\n{faults}");
    }
    for args in [["run", "--once"], ["run", "--log=json"]] {
        assert_eq!(told(mill.call(&args)), (Some(78), String::new(), faults.clone()), "{args:?}");
    }
    assert_eq!(tree(&mill.path("")), before);
}
