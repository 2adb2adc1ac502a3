//! How long an answer may take: one deadline without progress, and a bound on everything.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a second below which an answer counts as stuck.
const SLOWEST: u64 = 8 * 1024;

/// Deadlines that one command may last while data keeps coming.
const MOST_WINDOWS: u32 = 30;

/// Watches one command. A window lasts one deadline; it is renewed while the server sends at a
/// reasonable rate, so that a large message may take longer than a dead server.
pub(super) struct Pace {
    deadline: Duration,
    ends: Instant,
    received: u64,
    windows: u32,
}

impl Pace {
    /// Begins now, with this many bytes received before.
    pub(super) fn new(deadline: Duration, received: u64) -> Self {
        Self { deadline, ends: Instant::now() + deadline, received, windows: 1 }
    }

    /// When the current window ends.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Goes on after a window has ended.
    ///
    /// # Errors
    /// Too little came in it, or it was the last.
    pub(super) fn renew(&mut self, received: u64) -> Result<(), String> {
        let came = received.saturating_sub(self.received);
        let seconds = self.deadline.as_secs_f64();
        if (came as f64) < SLOWEST as f64 * seconds || came == 0 {
            return Err(format!("no answer within {seconds} s ({came} bytes came)"));
        }
        if self.windows >= MOST_WINDOWS {
            let most = seconds * f64::from(MOST_WINDOWS);
            return Err(format!("the answer did not end within {most} s"));
        }
        *self = Self {
            ends: self.ends + self.deadline,
            received,
            windows: self.windows + 1,
            deadline: self.deadline,
        };
        Ok(())
    }

    /// How long writing this many bytes may take.
    pub(super) fn for_writing(deadline: Duration, size: usize) -> Duration {
        deadline + Duration::from_secs(size as u64 / SLOWEST)
    }
}
