//! What a server may say at each step, and what becomes of the message (F27).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mailmill::mail::Recipient;
use mailmill::mail::envelope::{Body, Charset, Envid, Notify, Orcpt, Ret};
use mailmill::store::RecipientState;

use super::{FAST, Post, letter, outgoing, plain, times, to};
use crate::support::fake_smtp::{Act, FakeSmtp, Stage};

const ALL: &[&str] = &["SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN"];

/// Faults the first time that a stage is reached, and never again.
fn once(stage: Stage, act: Act) -> FakeSmtp {
    FakeSmtp::start(ALL, move |at, _, before| (at == stage && before == 0).then(|| act.clone()))
}

fn say(line: &str) -> Act {
    Act::Say(format!("{line}\r\n"))
}

fn fast(server: &FakeSmtp) -> Post {
    Post::new(&plain(server.port, "smtp_deadline = \"1s\"\nsmtp_connections = 1", FAST))
}

/// Whatever passes by itself leads to one delivery; the clock does not stand in the way.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_until_it_does() {
    let stages = [Stage::Banner, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::End];
    let acts = [
        say("421 4.3.2 closing"),
        say("450 4.2.0 greylisted"),
        say("451 4.3.0 local error"),
        say("452 4.3.1 no room"),
        Act::Say("451-4.3.0 one\r\n451-4.3.0 two\r\n451 4.3.0 three\r\n".into()),
        Act::Say("not SMTP at all\r\n".into()),
        Act::Say("250-never\r\n550 mixed\r\n".into()),
        Act::Close,
        Act::Silence,
    ];
    for stage in stages {
        for act in &acts {
            let in_doubt =
                stage == Stage::End && !matches!(act, Act::Say(said) if said.starts_with("4"));
            let server = once(stage, act.clone());
            let mut post = fast(&server);
            let id = post.send("x", &["bob@example.test"]).await;
            post.run();
            post.until("an attempt", || {
                post.queue.show(id).unwrap().is_none_or(|entry| entry.attempts > 0)
            });
            post.pass(1_000);
            post.until_empty();
            let taken = server.taken();
            assert_eq!(taken.len(), 1, "{stage:?} {act:?}: {taken:?}");
            let said = post.said();
            assert!(!said.contains("\"failed\""), "{stage:?} {act:?}: {said}");
            let _ = in_doubt;
            post.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_reported_once_to_its_sender() {
    for (stage, line) in [
        (Stage::Mail, "550 5.1.8 bad sender"),
        (Stage::Mail, "554 5.5.0 no"),
        (Stage::Rcpt, "550 5.1.1 no such user"),
        (Stage::Rcpt, "552 5.2.2 full for good"),
        (Stage::Rcpt, "553 5.1.3 bad address"),
        (Stage::Data, "554 5.5.1 no valid recipients"),
        (Stage::End, "550 5.7.1 looks like spam"),
        (Stage::End, "552 5.3.4 too big"),
    ] {
        let server = once(stage, say(line));
        let mut post = fast(&server);
        post.send("x", &["bob@example.test"]).await;
        post.run();
        post.until_empty();
        let taken = server.taken();
        assert_eq!(taken.len(), 1, "{stage:?} {line}: the report alone");
        assert_eq!(
            (taken[0].from.as_str(), taken[0].to.as_slice()),
            ("", &["anna@example.test".to_owned()][..])
        );
        let status = line.split(' ').nth(1).unwrap();
        for part in [
            "Content-Type: multipart/report",
            "Final-Recipient: rfc822; bob@example.test",
            "Action: failed",
            &format!("Status: {status}"),
            &format!("Diagnostic-Code: smtp; {line}"),
            "X-Token: x",
        ] {
            assert!(taken[0].text.contains(part), "{line}: {part}: {}", taken[0].text);
        }
        assert!(!taken[0].text.contains("Hello."), "the body is not returned");
        assert!(post.files().is_empty());
        post.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_has_its_own_answer() {
    let server = FakeSmtp::start(ALL, |stage, line, _| match stage {
        Stage::Rcpt if line.contains("<gone@") => Some(say("550 5.1.1 no such user")),
        Stage::Rcpt if line.contains("<later@") => Some(say("450 4.2.1 later")),
        _ => None,
    });
    let mut post = fast(&server);
    let recipients = ["bob@example.test", "gone@example.test", "later@example.test"];
    let id = post.send("x", &recipients).await;
    post.run();
    post.until("a report", || server.taken().len() == 2);
    let entry = post.entry(id);
    let states: Vec<&RecipientState> = entry.recipients.iter().map(|to| &to.state).collect();
    assert!(matches!(states[0], RecipientState::Sent { .. }), "{states:?}");
    assert!(matches!(states[1], RecipientState::Failed { .. }), "{states:?}");
    assert!(matches!(states[2], RecipientState::Pending { answer: Some(_) }), "{states:?}");
    assert_eq!(server.taken()[0].to, ["bob@example.test"]);
    assert!(server.taken()[1].text.contains("gone@example.test"));
    assert!(!server.taken()[1].text.contains("bob@example.test"));
    // Nobody gets it a second time while one is tried again.
    post.pass(10_000);
    post.until("another attempt", || post.entry(id).attempts > 1);
    assert_eq!(times("x", server.taken().iter().map(|taken| taken.text.as_str())), 2);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_end_of_data_costs_one_repeat_at_most() {
    let server =
        FakeSmtp::start(ALL, |stage, _, _| (stage == Stage::End).then_some(Act::TakeAndClose));
    let mut post = fast(&server);
    let id = post.send("x", &["bob@example.test"]).await;
    post.run();
    post.until("a first doubt", || post.entry(id).doubt.times == 1);
    post.pass(1_000);
    post.until("a second doubt", || post.entry(id).doubt.times == 2);
    let held = post.entry(id).held.unwrap();
    assert!(held.contains("twice"), "{held}");
    post.pass(1_000);
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].text, taken[1].text, "the same Message-ID, the same bytes");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_lets_the_account_wait_and_no_message_fail() {
    for line in [
        "535 5.7.3 Authentication unsuccessful",
        "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant.",
        "530 5.7.57 Client not authenticated to send mail",
        "554 5.7.0 no",
    ] {
        let server = FakeSmtp::start(&["AUTH PLAIN"], move |stage, _, _| {
            (stage == Stage::Auth).then(|| say(line))
        });
        let more = "login = { user = \"anna\", password = { env = \"PATH\" } }";
        let mut post = Post::new(&plain(server.port, more, FAST));
        let id = post.send("x", &["bob@example.test"]).await;
        post.run();
        post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
        let error = post.queue.figures().accounts["a"].error.clone().unwrap();
        assert!(error.contains(line) && error.contains("; "), "{error}");
        assert!(!error.contains(&std::env::var("PATH").unwrap()));
        let entry = post.entry(id);
        assert!(entry.is_pending() && entry.held.is_none(), "{entry:?}");
        assert!(server.taken().is_empty());
        post.stop().await;
    }
}

/// Servers word the challenges of LOGIN as they like.
#[tokio::test(flavor = "multi_thread")]
async fn login_answers_what_is_asked_first_and_second() {
    let wordings = [
        ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"),
        ("334 dXNlcg==", "334 cGFzcw=="),
        ("334 ", "334"),
    ];
    for (user, password) in wordings {
        let server =
            FakeSmtp::start(&["AUTH LOGIN"], move |stage, _, before| match (stage, before) {
                (Stage::Auth, 0) => Some(say(user)),
                (Stage::Auth, 1) => Some(say(password)),
                _ => None,
            });
        let more = "smtp_connections = 1\nlogin = { user = \"anna\", password = { command = [\"echo\", \"geheim\"] } }";
        let mut post = Post::new(&plain(server.port, more, FAST));
        post.send("x", &["bob@example.test"]).await;
        post.run();
        post.until_empty();
        assert_eq!(server.heard()[1..4], ["AUTH LOGIN", "YW5uYQ==", "Z2VoZWlt"], "{user}");
        assert_eq!(server.taken().len(), 1);
        post.stop().await;
    }
    // One that wants no password after this user.
    let server = FakeSmtp::start(&["AUTH LOGIN"], |stage, _, before| match (stage, before) {
        (Stage::Auth, 0) => Some(say("334 VXNlcm5hbWU6")),
        (Stage::Auth, _) => Some(say("535 5.7.8 unknown user")),
        _ => None,
    });
    let more = "login = { user = \"anna\", password = { command = [\"echo\", \"geheim\"] } }";
    let mut post = Post::new(&plain(server.port, more, FAST));
    post.send("x", &["bob@example.test"]).await;
    post.run();
    post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
    assert!(!server.heard().contains(&"Z2VoZWlt".to_owned()), "the password was not asked for");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_rests_is_tried_when_a_person_says_so() {
    for word in ["retry", "release"] {
        let refuses = Arc::new(AtomicBool::new(true));
        let says = refuses.clone();
        let server = FakeSmtp::start(&["AUTH PLAIN"], move |stage, _, _| {
            (stage == Stage::Auth && says.load(Ordering::SeqCst)).then(|| say("535 5.7.3 no"))
        });
        let login = "login = { user = \"anna\", password = { env = \"PATH\" } }";
        // With the usual times: such an account rests for minutes, longer than this test waits.
        let mut post = Post::new(&plain(server.port, login, ""));
        let tried = post.send("x", &["bob@example.test"]).await;
        let held = post.send("y", &["bob@example.test"]).await;
        post.queue.hold(&[held], "look").unwrap();
        post.run();
        post.until("a rest", || post.queue.figures().accounts["a"].error.is_some());
        refuses.store(false, Ordering::SeqCst);
        let done = match word {
            "retry" => post.queue.retry(&[tried]),
            _ => post.queue.release(&[held]),
        };
        done.unwrap();
        post.until(word, || post.queue.show(tried).unwrap().is_none());
        let figures = post.queue.figures();
        assert_eq!(figures.held, usize::from(word == "retry"), "{figures:?}");
        assert_eq!(figures.accounts.get("a").and_then(|a| a.error.clone()), None);
        post.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_without_the_right_waits_for_a_person() {
    let line = "554 5.2.252 SendAsDenied; anna@example.test not allowed to send as";
    let server = once(Stage::End, say(line));
    let mut post = fast(&server);
    let id = post.send("x", &["bob@example.test"]).await;
    post.run();
    post.until("a hold", || post.entry(id).held.is_some());
    assert!(post.entry(id).held.unwrap().contains("SendAs"));
    post.queue.release(&[id]).unwrap();
    post.until_empty();
    assert_eq!(server.taken().len(), 1);
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_not_know_is_told_in_clear_words() {
    let server = FakeSmtp::start(&["SIZE 200"], |_, _, _| None);
    let mut post = fast(&server);
    let mut eight = outgoing("eight", &["bob@example.test"]);
    eight.envelope.body = Body::EightBitMime;
    let mut utf8 = outgoing("utf8", &["bob@example.test"]);
    utf8.envelope.charset = Charset::Utf8;
    post.put(eight, "X-Token: eight\r\n\r\n\u{fc}\r\n").await;
    post.put(utf8, "X-Token: utf8\r\n\r\n").await;
    post.put(outgoing("big", &["bob@example.test"]), &"x".repeat(300)).await;
    post.run();
    post.until("three failures", || post.said().matches("\"failed\"").count() >= 3);
    let said = post.said();
    for words in ["no 8BITMIME", "SMTPUTF8", "it has 300 bytes, and the server takes 200"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sender_asked_for_is_passed_on() {
    let server = FakeSmtp::willing();
    let mut post = fast(&server);
    let mut asked = outgoing("x", &[]);
    asked.envelope.ret = Some(Ret::Headers);
    asked.envelope.envid = Some(Envid::new("a+b").unwrap());
    asked.envelope.body = Body::EightBitMime;
    asked.envelope.recipients = vec![Recipient {
        address: to("bob@example.test"),
        notify: Notify::On { success: true, failure: true, delay: false },
        orcpt: Some(Orcpt::new("rfc822;bob@old.example").unwrap()),
    }];
    let text = letter("x");
    post.put(asked, &text).await;
    post.run();
    post.until_empty();
    let heard = server.heard().join("\n");
    let size = text.len();
    for line in [
        format!("MAIL FROM:<anna@example.test> SIZE={size} BODY=8BITMIME RET=HDRS ENVID=a+2Bb"),
        "RCPT TO:<bob@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@old.example".into(),
    ] {
        assert!(heard.contains(&line), "{heard}");
    }
    assert_eq!(server.taken().len(), 1, "the next server reports, not we");
    assert_eq!(server.taken()[0].text, text, "byte for byte, no line more");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_message_ends_it() {
    let server = FakeSmtp::willing();
    let mut post = fast(&server);
    let sequences =
        ["\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n"];
    for sequence in sequences {
        let text = format!("X-Token: x\r\n\r\nhello{sequence}MAIL FROM:<evil@example.test>\r\n");
        post.put(outgoing("x", &["bob@example.test"]), &text).await;
    }
    post.run();
    post.until_empty();
    let taken = server.taken();
    assert_eq!(taken.len(), sequences.len());
    assert!(taken.iter().all(|taken| taken.text.contains("MAIL FROM:<evil")));
    assert!(server.heard().iter().all(|line| !line.contains("evil")));
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_between_starttls_and_tls_ends_the_connection() {
    let server = FakeSmtp::start(&["STARTTLS", "AUTH PLAIN"], |stage, _, _| {
        (stage == Stage::StartTls)
            .then(|| Act::Say("220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n".into()))
    });
    let config = plain(server.port, "", FAST).replace("tls = \"none\"\n", "");
    let mut post = Post::new(&config);
    post.send("x", &["bob@example.test"]).await;
    post.run();
    post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
    let error = post.queue.figures().accounts["a"].error.clone().unwrap();
    assert!(error.contains("somebody may be in between"), "{error}");
    post.stop().await;
    let stripped = FakeSmtp::start(&["AUTH PLAIN"], |_, _, _| None);
    let config = plain(stripped.port, "", FAST).replace("tls = \"none\"\n", "");
    let mut post = Post::new(&config);
    post.send("x", &["bob@example.test"]).await;
    post.run();
    post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
    let error = post.queue.figures().accounts["a"].error.clone().unwrap();
    assert!(error.contains("does not offer STARTTLS"), "{error}");
    assert!(stripped.heard().iter().all(|line| line.starts_with("EHLO")), "nothing more is said");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_takes_many_messages_and_a_rate_is_kept() {
    let server = FakeSmtp::willing();
    let mut post = Post::new(&plain(server.port, "smtp_connections = 1\nsmtp_rate = 1200", FAST));
    for number in 0..10 {
        post.send(&format!("m{number}"), &["bob@example.test"]).await;
    }
    let started = std::time::Instant::now();
    post.run();
    post.until_empty();
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
    let hellos = server.heard().iter().filter(|line| line.starts_with("EHLO")).count();
    assert_eq!((hellos, server.taken().len()), (1, 10));
    post.stop().await;
}

/// What became of a message is too long for its entry, so it cannot be written: it is not sent again and
/// again, but counted as in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_written_costs_one_repeat_and_then_a_person_looks() {
    let answer = format!("250 2.0.0 {}\r\n", "kept ".repeat(40));
    let server = FakeSmtp::start(&["SIZE 1000000"], move |stage, line, _| match stage {
        Stage::Rcpt if line.contains("<bob.0@") => Some(Act::Say("450 4.2.0 later\r\n".into())),
        Stage::End => Some(Act::Say(answer.clone())),
        _ => None,
    });
    let mut post = Post::new(&plain(server.port, "", FAST));
    let domain = format!("{}test", "example.".repeat(8));
    let many: Vec<String> = (0..3_000).map(|number| format!("bob.{number}@{domain}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let id = post.send("x", &many).await;
    post.run();
    post.until("it to be held", || post.entry(id).held.is_some());
    assert!(post.entry(id).held.unwrap().contains("twice"));
    let sent = server.heard().iter().filter(|line| line.starts_with("DATA")).count();
    assert_eq!(sent, 2);
    assert!(post.said().contains("fewer recipients"), "{}", post.said());
    post.stop().await;
}
