//! Sends what is in the queue: some workers for each account with a relay, and one who looks at the
//! time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::conclude::Sender;
use super::queue::Queue;
use super::timekeeper::{self, Left};
use super::worker::{Line, Rest, Worker};
use crate::config::{Account, Config, QueueTimes, Smtp};
use crate::maillog::Event;

/// How often the time is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// How soon again where something was being relayed.
const SOON: Duration = Duration::from_millis(200);

/// Those who send. Dropped, they end where they are, which loses nothing.
pub struct Runner {
    queue: Queue,
    stop: CancellationToken,
    served: BTreeMap<String, Served>,
    tasks: JoinSet<()>,
    config: watch::Sender<Arc<Config>>,
}

struct Served {
    account: Account,
    times: QueueTimes,
    stop: CancellationToken,
}

impl Runner {
    /// Begins to send what is in a queue that was brought into order ([`Queue::recover`]).
    pub fn start(queue: Queue, config: &Arc<Config>) -> Self {
        let (sender, changes) = watch::channel(config.clone());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_time(queue.clone(), changes, stop.clone()));
        let mut runner = Self { queue, stop, served: BTreeMap::new(), tasks, config: sender };
        runner.apply(config);
        runner
    }

    /// Serves the accounts as this configuration has them. An account that changed ends what is under
    /// way with its old settings.
    pub fn apply(&mut self, config: &Arc<Config>) {
        self.config.send_replace(config.clone());
        let queue = &self.queue;
        self.served.retain(|name, served| {
            let same = config.accounts.get(name) == Some(&served.account);
            let stays = same && config.queue == served.times;
            if !stays {
                served.stop.cancel();
                // What was wrong with the old settings says nothing of the new ones.
                queue.lanes().well(name);
            }
            stays
        });
        for (name, account) in &config.accounts {
            if let Some(smtp) = account.smtp.as_ref().filter(|_| account.active)
                && !self.served.contains_key(name)
            {
                self.serve(account, smtp, config);
            }
        }
    }

    fn serve(&mut self, account: &Account, smtp: &Smtp, config: &Config) {
        let stop = self.stop.child_token();
        let line = Arc::new(Line {
            queue: self.queue.clone(),
            account: account.clone(),
            smtp: smtp.clone(),
            times: config.queue.clone(),
            folder: config.folder.clone(),
            stop: stop.clone(),
            pace: AsyncMutex::default(),
            rest: Mutex::new(Rest::default()),
        });
        for _ in 0..smtp.connections {
            self.tasks.spawn(Worker::new(line.clone()).serve());
        }
        let (account, times) = (account.clone(), config.queue.clone());
        self.served.insert(account.name.clone(), Served { account, times, stop });
    }

    /// Ends: what is under way may take so long before it is dropped, which loses nothing.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        // What is dropped in its end of data is in doubt, and said so on disk.
        let _ = timeout(grace, rest).await;
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep_time(queue: Queue, config: watch::Receiver<Arc<Config>>, stop: CancellationToken) {
    let bell = queue.lanes().clock_bell();
    loop {
        let now = config.borrow().clone();
        let looked = queue.aside(move |queue| timekeeper::look(queue, &now)).await;
        let next = match looked {
            Ok(Left::Nothing) => LOOK,
            Ok(Left::Something) => SOON,
            Err(error) => {
                queue.log().say(&Event::Warning { text: error.to_string() });
                LOOK
            }
        };
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = bell.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Sender {
    /// The name of an account's reports: its domain.
    pub(super) fn host_of(account: &Account) -> String {
        let domain = account.address.as_deref().and_then(|address| address.rsplit_once('@'));
        let fit =
            |domain: &str| domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        match domain {
            Some((_, domain)) if fit(domain) => domain.to_owned(),
            _ => Self::own_host(),
        }
    }

    /// The machine's name.
    pub(super) fn own_host() -> String {
        super::machine()
    }
}
