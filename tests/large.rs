//! Large messages are delivered byte for byte as small ones are, without being in memory.

use std::fs;

use mailmill::config::Security;
use mailmill::mail::{Message, Uid};
use mailmill::mailbox::{Extent, Mailboxes, crlf, imap};
use secrecy::SecretString;

use crate::support::dovecot::{Dovecot, Profile};
use crate::support::fake_imap::{FakeImap, Peer};
use crate::support::mill::Mill;

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";

const SCRIPT: &str = "fn inbound(mail) {\n  mail.strip_receipt_requests();\n  \
    mail.set_header(\"X-Project\", \"T-071\");\n  mail.deliver_to(\"archive\");\n  \
    mail.deliver_to(\"other\");\n}";

fn mill(config: &str) -> Mill {
    let config = format!(
        "{config}[targets.archive]\nmaildir = \"archive\"\n\
         [targets.other]\naccount = \"other\"\nmailbox = \"Large\"\n\
         [pipelines.sort]\nsteps = [{{ script = \"sort\" }}]\n"
    );
    let mill = Mill::new(&config).env("ALICE", "alice-pw").env("BOB", "bob-pw");
    mill.write("scripts/sort.rhai", SCRIPT);
    mill
}

fn imap_account(name: &str, user: &str, port: u16, extra: &str) -> String {
    format!(
        "[accounts.{name}]\nimap = \"imap://127.0.0.1:{port}\"\ntls = \"none\"\n{extra}\n\
         login = {{ user = \"{user}\", password = {{ env = \"{}\" }} }}\n",
        if user == ALICE { "ALICE" } else { "BOB" },
    )
}

/// Alice's messages are delivered to Bob.
fn both(dovecot: &Dovecot) -> String {
    let from = imap_account("office", ALICE, dovecot.imap_port, "inbound = \"sort\"");
    let to = imap_account("other", BOB, dovecot.imap_port, "active = false");
    [from, to].concat()
}

/// What the rule makes of a message, in memory.
fn edited(bytes: &[u8]) -> Vec<u8> {
    let message = Message::whole(bytes.to_vec()).without_receipt_requests();
    message.with_header_set("X-Project", "T-071").bytes().to_vec()
}

/// The messages of a Maildir, in the order of their bytes.
fn files(mill: &Mill, folder: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(mill.path(folder).join(part)).unwrap() {
            found.push(fs::read(entry.unwrap().path()).unwrap());
        }
    }
    found.sort();
    found
}

/// Not `assert_eq`: nobody wants to read megabytes.
#[track_caller]
fn same(found: &[Vec<u8>], mut expected: Vec<Vec<u8>>, what: &str) {
    expected.sort();
    let sizes = |all: &[Vec<u8>]| all.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(found), sizes(&expected), "{what}");
    assert!(found == expected, "{what}: other bytes");
}

fn nothing_left(mill: &Mill) {
    let names = fs::read_dir(mill.path("data")).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.find(|name| name.starts_with("spool")), None);
    assert_eq!(fs::read_dir(mill.path("archive/tmp")).unwrap().count(), 0);
}

fn head(number: usize, end: &str) -> String {
    let fields = [
        "From: ann@example.org",
        &format!("Subject: message {number}"),
        "Disposition-Notification-To: ann@example.org",
        &format!("Message-ID: <large-{number}@example.org>"),
        "X-Project: none",
    ];
    fields.map(|field| format!("{field}{end}")).concat()
}

fn lines(size: usize, end: &str) -> String {
    let mut text = String::with_capacity(size + 100);
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        text += &format!("{number} Disposition-Notification-To: text, not a field{end}");
    }
    text
}

/// Small and large ones, around the size of a piece, with every kind of line end and of end.
fn samples() -> Vec<Vec<u8>> {
    const PIECE: usize = 1 << 20;
    let mut samples = Vec::new();
    for end in ["\n", "\r\n"] {
        for size in [0, 1_000, PIECE, 5_000_000] {
            let head = head(samples.len(), end);
            samples.push(format!("{head}{end}{}", lines(size, end)));
        }
        samples.push(head(samples.len(), end));
        samples.push(format!(
            "{}{end}{}no final line end",
            head(samples.len(), end),
            lines(PIECE, end)
        ));
        for size in [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE] {
            let mut text = format!("{}{end}{}", head(samples.len(), end), lines(3 * PIECE, end));
            text.truncate(size);
            samples.push(text);
        }
    }
    samples.push(format!(
        "{}\n{}",
        head(samples.len(), "\r\n"),
        "a\nb\r\nc\r\r\n\n".repeat(300_000)
    ));
    samples.into_iter().map(String::into_bytes).collect()
}

#[test]
fn from_a_maildir_it_is_the_same_as_in_memory() {
    let mill = mill(
        "[accounts.office]\nmaildir = \"office\"\ninbound = \"sort\"\n\
         [accounts.other]\nmaildir = \"other\"\nactive = false\n",
    );
    mill.deliver("other", "0", "Subject: makes the folder\n\n");
    let samples = samples();
    for (number, sample) in samples.iter().enumerate() {
        mill.deliver("office", &number.to_string(), sample);
    }
    mill.once();
    let expected: Vec<Vec<u8>> = samples.iter().map(|sample| edited(sample)).collect();
    same(&files(&mill, "archive"), expected.clone(), "Maildir");
    same(&files(&mill, "other/.Large"), expected, "account");
    nothing_left(&mill);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_imap_it_is_the_same_as_in_memory() {
    for profile in [Profile::Full, Profile::Bare] {
        let dovecot = Dovecot::start(profile);
        let mill = mill(&both(&dovecot));
        let mut samples = samples();
        let fields: String =
            (0..20_000).map(|n| format!("X-Field-{n}: {}\r\n", "x".repeat(60))).collect();
        samples.push(format!("{}{fields}\r\nbody\r\n", head(90, "\r\n")).into_bytes());
        samples.push([head(91, "\r\n"), fields].concat().into_bytes());
        dovecot.deliver_all(ALICE, "INBOX", samples.iter().map(Vec::as_slice));
        let given = whole(&dovecot, ALICE, "INBOX").await;
        assert_eq!(given.len(), samples.len());
        tokio::task::block_in_place(|| mill.once());
        let expected: Vec<Vec<u8>> = given.iter().map(|bytes| edited(bytes)).collect();
        same(&files(&mill, "archive"), expected.clone(), "Maildir");
        let mut landed = whole(&dovecot, BOB, "Large").await;
        landed.sort();
        let kept = expected.iter().map(|bytes| crlf(bytes).into_owned()).collect();
        same(&landed, kept, "account");
        nothing_left(&mill);
    }
}

/// The messages of a mailbox as the server gives them.
async fn whole(dovecot: &Dovecot, user: &str, mailbox: &str) -> Vec<Vec<u8>> {
    let settings = dovecot.settings(user, Security::None);
    let secret = SecretString::from(Dovecot::password(user));
    let deadline = std::time::Duration::from_secs(20);
    let mut mail = imap::connect(&settings, &secret, deadline, 1 << 30).await.unwrap();
    mail.select(&mailmill::mail::MailboxName::new(mailbox).unwrap()).await.unwrap();
    let uids = mail.uids_above(Uid(0), 1000).await.unwrap();
    let mut found = Vec::new();
    for uid in uids {
        found.extend(mail.fetch(&[uid], Extent::Whole).await.unwrap());
    }
    found.into_iter().map(|fetched| fetched.bytes).collect()
}

#[test]
fn memory_does_not_grow_with_the_message() {
    const SIZE: usize = 150_000_000;
    let dovecot = Dovecot::start(Profile::Full);
    let mill = mill(&both(&dovecot));
    let small = head(0, "\r\n") + "\r\nbody\r\n";
    dovecot.deliver(ALICE, "INBOX", small.as_bytes());
    let mut running = mill.start();
    running.wait_event("done");
    let mut messages = vec![small.into_bytes()];
    let mut peaks = vec![peak(running.pid())];
    for (number, size) in [(1, SIZE / 10), (2, SIZE)] {
        let text = [head(number, "\r\n"), lines(size, "\r\n")].join("\r\n");
        dovecot.deliver_all(ALICE, "INBOX", [text.as_bytes()]);
        running.wait_event("done");
        messages.push(text.into_bytes());
        peaks.push(peak(running.pid()));
    }
    println!("peaks in KiB with a small message, one of 15 MB and one of 150 MB: {peaks:?}");
    assert!(peaks[2] < peaks[1] + 40_000, "{peaks:?}");
    assert!(peaks[2] < SIZE / 1024, "{peaks:?}");
    let sizes = dovecot.fields(BOB, "Large", "size.virtual");
    let expected: Vec<Vec<u8>> = messages.iter().map(|bytes| edited(bytes)).collect();
    let lengths: Vec<String> = expected.iter().map(|bytes| bytes.len().to_string()).collect();
    assert_eq!(sizes, lengths);
    same(&files(&mill, "archive"), expected, "Maildir");
    nothing_left(&mill);
}

/// The most memory that a process had resident, KiB.
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How a server fails in the second piece of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Gone,
    Silent,
    Nil,
    OtherPlace,
    TooLong,
    No,
    Cut,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_fails_on_its_way_is_not_half_delivered() {
    for (fails, told) in [
        (Fails::Gone, "was no longer there"),
        (Fails::Silent, "gave no data"),
        (Fails::Nil, "gave no data"),
        (Fails::OtherPlace, "gave no data"),
        (Fails::TooLong, "gave no data"),
        (Fails::No, "not now"),
        (Fails::Cut, "closed the connection"),
    ] {
        let fake = FakeImap::start(move |peer: Peer| play(peer, fails)).await;
        let account = imap_account("office", ALICE, fake.port, "inbound = \"sort\"");
        let other = "[accounts.other]\nmaildir = \"other\"\nactive = false\n";
        let mill = mill(&[account.as_str(), other].concat());
        mill.deliver("other", "0", "Subject: makes the folder\n\n");
        let output = tokio::task::block_in_place(|| mill.call(&["run", "--once", "--log", "json"]));
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8_lossy(&log);
        let story = mill.expect(0, &["explain", "large-7@example.org"]);
        assert!(
            story.contains(told) || log.contains(told),
            "{fails:?}: {told} is not in {story}\n{log}"
        );
        assert!(!mill.path("other/.Large/new").exists() || files(&mill, "other/.Large").is_empty());
        assert!(!mill.path("archive").exists() || files(&mill, "archive").is_empty(), "{fails:?}");
    }
}

async fn play(mut peer: Peer, fails: Fails) {
    let head = head(7, "\r\n") + "\r\n";
    let first = format!("{head}{}", "x".repeat((1 << 20) - head.len()));
    let data =
        "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 3000000";
    peer.log_in("UIDPLUS MOVE LITERAL+").await;
    let mut gone = false;
    while let Some(said) = peer.next().await {
        let part = said.text.contains("BODY.PEEK[]<1048576.1048576>");
        let answer = match said.text.as_str() {
            text if text.starts_with("UID SEARCH") && gone => "* SEARCH\r\n".into(),
            text if text.contains("BODY.PEEK[HEADER]") => {
                format!("{data} BODY[HEADER] {{{}}}\r\n{head})\r\n", head.len())
            }
            text if text.contains("BODY.PEEK[]<0.1048576>") => {
                format!("{data} BODY[]<0> {{{}}}\r\n{first})\r\n", first.len())
            }
            _ if part => match fails {
                Fails::Nil => format!("{data} BODY[]<1048576> NIL)\r\n"),
                Fails::OtherPlace => format!("{data} BODY[]<5> \"x\")\r\n"),
                Fails::TooLong => format!("{data} BODY[]<1048576> {{1048577}}\r\nx{first})\r\n"),
                _ => String::new(),
            },
            text => setting(text),
        };
        gone |= part && fails == Fails::Gone;
        let ending = if part && fails == Fails::No { "NO not now" } else { "OK done" };
        if part && fails == Fails::Cut {
            return;
        }
        peer.send(format!("{answer}{} {ending}\r\n", said.tag)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_an_estimate_cuts_nothing() {
    let body = lines(1_600_000, "\r\n");
    let message = format!("{}\r\n{body}", head(7, "\r\n"));
    for told in [1_100_000, message.len(), 3_000_000] {
        let served = message.clone();
        let fake = FakeImap::start(move |peer: Peer| serve(peer, served, told)).await;
        let account = imap_account("office", ALICE, fake.port, "inbound = \"sort\"");
        let other = "[accounts.other]\nmaildir = \"other\"\nactive = false\n";
        let mill = mill(&[account.as_str(), other].concat());
        mill.deliver("other", "0", "Subject: makes the folder\n\n");
        tokio::task::block_in_place(|| mill.once());
        same(&files(&mill, "archive"), vec![edited(message.as_bytes())], "Maildir");
        same(&files(&mill, "other/.Large"), vec![edited(message.as_bytes())], "account");
    }
}

/// A server with one message, which it says has `told` bytes.
async fn serve(mut peer: Peer, message: String, told: usize) {
    let header = message.split_inclusive("\r\n\r\n").next().unwrap();
    let data = format!("* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL RFC822.SIZE {told}");
    peer.log_in("UIDPLUS MOVE LITERAL+").await;
    while let Some(said) = peer.next().await {
        let text = said.text.as_str();
        let answer = match text.split_once("BODY.PEEK[]<") {
            Some((_, part)) => {
                let (offset, length) = part.trim_end_matches(">)").split_once('.').unwrap();
                let from = offset.parse::<usize>().unwrap().min(message.len());
                let to = message.len().min(from + length.parse::<usize>().unwrap());
                let size = to - from;
                format!("{data} BODY[]<{offset}> {{{size}}}\r\n{})\r\n", &message[from..to])
            }
            None if text.contains("BODY.PEEK[HEADER]") => {
                format!("{data} BODY[HEADER] {{{}}}\r\n{header})\r\n", header.len())
            }
            None => setting(text),
        };
        peer.send(format!("{answer}{} OK done\r\n", said.tag)).await;
    }
}

/// What a server with one message answers before it is fetched.
fn setting(command: &str) -> String {
    let told = match command.split(' ').next().unwrap() {
        "LIST" => "* LIST () \"/\" INBOX\r\n",
        "SELECT" => {
            "* 1 EXISTS\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 77] x\r\n\
             * OK [UIDNEXT 2] x\r\n* OK [PERMANENTFLAGS (\\Seen)] x\r\n"
        }
        _ if command.starts_with("UID SEARCH") => "* SEARCH 1\r\n",
        _ => "",
    };
    told.to_owned()
}
