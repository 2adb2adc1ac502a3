//! The control socket: commands ask the running engine, because only one process holds the store.
//!
//! A request and its answer are one line of JSON each. Where no engine runs, the command opens the
//! store itself and gets the same answers from the same [`Desk`].

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::daemon::{Reloads, Status, Wish};
use crate::error::{Context, Error, Result, Retry};
use crate::fault_point::{Point, reach};
use crate::maillog::{Form, Maillog};
use crate::send::{Queue, Spool, drop};
use crate::store::{Generations, MessageRecord, State, Store, changes};

const NAME: &str = "control.sock";

/// Bytes of one request.
const REQUEST: u64 = 64 << 10;

/// How long a command waits for the engine's answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// The engine and its accounts.
    Status,
    /// Held messages.
    Held,
    /// Decide held messages again at once.
    HeldRetry {
        /// Their ids; empty means all.
        ids: Vec<u64>,
    },
    /// Let held messages go: they stay where they are and nothing more happens to them.
    HeldRelease {
        /// Their ids.
        ids: Vec<u64>,
    },
    /// Records by id or Message-ID.
    Explain {
        /// The id or Message-ID.
        what: String,
    },
    /// The newest records.
    Recent {
        /// How many.
        limit: usize,
    },
    /// What is linked to a project.
    Links {
        /// The project's code.
        project: String,
    },
    /// What the store holds, and whether it is well.
    StoreCheck,
    /// Write the whole store into a file, which must not exist.
    StoreExport {
        /// Its absolute path.
        to: PathBuf,
    },
    /// The number of the generation with this digest; null where the newest one has another.
    Generation {
        /// Its digest.
        digest: String,
    },
    /// Bring changed rules into force; answers with a number to ask [`Request::Came`] by.
    Reload {
        /// What exactly.
        wish: Wish,
    },
    /// What came of a reload; null where that is still open.
    Came {
        /// Its number.
        number: u64,
    },
    /// The generations that are kept.
    Generations,
    /// How the files of two generations differ.
    GenerationDiff {
        /// The older one.
        from: u64,
        /// The newer one; 0 means the one in force.
        to: u64,
    },
    /// What waits to be sent, a part of it at once.
    Queue {
        /// The first id.
        from: u64,
        /// How many.
        limit: usize,
    },
    /// One message that waits to be sent.
    QueueShow {
        /// Its id.
        id: u64,
    },
    /// Try messages in the queue at once.
    QueueRetry {
        /// Their ids; empty means all that are not held.
        ids: Vec<u64>,
    },
    /// Let messages in the queue wait for a person.
    QueueHold {
        /// Their ids.
        ids: Vec<u64>,
        /// Why.
        reason: String,
    },
    /// Send held messages of the queue.
    QueueRelease {
        /// Their ids.
        ids: Vec<u64>,
    },
    /// Remove messages from the queue without sending them.
    QueueDrop {
        /// Their ids.
        ids: Vec<u64>,
    },
    /// A step's memory.
    StepState {
        /// The account.
        account: String,
        /// The step.
        step: String,
        /// The key.
        key: String,
    },
}

/// Whoever answers: the store, and the accounts where an engine runs.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    status: Option<Status>,
    reloads: Option<Reloads>,
    generations: Option<Generations>,
    queue: Option<Queue>,
    /// The data folder, where mail is dropped.
    data: Option<PathBuf>,
    clock: Clock,
}

impl Desk {
    /// A desk over a store, with the status of the running accounts where there are some.
    pub fn new(store: Store, status: Option<Status>, clock: Clock) -> Self {
        Self { store, status, reloads: None, generations: None, queue: None, data: None, clock }
    }

    /// The desk of a running engine.
    pub fn of_engine(
        store: &Store,
        (status, reloads): (&Status, Option<Reloads>),
        clock: &Clock,
    ) -> Self {
        let desk = Self::new(store.clone(), Some(status.clone()), clock.clone());
        Self { reloads, ..desk }
    }

    /// With the generations that are kept, and the mail that is dropped, in this data folder.
    #[must_use]
    pub fn with_folder(self, data: &Path) -> Self {
        Self { generations: Some(Generations::of(data)), data: Some(data.to_owned()), ..self }
    }

    /// With the queue of a running engine.
    #[must_use]
    pub fn with_queue(self, queue: &Queue) -> Self {
        Self { queue: Some(queue.clone()), ..self }
    }

    /// With the queue of this data folder, of which nothing is sent now.
    ///
    /// # Errors
    /// The queue's folder cannot be opened, or the store not be read.
    pub fn with_queue_in(self, data: &Path) -> Result<Self> {
        let log = Maillog::new(Form::Text, self.clock.clone(), Box::new(std::io::sink()));
        let queue = Queue::new(self.store.clone(), Spool::open(data)?, (self.clock.clone(), log));
        queue.look()?;
        Ok(self.with_queue(&queue))
    }

    /// Answers a request.
    ///
    /// # Errors
    /// A store that cannot be read or written, or an id that is not held.
    pub fn answer(&self, request: &Request) -> Result<Value> {
        match request {
            Request::Status => self.status(),
            Request::Held => value(&self.store.held()?),
            Request::HeldRetry { ids } => self.retry(ids),
            Request::HeldRelease { ids } => self.release(ids),
            Request::Explain { what } => value(&self.store.find(what)?),
            Request::Recent { limit } => value(&self.store.recent(*limit)?),
            Request::Links { project } => value(&self.store.links(project)?),
            Request::StoreCheck => value(&self.store.survey()),
            Request::StoreExport { to } => self.export(to),
            Request::Generation { digest } => value(&self.store.known_generation(digest)?),
            Request::Reload { wish } => value(&self.reloads()?.ask(*wish)?),
            Request::Came { number } => value(&self.reloads()?.came(*number)?),
            Request::Generations => self.kept(),
            Request::GenerationDiff { from, to } => self.diff(*from, *to),
            Request::Queue { from, limit } => value(&self.queue()?.page(*from, *limit)?),
            Request::QueueShow { id } => self.queued(*id),
            Request::QueueRetry { ids } => value(&self.queue()?.retry(ids)?),
            Request::QueueHold { ids, reason } => value(&self.queue()?.hold(ids, reason)?),
            Request::QueueRelease { ids } => value(&self.queue()?.release(ids)?),
            Request::QueueDrop { ids } => value(&self.queue()?.drop(ids)?),
            Request::StepState { account, step, key } => {
                value(&self.store.state(account, step, key)?)
            }
        }
    }

    fn reloads(&self) -> Result<&Reloads> {
        self.reloads.as_ref().ok_or_else(|| {
            Error::temporary("reload the rules", "no engine runs that could")
                .next("the next `mailmill run` starts with what is on disk")
        })
    }

    fn queue(&self) -> Result<&Queue> {
        let what = "look at the queue";
        self.queue.as_ref().ok_or_else(|| Error::permanent(what, "none is known here"))
    }

    fn queued(&self, id: u64) -> Result<Value> {
        match self.queue()?.show(id)? {
            Some(entry) => value(&entry),
            None => Err(Error::permanent(
                format!("find queued message {id}"),
                "it is not in the queue: it was sent, given up or dropped",
            )
            .next("see `mailmill queue list`, and the log")),
        }
    }

    fn generations(&self) -> Result<&Generations> {
        let what = "look at kept generations";
        self.generations.as_ref().ok_or_else(|| Error::permanent(what, "none are known here"))
    }

    fn in_force(&self) -> Result<u64> {
        match &self.status {
            Some(status) => Ok(status.snapshot().generation),
            None => Ok(self.generations()?.standing().generation),
        }
    }

    fn kept(&self) -> Result<Value> {
        let (kept, in_force) = (self.generations()?.list(), self.in_force()?);
        Ok(json!({ "v": 1, "in_force": in_force, "kept": kept }))
    }

    fn diff(&self, from: u64, to: u64) -> Result<Value> {
        let generations = self.generations()?;
        let to = if to == 0 { self.in_force()? } else { to };
        value(&changes(&generations.files(from)?, &generations.files(to)?))
    }

    fn export(&self, to: &Path) -> Result<Value> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        let file = file.or_later(|| format!("write {}", to.display()))?;
        let mut file = BufWriter::new(file);
        let exported = self.store.export(&mut file)?;
        value(&exported)
    }

    fn status(&self) -> Result<Value> {
        let engine = match &self.status {
            Some(status) => value(&status.snapshot())?,
            None => Value::Null,
        };
        let held = self.store.held()?.len();
        let queue = self.queue.as_ref().map(Queue::figures);
        let refused = self.data.as_deref().map(drop::refused).transpose()?;
        Ok(json!({
            "v": 1, "running": self.status.is_some(), "engine": engine, "held": held, "queue": queue,
            "drop_refused": refused,
        }))
    }

    fn retry(&self, ids: &[u64]) -> Result<Value> {
        let now = self.clock.now_ms();
        let due = |record: &mut MessageRecord| {
            if let Some(hold) = &mut record.hold {
                hold.retry_at_ms = Some(now);
            }
        };
        if ids.is_empty() {
            let all: Vec<u64> = self.store.held()?.iter().map(|record| record.id).collect();
            return self.told(&self.change_held(&all, due)?);
        }
        self.told(&self.change(ids, due)?)
    }

    fn release(&self, ids: &[u64]) -> Result<Value> {
        if ids.is_empty() {
            return Err(Error::permanent("release held messages", "no id was given"));
        }
        self.told(&self.change(ids, |record| record.state = State::Released)?)
    }

    /// Changes the held records that a person named: all of them must be held.
    fn change(&self, ids: &[u64], change: impl FnMut(&mut MessageRecord)) -> Result<Vec<u64>> {
        let not_held = |id: u64, why: &str| {
            Error::permanent(format!("find held message {id}"), why)
                .next("see `mailmill held list`")
        };
        // A wrong id changes nothing at all.
        for id in ids {
            if self.store.record(*id)?.is_none_or(|record| record.state != State::Held) {
                return Err(not_held(*id, "it is not held"));
            }
        }
        let changed = self.change_held(ids, change)?;
        match ids.iter().find(|id| !changed.contains(id)) {
            // Its account was faster; the others are changed.
            Some(id) => Err(not_held(*id, "it was decided anew this very moment")),
            None => Ok(changed),
        }
    }

    fn change_held(&self, ids: &[u64], change: impl FnMut(&mut MessageRecord)) -> Result<Vec<u64>> {
        reach(Point::HeldUnchanged);
        let changed = self.store.change_held(ids, change);
        reach(Point::HeldChanged);
        changed
    }

    /// Calls the accounts to look, and answers with the ids.
    fn told(&self, ids: &[u64]) -> Result<Value> {
        if let Some(status) = &self.status {
            status.wake_all();
        }
        value(&ids)
    }
}

fn value<T: Serialize>(answer: &T) -> Result<Value> {
    serde_json::to_value(answer).or_later(|| "write the answer".into())
}

/// A socket that is listened on until it is closed or dropped.
pub struct Listening {
    stop: CancellationToken,
    path: PathBuf,
}

impl Listening {
    /// Stops listening and removes the socket.
    pub fn close(self) {}
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens in the engine's data folder; only its owner may connect (the folder is 0700).
///
/// # Errors
/// A socket that cannot be made.
pub fn listen(data: &Path, desk: Desk) -> Result<Listening> {
    let path = data.join(NAME);
    // Whoever held it is gone: the store's lock is ours.
    let _ = std::fs::remove_file(&path);
    let socket = through(data, |short| tokio::net::UnixListener::bind(short))
        .or_later(|| format!("listen on {}", path.display()))?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, desk.clone()))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                () = stopped.cancelled() => return,
            }
        }
    });
    Ok(Listening { stop, path })
}

async fn serve(stream: tokio::net::UnixStream, desk: Desk) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(REQUEST));
    let heard = tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await;
    if !matches!(heard, Ok(Ok(length)) if length > 0) {
        return;
    }
    let answered = tokio::task::spawn_blocking(move || reply(&line, &desk)).await;
    if let Ok(answer) = answered {
        // Who does not read the answer does not get it.
        let _ = write.write_all(answer.as_bytes()).await;
    }
}

fn reply(line: &str, desk: &Desk) -> String {
    let answer = serde_json::from_str::<Request>(line)
        .map_err(|why| Error::permanent("understand the request", why))
        .and_then(|request| desk.answer(&request));
    let reply = match answer {
        Ok(answer) => json!({ "ok": answer }),
        Err(error) => json!({ "error": error.to_string(), "retry": error.retry() }),
    };
    format!("{reply}\n")
}

/// Asks the engine that runs on this data folder; `Ok(None)` where none runs.
///
/// # Errors
/// The engine's own error, or an engine that does not answer.
pub fn ask(data: &Path, request: &Request) -> Result<Option<Value>> {
    let Ok(mut stream) = through(data, |short| UnixStream::connect(short)) else {
        return Ok(None);
    };
    let what = || "ask the running engine".to_owned();
    stream.set_read_timeout(Some(PATIENCE)).or_later(what)?;
    let line = serde_json::to_string(request).or_later(what)?;
    stream.write_all(format!("{line}\n").as_bytes()).or_later(what)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).or_later(what)?;
    let answer: Value = serde_json::from_str(&answer).or_later(what)?;
    match (answer.get("ok"), answer.get("error").and_then(Value::as_str)) {
        (Some(ok), _) => Ok(Some(ok.clone())),
        (None, error) => {
            let why = error.unwrap_or("it gave no answer");
            let later = serde_json::from_value(answer["retry"].clone()).unwrap_or(Retry::Later);
            Err(match later {
                Retry::Later => Error::temporary(what(), why),
                Retry::Never => Error::permanent(what(), why),
            })
        }
    }
}

/// Reaches the socket by a short path, whatever the folder's length: a Unix socket's path ends at
/// 108 bytes.
fn through<T>(data: &Path, reach: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let folder = std::fs::File::open(data)?;
    reach(&PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd())))
}
