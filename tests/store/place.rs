//! A new store takes the place of an old one: killed between any two steps, one of them is there and
//! whole.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mailmill::store::{Change, Store, compact};

use super::crash::copy_folder;
use super::{cursor, cursor_to, inbox, long_record, remember, with_state, write};

const CHILD: &str = "MAILMILL_TEST_COMPACTED_STORE";

fn marked(folder: &Path, uid: u32) {
    Store::open(folder).unwrap().commit(&[cursor_to(uid)]).unwrap();
}

fn mark(folder: &Path) -> Option<u32> {
    let store = Store::open(folder).unwrap();
    store.cursor("smartcity", &inbox()).unwrap().map(|cursor| cursor.uid.0)
}

/// A data folder with an old store (1) and a new one (2) as it is after the step of that name.
fn at_step(step: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    marked(data, 1);
    let other = tempfile::tempdir().unwrap();
    marked(other.path(), 2);
    let name = if step == "building" { "store.building" } else { "store.rebuilt" };
    fs::create_dir(data.join(name)).unwrap();
    copy_folder(other.path(), &data.join(name));
    if matches!(step, "aside" | "swapped") {
        fs::rename(data.join("store"), data.join("store.old")).unwrap();
    }
    if step == "swapped" {
        fs::rename(data.join("store.rebuilt/store"), data.join("store")).unwrap();
    }
    folder
}

#[test]
fn after_each_step_the_next_start_finds_one_store() {
    for (step, expected) in [("building", 1), ("rebuilt", 1), ("aside", 2), ("swapped", 2)] {
        let folder = at_step(step);
        assert_eq!(mark(folder.path()), Some(expected), "{step}");
        let names = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["pid", "store", "witness"], "{step}");
        assert_eq!(mark(folder.path()), Some(expected), "{step}, opened again");
    }
}

#[test]
fn what_was_moved_aside_by_a_repair_is_left_alone() {
    let folder = at_step("aside");
    fs::rename(folder.path().join("store.old"), folder.path().join("store.broken-1")).unwrap();
    assert_eq!(mark(folder.path()), Some(2));
    assert!(folder.path().join("store.broken-1/db").exists());
}

#[test]
fn half_a_move_from_the_early_layout_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    marked(folder.path(), 5);
    fs::rename(folder.path().join("store"), folder.path().join("store.moving")).unwrap();
    fs::rename(folder.path().join("store.moving/db"), folder.path().join("db")).unwrap();
    assert_eq!(mark(folder.path()), Some(5));
    assert!(!folder.path().join("db").exists());
}

/// Writes much more than it keeps.
fn grown(folder: &Path) {
    let store = Store::open(folder).unwrap();
    for round in 0..40 {
        let records = (1..=20).map(|id| write(long_record(id, 20_000 + round)));
        store.commit(&records.collect::<Vec<_>>()).unwrap();
    }
    let settled = with_state(1, mailmill::store::State::Settled);
    store.commit(&[write(settled), cursor_to(9), remember("a", "1")]).unwrap();
}

fn check_grown(folder: &Path) {
    let store = Store::open(folder).unwrap();
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(9)));
    assert_eq!(store.state("smartcity", "count", "a").unwrap().as_deref(), Some("1"));
    assert_eq!(store.unsettled("smartcity").unwrap().len(), 19);
    assert_eq!(store.record(20).unwrap(), Some(long_record(20, 20_039)));
    assert_eq!(store.next_id().unwrap(), 21);
}

#[test]
fn a_compacted_store_holds_the_same_in_less() {
    let folder = tempfile::tempdir().unwrap();
    grown(folder.path());
    let (before, after) = compact(folder.path()).unwrap();
    assert!(after < before / 3 * 2, "{before} bytes became {after}");
    check_grown(folder.path());
    let store = Store::open(folder.path()).unwrap();
    assert!(store.survey().well && !store.survey().salvaged, "{:?}", store.survey());
    store
        .commit(&[Change::Record(std::sync::Arc::new(with_state(
            21,
            mailmill::store::State::Held,
        )))])
        .unwrap();
    drop(store);
    assert_eq!(Store::open(folder.path()).unwrap().held().unwrap().len(), 1);
}

#[test]
fn a_compaction_may_be_killed_anywhere() {
    let original = tempfile::tempdir().unwrap();
    grown(original.path());
    let mut unfinished = 0;
    for round in 0..20_u64 {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(original.path(), folder.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::place::child_compacts", "--exact", "--test-threads=1"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Killed at some moment between its first file and its end, seen from outside.
        let signs = ["store.building", "store.building/witness", "store.rebuilt", "store.old"];
        let sign = folder.path().join(signs[usize::try_from(round % 4).unwrap()]);
        while !sign.exists() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        for _ in 0..round * 20_000 {
            std::hint::spin_loop();
        }
        unfinished += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        check_grown(folder.path());
        check_grown(folder.path());
    }
    assert!(unfinished > 5, "only {unfinished} of 20 were killed in time: nothing was tested");
}

/// Not a test by itself: what [`a_compaction_may_be_killed_anywhere`] kills.
#[test]
fn child_compacts() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    compact(Path::new(&folder)).unwrap();
}
