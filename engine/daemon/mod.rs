//! Configuration -> live parts: opens the store, loads the generation, serves each account in a
//! task of its own, answers the control socket, and ends everything in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Desk};
use crate::error::{Context, Result};
use crate::inbound::Line;
use crate::maillog::{Event, Maillog};
use crate::pipeline::Generation;
use crate::store::Store;
use crate::workers::Workers;

mod account;
mod status;

pub use status::{AccountStatus, Snapshot, Status};

/// How long accounts may take to end in order before they are dropped, which loses nothing.
const GRACE: Duration = Duration::from_secs(8);

/// How long a command may hold the store that an engine wants to open.
const BRIEFLY: Duration = Duration::from_secs(2);

/// How often old decisions are forgotten.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Decided messages that are remembered for `explain`.
const HISTORY: usize = 100_000;

/// When to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When each account was looked through once.
    Settled,
    /// When it is told to.
    Stopped,
}

/// A checked configuration with its store and generation: everything but the running.
pub struct Engine {
    config: Arc<Config>,
    generation: Arc<Generation>,
    store: Store,
    workers: Workers,
    clock: Clock,
    log: Maillog,
    status: Status,
}

impl Engine {
    /// Opens the store and gives the generation its number.
    ///
    /// # Errors
    /// A store that does not open, or that another engine holds.
    pub fn open(
        config: Config,
        mut generation: Generation,
        log: Maillog,
        clock: Clock,
    ) -> Result<Self> {
        let store = Store::open_within(&config.engine.data, BRIEFLY)?;
        generation.number = store.generation_number(&generation.digest)?;
        let status = Status::new(&config, &generation, clock.now_ms());
        Ok(Self {
            config: Arc::new(config),
            generation: Arc::new(generation),
            store,
            workers: Workers::start()?,
            clock,
            log,
            status,
        })
    }

    /// Serves all active accounts until `stop`, or through one look at each.
    ///
    /// # Errors
    /// A control socket that cannot be made. With [`Until::Settled`], the first error of an
    /// account; the other accounts are served all the same.
    pub async fn run(self, until: Until, stop: CancellationToken) -> Result<()> {
        let desk = Desk::new(self.store.clone(), Some(self.status.clone()), self.clock.clone());
        let socket = control::listen(&self.config.engine.data, desk)?;
        self.tell_start();
        let mut tasks = JoinSet::new();
        for line in self.lines() {
            let served = account::Served::new(line, self.status.clone(), stop.clone());
            tasks.spawn(served.serve(until));
        }
        let result = self.wait(&mut tasks, until, &stop).await;
        socket.close();
        let (settled, held) = self.status.totals();
        self.log.say(&Event::Stopped { settled, held });
        result
    }

    /// Forgets the oldest decisions, aside from the mail.
    fn prune(&self) {
        let (store, log) = (self.store.clone(), self.log.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.prune(HISTORY) {
                log.say(&Event::Warning { text: error.to_string() });
            }
        });
    }

    fn tell_start(&self) {
        self.log.say(&Event::Started {
            accounts: self.lines().count(),
            generation: self.generation.number,
            digest: self.generation.digest.clone(),
        });
    }

    /// The line of each active account that has an inbound pipeline.
    fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.config.accounts.values().filter(|account| account.active).filter_map(|account| {
            let pipeline = account.inbound.as_deref()?;
            Some(Line {
                config: self.config.clone(),
                account: Arc::new(account.clone()),
                name: account.name.as_str().into(),
                pipeline: pipeline.into(),
                generation: self.generation.clone(),
                workers: self.workers.clone(),
                appetite: Arc::default(),
                store: self.store.clone(),
                clock: self.clock.clone(),
                log: self.log.clone(),
            })
        })
    }

    /// Waits for the accounts: without end, or until told to stop and then for a grace.
    async fn wait(
        &self,
        tasks: &mut JoinSet<Result<()>>,
        until: Until,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut result = Ok(());
        let mut hourly = tokio::time::interval(HOUR);
        loop {
            tokio::select! {
                _ = hourly.tick() => self.prune(),
                ended = tasks.join_next() => match ended {
                    Some(ended) => {
                        let ended = ended.or_later(|| "serve an account".into()).flatten();
                        result = result.and(ended);
                        if self.store.is_broken() {
                            // Nothing can be promised any more. Whoever started us does so again.
                            break;
                        }
                    }
                    None if until == Until::Settled => return result,
                    None => {
                        stop.cancelled().await;
                        return result;
                    }
                },
                () = stop.cancelled() => break,
            }
        }
        let rest = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tasks.abort_all();
        }
        result
    }
}
