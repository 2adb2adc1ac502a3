//! Whether changed rules make more steps fail than those before them.

use std::time::Duration;

use tokio::time::Instant;

use crate::pipeline::{Generation, Health};

/// How long rules are watched after they came into force.
const WATCHED: Duration = Duration::from_secs(600);

/// As few messages whose steps fail are no rise, whatever their share.
const LEAST: u64 = 5;

/// The new share of failures must be over one in so many.
const ONE_IN: u64 = 10;

/// ... and over so many times the old share.
const TIMES: u64 = 3;

/// A watch over a generation that has just come into force.
#[derive(Debug)]
pub(super) struct Guard {
    /// Which one is put back.
    pub(super) old: u64,
    before: Health,
    /// What the watched one had decided when it came into force: on trial.
    trial: Health,
    until: Instant,
}

impl Guard {
    pub(super) fn over(new: &Generation, old: &Generation) -> Self {
        let (before, trial) = (old.health(), new.health());
        Self { old: old.number, before, trial, until: Instant::now() + WATCHED }
    }

    /// Whether it may go home.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Why the old generation is to be put back, if it is.
    pub(super) fn alarm(&self, new: &Generation) -> Option<String> {
        let health = new.health();
        let now = Health {
            decided: health.decided.saturating_sub(self.trial.decided),
            failed: health.failed.saturating_sub(self.trial.failed),
        };
        rose(self.before, now, LEAST).then(|| told(self.before, now))
    }
}

/// Whether so many more messages failed that it is no chance.
pub(super) fn rose(before: Health, now: Health, least: u64) -> bool {
    // Shares are compared without dividing: failed / decided > TIMES * (failed / decided).
    let often = u128::from(now.failed) * u128::from(ONE_IN) > u128::from(now.decided);
    let left = u128::from(now.failed) * u128::from(before.decided);
    let right = u128::from(TIMES) * u128::from(before.failed) * u128::from(now.decided);
    now.failed >= least && often && (before.decided == 0 || left > right)
}

/// The rise in words.
pub(super) fn told(before: Health, now: Health) -> String {
    format!(
        "step errors rose: {} of {} messages, {} of {} before",
        now.failed, now.decided, before.failed, before.decided
    )
}

#[cfg(test)]
mod tests {
    use super::{LEAST, rose};
    use crate::pipeline::Health;

    #[test]
    fn only_a_clear_rise_is_one() {
        let health = |failed, decided| Health { failed, decided };
        let rise = |before, now| rose(before, now, LEAST);
        assert!(rise(health(0, 1_000), health(5, 5)));
        assert!(rise(health(0, 0), health(6, 20)), "with nothing to compare");
        assert!(!rise(health(0, 1_000), health(4, 4)), "too few");
        assert!(!rise(health(0, 1_000), health(5, 60)), "too rare");
        assert!(!rise(health(500, 1_000), health(50, 100)), "as before");
        assert!(rise(health(50, 1_000), health(20, 100)));
        assert!(!rise(health(0, u64::MAX), health(0, u64::MAX)));
    }
}
