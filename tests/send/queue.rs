//! What is in the queue outlives the engine, and does what people say.

use std::fs;

use mailmill::store::{
    Change, DelayNotice, Doubt, QueueEntry, RecipientState, Repair, Store, export, import, repair,
};

use super::{FAST, Post, exists, letter, outgoing, plain, times};
use crate::support::fake_smtp::FakeSmtp;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_is_sent_by_the_next_engine() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    for number in 0..20 {
        post.send(&format!("m{number}"), &["bob@example.test"]).await;
    }
    let mut post = post.again().await;
    assert_eq!(post.queue.list().unwrap().len(), 20);
    let next = post.send("next", &["bob@example.test"]).await;
    assert_eq!(next, 21, "ids are not given twice");
    post.run();
    post.until_empty();
    assert_eq!(server.taken().len(), 21);
    assert!(post.files().is_empty());
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_there() {
    let post = Post::new(&plain(1, "", FAST));
    let queue = post.queue.clone();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let queue = queue.clone();
        tasks.spawn(async move {
            let token = format!("m{number}");
            let mut file = queue.spool().begin();
            file.write(letter(&token).as_bytes()).await.unwrap();
            queue.accept(outgoing(&token, &["bob@example.test"]), file).await.unwrap()
        });
    }
    let mut ids: Vec<u64> = tasks.join_all().await;
    ids.sort_unstable();
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
    drop(queue);
    let post = post.again().await;
    assert_eq!(post.queue.list().unwrap().len(), 100);
    assert_eq!(post.files().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_hold_release_retry_and_drop() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    let waiting = mailmill::send::Outgoing {
        held: Some("a rule wants a person".into()),
        ..outgoing("held", &["bob@example.test"])
    };
    let held = post.put(waiting, &letter("held")).await;
    let dropped = post.send("dropped", &["bob@example.test"]).await;
    post.queue.hold(&[dropped], "not this one").unwrap();
    post.run();
    let sent = post.send("sent", &["bob@example.test"]).await;
    post.until("the third to be sent", || post.queue.show(sent).unwrap().is_none());
    post.until("the figures to tell", || {
        let figures = post.queue.figures();
        (figures.waiting, figures.held) == (0, 2)
    });
    let why = post.queue.release(&[held, 999]).unwrap_err().to_string();
    assert!(why.contains("999") && why.contains("not in the queue"), "{why}");
    assert!(post.entry(held).held.is_some(), "a wrong id changes nothing");
    assert!(post.queue.retry(&[held]).unwrap_err().to_string().contains("release it"));
    assert_eq!(post.queue.drop(&[dropped]).unwrap(), [dropped]);
    assert_eq!(post.queue.release(&[held]).unwrap(), [held]);
    post.until_empty();
    assert_eq!(server.taken().len(), 2);
    assert!(post.files().is_empty());
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_in_a_crash_is_sent_once_more_and_then_held() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "", FAST));
    let once = post.send("once", &["bob@example.test"]).await;
    let twice = post.send("twice", &["bob@example.test"]).await;
    let gone = post.send("gone", &["bob@example.test"]).await;
    for (id, times) in [(once, 0), (twice, 1)] {
        let doubt = Doubt { times, open: true };
        let entry = QueueEntry { doubt, ..post.entry(id) };
        post.store.commit(&[Change::Queue(entry.into())]).unwrap();
    }
    let lost = post.config.engine.data.join(format!("queue/{}.eml", post.entry(gone).file));
    fs::remove_file(&lost).unwrap();
    post = post.again().await;
    assert_eq!(post.entry(once).doubt, Doubt { times: 1, open: false });
    assert!(post.entry(twice).held.unwrap().contains("twice"));
    assert!(post.entry(gone).held.unwrap().contains("is gone"));
    assert!(!exists(&lost));
    post.run();
    post.until("the first to be sent", || post.queue.show(once).unwrap().is_none());
    assert_eq!(server.taken().len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_store_was_lost_comes_back_from_its_files() {
    let server = FakeSmtp::willing();
    let post = Post::new(&plain(server.port, "", FAST));
    post.send("one", &["bob@example.test", "eve@example.test"]).await;
    post.send("two", &["bob@example.test"]).await;
    let data = post.config.engine.data.clone();
    post.store.sync().unwrap();
    let Post { folder, store, queue, .. } = post;
    drop((store, queue));
    fs::remove_dir_all(data.join("store")).unwrap();
    let refused = Store::open(&data).unwrap_err().to_string();
    assert!(refused.contains("repair"), "{refused}");
    repair(&data, Repair::Damaged, 0).unwrap();
    let text = fs::read_to_string(folder.path().join("mailmill.toml")).unwrap();
    let mut post = Post::in_folder(folder, &text);
    let found = post.queue.list().unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|entry| entry.held.as_ref().unwrap().contains("was lost")));
    assert_eq!(found[0].recipients.len(), 2);
    let ids: Vec<u64> = found.iter().map(|entry| entry.id).collect();
    post.queue.release(&ids).unwrap();
    post.run();
    post.until_empty();
    assert_eq!(times("one", server.taken().iter().map(|taken| taken.text.as_str())), 1);
    post.stop().await;
    let post = post.again().await;
    assert!(post.queue.list().unwrap().is_empty());
}

/// A repaired or imported store has the queue as it was.
#[test]
fn entries_go_through_repair_export_and_import() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = Store::open(&data).unwrap();
    let mut long = entry(7);
    let recipient = long.recipients[0].clone();
    long.recipients = vec![recipient; 800];
    store.commit(&[Change::Queue(entry(3).into()), Change::Queue(long.clone().into())]).unwrap();
    store.commit(&[Change::Dequeue(3), Change::Queue(entry(5).into())]).unwrap();
    let expected = [entry(5), long];
    assert_eq!(store.queue().unwrap(), expected);
    assert_eq!(store.survey().queued, 2);
    drop(store);
    let mut lines = Vec::new();
    assert_eq!(export(&data, &mut lines).unwrap().lost, [""; 0]);
    fs::remove_dir_all(data.join("store")).unwrap();
    import(&data, &mut &lines[..]).unwrap();
    repair(&data, Repair::Restored, 0).unwrap();
    let store = Store::open(&data).unwrap();
    assert_eq!(store.queue().unwrap(), expected);
    assert!(store.survey().well, "{:?}", store.survey());
    assert_eq!(store.next_queue_id().unwrap(), 8);
    assert!(store.is_queue_in_doubt().unwrap());
    store.commit(&[Change::QueueSettled]).unwrap();
    assert!(!store.is_queue_in_doubt().unwrap());
}

#[test]
fn an_entry_that_is_too_large_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut large = entry(1);
    let recipient = large.recipients[0].clone();
    large.recipients = vec![recipient; 20_000];
    let why = store.commit(&[Change::Queue(large.into())]).unwrap_err().to_string();
    assert!(why.contains("fewer recipients"), "{why}");
    assert!(store.queue().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_what_was_sent_finds_its_project() {
    let post = Post::new(&plain(1, "", FAST));
    let outgoing = mailmill::send::Outgoing {
        project: Some("T-071".into()),
        subject: Some("Re: [EXTERN] Offer  for Glass".into()),
        ..outgoing("x", &["bob@example.test"])
    };
    post.put(outgoing, &letter("x")).await;
    let known = post.store.state("a", "project-link", "mid:x@example.test").unwrap();
    assert_eq!(known.as_deref(), Some("T-071\toffer for glass"));
}

fn entry(id: u64) -> QueueEntry {
    let to = |address: &str| super::to(address);
    QueueEntry {
        id,
        file: format!("file-{id}"),
        account: "a".into(),
        user: None,
        origin: mailmill::store::Origin::Rule,
        queued_ms: 1,
        reverse_path: Some(to("anna@example.test")),
        ret: None,
        envid: None,
        body: Default::default(),
        charset: Default::default(),
        size: 5,
        message_id: None,
        subject: None,
        project: None,
        generation: 0,
        digest: String::new(),
        held: None,
        recipients: vec![mailmill::store::QueuedRecipient {
            address: to("bob@example.test"),
            notify: Default::default(),
            orcpt: None,
            state: RecipientState::Pending { answer: Some("450 later".into()) },
        }],
        attempts: 2,
        due_ms: 9,
        last_error: None,
        delay: DelayNotice::None,
        doubt: Doubt::default(),
        copy: Default::default(),
    }
}
