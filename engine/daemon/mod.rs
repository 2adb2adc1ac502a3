//! Configuration -> live parts: opens the store, puts the first generation in force, serves each
//! account in a task of its own ([`crew`]), brings changed rules into force ([`reload`]), answers the
//! control socket, and ends everything in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, rfc3339};
use crate::config::Config;
use crate::control::{self, Desk};
use crate::error::{Error, Result};
use crate::fault::{Fault, Faults};
use crate::maillog::{Event, Maillog};
use crate::pipeline::{self, Attempt, Candidate, Live, Prints};
use crate::store::{Generations, Standing, Store};
use crate::workers::Workers;

mod account;
mod crew;
mod outgoing;
mod reload;
mod status;
mod submission;

pub use reload::{Came, Reloads, Wish};
pub use status::{AccountStatus, Refusal, RulesStatus, Snapshot, Status, TrialStatus};

use crew::{Crew, Shared};
use outgoing::Outgoing;
use reload::Reloader;
use submission::Intake;

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

/// What an engine starts with: its first generation, and what was found on disk.
#[derive(Debug)]
pub struct Start {
    candidate: Candidate,
    /// What the files on disk are told by.
    on_disk: Prints,
    /// Why those are not what it starts with.
    refused: Option<Faults>,
}

impl Start {
    /// With what is on disk, which is right.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn with(attempt: Attempt) -> Result<Self, Faults> {
        let Attempt { prints, outcome, .. } = attempt;
        Ok(Self { candidate: outcome?, on_disk: prints, refused: None })
    }

    /// With what is on disk, or where that is wrong with the last generation that was in force.
    ///
    /// # Errors
    /// All that is wrong with what is on disk, and why there is nothing in its place.
    pub fn with_last_good(file: &Path, attempt: Attempt) -> Result<Self, Faults> {
        let Attempt { prints, outcome, config, .. } = attempt;
        let mut faults = match outcome {
            Ok(candidate) => return Ok(Self { candidate, on_disk: prints, refused: None }),
            Err(faults) => faults,
        };
        let usual = file.parent().unwrap_or(Path::new(".")).join("data");
        let data = config.as_ref().map_or(usual.as_path(), |config| &config.engine.data);
        match last_good(file, &Generations::of(data), config.as_ref()) {
            Ok(candidate) => Ok(Self { candidate, on_disk: prints, refused: Some(faults) }),
            Err(more) => {
                faults.0.extend(more.0);
                Err(faults)
            }
        }
    }
}

/// The generation that was in force last.
fn last_good(
    file: &Path,
    generations: &Generations,
    passwords: Option<&Config>,
) -> Result<Candidate, Faults> {
    let standing = generations.standing().generation;
    let newest = generations.list().first().map_or(0, |kept| kept.generation);
    let number = if standing > 0 { standing } else { newest };
    let none = |error: Error| Faults::from(Fault::whole(file, format!("no last good: {error}")));
    let kept = generations.files(number).map_err(none)?;
    let mut candidate = pipeline::load_kept(file, kept, passwords)?;
    candidate.generation.number = number;
    Ok(candidate)
}

/// The store with the first generation in force: everything but the running.
pub struct Engine {
    shared: Shared,
    on_disk: Prints,
    standing: Standing,
}

impl Engine {
    /// Opens the store, gives the generation its number, and keeps it. Where a generation was put in
    /// force in place of the very files that are on disk, it is that one again.
    ///
    /// # Errors
    /// A store that does not open, or that another engine holds.
    pub fn open(start: Start, log: Maillog, clock: Clock) -> Result<Self> {
        let Start { mut candidate, on_disk, refused } = start;
        let data = candidate.generation.config().engine.data.clone();
        let store = Store::open_within(&data, BRIEFLY)?;
        let generations = Generations::of(&data);
        let mut standing = generations.standing();
        if refused.is_none() && standing.instead_of != Some(on_disk.fingerprint()) {
            standing = Standing::default();
        }
        if refused.is_none() && standing.instead_of.is_some() {
            candidate = in_place(candidate, &generations, &mut standing, &log);
        }
        let generation = &mut candidate.generation;
        if generation.number == 0 {
            generation.number = store.generation_number(&generation.digest)?;
        }
        standing.generation = generation.number;
        let (number, digest) = (generation.number, generation.digest.clone());
        let since = rfc3339(clock.now_ms());
        generations.keep((number, &digest, since), &candidate.files)?;
        generations.set_standing(&standing)?;
        log.in_force(number, &digest);
        let status = Status::new(&candidate.generation, clock.now_ms());
        status.rules(|rules| {
            rules.instead_of_disk = standing.why.clone();
            rules.refused = refused.map(|faults| refusal(&faults, &log, clock.now_ms()));
        });
        let live = Live::new(Arc::new(candidate.generation));
        let workers = Workers::start()?;
        let queue = outgoing::open(&data, &store, &clock, &log)?;
        let shared = Shared { live, store, queue, workers, clock, log, status };
        Ok(Self { shared, on_disk, standing })
    }

    /// Serves all active accounts until `stop`, or through one look at each.
    ///
    /// # Errors
    /// A control socket that cannot be made. With [`Until::Settled`], the first error of an
    /// account; the other accounts are served all the same.
    pub async fn run(self, until: Until, stop: CancellationToken) -> Result<()> {
        let Self { shared, on_disk, standing } = self;
        let config = shared.live.now().config().clone();
        let (reloads, asks) = Reloads::new();
        let reloads = (until == Until::Stopped).then_some(reloads);
        let desk = Desk::of_engine(&shared.store, (&shared.status, reloads), &shared.clock);
        let desk = desk.with_folder(&config.engine.data).with_queue(&shared.queue);
        let socket = control::listen(&config.engine.data, desk)?;
        let (accounts, changes) = watch::channel(config.clone());
        let intake = match until {
            Until::Stopped => Some(Intake::open(&shared).await?),
            Until::Settled => None,
        };
        let taking_in = changes.clone();
        let mut crew = Crew::new(shared.clone(), until, stop.clone());
        let mut outgoing = Outgoing::start(&shared.queue, &config, until);
        crew.apply(config);
        tell_start(&shared, crew.len());
        let ended = stop.child_token();
        let intake = intake.map(|intake| tokio::spawn(intake.run(taking_in, ended.clone())));
        let reloader = (until == Until::Stopped).then(|| {
            let reloader = Reloader::new(shared.clone(), (accounts, asks), (on_disk, standing));
            tokio::spawn(reloader.run(ended.clone()))
        });
        let result = wait(&shared, (&mut crew, &mut outgoing), (until, changes), &stop).await;
        outgoing.stop().await;
        ended.cancel();
        if let Some(intake) = intake {
            // It ends within its grace; one that panicked has told its own story.
            let _ = intake.await;
        }
        if let Some(reloader) = reloader {
            // What it was at is done again at the next start.
            reloader.abort();
        }
        socket.close();
        let (settled, held) = shared.status.totals();
        shared.log.say(&Event::Stopped { settled, held });
        result
    }
}

/// The generation that stands in place of what is on disk; what is on disk where it cannot be had.
fn in_place(
    candidate: Candidate,
    generations: &Generations,
    standing: &mut Standing,
    log: &Maillog,
) -> Candidate {
    let config = candidate.generation.config().clone();
    let why = standing.why.clone().unwrap_or_default();
    let (number, file) = (standing.generation, config.file.clone());
    let kept = generations.files(number).map_err(|error| error.to_string());
    let built = kept.and_then(|kept| {
        pipeline::load_kept(&file, kept, Some(&config)).map_err(|faults| faults.to_string())
    });
    match built {
        Ok(mut built) => {
            built.generation.number = number;
            let text = format!(
                "{why}; it is in force instead of what is on disk until that changes \
                 or `mailmill reload` asks for it"
            );
            log.say(&Event::Warning { text });
            built
        }
        Err(failed) => {
            let text = format!("{why}, but it cannot be loaded: {failed}");
            log.say(&Event::Warning { text });
            *standing = Standing::default();
            candidate
        }
    }
}

/// Tells that the files on disk are wrong, and another generation is in force.
fn refusal(faults: &Faults, log: &Maillog, now_ms: i64) -> Refusal {
    let lines: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
    let why = "the start was with the last good generation".to_owned();
    let text = format!("{why}; what is on disk is wrong: {faults}");
    log.say(&Event::Warning { text });
    Refusal { at: rfc3339(now_ms), why, faults: lines }
}

fn tell_start(shared: &Shared, accounts: usize) {
    let generation = shared.live.now();
    let (number, digest) = (generation.number, generation.digest.clone());
    shared.log.say(&Event::Started { accounts, generation: number, digest });
}

/// Forgets the oldest decisions, aside from the mail.
fn prune(shared: &Shared) {
    let (store, log) = (shared.store.clone(), shared.log.clone());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = store.prune(HISTORY) {
            log.say(&Event::Warning { text: error.to_string() });
        }
    });
}

/// Waits for the accounts: without end, or until told to stop and then for a grace. Serves those that
/// each new configuration has.
async fn wait(
    shared: &Shared,
    (crew, outgoing): (&mut Crew, &mut Outgoing),
    (until, mut changes): (Until, watch::Receiver<Arc<Config>>),
    stop: &CancellationToken,
) -> Result<()> {
    let mut result = Ok(());
    let mut hourly = tokio::time::interval(HOUR);
    loop {
        tokio::select! {
            _ = hourly.tick() => prune(shared),
            Ok(()) = changes.changed() => {
                let config = changes.borrow_and_update().clone();
                outgoing.apply(&config);
                crew.apply(config);
            }
            ended = crew.ended(), if crew.is_busy() => {
                result = result.and(ended.unwrap_or(Ok(())));
                if shared.store.is_broken() {
                    // Nothing can be promised any more. Whoever started us does so again.
                    break;
                }
            }
            () = stop.cancelled() => break,
            () = std::future::ready(()), if until == Until::Settled && !crew.is_busy() => {
                return result;
            }
        }
    }
    let rest = async { while crew.ended().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        crew.abort();
    }
    result
}
