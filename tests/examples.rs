//! Every configuration under `examples/` is right.

use std::process::Command;

use crate::support::mill::root;

#[test]
fn every_example_passes_check() {
    let mut checked = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let config = entry.unwrap().path().join("mailmill.toml");
        // The quickstart's files are put together by its own command, which has its own test.
        if !config.exists() || config.parent().unwrap().ends_with("quickstart") {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_mailmill"))
            .args(["check", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        checked += 1;
    }
    assert!(checked > 0);
}
