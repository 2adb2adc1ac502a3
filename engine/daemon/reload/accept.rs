//! Puts a candidate in force, and a kept generation back.

use std::sync::Arc;

use tokio::time::Instant;

use super::guard::Guard;
use super::{Came, Cause, Reloader, build, count};
use crate::clock::rfc3339;
use crate::error::{Context, Error, Result};
use crate::fault::Faults;
use crate::maillog::Event;
use crate::pipeline::{Candidate, Contrast, Generation, StepOutcome};
use crate::store::{Generations, MessageRecord, Standing, Store};

impl Reloader {
    /// Puts a candidate in force: numbered and kept first, so that whatever it decides can be explained.
    pub(super) async fn accept(
        &mut self,
        candidate: Candidate,
        cause: Cause,
        trial: Option<Contrast>,
        began: Instant,
    ) {
        let now = self.shared.live.now();
        let known = (candidate.generation.digest == now.digest).then_some(now.number);
        let standing = Standing::default();
        let generation = match self.note(candidate, known, standing).await {
            Ok(generation) => generation,
            Err(error) => {
                self.seen = None;
                return self.refuse(&cause, error.to_string(), Faults::default());
            }
        };
        let put_back = generation.config().engine.reload.put_back && known.is_none();
        let guard = put_back.then(|| Guard::over(&generation, &now));
        let (number, digest) = (generation.number, generation.digest.clone());
        self.swap(generation, None);
        self.guard = guard;
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.log.say(&Event::InForce {
            generation: number,
            digest: digest.clone(),
            replaced: now.number,
            why: cause.why.into(),
            millis,
        });
        cause.answer(Came::InForce { generation: number, digest, trial });
    }

    /// Numbers a candidate, keeps its files, and notes what is to be in force.
    async fn note(
        &mut self,
        candidate: Candidate,
        known: Option<u64>,
        standing: Standing,
    ) -> Result<Arc<Generation>> {
        let (store, generations) = (self.shared.store.clone(), self.generations.clone());
        let at = rfc3339(self.shared.clock.now_ms());
        let job = move || note(&store, &generations, candidate, known, (standing, at));
        let noted = tokio::task::spawn_blocking(job).await;
        let (generation, standing) = noted.or_later(|| "number the rules".into()).flatten()?;
        self.standing = standing;
        Ok(Arc::new(generation))
    }

    /// The one write that puts it in force.
    fn swap(&mut self, generation: Arc<Generation>, instead: Option<String>) {
        let config = generation.config().clone();
        let (number, digest) = (generation.number, generation.digest.clone());
        let before = self.shared.live.put(generation).number;
        self.tending = true;
        self.refused = None;
        self.shared.log.in_force(number, &digest);
        let since = rfc3339(self.shared.clock.now_ms());
        self.shared.status.in_force(number, digest, (before != number).then_some(since));
        self.shared.status.rules(|rules| {
            rules.refused = None;
            rules.trial = None;
            rules.instead_of_disk = instead;
        });
        // Whoever serves the accounts may be ending.
        let _ = self.accounts.send(config);
        self.arm();
    }

    /// Puts a kept generation in force because a person wants it. It stays so until the files change.
    pub(super) async fn activate(&mut self, number: u64, cause: Cause) {
        let now = self.shared.live.now();
        if now.number == number {
            let digest = now.digest.clone();
            return cause.answer(Came::Unchanged { generation: number, digest });
        }
        let began = Instant::now();
        let why = format!("generation {number} was activated");
        match self.bring_back(number, &why).await {
            Ok((digest, replaced)) => {
                self.guard = None;
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let (generation, why) = (number, "activated".into());
                let event =
                    Event::InForce { generation, digest: digest.clone(), replaced, why, millis };
                self.shared.log.say(&event);
                cause.answer(Came::InForce { generation: number, digest, trial: None });
            }
            Err((why, faults)) => cause.answer(Came::Refused { why, faults: faults.0 }),
        }
    }

    /// Puts a kept generation in force in place of what is on disk. Gives its digest and the number
    /// of the one it replaced.
    async fn bring_back(
        &mut self,
        number: u64,
        why: &str,
    ) -> Result<(String, u64), (String, Faults)> {
        let told = |error: Error| (error.to_string(), Faults::default());
        let kept = self.generations.files(number).map_err(told)?;
        // What it stands in place of: the files as they are now, right or wrong.
        let on_disk =
            build::from_disk(self.file.clone(), self.shared.live.now()).await.map_err(told)?;
        let print = on_disk.prints.fingerprint();
        self.seen = Some(on_disk.prints);
        let now = self.shared.live.now();
        let passwords = on_disk.config.map_or_else(|| now.config().clone(), Arc::new);
        let built = build::from_kept(self.file.clone(), kept, passwords).await.map_err(told)?;
        let candidate = built.map_err(|faults| (count(&faults), faults))?;
        self.fits(&candidate).map_err(|faults| (count(&faults), faults))?;
        self.end_trial("another generation was put in force");
        let (instead_of, why) = (Some(print), Some(why.to_owned()));
        let standing = Standing { generation: number, instead_of, why: why.clone() };
        let generation = self.note(candidate, Some(number), standing).await.map_err(told)?;
        let digest = generation.digest.clone();
        self.swap(generation, why);
        Ok((digest, now.number))
    }

    /// Puts the old generation back where steps fail more than before.
    pub(super) async fn tend_guard(&mut self) {
        let Some(guard) = &self.guard else { return };
        let bad = self.shared.live.now();
        let Some(why) = guard.alarm(&bad) else {
            if guard.is_over() {
                self.guard = None;
            }
            return;
        };
        let old = guard.old;
        self.guard = None;
        let instead = format!("generation {} was taken out of force: {why}", bad.number);
        match self.bring_back(old, &instead).await {
            Ok((digest, replaced)) => {
                let (generation, retried) = (old, self.retry_held(replaced).await);
                self.shared.log.say(&Event::PutBack { generation, digest, replaced, why, retried });
            }
            Err((failed, _)) => {
                let text = format!(
                    "{why}, and generation {old} could not be put back: {failed}; \
                     correct the rules, or `mailmill generations activate N`"
                );
                self.shared.log.say(&Event::Warning { text });
            }
        }
    }

    /// Calls for the messages that are held because a step of this generation failed.
    async fn retry_held(&self, generation: u64) -> u64 {
        let (store, now) = (self.shared.store.clone(), self.shared.clock.now_ms());
        let retried = tokio::task::spawn_blocking(move || -> Result<usize> {
            let fault = |record: &MessageRecord| {
                let steps = &record.decision.steps;
                record.decision.generation == generation
                    && steps.iter().any(|step| step.outcome == StepOutcome::Failed)
            };
            let held: Vec<u64> =
                store.held()?.into_iter().filter(fault).map(|record| record.id).collect();
            let due = |record: &mut MessageRecord| {
                if let Some(hold) = &mut record.hold {
                    hold.retry_at_ms = Some(now);
                }
            };
            Ok(store.change_held(&held, due)?.len())
        });
        let retried = retried.await.ok().and_then(Result::ok).unwrap_or(0);
        self.shared.status.wake_all();
        retried as u64
    }
}

fn note(
    store: &Store,
    generations: &Generations,
    candidate: Candidate,
    known: Option<u64>,
    (standing, at): (Standing, String),
) -> Result<(Generation, Standing)> {
    let Candidate { mut generation, files } = candidate;
    generation.number = match known {
        Some(number) => number,
        None => store.generation_number(&generation.digest)?,
    };
    let standing = Standing { generation: generation.number, ..standing };
    generations.keep((generation.number, &generation.digest, at), &files)?;
    generations.set_standing(&standing)?;
    Ok((generation, standing))
}
