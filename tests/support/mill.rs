//! A whole mailmill in a folder of its own: configuration, rules, plugin, the real binary.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must happen before it fails. Nothing waits this long when it is
/// right.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The root of the working copy.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The plugins to test: those in the tree, or those that CI has just built.
pub fn plugins() -> PathBuf {
    std::env::var_os("MAILMILL_TEST_PLUGINS").map_or_else(|| root().join("plugins"), PathBuf::from)
}

/// A folder with a configuration, and the shipped scripts and plugins beside it.
pub struct Mill {
    folder: TempDir,
    env: Vec<(&'static str, &'static str)>,
}

impl Mill {
    /// A mill with this `mailmill.toml`; scripts and plugins of the tree lie in its folders.
    pub fn new(config: &str) -> Self {
        Self::below(Path::new("/tmp"), config)
    }

    /// As [`Mill::new`], in a folder below this one.
    pub fn below(place: &Path, config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("mill").tempdir_in(place).unwrap();
        let mill = Self { folder, env: Vec::new() };
        mill.write("mailmill.toml", config);
        copy_all(&root().join("scripts"), &mill.path("scripts"), "rhai");
        copy_all(&plugins(), &mill.path("plugins"), "wasm");
        mill
    }

    /// This mill with a variable in its environment.
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in its folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Puts a message into the Maildir `name`, as a delivery agent would.
    pub fn deliver(&self, maildir: &str, base: &str, message: impl AsRef<[u8]>) {
        for folder in ["tmp", "cur"] {
            std::fs::create_dir_all(self.path(maildir).join(folder)).unwrap();
        }
        let tmp = format!("{maildir}/tmp/{base}");
        self.write(&tmp, message);
        std::fs::create_dir_all(self.path(maildir).join("new")).unwrap();
        std::fs::rename(self.path(&tmp), self.path(maildir).join("new").join(base)).unwrap();
    }

    /// Runs a command of mailmill in its folder.
    pub fn call(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must end with this exit code, and gives its standard output.
    #[track_caller]
    pub fn expect(&self, code: i32, args: &[&str]) -> String {
        let output = self.call(args);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        out.into_owned()
    }

    /// `run --once` with a JSON log: its events.
    #[track_caller]
    pub fn once(&self) -> Vec<Value> {
        let log = self.expect(0, &["run", "--once", "--log", "json"]);
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Starts the engine.
    pub fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// Starts the engine with these arguments besides.
    pub fn start_with(&self, more: &[&str]) -> Running {
        Self::started(self.command(&[&["run", "--log", "json"], more].concat()))
    }

    /// Starts the engine, which is to die at a fault point (`engine/fault_point.rs`).
    pub fn start_to_die(&self, point: &str) -> Running {
        let mut command = self.command(&["run", "--log", "json"]);
        command.env("MAILMILL_FAULT", format!("{point}:kill"));
        Self::started(command)
    }

    fn started(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, events) = channel();
        let log = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Running { child, events, seen: Vec::new() }
    }

    /// A command of mailmill that is still to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailmill"));
        command.args(args).current_dir(self.folder.path()).envs(self.env.iter().copied());
        command
    }
}

fn copy_all(from: &Path, to: &Path, ending: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|found| found == ending) {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// A running engine; it is killed when the test ends.
pub struct Running {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Running {
    /// Waits for the next event that fits; earlier ones are passed over.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if fits(&event) {
                        return event;
                    }
                }
                Err(_) => panic!("{what} did not happen; seen: {:#?}", self.seen),
            }
        }
    }

    /// Waits for an event of this kind.
    #[track_caller]
    pub fn wait_event(&mut self, kind: &str) -> Value {
        self.wait_for(kind, |event| event["event"] == kind)
    }

    /// Waits until every account is in this state.
    #[track_caller]
    pub fn wait_for_status(&self, state: &str, mill: &Mill) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = mill.call(&["status", "--json"]).stdout;
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let accounts = answer["engine"]["accounts"].as_object().cloned().unwrap_or_default();
            if !accounts.is_empty() && accounts.values().all(|account| account["state"] == state) {
                return;
            }
            assert!(Instant::now() < until, "the accounts are not {state}: {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every event so far that was waited for or passed over.
    pub fn seen(&self) -> &[Value] {
        &self.seen
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without a word.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it dies by itself, as it was told to.
    #[track_caller]
    pub fn wait_for_death(mut self) {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            let seen = || self.events.try_iter().collect::<Vec<_>>();
            assert!(Instant::now() < until, "it did not die: {:#?}", seen());
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status:?}");
    }

    /// Sends SIGTERM and waits for the end: the exit code and how long it took.
    pub fn terminate(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        signal(self.pid(), "TERM");
        let status = self.child.wait().unwrap();
        (status.code(), started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
