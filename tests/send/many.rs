//! A long queue costs what it holds, not more: what must not depend on the speed of the machine. How
//! fast it is says the example `queue`.

use std::collections::BTreeSet;
use std::fs;

use super::{FAST, Post, exists};
use crate::support::mill::Mill;
use crate::support::spooled::{ACCOUNTS, fill, outgoing};

const MANY: u64 = 5_000;

/// The accounts that [`fill`] queues for; nobody answers where they relay to.
fn config() -> String {
    let account = |number: u64| {
        format!(
            "[accounts.a{number}]\naddress = \"anna@example.test\"\n\
             smtp = \"smtp://127.0.0.1:1\"\ntls = \"none\"\n"
        )
    };
    (0..ACCOUNTS).map(account).collect::<String>() + FAST
}

#[test]
fn a_long_queue_is_put_in_order_taken_into_and_changed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fill(&data, MANY, super::START).unwrap();
    // One file is gone, two have no entry.
    let first = fs::read_dir(data.join("queue")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&first).unwrap();
    for name in ["orphan.eml", "half.partial"] {
        fs::write(data.join("queue").join(name), "x").unwrap();
    }
    let post = Post::in_folder(folder, &config());
    let figures = post.queue.figures();
    assert_eq!((figures.waiting, figures.held), (4_999, 1));
    assert_eq!(figures.accounts.len() as u64, ACCOUNTS);
    assert!(!exists(&data.join("queue/orphan.eml")) && !exists(&data.join("queue/half.partial")));
    let mut file = post.queue.spool().begin();
    file.write_blocking(b"Subject: one more\r\n\r\n").unwrap();
    assert_eq!(post.queue.accept_blocking(outgoing(1), file).unwrap(), MANY + 1);
    // All of it, in parts.
    let mut seen = BTreeSet::new();
    loop {
        let from = seen.last().map_or(0, |last| last + 1);
        let page = post.queue.page(from, 700).unwrap();
        assert!(page.len() <= 700);
        let Some(last) = page.last() else { break };
        assert!(page[0].id >= from && last.id <= MANY + 1);
        seen.extend(page.iter().map(|entry| entry.id));
    }
    assert_eq!(seen.len() as u64, MANY + 1);
    post.pass(1_000);
    let due = post.queue.retry(&[]).unwrap();
    assert_eq!(due.len() as u64, MANY);
    let now = super::START + 1_000;
    assert!(post.queue.list().unwrap().iter().all(|e| e.held.is_some() || e.due_ms == now));
    let ids: Vec<u64> = due.into_iter().take(2_500).collect();
    assert_eq!(post.queue.hold(&ids, "enough").unwrap(), ids);
    assert_eq!(post.queue.figures().held, 2_501);
    assert_eq!(post.queue.release(&ids).unwrap(), ids);
    assert_eq!(post.queue.drop(&ids).unwrap(), ids);
    let post_figures = post.queue.figures();
    assert_eq!((post_figures.waiting, post_figures.held), (2_500, 1));
    assert_eq!(post.files().len(), 2_500);
}

/// The engine's memory at the start and while it tells all of it, and that of the command which asks.
#[test]
fn a_long_queue_takes_little_memory_for_each_message() {
    let peak = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    let start = |count: u64| {
        let mill = Mill::new(&config());
        fill(&mill.path("data"), count, mailmill::clock::Clock::System.now_ms()).unwrap();
        let mut running = mill.start();
        running.wait_event("started");
        let at_start = peak(running.pid());
        let listed = mill.expect(0, &["queue", "list", "--json"]);
        assert_eq!(listed.lines().count() as u64, count);
        let after = peak(running.pid());
        running.kill();
        let offline = mill.expect(0, &["queue", "list", "--json"]);
        assert_eq!(offline.lines().count() as u64, count);
        (at_start, after)
    };
    let (few, many) = (start(2), start(MANY));
    println!("KiB at the start and after a list: {few:?} with 2 messages, {many:?} with {MANY}");
    // 500 MB for 100,000 messages are 5 KB each; 15 MB are what any two starts may differ by.
    assert!(many.0 < few.0 + 15_000 + 5 * MANY, "{few:?}, {many:?}");
    assert!(many.1 < few.1 + 30_000 + 5 * MANY, "{few:?}, {many:?}");
}
