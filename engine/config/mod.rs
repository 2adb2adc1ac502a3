//! `mailmill.toml`: read, checked as a whole, all faults at once.
//!
//! [`Config`] is the checked configuration that the rest of the engine works with: paths are
//! resolved, names are checked, durations are durations. Secrets are not read here, only named.
//!
//! How it is read: [`load`] opens the file and hands its tables to `accounts`, `pipelines` and
//! `places`; these read keys by typed `reader` calls, and what is wrong goes onto the `page`, so that
//! one pass tells everything. What only the whole can tell (two accounts that watch the same
//! mailbox) is in `overlap`. The only folder that uses the toml crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fault::{Fault, Faults};
use crate::mail::MailboxName;
use crate::pipeline::OnError;

pub use load::{LARGEST_FILE, Text};

mod accounts;
pub mod cases;
mod imap;
mod load;
mod login;
mod mask;
mod overlap;
mod page;
mod pipelines;
mod places;
mod quantity;
mod queue;
mod reader;
pub mod secret;
mod server;
mod smtp;
mod submission;
mod users;

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// That file's text, for faults found later. Passwords in it are masked, byte for byte, so that
    /// every offset stands.
    pub text: String,
    /// The folder that relative paths start at.
    pub folder: PathBuf,
    /// Where the engine keeps and finds its things.
    pub engine: Engine,
    /// Accounts by name.
    pub accounts: BTreeMap<String, Account>,
    /// Pipelines by name, in the order of their steps.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// How often and how long mail is tried.
    pub queue: QueueTimes,
    /// Lookup tables by name.
    pub tables: BTreeMap<String, Table>,
    /// Delivery targets by name.
    pub targets: BTreeMap<String, Target>,
    /// Where mail is taken in from mail programs, if anywhere.
    pub submission: Option<Submission>,
    /// Who may hand over mail, by name.
    pub users: BTreeMap<String, User>,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// The file may have 1 MiB, and 1,000 entries of a kind. Paths in it start at its folder.
    ///
    /// # Errors
    /// All faults at once, in order of their places.
    pub fn load(file: &Path) -> Result<Config, Faults> {
        let (config, faults) = Self::read(file);
        faults.into_result()?;
        config.ok_or_else(|| Fault::whole(file, "cannot be read").into())
    }

    /// Reads as much as can be read, beside all faults: what is wrong is left out, so that scripts
    /// and plugins can be checked in the same go. `None` where there is no TOML to read.
    ///
    /// Only for showing faults: the engine never runs on a partial configuration.
    pub fn read(file: &Path) -> (Option<Config>, Faults) {
        match Text::open(file) {
            Ok(text) => load::read(file, &text),
            Err(fault) => (None, fault.into()),
        }
    }

    /// As [`Config::read`], of a text that was read before.
    pub fn read_text(file: &Path, text: &Text) -> (Option<Config>, Faults) {
        load::read(file, text)
    }

    /// Gives accounts whose password stands in the file, where it was masked, that of the account of
    /// the same name in `other`. Says which accounts are left without one.
    pub fn take_passwords(&mut self, other: Option<&Config>) -> Vec<String> {
        let mut without = Vec::new();
        for (name, account) in &mut self.accounts {
            let known = other.and_then(|other| other.accounts.get(name));
            let known = known.map_or([None, None], Account::passwords);
            let mut missing = false;
            for (own, known) in account.passwords_mut().into_iter().zip(known) {
                match (own, known) {
                    (Some(own @ secret::Source::Inline(_)), Some(known)) => *own = known.clone(),
                    (Some(secret::Source::Inline(_)), None) => missing = true,
                    _ => {}
                }
            }
            if missing {
                without.push(name.clone());
            }
        }
        let known = |name: &str| other?.users.get(name)?.password.clone();
        for user in self.users.values_mut() {
            if matches!(user.password, Some(secret::Source::Inline(_))) {
                // Without one, the user cannot log in until the file on disk is in force again.
                user.password = known(&user.name);
            }
        }
        without
    }
}

/// `[engine]`.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Store, caches, control socket.
    pub data: PathBuf,
    /// `*.rhai`.
    pub scripts: PathBuf,
    /// `*.wasm`.
    pub plugins: PathBuf,
    /// Templates.
    pub templates: PathBuf,
    /// How changed rules come into force.
    pub reload: Reload,
}

/// The keys of `[engine]` that say how changed rules come into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// `watch`: how changes are seen (default `events`).
    pub watch: Look,
    /// `quiet`: how long files must be left alone before they are read (default 300 ms).
    pub quiet: Duration,
    /// `shadow`: how many messages a candidate decides beside the old rules before it is put in
    /// force (default 0).
    pub shadow: u64,
    /// `put_back`: whether a rise of step errors puts the old rules back (default true).
    pub put_back: bool,
    /// `retire`: how long replaced rules may still be in use before they are ended (default 1 min).
    pub retire: Duration,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            watch: Look::Events,
            quiet: Duration::from_millis(300),
            shadow: 0,
            put_back: true,
            retire: Duration::from_secs(60),
        }
    }
}

/// How changed files are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The system tells, and every 30 s they are looked at all the same.
    Events,
    /// They are looked at every 2 s, for file systems whose changes the system does not tell.
    Poll,
    /// They are not: only `mailmill reload` and SIGHUP bring changed rules into force.
    Never,
}

/// `[accounts.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Option<String>,
    /// More addresses of it.
    pub aliases: Vec<String>,
    /// Where its mail lives.
    pub source: Source,
    /// How its mail is relayed; without it nothing can be sent.
    pub smtp: Option<Smtp>,
    /// Link everything that arrives to this project.
    pub project: Option<String>,
    /// The mailboxes to watch.
    pub watch: Vec<Watch>,
    /// The pipeline for what arrives; without one the account is not watched.
    pub inbound: Option<String>,
    /// The pipeline for what is sent; without one it is sent as it came.
    pub outbound: Option<String>,
    /// What happens to a message that no rule moved.
    pub after: After,
    /// Make a mailbox that a rule names and that is missing (default true).
    pub create: bool,
    /// `false` pauses the account; its state is kept.
    pub active: bool,
    /// Use IDLE where the server has it (default true).
    pub idle: bool,
    /// How often to look without IDLE, and at mailboxes that are not idled on (default 60 s).
    pub poll: Duration,
    /// How long one IDLE lasts before it is renewed, which finds half-open connections (default
    /// 4 min, at most 29 min: RFC 2177).
    pub idle_renew: Duration,
    /// Deadline of one command to the server (default 60 s).
    pub deadline: Duration,
    /// The largest message that is fetched whole (default 150 MiB); a larger one is held.
    pub max_size: u64,
}

/// Where an account's mail lives.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// An IMAP server.
    Imap(Imap),
    /// A Maildir (Maildir++ subfolders).
    Maildir {
        /// Its folder.
        path: PathBuf,
    },
    /// Nowhere: the account only sends.
    None,
}

/// How to reach the relay of an account (RFC 6409).
#[derive(Debug, Clone, PartialEq)]
pub struct Smtp {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// A private CA to trust besides the system's, PEM.
    pub ca: Option<PathBuf>,
    /// Who logs in; without one nobody does.
    pub login: Option<Login>,
    /// The mailbox that gets a copy of what was sent.
    pub sent: Option<MailboxName>,
    /// `smtp_rate`: the most messages a minute; 0 is without a limit (default 30 for Microsoft's
    /// hosts, else 0).
    pub rate: u64,
    /// `smtp_connections`: the most connections at once (default 2).
    pub connections: u64,
    /// `smtp_deadline`: the longest that any step of the dialogue may take (default 10 min); steps
    /// have shorter limits of their own (RFC 5321 section 4.5.3.2).
    pub step: Duration,
}

/// Who logs in to a relay.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// How it is shown to be that user.
    pub credential: Credential,
}

/// How a user is shown to be that user.
#[derive(Debug, Clone, PartialEq)]
pub enum Credential {
    /// A password: AUTH PLAIN or LOGIN.
    Password(secret::Source),
    /// An access token: AUTH XOAUTH2.
    Token(secret::Source),
}

/// `[queue]`: how often and how long mail is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueTimes {
    /// The pauses between attempts; the last one repeats (default 1, 5, 15, 30 min, 1 h).
    pub retry: Vec<Duration>,
    /// After how long it is given up (default 5 d: RFC 5321 section 4.5.4.1).
    pub expire: Duration,
    /// After how long the sender is told that it takes longer (default 4 h).
    pub delay_notice: Duration,
}

impl Default for QueueTimes {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            retry: [1, 5, 15, 30, 60].map(minutes).to_vec(),
            expire: minutes(5 * 24 * 60),
            delay_notice: minutes(4 * 60),
        }
    }
}

/// How to reach an IMAP account.
#[derive(Debug, Clone, PartialEq)]
pub struct Imap {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// A private CA to trust besides the system's, PEM.
    pub ca: Option<PathBuf>,
    /// Who logs in.
    pub user: String,
    /// Where the password is.
    pub password: secret::Source,
}

/// How a connection is protected. There is no opportunistic form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// STARTTLS, required.
    StartTls,
    /// Clear text, to a loopback host only.
    None,
}

/// One entry of `watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// Also all below it.
    pub subfolders: bool,
}

impl Watch {
    /// Whether it covers this mailbox.
    pub fn covers(&self, mailbox: &MailboxName) -> bool {
        *mailbox == self.mailbox || (self.subfolders && mailbox.is_below(&self.mailbox))
    }
}

impl Account {
    /// Where the passwords for IMAP and for the relay are.
    fn passwords(&self) -> [Option<&secret::Source>; 2] {
        let imap = match &self.source {
            Source::Imap(imap) => Some(&imap.password),
            _ => None,
        };
        let login = self.smtp.as_ref().and_then(|smtp| smtp.login.as_ref());
        let smtp = login.and_then(|login| match &login.credential {
            Credential::Password(source) => Some(source),
            Credential::Token(_) => None,
        });
        [imap, smtp]
    }

    fn passwords_mut(&mut self) -> [Option<&mut secret::Source>; 2] {
        let imap = match &mut self.source {
            Source::Imap(imap) => Some(&mut imap.password),
            _ => None,
        };
        let login = self.smtp.as_mut().and_then(|smtp| smtp.login.as_mut());
        let smtp = login.and_then(|login| match &mut login.credential {
            Credential::Password(source) => Some(source),
            Credential::Token(_) => None,
        });
        [imap, smtp]
    }

    /// Its address, and its other addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.address.iter().chain(&self.aliases).map(String::as_str)
    }

    /// Whether it has this address, compared without regard to case.
    pub fn has(&self, address: &str) -> bool {
        self.addresses().any(|own| own.eq_ignore_ascii_case(address))
    }

    /// Whether messages that come to this mailbox are processed.
    pub fn watches(&self, mailbox: &MailboxName) -> bool {
        self.active
            && self.inbound.is_some()
            && self.watch.iter().any(|watch| watch.covers(mailbox))
    }
}

/// `after`: what happens to a message that no rule moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// It stays.
    Keep,
    /// It is moved.
    Move(MailboxName),
}

/// `[pipelines.NAME]`.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its steps in order.
    pub steps: Vec<Step>,
}

/// One step as configured.
#[derive(Debug, Clone)]
pub struct Step {
    /// Script or plugin.
    pub kind: StepKind,
    /// File name without its ending.
    pub name: String,
    /// `with`; an empty object where there is none.
    pub with: serde_json::Value,
    /// `on_error`.
    pub on_error: OnError,
    /// Byte offset of the step's name in the configuration file, for faults found later.
    pub offset: usize,
}

/// What a step is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// `scripts/NAME.rhai`
    Script,
    /// `plugins/NAME.wasm`
    Plugin,
}

/// `[tables.NAME]`.
#[derive(Debug, Clone)]
pub struct Table {
    /// A CSV file with a header line.
    pub file: PathBuf,
    /// The column that rows are found by.
    pub key: String,
    /// Byte offset of the table's file in the configuration, for faults found later.
    pub offset: usize,
}

/// `[targets.NAME]`: where `deliver_to` delivers.
#[derive(Debug, Clone)]
pub enum Target {
    /// A Maildir.
    Maildir {
        /// Its folder; it is made where it is missing.
        path: PathBuf,
    },
    /// A mailbox of another account.
    Account {
        /// The account's name.
        account: String,
        /// Its mailbox.
        mailbox: MailboxName,
    },
}

/// `[submission]`: where mail programs hand over mail (RFC 6409).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// What it shows; needed off loopback and for TLS from the first byte.
    pub certificate: Option<Certificate>,
    /// Its name in the greeting and in `Received:` (default: the machine's).
    pub host: Option<String>,
    /// The largest message, in bytes (default 150 MiB).
    pub max_size: u64,
    /// The most recipients of a message (default 1,000).
    pub max_recipients: usize,
    /// The most connections at once (default 200).
    pub max_connections: usize,
    /// The most connections at once from one client's address (default 50).
    pub max_per_client: usize,
    /// How long a client may be silent (default 5 min: RFC 5321 section 4.5.3.2.7).
    pub idle: Duration,
    /// How long a connection may last (default 1 h).
    pub longest: Duration,
}

/// One address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// IP address and port.
    pub address: std::net::SocketAddr,
    /// [`Security::Implicit`], or [`Security::StartTls`] where there is a certificate.
    pub security: Security,
}

/// A certificate with its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[users.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The name to log in with; also that of a user of the machine who calls `sendmail`.
    pub name: String,
    /// `name`: as people call him or her.
    pub full_name: Option<String>,
    /// Where the argon2 hash of the password is. Without one nobody can log in as this user.
    pub password: Option<secret::Source>,
    /// As whom this user may send.
    pub send_as: Vec<Right>,
}

/// An element of `send_as`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// `"*"`: as anybody.
    All,
    /// From this address.
    Address(String),
    /// From all addresses of this account.
    Account(String),
}
