//! The benchmark itself works: on a small mailbox, the bare client and mailmill put every message
//! where it belongs, in each way that they are measured. How long it takes is not looked at.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// All that need no other program than Dovecot.
const ROWS: [&str; 8] = [
    "bare",
    "bare-headers",
    "bare-fields",
    "mailmill",
    "bare-tls",
    "mailmill-body-tls",
    "bare-far",
    "mailmill-far",
];

#[test]
fn every_row_sorts_as_the_right_answer_says() {
    let disk = tempfile::tempdir().unwrap();
    run(disk.path());
    let told = std::fs::read(disk.path().join("runs.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let runs = told["runs"].as_array().unwrap();
    let results: Vec<(&str, &str)> = runs
        .iter()
        .map(|run| (run["row"].as_str().unwrap(), run["result"].as_str().unwrap()))
        .collect();
    assert_eq!(results, ROWS.map(|row| (row, "ok")));
    assert!(runs.iter().all(|run| run["messages"] == 120));
    let table = std::fs::read_to_string(disk.path().join("table.md")).unwrap();
    assert!(table.contains("| mailmill-body-tls / bare-tls | at most 1.25 |"), "{table}");
}

fn run(disk: &Path) {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["run", "--locked", "--quiet", "-p", "bench", "--", "run"])
        .args(["--messages", "120", "--rounds", "1", "--only", &ROWS.join(",")])
        .args(["--mailmill", env!("CARGO_BIN_EXE_mailmill")])
        .arg("--disk")
        .arg(disk)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
}
