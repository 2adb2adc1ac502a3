//! All the way: from the programs that people use to the bytes that a real SMTP server takes.

use std::time::{Duration, Instant};

use super::{Office, drop};
use crate::support::mill::PATIENCE;
use crate::support::sink::{Sink, Stored};

/// Waits until the server took so many messages.
#[track_caller]
fn taken(sink: &Sink, count: usize) -> Vec<Stored> {
    let until = Instant::now() + PATIENCE;
    loop {
        let stored = sink.stored();
        if stored.len() >= count {
            return stored;
        }
        assert!(Instant::now() < until, "{stored:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn from_listener_and_sendmail_to_a_real_server() {
    let sink = Sink::start(&["--dsn"]);
    let mut office = Office::stopped("", &sink.port.to_string());
    drop::me(&office);
    office.start();
    let message = "From: Anna <anna@example.com>\r\nTo: carl@example.org\r\nBcc: secret@example.org\r\n\
                   Disposition-Notification-To: anna@example.com\r\nSubject: by the listener\r\n\
                   \r\nline\r\n..two dots\r\nlast\r\n";
    let mut client = office.anna();
    assert_eq!(client.ask("MAIL FROM:<anna@example.com> RET=HDRS").0, 250);
    assert_eq!(client.ask("RCPT TO:<carl@example.org> NOTIFY=SUCCESS").0, 250);
    assert_eq!(client.ask("RCPT TO:<secret@example.org>").0, 250);
    assert_eq!(client.ask("DATA").0, 354);
    assert_eq!(client.ask(&format!("{message}.")).0, 250);
    let first = taken(&sink, 1).remove(0);
    let input = "To: carl@example.org\nBcc: secret@example.org\nSubject: by sendmail\n\nx\n";
    assert_eq!(drop::sendmail(&office, &["-t", "-i"], input), (0, String::new()));
    let second = taken(&sink, 2).remove(1);
    for stored in [&first, &second] {
        let text = &stored.text;
        assert!(!text.contains("Bcc") && !text.contains("secret@"), "{text}");
        assert!(!text.contains("Disposition-Notification-To"), "{text}");
        assert!(text.contains("X-User: ") && text.contains("Message-ID: <"), "{text}");
        let envelope = stored.envelope.to_string();
        assert!(envelope.contains("carl@example.org") && envelope.contains("secret@example.org"));
    }
    assert!(first.text.contains("\r\n\r\nline\r\n.two dots\r\nlast\r\n"), "{}", first.text);
    let log = std::fs::read_to_string(sink.ca().with_file_name("log.jsonl")).unwrap();
    assert!(log.contains("NOTIFY=SUCCESS") && log.contains("RET=HDRS"), "{log}");
    assert!(second.text.contains("Subject: by sendmail"), "{}", second.text);
}

#[test]
fn a_held_message_waits_for_a_person_and_is_then_sent() {
    let sink = Sink::start(&[]);
    let office = Office::with("", &sink.port.to_string());
    let mut client = office.anna();
    assert_eq!(client.send("From: anna@example.com\r\nSubject: hold me\r\n\r\nx").0, 250);
    let (_, line) = client.send("From: anna@example.com\r\nSubject: go\r\n\r\nx");
    assert!(line.contains("queued as 2"), "{line}");
    assert_eq!(taken(&sink, 1).len(), 1);
    office.mill.expect(0, &["queue", "release", "1"]);
    let stored = taken(&sink, 2);
    assert!(stored[1].text.contains("Subject: hold me"), "{}", stored[1].text);
}

#[test]
fn the_answer_to_what_was_sent_belongs_to_its_project() {
    let sink = Sink::start(&[]);
    let mut office = Office::stopped("", &sink.port.to_string());
    let config = std::fs::read_to_string(office.mill.path("mailmill.toml")).unwrap();
    let config = config.replace("outbound = \"send\"", "outbound = \"send\"\ninbound = \"arrive\"");
    office.mill.write(
        "mailmill.toml",
        config + "[pipelines.arrive]\nsteps = [{ plugin = \"project-link\" }]\n",
    );
    let link = "fn outbound(mail) { mail.link(\"T-071\", \"chosen\"); }";
    office.mill.write("scripts/send.rhai", link);
    for folder in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(office.mill.path("office").join(folder)).unwrap();
    }
    office.start();
    let mut client = office.anna();
    let head = "From: anna@example.com\r\nMessage-ID: <offer-1@example.com>\r\nSubject: Angebot";
    assert_eq!(client.send(&format!("{head}\r\n\r\nx")).0, 250);
    taken(&sink, 1);
    let answer = "From: carl@example.org\r\nTo: anna@example.com\r\nMessage-ID: <re@example.org>\r\n\
                  In-Reply-To: <offer-1@example.com>\r\nSubject: AW: Angebot\r\n\r\nja\r\n";
    office.mill.deliver("office", "1.answer", answer);
    office.running().wait_event("done");
    let links = office.mill.expect(0, &["links", "T-071"]);
    assert!(links.contains("Angebot") && links.contains("AW: Angebot"), "{links}");
    let explained = office.mill.expect(0, &["explain", "offer-1@example.com"]);
    assert!(explained.contains("link evidence=chosen project=T-071"), "{explained}");
}
