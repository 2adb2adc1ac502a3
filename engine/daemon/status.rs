//! What is known of the running accounts, for `status` and for a person who wonders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::clock::rfc3339;
use crate::config::Config;
use crate::inbound::Tally;
use crate::pipeline::Generation;

/// One account as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// `waiting`, `working`, `connecting`, `lost`, `paused` (it is not active) or
    /// `no inbound pipeline` (nothing of it is watched).
    pub state: String,
    /// The mailboxes that are watched.
    pub mailboxes: Vec<String>,
    /// When it was last looked through without an error, RFC 3339.
    pub last_success: Option<String>,
    /// The last error; `None` after the next success.
    pub error: Option<String>,
    /// Messages settled since the engine started.
    pub settled: u64,
    /// Messages held since the engine started.
    pub held: u64,
    /// Messages whose body was read since the engine started, by the step that read it.
    pub body_readers: BTreeMap<String, u64>,
}

/// The whole engine as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The process.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub since: String,
    /// The generation in force.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// Accounts by name.
    pub accounts: BTreeMap<String, AccountStatus>,
}

/// The status that all parts write into. Cheap to clone.
#[derive(Clone)]
pub struct Status {
    snapshot: Arc<Mutex<Snapshot>>,
    wake: Arc<Notify>,
}

impl Status {
    /// A status in which no account is served yet.
    pub fn new(config: &Config, generation: &Generation, now_ms: i64) -> Self {
        let accounts = config.accounts.values().map(|account| {
            let state = match &account.inbound {
                _ if !account.active => "paused",
                Some(_) => "connecting",
                None => "no inbound pipeline",
            };
            (account.name.clone(), AccountStatus { state: state.into(), ..Default::default() })
        });
        let snapshot = Snapshot {
            pid: std::process::id(),
            since: rfc3339(now_ms),
            generation: generation.number,
            digest: generation.digest.clone(),
            accounts: accounts.collect(),
        };
        Self { snapshot: Arc::new(Mutex::new(snapshot)), wake: Arc::new(Notify::new()) }
    }

    /// A copy of it.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls every waiting account to look at once.
    pub fn wake_all(&self) {
        self.wake.notify_waiters();
    }

    /// Messages settled and held since the start, over all accounts.
    pub fn totals(&self) -> (u64, u64) {
        let snapshot = self.snapshot();
        let accounts = snapshot.accounts.values();
        accounts.fold((0, 0), |(settled, held), one| (settled + one.settled, held + one.held))
    }

    /// Resolves when [`Status::wake_all`] is called.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn change(&self, account: &str, change: impl FnOnce(&mut AccountStatus)) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        change(snapshot.accounts.entry(account.to_owned()).or_default());
    }

    pub(super) fn add(&self, account: &str, tally: Tally) {
        self.change(account, |status| {
            status.settled += tally.settled;
            status.held += tally.held;
            for (step, messages) in tally.body_readers {
                *status.body_readers.entry(step).or_default() += messages;
            }
        });
    }
}
