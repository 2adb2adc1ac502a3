//! A candidate's trial: it decides live messages beside the generation in force, before it may
//! decide alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Came, Cause, Reloader, guard};
use crate::fault::Faults;
use crate::maillog::Event;
use crate::pipeline::{Candidate, Contrast, Generation, Health, Kept, Shadow};

/// How long a trial waits for messages before what it has seen is enough.
const LONGEST: Duration = Duration::from_secs(600);

/// A trial under way.
pub(super) struct Trial {
    /// The fingerprint of the candidate's files.
    pub(super) print: String,
    shadow: Arc<Shadow>,
    candidate: Arc<Generation>,
    files: Kept,
    cause: Cause,
    began: Instant,
}

impl Reloader {
    pub(super) fn begin_trial(
        &mut self,
        candidate: Candidate,
        cause: Cause,
        wanted: u64,
        (print, began): (String, Instant),
    ) {
        let Candidate { generation, files } = candidate;
        let candidate = Arc::new(generation);
        let shadow = Arc::new(Shadow::new(candidate.clone(), wanted));
        self.shared.live.set_shadow(Some(shadow.clone()));
        self.shared.log.say(&Event::TrialBegan { digest: candidate.digest.clone(), wanted });
        self.trial = Some(Trial { print, shadow, candidate, files, cause, began });
        self.show_trial();
    }

    /// Ends a trial without putting its candidate in force.
    pub(super) fn end_trial(&mut self, why: &str) {
        let Some(trial) = self.trial.take() else { return };
        self.shared.live.set_shadow(None);
        self.shared.status.rules(|rules| rules.trial = None);
        let why = format!("its trial was ended: {why}");
        trial.cause.answer(Came::Refused { why, faults: Vec::new() });
    }

    pub(super) async fn tend_trial(&mut self) {
        self.show_trial();
        let over = self.trial.as_ref().is_some_and(|trial| {
            let compared = trial.shadow.contrast().compared;
            compared >= trial.shadow.wanted() || trial.began.elapsed() >= LONGEST
        });
        if !over {
            return;
        }
        let Some(trial) = self.trial.take() else { return };
        self.shared.live.set_shadow(None);
        self.shared.status.rules(|rules| rules.trial = None);
        let Trial { shadow, candidate, files, cause, began, .. } = trial;
        let contrast = shadow.contrast();
        drop(shadow);
        let digest = candidate.digest.clone();
        let (shown, told) = (serde_json::json!(contrast), told(&contrast));
        self.shared.log.say(&Event::Trial { digest, contrast: shown, told });
        if let Some(why) = rise(&contrast) {
            return self.refuse(&cause, why, Faults::default());
        }
        let Some(generation) = alone(candidate).await else {
            self.seen = None;
            let why = "its trial does not end; it is tried again".to_owned();
            return self.refuse(&cause, why, Faults::default());
        };
        self.accept(Candidate { generation, files }, cause, Some(contrast), began).await;
    }

    fn show_trial(&self) {
        let Some(trial) = &self.trial else { return };
        let (digest, wanted) = (trial.candidate.digest.clone(), trial.shadow.wanted());
        let shown = super::super::TrialStatus { digest, wanted, so_far: trial.shadow.contrast() };
        self.shared.status.rules(|rules| rules.trial = Some(shown));
    }
}

/// What a trial showed, in words.
fn told(contrast: &Contrast) -> String {
    let Contrast { compared, alike, failed_before, failed_after, differences } = contrast;
    let shown = differences.iter().take(5).map(|told| {
        let (before, after) = (told.before.join(", "), told.after.join(", "));
        format!("; {} \"{}\": {before} -> {after}", told.message, told.subject)
    });
    let shown: String = shown.collect();
    format!(
        "{alike} of {compared} messages are decided alike, steps failed of {failed_after} \
         ({failed_before} before){shown}"
    )
}

/// Why a trial is no recommendation.
fn rise(contrast: &Contrast) -> Option<String> {
    let decided = contrast.compared;
    let before = Health { decided, failed: contrast.failed_before };
    let after = Health { decided, failed: contrast.failed_after };
    let least = (decided / 50).clamp(1, 5);
    guard::rose(before, after, least).then(|| format!("on trial, {}", guard::told(before, after)))
}

/// The candidate, once the last message it was shown is decided.
async fn alone(mut candidate: Arc<Generation>) -> Option<Generation> {
    for _ in 0..600 {
        match Arc::try_unwrap(candidate) {
            Ok(generation) => return Some(generation),
            Err(shared) => candidate = shared,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}
