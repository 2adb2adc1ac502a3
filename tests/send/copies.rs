//! The copy of a sent message in its account's mailbox for sent mail, by IMAP (a real Dovecot) and in a
//! Maildir: exactly one, seen, byte for byte, wherever the engine dies; and a mailbox that is away keeps
//! no message from being relayed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mailmill::store::DelayNotice;

use super::server::enqueue;
use super::{FAST, Post, letter, outgoing, plain, times};
use crate::support::dovecot::{Dovecot, Profile};
use crate::support::fake_smtp::FakeSmtp;
use crate::support::mill::{Mill, PATIENCE};
use crate::support::queued::queued_files;
use crate::support::sink::{Sink, USER};

/// Where the account's mailboxes are.
enum Home {
    Imap(Dovecot),
    Maildir,
}

/// An engine with an account `a` whose sent mail is copied into `Sent`.
struct Copying {
    home: Home,
    sink: Sink,
    mill: Mill,
}

impl Copying {
    fn new(home: Home) -> Self {
        let sink = Sink::start(&[]);
        let mailboxes = match &home {
            Home::Imap(dovecot) => imap(dovecot.imap_port),
            Home::Maildir => "maildir = \"office\"".into(),
        };
        let config = plain(sink.port, &format!("{mailboxes}\nsent = \"Sent\""), FAST);
        let mill = Mill::new(&config);
        if matches!(home, Home::Maildir) {
            std::fs::create_dir_all(mill.path("office/cur")).unwrap();
        }
        Self { home, sink, mill }
    }

    /// Queues a message while no engine runs.
    fn queue(&self, token: &str) -> u64 {
        let outgoing = outgoing(token, &["bob@example.test"]);
        enqueue(&self.mill.path("data"), outgoing, &letter(token))
    }

    /// What lies in the mailbox: its bytes, and whether it is seen.
    fn copies(&self) -> Vec<(String, bool)> {
        match &self.home {
            Home::Imap(dovecot) => {
                if !dovecot.mailboxes(USER).contains(&"Sent".to_owned()) {
                    return Vec::new();
                }
                let flags = dovecot.flags(USER, "Sent");
                let uids = dovecot.uids(USER, "Sent");
                let bytes = uids.iter().map(|uid| fetch(dovecot, *uid));
                let seen = |flags: &str| flags.split(' ').any(|flag| flag == "\\Seen");
                bytes.zip(flags).map(|(bytes, flags)| (bytes, seen(&flags))).collect()
            }
            Home::Maildir => {
                let folders =
                    ["new", "cur"].map(|folder| self.mill.path("office/.Sent").join(folder));
                let files = folders.iter().flat_map(std::fs::read_dir).flatten();
                let files = files.map(|file| file.unwrap().path());
                files
                    .map(|file| {
                        let seen = file.to_string_lossy().ends_with(":2,S");
                        (std::fs::read_to_string(&file).unwrap(), seen)
                    })
                    .collect()
            }
        }
    }

    /// Lets an engine do all there is to do.
    fn finish(&self) {
        let mut running = self.mill.start();
        running.wait_event("started");
        let until = Instant::now() + PATIENCE;
        loop {
            let left = self.mill.expect(0, &["queue", "list"]);
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "{left}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(running.terminate().0, Some(0));
    }

    /// It was relayed once, one copy of it is there, and nothing is left.
    #[track_caller]
    fn check(&self, token: &str, when: &str) {
        let taken = self.sink.stored();
        assert_eq!(times(token, taken.iter().map(|one| one.text.as_str())), 1, "relayed: {when}");
        let copies = self.copies();
        let own: Vec<_> = copies
            .iter()
            .filter(|(text, _)| times(token, [text.as_str()].into_iter()) > 0)
            .collect();
        assert_eq!(own, [&(letter(token), true)], "{when}");
        assert_eq!(self.mill.expect(0, &["queue", "list", "--json"]), "", "{when}");
        assert!(queued_files(&self.mill.path("data")).is_empty(), "{when}");
    }
}

fn imap(port: u16) -> String {
    format!(
        "imap = \"imap://127.0.0.1:{port}\"\nlogin = {{ user = \"{USER}\", password = {{ command = \
         [\"echo\", \"{}\"] }} }}",
        Dovecot::password(USER)
    )
}

/// The bytes of a message, by IMAP written by hand.
fn fetch(dovecot: &Dovecot, uid: u32) -> String {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", dovecot.imap_port)).unwrap());
    write!(
        stream.get_mut(),
        "a LOGIN {USER} {}\r\nb EXAMINE Sent\r\nc UID FETCH {uid} BODY.PEEK[]\r\n",
        Dovecot::password(USER)
    )
    .unwrap();
    let mut line = String::new();
    while !line.contains("BODY[] {") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the server closed");
    }
    let size = line.trim_end().trim_end_matches('}').rsplit_once('{').unwrap().1;
    let mut bytes = vec![0; size.parse().unwrap()];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_sent_message_has_one_copy_by_imap_and_in_a_maildir() {
    for home in [Home::Imap(Dovecot::start(Profile::Full)), Home::Maildir] {
        let copying = Copying::new(home);
        copying.queue("first");
        copying.finish();
        copying.check("first", "once");
        // A second engine neither sends nor copies it again.
        copying.queue("second");
        copying.finish();
        copying.check("first", "again");
        copying.check("second", "again");
        assert_eq!(copying.copies().len(), 2);
    }
}

#[test]
fn while_imap_is_away_mail_is_relayed_once_and_its_copy_comes_later() {
    let mut copying = Copying::new(Home::Imap(Dovecot::start(Profile::Full)));
    let Home::Imap(dovecot) = &copying.home else { unreachable!() };
    dovecot.kill();
    let id = copying.queue("away");
    let mut running = copying.mill.start();
    running.wait_for("a word of the missing copy", |event| {
        let text = event["text"].as_str().unwrap_or_default();
        text.contains("no copy in Sent yet") && text.contains("connect")
    });
    running.kill();
    // It is known to be sent, whatever becomes of the engine.
    let mut running = copying.mill.start();
    running.wait_for("a second try", |event| {
        event["text"].as_str().unwrap_or_default().contains("no copy in Sent yet")
    });
    assert_eq!(copying.sink.count(), 1);
    let shown = copying.mill.expect(0, &["queue", "show", &id.to_string()]);
    assert!(shown.contains("bob@example.test: sent") && shown.contains("connect"), "{shown}");
    let Home::Imap(dovecot) = &mut copying.home else { unreachable!() };
    dovecot.start_again();
    running.wait_for("the end", |event| event["event"] == "dequeued" && event["id"] == id);
    assert_eq!(running.terminate().0, Some(0));
    copying.check("away", "after it was away");
}

#[test]
fn wherever_the_engine_dies_while_it_copies_there_is_one_copy() {
    let imap = [
        "AttemptWritten",
        "CopyNoted",
        "Unsent(Append)",
        "HalfSent(Append)",
        "Sent(Append)",
        "Answered(Append)",
        "CopyPut",
        "Dequeued",
    ];
    let maildir = [
        // The first one makes the mailbox.
        "MailboxMade",
        "AttemptWritten",
        "CopyNoted",
        "TemporaryWritten",
        "TemporarySynced",
        "Delivered",
        "DeliverySynced",
        "CopyPut",
        "Dequeued",
    ];
    let homes = [(Home::Imap(Dovecot::start(Profile::Full)), &imap[..]), (Home::Maildir, &maildir)];
    for (home, points) in homes {
        let copying = Copying::new(home);
        for point in points {
            copying.queue(point);
            copying.mill.start_to_die(point).wait_for_death();
            copying.finish();
            copying.check(point, point);
        }
        assert_eq!(copying.copies().len(), points.len());
    }
}

/// The copy is no news to who watches the mailbox, also where the engine died before it could say that
/// it is ours.
#[test]
fn a_copy_in_a_watched_mailbox_is_not_taken_for_new_mail() {
    let pipeline = "[pipelines.p]\nsteps = [{ script = \"mark\" }]\n";
    for home in [Home::Imap(Dovecot::start(Profile::Full)), Home::Maildir] {
        let copying = Copying::new(home);
        let config = std::fs::read_to_string(copying.mill.path("mailmill.toml")).unwrap();
        let watch = "watch = [{ mailbox = \"Sent\" }]\ninbound = \"p\"\npoll = \"100ms\"\nsent";
        copying.mill.write("mailmill.toml", config.replacen("sent", watch, 1) + pipeline);
        copying.mill.write("scripts/mark.rhai", "fn inbound(mail) { mail.add_flag(\"Wichtig\"); }");
        copying.queue("first");
        copying.finish();
        for (token, point) in [("noted", "CopyNoted"), ("put", "CopyPut"), ("watched", "CopyPut")] {
            let id = copying.queue(token).to_string();
            copying.mill.start_to_die(point).wait_for_death();
            // Held, it is not looked up before the watcher has met it.
            let is_held = token == "watched";
            if is_held {
                copying.mill.expect(0, &["queue", "hold", &id]);
            }
            let mut running = copying.mill.start();
            if !is_held {
                running.wait_event("dequeued");
            }
            // What is put there by others is news, and comes after all copies.
            let other = letter(&format!("other-{token}"));
            match &copying.home {
                Home::Imap(dovecot) => dovecot.deliver(USER, "Sent", other.as_bytes()),
                Home::Maildir => copying.mill.deliver("office/.Sent", token, &other),
            }
            let first = running.wait_event("done");
            assert_eq!(first["subject"], format!("About other-{token}"), "{first}");
            if is_held {
                copying.mill.expect(0, &["queue", "release", &id]);
                running.wait_event("dequeued");
            }
            assert_eq!(running.terminate().0, Some(0));
            copying.check(token, token);
        }
    }
}

/// Whoever copies relays as well: a server that is silent holds up a few messages, not each of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_imap_server_does_not_hold_up_what_is_to_be_relayed() {
    const MESSAGES: usize = 20;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in silent.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(stream);
        }
    });
    let server = FakeSmtp::start(&["AUTH PLAIN"], |_, _, _| None);
    let more = format!("{}\nsent = \"Sent\"\ndeadline = \"1s\"", imap(port));
    let mut post = Post::new(&plain(server.port, &more, FAST));
    post.run();
    for number in 0..MESSAGES {
        post.send(&format!("m{number}"), &["bob@example.test"]).await;
        post.until(&format!("message {number} to be taken"), || server.taken().len() > number);
    }
    let tries = tries.load(Ordering::Relaxed);
    assert!((1..MESSAGES / 2).contains(&tries), "{tries} tries for {MESSAGES} messages");
    assert_eq!(post.queue.list().unwrap().len(), MESSAGES, "their copies are still owed");
    post.stop().await;
}

/// A copy that nobody takes is given up when the message would be, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_never_taken_is_given_up_and_told() {
    let server = FakeSmtp::start(&["AUTH PLAIN"], |_, _, _| None);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let more = format!("{}\nsent = \"Sent\"", imap(closed));
    let mut post = Post::new(&plain(server.port, &more, FAST));
    let id = post.send("never", &["bob@example.test"]).await;
    post.run();
    post.until("a failed copy", || post.said().contains("no copy in Sent yet"));
    // A day later, which is after the notice that a message takes longer, it is tried still.
    post.pass(super::DAY);
    post.until("the time to be looked at", || {
        post.queue.show(id).unwrap().is_none_or(|entry| entry.delay == DelayNotice::Settled)
    });
    let attempts = post.entry(id).attempts;
    post.pass(1_000);
    post.until("another try", || post.entry(id).attempts > attempts);
    post.pass(5 * super::DAY);
    post.until_empty();
    assert!(post.said().contains("given up without a copy"), "{}", post.said());
    assert_eq!(server.taken().len(), 1, "nothing is reported: it was sent");
    post.stop().await;
}
