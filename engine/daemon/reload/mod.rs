//! Changed rules come into force while mail flows, as a whole or not at all.
//!
//! ```text
//! quiet -> look -> build (own thread) -> [trial] -> number, keep -> swap -> guard
//!                    |                      |                                 |
//!                    +----- refused --------+                          put back
//! ```
//!
//! One task does all of it, one thing at a time, so there is always one answer to what is in force. A
//! reason to look is an event of the files, the half-minute's look, SIGHUP, or a person's ask; whether
//! anything changed is told by the files. Whatever is refused changes nothing, is told once, and is
//! tried again when the files change. The swap is one write of a pointer ([`Live::put`]); what a
//! message began with it is decided with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::crew::Shared;
use crate::clock::rfc3339;
use crate::config::{Config, Look, Reload};
use crate::error::{Context, Result};
use crate::fault::{Fault, Faults};
use crate::maillog::Event;
use crate::pipeline::watch::Watch;
use crate::pipeline::{Attempt, Candidate, Prints};
use crate::store::{Generations, Standing};

mod accept;
mod ask;
mod build;
mod gate;
mod guard;
mod trial;

pub use ask::{Came, Reloads, Wish};

use ask::{Answer, Ask};
use guard::Guard;
use trial::Trial;

/// How often files are looked at although the system tells of changes.
const SELDOM: Duration = Duration::from_secs(30);

/// How often they are looked at where it does not.
const OFTEN: Duration = Duration::from_secs(2);

/// How often what is under way is looked after.
const TEND: Duration = Duration::from_millis(200);

/// Faults of one refusal that the log and the status tell; `mailmill check` tells all.
const MOST_TOLD: usize = 50;

/// Looks at files that keep changing before that is told.
const PATIENT: u32 = 10;

/// The task that reloads.
pub(super) struct Reloader {
    file: PathBuf,
    shared: Shared,
    generations: Generations,
    /// Tells which accounts are to be served.
    accounts: watch::Sender<Arc<Config>>,
    asks: mpsc::Receiver<Ask>,
    watch: Watch,
    /// What was on disk when it was read last; `None` reads it at the next look.
    seen: Option<Prints>,
    /// Which generation stands in place of what is on disk.
    standing: Standing,
    trial: Option<Trial>,
    guard: Option<Guard>,
    /// Whether replaced generations may still be in use.
    tending: bool,
    /// Looks in a row at files that kept changing.
    unsettled: u32,
    /// What was refused last, so that it is told once.
    refused: Option<String>,
    next_look: Instant,
    /// Why not all changes are told by the system.
    trouble: Option<String>,
}

/// What asks for a look.
struct Cause {
    why: &'static str,
    wish: Wish,
    answer: Option<Answer>,
}

impl Cause {
    const FILES: &'static str = "files changed";

    fn of_files() -> Self {
        Self { why: Self::FILES, wish: Wish::Reload { shadow: None }, answer: None }
    }

    /// Whether a person wants it, whatever was said of it before.
    fn is_asked(&self) -> bool {
        self.why != Self::FILES
    }

    fn answer(&self, came: Came) {
        if let Some(answer) = &self.answer {
            // Whoever asked may have gone.
            let _ = answer.send(came);
        }
    }
}

impl Reloader {
    pub(super) fn new(
        shared: Shared,
        (accounts, asks): (watch::Sender<Arc<Config>>, mpsc::Receiver<Ask>),
        (seen, standing): (Prints, Standing),
    ) -> Self {
        let config = shared.live.now().config().clone();
        Self {
            file: config.file.clone(),
            generations: Generations::of(&config.engine.data),
            shared,
            accounts,
            asks,
            watch: Watch::new(),
            seen: Some(seen),
            standing,
            trial: None,
            guard: None,
            tending: false,
            unsettled: 0,
            refused: None,
            next_look: Instant::now(),
            trouble: None,
        }
    }

    /// Reloads until told to stop.
    ///
    /// # Errors
    /// The system gives no signals.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut hup = signal(SignalKind::hangup()).or_later(|| "listen for SIGHUP".into())?;
        // What was read for the start may have changed before anything was watched.
        self.arm();
        self.next_look = Instant::now();
        loop {
            let (quiet, is_busy) = (self.settings().quiet, self.is_busy());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hup.recv() => self.look(Cause { why: "SIGHUP", ..Cause::of_files() }).await,
                Some(ask) = self.asks.recv() => self.heed(ask).await,
                () = self.watch.dirty(quiet) => self.look(Cause::of_files()).await,
                () = sleep_until(self.next_look) => self.compare().await,
                () = tend(is_busy) => self.tend().await,
            }
        }
    }

    fn settings(&self) -> Reload {
        self.shared.live.now().config().engine.reload.clone()
    }

    async fn heed(&mut self, ask: Ask) {
        let Ask { wish, answer } = ask;
        let cause = Cause { why: "asked", wish, answer: Some(answer) };
        match wish {
            Wish::Activate { generation } => self.activate(generation, cause).await,
            Wish::Reload { .. } | Wish::Check => self.look(cause).await,
        }
    }

    /// Looks whether the files changed without an event, and when to look next.
    async fn compare(&mut self) {
        let pause = match self.settings().watch {
            Look::Events if self.trouble.is_none() => SELDOM,
            Look::Events | Look::Poll => OFTEN,
            // In a year a person may have asked.
            Look::Never => SELDOM * 1_000_000,
        };
        self.next_look = Instant::now() + pause;
        if self.settings().watch == Look::Never {
            return;
        }
        let Some(seen) = self.seen.clone() else { return self.watch.stir() };
        if tokio::task::spawn_blocking(move || seen.changed()).await.unwrap_or(true) {
            self.watch.stir();
        }
        self.arm();
    }

    /// Watches all that was read last.
    fn arm(&mut self) {
        let config = self.shared.live.now().config().clone();
        if config.engine.reload.watch != Look::Events {
            self.watch.arm(std::iter::empty(), std::iter::empty(), std::iter::empty());
            self.trouble = None;
            return;
        }
        let engine = &config.engine;
        let folders = [&engine.scripts, &engine.plugins, &engine.templates];
        let seen = self.seen.clone().unwrap_or_default();
        let folders = folders.into_iter().map(PathBuf::as_path);
        let armed = self.watch.arm(seen.paths(), folders, seen.folders());
        if armed.fresh {
            self.next_look = self.next_look.min(Instant::now() + TEND);
        }
        if armed.trouble.is_some() && armed.trouble != self.trouble {
            let why = armed.trouble.clone().unwrap_or_default();
            let text = format!("changes of files are looked for every 2 s: {why}");
            self.shared.log.say(&Event::Warning { text });
        }
        self.trouble = armed.trouble;
    }

    /// Reads everything, and puts it in force where it is new and right.
    async fn look(&mut self, cause: Cause) {
        let began = Instant::now();
        let attempt = match build::from_disk(self.file.clone(), self.shared.live.now()).await {
            Ok(attempt) => attempt,
            Err(error) => {
                self.seen = None;
                return self.refuse(&cause, error.to_string(), Faults::default());
            }
        };
        let Attempt { prints, outcome, settled, .. } = attempt;
        let print = prints.fingerprint();
        self.seen = Some(prints);
        self.arm();
        self.unsettled = if settled { 0 } else { self.unsettled + 1 };
        if !settled {
            self.seen = None;
            self.watch.stir();
            if !cause.is_asked() && self.unsettled < PATIENT {
                return;
            }
            let why = "the files kept changing while they were read".to_owned();
            return self.refuse(&cause, why, Faults::default());
        }
        if self.shared.live.now().prints().fingerprint() == print {
            self.stands_on_disk().await;
        }
        if !cause.is_asked() && self.is_known(&print) {
            return self.nothing_new(&cause);
        }
        match outcome {
            Ok(candidate) => self.consider(candidate, cause, (print, began)).await,
            Err(faults) => self.refuse(&cause, count(&faults), faults),
        }
    }

    /// What is in force is what is on disk: it stands in place of nothing.
    async fn stands_on_disk(&mut self) {
        if self.standing.instead_of.is_none() {
            return;
        }
        let generation = self.shared.live.now().number;
        self.standing = Standing { generation, ..Standing::default() };
        self.shared.status.rules(|rules| rules.instead_of_disk = None);
        let (generations, standing) = (self.generations.clone(), self.standing.clone());
        // Where it cannot be written, a start finds other files than those it was noted for.
        let _ = tokio::task::spawn_blocking(move || generations.set_standing(&standing)).await;
    }

    /// Whether these very files are in force, on trial, or were taken out of force.
    fn is_known(&self, print: &str) -> bool {
        let on_trial = self.trial.as_ref().is_some_and(|trial| trial.print == print);
        on_trial
            || self.standing.instead_of.as_deref() == Some(print)
            || self.shared.live.now().prints().fingerprint() == print
    }

    fn nothing_new(&mut self, cause: &Cause) {
        let now = self.shared.live.now();
        let (generation, digest) = (now.number, now.digest.clone());
        let on_disk = self.trial.is_none() && self.standing.instead_of.is_none();
        if on_disk && self.refused.take().is_some() {
            self.shared.status.rules(|rules| rules.refused = None);
            let digest = digest.clone();
            self.shared.log.say(&Event::Unchanged { generation, digest });
        }
        cause.answer(Came::Unchanged { generation, digest });
    }

    /// Takes up a candidate that is right in itself.
    async fn consider(&mut self, candidate: Candidate, cause: Cause, from: (String, Instant)) {
        if let Err(faults) = self.fits(&candidate) {
            return self.refuse(&cause, count(&faults), faults);
        }
        if cause.wish == Wish::Check {
            let digest = candidate.generation.digest.clone();
            return cause.answer(Came::Right { digest });
        }
        let same = self.shared.live.now().prints().fingerprint() == from.0;
        if same && self.standing.instead_of.is_none() {
            self.end_trial("what is in force is on disk again");
            return self.nothing_new(&cause);
        }
        let known = self.trial.as_ref().is_some_and(|trial| trial.print == from.0);
        self.end_trial("newer rules came");
        let shadow = match cause.wish {
            Wish::Reload { shadow: Some(shadow) } => shadow,
            // Who asks again during a trial has seen enough.
            _ if known => 0,
            _ if self.shared.live.now().digest == candidate.generation.digest => 0,
            _ => candidate.generation.config().engine.reload.shadow,
        };
        match shadow {
            0 => self.accept(candidate, cause, None, from.1).await,
            wanted => self.begin_trial(candidate, cause, wanted, from),
        }
    }

    /// What cannot change while the engine runs.
    fn fits(&self, candidate: &Candidate) -> Result<(), Faults> {
        let (new, now) = (candidate.generation.config(), self.shared.live.now());
        let name = new.file.file_name().map(PathBuf::from).unwrap_or_default();
        let fault = |what, help: &str| Err(Fault::whole(name, what).help(help).into());
        if new.engine.data != now.config().engine.data {
            let help = "change it back, or stop the engine and start it anew";
            return fault("`data` cannot change while the engine runs", help);
        }
        if new.accounts.is_empty() && !now.config().accounts.is_empty() {
            let help = "`active = false` pauses an account; to serve none, stop the engine";
            return fault("names no account: was it emptied by mistake?", help);
        }
        Ok(())
    }

    /// Nothing changes; it is told once.
    fn refuse(&mut self, cause: &Cause, why: String, faults: Faults) {
        let told = format!("{why}\n{faults}");
        let again = self.refused.as_ref() == Some(&told);
        let Faults(faults) = faults;
        if cause.wish != Wish::Check && !again {
            self.end_trial("newer rules came, and were refused");
            let now = self.shared.live.now();
            let lines = faults.iter().take(MOST_TOLD).map(ToString::to_string).collect::<Vec<_>>();
            let at = rfc3339(self.shared.clock.now_ms());
            let (generation, digest) = (now.number, now.digest.clone());
            self.shared.log.say(&Event::Refused {
                why: why.clone(),
                faults: lines.clone(),
                generation,
                digest,
            });
            let refusal = super::Refusal { at, why: why.clone(), faults: lines };
            self.shared.status.rules(|rules| rules.refused = Some(refusal));
            self.refused = Some(told);
        }
        cause.answer(Came::Refused { why, faults });
    }

    fn is_busy(&self) -> bool {
        self.tending || self.guard.is_some() || self.trial.is_some()
    }

    /// Looks after what is under way: a trial, a guard, generations that are to leave.
    async fn tend(&mut self) {
        self.tend_trial().await;
        self.tend_guard().await;
        let live = &self.shared.live;
        for generation in live.end_overdue(self.settings().retire) {
            self.shared.log.say(&Event::Ended { generation });
        }
        let leaving = live.leaving();
        self.tending = !leaving.is_empty();
        self.shared.status.rules(|rules| rules.leaving = leaving);
    }
}

/// Returns after a while where anything is under way.
async fn tend(is_busy: bool) {
    match is_busy {
        true => tokio::time::sleep(TEND).await,
        false => std::future::pending().await,
    }
}

fn count(faults: &Faults) -> String {
    match faults.0.len() {
        1 => "1 fault".into(),
        many => format!("{many} faults"),
    }
}
