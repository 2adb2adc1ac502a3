//! Deaths while old records are pruned, and while a person's word about held messages is written.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use mailmill::store::{Change, State, Store};

use super::Death;
use super::world::{Home, World, die};
use crate::store::{link, with_state, write};

const CHILD_STORE: &str = "MAILMILL_TEST_PRUNED_STORE";

/// Settled records; a batch of pruning has 500.
const RECORDS: u64 = 1_100;

/// Settled records that are kept.
const KEPT: usize = 40;

const DEATHS: [Death; 3] = [Death::Kill, Death::Power { seed: 0 }, Death::Power { seed: 1 }];

#[test]
fn pruning_comes_to_the_same_end_wherever_it_dies() {
    let model = tempfile::tempdir().unwrap();
    fill(model.path());
    let unbroken = copy(model.path());
    let points = count_points(unbroken.path());
    let expected = content(unbroken.path());
    assert_eq!(expected.len(), KEPT + 2, "one is planned and one is held");
    assert!(points > 3 * 5, "{points}");
    for (point, death) in (1..=points).flat_map(|point| DEATHS.map(|death| (point, death))) {
        let folder = copy(model.path());
        assert!(!prune(folder.path(), Some((point, death))), "alive at {point}");
        let left = content(folder.path());
        assert!(left.is_superset(&expected), "{death:?} at {point} pruned too much");
        assert!(prune(folder.path(), None));
        assert_eq!(content(folder.path()), expected, "{death:?} at {point}");
    }
    println!("pruning: {} runs over {points} points", points * DEATHS.len());
}

fn fill(folder: &Path) {
    let store = Store::open(folder).unwrap();
    let mut changes: Vec<Change> =
        (1..=RECORDS).map(|id| write(with_state(id, State::Settled))).collect();
    changes.push(write(with_state(RECORDS + 1, State::Planned)));
    changes.push(write(with_state(RECORDS + 2, State::Held)));
    changes.push(link("T-071", "alias", 1));
    store.commit(&changes).unwrap();
}

fn copy(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let all = from.join(".");
    assert!(Command::new("cp").arg("-a").arg(all).arg(folder.path()).status().unwrap().success());
    folder
}

fn content(folder: &Path) -> BTreeSet<u64> {
    let store = Store::open(folder).unwrap();
    assert_eq!(store.links("T-071").unwrap().len(), 1, "links outlive their records");
    store.recent(usize::MAX).unwrap().iter().map(|record| record.id).collect()
}

fn pruner(folder: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["crash::store::child_prunes", "--exact", "--test-threads=1"]);
    child.env(CHILD_STORE, folder);
    child
}

/// Whether it lived.
fn prune(folder: &Path, death: Option<(usize, Death)>) -> bool {
    let mut child = pruner(folder);
    die(&mut child, death, folder);
    child.output().unwrap().status.success()
}

fn count_points(folder: &Path) -> usize {
    let report = folder.join("points");
    let mut child = pruner(folder);
    child.env("MAILMILL_FAULT", "count").env("MAILMILL_FAULT_REPORT", &report);
    assert!(child.output().unwrap().status.success());
    std::fs::read_to_string(report).unwrap().lines().count()
}

/// Not a test by itself: the process of [`pruning_comes_to_the_same_end_wherever_it_dies`].
#[test]
fn child_prunes() {
    let Some(folder) = std::env::var_os(CHILD_STORE) else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    store.prune(KEPT).unwrap();
}

#[test]
fn a_word_about_held_messages_is_kept_or_not_given_wherever_the_command_dies() {
    let model = World::model(Home::Maildir);
    assert_eq!(model.run(None).status.code(), Some(0));
    let id = held(&model)[0].to_string();
    for (args, then) in [(["held", "release", &id], 0), (["held", "retry", &id], 1)] {
        let unbroken = model.copy(0);
        let points = unbroken.points(&args).len();
        unbroken.run(None);
        let expected = unbroken.end();
        assert_eq!(held(&unbroken).len(), then);
        for (point, death) in (1..=points).flat_map(|point| DEATHS.map(|death| (point, death))) {
            let world = model.copy(0);
            let dead = world.call(&args, Some((point, death)));
            assert_eq!(dead.status.code(), None, "{args:?} lives at {point}");
            let again = world.call(&args, None).status.code();
            // Released by the first word already, it is not held any more.
            assert!(again == Some(0) || again == Some(1) && then == 0, "{args:?}: {again:?}");
            assert_eq!(world.run(None).status.code(), Some(0));
            let end = world.end();
            assert!(end == expected, "{death:?} at {point}:\n{}", expected.difference(&end));
        }
        println!("{args:?}: {} runs over {points} points", points * DEATHS.len());
    }
}

fn held(world: &World) -> Vec<u64> {
    let store = Store::open(&world.mill.path("data")).unwrap();
    let held = store.held().unwrap();
    assert!(held.iter().all(|record| record.state == State::Held));
    held.iter().map(|record| record.id).collect()
}
