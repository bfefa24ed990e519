//! When a target counts as healthy. Pure.
//!
//! A new target is `Checking` until its first check, which starts within a moment and decides at once: good makes it healthy,
//! bad unhealthy. From then on it takes as many results in a row as the thresholds say to turn it. A connection that cannot
//! be opened counts as a bad check, at most once a second. Unhealthy targets get no new connections and keep those they have;
//! with no target left, connections are reset: there is no mode in which unhealthy targets are tried all the same.

use std::io;

use nix::errno::Errno;

/// What a target counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// Not checked yet.
    Checking,
    /// Takes connections.
    Healthy,
    /// Takes none.
    Unhealthy,
}

/// Results in a row that turn a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Good ones that make it healthy.
    pub healthy: u32,
    /// Bad ones that make it unhealthy.
    pub unhealthy: u32,
}

/// Why a check was bad. Neither word nor text moves from check to check while the cause is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One CamelCase word.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
}

impl Failure {
    /// For a person: `message`; for a program: `reason`.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// No answer within the time that there is.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new("Timeout", "no answer in time")
    }

    /// A connection that failed; none when we lack descriptors, memory or ports, which says nothing about the target.
    #[must_use]
    pub fn of_connection(problem: &io::Error) -> Option<Self> {
        use io::ErrorKind as Kind;
        if problem.raw_os_error().map(Errno::from_raw).is_some_and(|errno| EXHAUSTED.contains(&errno)) {
            return None;
        }
        Some(match problem.kind() {
            Kind::ConnectionRefused => {
                Self::new("ConnectionRefused", "the connection was refused: nothing listens there")
            }
            Kind::TimedOut => Self::timeout(),
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                Self::new("ConnectionReset", "the target broke the connection off")
            }
            Kind::HostUnreachable | Kind::NetworkUnreachable => {
                Self::new("Unreachable", "there is no route to the target")
            }
            Kind::UnexpectedEof => Self::new("ConnectionClosed", "the target closed the connection without an answer"),
            _ => Self::new("CannotConnect", problem.to_string()),
        })
    }
}

/// What it looks like when this machine has nothing left to connect with.
const EXHAUSTED: [Errno; 5] = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];

/// Results so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    standing: Standing,
    /// Results in a row that speak against the standing.
    against: u32,
    failure: Option<Failure>,
}

impl Tally {
    /// Of a target that is not checked (`Healthy`) or not yet (`Checking`).
    #[must_use]
    pub fn new(standing: Standing) -> Self {
        Self { standing, against: 0, failure: None }
    }

    /// What the target counts as.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// What made it unhealthy.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Takes a result in. True when the standing changed.
    pub fn observe(&mut self, result: Result<(), Failure>, thresholds: Thresholds) -> bool {
        let (next, needed) = match (self.standing, &result) {
            (Standing::Checking, Ok(())) => (Standing::Healthy, 1),
            (Standing::Checking, Err(_)) => (Standing::Unhealthy, 1),
            (Standing::Healthy, Err(_)) => (Standing::Unhealthy, thresholds.unhealthy),
            (Standing::Unhealthy, Ok(())) => (Standing::Healthy, thresholds.healthy),
            (Standing::Healthy, Ok(())) | (Standing::Unhealthy, Err(_)) => {
                self.against = 0;
                return false;
            }
        };
        self.against += 1;
        if self.against < needed {
            return false;
        }
        *self = Self { standing: next, against: 0, failure: result.err() };
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bad() -> Result<(), Failure> {
        Err(Failure::timeout())
    }

    #[test]
    fn what_we_lack_is_not_the_targets_fault() {
        let failure = |errno: Errno| Failure::of_connection(&io::Error::from_raw_os_error(errno as i32));
        for errno in EXHAUSTED {
            assert_eq!(failure(errno), None, "{errno}");
        }
        for (errno, reason) in [
            (Errno::ECONNREFUSED, "ConnectionRefused"),
            (Errno::EHOSTUNREACH, "Unreachable"),
            (Errno::ENETUNREACH, "Unreachable"),
            (Errno::ETIMEDOUT, "Timeout"),
            (Errno::EPERM, "CannotConnect"),
        ] {
            assert_eq!(failure(errno).unwrap().reason, reason, "{errno}");
        }
    }

    #[test]
    fn the_first_result_decides_and_then_the_thresholds() {
        let thresholds = Thresholds { healthy: 2, unhealthy: 3 };
        let mut tally = Tally::new(Standing::Checking);
        let mut steps = vec![];
        for good in [true, false, false, true, false, false, false, true, false, true, true] {
            tally.observe(if good { Ok(()) } else { bad() }, thresholds);
            steps.push(match tally.standing() {
                Standing::Checking => 'c',
                Standing::Healthy => 'h',
                Standing::Unhealthy => 'u',
            });
        }
        assert_eq!(steps.iter().collect::<String>(), "hhhhhhuuuuh");
        assert_eq!(tally.failure(), None);
        let mut tally = Tally::new(Standing::Checking);
        assert!(tally.observe(bad(), thresholds));
        assert_eq!(tally.failure().unwrap().reason, "Timeout");
    }

    proptest! {
        #[test]
        fn a_standing_turns_only_after_enough_results_in_a_row(
            results in proptest::collection::vec(any::<bool>(), 1..60),
            healthy in 1_u32..5,
            unhealthy in 1_u32..5,
        ) {
            let mut tally = Tally::new(Standing::Healthy);
            let mut before = Standing::Healthy;
            for (at, good) in results.iter().enumerate() {
                let changed = tally.observe(if *good { Ok(()) } else { bad() }, Thresholds { healthy, unhealthy });
                let now = tally.standing();
                prop_assert_eq!(changed, now != before);
                let needed = if now == Standing::Healthy { healthy } else { unhealthy } as usize;
                let in_a_row = at + 1 >= needed && results[at + 1 - needed..=at].iter().all(|other| other == good);
                prop_assert!(!changed || in_a_row);
                let speaks_against = *good != (now == Standing::Healthy);
                prop_assert!(changed || !(speaks_against && in_a_row && needed == 1 && healthy == unhealthy));
                prop_assert_eq!(tally.failure().is_some(), now == Standing::Unhealthy);
                before = now;
            }
        }
    }
}
