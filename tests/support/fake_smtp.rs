//! A small SMTP server in memory that says what it is told to say: the answers no real server gives on
//! demand. It keeps what it took, and every line that it heard.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where in the dialogue the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Banner,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    End,
    Rset,
}

/// What it does instead of what it should.
#[derive(Debug, Clone)]
pub enum Act {
    /// It says these bytes.
    Say(String),
    /// It closes the connection.
    Close,
    /// It takes the message and closes the connection without a word.
    TakeAndClose,
    /// It says nothing.
    Silence,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    /// Its bytes as they were before the dots were doubled.
    pub text: String,
}

/// What to do at a stage: given its line, and how often the stage was reached before in all.
type Script = dyn Fn(Stage, &str, usize) -> Option<Act> + Send + Sync;

struct Shared {
    script: Box<Script>,
    taken: Mutex<Vec<Taken>>,
    heard: Mutex<Vec<String>>,
    reached: Mutex<Vec<Stage>>,
    /// Beside the name, a line each.
    extensions: Vec<String>,
}

pub struct FakeSmtp {
    pub port: u16,
    shared: Arc<Shared>,
}

impl FakeSmtp {
    /// A server that knows these extensions and follows this script.
    pub fn start(
        extensions: &[&str],
        script: impl Fn(Stage, &str, usize) -> Option<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            taken: Mutex::default(),
            heard: Mutex::default(),
            reached: Mutex::default(),
            extensions: extensions.iter().map(|line| (*line).to_owned()).collect(),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = serving.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, shared }
    }

    /// A server that takes everything.
    pub fn willing() -> Self {
        Self::start(&["SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN"], |_, _, _| None)
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    pub fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }
}

struct Session<'s> {
    stream: BufReader<TcpStream>,
    shared: &'s Shared,
}

impl Session<'_> {
    /// Says what the script says, else this; `None` where the connection ends.
    fn at(&mut self, stage: Stage, line: &str, usual: &str) -> Option<bool> {
        let act = self.act(stage, line);
        self.do_it(act, usual)
    }

    fn act(&self, stage: Stage, line: &str) -> Option<Act> {
        let before = {
            let mut reached = self.shared.reached.lock().unwrap();
            reached.push(stage);
            reached.iter().filter(|one| **one == stage).count() - 1
        };
        (self.shared.script)(stage, line, before)
    }

    fn do_it(&mut self, act: Option<Act>, usual: &str) -> Option<bool> {
        match act {
            None => {
                self.say(&format!("{usual}\r\n"))?;
                Some(true)
            }
            Some(Act::Say(bytes)) => {
                self.say(&bytes)?;
                Some(bytes.starts_with(['2', '3']))
            }
            Some(Act::Close | Act::TakeAndClose) => None,
            Some(Act::Silence) => {
                // Until the client has had enough.
                let _ = self.line();
                None
            }
        }
    }

    fn say(&mut self, bytes: &str) -> Option<()> {
        self.stream.get_mut().write_all(bytes.as_bytes()).ok()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// A login: what follows a challenge of the script is a line of this stage as well.
    fn auth(&mut self, mut line: String) -> Option<()> {
        loop {
            let act = self.act(Stage::Auth, &line);
            let asks = matches!(&act, Some(Act::Say(said)) if said.starts_with("334"));
            self.do_it(act, "235 2.7.0 welcome")?;
            if !asks {
                return Some(());
            }
            line = self.line()?.trim_end().to_owned();
            self.shared.heard.lock().unwrap().push(line.clone());
        }
    }

    fn data(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let line = self.line()?;
            if line == ".\r\n" {
                return Some(text);
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut session = Session { stream: BufReader::new(stream), shared };
    session.at(Stage::Banner, "", "220 fake.example.test ESMTP")?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let line = session.line()?.trim_end().to_owned();
        shared.heard.lock().unwrap().push(line.clone());
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let mut lines = vec!["fake.example.test".to_owned()];
                lines.extend(shared.extensions.iter().cloned());
                let last = lines.pop().unwrap();
                let mut hello: String =
                    lines.iter().map(|line| format!("250-{line}\r\n")).collect();
                hello.push_str(&format!("250 {last}"));
                session.at(Stage::Ehlo, &line, &hello)?;
            }
            "STARTTLS" => {
                session.at(Stage::StartTls, &line, "454 4.7.0 not here")?;
            }
            "AUTH" => session.auth(line)?,
            "MAIL" => {
                if session.at(Stage::Mail, &line, "250 2.1.0 fine")? {
                    (from, to) = (address(&line), Vec::new());
                }
            }
            "RCPT" => {
                if session.at(Stage::Rcpt, &line, "250 2.1.5 fine")? {
                    to.push(address(&line));
                }
            }
            "DATA" => {
                if !session.at(Stage::Data, &line, "354 go on")? {
                    continue;
                }
                let text = session.data()?;
                let taken = Taken { from: from.clone(), to: std::mem::take(&mut to), text };
                let act = session.act(Stage::End, &taken.text);
                if matches!(act, None | Some(Act::TakeAndClose)) {
                    shared.taken.lock().unwrap().push(taken);
                }
                session.do_it(act, "250 2.0.0 taken")?;
            }
            "RSET" => {
                to.clear();
                session.at(Stage::Rset, &line, "250 2.0.0 forgotten")?;
            }
            "QUIT" => {
                session.say("221 2.0.0 bye\r\n")?;
                return None;
            }
            _ => session.say("500 5.5.1 what?\r\n")?,
        }
    }
}

fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    line[start..].split('>').next().unwrap_or_default().to_owned()
}
