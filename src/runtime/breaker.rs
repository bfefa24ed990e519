//! One circuit for all calls to one backend: while it is down, one call a second finds out and everybody else waits.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};

use super::World;

/// When a circuit opens and how it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open it (at least one).
    pub failures: u32,
    /// Least time between two probes.
    pub probe_every: Duration,
    /// When it closes, those who waited are let go over this long for each of them...
    pub release_each: Duration,
    /// ...but no longer than this for all.
    pub release_all: Duration,
}

impl Default for BreakerSettings {
    /// Three failures, a probe a second, 500 released a second, all within 30 seconds.
    fn default() -> Self {
        let (release_each, release_all) = (Duration::from_millis(2), Duration::from_secs(30));
        Self { failures: 3, probe_every: Duration::from_secs(1), release_each, release_all }
    }
}

/// What a caller may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Call,
    Probe,
}

/// The circuit as a pure state machine.
#[derive(Debug)]
struct Core {
    settings: BreakerSettings,
    /// In a row, while closed.
    failures: u32,
    /// While open: since when, and when the next probe may start.
    open: Option<(Instant, Instant)>,
}

impl Core {
    /// A probe that never tells its verdict does not block the next one.
    fn admit(&mut self, now: Instant) -> Option<Admission> {
        let Some((_, probe_at)) = &mut self.open else { return Some(Admission::Call) };
        if *probe_at > now {
            return None;
        }
        *probe_at = now + self.settings.probe_every;
        Some(Admission::Probe)
    }

    /// A verdict on a call that began before the circuit opened tells nothing new: only probes count while it is open.
    fn verdict(&mut self, probe: bool, well: bool, now: Instant) {
        match (&mut self.open, probe, well) {
            (None, _, true) => self.failures = 0,
            (None, _, false) => self.fail(now),
            (open @ Some(_), true, true) => (*open, self.failures) = (None, 0),
            (Some((_, probe_at)), true, false) => *probe_at = now + self.settings.probe_every,
            (Some(_), false, _) => {}
        }
    }

    fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.settings.failures.max(1) {
            self.open = Some((now, now + self.settings.probe_every));
        }
    }
}

/// The circuit. Cheap to clone; all clones are one circuit.
#[derive(Clone, Debug)]
pub struct Breaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Mutex<Core>,
    closed: watch::Sender<bool>,
    /// Who holds it keeps the timer of the next probe, so that 10,000 waiters are not 10,000 timers.
    prober: Semaphore,
    waiting: AtomicU32,
    settings: BreakerSettings,
    world: World,
}

impl Breaker {
    /// A closed circuit.
    #[must_use]
    pub fn new(world: World, settings: BreakerSettings) -> Self {
        let core = Mutex::new(Core { settings, failures: 0, open: None });
        let (closed, prober, waiting) = (watch::Sender::new(true), Semaphore::new(1), AtomicU32::new(0));
        Self { shared: Arc::new(Shared { core, closed, prober, waiting, settings, world }) }
    }

    /// The right to make a call now: always while closed, once a second while open. None: not now.
    #[must_use]
    pub fn try_enter(&self) -> Option<Permit> {
        let admission = self.shared.lock().admit(Instant::now())?;
        Some(Permit { probe: admission == Admission::Probe, shared: Arc::clone(&self.shared) })
    }

    /// Waits for the right to make a call. While the circuit is open one of those who wait probes each second; when it
    /// closes all are let go, spread out in time. To drop the future loses nothing.
    pub async fn enter(&self) -> Permit {
        if let Some(permit) = self.try_enter() {
            return permit;
        }
        let _waiting = Waiting::new(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = self.closing() => {}
                () = self.probe_turn() => {}
            }
            if let Some(permit) = self.try_enter() {
                return permit;
            }
        }
    }

    /// Waits until the circuit is closed, and a little more when it was not, so that not all who wait go on at once. It
    /// does not probe: somebody must call [`Breaker::enter`] or [`Breaker::try_enter`].
    pub async fn wait_closed(&self) {
        if self.is_closed() {
            return;
        }
        let _waiting = Waiting::new(&self.shared);
        while !self.is_closed() {
            self.closing().await;
        }
    }

    /// Whether calls pass freely.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self.shared.closed.borrow()
    }

    /// Follows the circuit: true while closed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.shared.closed.subscribe()
    }

    /// How long it has been open; none while closed.
    #[must_use]
    pub fn open_for(&self) -> Option<Duration> {
        let since = self.shared.lock().open?.0;
        Some(since.elapsed())
    }

    /// Returns some time after the circuit has closed, each caller at another time.
    async fn closing(&self) {
        // The sender lives as long as `self`.
        drop(self.watch().wait_for(|closed| *closed).await);
        let settings = self.shared.settings;
        let waiting = self.shared.waiting.load(Relaxed);
        let spread = settings.release_each.saturating_mul(waiting).min(settings.release_all);
        sleep(self.shared.world.up_to(spread)).await;
    }

    /// Returns when this caller should try to probe: one of all who wait has the turn.
    async fn probe_turn(&self) {
        let _turn = self.shared.prober.acquire().await;
        loop {
            let open = self.shared.lock().open;
            if let Some((_, probe_at)) = open {
                return sleep_until(probe_at).await;
            }
            // About to be let go, unless it opens again first.
            drop(self.watch().wait_for(|closed| !*closed).await);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(&self, probe: bool, well: bool) {
        let mut core = self.lock();
        core.verdict(probe, well, Instant::now());
        // Under the lock, so that two verdicts do not publish in the wrong order.
        let closed = core.open.is_none();
        self.closed.send_if_modified(|published| std::mem::replace(published, closed) != closed);
    }
}

/// Counts one who waits, also when it stops waiting early.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Relaxed);
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// The right to make one call. Tell how it went; a permit that is dropped says nothing.
#[derive(Debug)]
pub struct Permit {
    probe: bool,
    shared: Arc<Shared>,
}

impl Permit {
    /// Whether this call finds out for all others whether the backend is back: keep it short.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The backend answered, be it with an error that is ours.
    pub fn succeeded(self) {
        self.shared.verdict(self.probe, true);
    }

    /// The backend could not be reached, or said that it cannot work.
    pub fn failed(self) {
        self.shared.verdict(self.probe, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(World::seeded(3), BreakerSettings::default())
    }

    fn break_it(breaker: &Breaker) {
        while let Some(permit) = breaker.try_enter() {
            permit.failed();
        }
    }

    #[test]
    fn opens_after_failures_in_a_row_and_only_a_probe_closes_it() {
        let mut core = Core { settings: BreakerSettings::default(), failures: 0, open: None };
        let now = Instant::now();
        for well in [false, false, true, false, false] {
            core.verdict(false, well, now);
        }
        assert_eq!(core.admit(now), Some(Admission::Call));
        core.verdict(false, false, now);
        assert_eq!(core.admit(now), None);
        core.verdict(false, true, now);
        assert_eq!(core.admit(now), None);
        assert_eq!(core.admit(now + SECOND), Some(Admission::Probe));
        assert_eq!(core.admit(now + SECOND), None);
        core.verdict(true, false, now + SECOND);
        assert_eq!(core.admit(now + 2 * SECOND), Some(Admission::Probe));
        core.verdict(true, true, now + 2 * SECOND);
        assert_eq!(core.admit(now + 2 * SECOND), Some(Admission::Call));
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_a_second_and_no_stampede() {
        let (breaker, start) = (breaker(), Instant::now());
        break_it(&breaker);
        let callers = (0..10_000).map(|_| {
            let breaker = breaker.clone();
            tokio::spawn(async move {
                let permit = breaker.enter().await;
                let at = start.elapsed();
                let probe = permit.is_probe();
                if at < 10 * SECOND {
                    permit.failed()
                } else {
                    permit.succeeded()
                }
                (at, probe)
            })
        });
        let mut calls: Vec<_> = futures::future::join_all(callers).await.into_iter().map(Result::unwrap).collect();
        calls.sort();
        let (probes, released): (Vec<_>, Vec<_>) = calls.iter().partition(|(_, probe)| *probe);
        let at: Vec<_> = probes.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(at, (1..=10).collect::<Vec<_>>());
        for second in 10..30 {
            let burst = released.iter().filter(|(at, _)| at.as_secs() == second).count();
            assert!((300..700).contains(&burst), "{burst} calls in second {second}");
        }
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_gives_up_leaves_the_turn_to_another() {
        let breaker = breaker();
        break_it(&breaker);
        let lost = tokio::spawn({
            let breaker = breaker.clone();
            async move { drop(breaker.enter().await) }
        });
        lost.await.unwrap();
        let waiter = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.wait_closed().await }
        });
        assert_eq!(breaker.open_for(), Some(SECOND));
        let permit = breaker.enter().await;
        assert!(permit.is_probe());
        permit.succeeded();
        waiter.await.unwrap();
        assert_eq!(breaker.open_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_circuit_that_opens_again_during_the_release_is_still_probed() {
        let breaker = breaker();
        break_it(&breaker);
        let (probed, waiting) = (breaker.enter().await, breaker.clone());
        let waiter = tokio::spawn(async move { waiting.enter().await.is_probe() });
        tokio::task::yield_now().await;
        probed.succeeded();
        break_it(&breaker);
        assert!(waiter.await.unwrap());
    }
}
