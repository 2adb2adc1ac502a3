//! A private Dovecot: own folder, own ports, own certificate authority. Dropping it ends it.
//!
//! Users are `alice`, `bob`, `carol` (password `NAME-pw`), `tiny` (64 KiB quota), all at
//! example.test, and [`ODD_USER`]. What tests see of mailboxes from outside goes through `doveadm`
//! or [`Dovecot::deliver_all`], never through the client under test.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mailmill::config::{Imap, Security, secret};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A user with a blank in the name, and a password with what needs quoting.
pub const ODD_USER: &str = "we ird@example.test";
pub const ODD_PASSWORD: &str = "p\\w \"q' {x}";

/// What the server announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Everything Dovecot can.
    Full,
    /// As Exchange Online: UIDPLUS, MOVE, IDLE, LITERAL+.
    Exchange,
    /// As Gmail.
    Gmail,
    /// UIDPLUS without MOVE: a move is a copy and an expunge.
    NoMove,
    /// IMAP4rev1 and nothing else.
    Bare,
}

pub struct Dovecot {
    folder: TempDir,
    profile: Profile,
    pub imap_port: u16,
    pub imaps_port: u16,
    /// The authority of the server's certificate.
    pub ca: PathBuf,
}

impl Dovecot {
    pub fn start(profile: Profile) -> Self {
        // Unix sockets bear no long paths, and Dovecot's own user must be able to enter.
        let folder = tempfile::Builder::new().prefix("mmd").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ca = folder.path().join("ca.pem");
        let mut dovecot = Self { folder, profile, imap_port: 0, imaps_port: 0, ca };
        dovecot.start_again();
        dovecot
    }

    /// Starts it after [`Dovecot::kill`], with its mail and on its ports.
    pub fn start_again(&mut self) {
        let profile = match self.profile {
            Profile::Full => "full",
            Profile::Exchange => "exchange",
            Profile::Gmail => "gmail",
            Profile::NoMove => "nomove",
            Profile::Bare => "bare",
        };
        let output = imapd().args(["start"]).arg(self.folder.path()).arg(profile).output().unwrap();
        assert!(
            output.status.success(),
            "Dovecot does not start: {}\nIs it installed? `tests/run` installs what tests need.",
            String::from_utf8_lossy(&output.stderr)
        );
        let env = String::from_utf8(output.stdout).unwrap();
        self.imap_port = port(&env, "IMAP_PORT=");
        self.imaps_port = port(&env, "IMAPS_PORT=");
    }

    /// Ends all its processes at once, as a crash of the machine would.
    pub fn kill(&self) {
        let master = self.master();
        // Stopped first, so that it starts no new children, which would keep the ports open.
        signal(master, Signal::STOP);
        while !has_stopped(master) {
            std::thread::yield_now();
        }
        let children = children(master).into_iter().map(|(pid, _)| pid);
        let all: Vec<i32> = children.chain([master]).collect();
        for pid in &all {
            signal(*pid, Signal::KILL);
        }
        while !all.iter().all(|pid| is_dead(*pid)) {
            std::thread::yield_now();
        }
    }

    /// Freezes every session: connections stay open and nothing answers on them.
    pub fn freeze_sessions(&self) {
        self.signal_sessions(Signal::STOP);
    }

    /// Ends [`Dovecot::freeze_sessions`].
    pub fn thaw_sessions(&self) {
        self.signal_sessions(Signal::CONT);
    }

    /// Throws a user's sessions out.
    pub fn kick(&self, user: &str) {
        self.doveadm(&["kick", user]);
    }

    /// Where to find it. `host` is the name in its certificate.
    pub fn settings(&self, user: &str, security: Security) -> Imap {
        let port = if security == Security::Implicit { self.imaps_port } else { self.imap_port };
        Imap {
            host: "localhost".into(),
            port,
            security,
            ca: (security != Security::None).then(|| self.ca.clone()),
            user: user.into(),
            password: secret::Source::Env("NOT_READ_HERE".into()),
        }
    }

    /// The password of a user.
    pub fn password(user: &str) -> String {
        match user {
            ODD_USER => ODD_PASSWORD.into(),
            _ => format!("{}-pw", user.split('@').next().unwrap()),
        }
    }

    /// Runs doveadm and gives what it prints; it must succeed.
    pub fn doveadm(&self, arguments: &[&str]) -> String {
        self.doveadm_with(arguments, b"")
    }

    /// Saves a message into a mailbox, which must exist.
    pub fn deliver(&self, user: &str, mailbox: &str, message: &[u8]) {
        self.doveadm_with(&["save", "-u", user, "-m", mailbox], message);
    }

    /// Saves many messages at once, by IMAP written by hand.
    pub fn deliver_all<'a>(
        &self,
        user: &str,
        mailbox: &str,
        messages: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let stream = TcpStream::connect(("127.0.0.1", self.imap_port)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut to = stream;
        write!(to, "a LOGIN \"{user}\" \"{}\"\r\n", Self::password(user)).unwrap();
        until(&mut lines, "a ");
        for message in messages {
            write!(to, "b APPEND \"{mailbox}\" {{{}+}}\r\n", message.len()).unwrap();
            to.write_all(message).unwrap();
            to.write_all(b"\r\n").unwrap();
            until(&mut lines, "b ");
        }
        write!(to, "c LOGOUT\r\n").unwrap();
        until(&mut lines, "c ");
    }

    /// Gives the user `c<NUMBER>@example.test` all the mail of another one, UIDs included. No session
    /// of either may be open.
    pub fn clone_user(&self, from: &str, number: usize) -> String {
        let to = format!("c{number}@example.test");
        let mail = self.folder.path().join("mail");
        // Ownership is kept: Dovecot has a user of its own.
        let copied = Command::new("cp").arg("-a").arg(mail.join(from)).arg(mail.join(&to)).status();
        assert!(copied.unwrap().success(), "copy the mail of {from}");
        to
    }

    /// The subjects in a mailbox, in the order of their UIDs.
    pub fn subjects(&self, user: &str, mailbox: &str) -> Vec<String> {
        self.fields(user, mailbox, "hdr.subject")
    }

    /// The UIDs in a mailbox.
    pub fn uids(&self, user: &str, mailbox: &str) -> Vec<u32> {
        self.fields(user, mailbox, "uid").iter().map(|uid| uid.parse().unwrap()).collect()
    }

    /// The flags of each message in a mailbox, in the order of their UIDs.
    pub fn flags(&self, user: &str, mailbox: &str) -> Vec<String> {
        self.fields(user, mailbox, "flags")
    }

    /// A user's mailboxes, as UTF-8.
    pub fn mailboxes(&self, user: &str) -> Vec<String> {
        let listed = self.doveadm(&["mailbox", "list", "-u", user]);
        listed.lines().map(ToOwned::to_owned).collect()
    }

    /// One field of each message of a mailbox, in the order of the UIDs.
    pub fn fields(&self, user: &str, mailbox: &str, field: &str) -> Vec<String> {
        let fields = format!("uid {field}");
        let printed =
            self.doveadm(&["-f", "tab", "fetch", "-u", user, &fields, "mailbox", mailbox]);
        let lines = printed.lines().skip(1);
        lines.map(|line| line.split('\t').next_back().unwrap().to_owned()).collect()
    }

    fn doveadm_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut doveadm = Command::new("doveadm");
        doveadm.arg("-c").arg(self.folder.path().join("dovecot.conf")).args(arguments);
        doveadm.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = doveadm.spawn().expect("doveadm is missing: `tests/run` installs it");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "doveadm {arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal_sessions(&self, what: Signal) {
        for (pid, name) in children(self.master()) {
            if name == "imap" {
                signal(pid, what);
            }
        }
    }

    fn master(&self) -> i32 {
        let pid = fs::read_to_string(self.folder.path().join("run/master.pid")).unwrap();
        pid.trim().parse().unwrap()
    }
}

impl Drop for Dovecot {
    /// Not in order: that takes Dovecot seconds, and nothing of it is needed any more.
    fn drop(&mut self) {
        if self.folder.path().join("run/master.pid").exists() {
            self.kill();
        }
    }
}

fn imapd() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/dovecot/imapd"))
}

fn port(env: &str, key: &str) -> u16 {
    env.lines().find_map(|line| line.strip_prefix(key)).unwrap().parse().unwrap()
}

fn until(lines: &mut impl Iterator<Item = std::io::Result<String>>, tag: &str) {
    let answer = lines.map(Result::unwrap).find(|line| line.starts_with(tag)).unwrap();
    assert!(answer.starts_with(&format!("{tag}OK")), "{answer}");
}

/// Process ids with their names.
fn children(parent: i32) -> Vec<(i32, String)> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let of: i32 = rest.split_whitespace().nth(1)?.parse().ok()?;
        (of == parent).then(|| (pid, name.to_owned()))
    });
    processes.collect()
}

fn is_dead(pid: i32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

fn has_stopped(pid: i32) -> bool {
    matches!(state(pid), None | Some('T' | 't' | 'Z' | 'X'))
}

/// `None` where there is no such process.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn signal(pid: i32, signal: Signal) {
    // One that is gone already needs no signal.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}
