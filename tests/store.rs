//! The store keeps its word: what was acknowledged is there, what belongs together came together,
//! and a store that cannot be trusted says so.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mailmill::error::Retry;
use mailmill::mail::{MailboxName, MessageKey, Uid, UidValidity};
use mailmill::pipeline::{Action, Decision, Memory, Recorded, Verdict};
use mailmill::store::{
    Change, Cursor, Hold, MAX_RECORD, Mark, MarkOutcome, MessageRecord, State, Store,
};

const CHILD_STORE: &str = "MAILMILL_TEST_CHILD_STORE";

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

fn with_state(id: u64, state: State) -> MessageRecord {
    MessageRecord { state, ..record(id) }
}

fn write(record: MessageRecord) -> Change {
    Change::Record(Box::new(record))
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

fn link(project: &str, evidence: &str, id: u64) -> Change {
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
    whole.marks.push(Mark {
        action: 0,
        at_ms: 5,
        outcome: MarkOutcome::Done,
        note: Some("INBOX/1 -> Projects/T-071/17".into()),
    });
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
    assert!(error.to_string().contains("65536"), "{error}");
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

#[test]
fn a_second_process_is_refused_by_name_and_pid() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start_child("store::child_holds_the_store", folder.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.by_ref().map(Result::unwrap).find(|line| line == "held").unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.retry(), Retry::Never);
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("pid {}", child.id())), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_second_store_in_the_same_process_is_refused_until_the_first_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let clone = first.clone();
    drop(first);
    let text = Store::open(folder.path()).unwrap_err().to_string();
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    drop(clone);
    Store::open(folder.path()).unwrap();
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_batches_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..20_u64 {
        let seed = round.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        acknowledged = commit_until_killed(folder.path(), seed).max(acknowledged);
        check_whole(folder.path(), acknowledged, seed);
    }
    assert!(acknowledged > 50, "only {acknowledged} commits in 20 rounds: nothing was tested");
}

/// Lets a child commit and kills it somewhere; gives the last commit that it acknowledged.
fn commit_until_killed(folder: &Path, seed: u64) -> u64 {
    let mut child = start_child("store::child_commits_until_killed", folder);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acks = lines
        .by_ref()
        .map(Result::unwrap)
        .filter_map(|line| ack(&line))
        .take(1 + (seed >> 33) as usize % 12);
    let mut last = acks.last().unwrap();
    // Anywhere within the next commit, not right after an answer.
    for _ in 0..(seed >> 40) % 400_000 {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    for line in lines {
        last = line.ok().and_then(|line| ack(&line)).unwrap_or(last);
    }
    child.wait().unwrap();
    last
}

fn ack(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.parse().ok()
}

fn check_whole(folder: &Path, acknowledged: u64, seed: u64) {
    let store = Store::open(folder).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let Cursor { uid, .. } = store.cursor("smartcity", &inbox()).unwrap().unwrap();
    let found = u64::from(uid.0);
    assert!(found >= acknowledged, "seed {seed}: {acknowledged} acknowledged, {found} found");
    let counted = store.state("smartcity", "count", "n").unwrap();
    assert_eq!(counted, Some(found.to_string()), "seed {seed}");
    for commit in 1..=found {
        for id in ids_of(commit) {
            let expected = long_record(id, length_of(id));
            assert_eq!(store.record(id).unwrap(), Some(expected), "seed {seed}, record {id}");
        }
    }
    let last = ids_of(found)[2];
    assert_eq!(ids(&store.recent(1).unwrap()), [last], "seed {seed}: half a batch");
    assert_eq!(store.links("T-071").unwrap().len() as u64, found, "seed {seed}");
    assert_eq!(store.unsettled("smartcity").unwrap().len() as u64, 3 * found, "seed {seed}");
    assert_eq!(store.next_id().unwrap(), last + 1, "seed {seed}");
}

fn ids_of(commit: u64) -> [u64; 3] {
    [commit * 3 - 2, commit * 3 - 1, commit * 3]
}

fn length_of(id: u64) -> usize {
    usize::try_from(id * 7_919 % 30_000).unwrap()
}

#[test]
fn a_damaged_store_is_an_error_or_whole_and_never_a_panic() {
    let original = tempfile::tempdir().unwrap();
    {
        let store = Store::open(original.path()).unwrap();
        for id in 1..=100 {
            store.commit(&[write(long_record(id, length_of(id)))]).unwrap();
        }
    }
    let size = fs::metadata(original.path().join("db")).unwrap().len();
    let size = usize::try_from(size).unwrap();
    let certain: [(&str, Damage); 5] = [
        ("emptied", &|db| db.clear()),
        ("cut in half", &|db| db.truncate(size / 2)),
        ("cut to a tenth", &|db| db.truncate(size / 10)),
        ("garbage", &|db| db.fill(0xA5)),
        ("garbage in its first half", &|db| db[..size / 2].fill(0x5A)),
    ];
    for (what, damage) in certain {
        let error = open_damaged(original.path(), damage).map(|_| ()).expect_err(what);
        assert_eq!(error.retry(), Retry::Never, "{what}: {error}");
        assert!(error.to_string().contains("move it away"), "{what}: {error}");
    }
    let offsets = (0..16).map(|n| n * size / 16 + 1_000);
    for offset in offsets {
        check_honest(original.path(), &format!("flipped {offset}"), &|db| db[offset] ^= 0x10);
        check_honest(original.path(), &format!("garbage at {offset}"), &|db| {
            db[offset..(offset + 5_000).min(size)].fill(0xEE);
        });
        check_honest(original.path(), &format!("cut at {offset}"), &|db| db.truncate(offset));
    }
    check_honest(original.path(), "cut by a byte", &|db| db.truncate(size - 1));
}

/// What is done to the bytes of the database.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

/// The store is refused, or every record is there as it was written.
fn check_honest(original: &Path, what: &str, damage: Damage) {
    let (_folder, store) = match open_damaged(original, damage) {
        Ok(opened) => opened,
        Err(error) => return assert_eq!(error.retry(), Retry::Never, "{what}: {error}"),
    };
    for id in 1..=100 {
        let found = store.record(id).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found, Some(long_record(id, length_of(id))), "{what}");
    }
}

fn open_damaged(
    original: &Path,
    damage: Damage,
) -> mailmill::error::Result<(tempfile::TempDir, Store)> {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(original, folder.path());
    let mut db = fs::read(folder.path().join("db")).unwrap();
    damage(&mut db);
    fs::write(folder.path().join("db"), db).unwrap();
    let store = Store::open(folder.path())?;
    Ok((folder, store))
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_store_that_lost_its_database_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().commit(&[cursor_to(1)]).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "db" || name.starts_with("snap.") {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
    let text = Store::open(folder.path()).unwrap_err().to_string();
    assert!(text.contains("1 commits were acknowledged"), "{text}");
    // Looking at it again does not make it right.
    Store::open(folder.path()).unwrap_err();
}

#[test]
fn an_older_copy_of_the_database_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().commit(&[cursor_to(1)]).unwrap();
    let older = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), older.path());
    let store = Store::open(folder.path()).unwrap();
    store.commit(&[cursor_to(2)]).unwrap();
    drop(store);
    fs::copy(folder.path().join("witness"), older.path().join("witness")).unwrap();
    let text = Store::open(older.path()).unwrap_err().to_string();
    assert!(text.contains("older copy"), "{text}");
}

#[test]
fn a_snapshot_that_was_never_finished_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().commit(&[cursor_to(5)]).unwrap();
    fs::write(folder.path().join("snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(5)));
}

#[test]
fn a_folder_that_cannot_be_made_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    let text = Store::open(&folder.path().join("file/store")).unwrap_err().to_string();
    assert!(text.contains("file/store"), "{text}");
}

fn start_child(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_STORE, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Says a line to the parent, past the capturing of the test harness.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Not a test by itself: the other process of
/// [`a_second_process_is_refused_by_name_and_pid`]. It ends with its parent's pipe.
#[test]
fn child_holds_the_store() {
    let Some(folder) = std::env::var_os(CHILD_STORE) else { return };
    let _store = Store::open(Path::new(&folder)).unwrap();
    say("held");
    std::io::stdin().lines().next();
}

/// Not a test by itself: the process that
/// [`what_was_acknowledged_survives_kill_9_and_batches_stay_whole`] kills.
#[test]
fn child_commits_until_killed() {
    let Some(folder) = std::env::var_os(CHILD_STORE) else { return };
    let store = Store::open(Path::new(&folder)).unwrap();
    let done = store.cursor("smartcity", &inbox()).unwrap().map_or(0, |cursor| cursor.uid.0);
    for commit in done + 1..done + 10_000 {
        let ids = ids_of(u64::from(commit));
        let mut changes: Vec<_> =
            ids.iter().map(|id| write(long_record(*id, length_of(*id)))).collect();
        changes.push(link("T-071", "alias", ids[1]));
        changes.push(remember("n", &commit.to_string()));
        changes.push(cursor_to(commit));
        store.commit(&changes).unwrap();
        say(&format!("ack {commit}"));
    }
}
