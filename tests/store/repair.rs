//! What a repair saves of a store that was damaged anywhere: no message below a cursor is forgotten.

use std::fs;
use std::path::Path;

use mailmill::store::{
    Doubtful, MessageRecord, Repair, State, Store, check, export, import, repair,
};

use super::crash::copy_folder;
use super::{
    arrived, cursor, cursor_to, inbox, link, long_record, record, remember, with_state, write,
};

const RECORDS: u32 = 300;
const NOW: i64 = 1_800_000_000_000;

/// Every tenth record is held, every other tenth is planned, all below the cursor.
fn state_of(id: u64) -> State {
    match id % 10 {
        3 => State::Held,
        7 => State::Planned,
        _ => State::Settled,
    }
}

fn stored(id: u64) -> MessageRecord {
    let bytes = usize::try_from(id * 7_919 % 6_000).unwrap();
    MessageRecord { state: state_of(id), ..long_record(id, bytes) }
}

/// A store with some history: its records were written more than once.
fn filled(folder: &Path) {
    let store = Store::open(folder).unwrap();
    for uid in 1..=RECORDS {
        let id = u64::from(uid);
        store.commit(&[write(record(id))]).unwrap();
        let changes =
            [write(stored(id)), cursor_to(uid), link("T-071", "alias", id), remember("n", "1")];
        store.commit(&changes).unwrap();
    }
    store.commit(&[arrived("Projects/T-071", 9, 17)]).unwrap();
    // Opened once more, so that sled begins with a snapshot.
    drop(store);
    Store::open(folder).unwrap().commit(&[remember("n", "2")]).unwrap();
}

/// A repaired store names each open message, or meets it again.
fn check_nothing_forgotten(folder: &Path, what: &str) -> usize {
    let survey = check(folder).unwrap();
    assert!(survey.well && survey.salvaged, "{what}: {survey:?}");
    let store = Store::open(folder).unwrap();
    let passed = store.cursor("smartcity", &inbox()).unwrap().map_or(0, |cursor| cursor.uid.0);
    let mut whole = 0;
    for uid in 1..=RECORDS {
        let id = u64::from(uid);
        let found = store.record(id).unwrap();
        whole += usize::from(found == Some(stored(id)));
        let open = found.is_some_and(|found| matches!(found.state, State::Held | State::Planned));
        let again = uid > passed || open || state_of(id) == State::Settled;
        assert!(again, "{what}: message {uid} is forgotten, the cursor is at {passed}");
    }
    assert_eq!(
        store.doubtful("smartcity", &inbox(), cursor(1).uidvalidity).unwrap(),
        Doubtful::Unfixed
    );
    assert!(store.next_id().unwrap() > u64::from(RECORDS), "{what}: an id is given twice");
    whole
}

#[test]
fn damage_anywhere_forgets_no_message() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let size = fs::metadata(original.path().join("store/db")).unwrap().len();
    let size = usize::try_from(size).unwrap();
    let mut saved = Vec::new();
    for step in 0..40 {
        let what = format!("damage {step}");
        let folder = tempfile::tempdir().unwrap();
        copy_folder(original.path(), folder.path());
        let path = folder.path().join("store/db");
        let mut db = fs::read(&path).unwrap();
        let at = size / 40 * step + 777 * step % 4_096;
        match step % 4 {
            0 => db[at] ^= 0x10,
            1 => db[at..(at + 3_000).min(size)].fill(0xEE),
            2 => db[at..(at + 40_000).min(size)].fill(0),
            _ => db.truncate(at),
        }
        fs::write(&path, db).unwrap();
        let survey = check(folder.path()).unwrap();
        let repaired = repair(folder.path(), Repair::Damaged, NOW).unwrap();
        assert_eq!(repaired.found, survey, "{what}");
        assert_eq!(repaired.kept.is_none(), survey.well, "{what}");
        if !survey.well {
            saved.push(check_nothing_forgotten(folder.path(), &what));
        }
    }
    println!("saved of {RECORDS} records, damage by damage: {saved:?}");
    assert!(saved.len() > 10, "only {} damages were noticed: nothing was tested", saved.len());
}

#[test]
fn a_damaged_store_is_exported_as_far_as_it_goes_and_not_imported_half() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let mut whole = Vec::new();
    assert_eq!(export(folder.path(), &mut whole).unwrap().lost, [""; 0]);
    let path = folder.path().join("store/db");
    let mut db = fs::read(&path).unwrap();
    let half = db.len() / 2;
    db.truncate(half);
    fs::write(&path, &db).unwrap();
    let mut part = Vec::new();
    let exported = export(folder.path(), &mut part).unwrap();
    assert!(!exported.lost.is_empty(), "{exported:?}");
    let last = String::from_utf8(part).unwrap().lines().last().unwrap().to_owned();
    assert!(last.contains("\"whole\":false"), "{last}");
    assert_eq!(fs::read(&path).unwrap(), db, "the store itself is not written to");

    let new = tempfile::tempdir().unwrap();
    for cut in [0, 1, 10, whole.len() / 2, whole.len() - 30] {
        let error = import(new.path(), &mut &whole[..cut]).unwrap_err().to_string();
        assert!(error.contains("line"), "{error}");
        assert!(Store::open(new.path()).unwrap().recent(1).unwrap().is_empty(), "cut at {cut}");
    }
    import(new.path(), &mut &whole[..]).unwrap();
    let error = import(new.path(), &mut &whole[..]).unwrap_err().to_string();
    assert!(error.contains("it is not empty"), "{error}");
    let store = Store::open(new.path()).unwrap();
    assert_eq!(store.record(299).unwrap(), Some(stored(299)));
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(RECORDS)));
    assert_eq!(store.next_id().unwrap(), u64::from(RECORDS) + 1);
}

#[test]
fn ids_that_only_the_witness_remembers_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().commit(&[write(with_state(41, State::Settled))]).unwrap();
    fs::remove_dir_all(folder.path().join("store")).unwrap();
    let repaired = repair(folder.path(), Repair::Damaged, NOW).unwrap();
    assert_eq!((repaired.saved, repaired.kept), (0, None));
    assert_eq!(Store::open(folder.path()).unwrap().next_id().unwrap(), 42);
}
