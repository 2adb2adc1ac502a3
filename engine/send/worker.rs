//! Relays an account's messages, one after another over one connection.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::conclude::{Changed, Copies, Sender, conclude, owes_copy};
use super::lanes::Next;
use super::promise;
use super::queue::{Claim, Queue};
use super::relay::{self, Failure, Fate, Kind, Outcome, Parcel, Relay};
use super::retry::{self, jittered};
use super::sent::Cabinet;
use crate::config::{Account, QueueTimes, Smtp};
use crate::error::{Error, Result, Retry};
use crate::fault_point::{Point, reach};
use crate::mail::MailboxName;
use crate::maillog::Event;
use crate::store::{Haste, QueueEntry, Queued, SentCopy};

/// How long a connection is kept without a message for it.
const IDLE: Duration = Duration::from_secs(5);
/// The longest sleep before the clock is looked at anew.
const LOOK: Duration = Duration::from_secs(30);
/// The longest first pause after a server was not reached.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of an account.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often the same trouble of an account is told.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// What the workers of one account share.
pub(super) struct Line {
    pub(super) queue: Queue,
    pub(super) account: Account,
    pub(super) smtp: Smtp,
    pub(super) times: QueueTimes,
    /// Where commands for secrets start.
    pub(super) folder: PathBuf,
    pub(super) stop: CancellationToken,
    /// When the next message may go.
    pub(super) pace: AsyncMutex<Option<Instant>>,
    pub(super) rest: Mutex<Rest>,
}

/// What decides for how long an account's server is left alone.
#[derive(Debug, Default)]
pub(super) struct Rest {
    failures: u32,
    told: Option<(String, Instant)>,
}

/// One of an account's workers.
pub(super) struct Worker {
    line: Arc<Line>,
    relay: Option<Relay>,
    cabinet: Cabinet,
}

impl Worker {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self { line, relay: None, cabinet: Cabinet::default() }
    }

    /// Relays until it is told to stop. A message that is under way is sent to its end.
    pub(super) async fn serve(mut self) {
        let line = self.line.clone();
        let bell = line.queue.lanes().bell(&line.account.name);
        while line.rested().await {
            let now_ms = line.queue.clock().now_ms();
            let next = line.queue.lanes().next(&line.account.name, now_ms);
            let wait = match next {
                Next::Due(id) => {
                    let claim = line.queue.hand(id);
                    self.carry(&claim).await;
                    continue;
                }
                Next::At(due_ms) => {
                    let left = u64::try_from(due_ms.saturating_sub(now_ms)).unwrap_or(0);
                    Duration::from_millis(left).min(LOOK)
                }
                Next::Nothing => LOOK,
            };
            let connected = self.relay.is_some();
            tokio::select! {
                () = bell.notified() => {}
                () = line.stop.cancelled() => {}
                () = sleep(wait) => {}
                () = sleep(IDLE), if connected && wait > IDLE => self.hang_up().await,
            }
        }
        self.hang_up().await;
    }

    async fn hang_up(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.quit().await;
        }
        self.cabinet.close().await;
    }

    /// Does what is to be done for an entry. What fails here is told, and tried again later.
    async fn carry(&mut self, claim: &Claim) {
        let carried = match self.line.queue.show(claim.id) {
            Ok(Some(entry)) if entry.held.is_some() => Ok(()),
            Ok(Some(entry)) if entry.is_pending() => self.relay(claim, entry).await,
            Ok(Some(entry)) => self.copy(claim, &entry).await,
            Ok(None) => {
                self.line.queue.lanes().forget(claim.id);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = carried {
            self.relay = None;
            self.line.trouble(&Failure::of_here(&error));
        }
    }

    /// Sends a message to those who are pending.
    async fn relay(&mut self, claim: &Claim, entry: QueueEntry) -> Result<()> {
        let line = self.line.clone();
        if entry.doubt.open {
            // What became of the last attempt could not be written.
            return line.note_doubt(claim.id).await;
        }
        let own = entry.clone();
        let file = match line.queue.aside(move |queue| promise::open(queue.spool(), &own)).await {
            Ok(file) => Arc::new(file),
            Err(error) if error.retry() == Retry::Later => return Err(error),
            Err(error) => return line.hold(claim.id, error.to_string()).await,
        };
        let mut relay = match self.reach_server().await {
            Ok(relay) => relay,
            Err(failure) => return line.not_reached(claim.id, &failure).await,
        };
        line.turn().await;
        let mut outcome = relay.begin(&Parcel { entry: &entry, file }).await;
        if outcome.awaits_end() {
            line.note_end(claim.id).await?;
            reach(Point::EndNoted);
            relay.end(&mut outcome).await;
            reach(Point::EndAnswered);
        }
        if outcome.usable {
            self.relay = Some(relay);
        }
        line.heed(&outcome);
        let (id, times) = (claim.id, line.times.clone());
        let sender = line.sender();
        let settled = line.queue.aside(move |queue| {
            let now_ms = queue.clock().now_ms();
            conclude(queue, id, &sender, |entry| {
                let settled = retry::settle(entry, &outcome, &times, now_ms);
                let retry::Settled { sent, failed, relayed } = settled;
                Changed { sent, failed, relayed, delayed: None }
            })
        });
        settled.await
    }

    /// The open connection, or a new one.
    async fn reach_server(&mut self) -> Result<Relay, Failure> {
        if let Some(mut relay) = self.relay.take()
            && relay.is_alive().await
        {
            return Ok(relay);
        }
        relay::connect(&self.line.smtp, &self.line.folder).await
    }

    /// Puts the copy of a message into the mailbox for sent mail, and removes the entry.
    async fn copy(&mut self, claim: &Claim, entry: &QueueEntry) -> Result<()> {
        let line = self.line.clone();
        let mut failed = None;
        if let Some(mailbox) = line.sent_mailbox()
            && owes_copy(entry, Copies::Wanted)
        {
            let at = (&line.account, line.folder.as_path());
            let put = self.cabinet.put((&line.queue, entry), at, mailbox).await;
            failed = put.err();
        }
        let (id, times, sender) = (claim.id, line.times.clone(), line.sender());
        let written = line.queue.aside(move |queue| {
            let now_ms = queue.clock().now_ms();
            conclude(queue, id, &sender, |entry| {
                entry.attempts = entry.attempts.saturating_add(1);
                match &failed {
                    None => entry.copy = SentCopy::Done,
                    Some(error) => {
                        entry.last_error = Some(error.to_string());
                        let pause = retry::millis(retry::pause(&times, entry.attempts));
                        entry.due_ms = now_ms.saturating_add(pause);
                    }
                }
                Changed::default()
            })
        });
        written.await
    }
}

impl Line {
    fn sent_mailbox(&self) -> Option<&MailboxName> {
        self.smtp.sent.as_ref()
    }

    fn sender(&self) -> Sender {
        let copies = if self.smtp.sent.is_some() { Copies::Wanted } else { Copies::Unwanted };
        Sender { host: Sender::host_of(&self.account), copies }
    }

    /// Writes down that an end of data is under way, before it is.
    async fn note_end(&self, id: u64) -> Result<()> {
        let noted = self.queue.aside(move |queue| {
            queue.store().change_queued((&[id], Haste::WithOthers), |entry| {
                entry.doubt.open = true;
                Queued::Changed
            })
        });
        match noted.await?.is_empty() {
            true => Err(Error::permanent("send a message", "it is not in the queue any more")),
            false => Ok(()),
        }
    }

    /// Counts an end of data whose outcome was never written.
    async fn note_doubt(&self, id: u64) -> Result<()> {
        let noted = self.queue.aside(move |queue| {
            queue.store().change_queued((&[id], Haste::WithOthers), |entry| {
                retry::doubt(entry);
                Queued::Changed
            })
        });
        noted.await?.iter().for_each(|entry| self.queue.lanes().note(entry));
        Ok(())
    }

    /// Lets an entry wait for a person.
    async fn hold(&self, id: u64, why: String) -> Result<()> {
        let held = self.queue.aside(move |queue| {
            queue.store().change_queued((&[id], Haste::WithOthers), |entry| {
                entry.held.get_or_insert_with(|| why.clone());
                Queued::Changed
            })
        });
        held.await?.iter().for_each(|entry| self.queue.lanes().note(entry));
        Ok(())
    }

    /// The server was not reached: the account rests, and the entry says why.
    async fn not_reached(&self, id: u64, failure: &Failure) -> Result<()> {
        self.trouble(failure);
        let failure = failure.clone();
        let noted = self.queue.aside(move |queue| {
            queue.store().change_queued((&[id], Haste::WithOthers), |entry| {
                retry::not_reached(entry, &failure);
                Queued::Changed
            })
        });
        noted.await.map(drop)
    }

    /// Waits until the next message may go.
    async fn turn(&self) {
        if self.smtp.rate == 0 {
            return;
        }
        let apart = Duration::from_secs(60).div_f64(self.smtp.rate as f64);
        let mut next = self.pace.lock().await;
        let now = Instant::now();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + apart);
        drop(next);
        sleep_until(turn).await;
    }

    /// Waits while the account's server is left alone; false when the account is to end.
    async fn rested(&self) -> bool {
        loop {
            if self.stop.is_cancelled() {
                return false;
            }
            let (until, roused) = self.queue.lanes().resting(&self.account.name);
            let Some(until) = until.filter(|until| *until > Instant::now()) else { return true };
            tokio::select! {
                () = sleep_until(until) => {}
                () = roused => {}
                () = self.stop.cancelled() => return false,
            }
        }
    }

    /// Takes notice of what an attempt says of the account.
    fn heed(&self, outcome: &Outcome) {
        let about_account = |failure: &&Failure| {
            matches!(failure.kind, Kind::Connection | Kind::Account | Kind::Throttled)
        };
        let failures = outcome.recipients.iter().filter_map(|(_, result)| result.as_ref().err());
        match failures.rev().find(about_account) {
            Some(failure) => self.trouble(failure),
            None => self.well(),
        }
    }

    fn well(&self) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.failures > 0 {
            *rest = Rest::default();
            self.queue.lanes().well(&self.account.name);
        }
    }

    /// The account's server is left alone for a while, longer each time. The same trouble is told
    /// once a minute at most.
    fn trouble(&self, failure: &Failure) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.failures = rest.failures.saturating_add(1);
        let pause = self.pause(failure, rest.failures);
        let now = Instant::now();
        let error = failure.to_string();
        let known = rest.told.as_ref().filter(|(told, _)| *told == error);
        let fresh = known.is_none_or(|(_, at)| now.duration_since(*at) >= TOLD_AGAIN);
        if fresh {
            rest.told = Some((error.clone(), now));
        }
        drop(rest);
        // Others serve the account by now, perhaps with other settings.
        if !self.stop.is_cancelled() {
            self.queue.lanes().rest(&self.account.name, (now + pause, error.clone()));
        }
        if fresh {
            let account = self.account.name.as_str().into();
            let again_in = pause.as_secs();
            self.queue.log().say(&Event::Lost { account, error, again_in });
        }
    }

    fn pause(&self, failure: &Failure, failures: u32) -> Duration {
        let schedule = |at: Option<&Duration>| at.copied().unwrap_or(LONGEST_PAUSE);
        let longest = schedule(self.times.retry.last()).min(LONGEST_PAUSE);
        if failure.kind == Kind::Account && failure.fate == Fate::Permanent {
            // No storm of tries that locks the account.
            return longest;
        }
        let first = schedule(self.times.retry.first()).min(FIRST_PAUSE);
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(10));
        jittered(doubled.min(longest))
    }
}
