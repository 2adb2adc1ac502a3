//! A small office in which every kind of action happens, made anew for each run, and what a run has
//! come to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mailmill::store::{MessageRecord, Store};

use super::Death;
use crate::support::dovecot::Dovecot;
use crate::support::mill::Mill;
use crate::support::power::powered;

/// Whose mail the worlds on a server are copies of.
const MODEL: &str = "bob@example.test";

/// The engine looks through the office once.
pub const LOOK: &[&str] = &["run", "--once", "--log", "json"];

/// Each message is decided by its subject; the memory grows by a letter with each.
const SCRIPT: &str = r#"
fn inbound(mail) {
    let before = mail.state.get("n");
    if before == () { before = ""; }
    mail.state.set("n", before + "x");
    let what = mail.subject;
    if mail.mailbox != "INBOX" { mail.add_flag("\\Draft"); return; }
    if what == "hold" { mail.hold("a person decides"); return; }
    if what == "move" { mail.move_to("Filed"); }
    if what == "copy" { mail.copy_to("Copies"); mail.add_flag("\\Flagged"); }
    if what == "flags" { mail.remove_flag("\\Seen"); mail.add_flag("\\Answered"); }
    if what == "receipt" { mail.suppress_receipt(); mail.move_to("Filed"); }
    if what == "shelf" {
        mail.set_header("X-Shelf", "yes");
        mail.deliver_to("shelf");
        mail.move_to("Filed/Shelved");
    }
    if what.contains("colleague") { mail.deliver_to("colleague"); }
    if what == "link" {
        mail.link("T-071", "subject");
        mail.copy_to("Copies");
        mail.move_to("Watched");
    }
    if what.contains("twin") { mail.copy_to("Copies"); mail.move_to("Filed"); }
}
"#;

/// Subjects of the messages in the order they come.
const SUBJECTS: [&str; 11] = [
    "move",
    "copy",
    "flags",
    "receipt",
    "shelf",
    "colleague",
    "link",
    "hold",
    "twin",
    "twin",
    "colleague",
];

/// Where the office has its mail.
#[derive(Clone, Copy)]
pub enum Home<'d> {
    Maildir,
    Imap(&'d Dovecot),
}

/// A mill with its mail; a copy of the model.
pub struct World<'d> {
    pub mill: Mill,
    home: Home<'d>,
    user: String,
}

/// What a run has come to.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// Where each message is, with its flags, by mailbox.
    mail: BTreeMap<String, Vec<String>>,
    /// What the store says of each message.
    records: Vec<String>,
    links: Vec<String>,
    memory: Option<String>,
    unsettled: usize,
}

impl<'d> World<'d> {
    /// The model: two messages were sorted before, the others wait, and the rules have changed.
    pub fn model(home: Home<'d>) -> Self {
        Self::after(home, &[(0, "twin"), (20, "colleague")])
    }

    /// A model whose copies have no store and no earlier mail: the engine was never there.
    pub fn fresh(home: Home<'d>) -> Self {
        let world = Self::after(home, &[]);
        world.mill.write("fresh", "");
        world
    }

    fn after(home: Home<'d>, sorted: &[(usize, &str)]) -> Self {
        let world = Self { mill: Mill::new(&config(home, MODEL)), home, user: MODEL.into() };
        world.mill.write("scripts/sort.rhai", SCRIPT);
        match home {
            Home::Maildir => ["colleague/cur", "office/cur", "office/.Watched/cur"]
                .iter()
                .for_each(|folder| std::fs::create_dir_all(world.mill.path(folder)).unwrap()),
            Home::Imap(server) => ["Watched", "Desk"].iter().for_each(|mailbox| {
                drop(server.doveadm(&["mailbox", "create", "-u", MODEL, mailbox]));
            }),
        }
        sorted.iter().for_each(|(number, subject)| world.receive(*number, subject));
        assert_eq!(world.run(None).status.code(), Some(0));
        for (number, subject) in (1..).zip(SUBJECTS) {
            world.receive(number, subject);
        }
        world.see("flags");
        world.mill.write("scripts/sort.rhai", format!("{SCRIPT}// newer\n"));
        world
    }

    /// A copy of it.
    pub fn copy(&self, number: usize) -> Self {
        let user = match self.home {
            Home::Maildir => self.user.clone(),
            Home::Imap(server) => server.clone_user(&self.user, number),
        };
        let mill = Mill::new(&config(self.home, &user));
        // A file `fresh` stands for a store that is still to be made.
        let data = if self.mill.path("fresh").exists() { "fresh" } else { "data" };
        let folders = [data, "scripts", "office", "colleague", "shelf"];
        let there = folders.iter().map(|name| self.mill.path(name)).filter(|path| path.exists());
        let copied = Command::new("cp").arg("-a").args(there).arg(mill.path("")).status();
        assert!(copied.unwrap().success());
        if data == "fresh" {
            // Where no engine ever was, nothing was delivered, copied or filed.
            for folder in ["colleague", "office/.Copies", "office/.Filed"] {
                let _ = std::fs::remove_dir_all(mill.path(folder));
            }
            std::fs::create_dir_all(mill.path("colleague/cur")).unwrap();
        }
        Self { mill, home: self.home, user }
    }

    fn receive(&self, number: usize, subject: &str) {
        let message = message(number, subject);
        match self.home {
            Home::Maildir => self.mill.deliver("office", &format!("{number:02}"), message),
            Home::Imap(server) => {
                let message = message.replace('\n', "\r\n");
                server.deliver_all(MODEL, "INBOX", [message.as_bytes()]);
            }
        }
    }

    /// A person has read the message.
    fn see(&self, subject: &str) {
        match self.home {
            Home::Maildir => {
                let number = 1 + SUBJECTS.iter().position(|found| *found == subject).unwrap();
                let office = self.mill.path("office");
                let (from, to) = (format!("new/{number:02}"), format!("cur/{number:02}:2,S"));
                std::fs::rename(office.join(from), office.join(to)).unwrap();
            }
            Home::Imap(server) => {
                let query = ["mailbox", "INBOX", "header", "subject", subject];
                let flag = ["flags", "add", "-u", MODEL, "\\Seen"];
                server.doveadm(&[flag.as_slice(), &query].concat());
            }
        }
    }

    /// Lets the engine look once; it may be told to die at a fault point.
    pub fn run(&self, death: Option<(usize, Death)>) -> Output {
        self.call(LOOK, death)
    }

    /// Runs a command of mailmill, which may be told to die at a fault point.
    pub fn call(&self, args: &[&str], death: Option<(usize, Death)>) -> Output {
        let mut command = self.mill.command(args);
        command.env("PASSWORD", Dovecot::password(&self.user)).stdin(Stdio::null());
        die(&mut command, death, self.mill.path("").as_path());
        command.output().unwrap()
    }

    /// The points that a command reaches undisturbed, by name.
    pub fn points(&self, args: &[&str]) -> Vec<String> {
        let mut command = self.mill.command(args);
        command.env("PASSWORD", Dovecot::password(&self.user)).stdin(Stdio::null());
        let report = self.mill.path("points");
        command.env("MAILMILL_FAULT", "count").env("MAILMILL_FAULT_REPORT", &report);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        std::fs::read_to_string(report).unwrap().lines().map(str::to_owned).collect()
    }

    /// What it has come to. No engine may run.
    pub fn end(&self) -> End {
        let store = Store::open(&self.mill.path("data")).unwrap();
        let mut records: Vec<String> = store.recent(1_000).unwrap().iter().map(told).collect();
        records.sort();
        let links = store.links("T-071").unwrap();
        let mut links: Vec<String> = links
            .iter()
            .map(|link| format!("{:?} by {}", link.message_id, link.evidence))
            .collect();
        links.sort();
        End {
            mail: self.mail(),
            records,
            links,
            memory: store.state("office", "sort", "n").unwrap(),
            unsettled: store.unsettled("office").unwrap().len(),
        }
    }

    fn mail(&self) -> BTreeMap<String, Vec<String>> {
        let mut mail = BTreeMap::new();
        let boxes = ["office", "office/.Filed", "office/.Filed.Shelved", "office/.Copies"];
        for folder in boxes.iter().chain(&["office/.Watched", "colleague", "shelf"]) {
            let found = in_maildir(&self.mill.path(folder));
            if !found.is_empty() {
                mail.insert((*folder).to_owned(), found);
            }
        }
        if let Home::Imap(server) = self.home {
            in_account(server, &self.user, &mut mail);
        }
        mail.values_mut().for_each(|mailbox| mailbox.sort());
        mail
    }
}

/// Tells a command where to die.
pub fn die(command: &mut Command, death: Option<(usize, Death)>, root: &Path) {
    let Some((point, how)) = death else { return };
    let signal = match how {
        Death::Kill => "kill",
        Death::Power { seed } => {
            powered(command, root, seed);
            "power"
        }
    };
    command.env("MAILMILL_FAULT", format!("{point}:{signal}"));
    command.env("MAILMILL_FAULT_REPORT", root.join("died"));
}

fn config(home: Home, user: &str) -> String {
    let (office, colleague, desk) = match home {
        Home::Maildir => ("maildir = \"office\"".into(), "maildir = \"colleague\"".into(), "INBOX"),
        Home::Imap(server) => {
            let account = format!(
                "imap = \"imap://127.0.0.1:{}\"\ntls = \"none\"\nlogin = {{ user = \"{user}\", \
                 password = {{ env = \"PASSWORD\" }} }}",
                server.imap_port
            );
            (account.clone(), account, "Desk")
        }
    };
    format!(
        "[accounts.office]\n{office}\nwatch = [{{ mailbox = \"INBOX\" }}, {{ mailbox = \"Watched\" }}]\n\
         inbound = \"sort\"\n[accounts.colleague]\n{colleague}\n\
         [targets.shelf]\nmaildir = \"shelf\"\n\
         [targets.colleague]\naccount = \"colleague\"\nmailbox = \"{desk}\"\n\
         [pipelines.sort]\nsteps = [{{ script = \"sort\" }}]\n"
    )
}

/// All twins have one Message-ID and one size.
fn message(number: usize, subject: &str) -> String {
    format!(
        "From: ann@example.org\nTo: office@example.com\nSubject: {subject}\n\
         Message-ID: <{subject}@example.org>\nX-Token: token-{number:02}\n\
         Disposition-Notification-To: ann@example.org\n\nHello from token-{number:02}.\n"
    )
}

fn told(record: &MessageRecord) -> String {
    let mut marks: Vec<String> =
        record.marks.iter().map(|mark| format!("{} {:?}", mark.action, mark.outcome)).collect();
    marks.sort();
    let (mailbox, uid) = (&record.key.mailbox, record.key.uid);
    let held = record.hold.as_ref().map(|hold| &hold.reason);
    format!(
        "{mailbox}/{uid} {}: {:?} {marks:?} {held:?} by generation {}",
        record.subject, record.state, record.decision.generation
    )
}

fn in_maildir(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        let Ok(files) = std::fs::read_dir(folder.join(part)) else { continue };
        for file in files.map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert!(text.trim_end().ends_with('.'), "{folder:?}/{part}/{name} is cut: {text:?}");
            let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            let (token, shelf) = (header("X-Token: "), header("X-Shelf: "));
            found.push(format!("{} {flags:?} {shelf:?}", token.unwrap_or("nothing")));
        }
    }
    found
}

fn in_account(server: &Dovecot, user: &str, mail: &mut BTreeMap<String, Vec<String>>) {
    let fields = "mailbox hdr.x-token flags size.physical";
    let printed = server.doveadm(&["-f", "tab", "fetch", "-u", user, fields, "all"]);
    for line in printed.lines().skip(1) {
        let (mailbox, message) = line.split_once('\t').unwrap();
        mail.entry(mailbox.to_owned())
            .or_default()
            .push(message.replace("\\Recent", "").replace(" ", ""));
    }
}

impl End {
    /// Looks that the unbroken run itself is right.
    pub fn check(&self) {
        let count = |place: &str| self.mail.get(place).map_or(0, Vec::len);
        let (inbox, dot) =
            if self.mail.contains_key("office") { ("office", "office/.") } else { ("INBOX", "") };
        let places = ["Filed", "Copies", "Watched"].map(|name| count(&format!("{dot}{name}")));
        assert_eq!(places, [5, 5, 1], "{self:#?}");
        assert_eq!((count(inbox), count("shelf")), (6, 1), "{self:#?}");
        assert_eq!(count("colleague") + count("Desk"), 3, "{self:#?}");
        assert_eq!((self.unsettled, self.links.len(), self.records.len()), (0, 1, 13));
        // All but the one that is held.
        assert_eq!(self.memory.as_deref(), Some("x".repeat(12).as_str()));
    }

    /// What is other than it should be.
    pub fn difference(&self, found: &Self) -> String {
        let mut lines = Vec::new();
        for place in self.mail.keys().chain(found.mail.keys()) {
            if self.mail.get(place) != found.mail.get(place) {
                let (right, wrong) = (self.mail.get(place), found.mail.get(place));
                lines.push(format!("  {place}: {wrong:?}\n    not {right:?}"));
            }
        }
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|one| !those.contains(one)).cloned().collect()
        };
        lines
            .extend(only(&found.records, &self.records).iter().map(|one| format!("  found {one}")));
        lines.extend(only(&self.records, &found.records).iter().map(|one| format!("  not {one}")));
        lines.push(format!("  {:?} {} {:?}", found.memory, found.unsettled, found.links));
        lines.dedup();
        lines.join("\n")
    }
}
