//! What the store promises, whatever became of its files: each promise is tried on a fresh store, on
//! one that is opened anew after every step, on an imported copy and on a repaired one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailmill::mail::{MailboxName, MessageKey, Uid, UidValidity};
use mailmill::pipeline::Memory;
use mailmill::store::{
    Change, Doubtful, Haste, Hold, MAX_RECORD, MessageRecord, Queued, Repair, State, Store, export,
    import, repair,
};

use super::queue::{entry, wide};
use super::{
    account, arrived, cursor, cursor_to, ids, inbox, link, long_record, mark, record, remember,
    with_state, write,
};

/// What happens to the store between two steps of a behaviour.
type Fate = fn(&Path);

const FATES: [(&str, Fate); 4] =
    [("fresh", |_| {}), ("opened anew", reopened), ("imported", imported), ("repaired", repaired)];

fn reopened(data: &Path) {
    drop(Store::open(data).unwrap());
}

/// Everything goes out and into a new store in its place.
fn imported(data: &Path) {
    let mut lines = Vec::new();
    assert_eq!(export(data, &mut lines).unwrap().lost, [""; 0]);
    fs::remove_dir_all(data.join("store")).unwrap();
    import(data, &mut &lines[..]).unwrap();
}

fn repaired(data: &Path) {
    let repaired = repair(data, Repair::Restored, 0).unwrap();
    assert_eq!(repaired.lost, [""; 0]);
    assert_eq!((repaired.again, repaired.rewound), (0, 0));
}

/// A store whose fate is met between the steps.
struct Bench {
    _folder: tempfile::TempDir,
    data: PathBuf,
    fate: Fate,
    store: Option<Store>,
}

impl Bench {
    fn new(fate: Fate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = Some(Store::open(&data).unwrap());
        Self { _folder: folder, data, fate, store }
    }

    /// The store, after its fate.
    fn store(&mut self) -> &Store {
        if self.fate as usize != FATES[0].1 as usize {
            self.store = None;
            (self.fate)(&self.data);
            self.store = Some(Store::open(&self.data).unwrap());
        }
        self.store.as_ref().unwrap()
    }

    fn commit(&mut self, changes: &[Change]) {
        self.store().commit(changes).unwrap();
    }
}

/// Tries a behaviour with each fate.
fn everywhere(behaviour: fn(&mut Bench)) {
    for (name, fate) in FATES {
        println!("the store is {name}");
        behaviour(&mut Bench::new(fate));
    }
}

fn mailbox(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

#[test]
fn a_cursor_stands_where_it_was_put_last_forth_or_back() {
    everywhere(|bench| {
        assert_eq!(bench.store().cursor("smartcity", &inbox()).unwrap(), None);
        for uid in [5, 900, 7] {
            bench.commit(&[cursor_to(uid)]);
            let found = bench.store().cursor("smartcity", &inbox()).unwrap();
            assert_eq!(found, Some(cursor(uid)));
        }
        for (other, name) in [("smart", "INBOX"), ("smartcity", "INBOX/a")] {
            assert_eq!(bench.store().cursor(other, &mailbox(name)).unwrap(), None);
        }
    });
}

#[test]
fn a_commit_is_whole_or_not_at_all() {
    everywhere(|bench| {
        let too_long = write(long_record(2, MAX_RECORD));
        for last in [too_long, link("T", "x", 99), remember(&"k".repeat(2_000), "v")] {
            let changes =
                [write(record(1)), cursor_to(9), remember("a", "1"), arrived("X", 1, 1), last];
            bench.store().commit(&changes).unwrap_err();
            let store = bench.store();
            assert_eq!(store.record(1).unwrap(), None);
            assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), None);
            assert_eq!(store.state("smartcity", "count", "a").unwrap(), None);
            assert!(store.unsettled("smartcity").unwrap().is_empty());
        }
        bench.commit(&[]);
        bench.commit(&[write(record(1)), link("T", "x", 1), cursor_to(9), remember("a", "1")]);
        let store = bench.store();
        assert_eq!(store.record(1).unwrap(), Some(record(1)));
        assert_eq!(store.links("T").unwrap().len(), 1);
        assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(9)));
        assert_eq!(store.state("smartcity", "count", "a").unwrap().as_deref(), Some("1"));
    });
}

#[test]
fn of_two_changes_the_later_one_holds() {
    everywhere(|bench| {
        bench.commit(&[
            cursor_to(9),
            cursor_to(3),
            remember("a", "1"),
            remember("a", ""),
            remember("b", ""),
            remember("b", "2"),
            write(with_state(1, State::Held)),
            write(with_state(1, State::Settled)),
            write(long_record(2, 20_000)),
            write(record(2)),
            link("T", "first", 1),
            link("T", "second", 1),
        ]);
        let store = bench.store();
        assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(3)));
        assert_eq!(store.state("smartcity", "count", "a").unwrap(), None);
        assert_eq!(store.state("smartcity", "count", "b").unwrap().as_deref(), Some("2"));
        assert!(store.held().unwrap().is_empty());
        assert_eq!(store.record(2).unwrap(), Some(record(2)));
        let evidence: Vec<_> =
            store.links("T").unwrap().into_iter().map(|link| link.evidence).collect();
        assert_eq!(evidence, ["second"]);
    });
}

#[test]
fn a_record_is_found_by_all_that_names_it_and_by_nothing_old() {
    everywhere(|bench| {
        let long = long_record(1, 50_000);
        bench.commit(&[write(long.clone())]);
        assert_eq!(bench.store().record(1).unwrap(), Some(long.clone()));
        assert_eq!(bench.store().of_key(&long.key).unwrap(), Some(long.clone()));
        assert_eq!(ids(&bench.store().find("#1").unwrap()), [1]);
        assert_eq!(ids(&bench.store().find("<m1@example.com>").unwrap()), [1]);
        assert_eq!(ids(&bench.store().of_message_id("m1@example.com").unwrap()), [1]);
        let key = MessageKey { uid: Uid(77), ..long.key.clone() };
        let moved = MessageRecord { key, message_id: Some("n@example.com".into()), ..record(1) };
        bench.commit(&[write(moved.clone())]);
        assert_eq!(bench.store().of_key(&long.key).unwrap(), None);
        assert_eq!(bench.store().of_key(&moved.key).unwrap(), Some(moved));
        assert!(bench.store().find("m1@example.com").unwrap().is_empty());
        assert_eq!(ids(&bench.store().find("n@example.com").unwrap()), [1]);
    });
}

#[test]
fn each_state_has_its_list() {
    everywhere(|bench| {
        let states = [State::Planned, State::Settled, State::Held, State::Released, State::Void];
        let changes: Vec<_> =
            states.iter().zip(1..).map(|(state, id)| write(with_state(id, *state))).collect();
        bench.commit(&changes);
        assert_eq!(ids(&bench.store().unsettled("smartcity").unwrap()), [1]);
        assert!(bench.store().unsettled("smart").unwrap().is_empty());
        assert_eq!(ids(&bench.store().held().unwrap()), [3]);
        assert_eq!(ids(&bench.store().recent(3).unwrap()), [5, 4, 3]);
        bench.commit(&[write(with_state(1, State::Settled)), write(with_state(3, State::Void))]);
        assert!(bench.store().unsettled("smartcity").unwrap().is_empty());
        assert!(bench.store().held().unwrap().is_empty());
    });
}

#[test]
fn of_records_with_one_key_the_newest_counts() {
    everywhere(|bench| {
        let newer = MessageRecord { id: 2, ..record(1) };
        bench.commit(&[write(with_state(1, State::Released)), write(newer.clone())]);
        assert_eq!(bench.store().of_key(&newer.key).unwrap(), Some(newer));
        assert_eq!(ids(&bench.store().find("m1@example.com").unwrap()), [2, 1]);
    });
}

#[test]
fn steps_remember_by_account_step_and_key() {
    everywhere(|bench| {
        let long = "ü".repeat(9_000);
        bench.commit(&[remember("a", "1"), remember("b", &long), remember("", "none")]);
        let memory = bench.store().memory();
        assert_eq!(memory.get("smartcity", "count", "a").as_deref(), Some("1"));
        assert_eq!(memory.get("smartcity", "count", "b"), Some(long));
        assert_eq!(memory.get("smartcity", "count", "").as_deref(), Some("none"));
        assert_eq!(memory.get("smartcity", "coun", "ta"), None);
        assert_eq!(memory.trouble(), None);
        drop(memory);
        bench.commit(&[remember("b", "short"), remember("a", "")]);
        assert_eq!(bench.store().state("smartcity", "count", "a").unwrap(), None);
        let short = bench.store().state("smartcity", "count", "b").unwrap();
        assert_eq!(short.as_deref(), Some("short"));
    });
}

#[test]
fn arrivals_are_known_until_they_are_forgotten() {
    everywhere(|bench| {
        bench.commit(&[arrived("X", 6, 9), arrived("X", 7, 1), arrived("X", 7, 300)]);
        bench.commit(&[arrived("X/a", 7, 1)]);
        let forget = Change::ForgetArrived {
            account: account(),
            mailbox: mailbox("X"),
            uidvalidity: UidValidity(7),
            up_to: Uid(1),
        };
        let ours = |store: &Store, name: &str, validity| {
            let uids = [1, 9, 300].map(Uid);
            store.arrived("smartcity", &mailbox(name), UidValidity(validity), &uids).unwrap()
        };
        assert_eq!(ours(bench.store(), "X", 7), [Uid(1), Uid(300)]);
        bench.commit(&[forget]);
        assert_eq!(ours(bench.store(), "X", 7), [Uid(300)]);
        assert_eq!(ours(bench.store(), "X", 6), [Uid(0); 0]);
        assert_eq!(ours(bench.store(), "X/a", 7), [Uid(1)]);
    });
}

#[test]
fn pruning_takes_the_oldest_done_and_leaves_links_and_ids() {
    everywhere(|bench| {
        let mut changes: Vec<_> =
            (1..=20).map(|id| write(with_state(id, State::Settled))).collect();
        changes[1] = write(record(2));
        changes[3] = write(with_state(4, State::Held));
        changes.push(link("T", "x", 1));
        bench.commit(&changes);
        assert_eq!(bench.store().prune(3).unwrap(), 15);
        assert_eq!(ids(&bench.store().recent(100).unwrap()), [20, 19, 18, 4, 2]);
        assert_eq!(bench.store().prune(0).unwrap(), 3);
        assert_eq!(bench.store().links("T").unwrap()[0].id, 1);
        assert_eq!(bench.store().next_id().unwrap(), 21);
        assert!(bench.store().find("m20@example.com").unwrap().is_empty());
    });
}

#[test]
fn ids_count_up_for_good() {
    everywhere(|bench| {
        assert_eq!(bench.store().next_id().unwrap(), 1);
        bench.commit(&[write(with_state(9, State::Settled)), write(record(7))]);
        assert_eq!(bench.store().next_id().unwrap(), 10);
        bench.commit(&[write(with_state(7, State::Settled))]);
        bench.store().prune(0).unwrap();
        assert!(bench.store().next_id().unwrap() >= 10);
    });
}

#[test]
fn a_generation_has_one_number() {
    everywhere(|bench| {
        for (digest, number) in [("a", 1), ("a", 1), ("b", 2), ("a", 3)] {
            assert_eq!(bench.store().generation_number(digest).unwrap(), number);
            assert_eq!(bench.store().known_generation(digest).unwrap(), Some(number));
        }
        assert_eq!(bench.store().known_generation("b").unwrap(), None);
    });
}

#[test]
fn only_held_records_are_changed_by_people() {
    everywhere(|bench| {
        let hold = Hold { reason: "why".into(), since_ms: 1, attempts: 0, retry_at_ms: None };
        let held = MessageRecord { hold: Some(hold), ..with_state(1, State::Held) };
        bench.commit(&[write(held), write(with_state(2, State::Settled))]);
        let release = |record: &mut MessageRecord| record.state = State::Released;
        assert_eq!(bench.store().change_held(&[2, 1, 9, 1], release).unwrap(), [1]);
        assert_eq!(bench.store().record(2).unwrap().unwrap().state, State::Settled);
        assert!(bench.store().held().unwrap().is_empty());
        assert_eq!(bench.store().change_held(&[1], release).unwrap(), [0; 0]);
    });
}

#[test]
fn commits_of_many_threads_lose_nothing() {
    everywhere(|bench| {
        let store = bench.store().clone();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = store.clone();
                scope.spawn(move || {
                    for _ in 0..10 {
                        let id = store.next_id().unwrap();
                        let mut mine = record(id);
                        mine.key.account = format!("account{thread}").into();
                        store.commit(&[write(mine)]).unwrap();
                    }
                });
            }
        });
        drop(store);
        let counts: BTreeMap<_, _> = (0..4)
            .map(|thread| format!("account{thread}"))
            .map(|name| (name.clone(), bench.store().unsettled(&name).unwrap().len()))
            .collect();
        assert!(counts.values().all(|count| *count == 10), "{counts:?}");
    });
}

/// The one thing that a fate changes: a store that may not know all is in doubt.
#[test]
fn what_came_from_elsewhere_is_in_doubt_up_to_what_is_there() {
    for (name, fate) in FATES {
        let mut bench = Bench::new(fate);
        bench.commit(&[cursor_to(5)]);
        let elsewhere = matches!(name, "imported" | "repaired");
        let doubtful = |bench: &mut Bench, mailbox: &MailboxName, validity| {
            bench.store();
            bench.store.as_ref().unwrap().doubtful("smartcity", mailbox, UidValidity(validity))
        };
        let expected = if elsewhere { Doubtful::Unfixed } else { Doubtful::Nothing };
        assert_eq!(doubtful(&mut bench, &inbox(), 7).unwrap(), expected, "{name}");
        assert_eq!(doubtful(&mut bench, &mailbox("new"), 1).unwrap(), expected, "{name}");
        // A new UIDVALIDITY is in doubt in every store: records are pruned.
        assert_eq!(doubtful(&mut bench, &inbox(), 8).unwrap(), Doubtful::Unfixed, "{name}");
        let (account, mailbox, uidvalidity) = (account(), inbox(), UidValidity(8));
        let fixed = Change::DoubtBelow { account, mailbox, uidvalidity, uid: Uid(50) };
        let store = bench.store.as_ref().unwrap();
        store.commit(&[fixed]).unwrap();
        let now = store.doubtful("smartcity", &inbox(), UidValidity(8)).unwrap();
        assert_eq!(now, Doubtful::Below(Uid(50)), "{name}");
        // It is lost with the next repair, which begins a new doubt.
        let expected = if elsewhere { Doubtful::Unfixed } else { Doubtful::Below(Uid(50)) };
        assert_eq!(doubtful(&mut bench, &inbox(), 8).unwrap(), expected, "{name}");
    }
}

#[test]
fn what_was_done_stands_beside_the_plan_until_it_is_written_anew() {
    everywhere(|bench| {
        bench.commit(&[write(record(1)), write(record(2))]);
        let marked = |state| MessageRecord { state, marks: vec![mark(0)], ..record(1) };
        // What else it says is not taken.
        let said = MessageRecord { subject: "another".into(), ..marked(State::Planned) };
        bench.commit(&[Change::Progress(Arc::new(said))]);
        assert_eq!(bench.store().record(1).unwrap(), Some(marked(State::Planned)));
        assert_eq!(ids(&bench.store().unsettled("smartcity").unwrap()), [1, 2]);
        bench.commit(&[Change::Progress(Arc::new(marked(State::Settled)))]);
        assert_eq!(bench.store().record(1).unwrap(), Some(marked(State::Settled)));
        assert_eq!(ids(&bench.store().unsettled("smartcity").unwrap()), [2]);
        let anew = with_state(1, State::Planned);
        bench.commit(&[write(anew.clone())]);
        assert_eq!(bench.store().record(1).unwrap(), Some(anew));
        assert_eq!(ids(&bench.store().unsettled("smartcity").unwrap()), [1, 2]);
    });
}

#[test]
fn nothing_is_done_of_a_plan_that_is_not_open() {
    everywhere(|bench| {
        bench.commit(&[write(with_state(1, State::Settled)), write(with_state(2, State::Held))]);
        for id in 1..=3 {
            let done = Change::Progress(Arc::new(record(id)));
            let why = bench.store().commit(&[done]).unwrap_err().to_string();
            assert!(why.contains("its plan is not open"), "{why}");
        }
    });
}

#[test]
fn a_queue_entry_is_as_it_was_written_last_until_it_is_removed() {
    everywhere(|bench| {
        bench.commit(&[Change::Queue(wide(3, 800).into()), Change::Queue(entry(1).into())]);
        assert_eq!(bench.store().queue().unwrap(), [entry(1), wide(3, 800)]);
        // Shorter, then longer again: no piece of another version stays.
        bench.commit(&[Change::Queue(wide(3, 2).into()), Change::Queue(wide(1, 300).into())]);
        assert_eq!(bench.store().queue().unwrap(), [wide(1, 300), wide(3, 2)]);
        bench.commit(&[Change::Queue(wide(3, 500).into()), Change::Dequeue(1)]);
        assert_eq!(bench.store().queue().unwrap(), [wide(3, 500)]);
        assert_eq!(bench.store().queued(1).unwrap(), None);
        assert_eq!(bench.store().queued(3).unwrap(), Some(wide(3, 500)));
        assert_eq!(bench.store().survey().queued, 1);
        assert!(bench.store().survey().well);
    });
}

#[test]
fn queue_entries_are_changed_together_and_with_what_follows() {
    everywhere(|bench| {
        bench.commit(&[1, 2, 3].map(|id| Change::Queue(entry(id).into())));
        let changed =
            bench.store().change_queued((&[3, 1, 2, 9, 1], Haste::Now), |entry| match entry.id {
                1 => {
                    entry.held = Some("why".into());
                    Queued::ChangedWith(vec![remember("a", "1")])
                }
                2 => Queued::Left,
                _ => Queued::RemovedWith(vec![Change::Queue(super::queue::entry(4).into())]),
            });
        let changed: Vec<u64> = changed.unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(changed, [1, 3]);
        let store = bench.store();
        let ids: Vec<u64> = store.queue().unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [1, 2, 4]);
        assert_eq!(store.queued(1).unwrap().unwrap().held.as_deref(), Some("why"));
        assert_eq!(store.state("smartcity", "count", "a").unwrap().as_deref(), Some("1"));
        // One that cannot be written keeps all from being written.
        let refused = bench.store().change_queued((&[1, 2], Haste::Now), |entry| {
            let grown = wide(2, 20_000).recipients;
            *entry = super::queue::entry(entry.id);
            entry.recipients = if entry.id == 2 { grown } else { Vec::new() };
            Queued::Changed
        });
        assert!(refused.unwrap_err().to_string().contains("fewer recipients"));
        assert_eq!(bench.store().queued(1).unwrap().unwrap().held.as_deref(), Some("why"));
    });
}

#[test]
fn ids_of_the_queue_count_up_for_good() {
    everywhere(|bench| {
        assert_eq!(bench.store().next_queue_id().unwrap(), 1);
        bench.commit(&[Change::Queue(entry(9).into()), Change::Queue(entry(7).into())]);
        assert_eq!(bench.store().next_queue_id().unwrap(), 10);
        bench.commit(&[Change::Dequeue(9)]);
        bench.commit(&[Change::Dequeue(7)]);
        assert!(bench.store().next_queue_id().unwrap() >= 10);
        assert_eq!(bench.store().next_id().unwrap(), 1, "records have ids of their own");
    });
}

/// As with mailboxes: a store from elsewhere may not know what was sent since.
#[test]
fn a_queue_from_elsewhere_is_in_doubt_until_it_was_looked_through() {
    for (name, fate) in FATES {
        let mut bench = Bench::new(fate);
        bench.commit(&[Change::Queue(entry(1).into())]);
        let elsewhere = matches!(name, "imported" | "repaired");
        assert_eq!(bench.store().is_queue_in_doubt().unwrap(), elsewhere, "{name}");
        let store = bench.store.as_ref().unwrap();
        store.commit(&[Change::QueueSettled]).unwrap();
        assert!(!store.is_queue_in_doubt().unwrap(), "{name}");
        // The next one from elsewhere is in doubt again.
        assert_eq!(bench.store().is_queue_in_doubt().unwrap(), elsewhere, "{name}");
    }
}
