//! A small IMAP server in memory: its mail outlives connections, and it misbehaves where it is told.
//!
//! Commands are read line by line and answered in order, so a client may send many at once. What a
//! server of this kind keeps is seen from outside by [`FakeServer::subjects`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::fake_world::{Session, World};

/// Who may log in, with [`PASSWORD`].
pub const USERS: [&str; 2] = ["alice@example.test", "other@example.test"];
pub const PASSWORD: &str = "hunter2-secret";

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a command does its work before the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    None,
    Done,
}

/// What the client gets, and whether the connection ends after it.
pub struct Sent {
    pub bytes: Vec<u8>,
    pub ends: bool,
}

/// Makes an answer of the command's tag and of the right answer.
type Answer = Box<dyn Fn(&str, Vec<u8>) -> Sent + Send>;

/// A fault in the answer to one kind of command.
struct Fault {
    command: String,
    effect: Effect,
    /// How many commands pass unharmed before, and how many are struck.
    after: usize,
    times: usize,
    answer: Answer,
}

struct Shared {
    /// The test is over.
    ends: bool,
    world: World,
    faults: Vec<Fault>,
    struck: usize,
    /// The mailbox that is renumbered at the first strike.
    renumbers: Option<(String, String)>,
    /// Every command of every connection, without its tag.
    heard: Vec<String>,
}

pub struct FakeServer {
    pub port: u16,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl FakeServer {
    /// A server that announces these capabilities besides IMAP4rev1.
    pub fn start(capabilities: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = World::new(capabilities);
        let shared = Shared {
            ends: false,
            world,
            faults: Vec::new(),
            struck: 0,
            renumbers: None,
            heard: Vec::new(),
        };
        let shared = Arc::new((Mutex::new(shared), Condvar::new()));
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = own.clone();
                if shared.0.lock().unwrap().ends {
                    return;
                }
                std::thread::spawn(move || Connection::new(stream, shared).serve());
            }
        });
        Self { port, shared }
    }

    /// The answers to commands that begin so are made by `answer`; `after` of them pass before, and
    /// `times` are struck.
    pub fn fault(
        &self,
        command: &str,
        effect: Effect,
        (after, times): (usize, usize),
        answer: impl Fn(&str, Vec<u8>) -> Sent + Send + 'static,
    ) {
        let (command, answer) = (command.to_owned(), Box::new(answer));
        self.lock().faults.push(Fault { command, effect, after, times, answer });
    }

    /// A mailbox gets new UIDs after the command that is struck first, and its session is told.
    pub fn renumber_when_struck(&self, user: &str, mailbox: &str) {
        self.lock().renumbers = Some((user.to_owned(), mailbox.to_owned()));
    }

    /// How many answers were struck.
    pub fn struck(&self) -> usize {
        self.lock().struck
    }

    /// No fault strikes any more.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    pub fn world<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.lock().world)
    }

    /// The subjects in a mailbox, by UID.
    pub fn subjects(&self, user: &str, mailbox: &str) -> Vec<String> {
        self.world(|world| world.subjects(user, mailbox))
    }

    /// Commands heard so far.
    pub fn heard(&self) -> Vec<String> {
        self.lock().heard.clone()
    }

    /// Waits until this is true; it is looked at after every command.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&World, &[String]) -> bool) {
        let guard = self.lock();
        let waited = self
            .shared
            .1
            .wait_timeout_while(guard, PATIENCE, |shared| !is_so(&shared.world, &shared.heard));
        let (shared, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "{what} did not happen; heard: {:#?}", shared.heard);
    }

    /// Waits until so many answers were struck.
    #[track_caller]
    pub fn wait_until_struck(&self, times: usize) {
        let guard = self.lock();
        let waited =
            self.shared.1.wait_timeout_while(guard, PATIENCE, |shared| shared.struck < times);
        assert!(!waited.unwrap().1.timed_out(), "no fault strikes");
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.0.lock().unwrap()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        if let Ok(mut shared) = self.shared.0.lock() {
            shared.ends = true;
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    shared: Arc<(Mutex<Shared>, Condvar)>,
    session: Session,
}

impl Connection {
    fn new(stream: TcpStream, shared: Arc<(Mutex<Shared>, Condvar)>) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream), shared, session: Session::default() }
    }

    /// Serves until one side ends it. That the client has gone is no failure here.
    fn serve(mut self) {
        let greeting = self.answer("*", b"GREETING");
        let mut goes_on = self.send(&greeting);
        while goes_on {
            let Some(command) = self.read() else { return };
            let space = command.iter().position(|byte| *byte == b' ').unwrap_or(command.len());
            let tag = String::from_utf8_lossy(&command[..space]).into_owned();
            let rest = command.get(space + 1..).unwrap_or_default();
            let sent = self.answer(&tag, rest);
            let ended = rest.starts_with(b"LOGOUT");
            goes_on = self.send(&sent) && !ended;
        }
    }

    /// The next command, its literals in place, its last line end removed.
    fn read(&mut self) -> Option<Vec<u8>> {
        let mut command = self.line()?;
        while let Some((size, waits)) = announced(&command) {
            if waits {
                self.send(&Sent { bytes: b"+ go\r\n".to_vec(), ends: false });
            }
            let mut literal = vec![0; size];
            self.reader.read_exact(&mut literal).ok()?;
            command.extend_from_slice(b"\r\n");
            command.extend_from_slice(&literal);
            command.extend(self.line()?);
        }
        if command.ends_with(b" IDLE") && !self.refuses_idle() {
            self.send(&Sent { bytes: b"+ idling\r\n".to_vec(), ends: false });
            self.tell(&command);
            self.line()?;
        }
        if command.ends_with(b" AUTHENTICATE PLAIN") {
            self.send(&Sent { bytes: b"+ \r\n".to_vec(), ends: false });
            self.line()?;
        }
        Some(command)
    }

    /// A fault in IDLE strikes before the server goes idle.
    fn refuses_idle(&self) -> bool {
        let shared = self.shared.0.lock().unwrap();
        shared.faults.iter().any(|fault| fault.command == "IDLE" && fault.times > 0)
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let size = self.reader.read_until(b'\n', &mut line).ok()?;
        while matches!(line.last(), Some(b'\r' | b'\n')) {
            line.pop();
        }
        (size > 0).then_some(line)
    }

    /// IDLE is heard when it begins, not when it ends.
    fn tell(&self, command: &[u8]) {
        let text = String::from_utf8_lossy(command).into_owned();
        let (_, text) = text.split_once(' ').unwrap_or_default();
        self.shared.0.lock().unwrap().heard.push(text.to_owned());
        self.shared.1.notify_all();
    }

    fn answer(&mut self, tag: &str, command: &[u8]) -> Sent {
        let mut shared = self.shared.0.lock().unwrap();
        let shared = &mut *shared;
        if command != b"IDLE" {
            shared.heard.push(String::from_utf8_lossy(command).into_owned());
        }
        let fault =
            shared.faults.iter_mut().find_map(|fault| fault.strikes(command).then_some(fault));
        let does = fault.as_ref().is_none_or(|fault| fault.effect == Effect::Done);
        let right = if does {
            self.session.answer(&mut shared.world, tag, command)
        } else {
            self.session.answer(&mut shared.world.clone(), tag, command)
        };
        let renumbers = fault.as_ref().and_then(|_| shared.renumbers.take());
        let mut told = renumbers.map_or(Vec::new(), |(user, mailbox)| {
            self.session.renumbered(&mut shared.world, &user, &mailbox)
        });
        told.extend(right);
        let right = told;
        self.shared.1.notify_all();
        match fault {
            None => Sent { bytes: right, ends: false },
            Some(fault) => {
                shared.struck += 1;
                (fault.answer)(tag, right)
            }
        }
    }

    fn send(&mut self, sent: &Sent) -> bool {
        let stream = self.reader.get_mut();
        let whole = stream.write_all(&sent.bytes).is_ok();
        if sent.ends {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        whole && !sent.ends
    }
}

impl Fault {
    fn strikes(&mut self, command: &[u8]) -> bool {
        if !command.starts_with(self.command.as_bytes()) || self.times == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// The literal that a line ends with: its size, and whether the client waits for the go-ahead.
fn announced(line: &[u8]) -> Option<(usize, bool)> {
    let line = std::str::from_utf8(line).ok()?;
    let inner = line.strip_suffix('}')?.rsplit_once('{')?.1;
    match inner.strip_suffix('+') {
        Some(digits) => Some((digits.parse().ok()?, false)),
        None => Some((inner.parse().ok()?, true)),
    }
}
