//! What servers send that they should not, or that parsers do not expect; and hostile ones.

use std::time::{Duration, Instant};

use mailmill::config::Security;
use mailmill::error::{Error, Retry};
use mailmill::mail::{Flag, Uid, UidValidity};
use mailmill::mailbox::imap::ImapMailboxes;
use mailmill::mailbox::{Extent, FlagChange, Likeness, Mailboxes, Woke};

use super::{DEADLINE, SEEN, connect, connect_within, name, uids};
use crate::support::fake_imap::{FakeImap, PASSWORD, Peer};

/// A connection to a peer that plays `script` after login and SELECT of a mailbox with 3 messages.
pub async fn selected<F, Fut>(capabilities: &'static str, script: F) -> (ImapMailboxes, FakeImap)
where
    F: FnOnce(Peer) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    selected_within(DEADLINE, capabilities, script).await
}

async fn selected_within<F, Fut>(
    deadline: Duration,
    capabilities: &'static str,
    script: F,
) -> (ImapMailboxes, FakeImap)
where
    F: FnOnce(Peer) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let fake = FakeImap::start(move |mut peer: Peer| async move {
        peer.log_in(capabilities).await;
        peer.select(3).await;
        script(peer).await;
    })
    .await;
    let settings = fake.settings(Security::None);
    let mut mail = connect_within(&settings, PASSWORD, deadline).await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    (mail, fake)
}

async fn refused_at_connect(security: Security, greeting: &'static str) -> Error {
    let fake = FakeImap::start(move |mut peer: Peer| async move {
        peer.send(greeting).await;
        while let Some(line) = peer.line().await {
            assert!(!line.contains(PASSWORD), "the password went out: {line}");
        }
    })
    .await;
    let error = connect(&fake.settings(security), PASSWORD).await.unwrap_err();
    fake.finish().await;
    error
}

#[tokio::test]
async fn greetings_that_are_no_welcome_are_refused() {
    for security in [Security::None, Security::StartTls] {
        let error = refused_at_connect(security, "* BYE too many connections\r\n").await;
        assert!(error.to_string().contains("BYE too many connections"), "{error}");
        assert_eq!(error.retry(), Retry::Later);
        let error = refused_at_connect(security, "* PREAUTH welcome back\r\n").await;
        assert!(error.to_string().contains("PREAUTH"), "{error}");
        assert_eq!(error.retry(), Retry::Never);
        refused_at_connect(security, "220 smtp.example.test ESMTP\r\n").await;
    }
}

#[tokio::test]
async fn an_answer_before_its_command_is_a_forgery() {
    let greeting = "* OK ready\r\nA1 OK done\r\nA0001 OK done\r\na001 OK done\r\n";
    for security in [Security::None, Security::StartTls] {
        let error = refused_at_connect(security, greeting).await;
        assert!(error.to_string().contains("a command that was not sent"), "{error}");
    }
}

#[tokio::test]
async fn bytes_between_starttls_and_the_handshake_end_it() {
    for (answer, told) in [
        ("TAG OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "somebody may be in between"),
        ("TAG NO not today\r\n", "STARTTLS is refused: NO not today"),
        ("TAG BAD what\r\n", "STARTTLS is refused: BAD what"),
        ("* BYE no\r\n", "BYE no"),
    ] {
        let fake = FakeImap::start(move |mut peer: Peer| async move {
            peer.send("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n").await;
            let tag = peer.expect("STARTTLS").await;
            peer.send(answer.replace("TAG", &tag)).await;
            assert_eq!(peer.line().await, None, "the client must not go on");
        })
        .await;
        let error = connect(&fake.settings(Security::StartTls), PASSWORD).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        fake.finish().await;
    }
}

#[tokio::test]
async fn clear_text_goes_to_this_machine_only() {
    let fake = FakeImap::start(|_peer: Peer| async {}).await;
    let mut settings = fake.settings(Security::None);
    settings.host = "192.0.2.1".into();
    let error = connect(&settings, PASSWORD).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains("clear text"), "{error}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_meets_the_deadline() {
    let deadline = Duration::from_millis(300);
    for security in [Security::None, Security::StartTls, Security::Implicit] {
        let fake = FakeImap::start(|mut peer: Peer| async move { peer.until_end().await }).await;
        let begun = Instant::now();
        let settings = fake.settings(security);
        let error = connect_within(&settings, PASSWORD, deadline).await.unwrap_err();
        assert!(begun.elapsed() < deadline * 10, "{error}");
        assert_eq!(error.retry(), Retry::Later);
        fake.finish().await;
    }
}

const CHATTER: &str = "* 9 EXISTS\r\n* 1 EXPUNGE\r\n* 2 FETCH (FLAGS (\\Seen))\r\n\
    * 2 FETCH (UID 99 FLAGS (\\Draft))\r\n* OK [ALERT]\u{e9}t\u{e9}\r\n* OK [UIDNEXT 50] x\r\n\
    * VANISHED 7:8\r\n* FLAGS (\\Seen)\r\n* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n\
    * ESEARCH (TAG \"x\") UID ALL 4:19\r\n* THREAD (2)(3 6)\r\n* X-WHAT {3}\r\na\r\n (((\r\n\
    * STATUS INBOX (SIZE 5 DELETED 1)\r\n* CAPABILITY  IMAP4rev1  UIDPLUS MOVE\r\n\
    * 5 FETCH (X-GM-LABELS (a) UNHEARD ((1) (2)) UID 3)\r\n* NO slow today\r\n";

#[tokio::test]
async fn unasked_data_in_every_gap_changes_nothing() {
    let (mut mail, fake) = selected("UIDPLUS MOVE", |mut peer: Peer| async move {
        while let Some(line) = peer.line().await {
            peer.send(CHATTER).await;
            let (tag, text) = line.split_once(' ').unwrap();
            if text.starts_with("APPEND") {
                peer.send("+ go\r\n").await;
                assert_eq!(peer.line().await.as_deref(), Some("x"));
                peer.send(CHATTER).await;
            }
            let data = match text {
                _ if text.starts_with("UID SEARCH") => "* SEARCH 3 1 2\r\n",
                _ if text.starts_with("UID FETCH") => {
                    "* 2 FETCH (FLAGS (\\Seen) BODY[] {3}\r\na\r\n UID 2 RFC822.SIZE 3)\r\n\
                     * 1 FETCH (UID 1 RFC822.SIZE 3 FLAGS () BODY[] \"a\\\"b\")\r\n"
                }
                _ if text.starts_with("LIST") => "* LIST () \"/\" Target (\"X\" (1))\r\n",
                _ => "",
            };
            peer.send(format!("{data}{CHATTER}{tag} OK done\r\n")).await;
        }
    })
    .await;
    assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), uids([1, 2, 3]));
    let fetched = mail.fetch(&uids([1, 2]), Extent::Whole).await.unwrap();
    assert_eq!(fetched[0].bytes, b"a\"b");
    assert_eq!((fetched[1].bytes.as_slice(), fetched[1].size), (&b"a\r\n"[..], 3));
    assert_eq!(fetched[1].flags, [Flag::seen()]);
    mail.store_flags(&uids([1]), FlagChange::Add, &[Flag::seen()]).await.unwrap();
    assert!(mail.move_to(&uids([1]), &name("Target")).await.unwrap().uids.is_empty());
    assert_eq!(mail.append(&name("Target"), b"x", &[], None).await.unwrap(), None);
    assert_eq!(mail.list_below(&name("Target")).await.unwrap().mailboxes, [name("Target")]);
    mail.expunge(&uids([2])).await.unwrap();
    assert_eq!(mail.broken(), None);
    drop(mail);
    fake.finish().await;
}

#[tokio::test]
async fn received_time_nil_and_odd_dates_are_no_date() {
    for date in ["NIL", "\"NIL\"", "\"\"", "\"99-Foo-2020 00:00:00 +0000\"", "\"\u{e9}\""] {
        let (mut mail, fake) = selected("", move |mut peer: Peer| async move {
            let tag = peer.expect("UID FETCH 1 ").await;
            let data =
                format!("UID 1 FLAGS () INTERNALDATE {date} RFC822.SIZE 2 BODY[] {{2}}\r\nhi");
            peer.send(format!("* 1 FETCH ({data})\r\n{tag} OK done\r\n")).await;
        })
        .await;
        let fetched = mail.fetch(&uids([1]), Extent::Whole).await.unwrap().remove(0);
        assert_eq!((fetched.received_ms, fetched.bytes), (None, b"hi".to_vec()), "{date}");
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_message_without_data_is_an_error_that_names_it_and_one_gone_is_not() {
    for (data, left, error_names) in [
        ("", "* SEARCH 2 3\r\n", Some("UID 2,3 ")),
        (
            "* 2 FETCH (UID 2 FLAGS () RFC822.SIZE 5 BODY[] NIL)\r\n",
            "* SEARCH 2\r\n",
            Some("UID 2 "),
        ),
        ("* 2 FETCH (UID 2 FLAGS ())\r\n", "* SEARCH 2\r\n", Some("UID 2 ")),
        ("", "* SEARCH\r\n", None),
    ] {
        let (mut mail, fake) = selected("", move |mut peer: Peer| async move {
            let first = "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 2 BODY[] {2}\r\nhi)\r\n";
            peer.answer("UID FETCH 1:3 ", &format!("{first}{data}")).await;
            peer.answer("UID SEARCH UID 2:3", left).await;
        })
        .await;
        let fetched = mail.fetch(&uids([1, 2, 3]), Extent::Whole).await;
        match error_names {
            Some(named) => {
                let error = fetched.unwrap_err();
                assert!(error.to_string().contains(named), "{error}");
                assert_eq!(mail.broken(), None);
            }
            None => assert_eq!(fetched.unwrap().len(), 1),
        }
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_search_without_a_result_is_asked_in_another_way() {
    let (mut mail, fake) = selected("", |mut peer: Peer| async move {
        peer.answer("UID SEARCH UID 1:*", "* ESEARCH (TAG \"x\") UID ALL 1:3\r\n").await;
        let data = "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\n";
        peer.answer("UID FETCH 1:* (UID)", data).await;
        peer.answer("SELECT", "* 3 EXISTS\r\n* OK [UIDVALIDITY 77]\r\n* OK [UIDNEXT 4]\r\n").await;
        peer.answer("UID SEARCH HEADER Message-ID \"<a@b>\"", "").await;
    })
    .await;
    assert_eq!(mail.uids_above(Uid(0), 10).await.unwrap(), uids([1, 2, 3]));
    let like = Likeness { message_id: Some("a@b".into()), size: 5, received_ms: None };
    let error = mail.find(&name("INBOX"), &like).await.unwrap_err();
    assert!(error.to_string().contains("without a result"), "{error}");
    fake.finish().await;
}

#[tokio::test]
async fn a_large_mailbox_is_looked_through_in_windows() {
    let fake = FakeImap::start(|mut peer: Peer| async move {
        peer.log_in("").await;
        peer.select(100_000).await;
        peer.answer("UID SEARCH UID 1:10000", "* SEARCH 5\r\n").await;
        peer.answer("UID SEARCH UID 10001:50000", "* SEARCH\r\n").await;
        peer.answer("UID SEARCH UID 50001:90000", "* SEARCH 70000 60000\r\n").await;
        peer.answer("UID SEARCH UID 90001:*", "* SEARCH 100007 100000\r\n").await;
    })
    .await;
    let mut mail = connect(&fake.settings(Security::None), PASSWORD).await.unwrap();
    mail.select(&name("INBOX")).await.unwrap();
    let found = mail.uids_above(Uid(0), 4).await.unwrap();
    assert_eq!(found, uids([5, 60_000, 70_000, 100_000]));
    fake.finish().await;
}

/// It is longer than `max_size` here, and would be met again after every reconnect.
#[tokio::test]
async fn a_header_of_any_length_costs_bounded_memory_and_no_connection() {
    let (mut mail, fake) = selected("", |mut peer: Peer| async move {
        let tag = peer.expect("UID FETCH 1 ").await;
        let header = "X-Long: 0123456789\r\n".repeat(200_000) + "\r\n";
        let data = format!("UID 1 FLAGS () RFC822.SIZE 9 BODY[HEADER] {{{}}}", header.len());
        peer.send(format!("* 1 FETCH ({data}\r\n{header})\r\n{tag} OK done\r\n")).await;
    })
    .await;
    let fetched = mail.fetch(&uids([1]), Extent::Headers).await.unwrap().remove(0);
    assert!(fetched.bytes.len() <= 256 * 1024 && fetched.bytes.ends_with(b"9\r\n"));
    assert!(fetched.bytes.capacity() <= 512 * 1024);
    assert_eq!(mail.broken(), None);
    fake.finish().await;
}

#[tokio::test]
async fn hostile_sizes_end_the_connection_with_a_clear_error() {
    for (answer, told) in [
        ("* 1 FETCH (UID 1 BODY[] {500000000}\r\nabc", "literal of 500000000 bytes"),
        ("* 1 FETCH (UID 1 BODY[] {99999999999999999999}\r\n", "more bytes than can be counted"),
        ("* LIST () \"/\" {4294967296}\r\n", "4294967296"),
        ("LONG", "line of more than 1048576 bytes"),
        ("* SEARCH nonsense\r\n", "not understood"),
        ("NESTED", "line of more than 1048576 bytes"),
    ] {
        let (mut mail, fake) = selected("", move |mut peer: Peer| async move {
            peer.expect("UID FETCH").await;
            match answer {
                "NESTED" => {
                    peer.send(format!("* 1 FETCH (BODY {}\r\n", "(".repeat(900_000))).await;
                    peer.send("x".repeat(1_100_000)).await;
                }
                "LONG" => peer.send(format!("* OK {}", "x".repeat(1_100_000))).await,
                _ => peer.send(answer).await,
            }
            peer.until_end().await;
        })
        .await;
        let begun = Instant::now();
        let error = mail.fetch(&uids([1]), Extent::Whole).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert!(error.to_string().len() < 700 && begun.elapsed() < DEADLINE / 2);
        assert!(mail.broken().is_some());
        drop(mail);
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_drip_of_bytes_is_no_answer_and_a_steady_flow_is() {
    let deadline = Duration::from_secs(1);
    let (mut mail, _fake) = selected_within(deadline, "", move |mut peer: Peer| async move {
        peer.expect("UID FETCH").await;
        for _ in 0..100 {
            peer.send("* OK patience\r\n").await;
            tokio::time::sleep(deadline / 10).await;
        }
    })
    .await;
    let error = mail.fetch(&uids([1]), Extent::Whole).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 1 s"), "{error}");

    let (mut mail, fake) = selected_within(deadline, "", move |mut peer: Peer| async move {
        let tag = peer.expect("UID FETCH").await;
        peer.send("* 1 FETCH (UID 1 FLAGS () BODY[] {320000}\r\n").await;
        for _ in 0..20 {
            peer.send([b'x'; 16_000]).await;
            tokio::time::sleep(deadline / 10).await;
        }
        peer.send(format!(")\r\n{tag} OK done\r\n")).await;
    })
    .await;
    let fetched = mail.fetch(&uids([1]), Extent::Whole).await.unwrap();
    assert_eq!(fetched[0].bytes.len(), 320_000);
    fake.finish().await;
}

#[tokio::test]
async fn where_messages_landed_is_taken_from_every_form_and_no_lie() {
    let told = "* OK [COPYUID 9 1:3 11:13] moved\r\n";
    for (untagged, tagged, landed) in [
        (told, "OK done", Some(3)),
        ("", "OK [COPYUID 9 1:3 11,12:13] done", Some(3)),
        (told, "OK [COPYUID 0 1:3 11:13] done", Some(3)),
        ("", "OK [COPYUID 0 1:3 11:13] done", None),
        ("", "OK [COPYUID 9 1:2 11:13] done", None),
        ("", "OK [COPYUID 9 1:4294967295 1:4294967295] done", None),
        ("", "OK [COPYUID garbage] done", None),
        ("", "OK [COPYUID 9 7:9 11:13] done", None),
        ("", "OK [COPYUID 9 1:3 0,0,0] done", None),
    ] {
        let (mut mail, fake) = selected("MOVE", move |mut peer: Peer| async move {
            let tag = peer.expect("UID MOVE 1:3 \"Target\"").await;
            peer.send(format!("{untagged}{tag} {tagged}\r\n")).await;
        })
        .await;
        let moved = mail.move_to(&uids([1, 2, 3]), &name("Target")).await.unwrap();
        match landed {
            Some(count) => {
                assert_eq!(moved.uidvalidity, Some(UidValidity(9)), "{tagged}");
                assert_eq!((moved.uids.len(), moved.uids[&Uid(3)]), (count, Uid(13)));
            }
            None => assert_eq!(moved, mailmill::mailbox::Landed::default(), "{tagged}"),
        }
        fake.finish().await;
    }
}

#[tokio::test]
async fn without_move_only_our_own_uids_are_expunged() {
    let (mut mail, fake) = selected("UIDPLUS", |mut peer: Peer| async move {
        peer.answer("UID COPY 1,3 \"Target\"", "* OK [COPYUID 9 1,3 7:8] done\r\n").await;
        peer.answer("UID STORE 1,3 +FLAGS.SILENT (\\Deleted)", "").await;
        peer.answer("UID EXPUNGE 1,3", "").await;
        peer.refuse("UID COPY 2", "NO [OVERQUOTA] full").await;
        assert!(peer.next().await.is_none(), "nothing may follow a refused copy");
    })
    .await;
    mail.move_to(&uids([3, 1]), &name("Target")).await.unwrap();
    mail.move_to(&uids([2]), &name("Target")).await.unwrap_err();
    drop(mail);
    fake.finish().await;
}

#[tokio::test]
async fn a_delimiter_within_a_level_is_refused_before_anything_is_sent() {
    let fake = FakeImap::start(|mut peer: Peer| async move {
        peer.log_in_with_delimiter("", "\".\"").await;
        let told = "* LIST () \".\" P\r\n* LIST (\\Noselect) \".\" P.a\r\n";
        peer.answer("LIST \"\" \"P\"", told).await;
        let told = "* LIST () \".\" \"P.a.b\"\r\n* LIST (\\NonExistent) \".\" P.c\r\n\
                    * LIST () \".\" \"P.a/b\"\r\n* LIST () \".\" {5}\r\nP.&AP\r\n\
                    * LIST () \".\" {4}\r\nP.\u{7}%\r\n";
        peer.answer("LIST \"\" \"P.*\"", told).await;
        assert!(peer.next().await.is_none());
    })
    .await;
    let mut mail = connect(&fake.settings(Security::None), PASSWORD).await.unwrap();
    let below = mail.list_below(&name("P")).await.unwrap();
    assert_eq!(below.mailboxes, [name("P"), name("P/a/b")]);
    assert_eq!(below.unnamed, ["P.&AP", "P.\\u{7}%", "P.a/b"]);
    let error = mail.create(&name("Version 1.0")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    drop(mail);
    fake.finish().await;
}

/// Some servers store a bare LF, and then the message has another size than one that was moved.
#[tokio::test]
async fn no_bare_line_feed_goes_out() {
    let (mut mail, fake) = selected("", |mut peer: Peer| async move {
        let tag = peer.expect("APPEND \"Target\" {11}").await;
        assert!(peer.heard.last().unwrap().ends_with("a\r\n\r\nb\r\nc\r\n"), "{:?}", peer.heard);
        peer.send(format!("{tag} OK done\r\n")).await;
    })
    .await;
    mail.append(&name("Target"), b"a\n\nb\r\nc\n", &[], None).await.unwrap();
    fake.finish().await;
}

#[tokio::test]
async fn a_missing_parent_is_made() {
    let (mut mail, fake) = selected("", |mut peer: Peer| async move {
        peer.refuse("CREATE \"A/B/C\"", "NO no parent").await;
        peer.answer("LIST \"\" \"A/B/C\"", "").await;
        peer.refuse("CREATE \"A\"", "NO it is there").await;
        peer.answer("CREATE \"A/B\"", "").await;
        peer.answer("CREATE \"A/B/C\"", "").await;
    })
    .await;
    mail.create(&name("A/B/C")).await.unwrap();
    fake.finish().await;
}

#[tokio::test]
async fn a_command_cut_off_leaves_the_connection_unusable() {
    let (mut mail, fake) =
        selected("", |mut peer: Peer| async move { peer.until_end().await }).await;
    let one = uids([1]);
    tokio::select! {
        biased;
        fetched = mail.fetch(&one, Extent::Whole) => panic!("{fetched:?}"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    let error = mail.uids_above(Uid(0), 5).await.unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
    drop(mail);
    fake.finish().await;
}

#[tokio::test]
async fn idle_is_ended_by_done_before_the_next_command() {
    let (mut mail, fake) = selected("IDLE", |mut peer: Peer| async move {
        for _ in 0..2 {
            let tag = peer.expect("IDLE").await;
            peer.send("+ idling\r\n* OK still here\r\n").await;
            assert_eq!(peer.line().await.as_deref(), Some("DONE"));
            peer.send(format!("{tag} OK done\r\n")).await;
        }
        peer.answer("NOOP", "").await;
        let tag = peer.expect("IDLE").await;
        peer.send("+ idling\r\n* 4 EXISTS\r\n* 4 RECENT\r\n").await;
        assert_eq!(peer.line().await.as_deref(), Some("DONE"));
        peer.send(format!("{tag} OK done\r\n")).await;
        let tag = peer.expect("IDLE").await;
        peer.send(format!("+ idling\r\n{tag} BAD Request is throttled.\r\n")).await;
    })
    .await;
    assert_eq!(mail.wait(SEEN, Duration::from_millis(50)).await.unwrap(), Woke::Quiet);
    let cut = tokio::time::timeout(Duration::from_millis(300), mail.wait(SEEN, DEADLINE)).await;
    assert!(cut.is_err());
    mail.wait_by(mailmill::mailbox::imap::WaitBy::Noop);
    assert_eq!(mail.wait(SEEN, Duration::ZERO).await.unwrap(), Woke::Quiet);
    mail.wait_by(mailmill::mailbox::imap::WaitBy::Idle);
    assert_eq!(mail.wait(SEEN, DEADLINE).await.unwrap(), Woke::News);
    let error = mail.wait(SEEN, DEADLINE).await.unwrap_err();
    assert!(error.to_string().contains("throttled"), "{error}");
    fake.finish().await;
}

/// A wait is cut off at each of its stages: the connection must stay in order.
#[tokio::test]
async fn a_wait_may_be_dropped_before_the_server_accepts_it_and_after_done() {
    let pause = || tokio::time::sleep(Duration::from_millis(60));
    let (mut mail, fake) = selected("IDLE", move |mut peer: Peer| async move {
        let mut said = peer.next().await.unwrap();
        while said.text == "IDLE" {
            pause().await;
            peer.send("+ idling\r\n").await;
            assert_eq!(peer.line().await.as_deref(), Some("DONE"));
            pause().await;
            peer.send(format!("{} OK done\r\n", said.tag)).await;
            said = peer.next().await.unwrap();
        }
        assert_eq!(said.text, "UID SEARCH UID 1:*");
        peer.send(format!("* SEARCH 1\r\n{} OK done\r\n", said.tag)).await;
    })
    .await;
    for cut in [0, 10, 20, 30, 40, 50, 60, 70] {
        let cut = Duration::from_millis(cut);
        let waited = tokio::time::timeout(cut, mail.wait(SEEN, Duration::ZERO)).await;
        assert!(waited.is_err() || waited.unwrap().is_ok());
        assert_eq!(mail.broken(), None);
    }
    assert_eq!(mail.uids_above(Uid(0), 9).await.unwrap(), uids([1]));
    fake.finish().await;
}

#[tokio::test]
async fn a_password_that_cannot_be_quoted_goes_as_a_literal() {
    let fake = FakeImap::start(move |mut peer: Peer| async move {
        peer.log_in("").await;
        let heard = "LOGIN \"alice@example.test\" {13}\r\nPa\u{df}w\u{f6}rt\" \r\n";
        assert!(peer.heard.iter().any(|said| said == heard), "{:?}", peer.heard);
    })
    .await;
    let settings = fake.settings(Security::None);
    connect(&settings, "Pa\u{df}w\u{f6}rt\" \r\n").await.unwrap();
    fake.finish().await;
}

#[tokio::test]
async fn no_value_can_begin_a_command_of_its_own() {
    let password = "pa\"ss\\w {3}";
    let fake = FakeImap::start(move |mut peer: Peer| async move {
        peer.log_in("").await;
        peer.answer("SELECT \"a\\\"b {5}\"", "* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT 1]\r\n").await;
        let id = "UID SEARCH HEADER Message-ID \"<x> \\\"UID 1\\\"@y>\"";
        peer.answer("SELECT", "* 1 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT 2]\r\n").await;
        peer.answer(id, "* SEARCH\r\n").await;
        assert!(
            peer.heard.contains(&"LOGIN \"alice@example.test\" \"pa\\\"ss\\\\w {3}\"".to_owned())
        );
    })
    .await;
    let mut mail = connect(&fake.settings(Security::None), password).await.unwrap();
    mail.select(&name("a\"b {5}")).await.unwrap();
    let id = Some("x> \"UID 1\"@y".to_owned());
    let like = Likeness { message_id: id, size: 1, received_ms: None };
    assert_eq!(mail.find(&name("INBOX"), &like).await.unwrap(), []);
    fake.finish().await;
}
