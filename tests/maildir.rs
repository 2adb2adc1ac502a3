//! A Maildir as source and target: stable UIDs, nothing lost or doubled whatever other programs do
//! meanwhile, and no way out of its folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mailmill::error::Retry;
use mailmill::mail::{Flag, MailboxName, Uid, UidValidity};
use mailmill::mailbox::maildir::{Attempt, Delivered, MaildirMailboxes, deliver};
use mailmill::mailbox::{Extent, FlagChange, Likeness, Mailboxes, Woke};

const MAX_SIZE: u64 = 100_000;
const RECEIVED_MS: i64 = 1_700_000_000_000;

/// A Maildir in a folder of its own, opened.
struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    mail: MaildirMailboxes,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("Mail");
        let mail = MaildirMailboxes::create_at(&path, MAX_SIZE).unwrap();
        Self { _folder: folder, path, mail }
    }

    /// Puts a file there as another program would.
    fn put(&self, file: impl AsRef<Path>, text: &str) {
        fs::write(self.path.join(file), text).unwrap();
    }

    /// All file names of a folder, sorted.
    fn names(&self, folder: &str) -> Vec<String> {
        let files = fs::read_dir(self.path.join(folder)).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    async fn uids(&mut self) -> Vec<u32> {
        let uids = self.mail.uids_above(Uid(0), 1_000_000).await.unwrap();
        uids.into_iter().map(|uid| uid.0).collect()
    }

    async fn subject(&mut self, uid: u32) -> Option<String> {
        let fetched = self.mail.fetch(&[Uid(uid)], Extent::Headers).await.unwrap();
        let headers = String::from_utf8(fetched.first()?.bytes.clone()).unwrap();
        headers.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned))
    }

    async fn select(&mut self, mailbox: &str) -> UidValidity {
        self.mail.select(&name(mailbox)).await.unwrap().uidvalidity
    }
}

fn name(mailbox: &str) -> MailboxName {
    MailboxName::new(mailbox).unwrap()
}

fn message(subject: &str) -> String {
    format!("Subject: {subject}\nMessage-ID: <{subject}@example.com>\n\nHallo {subject}\n")
}

fn uids(uids: &[u32]) -> Vec<Uid> {
    uids.iter().copied().map(Uid).collect()
}

fn flags(flags: &[&str]) -> Vec<Flag> {
    flags.iter().map(|flag| Flag::new(flag).unwrap()).collect()
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn a_missing_maildir_is_refused_as_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nobody");
    let error = MaildirMailboxes::open(&missing, MAX_SIZE).unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains("nobody"), "{error}");
    let error = MaildirMailboxes::open(folder.path(), MAX_SIZE).unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    MaildirMailboxes::create_at(&missing.join("deeper"), MAX_SIZE).unwrap();
    MaildirMailboxes::open(&missing.join("deeper"), MAX_SIZE).unwrap();
}

#[tokio::test]
async fn uids_go_by_name_and_stay() {
    let mut fixture = Fixture::new();
    fixture.put("new/2.b", &message("second"));
    fixture.put("new/1.a", &message("first"));
    fixture.put("cur/3.c:2,S", &message("third"));
    let selected = fixture.mail.select(&MailboxName::inbox()).await.unwrap();
    assert_eq!((selected.exists, selected.uidnext), (3, Uid(4)));
    assert!(selected.permits(&Flag::seen()) && !selected.permits(&Flag::mdn_sent()));
    assert_eq!(fixture.uids().await, [1, 2, 3]);
    assert_eq!(fixture.subject(1).await.as_deref(), Some("first"));
    assert_eq!(fixture.subject(3).await.as_deref(), Some("third"));
    assert_eq!(fixture.names("new"), ["1.a", "2.b"]);

    // Another program renames one, delivers one that sorts first, and deletes one.
    fs::rename(fixture.path.join("new/1.a"), fixture.path.join("cur/1.a:2,FS")).unwrap();
    fixture.put("new/0.z", &message("late"));
    fs::remove_file(fixture.path.join("new/2.b")).unwrap();
    let again = MaildirMailboxes::open(&fixture.path, MAX_SIZE).unwrap();
    fixture.mail = again;
    assert_eq!(fixture.select("INBOX").await, selected.uidvalidity);
    assert_eq!(fixture.uids().await, [1, 3, 4]);
    assert_eq!(fixture.subject(1).await.as_deref(), Some("first"));
    assert_eq!(fixture.subject(2).await, None);
    assert_eq!(fixture.subject(4).await.as_deref(), Some("late"));
    let above = fixture.mail.uids_above(Uid(1), 1).await.unwrap();
    assert_eq!(above, [Uid(3)]);
    assert!(fixture.mail.uids_above(Uid(u32::MAX), 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_renamed_after_the_look_is_found_again() {
    let mut fixture = Fixture::new();
    fixture.put("new/1.a", &message("a"));
    fixture.put("new/2.b", &message("b"));
    fixture.select("INBOX").await;
    fs::rename(fixture.path.join("new/1.a"), fixture.path.join("cur/1.a:2,RS")).unwrap();
    let fetched = fixture.mail.fetch(&uids(&[1, 2, 9]), Extent::Whole).await.unwrap();
    assert_eq!(fetched.len(), 2);
    assert_eq!(fetched[0].flags, flags(&["\\Answered", "\\Seen"]));
    assert_eq!(fetched[0].bytes, message("a").as_bytes());
    fs::rename(fixture.path.join("cur/1.a:2,RS"), fixture.path.join("cur/1.a:2,S")).unwrap();
    fixture.mail.store_flags(&[Uid(1)], FlagChange::Add, &flags(&["\\Flagged"])).await.unwrap();
    assert_eq!(fixture.names("cur"), ["1.a:2,FS"]);
}

#[tokio::test]
async fn headers_are_read_up_to_the_empty_line_and_no_further() {
    let mut fixture = Fixture::new();
    let headers = format!("Subject: x\r\n{}\r\n", "X-Long: y\r\n".repeat(5_000));
    fixture.put("new/1", &format!("{headers}body\r\n\r\n{}", "z".repeat(200_000)));
    fixture.put("new/2", "\nno headers");
    fixture.put("new/3", "Subject: no body");
    fixture.put("new/4", "");
    set_time(&fixture.path.join("new/2"), UNIX_EPOCH + Duration::from_millis(1_600_000_000_123));
    fixture.select("INBOX").await;
    let fetched = fixture.mail.fetch(&uids(&[3, 1, 2, 4]), Extent::Headers).await.unwrap();
    let read: Vec<_> = fetched.iter().map(|one| (one.uid.0, one.bytes.as_slice())).collect();
    assert_eq!(
        read,
        [(1, headers.as_bytes()), (2, b"\n".as_slice()), (3, b"Subject: no body"), (4, b"")]
    );
    assert_eq!(fetched[0].size, headers.len() as u64 + 200_008);
    assert_eq!(fetched[1].received_ms, Some(1_600_000_000_123));
}

#[tokio::test]
async fn what_is_too_large_is_an_error_that_names_the_message() {
    let mut fixture = Fixture::new();
    fixture.put("new/1", &"x".repeat(100_001));
    fixture.put("new/2", &"x".repeat(100_000));
    fixture.put("new/3", &format!("Subject: {}\n\n", "x".repeat(2 << 20)));
    fixture.select("INBOX").await;
    let error = fixture.mail.fetch(&[Uid(1)], Extent::Whole).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains("message 1 of mailbox INBOX"), "{error}");
    assert!(error.to_string().contains("100000"), "{error}");
    fixture.mail.fetch(&[Uid(2)], Extent::Whole).await.unwrap();
    let error = fixture.mail.fetch(&[Uid(3)], Extent::Headers).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn flags_are_letters_and_unknown_letters_stay() {
    let mut fixture = Fixture::new();
    fixture.put("new/1", &message("a"));
    fixture.put("cur/2:2,PSa", &message("b"));
    fixture.put("cur/3", &message("c"));
    fixture.select("INBOX").await;
    let all = flags(&["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"]);
    fixture.mail.store_flags(&uids(&[1, 77]), FlagChange::Add, &all).await.unwrap();
    fixture.mail.store_flags(&[Uid(2)], FlagChange::Add, &flags(&["\\Flagged"])).await.unwrap();
    assert_eq!(fixture.names("cur"), ["1:2,DFRST", "2:2,FPSa", "3"]);
    let fetched = fixture.mail.fetch(&uids(&[1, 2]), Extent::Headers).await.unwrap();
    assert_eq!(fetched[0].flags.len(), 5);
    assert_eq!(fetched[1].flags, flags(&["\\Flagged", "\\Seen"]));
    fixture.mail.store_flags(&uids(&[1, 2]), FlagChange::Remove, &all).await.unwrap();
    fixture.mail.store_flags(&[Uid(3)], FlagChange::Remove, &all).await.unwrap();
    assert_eq!(fixture.names("cur"), ["1:2,", "2:2,Pa", "3"]);
    assert_eq!(fixture.uids().await, [1, 2, 3]);
    let refused = fixture.mail.store_flags(&[Uid(1)], FlagChange::Add, &[Flag::mdn_sent()]).await;
    assert!(refused.unwrap_err().to_string().contains("$MDNSent"));
}

#[tokio::test]
async fn a_move_keeps_time_and_flags_and_tells_uids() {
    let mut fixture = Fixture::new();
    fixture.mail.create(&name("Projects/T-071")).await.unwrap();
    for (file, text) in [("new/1", "a"), ("cur/2:2,FS", "b"), ("new/3", "c")] {
        fixture.put(file, &message(text));
        set_time(&fixture.path.join(file), UNIX_EPOCH + Duration::from_secs(1_500_000_000));
    }
    fixture.put(".Projects.T-071/cur/2:2,", &message("another of the same name"));
    fixture.select("INBOX").await;
    let target = name("Projects/T-071");
    let landed = fixture.mail.move_to(&uids(&[2, 1, 50]), &target).await.unwrap();
    assert_eq!(landed.uids.len(), 2);
    assert_eq!(fixture.uids().await, [3]);
    assert_eq!(fixture.names("cur"), [""; 0]);
    assert_eq!(Some(fixture.select("Projects/T-071").await), landed.uidvalidity);
    assert_eq!(fixture.uids().await, [1, 2, 3]);
    assert_eq!(landed.uids[&Uid(2)], Uid(2));
    assert_eq!(landed.uids[&Uid(1)], Uid(3));
    assert_eq!(fixture.subject(1).await.as_deref(), Some("another of the same name"));
    let moved = fixture.mail.fetch(&[Uid(2)], Extent::Whole).await.unwrap().remove(0);
    assert_eq!(moved.flags, flags(&["\\Flagged", "\\Seen"]));
    assert_eq!(moved.received_ms, Some(1_500_000_000_000));
    assert_eq!(moved.bytes, message("b").as_bytes());
    assert_eq!(fixture.subject(3).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_move_to_where_it_is_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.put("new/1", &message("a"));
    let uidvalidity = fixture.select("INBOX").await;
    let landed = fixture.mail.move_to(&uids(&[1, 2]), &MailboxName::inbox()).await.unwrap();
    assert_eq!(landed.uids.into_iter().collect::<Vec<_>>(), [(Uid(1), Uid(1))]);
    assert_eq!(landed.uidvalidity, Some(uidvalidity));
    assert_eq!(fixture.names("new"), ["1"]);
}

#[tokio::test]
async fn a_move_or_copy_to_a_missing_mailbox_moves_nothing() {
    let mut fixture = Fixture::new();
    fixture.put("new/1", &message("a"));
    fixture.select("INBOX").await;
    for error in [
        fixture.mail.move_to(&[Uid(1)], &name("Nowhere")).await.unwrap_err(),
        fixture.mail.copy(&[Uid(1)], &name("Nowhere")).await.unwrap_err(),
        fixture.mail.append(&name("Nowhere"), b"x", &[], None).await.unwrap_err(),
        fixture.mail.select(&name("Nowhere")).await.unwrap_err(),
    ] {
        assert_eq!(error.retry(), Retry::Never);
        assert!(error.to_string().contains("Nowhere"), "{error}");
    }
    assert_eq!(fixture.names("new"), ["1"]);
}

#[tokio::test]
async fn a_copy_that_is_repeated_after_a_crash_is_one_copy() {
    let mut fixture = Fixture::new();
    fixture.mail.create(&name("Archive")).await.unwrap();
    fixture.put("cur/1:2,S", &message("a"));
    fixture.select("INBOX").await;
    let landed = fixture.mail.copy(&[Uid(1)], &name("Archive")).await.unwrap();
    assert_eq!(landed.uids[&Uid(1)], Uid(1));
    // A person flags the copy; then the engine, which crashed before its mark, copies again.
    let cur = fixture.path.join(".Archive/cur");
    fs::rename(cur.join("1:2,S"), cur.join("1:2,FS")).unwrap();
    let again = fixture.mail.copy(&[Uid(1)], &name("Archive")).await.unwrap();
    assert_eq!(again, landed);
    assert_eq!(fixture.names(".Archive/cur"), ["1:2,FS"]);
    // The original follows: two messages now, of different names.
    fixture.mail.move_to(&[Uid(1)], &name("Archive")).await.unwrap();
    assert_eq!(fixture.names(".Archive/cur").len(), 2);
    fixture.select("Archive").await;
    assert_eq!(fixture.uids().await, [1, 2]);
    assert_eq!(fixture.subject(2).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn an_appended_message_has_its_flags_time_and_uid() {
    let mut fixture = Fixture::new();
    let inbox = MailboxName::inbox();
    let flagged = flags(&["\\Seen", "$MDNSent"]);
    let bytes = message("a").into_bytes();
    let (validity, first) =
        fixture.mail.append(&inbox, &bytes, &flagged, Some(RECEIVED_MS)).await.unwrap().unwrap();
    let (_, second) = fixture.mail.append(&inbox, b"", &[], Some(-1)).await.unwrap().unwrap();
    assert_eq!((first, second), (Uid(1), Uid(2)));
    assert_eq!(fixture.select("INBOX").await, validity);
    let fetched = fixture.mail.fetch(&[first, second], Extent::Whole).await.unwrap();
    assert_eq!(fetched[0].flags, [Flag::seen()]);
    assert_eq!((fetched[0].received_ms, fetched[0].bytes.clone()), (Some(RECEIVED_MS), bytes));
    assert_eq!(fetched[1].received_ms, Some(-1));
    assert_eq!((fixture.names("new").len(), fixture.names("cur").len()), (1, 1));
    assert_eq!(fixture.names("tmp"), [""; 0]);
}

#[tokio::test]
async fn expunge_removes_exactly_these() {
    let mut fixture = Fixture::new();
    for file in ["new/1", "cur/2:2,T", "cur/3:2,T"] {
        fixture.put(file, &message("a"));
    }
    fixture.select("INBOX").await;
    fs::rename(fixture.path.join("new/1"), fixture.path.join("cur/1:2,")).unwrap();
    fixture.mail.expunge(&uids(&[1, 3, 99])).await.unwrap();
    assert_eq!(fixture.names("cur"), ["2:2,T"]);
    assert_eq!(fixture.uids().await, [2]);
}

#[tokio::test]
async fn mailboxes_are_made_found_and_listed() {
    let mut fixture = Fixture::new();
    for mailbox in ["Projects/v1.2", "Projects/T-071/Rechnungen für März", "Other", "INBOX/in"] {
        assert!(!fixture.mail.exists(&name(mailbox)).await.unwrap());
        fixture.mail.create(&name(mailbox)).await.unwrap();
        fixture.mail.create(&name(mailbox)).await.unwrap();
        assert!(fixture.mail.exists(&name(mailbox)).await.unwrap());
    }
    assert!(fixture.path.join(".Projects.v1\\2e2/maildirfolder").exists());
    fs::create_dir(fixture.path.join(".Projects.half")).unwrap();
    fs::create_dir_all(fixture.path.join(OsStr::from_bytes(b".Projects.caf\xe9/cur"))).unwrap();
    let below = fixture.mail.list_below(&name("Projects")).await.unwrap();
    let below: Vec<_> = below.iter().map(MailboxName::as_str).collect();
    assert_eq!(below, ["Projects/T-071/Rechnungen für März", "Projects/v1.2"]);
    let inbox = fixture.mail.list_below(&MailboxName::inbox()).await.unwrap();
    assert_eq!(inbox, [MailboxName::inbox(), name("INBOX/in")]);
    let own = fixture.mail.list_below(&name("Other")).await.unwrap();
    assert_eq!(own, [name("Other")]);
    assert!(!fixture.mail.exists(&name("Projects/half")).await.unwrap());
    fixture.mail.create(&name("Projects/half")).await.unwrap();
    assert!(fixture.mail.exists(&name("Projects/half")).await.unwrap());
    let long = fixture.mail.create(&name(&"x".repeat(300))).await.unwrap_err();
    assert_eq!(long.retry(), Retry::Never);
    assert!(!fixture.mail.exists(&name(&"x".repeat(300))).await.unwrap());
}

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
        assert!(fixture.mail.list_below(&name(mailbox)).await.unwrap().is_empty());
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
    assert_eq!(fixture.mail.wait(Duration::from_millis(700)).await.unwrap(), Woke::Quiet);

    // Delivered before the wait: seen at once.
    fixture.put("new/4", &message("before"));
    let started = Instant::now();
    assert_eq!(fixture.mail.wait(Duration::from_secs(30)).await.unwrap(), Woke::News);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(fixture.uids().await, [3, 4]);

    // Delivered during the wait.
    let path = fixture.path.clone();
    let (news, ()) = tokio::join!(fixture.mail.wait(Duration::from_secs(30)), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(path.join("tmp/5"), message("during")).unwrap();
        fs::rename(path.join("tmp/5"), path.join("new/5")).unwrap();
    });
    assert_eq!(news.unwrap(), Woke::News);
    assert_eq!(fixture.uids().await, [3, 4, 5]);

    // Deleted by another program.
    fs::remove_file(fixture.path.join("new/4")).unwrap();
    assert_eq!(fixture.mail.wait(Duration::from_secs(30)).await.unwrap(), Woke::News);
}

#[tokio::test]
async fn a_delivery_that_is_repeated_is_delivered_once() {
    let mut fixture = Fixture::new();
    let path = fixture.path.join("target");
    let once = |base: &str, attempt| {
        deliver(&path, base, message("a").as_bytes(), &[], Some(RECEIVED_MS), attempt)
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
        let error = deliver(folder.path(), base, b"x", &[], None, Attempt::First).unwrap_err();
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
