//! The entries of the queue in a store that was damaged anywhere: what is read of them was written, and
//! what is lost is in doubt, never forgotten in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mailmill::mail::EnvelopeAddress;
use mailmill::store::{
    Change, DelayNotice, Doubt, Haste, Origin, QueueEntry, Queued, QueuedRecipient, RecipientState,
    Repair, SentCopy, Store, check, export, import, repair,
};

use super::crash::copy_folder;

const ENTRIES: u64 = 60;
/// The one entry of some hundred pieces.
const HUGE: u64 = 31;

fn to(address: &str) -> EnvelopeAddress {
    EnvelopeAddress::new(address).unwrap()
}

/// An entry with one recipient who waits.
pub fn entry(id: u64) -> QueueEntry {
    wide(id, 1)
}

/// An entry with so many recipients, in every state.
pub fn wide(id: u64, recipients: u64) -> QueueEntry {
    let state = |number: u64| match number % 3 {
        0 => RecipientState::Pending { answer: (number > 0).then(|| "450 4.2.0 later".into()) },
        1 => RecipientState::Sent { at_ms: 5, answer: format!("250 2.0.0 queued as {number}") },
        _ => RecipientState::Failed { at_ms: 6, answer: "550 5.1.1 nobody is called so".into() },
    };
    let recipient = |number| QueuedRecipient {
        address: to(&format!("bob.{number}@example.test")),
        notify: Default::default(),
        orcpt: None,
        state: state(number),
    };
    QueueEntry {
        id,
        file: format!("1-2-{id:x}"),
        account: "a".into(),
        user: Some("anna".into()),
        origin: Origin::Submission,
        queued_ms: 1_700_000_000_000,
        reverse_path: Some(to("anna@example.test")),
        ret: None,
        envid: None,
        body: Default::default(),
        charset: Default::default(),
        size: 4711,
        message_id: Some(format!("m{id}@example.test")),
        subject: Some(format!("Grüße {id}")),
        project: Some("T-071".into()),
        generation: 3,
        digest: "0123456789ab".into(),
        held: None,
        recipients: (0..recipients).map(recipient).collect(),
        attempts: 2,
        due_ms: 1_700_000_009_000,
        last_error: Some("450 4.2.0 later".into()),
        delay: DelayNotice::Settled,
        doubt: Doubt::default(),
        copy: SentCopy::None,
    }
}

/// The entry as it was written first, and how it is at last; every fifth is removed in the end.
fn first(id: u64) -> QueueEntry {
    wide(id, id % 7 + 1)
}

fn last(id: u64) -> Option<QueueEntry> {
    let last = match id {
        HUGE => wide(id, 4_500),
        _ if id.is_multiple_of(5) => return None,
        _ if id.is_multiple_of(3) => {
            QueueEntry { held: Some("a person".into()), ..wide(id, id * 3) }
        }
        _ => first(id),
    };
    Some(last)
}

/// A store with a queue that has some history.
fn filled(folder: &Path) {
    let store = Store::open(folder).unwrap();
    for id in 1..=ENTRIES {
        store.commit(&[Change::Queue(first(id).into())]).unwrap();
    }
    for id in 1..=ENTRIES {
        let change = match last(id) {
            Some(entry) => Change::Queue(entry.into()),
            None => Change::Dequeue(id),
        };
        store.commit(&[change]).unwrap();
    }
    assert_eq!(store.queue().unwrap(), expected());
    // Opened once more, so that sled begins with a snapshot.
    drop(store);
    Store::open(folder).unwrap().commit(&[super::remember("n", "2")]).unwrap();
}

fn expected() -> Vec<QueueEntry> {
    (1..=ENTRIES).filter_map(last).collect()
}

/// Damages that are spread over all of what is written of the file.
fn damage(db: &mut Vec<u8>, step: usize, of: usize) {
    let end = db.iter().rposition(|byte| *byte != 0).unwrap();
    let at = end / of * step + 777 * step % 4_096;
    match step % 4 {
        0 | 1 => db[at] ^= 1 << (step % 8),
        2 => db[at..(at + 40_000).min(end)].fill(0),
        _ => db.truncate(at),
    }
}

/// What a repair left of the queue; each entry is as it was at some time.
fn check_repaired(folder: &Path, what: &str) -> usize {
    let survey = check(folder).unwrap();
    assert!(survey.well && survey.salvaged, "{what}: {survey:?}");
    let store = Store::open(folder).unwrap();
    assert!(store.is_queue_in_doubt().unwrap(), "{what}");
    let found = store.queue().unwrap();
    let ids: BTreeSet<u64> = found.iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), found.len(), "{what}");
    for entry in &found {
        let id = entry.id;
        let written = *entry == first(id) || Some(entry) == last(id).as_ref();
        assert!(written, "{what}: entry {id} was never so: {entry:?}");
    }
    assert!(store.next_queue_id().unwrap() > ENTRIES, "{what}: an id is given twice");
    found.iter().filter(|entry| Some(*entry) == last(entry.id).as_ref()).count()
}

#[test]
fn damage_anywhere_is_noticed_and_leaves_only_entries_that_were_written() {
    const STEPS: usize = 48;
    let original = tempfile::tempdir().unwrap();
    filled(original.path());
    let (mut saved, mut refused) = (Vec::new(), 0);
    for step in 0..STEPS {
        let what = format!("damage {step}");
        let folder = tempfile::tempdir().unwrap();
        copy_folder(original.path(), folder.path());
        let path = folder.path().join("store/db");
        let mut db = fs::read(&path).unwrap();
        damage(&mut db, step, STEPS);
        fs::write(&path, &db).unwrap();
        let well = check(folder.path()).unwrap().well;
        match Store::open(folder.path()) {
            Ok(store) => assert_eq!(store.queue().unwrap(), expected(), "{what}: read wrong"),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("store repair"), "{what}: {error}");
                assert!(!well, "{what}: {error}");
            }
        }
        repair(folder.path(), Repair::Damaged, 0).unwrap();
        if !well {
            saved.push(check_repaired(folder.path(), &what));
        }
    }
    let all = expected().len();
    println!("{refused} of {STEPS} refused; entries saved of {all}, as they were last: {saved:?}");
    assert!(refused > STEPS / 3, "only {refused} damages were noticed: nothing was tested");
    assert!(saved.iter().any(|count| *count > all / 2), "{saved:?}");
}

/// Pieces of the two largest entries are damaged: these are lost, and said so, and no other.
#[test]
fn a_flip_within_an_entry_costs_that_one_alone() {
    let all: BTreeMap<u64, QueueEntry> = (1..=9).map(|id| (id, wide(id, 400 * id))).collect();
    let change = |id: u64| Change::Queue(all[&id].clone().into());
    let together: Vec<Change> = (1..=9).map(change).collect();
    let apart: Vec<Vec<Change>> = (1..=9).map(|id| vec![change(id)]).collect();
    for commits in [vec![together], apart] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        commits.iter().for_each(|changes| store.commit(changes).unwrap());
        drop(store);
        flip(&folder.path().join("store/db"), b"bob.3000@example.test");
        assert!(!check(folder.path()).unwrap().well);
        // sled itself cuts off what it takes for torn.
        Store::open(folder.path()).unwrap_err();
        let repaired = repair(folder.path(), Repair::Damaged, 0).unwrap();
        let found = Store::open(folder.path()).unwrap().queue().unwrap();
        let ids: Vec<u64> = found.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7], "{repaired:?}");
        found.iter().for_each(|entry| assert_eq!(entry, &all[&entry.id]));
        for id in [8, 9] {
            let line = format!("queue entry {id} is not whole");
            assert!(repaired.lost.contains(&line), "{:?}", repaired.lost);
        }
    }
}

/// Flips a bit wherever these bytes stand in a file.
fn flip(path: &Path, needle: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let starts = 0..bytes.len() - needle.len();
    let places: Vec<usize> = starts.filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at] ^= 0x20);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_store_that_is_gone_gives_no_id_of_its_queue_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Store::open(&data).unwrap().commit(&[Change::Queue(entry(41).into())]).unwrap();
    let mut lines = Vec::new();
    export(&data, &mut lines).unwrap();
    Store::open(&data).unwrap().commit(&[Change::Queue(entry(52).into())]).unwrap();
    // An older export into the folder where more was done since.
    fs::remove_dir_all(data.join("store")).unwrap();
    import(&data, &mut &lines[..]).unwrap();
    let store = Store::open(&data).unwrap();
    assert_eq!(store.queue().unwrap(), [entry(41)]);
    assert_eq!(store.next_queue_id().unwrap(), 53);
    drop(store);
    fs::remove_dir_all(data.join("store")).unwrap();
    repair(&data, Repair::Damaged, 0).unwrap();
    let store = Store::open(&data).unwrap();
    assert!(store.queue().unwrap().is_empty() && store.is_queue_in_doubt().unwrap());
    assert_eq!(store.next_queue_id().unwrap(), 53);
}

/// Many who are in no haste share batches: what each was told is there, and one who asks for too much fails
/// alone.
#[test]
fn changes_that_share_a_batch_are_each_written_or_refused() {
    const THREADS: u64 = 8;
    const EACH: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let ids: Vec<u64> = (1..=THREADS * EACH).collect();
    let all: Vec<Change> = ids.iter().map(|id| Change::Queue(entry(*id).into())).collect();
    store.put(&all).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, own) = (&store, ids.iter().filter(move |id| **id % THREADS == thread));
            scope.spawn(move || own.for_each(|id| settle(store, *id)));
        }
        // Somebody is in haste meanwhile, so that they wait for each other.
        for id in 1_000..1_050 {
            store.make_way();
            store.put(&[Change::Queue(entry(id).into())]).unwrap();
        }
    });
    let check = |store: &Store| {
        for id in &ids {
            let expected = (id % 5 != 0)
                .then(|| QueueEntry { attempts: entry(*id).attempts + 2, ..entry(*id) });
            assert_eq!(store.queued(*id).unwrap(), expected, "{id}");
        }
    };
    check(&store);
    drop(store);
    check(&Store::open(folder.path()).unwrap());
}

/// Two changes of an entry and, of each fifth, its removal; between them one that is refused.
fn settle(store: &Store, id: u64) {
    let count = |entry: &mut QueueEntry| {
        entry.attempts += 1;
        Queued::Changed
    };
    let seen = store.change_queued((&[id], Haste::WithOthers), count).unwrap();
    assert_eq!(seen[0].attempts, entry(id).attempts + 1);
    let refused = store.change_queued((&[id], Haste::WithOthers), |entry| {
        entry.recipients = vec![entry.recipients[0].clone(); 20_000];
        Queued::Changed
    });
    assert!(refused.unwrap_err().to_string().contains("fewer recipients"));
    let seen = store.change_queued((&[id], Haste::WithOthers), count).unwrap();
    assert_eq!(seen[0].attempts, entry(id).attempts + 2);
    if id.is_multiple_of(5) {
        store.change_queued((&[id], Haste::WithOthers), |_| Queued::Removed).unwrap();
        assert_eq!(store.queued(id).unwrap(), None);
    }
}
