//! Waiting, and servers that die or hang.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailmill::config::Security;
use mailmill::error::Retry;
use mailmill::mail::Uid;
use mailmill::mailbox::imap::WaitBy;
use mailmill::mailbox::{Extent, Mailboxes, Woke};

use super::{ALICE, SEEN, connect, connect_within, name, uids};
use crate::support::dovecot::{Dovecot, Profile};

const MESSAGE: &[u8] = b"Subject: new\r\n\r\nnew\r\n";
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn idle_wakes_within_a_second() {
    let dovecot = Arc::new(Dovecot::start(Profile::Full));
    let mut mail = connect(&dovecot.settings(ALICE, Security::Implicit), "alice-pw").await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    let server = Arc::clone(&dovecot);
    let delivery = tokio::task::spawn_blocking(move || {
        server.deliver(ALICE, "INBOX", MESSAGE);
        Instant::now()
    });
    assert_eq!(mail.wait(SEEN, LONG).await.unwrap(), Woke::News);
    let woken = Instant::now();
    let delivered = delivery.await.unwrap();
    assert!(woken.saturating_duration_since(delivered) < Duration::from_secs(1));
    assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), uids([1]));
    assert_eq!(mail.wait(SEEN, Duration::from_millis(20)).await.unwrap(), Woke::Quiet);
}

#[tokio::test]
async fn without_idle_news_are_found_by_asking() {
    for (profile, by) in [(Profile::Bare, WaitBy::Idle), (Profile::Full, WaitBy::Noop)] {
        let dovecot = Dovecot::start(profile);
        let settings = dovecot.settings(ALICE, Security::Implicit);
        let mut mail = connect(&settings, "alice-pw").await.unwrap();
        mail.wait_by(by);
        mail.select(&name("INBOX")).await.unwrap();
        assert_eq!(mail.wait(SEEN, Duration::from_millis(20)).await.unwrap(), Woke::Quiet);
        dovecot.deliver(ALICE, "INBOX", MESSAGE);
        assert_eq!(mail.wait(SEEN, Duration::from_millis(20)).await.unwrap(), Woke::News);
        assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), uids([1]));
    }
}

#[tokio::test]
async fn what_came_between_the_last_look_and_select_is_news() {
    for by in [WaitBy::Idle, WaitBy::Noop] {
        let dovecot = Dovecot::start(Profile::Full);
        dovecot.deliver(ALICE, "INBOX", MESSAGE);
        let settings = dovecot.settings(ALICE, Security::Implicit);
        let mut mail = connect(&settings, "alice-pw").await.unwrap();
        mail.wait_by(by);
        mail.select(&name("INBOX")).await.unwrap();
        assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), uids([1]));
        dovecot.deliver(ALICE, "INBOX", MESSAGE);
        mail.select(&name("INBOX")).await.unwrap();
        let waited = tokio::time::timeout(LONG / 6, mail.wait(Uid(1), LONG)).await;
        assert_eq!(waited.expect("it waits for what is there").unwrap(), Woke::News);
        assert_eq!(mail.uids_above(Uid(1), 10).await.unwrap(), uids([2]));

        // A UID that is gone again is no news, however often it is asked for.
        dovecot.doveadm(&["expunge", "-u", ALICE, "mailbox", "INBOX", "uid", "2"]);
        assert_eq!(mail.select(&name("INBOX")).await.unwrap().uidnext, Uid(3));
        for _ in 0..2 {
            let waited = mail.wait(Uid(1), Duration::from_millis(20)).await.unwrap();
            assert_eq!(waited, Woke::Quiet);
        }
    }
}

#[tokio::test]
async fn a_wait_may_be_dropped_and_the_connection_used_on() {
    let dovecot = Dovecot::start(Profile::Full);
    let settings = dovecot.settings(ALICE, Security::Implicit);
    let mut mail = connect(&settings, "alice-pw").await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    for _ in 0..3 {
        // Long enough for IDLE to begin, mostly; what is true must hold in either case.
        let cut = tokio::time::timeout(Duration::from_millis(150), mail.wait(SEEN, LONG)).await;
        assert!(cut.is_err());
        assert_eq!(mail.broken(), None);
    }
    dovecot.deliver(ALICE, "INBOX", MESSAGE);
    assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), uids([1]));
}

#[tokio::test]
async fn a_server_killed_during_idle_is_an_error_and_comes_back() {
    let dovecot = Dovecot::start(Profile::Full);
    dovecot.deliver(ALICE, "INBOX", MESSAGE);
    let settings = dovecot.settings(ALICE, Security::Implicit);
    let mut mail = connect(&settings, "alice-pw").await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    let killer = tokio::task::spawn_blocking(move || {
        dovecot.kill();
        dovecot
    });
    let begun = Instant::now();
    let error = mail.wait(SEEN, LONG).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
    assert_eq!(error.retry(), Retry::Later);
    let error = mail.select(&name("INBOX")).await.unwrap_err();
    assert!(error.to_string().contains("the connection is lost"), "{error}");

    let mut dovecot = killer.await.unwrap();
    let error = connect(&settings, "alice-pw").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error}");
    assert!(
        error.to_string().contains("; is the server up, and are host and port right?"),
        "{error}"
    );
    dovecot.start_again();
    let mut mail = connect(&settings, "alice-pw").await.unwrap();
    assert_eq!(mail.select(&name("INBOX")).await.unwrap().exists, 1);
}

#[tokio::test]
async fn a_session_thrown_out_is_an_error() {
    let dovecot = Dovecot::start(Profile::Full);
    let settings = dovecot.settings(ALICE, Security::Implicit);
    let mut mail = connect(&settings, "alice-pw").await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    dovecot.kick(ALICE);
    let error = mail.wait(SEEN, LONG).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error}");
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_within_the_deadline() {
    let deadline = Duration::from_secs(2);
    for by in [WaitBy::Idle, WaitBy::Noop] {
        let dovecot = Dovecot::start(Profile::Full);
        dovecot.deliver(ALICE, "INBOX", MESSAGE);
        let settings = dovecot.settings(ALICE, Security::Implicit);
        let mut mail = connect_within(&settings, "alice-pw", deadline).await.unwrap();
        mail.wait_by(by);
        mail.select(&name("INBOX")).await.unwrap();
        assert_eq!(mail.wait(SEEN, Duration::ZERO).await.unwrap(), Woke::Quiet);
        let mut other = connect_within(&settings, "alice-pw", deadline).await.unwrap();
        other.select(&name("INBOX")).await.unwrap();

        dovecot.freeze_sessions();
        let begun = Instant::now();
        let (waited, fetched) = tokio::join!(
            mail.wait(SEEN, Duration::from_millis(100)),
            other.fetch(&[Uid(1)], Extent::Whole)
        );
        assert!(begun.elapsed() < deadline * 3);
        for error in [waited.unwrap_err(), fetched.unwrap_err()] {
            assert!(error.to_string().contains("no answer within 2 s"), "{error}");
            assert_eq!(error.retry(), Retry::Later);
        }
        dovecot.thaw_sessions();
        let mut mail = connect(&settings, "alice-pw").await.unwrap();
        assert_eq!(mail.select(&name("INBOX")).await.unwrap().exists, 1);
    }
}
