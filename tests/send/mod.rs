//! What was promised to be sent is sent: the queue, the relay, the runner, and the reports.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mailmill::clock::Clock;
use mailmill::config::Config;
use mailmill::mail::{Envelope, EnvelopeAddress};
use mailmill::maillog::{Form, Maillog};
use mailmill::send::{Outgoing, Queue, Runner, Spool};
use mailmill::store::{Origin, QueueEntry, Store};
use tempfile::TempDir;

use crate::support::mill::PATIENCE;
use crate::support::queued::queued_files;

mod copies;
mod crash;
mod damage;
mod many;
mod promise;
mod queue;
mod relay;
mod reload;
mod report;
mod server;

/// A moment to begin at.
const START: i64 = 1_790_000_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A queue with who relays it, in a folder of its own.
struct Post {
    folder: TempDir,
    config: Arc<Config>,
    store: Store,
    queue: Queue,
    time: Arc<AtomicI64>,
    log: Arc<Mutex<Vec<u8>>>,
    maillog: Maillog,
    runner: Option<Runner>,
}

/// Where a log is written to be read by a test.
#[derive(Clone)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An account `a` that is relayed by a server on this port, without TLS; `more` are further lines of
/// it, `rest` the sections after it.
fn plain(port: u16, more: &str, rest: &str) -> String {
    format!(
        "[accounts.a]\naddress = \"anna@example.test\"\nsmtp = \"smtp://127.0.0.1:{port}\"\n\
         tls = \"none\"\n{more}\n{rest}\n"
    )
}

/// Retries come fast.
const FAST: &str = "[queue]\nretry = [\"100ms\"]\n";

impl Post {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::in_folder(folder, config)
    }

    fn in_folder(folder: TempDir, config: &str) -> Self {
        let file = folder.path().join("mailmill.toml");
        std::fs::write(&file, config).unwrap();
        let config = match Config::load(&file) {
            Ok(config) => Arc::new(config),
            Err(faults) => panic!("{faults}"),
        };
        let time = Arc::new(AtomicI64::new(START));
        let clock = Clock::Fixed(time.clone());
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let maillog = Maillog::new(Form::Json, clock.clone(), Box::new(Page(log.clone())));
        let data = &config.engine.data;
        let store = Store::open(data).unwrap();
        let spool = Spool::open(data).unwrap();
        let queue = Queue::new(store.clone(), spool, (clock, maillog.clone()));
        queue.recover().unwrap();
        Self { folder, config, store, queue, time, log, maillog, runner: None }
    }

    /// Begins to relay.
    fn run(&mut self) {
        self.runner = Some(Runner::start(self.queue.clone(), &self.config));
    }

    async fn stop(&mut self) {
        if let Some(runner) = self.runner.take() {
            runner.stop(Duration::from_secs(5)).await;
        }
    }

    /// Ends and begins anew with what is on disk.
    async fn again(mut self) -> Self {
        self.stop().await;
        let text = std::fs::read_to_string(self.path("mailmill.toml")).unwrap();
        let Self { folder, store, queue, .. } = self;
        drop((store, queue));
        Self::in_folder(folder, &text)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The time becomes later.
    fn pass(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::SeqCst);
        self.queue.wake();
    }

    /// Queues a message.
    async fn put(&self, outgoing: Outgoing, text: &str) -> u64 {
        let mut file = self.queue.spool().begin();
        file.write(text.as_bytes()).await.unwrap();
        self.queue.accept(outgoing, file).await.unwrap()
    }

    /// Queues a small message from anna to these.
    async fn send(&self, token: &str, to: &[&str]) -> u64 {
        self.put(outgoing(token, to), &letter(token)).await
    }

    fn entry(&self, id: u64) -> QueueEntry {
        self.queue.show(id).unwrap().unwrap()
    }

    /// Waits for something to become true.
    #[track_caller]
    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is() {
            let list = self.queue.list().unwrap();
            assert!(Instant::now() < until, "{what} did not happen: {list:#?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn until_empty(&self) {
        self.until("an empty queue", || {
            let figures = self.queue.figures();
            figures.waiting + figures.held == 0
                && self.queue.list().unwrap().is_empty()
                && self.files().is_empty()
        });
    }

    /// All lines of the log.
    fn said(&self) -> String {
        self.maillog.finish();
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// Names of files in the spool.
    fn files(&self) -> Vec<String> {
        queued_files(&self.config.engine.data)
    }
}

fn to(address: &str) -> EnvelopeAddress {
    EnvelopeAddress::new(address).unwrap()
}

fn outgoing(token: &str, recipients: &[&str]) -> Outgoing {
    let recipients = recipients.iter().map(|one| to(one)).collect();
    Outgoing {
        account: "a".into(),
        user: Some("anna".into()),
        origin: Origin::Submission,
        envelope: Envelope::plain(Some(to("anna@example.test")), recipients),
        message_id: Some(format!("{token}@example.test")),
        subject: Some(format!("About {token}")),
        project: None,
        generation: 1,
        digest: "0123456789ab".into(),
        held: None,
        changes: Vec::new(),
    }
}

fn letter(token: &str) -> String {
    format!(
        "From: anna@example.test\r\nSubject: About {token}\r\nMessage-ID: <{token}@example.test>\r\n\
         X-Token: {token}\r\n\r\nHello.\r\n.\r\n..\r\n"
    )
}

/// How often a message with this token is among these texts.
fn times<'t>(token: &str, texts: impl Iterator<Item = &'t str>) -> usize {
    let line = format!("X-Token: {token}\r\n");
    texts.filter(|text| text.contains(&line)).count()
}

fn exists(path: &Path) -> bool {
    path.exists()
}
