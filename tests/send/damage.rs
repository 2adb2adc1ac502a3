//! Files of the queue that are cut, damaged or none at all, and a store that lost its entries: the engine
//! starts and says so, nothing else is lost, and no part of a message is ever sent for all of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mailmill::clock::Clock;
use mailmill::maillog::{Form, Maillog};
use mailmill::send::{Queue, Spool};
use mailmill::store::{Repair, Store, repair};
use serde_json::Value;

use super::{FAST, Post, letter, outgoing, plain, times};
use crate::support::fake_smtp::FakeSmtp;
use crate::support::mill::Mill;
use crate::support::queued::queued_files;

const BOB: [&str; 1] = ["bob@example.test"];

impl Post {
    /// The file of a message.
    fn file(&self, id: u64) -> PathBuf {
        self.config.engine.data.join(format!("queue/{}.eml", self.entry(id).file))
    }

    /// Ends, loses its store, and begins anew with what a repair makes of that.
    pub(super) fn without_its_store(self) -> Self {
        let data = self.config.engine.data.clone();
        let text = fs::read_to_string(self.path("mailmill.toml")).unwrap();
        // A store that never acknowledged anything is none that could be lost.
        self.store.sync().unwrap();
        let Self { folder, store, queue, .. } = self;
        drop((store, queue));
        fs::remove_dir_all(data.join("store")).unwrap();
        repair(&data, Repair::Damaged, 0).unwrap();
        Self::in_folder(folder, &text)
    }
}

fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

fn into_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// Every message that was taken is one of these, whole.
#[track_caller]
fn check_taken(server: &FakeSmtp, tokens: &[&str]) {
    let taken = server.taken();
    assert_eq!(taken.len(), tokens.len(), "{taken:#?}");
    for token in tokens {
        let whole = taken.iter().filter(|taken| taken.text == letter(token)).count();
        assert_eq!(whole, 1, "{token}: {taken:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_whole_waits_for_a_person_and_all_others_are_sent() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    let mut ids = Vec::new();
    for token in ["cut", "shorter", "empty", "folder", "flipped", "fine"] {
        ids.push(post.send(token, &BOB).await);
    }
    let [cut_off, shorter, empty, folder, flipped, fine] = ids[..] else { panic!() };
    // The message alone would be whole, what follows it is not.
    cut(&post.file(cut_off), post.entry(cut_off).size + 3);
    cut(&post.file(shorter), post.entry(shorter).size / 2);
    cut(&post.file(empty), 0);
    into_folder(&post.file(folder));
    // Of its bytes not one is what was promised for sure.
    flip(&post.file(flipped), post.entry(flipped).size + 20);
    let queue = post.config.engine.data.join("queue");
    fs::create_dir(queue.join("strange.eml")).unwrap();
    fs::create_dir(queue.join("strange.partial")).unwrap();
    fs::write(queue.join("\u{1b}[31m name.eml"), "x").unwrap();
    fs::write(queue.join(".eml"), "").unwrap();
    let mut post = post.again().await;
    let said = post.said();
    for (id, why) in
        [(cut_off, "it was cut"), (shorter, "it was cut"), (empty, "0 bytes"), (folder, "no file")]
    {
        let held = post.entry(id).held.unwrap_or_default();
        assert!(held.contains(why) && held.contains(&format!("queue {id}:")), "{held}");
        assert!(said.contains(&format!("queue {id}: the file")), "{said}");
    }
    assert_eq!(said.matches("strange").count(), 2, "{said}");
    assert!(post.entry(fine).held.is_none() && post.entry(flipped).held.is_none());
    post.run();
    post.until("the whole one to be sent", || post.queue.list().unwrap().len() == 5);
    // To let one go does not make it whole.
    post.queue.release(&[cut_off, shorter, empty, folder]).unwrap();
    post.until("all to be held again", || {
        post.queue.list().unwrap().iter().all(|entry| entry.held.is_some())
    });
    assert!(post.entry(flipped).held.unwrap().contains("it is damaged"));
    check_taken(&server, &["fine"]);
    // Whoever tried them may have them in hand still.
    post.until("all to be dropped", || post.queue.drop(&[cut_off, shorter, empty]).is_ok());
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_while_it_waits_is_not_sent_and_holds_up_nobody() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    let first = post.send("first", &BOB).await;
    let second = post.send("second", &BOB).await;
    let third = post.send("third", &BOB).await;
    cut(&post.file(first), post.entry(first).size - 1);
    into_folder(&post.file(second));
    post.run();
    post.until("the third to be sent", || post.queue.show(third).unwrap().is_none());
    post.until("the others to be held", || {
        post.queue.list().unwrap().iter().all(|entry| entry.held.is_some())
    });
    assert!(post.entry(first).held.unwrap().contains("it was cut"));
    check_taken(&server, &["third"]);
    assert!(!server.heard().iter().any(|line| line.starts_with("RSET")), "they were not begun");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_entries_a_damaged_file_is_put_aside_and_never_removed() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    let whole = post.send("whole", &BOB).await;
    let mut damaged = BTreeSet::new();
    for number in 0..6 {
        let id = post.send(&format!("damaged{number}"), &BOB).await;
        let (file, size) = (post.file(id), post.entry(id).size);
        let length = fs::metadata(&file).unwrap().len();
        match number {
            0 => cut(&file, length - 1),
            1 => cut(&file, size),
            2 => cut(&file, 0),
            3 => flip(&file, length - 1),
            4 => flip(&file, length - 12),
            _ => into_folder(&file),
        }
        damaged.insert(format!("{}.damaged", post.entry(id).file));
    }
    let kept = format!("{}.eml", post.entry(whole).file);
    let mut post = post.without_its_store();
    let said = post.said();
    for name in &damaged {
        assert!(said.contains(&name.replace(".damaged", "")), "{said}");
    }
    let expected: BTreeSet<String> = damaged.iter().cloned().chain([kept]).collect();
    assert_eq!(post.files().into_iter().collect::<BTreeSet<_>>(), expected);
    let [entry] = &post.queue.list().unwrap()[..] else { panic!() };
    assert!(entry.id == whole && entry.held.is_some(), "{entry:?}");
    post = post.again().await;
    post.run();
    assert_eq!(post.queue.release(&[entry.id]).unwrap(), [entry.id]);
    post.until("it to be sent", || post.queue.list().unwrap().is_empty());
    check_taken(&server, &["whole"]);
    post = post.again().await;
    assert_eq!(post.files().into_iter().collect::<BTreeSet<_>>(), damaged);
}

/// A bit of what a file says of its recipients, anywhere: it is put aside.
#[tokio::test(flavor = "multi_thread")]
async fn a_flip_in_what_is_said_of_a_message_loses_no_file() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    let mut all = 0;
    loop {
        let id = post.send(&format!("m{all}"), &BOB).await;
        let (file, size) = (post.file(id), post.entry(id).size);
        let at = size + all * 7;
        if at >= fs::metadata(&file).unwrap().len() {
            break;
        }
        flip(&file, at);
        all += 1;
    }
    let mut post = post.without_its_store();
    let (found, files) = (post.queue.list().unwrap(), post.files());
    assert_eq!(files.len() as u64, all + 1);
    let aside = files.iter().filter(|name| name.ends_with(".damaged")).count();
    assert_eq!(aside as u64, all);
    assert!(aside > 10 && found.len() == 1 && found[0].held.is_some(), "{found:#?}");
    post.run();
    post.queue.wake();
    let next = post.send("next", &BOB).await;
    post.until("what is new to be sent", || post.queue.show(next).unwrap().is_none());
    check_taken(&server, &["next"]);
    post.stop().await;
}

/// With the program itself: an older store comes back, is refused and repaired.
#[test]
fn after_a_repair_what_may_have_been_sent_waits_for_a_person() {
    let server = FakeSmtp::willing();
    let mill = Mill::new(&plain(server.port, "", FAST));
    let data = mill.path("data");
    let open = || {
        let store = Store::open(&data).unwrap();
        let log = Maillog::new(Form::Json, Clock::System, Box::new(std::io::sink()));
        let queue = Queue::new(store, Spool::open(&data).unwrap(), (Clock::System, log));
        queue.recover().unwrap();
        queue
    };
    let put = |queue: &Queue, token: &str, held: Option<&str>| {
        let mut file = queue.spool().begin();
        file.write_blocking(letter(token).as_bytes()).unwrap();
        let held = held.map(str::to_owned);
        let outgoing = mailmill::send::Outgoing { held, ..outgoing(token, &BOB) };
        queue.accept_blocking(outgoing, file).unwrap()
    };
    let queue = open();
    let ids = [put(&queue, "held", Some("a rule")), put(&queue, "gone", Some("a rule"))];
    assert_eq!(ids, [1, 2]);
    drop(queue);
    let older = mill.path("older");
    fs::create_dir(&older).unwrap();
    copy(&data.join("store"), &older);
    let queue = open();
    // Entries are removed before their files: this one has neither, and the older store has it.
    queue.drop(&[2]).unwrap();
    assert_eq!(put(&queue, "unknown", Some("a rule")), 3);
    drop(queue);
    fs::remove_dir_all(data.join("store")).unwrap();
    fs::rename(&older, data.join("store")).unwrap();

    let refused = mill.call(&["run", "--once"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("mailmill store repair"), "{error}");
    mill.expect(0, &["store", "repair"]);
    let mut running = mill.start();
    running.wait_event("started");
    let list = mill.expect(0, &["queue", "list", "--json"]);
    let list: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<_> = list.iter().map(|entry| (&entry["id"], &entry["subject"])).collect();
    assert_eq!(shown.len(), 2, "{list:#?}");
    assert_eq!((shown[0].0, shown[0].1), (&Value::from(1), &Value::from("About held")));
    assert_eq!((shown[1].0, shown[1].1), (&Value::from(3), &Value::from("About unknown")));
    assert!(list[1]["held"].as_str().unwrap().contains("was lost with the damaged store"));
    assert!(server.taken().is_empty());
    mill.expect(0, &["queue", "release", "3"]);
    running.wait_event("sent");
    check_taken(&server, &["unknown"]);
    mill.expect(0, &["queue", "release", "1"]);
    running.wait_event("sent");
    check_taken(&server, &["unknown", "held"]);
    assert_eq!(times("gone", server.taken().iter().map(|taken| taken.text.as_str())), 0);
    running.terminate();
    assert!(queued_files(&data).is_empty());
}

/// Copies a folder into one that is there.
pub(super) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
