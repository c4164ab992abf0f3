//! When the next attempt may be made: at once, until so many have failed in a row that each waits for a pause first.

use std::time::{Duration, Instant};

/// The failures of one endpoint.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    backoff: Duration,
    /// How many in a row, and when the last one was.
    failed: (u32, Option<Instant>),
}

impl Breaker {
    pub(super) fn new(threshold: u32, backoff: Duration) -> Self {
        Self { threshold, backoff, failed: (0, None) }
    }

    /// How long to wait before the next attempt.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        match self.failed {
            (count, Some(last)) if count >= self.threshold => self.backoff.saturating_sub(now.duration_since(last)),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn failure(&mut self, now: Instant) {
        self.failed = (self.failed.0.saturating_add(1), Some(now));
    }

    pub(super) fn success(&mut self) {
        self.failed = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_as_many_failures_as_the_threshold_each_attempt_waits() {
        let (now, backoff) = (Instant::now(), Duration::from_secs(5));
        let mut breaker = Breaker::new(2, backoff);
        breaker.failure(now);
        assert_eq!(breaker.pause(now), Duration::ZERO);
        breaker.failure(now);
        assert_eq!(breaker.pause(now), backoff);
        assert_eq!(breaker.pause(now + Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(breaker.pause(now + Duration::from_secs(9)), Duration::ZERO);
        breaker.failure(now + backoff);
        assert_eq!(breaker.pause(now + backoff), backoff, "it has not succeeded since");
        breaker.success();
        breaker.failure(now);
        assert_eq!(breaker.pause(now), Duration::ZERO);
    }
}
