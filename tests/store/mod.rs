//! The store keeps its word: what was acknowledged is there, what belongs together came together,
//! and a store that cannot be trusted says so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use mailmill::error::Retry;
use mailmill::mail::{MailboxName, MessageKey, Uid, UidValidity};
use mailmill::pipeline::{Action, Decision, Memory, Recorded, Verdict};
use mailmill::store::{
    Change, Cursor, Hold, MAX_RECORD, Mark, MarkOutcome, MessageRecord, State, Store,
};

mod conformance;
mod crash;
mod growth;
mod held;
mod place;
mod queue;
mod repair;
mod salvage;

fn inbox() -> MailboxName {
    MailboxName::inbox()
}

fn account() -> Arc<str> {
    "smartcity".into()
}

fn record(id: u64) -> MessageRecord {
    MessageRecord {
        id,
        key: MessageKey {
            account: account(),
            mailbox: inbox(),
            uidvalidity: UidValidity(7),
            uid: Uid(u32::try_from(id).unwrap()),
        },
        message_id: Some(format!("m{id}@example.com")),
        subject: format!("Grüße {id}"),
        from: "Anna <anna@example.com>".into(),
        size: 4711,
        received_ms: Some(1_700_000_000_000),
        decided_ms: 1_700_000_001_000,
        decision: Decision {
            generation: 3,
            digest: "0123456789ab".into(),
            verdict: Verdict::Stop,
            actions: vec![Recorded {
                action: Action::MoveTo { mailbox: MailboxName::new("Projects/T-071").unwrap() },
                step: "route".into(),
                at: Some("route.rhai:12".into()),
            }],
            tags: BTreeMap::from([("kind".into(), "invoice".into())]),
            project: Some("T-071".into()),
            steps: vec![],
        },
        state: State::Planned,
        marks: vec![],
        hold: None,
    }
}

/// A record whose plan has about this many bytes.
fn long_record(id: u64, bytes: usize) -> MessageRecord {
    let mut long = record(id);
    long.decision.actions.push(Recorded {
        action: Action::Log { text: "x".repeat(bytes) },
        step: "route".into(),
        at: None,
    });
    long
}

pub fn with_state(id: u64, state: State) -> MessageRecord {
    MessageRecord { state, ..record(id) }
}

pub fn mark(action: usize) -> Mark {
    let note = Some("INBOX/1 -> Projects/T-071/17".into());
    Mark { action, at_ms: 5, outcome: MarkOutcome::Done, note }
}

pub fn write(record: MessageRecord) -> Change {
    Change::Record(Arc::new(record))
}

fn cursor(uid: u32) -> Cursor {
    Cursor { uidvalidity: UidValidity(7), uid: Uid(uid) }
}

fn cursor_to(uid: u32) -> Change {
    Change::Cursor { account: account(), mailbox: inbox(), cursor: cursor(uid) }
}

fn remember(key: &str, value: &str) -> Change {
    Change::State { account: account(), step: "count".into(), key: key.into(), value: value.into() }
}

pub fn link(project: &str, evidence: &str, id: u64) -> Change {
    Change::Link { project: project.into(), evidence: evidence.into(), id }
}

fn arrived(mailbox: &str, validity: u32, uid: u32) -> Change {
    Change::Arrived {
        account: account(),
        mailbox: MailboxName::new(mailbox).unwrap(),
        uidvalidity: UidValidity(validity),
        uid: Uid(uid),
    }
}

fn ids(records: &[MessageRecord]) -> Vec<u64> {
    records.iter().map(|record| record.id).collect()
}

fn opened() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

#[test]
fn the_folder_is_made_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/deep/store");
    let _store = Store::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn everything_of_a_commit_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = long_record(1, 30_000);
    whole.marks.push(mark(0));
    whole.hold = Some(Hold {
        reason: "no such table".into(),
        since_ms: 6,
        attempts: 2,
        retry_at_ms: Some(7),
    });
    {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), None);
        let id = store.next_id().unwrap();
        assert_eq!(id, 1);
        store
            .commit(&[
                write(whole.clone()),
                cursor_to(42),
                remember("seen", "3"),
                link("T-071", "subject-token", 1),
                arrived("Projects/T-071", 9, 17),
            ])
            .unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.record(1).unwrap(), Some(whole.clone()));
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(42)));
    assert_eq!(store.state("smartcity", "count", "seen").unwrap().as_deref(), Some("3"));
    let links = store.links("T-071").unwrap();
    assert_eq!(links.len(), 1);
    assert_eq!((links[0].id, links[0].evidence.as_str()), (1, "subject-token"));
    assert_eq!(links[0].message_id.as_deref(), Some("m1@example.com"));
    assert_eq!((links[0].subject.as_str(), links[0].at_ms), ("Grüße 1", 1_700_000_001_000));
    let target = MailboxName::new("Projects/T-071").unwrap();
    let ours =
        store.arrived("smartcity", &target, UidValidity(9), &[Uid(16), Uid(17), Uid(18)]).unwrap();
    assert_eq!(ours, [Uid(17)]);
    assert_eq!(store.of_key(&whole.key).unwrap(), Some(whole));
    assert_eq!(store.next_id().unwrap(), 2);
}

#[test]
fn a_record_moves_between_the_lists_with_its_state() {
    let (_folder, store) = opened();
    store.commit(&[write(record(1)), write(record(2)), write(record(3))]).unwrap();
    assert_eq!(ids(&store.unsettled("smartcity").unwrap()), [1, 2, 3]);
    assert!(store.unsettled("smart").unwrap().is_empty());
    store.commit(&[write(with_state(2, State::Held))]).unwrap();
    assert_eq!(ids(&store.unsettled("smartcity").unwrap()), [1, 3]);
    assert_eq!(ids(&store.held().unwrap()), [2]);
    // Twice in one batch: the last word counts.
    store
        .commit(&[write(with_state(1, State::Held)), write(with_state(1, State::Settled))])
        .unwrap();
    store.commit(&[write(with_state(2, State::Released))]).unwrap();
    assert!(store.held().unwrap().is_empty());
    assert_eq!(ids(&store.unsettled("smartcity").unwrap()), [3]);
    assert_eq!(ids(&store.recent(2).unwrap()), [3, 2]);
    assert_eq!(ids(&store.recent(10).unwrap()), [3, 2, 1]);
}

#[test]
fn a_record_may_shrink_and_grow() {
    let (_folder, store) = opened();
    for bytes in [60_000, 10, 20_000, 4_000, 0, 9_000] {
        let record = long_record(1, bytes);
        store.commit(&[write(long_record(1, 50_000)), write(record.clone())]).unwrap();
        assert_eq!(store.record(1).unwrap(), Some(record));
        assert_eq!(ids(&store.recent(10).unwrap()), [1]);
    }
}

#[test]
fn the_newest_record_of_a_key_is_the_one_of_that_message() {
    let (_folder, store) = opened();
    let again = MessageRecord { id: 2, ..record(1) };
    store.commit(&[write(with_state(1, State::Released)), write(again.clone())]).unwrap();
    assert_eq!(store.of_key(&again.key).unwrap(), Some(again.clone()));
    let other = MessageKey { uidvalidity: UidValidity(8), ..again.key };
    assert_eq!(store.of_key(&other).unwrap(), None);
}

#[test]
fn people_find_a_message_by_id_or_message_id() {
    let (_folder, store) = opened();
    let twin = MessageRecord { message_id: Some("m1@example.com".into()), ..record(2) };
    let number = MessageRecord { message_id: Some("1".into()), ..record(3) };
    store.commit(&[write(record(1)), write(twin), write(number)]).unwrap();
    assert_eq!(ids(&store.find("2").unwrap()), [2]);
    assert_eq!(ids(&store.find(" #2 ").unwrap()), [2]);
    assert_eq!(ids(&store.find("<m1@example.com>").unwrap()), [2, 1]);
    assert_eq!(ids(&store.find("m1@example.com").unwrap()), [2, 1]);
    assert_eq!(ids(&store.find("1").unwrap()), [1, 3]);
    for nothing in ["", "#", "99", "#x", "<>", "M1@example.com", "<m1@example.com"] {
        assert!(store.find(nothing).unwrap().is_empty(), "{nothing}");
    }
    // A new Message-ID under the same record: the old one finds nothing any more.
    store.commit(&[write(MessageRecord { message_id: None, ..record(1) })]).unwrap();
    assert_eq!(ids(&store.find("m1@example.com").unwrap()), [2]);
}

#[test]
fn memory_is_kept_by_account_step_and_key_and_emptied_by_an_empty_value() {
    let (_folder, store) = opened();
    let long = "ä".repeat(2_000) + "y".repeat(5_000).as_str();
    store.commit(&[remember("a", "1"), remember("b", &long), remember("", "empty key")]).unwrap();
    let memory = store.memory();
    assert_eq!(memory.get("smartcity", "count", "a").as_deref(), Some("1"));
    assert_eq!(memory.get("smartcity", "count", "b"), Some(long));
    assert_eq!(memory.get("smartcity", "count", "").as_deref(), Some("empty key"));
    assert_eq!(memory.get("smartcity", "coun", "ta"), None);
    assert_eq!(memory.get("smartcit", "ycount", "a"), None);
    store.commit(&[remember("a", ""), remember("b", "short")]).unwrap();
    assert_eq!(memory.get("smartcity", "count", "a"), None);
    assert_eq!(memory.get("smartcity", "count", "b").as_deref(), Some("short"));
    assert_eq!(memory.trouble(), None);
}

#[test]
fn a_memory_that_could_not_be_asked_says_so() {
    let (_folder, store) = opened();
    let memory = store.memory();
    assert_eq!(memory.get("smartcity", "count", &"k".repeat(2_000)), None);
    assert!(memory.trouble().unwrap().to_string().contains("2000 bytes"));
    assert_eq!(memory.trouble(), None);
}

#[test]
fn arrivals_are_forgotten_up_to_the_cursor_and_no_further() {
    let (_folder, store) = opened();
    let changes: Vec<_> = [(6, 900), (7, 1), (7, 2), (7, 300), (8, 1)]
        .map(|(validity, uid)| arrived("INBOX", validity, uid))
        .into();
    store.commit(&changes).unwrap();
    store.commit(&[arrived("INBOX/a", 7, 1)]).unwrap();
    store
        .commit(&[
            arrived("INBOX", 7, 3),
            Change::ForgetArrived {
                account: account(),
                mailbox: inbox(),
                uidvalidity: UidValidity(7),
                up_to: Uid(3),
            },
        ])
        .unwrap();
    let ours = |mailbox: &str, validity, uids: &[u32]| {
        let mailbox = MailboxName::new(mailbox).unwrap();
        let uids: Vec<_> = uids.iter().copied().map(Uid).collect();
        store.arrived("smartcity", &mailbox, UidValidity(validity), &uids).unwrap()
    };
    assert_eq!(ours("INBOX", 7, &[1, 2, 3, 300]), [Uid(300)]);
    assert_eq!(ours("INBOX", 8, &[1]), [Uid(1)]);
    assert!(ours("INBOX", 6, &[900]).is_empty());
    assert_eq!(ours("INBOX/a", 7, &[1]), [Uid(1)]);
}

#[test]
fn links_outlive_their_records_and_need_one_to_begin_with() {
    let (_folder, store) = opened();
    let settled = with_state(1, State::Settled);
    store.commit(&[write(settled), link("T-071", "alias", 1), link("T", "x", 1)]).unwrap();
    store.commit(&[link("T-071", "subject-token", 1)]).unwrap();
    assert_eq!(store.prune(0).unwrap(), 1);
    assert_eq!(store.record(1).unwrap(), None);
    let links = store.links("T-071").unwrap();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].evidence, "subject-token");
    assert_eq!(store.links("T").unwrap().len(), 1);
    let error = store.commit(&[cursor_to(1), link("T-071", "alias", 1)]).unwrap_err();
    assert!(error.to_string().contains("#1"), "{error}");
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), None);
}

#[test]
fn a_record_that_is_too_long_is_refused_with_the_whole_batch() {
    let (_folder, store) = opened();
    let error = store.commit(&[cursor_to(1), write(long_record(1, MAX_RECORD)), write(record(2))]);
    let error = error.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains("#1"), "{error}");
    assert!(error.to_string().contains(&MAX_RECORD.to_string()), "{error}");
    assert_eq!(store.record(2).unwrap(), None);
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), None);
    store.commit(&[write(long_record(1, 60 << 10))]).unwrap();
}

#[test]
fn a_subject_is_cut_at_200_characters() {
    let (_folder, store) = opened();
    let long = MessageRecord { subject: "ü".repeat(300), ..record(1) };
    store.commit(&[write(long), link("T-071", "alias", 1)]).unwrap();
    assert_eq!(store.record(1).unwrap().unwrap().subject, "ü".repeat(200));
    assert_eq!(store.links("T-071").unwrap()[0].subject, "ü".repeat(200));
}

#[test]
fn pruning_removes_the_oldest_settled_records_only() {
    let (_folder, store) = opened();
    let mut changes: Vec<_> = (1..=1_200).map(|id| write(with_state(id, State::Settled))).collect();
    changes[0] = write(record(1));
    changes[4] = write(with_state(5, State::Held));
    changes[9] = write(with_state(10, State::Released));
    store.commit(&changes).unwrap();
    assert_eq!(store.prune(2_000).unwrap(), 0);
    assert_eq!(store.prune(3).unwrap(), 1_195);
    assert_eq!(ids(&store.recent(100).unwrap()), [1_200, 1_199, 1_198, 5, 1]);
    assert!(store.find("m10@example.com").unwrap().is_empty());
    assert_eq!(store.of_key(&record(10).key).unwrap(), None);
    assert_eq!(store.prune(3).unwrap(), 0);
}

#[test]
fn ids_are_never_given_twice_not_even_after_pruning_all() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        for _ in 0..3 {
            let id = store.next_id().unwrap();
            store.commit(&[write(with_state(id, State::Settled))]).unwrap();
        }
        store.prune(0).unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    assert!(store.recent(10).unwrap().is_empty());
    assert_eq!(store.next_id().unwrap(), 4);
    store.commit(&[write(record(9)), write(record(7))]).unwrap();
    assert_eq!(store.next_id().unwrap(), 10);
}

#[test]
fn a_generation_keeps_its_number_until_another_one_comes() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.generation_number("aaaa").unwrap(), 1);
        assert_eq!(store.generation_number("aaaa").unwrap(), 1);
        assert_eq!(store.generation_number("bbbb").unwrap(), 2);
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.generation_number("bbbb").unwrap(), 2);
    assert_eq!(store.generation_number("aaaa").unwrap(), 3);
}

#[test]
fn commits_from_many_threads_all_arrive() {
    let (_folder, store) = opened();
    std::thread::scope(|scope| {
        for account in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for round in 1..=20 {
                    let id = store.next_id().unwrap();
                    let mut mine = record(id);
                    mine.key.account = format!("account{account}").into();
                    let cursor = Change::Cursor {
                        account: mine.key.account.clone(),
                        mailbox: inbox(),
                        cursor: cursor(round),
                    };
                    store.commit(&[write(mine), cursor]).unwrap();
                }
            });
        }
    });
    for account in 0..8 {
        let account = format!("account{account}");
        assert_eq!(store.unsettled(&account).unwrap().len(), 20);
        assert_eq!(store.cursor(&account, &inbox()).unwrap(), Some(cursor(20)));
    }
    assert_eq!(ids(&store.recent(1).unwrap()), [160]);
}
