//! A Maildir as source and target: stable UIDs, nothing lost or doubled whatever other programs do
//! meanwhile, and no way out of its folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailmill::error::Retry;
use mailmill::mail::{Flag, MailboxName, Uid, UidValidity};
use mailmill::mailbox::maildir::MaildirMailboxes;
use mailmill::mailbox::{Extent, FlagChange, Mailboxes};

mod trouble;

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
    fixture.put("new/5", "Subject: twice\r\r\n\r\r\nbody");
    set_time(&fixture.path.join("new/2"), UNIX_EPOCH + Duration::from_millis(1_600_000_000_123));
    fixture.select("INBOX").await;
    let fetched = fixture.mail.fetch(&uids(&[3, 1, 2, 4, 5]), Extent::Headers).await.unwrap();
    let read: Vec<_> = fetched.iter().map(|one| (one.uid.0, one.bytes.as_slice())).collect();
    assert_eq!(
        read,
        [
            (1, headers.as_bytes()),
            (2, b"\n".as_slice()),
            (3, b"Subject: no body"),
            (4, b""),
            (5, b"Subject: twice\r\r\n\r\r\n"),
        ]
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
    assert!(error.to_string().contains("; raise `max_size` of the account"), "{error}");
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
    fs::create_dir_all(fixture.path.join(".inbox.x/cur")).unwrap();
    let below = fixture.mail.list_below(&name("Projects")).await.unwrap();
    assert_eq!(below.unnamed, [".Projects.caf\\xE9"]);
    let below: Vec<_> = below.mailboxes.iter().map(MailboxName::as_str).collect();
    assert_eq!(below, ["Projects/T-071/Rechnungen für März", "Projects/v1.2"]);
    let inbox = fixture.mail.list_below(&MailboxName::inbox()).await.unwrap();
    assert_eq!(inbox.mailboxes, [MailboxName::inbox(), name("INBOX/in")]);
    assert_eq!(inbox.unnamed, [".inbox.x"]);
    let own = fixture.mail.list_below(&name("Other")).await.unwrap();
    assert_eq!((own.mailboxes, own.unnamed), (vec![name("Other")], Vec::new()));
    assert!(!fixture.mail.exists(&name("Projects/half")).await.unwrap());
    fixture.mail.create(&name("Projects/half")).await.unwrap();
    assert!(fixture.mail.exists(&name("Projects/half")).await.unwrap());
    let long = fixture.mail.create(&name(&"x".repeat(300))).await.unwrap_err();
    assert_eq!(long.retry(), Retry::Never);
    assert!(!fixture.mail.exists(&name(&"x".repeat(300))).await.unwrap());
}
