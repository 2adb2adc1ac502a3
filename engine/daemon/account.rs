//! One account's task: connect, take up what is open, look through the watched mailboxes, wait for
//! news, and after an error the same again with growing pauses.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Status, Until};
use crate::clock::rfc3339;
use crate::error::{Error, Result, Retry};
use crate::inbound::Line;
use crate::mail::{MailboxName, Uid};
use crate::mailbox::{self, Listed, Mailboxes, Woke, ends_session};
use crate::maillog::Event;

/// The first pause after an error; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after an error that may pass by itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause after an error that needs a person, e.g. a refused login: no storm of tries that locks
/// the account.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);

/// An account with everything its task needs.
pub(super) struct Served {
    line: Line,
    status: Status,
    stop: CancellationToken,
}

/// Why a session ended without an error.
enum Ended {
    Stopped,
    /// A person asked for held messages: connect anew and look at once.
    Woken,
}

/// Why a session ended with one.
struct Failure {
    error: Error,
    /// How long the server asked to be left alone.
    back_off: Option<Duration>,
}

impl Served {
    pub(super) fn new(line: Line, status: Status, stop: CancellationToken) -> Self {
        Self { line, status, stop }
    }

    /// Serves the account.
    pub(super) async fn serve(self, until: Until) -> Result<()> {
        if until == Until::Settled {
            return self.once().await;
        }
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            match self.fenced_session().await {
                Ok(Ended::Stopped) => break,
                Ok(Ended::Woken) => {}
                Err(Failure { error, back_off }) => {
                    if self.line.store.is_broken() {
                        return Err(error);
                    }
                    if started.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                    let wait = match error.retry() {
                        Retry::Later => pause.mul_f64(jitter()),
                        Retry::Never => REFUSED_PAUSE,
                    };
                    let wait = wait.max(back_off.unwrap_or_default());
                    self.lost(&error, wait);
                    self.rest(wait).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// One look at every watched mailbox.
    async fn once(&self) -> Result<()> {
        let looked = async {
            let mut open = self.open().await?;
            open.look(self).await?;
            open.mailboxes.close().await
        };
        let looked = looked.await;
        if let Err(error) = &looked {
            self.lost(error, Duration::ZERO);
        }
        looked
    }

    /// A session whose panic costs only itself.
    async fn fenced_session(&self) -> Result<Ended, Failure> {
        let session = AssertUnwindSafe(self.session()).catch_unwind().await;
        session.unwrap_or_else(|_| {
            let what = format!("serve account {}", self.line.name);
            let error = Error::temporary(what, "a fault of mailmill itself")
                .next("please report it with the lines above");
            Err(Failure { error, back_off: None })
        })
    }

    async fn session(&self) -> Result<Ended, Failure> {
        let mut open = tokio::select! {
            open = self.open() => open.map_err(|error| Failure { error, back_off: None })?,
            () = self.stop.cancelled() => return Ok(Ended::Stopped),
        };
        self.watch(&mut open)
            .await
            .map_err(|error| Failure { error, back_off: open.mailboxes.back_off() })
    }

    /// Looks, waits, and looks again, until told to stop.
    async fn watch(&self, open: &mut Open) -> Result<Ended> {
        loop {
            open.watched = self.watched(open.mailboxes.as_mut(), &mut open.told).await?;
            open.look(self).await?;
            let next_look = Instant::now() + self.line.account.poll;
            while Instant::now() < next_look {
                if self.stop.is_cancelled() {
                    open.mailboxes.close().await?;
                    return Ok(Ended::Stopped);
                }
                let at_most = self.patience(next_look, open.next_retry_ms);
                let seen = self.line.passed(&open.watched[0])?;
                tokio::select! {
                    woke = open.wait(seen, at_most) => if woke? == Woke::News {
                        open.look_first(self).await?;
                    },
                    () = self.stop.cancelled() => return Ok(Ended::Stopped),
                    () = self.status.woken() => return Ok(Ended::Woken),
                }
                let now = self.line.clock.now_ms();
                if open.next_retry_ms.is_some_and(|at_ms| at_ms <= now) {
                    break;
                }
            }
        }
    }

    /// Connects, lists what is watched, and takes up what was left open.
    async fn open(&self) -> Result<Open> {
        self.state("connecting");
        let mut mailboxes = mailbox::open(&self.line.account, &self.line.config.folder).await?;
        let mut told = Told::default();
        let watched = self.watched(mailboxes.as_mut(), &mut told).await?;
        let tally = self.line.resume(mailboxes.as_mut()).await?;
        self.status.add(&self.line.name, tally);
        let (account, count) = (self.line.name.clone(), watched.len());
        self.line.log.say(&Event::Connected { account, mailboxes: count });
        Ok(Open { mailboxes, watched, told, troubles: BTreeMap::new(), next_retry_ms: None })
    }

    /// The mailboxes to watch that are there, each once, in the order of the configuration. One
    /// that is missing is told once.
    async fn watched(
        &self,
        mailboxes: &mut dyn Mailboxes,
        told: &mut Told,
    ) -> Result<Vec<MailboxName>> {
        let mut watched = Vec::new();
        for watch in &self.line.account.watch {
            let Listed { mailboxes: below, unnamed } = mailboxes.list_below(&watch.mailbox).await?;
            if !below.is_empty() {
                told.missing.remove(&watch.mailbox);
            } else if told.missing.insert(watch.mailbox.clone()) {
                self.warn(&format!("watched mailbox {} does not exist", watch.mailbox));
            }
            for raw in unnamed {
                if watch.subfolders && told.unnamed.insert(raw.clone()) {
                    self.warn(&format!(
                        "mailbox {raw} is not watched: its name cannot be used here"
                    ));
                }
            }
            for name in below {
                let wanted = watch.subfolders || name == watch.mailbox;
                if wanted && !watched.contains(&name) {
                    watched.push(name);
                }
            }
        }
        self.status.change(&self.line.name, |status| {
            status.mailboxes = watched.iter().map(ToString::to_string).collect();
        });
        if watched.is_empty() {
            let what = format!("watch account {}", self.line.name);
            return Err(Error::permanent(what, "none of its watched mailboxes exists")
                .next("make one, or correct `watch`"));
        }
        Ok(watched)
    }

    /// How long to wait for news: until the next look, the next retry or the renewal of IDLE.
    fn patience(&self, next_look: Instant, next_retry_ms: Option<i64>) -> Duration {
        let mut at_most = next_look.saturating_duration_since(Instant::now());
        if self.line.account.idle {
            at_most = at_most.min(self.line.account.idle_renew);
        }
        if let Some(at_ms) = next_retry_ms {
            let left = u64::try_from(at_ms - self.line.clock.now_ms()).unwrap_or(0);
            at_most = at_most.min(Duration::from_millis(left));
        }
        at_most.max(Duration::from_millis(50))
    }

    fn warn(&self, text: &str) {
        let text = format!("{}: {text}", self.line.name);
        self.line.log.say(&Event::Warning { text });
    }

    fn lost(&self, error: &Error, wait: Duration) {
        let text = error.to_string();
        self.status.change(&self.line.name, |status| {
            status.state = "lost".into();
            status.error = Some(text.clone());
        });
        let (account, again_in) = (self.line.name.clone(), wait.as_secs());
        self.line.log.say(&Event::Lost { account, error: text, again_in });
    }

    async fn rest(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stop.cancelled() => {}
            () = self.status.woken() => {}
        }
    }

    fn state(&self, state: &str) {
        self.status.change(&self.line.name, |status| status.state = state.into());
    }

    /// The account was looked through, but for what is wrong with single mailboxes.
    fn succeeded(&self, trouble: Option<String>) {
        let now = rfc3339(self.line.clock.now_ms());
        self.status.change(&self.line.name, |status| {
            status.state = "waiting".into();
            status.last_success = Some(now);
            status.error = trouble;
        });
    }
}

/// What was told of the watched mailboxes and is not told again.
#[derive(Default)]
struct Told {
    missing: HashSet<MailboxName>,
    unnamed: HashSet<String>,
}

/// An account's open mailboxes.
struct Open {
    mailboxes: Box<dyn Mailboxes>,
    watched: Vec<MailboxName>,
    told: Told,
    /// What is wrong with single mailboxes, as it was told.
    troubles: BTreeMap<MailboxName, String>,
    /// When the next held message is due.
    next_retry_ms: Option<i64>,
}

impl Open {
    /// Looks through every watched mailbox and what is due to be tried again.
    async fn look(&mut self, served: &Served) -> Result<()> {
        served.state("working");
        for mailbox in self.watched.clone() {
            self.pass(served, &mailbox).await?;
        }
        let tally = served.line.retry_held(self.mailboxes.as_mut()).await?;
        served.status.add(&served.line.name, tally);
        self.rest(served)
    }

    /// Looks through the mailbox that is waited on.
    async fn look_first(&mut self, served: &Served) -> Result<()> {
        served.state("working");
        let first = self.watched[0].clone();
        self.pass(served, &first).await?;
        self.rest(served)
    }

    fn rest(&mut self, served: &Served) -> Result<()> {
        self.next_retry_ms = served.line.next_retry_ms()?;
        served.succeeded(self.troubles.values().next().cloned());
        Ok(())
    }

    /// Looks through one mailbox. Trouble with it alone is told once and keeps no other waiting.
    async fn pass(&mut self, served: &Served, mailbox: &MailboxName) -> Result<()> {
        let more = || !served.stop.is_cancelled();
        let mailboxes = self.mailboxes.as_mut();
        match served.line.pass(mailboxes, mailbox, more).await {
            Ok(tally) => {
                self.troubles.remove(mailbox);
                served.status.add(&served.line.name, tally);
            }
            Err(error) if ends_session(self.mailboxes.as_ref()) => return Err(error),
            Err(error) if served.line.store.is_broken() => return Err(error),
            Err(error) => {
                let text = error.to_string();
                let told = self.troubles.insert(mailbox.clone(), text.clone());
                if told.as_ref() != Some(&text) {
                    served.line.log.say(&Event::Warning { text });
                }
            }
        }
        Ok(())
    }

    /// Waits for news in the first watched mailbox: something above `seen`.
    async fn wait(&mut self, seen: Uid, at_most: Duration) -> Result<Woke> {
        self.mailboxes.select(&self.watched[0]).await?;
        // What cannot be looked through now is not news each time it is waited on.
        let stuck = self.troubles.contains_key(&self.watched[0]);
        self.mailboxes.wait(if stuck { Uid(u32::MAX) } else { seen }, at_most).await
    }
}

/// A factor between 0.8 and 1.2, so that accounts of one server do not return all at once.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    0.8 + 0.4 * (random % 1000) as f64 / 1000.0
}
