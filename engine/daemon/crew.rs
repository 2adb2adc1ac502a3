//! The tasks of the accounts. When the configuration in force changes, those whose account changed
//! are ended in order and started anew; the others do not notice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::account::Served;
use super::{Status, Until};
use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::error::{Context, Result};
use crate::inbound::Line;
use crate::maillog::{Event, Maillog};
use crate::pipeline::{Generation, Live};
use crate::send::Queue;
use crate::store::Store;
use crate::workers::Workers;

/// What the lines of all accounts share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) live: Live,
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) workers: Workers,
    pub(super) clock: Clock,
    pub(super) log: Maillog,
    pub(super) status: Status,
}

/// The accounts that are served.
pub(super) struct Crew {
    shared: Shared,
    until: Until,
    stop: CancellationToken,
    /// The configuration that the accounts are to be served by.
    config: Arc<Config>,
    members: BTreeMap<String, Member>,
    /// Those that were told to end and have not yet. Nothing is started meanwhile: two tasks must
    /// never look into one mailbox.
    ending: BTreeSet<String>,
    tasks: JoinSet<Result<()>>,
    names: BTreeMap<Id, String>,
}

struct Member {
    account: Arc<Account>,
    stop: CancellationToken,
}

impl Crew {
    /// Nobody is served yet.
    pub(super) fn new(shared: Shared, until: Until, stop: CancellationToken) -> Self {
        let config = shared.live.now().config().clone();
        Self {
            shared,
            until,
            stop,
            config,
            members: BTreeMap::new(),
            ending: BTreeSet::new(),
            tasks: JoinSet::new(),
            names: BTreeMap::new(),
        }
    }

    /// Serves the accounts as this configuration has them.
    pub(super) fn apply(&mut self, config: Arc<Config>) {
        self.shared.status.apply(&config);
        let changed = |member: &Member| {
            let account = config.accounts.get(&member.account.name);
            account.filter(|account| is_served(account)) != Some(&*member.account)
        };
        for (name, member) in &self.members {
            if changed(member) && self.ending.insert(name.clone()) {
                member.stop.cancel();
            }
        }
        self.config = config;
        self.settle();
    }

    /// Starts who is not served yet, once all that were told to end have.
    fn settle(&mut self) {
        if !self.ending.is_empty() || self.stop.is_cancelled() {
            return;
        }
        let config = self.config.clone();
        for (name, account) in config.accounts.iter().filter(|(_, account)| is_served(account)) {
            if !self.members.contains_key(name) {
                self.start(name, account);
            }
        }
    }

    fn start(&mut self, name: &str, account: &Account) {
        let account = Arc::new(account.clone());
        let stop = self.stop.child_token();
        let Some(line) = self.line(account.clone()) else { return };
        let served = Served::new(line, self.shared.status.clone(), stop.clone());
        let task = self.tasks.spawn(served.serve(self.until));
        self.names.insert(task.id(), name.to_owned());
        self.members.insert(name.to_owned(), Member { account, stop });
    }

    /// The next task that ended, and how; `None` where none is left.
    pub(super) async fn ended(&mut self) -> Option<Result<()>> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(why) => why.id(),
        };
        if let Some(name) = self.names.remove(&id) {
            self.members.remove(&name);
            if self.ending.remove(&name) {
                self.tell(&name);
                self.settle();
            }
        }
        Some(ended.or_later(|| "serve an account".into()).and_then(|(_, result)| result))
    }

    /// Drops whoever is left, which loses nothing.
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }

    /// Whether a task runs.
    pub(super) fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// How many are served.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    fn tell(&self, name: &str) {
        let stays = self.config.accounts.get(name).is_some_and(is_served);
        let account = name.into();
        self.shared.log.say(&match stays {
            true => Event::Restarted { account },
            false => Event::Left { account },
        });
    }

    fn line(&self, account: Arc<Account>) -> Option<Line> {
        let Shared { live, store, workers, clock, log, .. } = self.shared.clone();
        let generation = Arc::new(Generation::none(self.config.clone()));
        Some(Line {
            config: self.config.clone(),
            name: account.name.as_str().into(),
            pipeline: account.inbound.as_deref()?.into(),
            account,
            live,
            generation,
            workers,
            appetite: Arc::default(),
            store,
            clock,
            log,
        })
    }
}

/// Whether an account has a task: it is active and has an inbound pipeline.
fn is_served(account: &Account) -> bool {
    account.active && account.inbound.is_some()
}
