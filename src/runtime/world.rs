//! Clock, random numbers and ids, all through one handle, so that a run can be replayed from a seed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::Instant;
use ulid::Ulid;

/// The world outside the program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    clock: Clock,
    random: Arc<Mutex<StdRng>>,
}

#[derive(Clone, Debug)]
enum Clock {
    System,
    /// Follows tokio's clock, which tests pause and advance.
    Virtual {
        start: Timestamp,
        origin: Instant,
    },
}

impl World {
    /// The system's clock and fresh randomness.
    #[must_use]
    pub fn real() -> Self {
        Self { clock: Clock::System, random: Arc::new(Mutex::new(rand::make_rng())) }
    }

    /// A world that unfolds the same way each time for a seed. Starts at 2026-01-01; its clock is tokio's.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let start = Timestamp::constant(1_767_225_600, 0);
        let clock = Clock::Virtual { start, origin: Instant::now() };
        Self { clock, random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    /// Wall-clock time, for people. Never compare it to decide what is older: use [`Instant`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.clock {
            Clock::System => Timestamp::now(),
            Clock::Virtual { start, origin } => {
                let passed = jiff::SignedDuration::try_from(origin.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
                start.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// A new id, for instance `lb-01jd...`: unique, and sorted by the time it was made.
    #[must_use]
    pub fn id(&self, prefix: &str) -> String {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        let ulid = Ulid::from_parts(millis, self.draw(RngExt::random));
        format!("{prefix}-{}", ulid.to_string().to_ascii_lowercase())
    }

    /// 32 bytes that nobody can guess, for secrets.
    #[must_use]
    pub fn secret(&self) -> [u8; 32] {
        self.draw(RngExt::random)
    }

    /// A duration between zero and `limit`, evenly.
    #[must_use]
    pub fn up_to(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.draw(|random| random.random_range(0.0..1.0)))
    }

    fn draw<T>(&self, how: impl FnOnce(&mut StdRng) -> T) -> T {
        how(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn same_seed_same_world() {
        let run = || async {
            let world = World::seeded(7);
            tokio::time::advance(Duration::from_secs(5)).await;
            (world.id("lb"), world.up_to(Duration::from_secs(1)), world.now())
        };
        assert_eq!(run().await, run().await);
    }
}
