//! The mail of a [`super::fake_server::FakeServer`], and what each command does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A message with what the server keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub uid: u32,
    pub flags: BTreeSet<String>,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Mailbox {
    pub uidvalidity: u32,
    pub uidnext: u32,
    pub messages: Vec<Stored>,
}

impl Mailbox {
    fn new(uidvalidity: u32) -> Self {
        Self { uidvalidity, uidnext: 1, messages: Vec::new() }
    }

    fn add(&mut self, bytes: Vec<u8>, flags: BTreeSet<String>) -> u32 {
        let uid = self.uidnext;
        self.messages.push(Stored { uid, flags, bytes });
        self.uidnext += 1;
        uid
    }

    /// Every message gets another UID under another UIDVALIDITY, as after a restored backup.
    pub fn renumber(&mut self) {
        self.uidvalidity += 1;
        self.uidnext += 100;
        self.messages.reverse();
        for (index, message) in self.messages.iter_mut().enumerate() {
            message.uid = 1 + index as u32;
        }
    }

    fn named(&self, set: &str) -> Vec<u32> {
        let last = self.messages.last().map_or(0, |message| message.uid);
        let number = |text: &str| if text == "*" { last } else { text.parse().unwrap() };
        let ranges = set.split(',').map(|part| match part.split_once(':') {
            Some((from, to)) => (number(from).min(number(to)), number(from).max(number(to))),
            None => (number(part), number(part)),
        });
        let ranges: Vec<(u32, u32)> = ranges.collect();
        let within = |uid: u32| ranges.iter().any(|(from, to)| (*from..=*to).contains(&uid));
        self.messages.iter().map(|message| message.uid).filter(|uid| within(*uid)).collect()
    }
}

#[derive(Debug, Clone)]
pub struct World {
    pub capabilities: String,
    /// By user and name.
    pub mailboxes: BTreeMap<(String, String), Mailbox>,
    validity: u32,
}

impl World {
    pub fn new(capabilities: &str) -> Self {
        let (capabilities, mailboxes) = (capabilities.to_owned(), BTreeMap::new());
        let mut world = Self { capabilities, mailboxes, validity: 70 };
        for user in super::fake_server::USERS {
            world.make(user, "INBOX");
        }
        world
    }

    pub fn make(&mut self, user: &str, mailbox: &str) -> &mut Mailbox {
        self.validity += 1;
        let validity = self.validity;
        let place = (user.to_owned(), mailbox.to_owned());
        self.mailboxes.entry(place).or_insert_with(|| Mailbox::new(validity))
    }

    pub fn mailbox(&mut self, user: &str, mailbox: &str) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&(user.to_owned(), mailbox.to_owned()))
    }

    pub fn deliver(&mut self, user: &str, bytes: &[u8]) -> u32 {
        self.make(user, "INBOX").add(bytes.to_vec(), BTreeSet::new())
    }

    pub fn subjects(&self, user: &str, mailbox: &str) -> Vec<String> {
        let place = (user.to_owned(), mailbox.to_owned());
        let Some(mailbox) = self.mailboxes.get(&place) else { return Vec::new() };
        mailbox.messages.iter().map(|message| field(&message.bytes, "Subject")).collect()
    }

    /// All mail of all users as `user mailbox subject flags`, for comparing.
    pub fn everything(&self) -> BTreeSet<String> {
        let all = self.mailboxes.iter().flat_map(|((user, name), mailbox)| {
            mailbox.messages.iter().map(move |message| {
                let flags: Vec<&str> = message.flags.iter().map(String::as_str).collect();
                let subject = field(&message.bytes, "Subject");
                format!("{user} {name} {subject} {} #{}", flags.join(" "), message.uid)
            })
        });
        all.collect()
    }
}

fn field(bytes: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start = format!("{name}: ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
}

/// One connection's state.
#[derive(Debug, Default)]
pub struct Session {
    user: String,
    selected: Option<String>,
}

impl Session {
    /// Does what a command asks, and gives the whole right answer.
    pub fn answer(&mut self, world: &mut World, tag: &str, command: &[u8]) -> Vec<u8> {
        let (mut bytes, said) = self.obey(world, command);
        if command == b"GREETING" {
            return b"* OK ready\r\n".to_vec();
        }
        bytes.extend_from_slice(format!("{tag} {said}\r\n").as_bytes());
        bytes
    }

    /// Renumbers a mailbox of this session's user; what is told of it if it is open.
    pub fn renumbered(&self, world: &mut World, user: &str, mailbox: &str) -> Vec<u8> {
        if self.user != user {
            return Vec::new();
        }
        let Some(renumbered) = world.mailbox(user, mailbox) else { return Vec::new() };
        renumbered.renumber();
        let open = self.selected.as_deref() == Some(mailbox);
        let told = format!("* OK [UIDVALIDITY {}] renumbered\r\n", renumbered.uidvalidity);
        if open { told.into_bytes() } else { Vec::new() }
    }

    fn obey(&mut self, world: &mut World, command: &[u8]) -> (Vec<u8>, String) {
        let words = words(command);
        let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
        let done = |told: String| (told.into_bytes(), "OK done".to_owned());
        match (word(0), word(1)) {
            ("CAPABILITY", _) => done(format!("* CAPABILITY IMAP4rev1 {}\r\n", world.capabilities)),
            ("LOGIN", user) => {
                self.user = user.to_owned();
                done(String::new())
            }
            ("LOGOUT", _) => done("* BYE see you\r\n".into()),
            ("LIST", _) => done(self.list(world, word(2))),
            ("CREATE", name) => {
                world.make(&self.user, name);
                done(String::new())
            }
            ("SELECT", name) => self.select(world, name),
            ("APPEND", name) => self.append(world, name, command, words.last()),
            ("NOOP", _) => done(self.count(world)),
            ("UID", verb) => {
                let verb = verb.to_owned();
                self.uid(world, &verb, &words[2..])
            }
            _ => done(String::new()),
        }
    }

    fn list(&self, world: &World, pattern: &str) -> String {
        if pattern.is_empty() {
            return "* LIST (\\Noselect) \"/\" \"\"\r\n".into();
        }
        let below = pattern.strip_suffix('*');
        let names = world.mailboxes.keys().filter(|(user, _)| *user == self.user);
        let fits = names.filter(|(_, name)| match below {
            Some(below) => name.starts_with(below),
            None => name == pattern,
        });
        fits.map(|(_, name)| format!("* LIST () \"/\" \"{name}\"\r\n")).collect()
    }

    fn select(&mut self, world: &mut World, name: &str) -> (Vec<u8>, String) {
        self.selected = None;
        let Some(mailbox) = world.mailbox(&self.user, name) else {
            return (Vec::new(), "NO [NONEXISTENT] no such mailbox".into());
        };
        self.selected = Some(name.to_owned());
        let told = format!(
            "* FLAGS (\\Seen \\Deleted \\Flagged)\r\n* {} EXISTS\r\n* 0 RECENT\r\n\
             * OK [UIDVALIDITY {}] ok\r\n* OK [UIDNEXT {}] ok\r\n\
             * OK [PERMANENTFLAGS (\\Seen \\Deleted \\Flagged \\*)] ok\r\n",
            mailbox.messages.len(),
            mailbox.uidvalidity,
            mailbox.uidnext
        );
        (told.into_bytes(), "OK [READ-WRITE] selected".into())
    }

    fn append(
        &self,
        world: &mut World,
        name: &str,
        command: &[u8],
        last: Option<&String>,
    ) -> (Vec<u8>, String) {
        let uidplus = world.capabilities.contains("UIDPLUS");
        let Some(mailbox) = world.mailbox(&self.user, name) else {
            return (Vec::new(), "NO [TRYCREATE] no such mailbox".into());
        };
        let size = last.map_or(0, String::len);
        let literal = command[command.len() - size..].to_vec();
        let uid = mailbox.add(literal, BTreeSet::new());
        let code = format!("[APPENDUID {} {uid}] ", mailbox.uidvalidity);
        (Vec::new(), format!("OK {}appended", if uidplus { code.as_str() } else { "" }))
    }

    fn count(&mut self, world: &mut World) -> String {
        self.here(world)
            .map_or(String::new(), |here| format!("* {} EXISTS\r\n", here.messages.len()))
    }

    fn here<'a>(&self, world: &'a mut World) -> Option<&'a mut Mailbox> {
        world.mailbox(&self.user, self.selected.as_deref()?)
    }

    fn uid(&mut self, world: &mut World, verb: &str, words: &[String]) -> (Vec<u8>, String) {
        if self.here(world).is_none() {
            return (Vec::new(), "BAD nothing is selected".into());
        }
        match verb {
            "SEARCH" => (self.search(world, words), "OK done".into()),
            "FETCH" => (self.fetch(world, words), "OK done".into()),
            "STORE" => (self.store(world, words), "OK done".into()),
            "COPY" | "MOVE" => self.transfer(world, verb, words),
            "EXPUNGE" => {
                let Some(here) = self.here(world) else { return Default::default() };
                let named = here.named(&words[0]);
                let deleted = |message: &Stored| message.flags.contains("\\Deleted");
                here.messages.retain(|one| !(named.contains(&one.uid) && deleted(one)));
                (Vec::new(), "OK done".into())
            }
            _ => (Vec::new(), "BAD unknown".into()),
        }
    }

    fn search(&mut self, world: &mut World, words: &[String]) -> Vec<u8> {
        let Some(here) = self.here(world) else { return Vec::new() };
        let found: Vec<u32> = match words[0].as_str() {
            "UID" => here.named(&words[1]),
            "HEADER" => {
                let wanted = words[2].clone();
                let hits =
                    here.messages.iter().filter(|one| field(&one.bytes, "Message-ID") == wanted);
                hits.map(|one| one.uid).collect()
            }
            _ => here.named("1:*"),
        };
        let mut line = String::from("* SEARCH");
        for uid in found {
            let _ = write!(line, " {uid}");
        }
        (line + "\r\n").into_bytes()
    }

    fn fetch(&mut self, world: &mut World, words: &[String]) -> Vec<u8> {
        let Some(here) = self.here(world) else { return Vec::new() };
        let named = here.named(&words[0]);
        let items = words[1..].join(" ");
        let mut told = Vec::new();
        for (number, message) in here.messages.iter().enumerate() {
            if named.contains(&message.uid) {
                told.extend(fetched(number + 1, message, &items));
            }
        }
        told
    }

    fn store(&mut self, world: &mut World, words: &[String]) -> Vec<u8> {
        let Some(here) = self.here(world) else { return Vec::new() };
        let named = here.named(&words[0]);
        for message in here.messages.iter_mut().filter(|one| named.contains(&one.uid)) {
            for flag in words[2..].iter().map(|flag| flag.trim_matches(['(', ')'])) {
                match words[1].starts_with('+') {
                    true => message.flags.insert(flag.to_owned()),
                    false => message.flags.remove(flag),
                };
            }
        }
        Vec::new()
    }

    fn transfer(&mut self, world: &mut World, verb: &str, words: &[String]) -> (Vec<u8>, String) {
        let told = world.capabilities.contains("UIDPLUS");
        let Some(here) = self.here(world) else { return Default::default() };
        let named = here.named(&words[0]);
        let taken: Vec<Stored> =
            here.messages.iter().filter(|one| named.contains(&one.uid)).cloned().collect();
        let Some(target) = world.mailbox(&self.user, &words[1]) else {
            return (Vec::new(), "NO [TRYCREATE] no such mailbox".into());
        };
        let uids: Vec<u32> =
            taken.into_iter().map(|one| target.add(one.bytes, one.flags)).collect();
        let validity = target.uidvalidity;
        if let ("MOVE", Some(here)) = (verb, self.here(world)) {
            here.messages.retain(|one| !named.contains(&one.uid));
        }
        let code = format!("[COPYUID {validity} {} {}]", set(&named), set(&uids));
        let told = told && !named.is_empty();
        (Vec::new(), format!("OK {}done", if told { code + " " } else { String::new() }))
    }
}

fn set(uids: &[u32]) -> String {
    uids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn fetched(number: usize, message: &Stored, items: &str) -> Vec<u8> {
    let flags: Vec<&str> = message.flags.iter().map(String::as_str).collect();
    let mut told = format!("* {number} FETCH (UID {}", message.uid);
    if items.contains("FLAGS") {
        let _ = write!(told, " FLAGS ({})", flags.join(" "));
    }
    if items.contains("RFC822.SIZE") {
        let _ = write!(told, " RFC822.SIZE {}", message.bytes.len());
    }
    if items.contains("INTERNALDATE") {
        told.push_str(" INTERNALDATE \"17-Jul-1996 02:44:25 +0000\"");
    }
    let text = &message.bytes;
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(text.len(), |at| at + 4);
    let section = match items {
        _ if items.contains("BODY.PEEK[HEADER]") => Some(("BODY[HEADER]", &text[..end])),
        _ if items.contains("BODY.PEEK[]") => Some(("BODY[]", &text[..])),
        _ => None,
    };
    let mut bytes = told.into_bytes();
    if let Some((name, section)) = section {
        bytes.extend(format!(" {name} {{{}}}\r\n", section.len()).bytes());
        bytes.extend_from_slice(section);
    }
    bytes.extend_from_slice(b")\r\n");
    bytes
}

/// The words of a command: quoting undone, literals whole.
fn words(command: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(command).into_owned();
    let mut words = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (word, more) = match rest.as_bytes()[0] {
            b'"' => quoted(&rest[1..]),
            b'{' => literal(rest),
            _ => {
                let (word, more) = rest.split_once(' ').unwrap_or((rest, ""));
                (word.to_owned(), more)
            }
        };
        words.push(word);
        rest = more.trim_start_matches(' ');
    }
    words
}

fn quoted(rest: &str) -> (String, &str) {
    let mut word = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (word, &rest[at + 1..]),
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            c => word.push(c),
        }
    }
    (word, "")
}

fn literal(rest: &str) -> (String, &str) {
    let (size, rest) = rest[1..].split_once("}\r\n").unwrap();
    let size: usize = size.trim_end_matches('+').parse().unwrap();
    (rest[..size].to_owned(), &rest[size..])
}
