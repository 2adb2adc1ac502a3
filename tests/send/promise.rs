//! A message is promised by its file: what the store has not kept when the engine dies is taken from
//! there, with all that belongs to it; what is done, or was never promised, is not.

use std::fs;
use std::path::{Path, PathBuf};

use mailmill::clock::Clock;
use mailmill::maillog::{Form, Maillog};
use mailmill::send::{Outgoing, Queue, Spool};
use mailmill::store::{Change, Repair, Store, repair};
use serde_json::{Value, json};

use super::damage::copy;
use super::{FAST, Post, letter, outgoing, plain, times};
use crate::support::fake_smtp::FakeSmtp;
use crate::support::mill::Mill;

const BOB: [&str; 1] = ["bob@example.test"];

/// What the store of a data folder has kept so far, to be put back.
struct Kept(tempfile::TempDir);

impl Kept {
    fn of(store: &Store, data: &Path) -> Self {
        store.sync().unwrap();
        let kept = tempfile::tempdir().unwrap();
        fs::create_dir(kept.path().join("store")).unwrap();
        copy(&data.join("store"), &kept.path().join("store"));
        fs::copy(data.join("witness"), kept.path().join("witness")).unwrap();
        Self(kept)
    }

    /// As a backup that somebody put back: what was acknowledged since is known.
    fn put_back_store(&self, data: &Path) {
        fs::remove_dir_all(data.join("store")).unwrap();
        fs::create_dir(data.join("store")).unwrap();
        copy(&self.0.path().join("store"), &data.join("store"));
    }

    /// As after a kill: files are there, and of the store only what was kept.
    fn put_back(self, data: &Path) {
        self.put_back_store(data);
        fs::copy(self.0.path().join("witness"), data.join("witness")).unwrap();
    }
}

impl Post {
    fn data(&self) -> PathBuf {
        self.config.engine.data.clone()
    }

    /// Dies, and begins anew with this store and all files.
    fn killed(self, kept: Kept) -> Self {
        let (data, text) = (self.data(), fs::read_to_string(self.path("mailmill.toml")).unwrap());
        let Self { folder, store, queue, .. } = self;
        drop((store, queue));
        kept.put_back(&data);
        Self::in_folder(folder, &text)
    }

    /// What stands behind a message.
    fn behind(&self, id: u64) -> Value {
        let behind = self.queue.spool().behind(&self.entry(id).file).unwrap();
        serde_json::from_slice(&behind.unwrap().0).unwrap()
    }

    /// Writes a whole file with this behind its message, and gives its name.
    fn forge(&self, token: &str, mut behind: Value) -> String {
        let mut file = self.queue.spool().begin();
        let name = file.name().to_owned();
        file.write_blocking(letter(token).as_bytes()).unwrap();
        if behind["entry"]["file"] == "" {
            behind["entry"]["file"] = name.clone().into();
            behind["entry"]["size"] = file.size().into();
        }
        file.finish(&behind).unwrap();
        name
    }
}

fn remembered(key: &str, value: &str) -> Change {
    let (key, value) = (key.to_owned(), value.to_owned());
    Change::State { account: "a".into(), step: "numbers".into(), key, value }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_file_knows_is_sent_with_all_that_belongs_to_it() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    let first = post.send("first", &BOB).await;
    let kept = Kept::of(&post.store, &post.data());
    let more = Outgoing {
        changes: vec![remembered("seen", "1"), remembered("seen", "2")],
        project: Some("T-071".into()),
        ..outgoing("second", &BOB)
    };
    let second = post.put(more, &letter("second")).await;
    let held = Outgoing { held: Some("somebody should look".into()), ..outgoing("held", &BOB) };
    let held = post.put(held, &letter("held")).await;
    let before = post.queue.list().unwrap();
    let mut post = post.killed(kept);
    assert_eq!(post.queue.list().unwrap(), before);
    let state = |step: &str, key: &str| post.store.state("a", step, key).unwrap();
    assert_eq!(state("numbers", "seen").as_deref(), Some("2"));
    assert!(state("project-link", "mid:second@example.test").unwrap().starts_with("T-071\t"));
    assert_eq!(post.queue.figures().held, 1);
    post.run();
    post.until("two to be sent", || post.queue.list().unwrap().len() == 1);
    post.queue.release(&[held]).unwrap();
    post.until_empty();
    assert_eq!(server.taken().len(), 3);
    let next = post.send("next", &BOB).await;
    assert!(first < second && second < held && held < next);
    post.until_empty();
    post.stop().await;
    assert!(!post.said().contains("\"warning\""), "{}", post.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_overtaken_is_a_promise_all_the_same() {
    let post = Post::new(&plain(1, "", FAST));
    let slow = post.store.next_queue_id().unwrap();
    let fast = post.send("fast", &BOB).await;
    assert!(slow < fast);
    let mut behind = post.behind(fast);
    behind["entry"]["id"] = slow.into();
    behind["entry"]["file"] = "".into();
    post.forge("slow", behind);
    // The store has heard of the second, and remembers that it has not heard of the first.
    let post = post.again().await;
    let ids: Vec<u64> = post.queue.list().unwrap().iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [slow, fast]);
    // What failed once its file was whole is none, also where a later one was written before.
    let failed = post.store.next_queue_id().unwrap();
    let later = post.send("later", &BOB).await;
    let mut behind = post.behind(later);
    behind["entry"]["id"] = failed.into();
    behind["entry"]["file"] = "".into();
    post.forge("failed", behind);
    post.store.commit(&[Change::Dequeue(failed)]).unwrap();
    let post = post.again().await;
    assert_eq!(post.queue.list().unwrap().len(), 3);
    // What was open and has no file is not open for good.
    let never = post.store.next_queue_id().unwrap();
    post.send("third", &BOB).await;
    let post = post.again().await;
    assert!(post.store.knows_queue_id(never));
    assert_eq!(post.store.open_queue_ids(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_promise_is_removed_at_the_start() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    post.run();
    let queue = post.data().join("queue");
    let done = post.send("done", &BOB).await;
    post.until_empty();
    post.stop().await;
    let kept = post.send("kept", &BOB).await;
    post.queue.hold(&[kept], "to be looked at").unwrap();
    let behind = |change: &dyn Fn(&mut Value)| {
        let mut behind = post.behind(kept);
        behind["entry"]["file"] = "".into();
        behind["entry"]["id"] = 900.into();
        change(&mut behind);
        behind
    };
    // A loss of power has undone its removal.
    post.forge("done", behind(&|it| it["entry"]["id"] = done.into()));
    // Its name was to become another's.
    post.forge("renamed", behind(&|it| it["entry"]["file"] = "another".into()));
    post.forge(
        "resized",
        behind(&|it| {
            it["entry"]["file"] = "x".into();
            it["entry"]["size"] = 5.into();
        }),
    );
    post.forge("report", behind(&|it| it["by"] = "commit".into()));
    let foreign = post.forge("foreign", json!({"to": "bob"}));
    let twin = post.forge("twin", behind(&|it| it["entry"]["id"] = 800.into()));
    let other = post.forge("other", behind(&|it| it["entry"]["id"] = 800.into()));
    let torn = post.forge("torn", behind(&|_| {}));
    let path = queue.join(format!("{torn}.eml"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[..10].fill(0);
    fs::write(path, bytes).unwrap();
    fs::write(queue.join("half.partial"), "half").unwrap();
    assert_eq!(post.files().len(), 10);
    let mut post = post.again().await;
    let mut left = post.files();
    left.sort();
    // What cannot be told for sure is put aside; that says so.
    let mut expected = [
        format!("{}.eml", post.entry(kept).file),
        format!("{foreign}.damaged"),
        format!("{twin}.eml"),
        format!("{other}.damaged"),
    ];
    expected.sort();
    assert_eq!(left, expected);
    let said = post.said();
    assert!(said.contains("not understood") && said.contains("has its id 800"), "{said}");
    post.queue.release(&[kept]).unwrap();
    post.run();
    post.until("all to be sent", || post.queue.list().unwrap().is_empty());
    assert_eq!(server.taken().len(), 3);
    assert_eq!(times("done", server.taken().iter().map(|taken| taken.text.as_str())), 1);
    post.stop().await;
}

/// A small message is written over the file of one that is done; nothing is left of that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_over_and_is_no_message_to_a_repaired_store() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    let first = post.send("first", &BOB).await;
    let file = post.entry(first).file;
    let path = post.data().join(format!("queue/{file}.eml"));
    post.run();
    post.until_empty();
    assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
    post.stop().await;
    let second = post.send("second", &BOB).await;
    assert_eq!(post.entry(second).file, file);
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(5).any(|bytes| bytes == b"first"));
    // The store is lost while one file is in use and another one waits to be written over.
    fs::write(path.with_file_name("spare.eml"), [0; 4096]).unwrap();
    let post = post.without_its_store();
    assert!(!post.said().contains("spare"), "{}", post.said());
    let [entry] = &post.queue.list().unwrap()[..] else { panic!() };
    assert!(entry.id == second && entry.held.is_some());
    // A second repair knows it under the same id, with what became of it since.
    post.queue.hold(&[second], "a person's word").unwrap();
    let mut post = post.without_its_store();
    assert_eq!(post.queue.list().unwrap().len(), 1);
    post.queue.release(&[entry.id]).unwrap();
    post.run();
    post.until_empty();
    let texts: Vec<String> = server.taken().into_iter().map(|taken| taken.text).collect();
    assert_eq!(texts, [letter("first"), letter("second")]);
    post.stop().await;
}

/// An older store comes back and is repaired: what it knows of lies in a file that holds another message
/// by now, which must not go to the recipients of the first.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_sent_under_the_entry_of_another() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    let first = post.send("first", &BOB).await;
    let file = post.entry(first).file;
    let kept = Kept::of(&post.store, &post.data());
    post.run();
    post.until_empty();
    post.stop().await;
    let second = post.send("second", &["eve@example.test"]).await;
    assert_eq!(post.entry(second).file, file);
    let (data, text) = (post.data(), fs::read_to_string(post.path("mailmill.toml")).unwrap());
    let Post { folder, store, queue, .. } = post;
    drop((store, queue));
    kept.put_back_store(&data);
    assert!(Store::open(&data).unwrap_err().to_string().contains("older copy"));
    repair(&data, Repair::Damaged, 0).unwrap();
    let mut post = Post::in_folder(folder, &text);
    let [entry] = &post.queue.list().unwrap()[..] else { panic!() };
    assert_eq!(entry.recipients[0].address.to_string(), "eve@example.test");
    assert!(entry.held.is_some());
    post.queue.release(&[entry.id]).unwrap();
    post.run();
    post.until_empty();
    let taken: Vec<_> = server.taken().into_iter().map(|it| (it.to, it.text)).collect();
    let expected = [("bob", "first"), ("eve", "second")]
        .map(|(to, token)| (vec![format!("{to}@example.test")], letter(token)));
    assert_eq!(taken, expected);
    post.stop().await;
}

/// Somebody empties the folder of what is to be written over, or puts other bytes there.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_somebody_changes_are_not_sent_and_stop_nobody() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    post.run();
    for token in ["a", "b", "c"] {
        post.send(token, &BOB).await;
    }
    post.until_empty();
    let queue = post.data().join("queue");
    for entry in fs::read_dir(&queue).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let next = post.send("next", &BOB).await;
    post.until("it to be sent", || post.queue.show(next).unwrap().is_none());
    post.stop().await;
    let (one, two) = (post.send("one", &BOB).await, post.send("two", &BOB).await);
    let path = |id| queue.join(format!("{}.eml", post.entry(id).file));
    fs::copy(path(one), path(two)).unwrap();
    post.run();
    post.until("the second to be held", || post.entry(two).held.is_some());
    assert!(post.entry(two).held.unwrap().contains("it holds another message"));
    post.until("the first to be sent", || post.queue.list().unwrap().len() == 1);
    let count = |token| times(token, server.taken().iter().map(|taken| taken.text.as_str()));
    assert_eq!((count("one"), count("two")), (1, 0));
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_with_a_message_is_told_and_the_message_sent() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    let link = || Change::Link { project: "T".into(), evidence: "x".into(), id: 77 };
    let wrong = Outgoing { changes: vec![link()], ..outgoing("wrong", &BOB) };
    let mut file = post.queue.spool().begin();
    file.write(letter("wrong").as_bytes()).await.unwrap();
    let refused = post.queue.accept(wrong, file).await.unwrap_err().to_string();
    assert!(refused.contains("there is no such record"), "{refused}");
    assert!(post.files().is_empty() && post.store.open_queue_ids().is_empty());
    // An engine that dies has promised it, and the record is pruned since.
    let kept = post.send("kept", &BOB).await;
    let mut behind = post.behind(kept);
    behind["entry"]["id"] = 900.into();
    behind["entry"]["file"] = "".into();
    behind["changes"] = serde_json::to_value([link(), remembered("seen", "1")]).unwrap();
    post.forge("promised", behind);
    let mut post = post.again().await;
    assert!(post.said().contains("there is no such record"), "{}", post.said());
    post.run();
    post.until_empty();
    assert_eq!(server.taken().len(), 2);
    post.stop().await;
}

/// With the program itself, while no engine runs.
#[test]
fn commands_see_what_only_a_file_knows() {
    let mill = Mill::new(&plain(1, "", FAST));
    let data = mill.path("data");
    let store = Store::open(&data).unwrap();
    let log = Maillog::new(Form::Json, Clock::System, Box::new(std::io::sink()));
    let queue = Queue::new(store.clone(), Spool::open(&data).unwrap(), (Clock::System, log));
    let kept = Kept::of(&store, &data);
    let mut file = queue.spool().begin();
    file.write_blocking(letter("one").as_bytes()).unwrap();
    let id = queue.accept_blocking(outgoing("one", &BOB), file).unwrap().to_string();
    drop((queue, store));
    kept.put_back(&data);
    assert!(mill.expect(0, &["queue", "list"]).contains("About one"));
    mill.expect(0, &["queue", "hold", &id]);
    mill.expect(0, &["queue", "drop", &id]);
    assert!(!mill.expect(0, &["queue", "list"]).contains("About one"));
}
