//! Dropped files -> the same entry as submission. The states of a dropped file stand at the head of
//! [`super::drop`].
//!
//! A file that is refused for good stays, under a name that is not picked up: a person may correct the
//! configuration and give it its old name back. One that cannot be taken now is tried again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::accept::{Accept, Refusal, Submission};
use super::dialogue::Reply;
use super::drop::{self, LONGEST_SLIP, Sender, Slip};
use super::{Intake, Queue, Stamp, Taken, Via, host, machine};
use crate::clock::Clock;
use crate::config::{Config, Right, User};
use crate::error::{Context, Error, Result, Retry};
use crate::mail::Envelope;
use crate::mail::envelope::{Body, Charset, EnvelopeAddress};
use crate::maillog::{Event, Maillog};
use crate::pipeline::Live;
use crate::store::{Change, Store};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How long a file that cannot be taken now waits.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a file may be unfinished.
const UNFINISHED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a user's name is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long the system may take to tell one.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message where no `[submission]` says.
const LARGEST: u64 = 150 << 20;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Under which names in the store it is noted that a file was taken.
const PLACE: (&str, &str) = ("(drop)", "pickup");

/// Picks dropped files up. Cheap to clone.
#[derive(Clone)]
pub struct Pickup {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    live: Live,
    store: Store,
    queue: Queue,
    accept: Arc<dyn Accept>,
    log: Maillog,
    clock: Clock,
    /// Names of the system's users, and since when they are known.
    names: Mutex<HashMap<u32, (String, Instant)>>,
    /// Files that wait to be tried again, and since when.
    waiting: Mutex<HashMap<String, Instant>>,
}

impl Pickup {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// The disk.
    pub fn open(
        data: &Path,
        live: Live,
        (store, queue): (&Store, &Queue),
        accept: Arc<dyn Accept>,
        (log, clock): (Maillog, Clock),
    ) -> Result<Self> {
        let folder = drop::folder(data);
        drop::make(&folder)?;
        let (store, queue) = (store.clone(), queue.clone());
        let (names, waiting) = (Mutex::default(), Mutex::default());
        let shared = Shared { folder, live, store, queue, accept, log, clock, names, waiting };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Picks files up until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            let names = match self.look() {
                Ok(names) => names,
                Err(error) => {
                    self.warn(error.to_string());
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            for name in names {
                if stop.is_cancelled() {
                    return;
                }
                self.file(&name).await;
            }
        }
    }

    /// The files that are to be picked up now, by name; what was never finished is removed.
    fn look(&self) -> Result<Vec<String>> {
        let folder = &self.shared.folder;
        let what = || format!("look into {}", folder.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).or_later(what)? {
            let entry = entry.or_later(what)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(".mail") && !self.waits(&name) {
                names.push(name);
            } else if name.ends_with(".tmp") {
                let age = entry.metadata().and_then(|status| status.modified());
                let age = age.ok().and_then(|at| at.elapsed().ok());
                if age.is_some_and(|age| age > UNFINISHED) {
                    // Whoever wrote it was never told that it is taken.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn waits(&self, name: &str) -> bool {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, since| since.elapsed() < AGAIN);
        waiting.contains_key(name)
    }

    async fn file(&self, name: &str) {
        let taken = self.take(name).await;
        let path = self.shared.folder.join(name);
        let Err(refusal) = taken.and_then(|()| self.remove(name).map_err(Refusal::later)) else {
            return;
        };
        let cause = refusal.cause.map(|error| format!(": {error}")).unwrap_or_default();
        let reply = refusal.reply;
        let text = format!("a message in {} was not taken: {reply}{cause}", path.display());
        if reply.code >= 500 {
            let kept = path.with_extension(drop::REFUSED);
            let renamed = fs::rename(&path, &kept);
            let then = match renamed {
                Ok(()) => format!(
                    "it is kept as {}: give it the ending .mail to have it tried again, or remove it",
                    kept.display()
                ),
                Err(why) => format!("and it cannot be put aside: {why}"),
            };
            self.warn(format!("{text}; {then}"));
            return;
        }
        self.warn(format!("{text}; it is tried again in a minute"));
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(name.to_owned(), Instant::now());
    }

    /// Takes a message, unless it was before.
    async fn take(&self, name: &str) -> Result<(), Refusal> {
        let Shared { store, live, .. } = &*self.shared;
        let (account, step) = PLACE;
        if store.state(account, step, name).map_err(Refusal::later)?.is_some() {
            return Ok(());
        }
        let (mut file, uid) = open(&self.shared.folder.join(name))?;
        let generation = live.now();
        let config = generation.config();
        let user = self.user(config, uid).await?;
        let slip = slip(&mut file)?;
        let mut envelope = envelope(&slip, user, config)?;
        let Taken { head, file, body } = self.read(file, &slip, (user, uid), config).await?;
        if body == Body::EightBitMime {
            envelope.body = body;
        }
        let changes = vec![note(name, "taken")];
        let user = user.name.clone();
        let submission = Submission { user, envelope, head, file, changes };
        self.shared.accept.accept(submission).await.map(|_| ())
    }

    /// The message itself, into a spool file.
    async fn read(
        &self,
        mut file: BufReader<File>,
        slip: &Slip,
        (user, uid): (&User, u32),
        config: &Config,
    ) -> Result<Taken, Refusal> {
        let terms = config.submission.as_ref();
        let most = terms.map_or(LARGEST, |terms| terms.max_size);
        let host = terms.map_or_else(machine, host);
        let from = own_from(slip, user, config);
        let stamp = Stamp::new(&host, self.shared.clock.now_ms(), Via::Command { uid });
        let mut intake = Intake::begin(self.shared.queue.spool(), stamp.or_from(from));
        let (mut size, mut line_ends) = (0, LineEnds::default());
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE);
                let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                read.map(|_| (file, piece))
            });
            let what = || "read a dropped message".to_owned();
            let read = read.await.or_later(what).and_then(|read| read.or_later(what));
            let (back, piece) = read.map_err(Refusal::later)?;
            if piece.is_empty() {
                line_ends.finish()?;
                return intake.finish().await;
            }
            size += piece.len() as u64;
            if size > most {
                return Err(Reply::new(552, "5.3.4", "it is larger than is accepted").into());
            }
            line_ends.check(&piece)?;
            intake.write(&piece).await?;
            file = back;
        }
    }

    /// Whose a file is, as the configuration knows him.
    async fn user<'c>(&self, config: &'c Config, uid: u32) -> Result<&'c User, Refusal> {
        let name = self.name(uid).await.map_err(|error| match error.retry() {
            Retry::Later => Refusal::later(error),
            Retry::Never => Reply::new(550, "5.7.60", error.why()).into(),
        })?;
        config.users.get(&name).ok_or_else(|| {
            let text = format!("{name} (userid {uid}) is none of [users]");
            Reply::new(550, "5.7.60", text).into()
        })
    }

    /// The name of a user of this machine, wherever the system has it from.
    async fn name(&self, uid: u32) -> Result<String> {
        let known = {
            let names = self.shared.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.get(&uid).filter(|(_, since)| since.elapsed() < REMEMBERED).cloned()
        };
        if let Some((name, _)) = known {
            return Ok(name);
        }
        let name = user_name(uid).await?;
        let mut names = self.shared.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(uid, (name.clone(), Instant::now()));
        Ok(name)
    }

    /// Removes the file of a message that was taken, and then the note of it.
    fn remove(&self, name: &str) -> Result<()> {
        let Shared { folder, store, .. } = &*self.shared;
        let what = || format!("remove the dropped message {name}");
        // The note that it was taken must not come back once the file is gone.
        store.sync()?;
        match fs::remove_file(folder.join(name)) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                return Err(why).or_later(what);
            }
            _ => {}
        }
        File::open(folder).and_then(|folder| folder.sync_all()).or_later(what)?;
        store.put(&[note(name, "")])
    }

    fn warn(&self, text: String) {
        self.shared.log.say(&Event::Warning { text });
    }
}

impl std::fmt::Debug for Pickup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pickup").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

fn note(name: &str, value: &str) -> Change {
    let (account, step) = PLACE;
    let (key, value) = (name.to_owned(), value.to_owned());
    Change::State { account: account.into(), step: step.into(), key, value }
}

/// The name that the system has for a user.
///
/// # Errors
/// Permanent: there is none. Temporary: nobody tells.
pub async fn user_name(uid: u32) -> Result<String> {
    let what = || format!("learn the name of userid {uid}");
    let mut command = Command::new("id");
    command.arg("-un").arg(uid.to_string()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| Error::temporary(what(), "`id` takes too long"))?;
    let output = output.or_later(what)?;
    let name = String::from_utf8(output.stdout).unwrap_or_default().trim().to_owned();
    if !output.status.success() || name.is_empty() {
        return Err(Error::permanent(what(), format!("this machine has no user of number {uid}")));
    }
    Ok(name)
}

/// Opens a dropped file and tells whose it is. What another user could have slipped in is none: a
/// link to a file of somebody else, a pipe.
fn open(path: &Path) -> Result<(BufReader<File>, u32), Refusal> {
    let what = || format!("open {}", path.display());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(rustix::io::Errno::LOOP) => {
            return Err(Reply::new(550, "5.7.0", "it is a symbolic link").into());
        }
        Err(why) => return Err(Refusal::later(Error::temporary(what(), why))),
    };
    let status = opened.metadata().or_later(what).map_err(Refusal::later)?;
    if !status.is_file() || status.nlink() != 1 {
        return Err(Reply::new(550, "5.7.0", "it is no file of its own").into());
    }
    Ok((BufReader::new(opened), status.uid()))
}

fn slip(file: &mut BufReader<File>) -> Result<Slip, Refusal> {
    let what = || "read a dropped message".to_owned();
    let mut line = Vec::new();
    let read = file.by_ref().take(LONGEST_SLIP).read_until(b'\n', &mut line);
    read.or_later(what).map_err(Refusal::later)?;
    let wrong = || Reply::new(554, "5.6.0", "its first line is not what sendmail writes");
    let slip: Slip = serde_json::from_slice(&line).map_err(|_| wrong())?;
    if slip.v != 1 || slip.recipients.is_empty() { Err(wrong().into()) } else { Ok(slip) }
}

fn envelope(slip: &Slip, user: &User, config: &Config) -> Result<Envelope, Reply> {
    let reverse_path = match &slip.sender {
        Sender::Null => None,
        Sender::Address(address) => Some(address.clone()),
        Sender::Own => Some(own_address(user, config).ok_or_else(|| {
            let text = format!("{} has no address to send from: name one with -f", user.name);
            Reply::new(550, "5.7.60", text)
        })?),
    };
    let paths = slip.recipients.iter().map(|recipient| &recipient.address);
    let ascii = paths.chain(&reverse_path).all(EnvelopeAddress::is_ascii);
    Ok(Envelope {
        reverse_path,
        recipients: slip.recipients.clone(),
        ret: slip.ret,
        envid: slip.envid.clone(),
        body: slip.body,
        charset: if ascii { Charset::Ascii } else { Charset::Utf8 },
    })
}

/// The first address that a user may send as.
fn own_address(user: &User, config: &Config) -> Option<EnvelopeAddress> {
    let mut addresses = user.send_as.iter().flat_map(|right| match right {
        Right::Address(address) => vec![address.as_str()],
        Right::Account(name) => config
            .accounts
            .get(name)
            .map(|account| account.addresses().collect())
            .unwrap_or_default(),
        Right::All => Vec::new(),
    });
    addresses.find_map(|address| EnvelopeAddress::new(address).ok())
}

/// The From that a message without one gets.
fn own_from(slip: &Slip, user: &User, config: &Config) -> Option<String> {
    let address = match &slip.sender {
        Sender::Address(address) => address.clone(),
        _ => own_address(user, config)?,
    };
    let name = slip.full_name.as_ref().or(user.full_name.as_ref());
    let name = name.filter(|name| !name.chars().any(char::is_control));
    Some(match name {
        Some(name) => {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{quoted}\" <{address}>")
        }
        None => address.to_string(),
    })
}

/// `sendmail` writes CRLF and nothing else; whoever writes a file otherwise wants another server to
/// see another end of the message.
#[derive(Debug, Default)]
struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    fn check(&mut self, piece: &[u8]) -> Result<(), Reply> {
        for byte in piece {
            match (self.after_cr, byte) {
                (_, 0) => return Err(Reply::new(550, "5.6.0", "the message has a NUL")),
                (true, b'\n') => {}
                (true, _) | (false, b'\n') => return Err(bare()),
                _ => {}
            }
            self.after_cr = *byte == b'\r';
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Reply> {
        if self.after_cr { Err(bare()) } else { Ok(()) }
    }
}

fn bare() -> Reply {
    Reply::new(550, "5.6.11", "the message has a bare CR or LF")
}
