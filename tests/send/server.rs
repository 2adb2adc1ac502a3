//! A real server (aiosmtpd): TLS both ways, logins, parameters, copies of sent mail, and the commands.

use std::path::Path;

use serde_json::Value;

use super::{FAST, Post, letter, outgoing, times};
use crate::support::mill::Mill;
use crate::support::sink::{PASSWORD, Sink, USER};

/// An account that is relayed by the sink.
fn account(sink: &Sink, scheme: &str, login: &str) -> String {
    let port = if scheme == "smtps" { sink.tls_port } else { sink.port };
    format!(
        "[accounts.a]\naddress = \"{USER}\"\nsmtp = \"{scheme}://localhost:{port}\"\n\
         ca = \"{}\"\n{login}\n{FAST}",
        sink.ca().display()
    )
}

fn password(word: &str) -> String {
    format!("login = {{ user = \"{USER}\", password = {{ command = [\"echo\", \"{word}\"] }} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_logins_of_all_kinds() {
    let sink = Sink::start(&["--require-auth", "--dsn"]);
    sink.allow_token(USER, "token-1");
    let token = format!(
        "smtp_login = {{ user = \"{USER}\", oauth2 = {{ command = [\"echo\", \"token-1\"] }} }}"
    );
    let kinds = [
        ("smtp", password(PASSWORD), "starttls"),
        ("smtps", password(PASSWORD), "implicit"),
        ("smtp", token.clone(), "token"),
        ("smtps", token, "token-implicit"),
    ];
    for (scheme, login, name) in &kinds {
        let mut post = Post::new(&account(&sink, scheme, login));
        post.send(name, &["bob@example.test"]).await;
        post.run();
        post.until_empty();
        post.stop().await;
    }
    let stored = sink.stored();
    assert_eq!(stored.len(), 4);
    for (stored, (_, _, name)) in stored.iter().zip(&kinds) {
        assert_eq!(stored.text, letter(name), "byte for byte");
        assert_eq!(stored.envelope["mail_from"], "anna@example.test");
        assert!(stored.envelope["tls"].as_str().unwrap().starts_with("TLS"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_login_only_is_logged_in_to() {
    let sink = Sink::start(&["--require-auth", "--login-only"]);
    for (scheme, name) in [("smtp", "starttls"), ("smtps", "implicit")] {
        let mut post = Post::new(&account(&sink, scheme, &password(PASSWORD)));
        post.send(name, &["bob@example.test"]).await;
        post.run();
        post.until_empty();
        post.stop().await;
    }
    let log = sink.log();
    assert_eq!(
        log.matches(r#""mech": "LOGIN", "user": "alice@example.test", "ok": true"#).count(),
        2
    );
    assert!(!log.contains("PLAIN"), "{log}");
    let stored = sink.stored();
    assert_eq!(
        (stored[0].text.as_str(), stored[1].text.as_str()),
        (&*letter("starttls"), &*letter("implicit"))
    );
    let mut post = Post::new(&account(&sink, "smtp", &password("wrong-pw")));
    post.send("wrong", &["bob@example.test"]).await;
    post.run();
    post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
    let error = post.queue.figures().accounts["a"].error.clone().unwrap();
    assert!(error.contains("535 5.7.8") && error.contains("app password"), "{error}");
    assert!(!post.said().contains("wrong-pw"), "{}", post.said());
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_bit_mail_to_a_seven_bit_server_is_reported_to_its_sender() {
    let sink = Sink::start(&["--no-8bitmime"]);
    let mut post = Post::new(&account(&sink, "smtp", ""));
    let mut eight = outgoing("eight", &["bob@example.test"]);
    eight.envelope.body = mailmill::mail::envelope::Body::EightBitMime;
    let text = "X-Token: eight\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nGr\u{fc}\u{df}e\r\n";
    post.put(eight, text).await;
    post.run();
    post.until_empty();
    let stored = sink.stored();
    assert_eq!(stored.len(), 1, "the report alone");
    assert_eq!(stored[0].envelope["mail_from"], "<>");
    assert_eq!(stored[0].envelope["rcpt_tos"][0], "anna@example.test");
    let report = stored[0].text.replace("\r\n", "\n");
    assert!(report.is_ascii(), "{report}");
    for part in [
        "Action: failed",
        "Status: 5.6.3",
        "Final-Recipient: rfc822; bob@example.test",
        "8-bit text",
        "does not take it (no 8BITMIME)",
        "send it as quoted-printable or base64",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_or_certificate_lets_the_account_wait() {
    let sink = Sink::start(&["--require-auth"]);
    sink.allow_token(USER, "token-1");
    let wrong_token = format!(
        "smtp_login = {{ user = \"{USER}\", oauth2 = {{ command = [\"echo\", \"expired-1\"] }} }}"
    );
    let no_ca = account(&sink, "smtps", &password(PASSWORD));
    let no_ca: String =
        no_ca.lines().filter(|line| !line.starts_with("ca")).collect::<Vec<_>>().join("\n");
    for (config, words) in [
        (account(&sink, "smtp", &password("wrong-pw")), "535 5.7.8"),
        (account(&sink, "smtp", &wrong_token), "\"status\":\"400\""),
        (no_ca, "certificate is not accepted"),
    ] {
        let mut post = Post::new(&config);
        let id = post.send("x", &["bob@example.test"]).await;
        post.run();
        post.until("an error", || post.queue.figures().accounts["a"].error.is_some());
        let error = post.queue.figures().accounts["a"].error.clone().unwrap();
        assert!(error.contains(words) && error.contains("; "), "{error}");
        assert!(post.entry(id).is_pending());
        let said = post.said();
        for secret in ["wrong-pw", "expired-1", PASSWORD] {
            assert!(!said.contains(secret), "{said}");
        }
        post.stop().await;
    }
    assert!(sink.stored().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_refused_and_answers_that_are_lost() {
    let sink = Sink::start(&["--dsn"]);
    let mut post = Post::new(&account(&sink, "smtp", ""));
    post.send("parts", &["bob@example.test", "reject-550@example.test"]).await;
    let mut lost = outgoing("lost", &["bob@example.test"]);
    lost.envelope.reverse_path = Some(super::to("lost@example.test"));
    let lost = post.put(lost, &letter("lost")).await;
    post.run();
    post.until("a second doubt", || {
        post.pass(1_000);
        post.queue.show(lost).unwrap().is_some_and(|entry| entry.held.is_some())
    });
    post.until("the rest to be sent", || post.queue.list().unwrap().len() == 1);
    let stored = sink.stored();
    let texts = || stored.iter().map(|stored| stored.text.as_str());
    assert_eq!(times("lost", texts()), 2, "one repeat, no more");
    assert_eq!(times("parts", texts()), 2, "the message, and its header in the report");
    post.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_is_streamed() {
    let sink = Sink::start(&[]);
    let mut post = Post::new(&account(&sink, "smtps", ""));
    let line = format!("{}\r\n", "x".repeat(70)).repeat(1_000);
    let mut file = post.queue.spool().begin();
    file.write(b"X-Token: large\r\n\r\n").await.unwrap();
    for _ in 0..280 {
        file.write(line.as_bytes()).await.unwrap();
    }
    let size = file.size();
    post.queue.accept(outgoing("large", &["bob@example.test"]), file).await.unwrap();
    post.run();
    post.until_empty();
    assert_eq!(sink.stored()[0].text.len() as u64, size);
    post.stop().await;
}

/// The engine itself, with a copy in the Maildir, and the commands beside it.
#[test]
fn the_engine_sends_copies_and_answers() {
    let sink = Sink::start(&[]);
    let config = account(&sink, "smtp", "")
        .replace("[queue]", "maildir = \"office\"\nsent = \"Sent\"\n[queue]");
    let mill = Mill::new(&config);
    std::fs::create_dir_all(mill.path("office/cur")).unwrap();
    let queued = |token: &str, held: Option<String>| {
        let outgoing = mailmill::send::Outgoing { held, ..outgoing(token, &["bob@example.test"]) };
        enqueue(&mill.path("data"), outgoing, &letter(token))
    };
    let (sent, held) = (queued("sent", None), queued("held", Some("look at it".into())));
    let list = mill.expect(0, &["queue", "list", "--json"]);
    let first: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    assert_eq!((first["id"].as_u64(), list.lines().count()), (Some(sent), 2));
    assert!(mill.expect(0, &["queue", "list"]).contains("held: look at it"));
    let mut engine = mill.start();
    engine.wait_for("the first to be done", |event| {
        event["event"] == "dequeued" && event["id"] == sent
    });
    assert_eq!(sink.stored().len(), 1);
    let copies = mill.path("office/.Sent/cur");
    let copy = std::fs::read_dir(&copies).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), letter("sent"));
    assert!(copy.to_string_lossy().ends_with('S'), "it is seen: {copy:?}");
    let status: Value = serde_json::from_str(&mill.expect(0, &["status", "--json"])).unwrap();
    assert_eq!(status["queue"]["held"], 1);
    let shown = mill.expect(0, &["queue", "show", &held.to_string()]);
    assert!(shown.contains("bob@example.test: waits"), "{shown}");
    mill.expect(0, &["queue", "release", &held.to_string()]);
    engine.wait_for("the other to be done", |event| {
        event["event"] == "dequeued" && event["id"] == held
    });
    mill.expect(1, &["queue", "drop", "77"]);
    mill.expect(2, &["queue", "drop"]);
    assert_eq!(sink.stored().len(), 2);
    assert_eq!(engine.terminate().0, Some(0));
}

/// Queues a message while no engine runs.
pub(super) fn enqueue(data: &Path, outgoing: mailmill::send::Outgoing, text: &str) -> u64 {
    let log = mailmill::maillog::Maillog::new(
        mailmill::maillog::Form::Text,
        mailmill::clock::Clock::System,
        Box::new(std::io::sink()),
    );
    let store = mailmill::store::Store::open(data).unwrap();
    let spool = mailmill::send::Spool::open(data).unwrap();
    let queue = mailmill::send::Queue::new(store, spool, (mailmill::clock::Clock::System, log));
    let mut file = queue.spool().begin();
    file.write_blocking(text.as_bytes()).unwrap();
    queue.accept_blocking(outgoing, file).unwrap()
}
