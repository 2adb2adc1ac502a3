//! Bytes that no mail program sends: what is promised is kept, and nothing else has an effect.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{Client, LOGIN, Office};

const MESSAGE: &str = "From: anna@example.com\r\nSubject: x\r\n\r\nbody\r\n";
const ENVELOPE: &str = "MAIL FROM:<anna@example.com>\r\nRCPT TO:<carl@example.org>\r\n";

#[test]
fn no_other_end_than_crlf_dot_crlf_is_one() {
    let office = Office::new();
    let fakes = [
        "\n.\n",
        "\n.\r\n",
        "\r.\n",
        "\r.\r",
        "\n.\r",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\r\n",
        "\r\r\n.\r\r\n",
        "\r\n.\r\r\n",
        "\r\n\0.\r\n",
    ];
    for fake in fakes {
        let mut client = office.anna();
        client.announce("anna@example.com");
        client.say(format!("{MESSAGE}one{fake}{ENVELOPE}DATA\r\n{MESSAGE}two\r\n.\r\nQUIT\r\n"));
        let replies = client.rest();
        assert_eq!(replies.first(), Some(&550), "{fake:?}: {replies:?}");
        // A NUL is no attack on another server: the connection goes on.
        assert!(replies.len() == 1 || (fake.contains('\0') && replies == [550, 221]), "{fake:?}");
    }
    // One that does not end at all: the client is told so when its time is up.
    let office = Office::with("idle = \"3s\"", "9");
    let mut client = office.anna();
    client.announce("anna@example.com");
    client.say(format!("{MESSAGE}\n.\n"));
    assert_eq!(client.rest(), [421]);
    assert!(office.queue().is_empty());
}

#[test]
fn nothing_before_tls_is_taken_for_what_came_under_it() {
    let office = Office::new();
    let mut client = office.connect();
    client.say(format!(
        "EHLO x\r\nSTARTTLS\r\n{}{ENVELOPE}",
        &LOGIN["EHLO client.example\r\n".len()..]
    ));
    assert_eq!(client.rest(), [250, 503]);
    assert!(office.queue().is_empty());
}

#[test]
fn ten_thousand_commands_at_once_are_answered() {
    let office = Office::new();
    let mut client = office.anna();
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all("NOOP\r\n".repeat(10_000).as_bytes()).unwrap();
    });
    for _ in 0..10_000 {
        assert_eq!(client.reply().0, 250);
    }
    writing.join().unwrap();
    client.say(ENVELOPE);
    assert_eq!((client.reply().0, client.reply().0), (250, 250));
    client.say("RCPT TO:<more@example.org>\r\n".repeat(150));
    let codes: Vec<u16> = (0..150).map(|_| client.reply().0).collect();
    assert_eq!((codes[98], codes[99], codes[149]), (250, 452, 452));
    client.say(format!("DATA\r\n{MESSAGE}.\r\n{ENVELOPE}DATA\r\n{MESSAGE}.\r\nQUIT\r\n"));
    assert_eq!(client.rest(), [354, 250, 250, 250, 354, 250, 221]);
    assert_eq!(office.queue().len(), 2);
}

/// What was promised is in the queue, and what is in the queue was promised or could have been: the
/// last answer may have been on its way.
#[test]
fn a_client_that_is_cut_at_any_byte_leaves_nothing_unpromised() {
    let office = Office::new();
    let all = format!("{LOGIN}{ENVELOPE}DATA\r\n{MESSAGE}.\r\n");
    let whole = all.len();
    let cuts: Vec<usize> = (0..whole).step_by(if cfg!(debug_assertions) { 3 } else { 1 }).collect();
    for cut in cuts {
        let mut client = office.connect();
        client.say(&all.as_bytes()[..cut]);
        drop(client);
    }
    let mut client = office.connect();
    client.say(&all);
    assert!(client.next_reply().is_some());
    while client.reply().1 != "250 2.0.0 queued as 1" {}
    assert_eq!(office.queue().len(), 1, "no message without its end was taken");
    let unfinished = std::fs::read_dir(office.mill.path("data/queue")).unwrap();
    let names = unfinished.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".partial")).count(), 0);
}

#[test]
fn a_client_that_is_slow_is_waited_for_and_one_that_is_silent_is_not() {
    let office = Office::with("idle = \"3s\"", "9");
    let mut slow = office.anna();
    slow.announce("anna@example.com");
    for byte in MESSAGE.bytes() {
        slow.say([byte]);
    }
    assert_eq!(slow.ask(".").0, 250);
    let began = Instant::now();
    let mut silent = office.connect();
    assert_eq!(silent.rest(), [421]);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    // One that never reads its replies is given up, too, and nobody waits for it.
    let mut deaf = office.connect();
    let flood = "HELP\r\n".repeat(100_000);
    let mut writer = deaf.stream.get_ref().try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = writer.write_all(flood.as_bytes());
    let mut rest = Vec::new();
    let _ = deaf.stream.read_to_end(&mut rest);
    assert_eq!(office.anna().send(MESSAGE).0, 250);
}

#[test]
fn lines_and_headers_of_any_length_are_taken_or_refused() {
    let office = Office::new();
    let mut client = office.anna();
    let long = "x".repeat(300_000);
    let (code, line) = client.send(&format!("From: anna@example.com\r\nX: {long}\r\n\r\n{long}"));
    assert_eq!(code, 250, "{line}");
    let (_, message) = office.only();
    assert!(message.contains(&format!("\r\nX: {long}\r\n\r\n{long}\r\n")));
    let (code, line) =
        client.send(&format!("From: anna@example.com\r\n{}\r\nx", "X: y\r\n".repeat(300_000)));
    assert!(code == 552 && line.contains("header"), "{line}");
    assert_eq!(client.ask(&format!("NOOP {}", "x".repeat(100_000))).0, 500);
    assert_eq!(client.ask("NOOP").0, 250);
    client.say("NOOP\nNOOP\r\nNO\rOP\r\n");
    assert_eq!((client.reply().0, client.reply().0, client.reply().0), (501, 250, 501));
    let received = "Received: x\r\n".repeat(60);
    assert_eq!(client.send(&format!("{received}{MESSAGE}")).0, 554);
    assert_eq!(office.queue().len(), 1);
}

#[test]
fn bytes_beyond_ascii_are_taken_as_they_are() {
    let office = Office::new();
    let mut client = office.anna();
    client.announce("anna@example.com");
    client.say("From: anna@example.com\r\nX: ä\r\n\r\nö\r\n.\r\n");
    assert_eq!(client.reply().0, 250);
    let (known, message) = office.only();
    assert!(message.ends_with("X: ä\r\n\r\nö\r\n"), "{message}");
    assert_eq!(known["body"], "eight_bit_mime");
}

#[test]
fn failed_logins_become_slow_and_end() {
    let office = Office::new();
    let wrong = "AUTH PLAIN AGFubmEAd3Jvbmc=";
    let mut client = office.connect();
    assert_eq!(client.ask("EHLO x").0, 250);
    let began = Instant::now();
    assert_eq!(client.ask(wrong).0, 535);
    assert_eq!(
        client.ask("AUTH PLAIN AG5vYm9keQB3cm9uZw==").0,
        535,
        "nobody tells that there is no such user"
    );
    client.say(format!("{wrong}\r\n"));
    assert_eq!(client.rest(), [535, 421]);
    assert!(began.elapsed() >= Duration::from_millis(250 + 500), "{:?}", began.elapsed());
    let began = Instant::now();
    let mut next = office.connect();
    assert_eq!(next.ask("EHLO x").0, 250);
    assert_eq!(next.ask(LOGIN.lines().nth(1).unwrap()).0, 235);
    assert!(began.elapsed() >= Duration::from_millis(750), "{:?}", began.elapsed());
}

#[test]
fn an_engine_that_ends_says_so_and_keeps_what_it_promised() {
    let mut office = Office::new();
    let mut idle = office.connect();
    let mut client = office.anna();
    client.announce("anna@example.com");
    client.say(MESSAGE);
    let mut done = office.anna();
    assert_eq!(done.send(MESSAGE).0, 250);
    let (code, took) = office.running.take().unwrap().terminate();
    assert_eq!((code, idle.rest(), client.rest()), (Some(0), vec![421], vec![421]));
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(office.queue().len(), 1);
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    let office = Office::with("max_per_client = 3", "9");
    let clients: Vec<Client> = (0..3).map(|_| office.connect()).collect();
    assert_eq!(Client::to(office.port()).rest(), [421]);
    drop(clients);
    let until = Instant::now() + Duration::from_secs(20);
    while Client::to(office.port()).next_reply().map(|(code, _)| code) != Some(220) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
}
