//! A whole engine in this process, over IMAP accounts of a server that misbehaves: fast enough to
//! be started thousands of times, each start with the same store and a clock that has moved on.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailmill::clock::Clock;
use mailmill::daemon::{Engine, Start, Until};
use mailmill::error::Result;
use mailmill::maillog::{Form, Maillog};
use mailmill::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How far the clock moves from one run to the next: over every pause of a held message but the
/// last.
const STEP_MS: i64 = 70 * 60 * 1000;

pub struct Office {
    folder: TempDir,
    runtime: Runtime,
    now_ms: AtomicI64,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Office {
    /// An engine with this `mailmill.toml`, this script `sort`, and a file `secret` with this
    /// password.
    pub fn new(config: &str, script: &str, password: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("mmo").tempdir_in("/tmp").unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(8 << 20)
            .enable_all()
            .build()
            .unwrap();
        let now_ms = AtomicI64::new(1_790_000_000_000);
        let office = Self { folder, runtime, now_ms, log: Arc::default() };
        std::fs::create_dir(office.path("scripts")).unwrap();
        std::fs::write(office.path("scripts/sort.rhai"), script).unwrap();
        let pipeline = "\n[pipelines.sort]\nsteps = [{ script = \"sort\" }]\n";
        std::fs::write(office.path("mailmill.toml"), config.to_owned() + pipeline).unwrap();
        std::fs::write(office.path("secret"), password).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(office.path("secret"), private).unwrap();
        office
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One look through all accounts, by an engine that is started for it.
    ///
    /// # Errors
    /// What an account was lost by.
    pub fn look(&self) -> Result<()> {
        let (engine, log) = self.engine();
        let looked = self.runtime.block_on(engine.run(Until::Settled, CancellationToken::new()));
        log.finish();
        looked
    }

    /// An engine that runs until it is stopped.
    pub fn start(&self) -> Started<'_> {
        let (engine, log) = self.engine();
        let stop = CancellationToken::new();
        let task = self.runtime.spawn(engine.run(Until::Stopped, stop.clone()));
        Started { office: self, stop, task, log }
    }

    fn engine(&self) -> (Engine, Maillog) {
        let attempt = mailmill::pipeline::load(&self.path("mailmill.toml"));
        let start = Start::with(attempt).unwrap();
        let clock = Clock::fixed(self.now_ms.fetch_add(STEP_MS, Ordering::Relaxed));
        let log = Maillog::new(Form::Json, clock.clone(), Box::new(Shared(self.log.clone())));
        (Engine::open(start, log.clone(), clock).unwrap(), log)
    }

    /// The store, while no engine runs.
    pub fn store(&self) -> Store {
        Store::open_within(&self.path("data"), Duration::from_secs(5)).unwrap()
    }

    /// Everything that was told so far.
    pub fn told(&self) -> String {
        String::from_utf8(self.log.lock().unwrap().clone()).unwrap()
    }
}

/// A running engine.
pub struct Started<'a> {
    office: &'a Office,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
    log: Maillog,
}

impl Started<'_> {
    pub fn stop(self) {
        self.stop.cancel();
        self.office.runtime.block_on(self.task).unwrap().unwrap();
        self.log.finish();
    }
}

/// Where the log goes.
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
