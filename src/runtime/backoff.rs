//! Exponential backoff with full jitter.

use std::time::Duration;

/// How long to wait after a number of failures in a row. Pure: the caller brings the randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Default for Backoff {
    /// From one second, doubling, to five minutes.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(300))
    }
}

impl Backoff {
    /// Doubles from `base` after the first failure up to `cap`; a `cap` below `base` counts as `base`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap: cap.max(base) }
    }

    /// The longest wait after this many failures in a row; zero after none.
    #[must_use]
    pub fn limit(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The wait after this many failures: evenly between zero and the limit, so that objects that failed together come
    /// back apart. `jitter` draws a duration between zero and the one that it is given, for instance `World::up_to`.
    pub fn wait(&self, failures: u32, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
        let limit = self.limit(failures);
        jitter(limit).min(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_and_stays() {
        let backoff = Backoff::default();
        let seconds = |failures| backoff.limit(failures).as_secs();
        assert_eq!([0, 1, 2, 3, 9, 10, 33, 34, u32::MAX].map(seconds), [0, 1, 2, 4, 256, 300, 300, 300, 300]);
    }

    #[test]
    fn jitter_never_exceeds_the_limit() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(backoff.wait(1, |limit| limit * 3), Duration::from_secs(2));
        assert_eq!(backoff.wait(5, |limit| limit / 2), Duration::from_secs(1));
    }
}
