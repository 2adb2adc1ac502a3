//! The store in a crash, under damage, and beside another process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mailmill::error::Retry;
use mailmill::store::{Cursor, Store};

use super::{cursor, cursor_to, ids, inbox, link, long_record, remember, write};

const CHILD_STORE: &str = "MAILMILL_TEST_CHILD_STORE";

#[test]
fn a_second_process_is_refused_by_name_and_pid() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start_child("store::crash::child_holds_the_store", folder.path());
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
    let mut child = start_child("store::crash::child_commits_until_killed", folder);
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
    let size = fs::metadata(original.path().join("store/db")).unwrap().len();
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
        assert!(error.to_string().contains("mailmill store repair"), "{what}: {error}");
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
    let mut db = fs::read(folder.path().join("store/db")).unwrap();
    damage(&mut db);
    fs::write(folder.path().join("store/db"), db).unwrap();
    let store = Store::open(folder.path())?;
    Ok((folder, store))
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
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
    fs::remove_dir_all(folder.path().join("store")).unwrap();
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
    fs::write(folder.path().join("store/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(5)));
}

/// sled does not sync its settings: after a loss of power they may have their length and nothing else.
#[test]
fn settings_that_never_reached_the_disk_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap().commit(&[cursor_to(5)]).unwrap();
    let conf = folder.path().join("store/conf");
    let length = fs::metadata(&conf).unwrap().len();
    for zeros in [0, 4, usize::try_from(length).unwrap()] {
        fs::write(&conf, vec![0; zeros]).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.cursor("smartcity", &inbox()).unwrap(), Some(cursor(5)));
    }
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
