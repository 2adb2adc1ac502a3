//! Taking mail in while the engine runs: the sockets of `[submission]`, opened and closed as the
//! configuration in force says, and the folder that `sendmail` writes into.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::GRACE;
use super::crew::Shared;
use crate::config::{Config, Listen};
use crate::error::Result;
use crate::maillog::Event;
use crate::outbound;
use crate::send::Pickup;
use crate::send::submission::{Counter, Listener};

/// What takes mail in.
pub(super) struct Intake {
    shared: Shared,
    counter: Counter,
    pickup: Pickup,
    open: Vec<Open>,
}

/// A socket that is served.
struct Open {
    listen: Listen,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Intake {
    /// Opens the sockets of the configuration in force.
    ///
    /// # Errors
    /// A socket that cannot be opened, a certificate that cannot be used.
    pub(super) async fn open(shared: &Shared) -> Result<Self> {
        let config = shared.live.now().config().clone();
        let (live, store, queue) = (&shared.live, &shared.store, &shared.queue);
        let tools = (shared.clock.clone(), shared.log.clone());
        let line = outbound::Line::new(
            live.clone(),
            shared.workers.clone(),
            (store.clone(), queue.clone()),
            tools,
        );
        let (line, spool) = (Arc::new(line), queue.spool().clone());
        let tools = (shared.log.clone(), shared.clock.clone());
        let counter = Counter::new(live.clone(), spool, line.clone(), tools.clone());
        let pickup = Pickup::open(&config.engine.data, live.clone(), (store, queue), line, tools)?;
        let mut intake = Self { shared: shared.clone(), counter, pickup, open: Vec::new() };
        if let Some(submission) = &config.submission {
            intake.counter.check(submission)?;
            for listen in &submission.listen {
                intake.listen(*listen).await?;
            }
        }
        Ok(intake)
    }

    /// Takes mail in until `stop`, by the configuration in force.
    pub(super) async fn run(
        mut self,
        mut changes: watch::Receiver<Arc<Config>>,
        stop: CancellationToken,
    ) {
        let pickup = tokio::spawn(self.pickup.clone().run(stop.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => {
                    if changed.is_err() {
                        // Nobody changes anything any more.
                        stop.cancelled().await;
                        break;
                    }
                    let config = changes.borrow_and_update().clone();
                    self.apply(&config).await;
                }
            }
        }
        self.open.iter().for_each(|open| open.stop.cancel());
        let end = async {
            for open in &mut self.open {
                // One that panicked has told its own story.
                let _ = (&mut open.task).await;
            }
            self.counter.empty().await;
            let _ = pickup.await;
        };
        // What is not done then was not promised.
        let _ = tokio::time::timeout(GRACE, end).await;
    }

    /// Opens and closes sockets; connections that are open end when they are done.
    async fn apply(&mut self, config: &Config) {
        let wanted: Vec<Listen> =
            config.submission.iter().flat_map(|submission| submission.listen.clone()).collect();
        self.open.retain(|open| {
            let stays = wanted.contains(&open.listen);
            if !stays {
                open.task.abort();
            }
            stays
        });
        for listen in wanted {
            if self.open.iter().any(|open| open.listen == listen) {
                continue;
            }
            if let Err(error) = self.listen(listen).await {
                self.shared.log.say(&Event::Warning { text: error.to_string() });
            }
        }
    }

    async fn listen(&mut self, listen: Listen) -> Result<()> {
        let listener = Listener::bind(listen).await?;
        let address = listener.address().to_string();
        let stop = CancellationToken::new();
        let (counter, token) = (self.counter.clone(), stop.clone());
        let task = tokio::spawn(async move { counter.serve(listener, token).await });
        self.open.push(Open { listen, stop, task });
        self.shared.log.say(&Event::Listening { address });
        Ok(())
    }
}
