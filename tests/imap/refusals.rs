//! A refusal is an error in every call, and so are the end of a connection and silence.

use std::time::Duration;

use mailmill::config::Security;
use mailmill::error::{Error, Retry};
use mailmill::mail::{Flag, Uid};
use mailmill::mailbox::imap::{ImapMailboxes, RefusalKind};
use mailmill::mailbox::{Extent, FlagChange, Likeness, Mailboxes};

use super::{SEEN, connect, name, uids};
use crate::support::fake_imap::{FakeImap, PASSWORD, Peer};

const CALLS: [&str; 14] = [
    "list_below",
    "select",
    "uids_above",
    "fetch",
    "store_flags",
    "copy",
    "move_to",
    "append",
    "expunge",
    "create",
    "exists",
    "find",
    "wait",
    "wait with unseen",
];

async fn call(mail: &mut ImapMailboxes, call: &str) -> Result<(), Error> {
    let target = name("Target");
    let one = uids([1]);
    let like = Likeness { message_id: Some("a@b".into()), size: 5, received_ms: None };
    match call {
        "list_below" => mail.list_below(&target).await.map(drop),
        "select" => mail.select(&target).await.map(drop),
        "uids_above" => mail.uids_above(Uid(0), 10).await.map(drop),
        "fetch" => mail.fetch(&one, Extent::Whole).await.map(drop),
        "store_flags" => mail.store_flags(&one, FlagChange::Add, &[Flag::seen()]).await,
        "copy" => mail.copy(&one, &target).await.map(drop),
        "move_to" => mail.move_to(&one, &target).await.map(drop),
        "append" => mail.append(&target, b"x\r\n", &[], None).await.map(drop),
        "expunge" => mail.expunge(&one).await,
        "create" => mail.create(&target).await,
        "exists" => mail.exists(&target).await.map(drop),
        "find" => mail.find(&target, &like).await.map(drop),
        "wait" => mail.wait(SEEN, Duration::from_secs(30)).await.map(drop),
        "wait with unseen" => mail.wait(Uid(0), Duration::from_secs(30)).await.map(drop),
        other => panic!("{other}"),
    }
}

/// Answers every command after SELECT in this way; `TAG` stands for its tag.
async fn refusing(answer: &'static str, stays: bool) -> FakeImap {
    FakeImap::start(move |mut peer: Peer| async move {
        peer.log_in("UIDPLUS MOVE IDLE LITERAL+").await;
        peer.select(1).await;
        while let Some(said) = peer.next().await {
            peer.send(answer.replace("TAG", &said.tag)).await;
            if !stays {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn every_refusal_of_every_call_is_an_error_with_the_servers_words() {
    for (answer, stays, told) in [
        (
            "TAG NO [SERVERBUG] the cat sleeps on it\r\n",
            true,
            "NO [SERVERBUG] the cat sleeps on it",
        ),
        ("TAG BAD no such thing\r\n", true, "BAD no such thing"),
        ("* BYE closing time\r\n", false, "BYE closing time"),
        ("TAG NO [TRYCREATE] no such mailbox\r\n", true, "NO [TRYCREATE] no such mailbox"),
        ("", false, "the server closed the connection"),
        ("* 1 FETCH (UID 1 BODY[] {500}\r\nhalf", false, "in the middle of an answer"),
        ("* 1 FET", false, "in the middle of an answer"),
        ("forged OK done\r\n", true, "answered a command that was not sent"),
    ] {
        for called in CALLS {
            let fake = refusing(answer, stays).await;
            let mut mail = connect(&fake.settings(Security::None), PASSWORD).await.unwrap();
            mail.select(&name("INBOX")).await.unwrap();
            let error = call(&mut mail, called).await.expect_err(called);
            assert!(error.to_string().contains(told), "{called}: {error}");
            assert_eq!(mail.broken().is_none(), answer.starts_with("TAG"), "{called}: {error}");
            drop(mail);
            fake.finish().await;
        }
    }
}

#[tokio::test]
async fn an_ok_without_substance_is_no_success() {
    for called in ["select", "fetch", "append"] {
        let fake = FakeImap::start(|mut peer: Peer| async move {
            peer.log_in("UIDPLUS MOVE IDLE").await;
            peer.select(1).await;
            while let Some(line) = peer.line().await {
                let tag = line.split(' ').next().unwrap();
                let data = if line.contains("UID SEARCH") { "* SEARCH 1\r\n" } else { "" };
                peer.send(format!("{data}{tag} OK done\r\n")).await;
            }
        })
        .await;
        let mut mail = connect(&fake.settings(Security::None), PASSWORD).await.unwrap();
        mail.select(&name("INBOX")).await.unwrap();
        let error = call(&mut mail, called).await.expect_err(called);
        let told = match called {
            "select" => "no UIDVALIDITY",
            "fetch" => "fetch message UID 1 in mailbox INBOX",
            _ => "before it had all of it",
        };
        assert!(error.to_string().contains(told), "{error}");
        drop(mail);
        fake.finish().await;
    }
}

#[tokio::test]
async fn throttling_says_how_long() {
    let answer = "TAG BAD Request is throttled. Suggested Backoff Time: 1234 milliseconds\r\n";
    let fake = refusing(answer, true).await;
    let mut mail = connect(&fake.settings(Security::None), PASSWORD).await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    let error = mail.fetch(&uids([1]), Extent::Whole).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error}");
    assert_eq!(mail.refusal().unwrap().kind, RefusalKind::Throttled);
    assert_eq!(mail.back_off(), Some(Duration::from_millis(1234)));
}

#[tokio::test]
async fn logout_takes_bye_for_what_it_is() {
    let fake = FakeImap::start(|mut peer: Peer| async move {
        peer.log_in("").await;
        peer.expect("LOGOUT").await;
        peer.send("* BYE see you\r\n").await;
    })
    .await;
    let mut mail = connect(&fake.settings(Security::None), PASSWORD).await.unwrap();
    mail.close().await.unwrap();
    fake.finish().await;
    let error = mail.select(&name("INBOX")).await.unwrap_err();
    assert!(error.to_string().contains("it was closed"), "{error}");
}

#[tokio::test]
async fn a_login_refused_is_an_error_without_the_password() {
    for (answer, retry) in [
        ("NO LOGIN failed.", Retry::Never),
        ("NO [AUTHENTICATIONFAILED] no", Retry::Never),
        ("NO [UNAVAILABLE] later", Retry::Later),
        ("NO Server Unavailable. 15", Retry::Later),
        ("BAD unknown: LOGIN \"alice@example.test\" \"hunter2-secret\"", Retry::Later),
        ("BYE hunter2-secret", Retry::Later),
    ] {
        let fake = FakeImap::start(move |mut peer: Peer| async move {
            peer.send("* OK ready\r\n").await;
            peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1\r\n").await;
            let tag = peer.expect("LOGIN").await;
            let from = if answer.starts_with("BYE") { "*" } else { &tag };
            peer.send(format!("{from} {answer}\r\n")).await;
            peer.until_end().await;
        })
        .await;
        let error = connect(&fake.settings(Security::None), PASSWORD).await.unwrap_err();
        assert_eq!(error.retry(), retry, "{error}");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_login_later_gets_no_password_into_the_error() {
    let fake = FakeImap::start(|mut peer: Peer| async move {
        peer.send("* OK ready\r\n").await;
        peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1\r\n").await;
        peer.answer("LOGIN", "").await;
        let tag = peer.expect("CAPABILITY").await;
        peer.send(format!("{tag} NO after LOGIN \"alice\" \"{PASSWORD}\"\r\n")).await;
        peer.until_end().await;
    })
    .await;
    let error = connect(&fake.settings(Security::None), PASSWORD).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    assert!(error.to_string().contains("NO after LOGIN"), "{error}");
    assert_eq!(error.retry(), Retry::Later, "it is not the login that was refused: {error}");
    fake.finish().await;
}

#[tokio::test]
async fn no_password_goes_where_login_is_disabled() {
    let fake = FakeImap::start(|mut peer: Peer| async move {
        peer.send("* OK ready\r\n").await;
        peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n").await;
        assert!(peer.next().await.is_none());
    })
    .await;
    let error = connect(&fake.settings(Security::None), PASSWORD).await.unwrap_err();
    assert!(error.to_string().contains("LOGINDISABLED"), "{error}");
    fake.finish().await;
}
