//! A relay that is away for days (F28), and what its senders hear.

use mailmill::mail::envelope::Notify;
use mailmill::mail::{Envelope, Message};
use mailmill::store::RecipientState;

use super::{DAY, Post, START, letter, outgoing, plain, to};
use crate::support::fake_smtp::{Act, FakeSmtp, Stage};

const HOUR: i64 = 60 * 60 * 1000;

/// A relay that lets nothing but reports through.
fn away() -> FakeSmtp {
    FakeSmtp::start(&["DSN"], |stage, line, _| {
        (stage == Stage::Mail && !line.contains("<>"))
            .then(|| Act::Say("451 4.4.1 the next server is away\r\n".into()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn after_hours_a_notice_and_after_five_days_a_report() {
    let server = away();
    let mut post = Post::new(&plain(server.port, "", ""));
    let id = post.send("x", &["bob@example.test", "eve@example.test"]).await;
    post.run();
    let mut attempts = 0;
    while post.time.load(std::sync::atomic::Ordering::SeqCst) < START + 3 * HOUR {
        post.until("an attempt", || post.entry(id).attempts > attempts);
        attempts = post.entry(id).attempts;
        let wait = post.entry(id).due_ms - post.time.load(std::sync::atomic::Ordering::SeqCst);
        post.pass(wait + 1);
    }
    // 1, 6, 21, 51 min, then each hour.
    assert!((5..=8).contains(&attempts), "{attempts} attempts in three hours");
    assert!(server.taken().is_empty());
    post.pass(2 * HOUR);
    post.until("a delay notice", || server.taken().len() == 1);
    let notice = server.taken().remove(0);
    for part in [
        "Subject: Delayed: About x",
        "Action: delayed",
        "Will-Retry-Until: ",
        "bob@example.test",
        "eve@example.test",
        "the next server is away",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(notice.text.contains(part), "{part}: {}", notice.text);
    }
    post.pass(DAY);
    post.pass(3 * DAY);
    post.until("more attempts", || post.entry(id).attempts > attempts);
    assert_eq!(server.taken().len(), 1, "one notice");
    post.pass(DAY);
    post.until_empty();
    let taken = server.taken();
    assert_eq!(taken.len(), 2, "one report");
    for part in [
        "Subject: Not delivered: About x",
        "Action: failed",
        "Status: 4.4.7",
        "given up after 5days",
        "X-Token: x",
    ] {
        assert!(taken[1].text.contains(part), "{part}: {}", taken[1].text);
    }
    let message = Message::whole(taken[1].text.clone().into_bytes());
    assert!(message.is_bounce(), "our own inspection takes it for a report");
    assert!(post.files().is_empty());
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_cannot_be_reached_at_all_ends_the_same_way() {
    // Nobody listens there.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut post = Post::new(&plain(port, "", "[queue]\nretry = [\"100ms\"]\n"));
    let id = post.send("x", &["bob@example.test"]).await;
    post.run();
    post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
    post.pass(5 * DAY);
    post.until("a report", || post.queue.show(id).unwrap().is_none());
    let list = post.queue.list().unwrap();
    assert_eq!((list.len(), list[0].reverse_path.clone()), (1, None), "the report waits");
    post.pass(5 * DAY);
    post.until_empty();
    let said = post.said();
    assert_eq!(said.matches("\"reported\"").count(), 1, "no report of a report: {said}");
    assert!(said.matches("\"lost\"").count() < 5, "trouble is told once a minute: {said}");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_hear_who_want_to() {
    let server = FakeSmtp::start(&["8BITMIME"], |stage, line, _| {
        (stage == Stage::Rcpt && line.contains("gone"))
            .then(|| Act::Say("550 5.1.1 gone\r\n".into()))
    });
    let mut post = Post::new(&plain(server.port, "", ""));
    let with = |notify, address: &str, token| {
        let mut outgoing = outgoing(token, &[address]);
        outgoing.envelope.recipients[0].notify = notify;
        outgoing
    };
    let silent = with(Notify::Never, "gone@example.test", "silent");
    let on = |success, failure| Notify::On { success, failure, delay: false };
    let no_failure = with(on(true, false), "gone@example.test", "nofailure");
    let success = with(on(true, false), "bob@example.test", "success");
    let mut null = outgoing("null", &["gone@example.test"]);
    null.envelope = Envelope::plain(None, vec![to("gone@example.test")]);
    for (outgoing, token) in
        [(silent, "silent"), (no_failure, "nofailure"), (null, "null"), (success, "success")]
    {
        post.put(outgoing, &letter(token)).await;
    }
    post.run();
    post.until_empty();
    let reports: Vec<_> =
        server.taken().into_iter().filter(|taken| taken.from.is_empty()).collect();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    assert!(reports[0].text.contains("Action: relayed"), "{}", reports[0].text);
    assert!(reports[0].text.contains("bob@example.test"));
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_foreign_breaks_out_of_a_report() {
    let server = FakeSmtp::start(&["SMTPUTF8"], |stage, line, _| {
        (stage == Stage::Rcpt && line.contains("gone"))
            .then(|| Act::Say("550-5.1.1 a\u{1b}[2J\u{202e}\r\n550 5.1.1 Bcc: x\r\n".into()))
    });
    let mut post = Post::new(&plain(server.port, "", ""));
    let mut evil = outgoing("evil", &["\"gone\\\" <x>\"@example.test"]);
    evil.subject = Some("a\r\nBcc: victim@example.test\u{202e}\u{fc}".into());
    evil.envelope.envid = Some(mailmill::mail::envelope::Envid::new("a b").unwrap());
    post.put(evil, "Subject: \u{fc}\r\nX-Long: y\r\n\r\n--=_mailmill\r\n").await;
    post.run();
    post.until_empty();
    let report = server.taken().remove(0).text;
    assert!(report.is_ascii() && !report.contains('\u{1b}'), "{report}");
    let head = report.split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    post.stop().await;
}

/// While the disk takes no report, who has the message is not sent it again, and the sender hears of the
/// other one once it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_made_costs_nobody_a_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, away) = (folder.path().join("data/queue"), folder.path().join("data/away"));
    let (from, to) = (queue.clone(), away.clone());
    let server = FakeSmtp::start(&["DSN"], move |stage, line, before| {
        let gone = stage == Stage::Rcpt && line.contains("<gone@");
        gone.then(|| {
            // The message is open; no other file can be made.
            if before == 1 {
                std::fs::rename(&from, &to).unwrap();
            }
            Act::Say("550 5.1.1 gone\r\n".into())
        })
    });
    let mut post = Post::in_folder(folder, &plain(server.port, "", "[queue]\nretry = [\"1s\"]\n"));
    post.pass(1);
    let id = post.send("x", &["bob@example.test", "gone@example.test"]).await;
    post.run();
    post.until("the outcome to be written", || {
        let entry = post.entry(id);
        entry.last_error.is_some_and(|error| error.contains("its sender cannot be told"))
    });
    let states: Vec<_> = post.entry(id).recipients.into_iter().map(|to| to.state).collect();
    assert!(matches!(states[..], [RecipientState::Sent { .. }, RecipientState::Pending { .. }]));
    std::fs::rename(&away, &queue).unwrap();
    post.until("the report to be sent", || {
        post.pass(500);
        server.taken().iter().any(|taken| taken.from.is_empty())
    });
    let to_bob = server.taken().iter().filter(|taken| taken.to == ["bob@example.test"]).count();
    assert_eq!(to_bob, 1);
    post.stop().await;
}
