//! What is known of the running accounts, for `status` and for a person who wonders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::clock::rfc3339;
use crate::config::{Account, Config};
use crate::inbound::Tally;
use crate::pipeline::{Contrast, Generation, Leaving};

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

/// The state of an account that is not active.
const PAUSED: &str = "paused";

/// The state of an account of which nothing is watched.
const NO_PIPELINE: &str = "no inbound pipeline";

/// How an account is shown before its task says more.
fn unserved(account: &Account) -> (String, AccountStatus) {
    let state = match &account.inbound {
        _ if !account.active => PAUSED,
        Some(_) => "connecting",
        None => NO_PIPELINE,
    };
    (account.name.clone(), AccountStatus { state: state.into(), ..Default::default() })
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
    /// What else there is to say of the rules.
    #[serde(default)]
    pub rules: RulesStatus,
    /// Accounts by name.
    pub accounts: BTreeMap<String, AccountStatus>,
}

/// What there is to say of the rules beside which generation is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesStatus {
    /// Since when the generation is in force, RFC 3339.
    pub since: String,
    /// What was refused last, until something right is on disk.
    pub refused: Option<Refusal>,
    /// Why the generation in force is not what is on disk.
    pub instead_of_disk: Option<String>,
    /// The candidate that decides beside it.
    pub trial: Option<TrialStatus>,
    /// Replaced generations that are still in use.
    pub leaving: Vec<Leaving>,
}

/// What was on disk and was not put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When, RFC 3339.
    pub at: String,
    /// Why.
    pub why: String,
    /// What is wrong, each with its place.
    pub faults: Vec<String>,
}

/// A candidate on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialStatus {
    /// Its digest.
    pub digest: String,
    /// How many messages it is to decide.
    pub wanted: u64,
    /// What came of it so far.
    pub so_far: Contrast,
}

/// The status that all parts write into. Cheap to clone.
#[derive(Clone)]
pub struct Status {
    snapshot: Arc<Mutex<Snapshot>>,
    wake: Arc<Notify>,
}

impl Status {
    /// A status in which no account is served yet.
    pub fn new(generation: &Generation, now_ms: i64) -> Self {
        let accounts = generation.config().accounts.values().map(unserved);
        let rules = RulesStatus { since: rfc3339(now_ms), ..RulesStatus::default() };
        let snapshot = Snapshot {
            pid: std::process::id(),
            since: rfc3339(now_ms),
            generation: generation.number,
            digest: generation.digest.clone(),
            rules,
            accounts: accounts.collect(),
        };
        Self { snapshot: Arc::new(Mutex::new(snapshot)), wake: Arc::new(Notify::new()) }
    }

    /// A copy of it.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is said of the rules.
    pub fn rules(&self, change: impl FnOnce(&mut RulesStatus)) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut snapshot.rules);
    }

    /// Another generation is in force; `since` is left where its number is the same.
    pub(super) fn in_force(&self, generation: u64, digest: String, since: Option<String>) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        (snapshot.generation, snapshot.digest) = (generation, digest);
        if let Some(since) = since {
            snapshot.rules.since = since;
        }
    }

    /// Shows the accounts of this configuration, and no others.
    pub(super) fn apply(&self, config: &Config) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.accounts.retain(|name, _| config.accounts.contains_key(name));
        for (name, new) in config.accounts.values().map(unserved) {
            let shown = snapshot.accounts.entry(name).or_insert_with(|| new.clone());
            // One that is served says itself how it is.
            if new.state != "connecting" || [PAUSED, NO_PIPELINE].contains(&shown.state.as_str()) {
                shown.state = new.state;
            }
        }
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
