//! A Maildir among hostile names, other programs, broken lists and interruptions.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mailmill::error::Retry;
use mailmill::mail::{Flag, MailboxName, Uid};
use mailmill::mailbox::maildir::{Attempt, Delivered, MaildirMailboxes, deliver};
use mailmill::mailbox::{Extent, FlagChange, Likeness, Mailboxes, Woke};

use super::{Fixture, MAX_SIZE, RECEIVED_MS, flags, message, name, set_time, uids};

#[tokio::test]
async fn no_link_leads_out_of_the_maildir() {
    let mut fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    MaildirMailboxes::create_at(outside.path(), MAX_SIZE).unwrap();
    symlink(outside.path(), fixture.path.join(".Out")).unwrap();
    fs::create_dir(fixture.path.join(".Half")).unwrap();
    symlink(outside.path().join("cur"), fixture.path.join(".Half/cur")).unwrap();
    fixture.mail.create(&name("Third")).await.unwrap();
    fs::remove_dir(fixture.path.join(".Third/new")).unwrap();
    symlink(outside.path().join("new"), fixture.path.join(".Third/new")).unwrap();
    fixture.put("new/1", &message("a"));
    symlink("/etc/passwd", fixture.path.join("new/2")).unwrap();
    symlink("/etc/passwd", fixture.path.join("cur/3:2,")).unwrap();
    fs::create_dir(fixture.path.join("cur/4:2,")).unwrap();
    fixture.select("INBOX").await;
    assert_eq!(fixture.uids().await, [1]);
    for mailbox in ["Out", "Half", "Third"] {
        let moved = fixture.mail.move_to(&[Uid(1)], &name(mailbox)).await.unwrap_err();
        assert_eq!(moved.retry(), Retry::Never, "{moved}");
        fixture.mail.append(&name(mailbox), b"x", &[], None).await.unwrap_err();
    }
    for mailbox in ["Out", "Half"] {
        fixture.mail.create(&name(mailbox)).await.unwrap_err();
        assert!(!fixture.mail.exists(&name(mailbox)).await.unwrap());
        assert!(fixture.mail.list_below(&name(mailbox)).await.unwrap().mailboxes.is_empty());
    }
    assert_eq!(fs::read_dir(outside.path().join("new")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(outside.path().join("cur")).unwrap().count(), 0);
}

#[tokio::test]
async fn names_of_any_bytes_keep_their_uids() {
    let mut fixture = Fixture::new();
    for odd in [b"1\xff\xfe".as_slice(), b"2 with blank\n", b"3%41", b"4:2,S", b"5:odd"] {
        fs::write(fixture.path.join("cur").join(OsStr::from_bytes(odd)), message("x")).unwrap();
    }
    let validity = fixture.select("INBOX").await;
    assert_eq!(fixture.uids().await, [1, 2, 3, 4, 5]);
    fixture.mail = MaildirMailboxes::open(&fixture.path, MAX_SIZE).unwrap();
    assert_eq!(fixture.select("INBOX").await, validity);
    assert_eq!(fixture.uids().await, [1, 2, 3, 4, 5]);
    let all = uids(&[1, 2, 3, 4, 5]);
    fixture.mail.store_flags(&all, FlagChange::Add, &flags(&["\\Flagged"])).await.unwrap();
    let fetched = fixture.mail.fetch(&all, Extent::Headers).await.unwrap();
    assert!(fetched.iter().all(|one| one.flags.contains(&flags(&["\\Flagged"])[0])));
    assert_eq!(fixture.uids().await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_broken_list_begins_a_new_uidvalidity_and_never_mixes_uids() {
    let mut fixture = Fixture::new();
    for file in ["new/1", "new/2", "new/3"] {
        fixture.put(file, &message("a"));
    }
    let mut validity = fixture.select("INBOX").await;
    let path = fixture.path.join("mailmill-uidlist");
    let breaks: [fn(&str) -> String; 9] = [
        |_| String::new(),
        |_| "\n".into(),
        |_| "garbage".into(),
        |list| list.lines().take(2).map(|line| format!("{line}\n")).collect(),
        |list| list.replace("\n1 1\n", "\n2 1\n"),
        |list| list.replace("\n2 2\n", "\n2 1\n"),
        |list| list.replace("\n3 3\n", "\n9 3\n"),
        |list| list.replace("\n3 3\n", "\n3 %zz\n"),
        |list| list[..list.len() - 1].into(),
    ];
    for (number, broken) in breaks.into_iter().enumerate() {
        let sound = fs::read_to_string(&path).unwrap();
        assert_ne!(broken(&sound), sound, "break {number}");
        fs::write(&path, broken(&sound)).unwrap();
        fixture.put("new/0", &message("new"));
        let next = fixture.select("INBOX").await;
        assert!(next > validity, "break {number}");
        assert_eq!(fixture.uids().await, [1, 2, 3, 4]);
        fs::remove_file(fixture.path.join("new/0")).unwrap();
        fs::remove_file(&path).unwrap();
        validity = fixture.select("INBOX").await;
        assert!(validity > next, "a lost list after break {number}");
    }
    // Broken under an open mailbox: an error, not other messages under known UIDs.
    fs::write(&path, "garbage").unwrap();
    fixture.put("new/0", &message("new"));
    let error = fixture.mail.uids_above(Uid(0), 10).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    fixture.mail.fetch(&[Uid(1)], Extent::Headers).await.unwrap_err();
}

#[tokio::test]
async fn a_folder_in_the_place_of_our_files_is_told_with_what_to_do() {
    for file in ["mailmill-uidlist", "mailmill-uidlist.lock", "mailmill-uidlist.tmp"] {
        let mut fixture = Fixture::new();
        fixture.put("new/1", &message("a"));
        fs::create_dir(fixture.path.join(file)).unwrap();
        let error = fixture.mail.select(&name("INBOX")).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Later);
        let told = error.to_string();
        assert!(told.contains("mailmill-uidlist") && told.ends_with("mailmill writes its own"));
    }
}

#[tokio::test]
async fn two_files_of_one_base_are_two_messages_and_two_names_of_one_file_are_one() {
    let mut fixture = Fixture::new();
    fixture.put("new/1", &message("one"));
    fixture.put("cur/1:2,S", &message("other"));
    fixture.put("cur/2:2,", &message("linked"));
    fs::hard_link(fixture.path.join("cur/2:2,"), fixture.path.join("cur/2:2,F")).unwrap();
    fixture.select("INBOX").await;
    assert_eq!(fixture.uids().await.len(), 3);
    let mut subjects = Vec::new();
    for uid in 1..=3 {
        subjects.push(fixture.subject(uid).await.unwrap());
    }
    subjects.sort();
    assert_eq!(subjects, ["linked", "one", "other"]);
    assert_eq!(fixture.names("cur").len() + fixture.names("new").len(), 3);
}

#[tokio::test]
async fn a_message_is_recognised_by_id_size_and_time() {
    let mut fixture = Fixture::new();
    fixture.mail.create(&name("Archive")).await.unwrap();
    fixture.put(".Archive/new/1", &message("aaaa"));
    fixture.put(".Archive/cur/2:2,S", &message("bbbb"));
    fixture.put(".Archive/cur/3:2,S", "no id");
    set_time(&fixture.path.join(".Archive/cur/3:2,S"), UNIX_EPOCH + Duration::from_secs(5));
    let size = message("aaaa").len() as u64;
    let archive = name("Archive");
    let like = |message_id: Option<&str>, size, received_ms| Likeness {
        message_id: message_id.map(Into::into),
        size,
        received_ms,
    };
    let cases = [
        (like(Some("bbbb@example.com"), size, Some(1)), vec![2]),
        (like(Some("bbbb@example.com"), size + 1, None), vec![]),
        (like(Some("cccc@example.com"), size, None), vec![]),
        (like(None, size, None), vec![1, 2]),
        (like(None, 5, Some(5_000)), vec![3]),
        (like(None, 5, Some(5_001)), vec![]),
    ];
    for (like, expected) in cases {
        let found = fixture.mail.find(&archive, &like).await.unwrap();
        assert_eq!(found, uids(&expected), "{like:?}");
    }
    // It stays selected.
    assert_eq!(fixture.subject(1).await.as_deref(), Some("aaaa"));
}

#[tokio::test]
async fn waiting_ends_with_news_and_not_with_our_own_doings() {
    let mut fixture = Fixture::new();
    fixture.mail.create(&name("Archive")).await.unwrap();
    for file in ["new/1", "new/2", "new/3"] {
        fixture.put(file, &message("a"));
    }
    fixture.select("INBOX").await;
    fixture.uids().await;
    fixture.mail.move_to(&[Uid(1)], &name("Archive")).await.unwrap();
    fixture.mail.expunge(&[Uid(2)]).await.unwrap();
    fixture.mail.store_flags(&[Uid(3)], FlagChange::Add, &[Flag::seen()]).await.unwrap();
    assert_eq!(
        fixture.mail.wait(Uid(u32::MAX), Duration::from_millis(700)).await.unwrap(),
        Woke::Quiet
    );

    // Delivered before the wait: seen at once.
    fixture.put("new/4", &message("before"));
    let started = Instant::now();
    assert_eq!(
        fixture.mail.wait(Uid(u32::MAX), Duration::from_secs(30)).await.unwrap(),
        Woke::News
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(fixture.uids().await, [3, 4]);

    // Delivered during the wait.
    let path = fixture.path.clone();
    let (news, ()) =
        tokio::join!(fixture.mail.wait(Uid(u32::MAX), Duration::from_secs(30)), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            fs::write(path.join("tmp/5"), message("during")).unwrap();
            fs::rename(path.join("tmp/5"), path.join("new/5")).unwrap();
        });
    assert_eq!(news.unwrap(), Woke::News);
    assert_eq!(fixture.uids().await, [3, 4, 5]);

    // Delivered between the last look and the selection.
    fixture.put("new/6", &message("between"));
    fixture.select("INBOX").await;
    let waited = fixture.mail.wait(Uid(6), Duration::from_millis(20)).await.unwrap();
    assert_eq!(waited, Woke::Quiet);
    assert_eq!(fixture.mail.wait(Uid(5), Duration::ZERO).await.unwrap(), Woke::News);

    // Deleted by another program.
    fs::remove_file(fixture.path.join("new/4")).unwrap();
    assert_eq!(
        fixture.mail.wait(Uid(u32::MAX), Duration::from_secs(30)).await.unwrap(),
        Woke::News
    );
}

#[tokio::test]
async fn a_delivery_that_is_repeated_is_delivered_once() {
    let mut fixture = Fixture::new();
    let path = fixture.path.join("target");
    let once = |base: &str, attempt| {
        deliver(&path, base, &message("a").into_bytes().into(), &[], Some(RECEIVED_MS), attempt)
    };
    // What a crash left of an attempt before.
    fs::create_dir_all(path.join("tmp")).unwrap();
    fs::write(path.join("tmp/smartcity.7.1"), "half").unwrap();
    assert_eq!(once("smartcity.7.1", Attempt::First).unwrap(), Delivered::Now);
    assert_eq!(once("smartcity.7.1", Attempt::First).unwrap(), Delivered::Before);
    assert_eq!(once("smartcity.7.1", Attempt::Again).unwrap(), Delivered::Before);
    fs::rename(path.join("new/smartcity.7.1"), path.join("cur/smartcity.7.1:2,FRS")).unwrap();
    assert_eq!(once("smartcity.7.1", Attempt::Again).unwrap(), Delivered::Before);
    assert_eq!(once("smartcity.7.10", Attempt::Again).unwrap(), Delivered::Now);
    fixture.mail = MaildirMailboxes::open(&path, MAX_SIZE).unwrap();
    fixture.select("INBOX").await;
    let fetched = fixture.mail.fetch(&uids(&[1, 2]), Extent::Whole).await.unwrap();
    assert_eq!(fetched.len(), 2);
    assert!(fetched.iter().all(|one| one.bytes == message("a").as_bytes()));
    assert!(fetched.iter().all(|one| one.received_ms == Some(RECEIVED_MS)));
    assert!(fs::read_dir(path.join("tmp")).unwrap().next().is_none());
}

#[test]
fn a_base_name_that_leads_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for base in ["", ".", "../x", "a/b", "a:2,S", ".hidden", "a\0b", "ä", &"x".repeat(201)] {
        let error = deliver(folder.path(), base, &b"x".to_vec().into(), &[], None, Attempt::First)
            .unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{base:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn old_leftovers_in_tmp_are_swept_and_young_ones_stay() {
    let mut fixture = Fixture::new();
    fixture.put("tmp/old", "x");
    fixture.put("tmp/young", "x");
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    set_time(&fixture.path.join("tmp/old"), hours(37));
    set_time(&fixture.path.join("tmp/young"), hours(35));
    fixture.select("INBOX").await;
    assert_eq!(fixture.names("tmp"), ["young"]);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_another_program_renames() {
    const MESSAGES: u32 = 300;
    let mut fixture = Fixture::new();
    fixture.mail.create(&name("Done")).await.unwrap();
    for number in 0..MESSAGES {
        fixture.put(format!("new/{number:04}"), &message(&format!("token{number}")));
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let other = std::thread::spawn({
        let (path, stop) = (fixture.path.clone(), stop.clone());
        move || toggle_flags(&path, &stop)
    });
    fixture.select("INBOX").await;
    loop {
        let batch = fixture.mail.uids_above(Uid(0), 17).await.unwrap();
        if batch.is_empty() {
            break;
        }
        fixture.mail.fetch(&batch, Extent::Headers).await.unwrap();
        fixture.mail.move_to(&batch, &name("Done")).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(other.join().unwrap() > 0, "the other program never renamed anything");
    fixture.select("Done").await;
    let mut tokens = Vec::new();
    for uid in fixture.uids().await {
        tokens.extend(fixture.subject(uid).await);
    }
    tokens.sort();
    let mut expected: Vec<_> = (0..MESSAGES).map(|number| format!("token{number}")).collect();
    expected.sort();
    assert_eq!(tokens, expected);
}

/// Reads and marks messages as a mail program does, until it is told to stop.
fn toggle_flags(path: &Path, stop: &std::sync::atomic::AtomicBool) -> usize {
    let mut renamed = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        for folder in ["new", "cur"] {
            for file in fs::read_dir(path.join(folder)).unwrap() {
                let file = file.unwrap().file_name().into_string().unwrap();
                let base = file.split(':').next().unwrap();
                let flags = if file.ends_with('S') { "" } else { "S" };
                let to = path.join("cur").join(format!("{base}:2,{flags}"));
                renamed += usize::from(fs::rename(path.join(folder).join(&file), to).is_ok());
            }
        }
    }
    renamed
}

#[tokio::test]
async fn two_instances_on_one_maildir_agree_on_uids() {
    let mut fixture = Fixture::new();
    let mut other = MaildirMailboxes::open(&fixture.path, MAX_SIZE).unwrap();
    let inbox = MailboxName::inbox();
    fixture.select("INBOX").await;
    other.select(&inbox).await.unwrap();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let here = fixture.mail.append(&inbox, b"Subject: x\n\n", &[], None);
        let there = other.append(&inbox, b"Subject: y\n\n", &[], None);
        let (here, there) = tokio::join!(here, there);
        first.push(here.unwrap().unwrap().1.0);
        second.push(there.unwrap().unwrap().1.0);
    }
    for uid in first {
        assert_eq!(fixture.uids().await.len(), 40);
        assert_eq!(fixture.subject(uid).await.as_deref(), Some("x"));
    }
    assert_eq!(other.uids_above(Uid(0), 100).await.unwrap().len(), 40);
    for uid in second {
        let fetched = other.fetch(&[Uid(uid)], Extent::Whole).await.unwrap();
        assert_eq!(fetched[0].bytes, b"Subject: y\n\n");
    }
}

#[tokio::test]
async fn what_it_makes_is_for_its_owner_only() {
    let mut fixture = Fixture::new();
    fixture.mail.append(&MailboxName::inbox(), b"x", &[], None).await.unwrap();
    let file = fixture.path.join("new").join(&fixture.names("new")[0]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&fixture.path), mode(&file)), (0o700, 0o600));
    fixture.mail.close().await.unwrap();
}
