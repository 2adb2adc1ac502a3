//! Who may send as whom: refused is whatever some reader could take for somebody else's address.

use super::{LOGIN, Office};

#[test]
fn every_address_that_a_message_comes_from_must_be_allowed() {
    let mut office = Office::new();
    let mut client = office.anna();
    let mut code = |from: &str, head: &str| {
        client.announce(from);
        let (code, line) = client.ask(&format!("{head}\r\n\r\nx\r\n."));
        (code, line)
    };
    let own = "From: anna@example.com";
    for (from, head) in [
        ("anna@example.com", own),
        ("", own),
        ("ANNA@Example.com", "From: \"Weiß, Anna\" <Anna@example.COM>"),
        (
            "sales@example.com",
            "From: office@example.com, anna@example.com\r\nSender: anna@example.com",
        ),
        ("anna@example.com", "From: \"boss@example.net\" <anna@example.com>"),
        ("anna@example.com", "From: Wir: anna@example.com;\r\nReply-To: sales@example.com"),
    ] {
        let (code, line) = code(from, head);
        assert_eq!(code, 250, "{head}: {line}");
    }
    let boss = "boss@example.net";
    for (from, head, enhanced) in [
        (boss, own, "5.7.60"),
        ("anna@example.com", "From: boss@example.net", "5.7.60"),
        ("anna@example.com", "From: anna@example.com, boss@example.net", "5.7.60"),
        ("anna@example.com", "From: anna@example.com\r\nSender: boss@example.net", "5.7.60"),
        ("anna@example.com", "From: anna@example.com\r\nReply-To: boss@example.net", "5.7.60"),
        ("anna@example.com", "From: anna@example.com\r\nResent-From: boss@example.net", "5.7.60"),
        ("anna@example.com", "From: anna@example.com\r\nFrom: boss@example.net", "5.6.0"),
        ("anna@example.com", "From: anna@example.com\r\nFROM : boss@example.net", "5.6.0"),
        ("anna@example.com", "From: boss@example.net <anna@example.com>", "5.6.0"),
        ("anna@example.com", "From: Team: anna@example.com, boss@example.net;", "5.7.60"),
        ("anna@example.com", "From: anna+boss@example.com", "5.7.60"),
        ("anna@example.com", "From: \"anna\"@example.com", "5.7.60"),
        ("anna@example.com", "From: <@example.net:anna@example.com>", "5.6.0"),
        ("anna@example.com", "From: \u{430}nna@example.com", "5.7.60"),
        ("anna@example.com", "From: anna@xn--example-.com", "5.7.60"),
        ("anna@example.com", "From: Anna", "5.6.0"),
        ("anna@example.com", "From:", "5.6.0"),
        ("anna@example.com", "Subject: none", "5.6.0"),
        ("anna@example.com", "no field\r\nFrom: anna@example.com", "5.6.0"),
    ] {
        let (code, line) = code(from, head);
        assert_eq!(code, 550, "{head}: {line}");
        assert!(line.contains(enhanced), "{head}: {line}");
    }
    assert_eq!(office.queue().len(), 6);
    office.running().wait_for("the refusal told", |event| {
        let text = event["text"].as_str().unwrap_or_default();
        text.contains("anna may not send as boss@example.net (MAIL FROM)")
    });
}

#[test]
fn rules_decide_and_change_but_give_nobody_more_rights() {
    let office = Office::new();
    let mut client = office.anna();
    let mut send = |subject: &str| {
        client.send(&format!("From: anna@example.com\r\nSubject: {subject}\r\n\r\nx"))
    };
    let (code, line) = send("reject me");
    assert_eq!((code, &*line), (550, "550 5.7.1 Fuer diese Adresse fehlt das Projekt"));
    let (code, line) = send("as boss");
    assert!(
        code == 550 && line.contains("5.7.60 anna may not send as boss@example.net (From)"),
        "{line}"
    );
    assert!(office.queue().is_empty());
    let (code, line) = send("hold me");
    assert!(code == 250 && line.contains("held until a person looks"), "{line}");
    assert_eq!(office.only().0["held"], "somebody should look");
    assert_eq!(send("break").0, 250);
    let held = office.queue()[1].0["held"].as_str().unwrap().to_owned();
    assert!(held.contains("step send failed") && held.contains("broken"), "{held}");
}

#[test]
fn messages_decided_by_memory_are_decided_in_turn() {
    let office = Office::new();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = office.anna();
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let sent = client.send("From: anna@example.com\r\nSubject: count\r\n\r\nx");
                    assert_eq!(sent.0, 250);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let count = |message: &str| {
        let line = message.lines().find(|line| line.starts_with("X-Count: ")).unwrap();
        line[9..].parse::<u32>().unwrap()
    };
    let mut counts: Vec<u32> = office.queue().iter().map(|(_, message)| count(message)).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<_>>());
}

#[test]
fn users_and_rights_are_those_in_force() {
    let mut office = Office::new();
    let mut client = office.anna();
    assert_eq!(client.send("From: anna@example.com\r\n\r\nx").0, 250);
    let config = std::fs::read_to_string(office.mill.path("mailmill.toml")).unwrap();
    let less = config.replace("[\"anna@example.com\", \"office\"]", "[\"sales@example.com\"]");
    office.mill.write("mailmill.toml", less.replace("[users.bert]", "[users.berta]"));
    office.running().wait_event("in_force");
    let (code, line) = client.send("From: anna@example.com\r\n\r\nx");
    assert_eq!(code, 550, "the connection goes on, by new rights: {line}");
    let mut other = office.connect();
    other.say(LOGIN.replace("AGFubmEA", "AGJlcnQA"));
    assert_eq!((other.reply().0, other.reply().0), (250, 535), "bert is gone");
}
