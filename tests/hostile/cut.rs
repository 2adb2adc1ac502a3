//! The connection to a real Dovecot is cut after every byte of a session, in both directions;
//! afterwards a run without a cut must have settled everything once.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use mailmill::store::State;

use crate::support::dovecot::{Dovecot, Profile};
use crate::support::office::Office;
use crate::support::proxy::{From, Proxy};

/// Bytes of a session at whose each it is cut.
const DEEPEST: usize = 2_000;

const RULES: &str = r#"
fn inbound(mail) {
    if mail.subject.contains("copy") { mail.copy_to("Copies"); }
    if mail.subject.contains("flag") { mail.add_flag("\\Flagged"); }
    if mail.subject.contains("body") && !mail.text.contains("secret word") { return; }
    if mail.subject.contains("move") { mail.move_to("Archive"); }
}
"#;

const SUBJECTS: [&str; 4] = ["move", "copy", "flag move", "body move"];

fn config(port: u16, user: &str) -> String {
    format!(
        "[accounts.office]\nimap = \"imap://127.0.0.1:{port}\"\ntls = \"none\"\n\
         inbound = \"sort\"\nlogin = {{ user = \"{user}\", password = {{ file = \"secret\" }} }}\n"
    )
}

/// A mailbox seen from outside, over one connection.
struct Outside {
    to: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Outside {
    fn log_in(dovecot: &Dovecot, user: &str) -> Self {
        let to = TcpStream::connect(("127.0.0.1", dovecot.imap_port)).unwrap();
        to.set_nodelay(true).unwrap();
        let lines = BufReader::new(to.try_clone().unwrap());
        let mut outside = Self { to, lines };
        outside.call(&format!("LOGIN \"{user}\" \"{}\"", Dovecot::password(user)));
        outside.call("CREATE Copies");
        outside
    }

    /// Runs a command, which must succeed, and gives the lines before its OK.
    fn call(&mut self, command: &str) -> Vec<String> {
        self.to.write_all(format!("x {command}\r\n").as_bytes()).unwrap();
        let mut told = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "{command}: the end");
            match line.strip_prefix("x ") {
                Some(said) => {
                    assert!(said.starts_with("OK"), "{command}: {line}");
                    return told;
                }
                None => told.push(line.trim_end().to_owned()),
            }
        }
    }

    fn put(&mut self, subject: &str, round: usize) {
        let id = subject.replace(' ', ".");
        let message = format!(
            "Subject: {subject}\r\nMessage-ID: <{id}.{round}@example.test>\r\n\r\nsecret word\r\n"
        );
        self.call(&format!("APPEND INBOX {{{}+}}\r\n{message}", message.len()));
    }

    /// Takes what is in a mailbox: subjects and flags, sorted.
    fn take(&mut self, mailbox: &str) -> Vec<String> {
        let opened = self.call(&format!("SELECT {mailbox}"));
        if opened.iter().any(|line| line == "* 0 EXISTS") {
            return Vec::new();
        }
        let told = self.call("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
        let flagged = told.iter().filter(|line| line.starts_with("* "));
        let flagged = flagged.map(|line| if line.contains("\\Flagged") { " !" } else { "" });
        let subjects = told.iter().filter_map(|line| line.strip_prefix("Subject: "));
        let mut found: Vec<String> =
            subjects.zip(flagged).map(|(subject, flag)| format!("{subject}{flag}")).collect();
        found.sort();
        self.call("STORE 1:* +FLAGS.SILENT (\\Deleted)");
        self.call("EXPUNGE");
        found
    }
}

/// Cuts after `first` bytes, then after `step` more and so on, up to the end of a session.
/// Gives the number of cuts.
fn sweep(dovecot: &Dovecot, user: &str, side: From, (first, step): (usize, usize)) -> usize {
    let proxy = Proxy::start(dovecot.imap_port);
    let office = Office::new(&config(proxy.port, user), RULES, &Dovecot::password(user));
    let mut outside = Outside::log_in(dovecot, user);
    let mut after = first;
    let mut cuts = 0;
    while after <= DEEPEST {
        for subject in SUBJECTS {
            outside.put(subject, after);
        }
        proxy.cut(side, after);
        let cut = office.look();
        proxy.wait();
        let whole = proxy.passed(side) < after;
        proxy.pass();
        let case = format!("{side:?} {after}: {cut:?}");
        office.look().unwrap();
        assert_eq!(outside.take("INBOX"), ["copy"], "{case}");
        assert_eq!(outside.take("Copies"), ["copy"], "{case}");
        assert_eq!(outside.take("Archive"), ["body move", "flag move !", "move"], "{case}");
        if whole {
            break;
        }
        after += step;
        cuts += 1;
    }
    let records = office.store().recent(10_000).unwrap();
    assert!(records.iter().all(|record| record.state == State::Settled), "{}", office.told());
    assert!(records.len() >= 4 * cuts && !office.told().contains("fault of mailmill"));
    cuts
}

/// Two users at once, one for the odd bytes and one for the even ones.
fn every_byte(side: From) -> usize {
    let dovecot = Dovecot::start(Profile::Exchange);
    let both = ["alice@example.test", "bob@example.test"];
    std::thread::scope(|scope| {
        let sweeps: Vec<_> = both
            .iter()
            .enumerate()
            .map(|(at, user)| {
                scope.spawn({
                    let dovecot = &dovecot;
                    move || sweep(dovecot, user, side, (1 + at, 2))
                })
            })
            .collect();
        sweeps.into_iter().map(|sweep| sweep.join().unwrap()).sum()
    })
}

#[test]
fn a_cut_after_any_byte_from_the_server_loses_and_doubles_nothing() {
    let cuts = every_byte(From::Server);
    println!("{cuts} cuts of what the server sends");
    assert!(cuts >= 1_500, "a session was over after {cuts} bytes");
}

#[test]
fn a_cut_after_any_byte_from_the_client_loses_and_doubles_nothing() {
    let cuts = every_byte(From::Client);
    println!("{cuts} cuts of what the client sends");
    assert!(cuts >= 500, "a session was over after {cuts} bytes");
}
