//! The ways in which files are changed by editors, deployers and mistakes. Each is seen.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::place::places;
use super::{CONFIG, count, decided, in_force, mill, mill_below, rule, started, status};
use crate::support::mill::{Mill, Running};

/// A way to bring a new text of the rule.
type Change = fn(&Path, &str);

const CHANGES: &[(&str, Change)] = &[
    ("written in place", |folder, text| fs::write(folder.join("scripts/sort.rhai"), text).unwrap()),
    ("renamed over", |folder, text| {
        fs::write(folder.join("scripts/.sort.rhai.tmp"), text).unwrap();
        fs::rename(folder.join("scripts/.sort.rhai.tmp"), folder.join("scripts/sort.rhai"))
            .unwrap();
    }),
    ("moved to a backup and written anew, as vim does", |folder, text| {
        let (file, backup) = (folder.join("scripts/sort.rhai"), folder.join("scripts/sort.rhai~"));
        fs::write(folder.join("scripts/4913"), "").unwrap();
        fs::remove_file(folder.join("scripts/4913")).unwrap();
        fs::rename(&file, &backup).unwrap();
        fs::write(&file, text).unwrap();
        fs::remove_file(backup).unwrap();
    }),
    ("written in halves", |folder, text| {
        let (one, other) = text.split_at(text.len() / 2);
        fs::write(folder.join("scripts/sort.rhai"), one).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(folder.join("scripts/sort.rhai"), [one, other].concat()).unwrap();
    }),
    ("removed, and there again", |folder, text| {
        fs::remove_file(folder.join("scripts/sort.rhai")).unwrap();
        fs::write(folder.join("scripts/sort.rhai"), text).unwrap();
    }),
    ("its folder taken away and another put there", |folder, text| {
        fs::rename(folder.join("scripts"), folder.join("scripts.old")).unwrap();
        fs::create_dir(folder.join("scripts")).unwrap();
        fs::write(folder.join("scripts/sort.rhai"), text).unwrap();
        fs::remove_dir_all(folder.join("scripts.old")).unwrap();
    }),
    ("the folder is made a link", |folder, text| {
        fs::create_dir_all(folder.join("releases/1")).unwrap();
        fs::write(folder.join("releases/1/sort.rhai"), text).unwrap();
        fs::remove_dir_all(folder.join("scripts")).unwrap();
        symlink("releases/1", folder.join("scripts")).unwrap();
    }),
    ("that link is turned to a folder that was not watched", |folder, text| {
        fs::create_dir_all(folder.join("releases/2")).unwrap();
        fs::write(folder.join("releases/2/sort.rhai"), text).unwrap();
        symlink("releases/2", folder.join("scripts.new")).unwrap();
        fs::rename(folder.join("scripts.new"), folder.join("scripts")).unwrap();
    }),
    ("written in the folder that the link is turned to", |folder, text| {
        fs::write(folder.join("releases/2/sort.rhai"), text).unwrap();
    }),
    ("made a ConfigMap, as Kubernetes mounts one", |folder, text| {
        fs::remove_file(folder.join("scripts")).unwrap();
        fs::create_dir_all(folder.join("scripts/..2026_1")).unwrap();
        fs::write(folder.join("scripts/..2026_1/sort.rhai"), text).unwrap();
        symlink("..2026_1", folder.join("scripts/..data")).unwrap();
        symlink("..data/sort.rhai", folder.join("scripts/sort.rhai")).unwrap();
    }),
    ("..data is swapped", |folder, text| swap_data(folder, "..2026_2", "..2026_1", text)),
    ("..data is swapped again", |folder, text| swap_data(folder, "..2026_3", "..2026_2", text)),
];

fn swap_data(folder: &Path, new: &str, old: &str, text: &str) {
    let scripts = folder.join("scripts");
    fs::create_dir_all(scripts.join(new)).unwrap();
    fs::write(scripts.join(new).join("sort.rhai"), text).unwrap();
    symlink(new, scripts.join("..data_tmp")).unwrap();
    fs::rename(scripts.join("..data_tmp"), scripts.join("..data")).unwrap();
    fs::remove_dir_all(scripts.join(old)).unwrap();
}

#[test]
fn every_way_to_change_a_file_is_seen_on_every_file_system() {
    for place in places() {
        let mill = mill_below(place.path(), CONFIG);
        let mut running = started(&mill);
        for (number, (way, change)) in CHANGES.iter().enumerate() {
            let name = format!("n{number}");
            change(&mill.path(""), &rule(&name));
            takes_over(&mill, &mut running, &name, &format!("{}: {way}", place.name));
        }
        // A late look at a half-done change may have been told; nothing else was.
        assert!(status(&mill)["rules"]["refused"].is_null());
        assert_eq!(count(&running, "warning"), 0, "{:#?}", running.seen());
    }
}

/// The rule `name` decides the next message, by the generation that came into force.
#[track_caller]
fn takes_over(mill: &Mill, running: &mut Running, name: &str, what: &str) {
    let event = in_force(running, what);
    let done = decided(mill, running, &format!("m-{name}"));
    assert_eq!(done["did"][0], format!("moved to {name}"), "{what}");
    assert_eq!((&done["generation"], &done["digest"]), (&event["generation"], &event["digest"]));
}

#[test]
fn a_git_checkout_comes_into_force_as_a_whole() {
    let mill = mill(CONFIG);
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let mut git = Command::new("git");
        git.current_dir(mill.path("")).args(who).args(args).output()
    };
    git(&["init", "-q", "-b", "main"]).unwrap();
    let commit = |text: &str| {
        mill.write("scripts/sort.rhai", text);
        let files = ["add", "mailmill.toml", "scripts"];
        for args in [files.as_slice(), &["commit", "-qm", "rules"]] {
            let output = git(args).unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    // The other branch has a configuration that needs another script.
    commit(&rule("first"));
    git(&["checkout", "-qb", "other"]).unwrap();
    let config = CONFIG.replace("{ script = \"sort\" }", "{ script = \"other\" }");
    mill.write("mailmill.toml", config);
    fs::remove_file(mill.path("scripts/sort.rhai")).unwrap();
    mill.write("scripts/other.rhai", rule("other"));
    git(&["add", "-A", "scripts", "mailmill.toml"]).unwrap();
    git(&["commit", "-qm", "other"]).unwrap();
    git(&["checkout", "-q", "main"]).unwrap();
    let mut running = started(&mill);
    for (branch, name) in [("other", "other"), ("main", "first"), ("other", "other")] {
        git(&["checkout", "-q", branch]).unwrap();
        let event = in_force(&mut running, branch);
        let subject = format!("{name}-{}", event["generation"]);
        let done = decided(&mill, &mut running, &subject);
        assert_eq!(done["did"][0], format!("moved to {name}"));
    }
}

#[test]
fn what_rsync_and_sed_write_comes_into_force() {
    let commands = [
        ("rsync", "rsync -a source/ scripts/"),
        ("rsync --inplace", "rsync -a --inplace source/ scripts/"),
        ("rsync --delay-updates", "rsync -a --delay-updates source/ scripts/"),
        ("cp", "cp source/sort.rhai scripts/sort.rhai"),
        ("sed", "sed -i s/old/by-sed/g scripts/sort.rhai"),
    ];
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    for (name, command) in commands {
        // Each of another length: rsync takes files of one size and second for the same.
        let folder = match name {
            "cp" => "old".to_owned(),
            _ => format!("by-{}", name.replace(' ', "")),
        };
        mill.write("source/sort.rhai", rule(&folder));
        let output = Command::new("sh").current_dir(mill.path("")).args(["-c", command]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        takes_over(&mill, &mut running, &folder, command);
    }
    assert_eq!(count(&running, "refused"), 0, "{:#?}", running.seen());
}

#[test]
fn a_folder_that_is_gone_keeps_the_rules_in_force_until_it_is_back() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    fs::rename(mill.path("scripts"), mill.path("elsewhere")).unwrap();
    running.wait_event("refused");
    let done = decided(&mill, &mut running, "while-gone");
    assert_eq!(done["did"][0], "moved to first");
    fs::rename(mill.path("elsewhere"), mill.path("scripts")).unwrap();
    running.wait_event("unchanged");
    assert!(status(&mill)["rules"]["refused"].is_null());
    mill.write("scripts/sort.rhai", rule("second"));
    takes_over(&mill, &mut running, "second", "a change after it was back");
}

#[test]
fn without_events_changes_are_found_by_looking() {
    let mill = mill(&format!("[engine]\nwatch = \"poll\"\n{CONFIG}"));
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", rule("second"));
    takes_over(&mill, &mut running, "second", "watch = \"poll\"");
}

#[test]
fn unwatched_rules_change_when_they_are_asked_to() {
    let mill = mill(&format!("[engine]\nwatch = \"off\"\n{CONFIG}"));
    let mut running = started(&mill);
    mill.write("scripts/sort.rhai", rule("second"));
    let done = decided(&mill, &mut running, "before");
    assert_eq!(done["did"][0], "moved to first");
    crate::support::mill::signal(running.pid(), "HUP");
    takes_over(&mill, &mut running, "second", "SIGHUP");
    mill.write("scripts/sort.rhai", rule("third"));
    let told = mill.expect(0, &["reload", "--wait"]);
    assert!(told.contains("generation 3"), "{told}");
    takes_over(&mill, &mut running, "third", "mailmill reload");
}

#[test]
fn reading_the_rules_and_writing_them_unchanged_changes_nothing() {
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    for _ in 0..100 {
        fs::read(mill.path("scripts/sort.rhai")).unwrap();
        fs::read(mill.path("mailmill.toml")).unwrap();
        fs::read_dir(mill.path("scripts")).unwrap().count();
    }
    mill.write("scripts/sort.rhai", rule("first"));
    mill.write("scripts/of-no-pipeline.rhai", "this is no rule");
    let told = super::json(&mill.expect(0, &["reload", "--wait", "--json"]));
    assert_eq!((&told["result"], &told["generation"]), (&"unchanged".into(), &1.into()));
    mill.write("scripts/sort.rhai", rule("second"));
    takes_over(&mill, &mut running, "second", "a real change");
    assert_eq!(count(&running, "in_force"), 1, "{:#?}", running.seen());
    assert_eq!(count(&running, "refused"), 0);
}
