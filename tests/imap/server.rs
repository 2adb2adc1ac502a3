//! Every call of the trait against Dovecot in its profiles.

use mailmill::config::Security;
use mailmill::error::Retry;
use mailmill::mail::{Flag, Uid};
use mailmill::mailbox::imap::{ImapMailboxes, RefusalKind};
use mailmill::mailbox::{Extent, FlagChange, Likeness, Mailboxes};

use super::{ALICE, connect, name, uids};
use crate::support::dovecot::{Dovecot, ODD_PASSWORD, ODD_USER, Profile};

fn message(subject: &str) -> Vec<u8> {
    format!(
        "From: bob@example.test\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\
         Message-ID: <{subject}@example.test>\r\n\r\nBody of {subject}.\r\n"
    )
    .into_bytes()
}

fn deliver(dovecot: &Dovecot, mailbox: &str, subjects: &[&str]) {
    let messages: Vec<Vec<u8>> = subjects.iter().map(|subject| message(subject)).collect();
    dovecot.deliver_all(ALICE, mailbox, messages.iter().map(Vec::as_slice));
}

async fn alice(dovecot: &Dovecot) -> ImapMailboxes {
    connect(&dovecot.settings(ALICE, Security::Implicit), "alice-pw").await.unwrap()
}

#[tokio::test]
async fn logs_in_over_every_protection_and_with_odd_names() {
    for profile in [Profile::Full, Profile::Exchange, Profile::Gmail, Profile::Bare] {
        let dovecot = Dovecot::start(profile);
        for security in [Security::Implicit, Security::StartTls, Security::None] {
            for (user, password) in [(ALICE, "alice-pw"), (ODD_USER, ODD_PASSWORD)] {
                let settings = dovecot.settings(user, security);
                let mut mail = connect(&settings, password).await.unwrap();
                mail.select(&name("INBOX")).await.unwrap();
                mail.close().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_for_a_person_and_is_not_repeated_in_the_error() {
    for profile in [Profile::Full, Profile::Bare] {
        let dovecot = Dovecot::start(profile);
        for password in ["wrong-s3cret", "falsch-\u{e4}\u{f6}\"\\", ""] {
            let settings = dovecot.settings(ALICE, Security::Implicit);
            let error = connect(&settings, password).await.unwrap_err();
            assert_eq!(error.retry(), Retry::Never, "{error}");
            let told = error.to_string();
            assert!(told.contains("AUTHENTICATIONFAILED") && told.contains(ALICE), "{told}");
            assert!(password.is_empty() || !told.contains(password), "{told}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let dovecot = Dovecot::start(Profile::Full);
    let other = tempfile::tempdir().unwrap();
    let garbage = other.path().join("ca.pem");
    std::fs::write(&garbage, "no certificate\n").unwrap();
    for security in [Security::Implicit, Security::StartTls] {
        let mut settings = dovecot.settings(ALICE, security);
        settings.ca = None;
        let error = connect(&settings, "alice-pw").await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");

        settings.ca = Some(garbage.clone());
        let error = connect(&settings, "alice-pw").await.unwrap_err();
        assert!(error.to_string().contains("ca.pem: no certificate in it"), "{error}");

        settings.ca = Some(other.path().join("missing.pem"));
        let error = connect(&settings, "alice-pw").await.unwrap_err();
        assert!(error.to_string().contains("missing.pem"), "{error}");
    }
}

#[tokio::test]
async fn lists_and_makes_mailboxes_of_any_name() {
    let dovecot = Dovecot::start(Profile::Full);
    let mut mail = alice(&dovecot).await;
    let made = [
        "Projekte/Größe & Maß",
        "Projekte/say \"x\\y\"",
        "Projekte/日本 (a) {b} [c]",
        "Projekte/T-071/Pläne",
        "INBOX/unter",
    ];
    for mailbox in made {
        assert!(!mail.exists(&name(mailbox)).await.unwrap(), "{mailbox}");
        mail.create(&name(mailbox)).await.unwrap();
        mail.create(&name(mailbox)).await.unwrap();
        assert!(mail.exists(&name(mailbox)).await.unwrap(), "{mailbox}");
        deliver(&dovecot, "INBOX", &["x"]);
        mail.select(&name("INBOX")).await.unwrap();
        let uid = *mail.uids_above(Uid(0), 100).await.unwrap().last().unwrap();
        mail.move_to(&[uid], &name(mailbox)).await.unwrap();
        assert_eq!(mail.select(&name(mailbox)).await.unwrap().exists, 1);
    }
    let seen = dovecot.mailboxes(ALICE);
    assert!(made.iter().all(|mailbox| seen.iter().any(|seen| seen == mailbox)), "{seen:?}");

    let below = mail.list_below(&name("Projekte")).await.unwrap().mailboxes;
    let below: Vec<&str> = below.iter().map(mailmill::mail::MailboxName::as_str).collect();
    for mailbox in &made[..4] {
        assert!(below.contains(mailbox), "{below:?}");
    }
    assert!(!below.iter().any(|name| name.starts_with("INBOX")), "{below:?}");
    let inbox = mail.list_below(&name("inbox")).await.unwrap();
    assert_eq!(inbox.mailboxes, [name("INBOX"), name("INBOX/unter")]);
    assert!(inbox.unnamed.is_empty(), "{inbox:?}");
}

#[tokio::test]
async fn select_tells_what_can_be_relied_on() {
    let dovecot = Dovecot::start(Profile::Full);
    deliver(&dovecot, "INBOX", &["one", "two"]);
    let mut mail = alice(&dovecot).await;
    let selected = mail.select(&name("INBOX")).await.unwrap();
    assert_eq!((selected.exists, selected.uidnext), (2, Uid(3)));
    assert!(selected.uidvalidity.0 > 0 && selected.any_keyword);
    assert!(selected.permits(&Flag::seen()) && selected.permits(&Flag::mdn_sent()));

    let error = mail.select(&name("Nowhere")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    let error = mail.uids_above(Uid(0), 10).await.unwrap_err();
    assert!(error.to_string().contains("no mailbox is selected"), "{error}");
}

#[tokio::test]
async fn uids_above_gives_the_lowest_and_never_one_below() {
    for profile in [Profile::Full, Profile::Bare] {
        let dovecot = Dovecot::start(profile);
        let mut mail = alice(&dovecot).await;
        mail.select(&name("INBOX")).await.unwrap();
        assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), []);
        deliver(&dovecot, "INBOX", &["1", "2", "3", "4", "5"]);
        assert_eq!(mail.uids_above(Uid(0), 3).await.unwrap(), uids([1, 2, 3]));
        assert_eq!(mail.uids_above(Uid(3), 10).await.unwrap(), uids([4, 5]));
        // `100:*` names the last message.
        assert_eq!(mail.uids_above(Uid(5), 10).await.unwrap(), []);
        assert_eq!(mail.uids_above(Uid(99), 10).await.unwrap(), []);
        assert_eq!(mail.uids_above(Uid(u32::MAX), 10).await.unwrap(), []);
        assert_eq!(mail.uids_above(Uid(0), 0).await.unwrap(), []);
    }
}

#[tokio::test]
async fn fetches_a_thousand_messages_byte_for_byte() {
    let dovecot = Dovecot::start(Profile::Exchange);
    let sent: Vec<Vec<u8>> = (0..1000)
        .map(|n| {
            let mut bytes = message(&format!("T{n}"));
            let filler = [b'a' + (n % 26) as u8, b')', b'"', b'{', b'5', b'}', 0xe4, b'\r', b'\n'];
            bytes.extend(filler.iter().cycle().take(9 * (n % 700)));
            bytes
        })
        .collect();
    dovecot.deliver_all(ALICE, "INBOX", sent.iter().map(Vec::as_slice));
    let mut mail = alice(&dovecot).await;
    mail.select(&name("INBOX")).await.unwrap();
    let all = mail.uids_above(Uid(0), 5000).await.unwrap();
    assert_eq!(all.len(), 1000);

    let whole = mail.fetch(&all, Extent::Whole).await.unwrap();
    assert!(whole.iter().zip(&sent).all(|(fetched, sent)| &fetched.bytes == sent));
    let headers = mail.fetch(&all, Extent::Headers).await.unwrap();
    assert_eq!(headers.len(), 1000);
    for ((fetched, sent), uid) in headers.iter().zip(&sent).zip(&all) {
        assert_eq!((fetched.uid, fetched.size), (*uid, sent.len() as u64));
        assert!(sent.starts_with(&fetched.bytes) && fetched.bytes.ends_with(b"\r\n\r\n"));
        assert!(fetched.received_ms.is_some() && fetched.flags.is_empty());
    }
    assert!(dovecot.flags(ALICE, "INBOX").iter().all(|flags| !flags.contains("Seen")));
}

#[tokio::test]
async fn a_uid_that_is_gone_is_missing_from_the_answer() {
    let dovecot = Dovecot::start(Profile::Full);
    deliver(&dovecot, "INBOX", &["1", "2", "3"]);
    dovecot.doveadm(&["expunge", "-u", ALICE, "mailbox", "INBOX", "uid", "2"]);
    assert_eq!(dovecot.uids(ALICE, "INBOX"), [1, 3]);
    let mut mail = alice(&dovecot).await;
    mail.select(&name("INBOX")).await.unwrap();
    let fetched = mail.fetch(&uids([3, 2, 1, 77]), Extent::Whole).await.unwrap();
    assert_eq!(fetched.iter().map(|message| message.uid).collect::<Vec<_>>(), uids([1, 3]));
    mail.store_flags(&uids([2]), FlagChange::Add, &[Flag::seen()]).await.unwrap();
    assert_eq!(mail.fetch(&[], Extent::Whole).await.unwrap(), []);
}

#[tokio::test]
async fn stores_and_clears_flags() {
    let dovecot = Dovecot::start(Profile::Full);
    deliver(&dovecot, "INBOX", &["1", "2", "3"]);
    let mut mail = alice(&dovecot).await;
    mail.select(&name("INBOX")).await.unwrap();
    let both = [Flag::seen(), Flag::mdn_sent()];
    mail.store_flags(&uids([1, 3]), FlagChange::Add, &both).await.unwrap();
    assert_eq!(mail.fetch(&uids([1]), Extent::Headers).await.unwrap()[0].flags.len(), 2);
    mail.store_flags(&uids([3]), FlagChange::Remove, &[Flag::seen()]).await.unwrap();
    assert_eq!(dovecot.flags(ALICE, "INBOX"), ["\\Seen $MDNSent", "", "$MDNSent"]);
}

#[tokio::test]
async fn moves_and_copies_tell_where_the_messages_landed() {
    for profile in [Profile::Full, Profile::Exchange, Profile::Gmail] {
        let dovecot = Dovecot::start(profile);
        deliver(&dovecot, "INBOX", &["1", "2", "3", "4"]);
        let mut mail = alice(&dovecot).await;
        let archive = mail.select(&name("Archive")).await.unwrap();
        mail.select(&name("INBOX")).await.unwrap();
        let moved = mail.move_to(&uids([4, 2]), &name("Archive")).await.unwrap();
        assert_eq!(moved.uidvalidity, Some(archive.uidvalidity), "{profile:?}");
        assert_eq!(moved.uids.keys().copied().collect::<Vec<_>>(), uids([2, 4]));
        let copied = mail.copy(&uids([1]), &name("Archive")).await.unwrap();
        assert_eq!(copied.uids[&Uid(1)], Uid(3));
        assert_eq!(dovecot.subjects(ALICE, "INBOX"), ["1", "3"]);
        assert_eq!(dovecot.subjects(ALICE, "Archive"), ["2", "4", "1"]);

        let error = mail.move_to(&uids([1]), &name("Missing")).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{error}");
        assert_eq!(mail.refusal().unwrap().kind, RefusalKind::TryCreate);
        assert_eq!(dovecot.subjects(ALICE, "INBOX"), ["1", "3"]);
    }
}

#[tokio::test]
async fn without_move_and_uidplus_nothing_is_removed() {
    let dovecot = Dovecot::start(Profile::Bare);
    deliver(&dovecot, "INBOX", &["1", "2"]);
    let mut mail = alice(&dovecot).await;
    mail.select(&name("INBOX")).await.unwrap();
    for error in [
        mail.move_to(&uids([1]), &name("Archive")).await.unwrap_err(),
        mail.expunge(&uids([1])).await.unwrap_err(),
    ] {
        assert_eq!(error.retry(), Retry::Never, "{error}");
        assert!(error.to_string().contains("UIDPLUS"), "{error}");
    }
    assert_eq!(dovecot.flags(ALICE, "INBOX"), ["", ""]);
    assert!(dovecot.subjects(ALICE, "Archive").is_empty());
    assert!(mail.copy(&uids([1]), &name("Archive")).await.is_ok());
    assert_eq!(dovecot.subjects(ALICE, "Archive"), ["1"]);
}

#[tokio::test]
async fn expunge_spares_what_others_have_marked() {
    let dovecot = Dovecot::start(Profile::Full);
    deliver(&dovecot, "INBOX", &["1", "2", "3"]);
    let mut mail = alice(&dovecot).await;
    mail.select(&name("INBOX")).await.unwrap();
    mail.store_flags(&uids([1]), FlagChange::Add, &[Flag::deleted()]).await.unwrap();
    mail.expunge(&uids([2])).await.unwrap();
    assert_eq!(dovecot.subjects(ALICE, "INBOX"), ["1", "3"]);
}

#[tokio::test]
async fn append_keeps_date_flags_and_every_byte() {
    for profile in [Profile::Full, Profile::Gmail, Profile::Bare] {
        let dovecot = Dovecot::start(profile);
        let mut mail = alice(&dovecot).await;
        let mut bytes = message("angehängt");
        bytes.extend(b"8-bit \xe4\xf6\xfc {3}\r\nlast\r\n".repeat(500));
        let flags = [Flag::seen(), Flag::new("Wichtig").unwrap()];
        let at = Some(837_596_665_000);
        let told = mail.append(&name("Archive"), &bytes, &flags, at).await.unwrap();
        let selected = mail.select(&name("Archive")).await.unwrap();
        assert_eq!(told, Some((selected.uidvalidity, Uid(1))));
        let fetched = mail.fetch(&uids([1]), Extent::Whole).await.unwrap().remove(0);
        assert_eq!((fetched.bytes, fetched.received_ms), (bytes, at));
        assert_eq!(fetched.flags.len(), 2);
        mail.append(&name("Archive"), b"Subject: bare\r\n\r\n", &[], None).await.unwrap();
        assert_eq!(
            mail.append(&name("Nowhere"), b"x", &[], None).await.unwrap_err().retry(),
            Retry::Never
        );
        // The connection is still in order.
        assert_eq!(mail.select(&name("Archive")).await.unwrap().exists, 2);
    }
}

#[tokio::test]
async fn a_message_with_bare_line_feeds_lies_there_with_crlf_and_is_found() {
    let dovecot = Dovecot::start(Profile::Full);
    let mut mail = alice(&dovecot).await;
    let crlf = message("maildir");
    let lf: Vec<u8> = crlf.iter().copied().filter(|byte| *byte != b'\r').collect();
    mail.append(&name("Archive"), &lf, &[], None).await.unwrap();
    mail.select(&name("Archive")).await.unwrap();
    let fetched = mail.fetch(&uids([1]), Extent::Whole).await.unwrap().remove(0);
    assert_eq!((fetched.size, &fetched.bytes), (crlf.len() as u64, &crlf));
    for message_id in [Some("maildir@example.test".to_owned()), None] {
        let size = mailmill::mailbox::crlf(&lf).len() as u64;
        let like = Likeness { message_id, size, received_ms: None };
        assert_eq!(mail.find(&name("Archive"), &like).await.unwrap(), uids([1]));
    }
}

#[tokio::test]
async fn a_full_mailbox_is_told_and_passes() {
    let dovecot = Dovecot::start(Profile::Full);
    let settings = dovecot.settings("tiny@example.test", Security::Implicit);
    let mut mail = connect(&settings, "tiny-pw").await.unwrap();
    let error = mail.append(&name("INBOX"), &[b'x'; 100_000], &[], None).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error}");
    assert_eq!(mail.refusal().unwrap().kind, RefusalKind::OverQuota);
}

#[tokio::test]
async fn finds_a_message_by_what_it_looks_like() {
    let dovecot = Dovecot::start(Profile::Full);
    let mut mail = alice(&dovecot).await;
    let at = Some(837_596_665_000);
    let archive = name("Archive");
    mail.append(&archive, &message("odd \"id\" \\"), &[], at).await.unwrap();
    mail.append(&archive, &message("other"), &[], at).await.unwrap();
    mail.append(&archive, b"Subject: none\r\n\r\nno id\r\n", &[], at).await.unwrap();
    mail.append(&archive, b"Subject: none\r\n\r\nno id\r\n", &[], Some(1_000)).await.unwrap();
    let like = |id: Option<&str>, size: usize, received_ms| Likeness {
        message_id: id.map(ToOwned::to_owned),
        size: size as u64,
        received_ms,
    };
    let size = message("odd \"id\" \\").len();
    let by_id = like(Some("odd \"id\" \\@example.test"), size, None);
    assert_eq!(mail.find(&archive, &by_id).await.unwrap(), uids([1]));
    let other_size = like(Some("other@example.test"), 1, None);
    assert_eq!(mail.find(&archive, &other_size).await.unwrap(), []);
    let no_id = like(None, 24, Some(837_596_665_999));
    assert_eq!(mail.find(&archive, &no_id).await.unwrap(), uids([3]));
    assert_eq!(mail.find(&archive, &like(None, 24, None)).await.unwrap(), uids([3, 4]));
    assert_eq!(mail.find(&archive, &like(None, 0, None)).await.unwrap(), []);
}
