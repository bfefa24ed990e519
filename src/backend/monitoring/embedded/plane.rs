//! The plane: follows intents, starts probes when they are due, and reports what the board says.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use super::{
    Limits, Options,
    board::{Board, News, Now},
    outcome::Outcome,
    prober::{Prober, platform_tls},
    schedule::{Id, Schedule},
};
use crate::{
    backend::{
        monitoring::settings::{ObjectSettings, read_condition},
        plane::{IntentChange, Intents, Plane, PlaneProblem, Reporter},
    },
    protocol::{
        Intent, Phase, Problem, RawObject, Revision,
        monitoring::{MonitoringCondition, MonitoringObject},
    },
    runtime::{Drain, World},
};

/// The first probe of an object that people wait for starts within this time.
const SOON: Duration = Duration::from_millis(100);
/// At a start, first probes of objects without a known state spread over at most this time.
const SPREAD: Duration = Duration::from_secs(5);
/// Nothing is due sooner.
const FAR: Duration = Duration::from_secs(3_600);

/// The embedded plane.
pub struct EmbeddedPlane {
    prober: Prober,
    limits: Limits,
    world: World,
}

/// Why a stored object cannot be made real; the checks refuse all these.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("its intent or its state has another shape: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("its intent is not valid: {0}")]
    Settings(#[from] Problem),
    #[error("it names no object")]
    NoParent,
}

impl EmbeddedPlane {
    /// A plane that has nothing to do yet. It trusts the certificates that the machine trusts.
    #[must_use]
    pub fn new(options: Options, world: World) -> Self {
        Self::with_tls(options, world, platform_tls())
    }

    /// The same with TLS of its own.
    pub(super) fn with_tls(options: Options, world: World, tls: Result<Arc<ClientConfig>, String>) -> Self {
        Self { prober: Prober::new(options.outbound, tls), limits: options.limits, world }
    }
}

/// The end of a probe.
struct Done {
    id: Id,
    of: Revision,
    outcome: Outcome,
}

impl Plane for EmbeddedPlane {
    async fn run(self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let (sender, mut ended) = mpsc::channel(self.limits.probes);
        let mut work = Work {
            prober: Arc::new(self.prober),
            limits: self.limits,
            world: self.world,
            reality,
            start: Instant::now(),
            board: Board::default(),
            schedule: Schedule::default(),
            synced: false,
            open: true,
            tasks: TaskTracker::new(),
            ended: sender,
        };
        loop {
            let due = work.next_due();
            select! {
                biased;
                () = drain.wait() => break,
                Some(done) = ended.recv() => work.done(done).await,
                change = intents.recv(), if work.open => match change {
                    Some(change) => work.take_in(change).await,
                    // no more changes: what runs keeps running
                    None => work.open = false,
                },
                () = sleep_until(due) => {}
            }
            work.act().await;
        }
        // a probe that is under way ends with its socket
        work.tasks.close();
        Ok(())
    }
}

struct Work {
    prober: Arc<Prober>,
    limits: Limits,
    world: World,
    reality: Reporter,
    start: Instant,
    board: Board,
    schedule: Schedule,
    synced: bool,
    open: bool,
    tasks: TaskTracker,
    ended: mpsc::Sender<Done>,
}

impl Work {
    fn now(&self) -> Now {
        Now { passed: self.start.elapsed(), wall: self.world.now() }
    }

    fn next_due(&self) -> Instant {
        let room = self.schedule.running() < self.limits.probes;
        let probe = self.schedule.next().filter(|_| room);
        let next = [probe, self.board.next_look()].into_iter().flatten().min();
        self.start + next.unwrap_or_else(|| self.start.elapsed() + FAR)
    }

    /// Does what is due.
    async fn act(&mut self) {
        let now = self.now();
        let news = self.board.look(now);
        self.tell(news).await;
        while self.schedule.running() < self.limits.probes {
            let Some(id) = self.schedule.take(now.passed) else { break };
            match self.board.settings(&id) {
                Some((of, settings)) => self.probe(id, of, settings),
                None => self.schedule.done(&id, now.passed),
            }
        }
    }

    fn probe(&self, id: Id, of: Revision, settings: Arc<ObjectSettings>) {
        let (prober, ended) = (Arc::clone(&self.prober), self.ended.clone());
        self.tasks.spawn(async move {
            let outcome = prober.probe(&settings).await;
            // the plane is gone when nobody takes it
            let _ = ended.send(Done { id, of, outcome }).await;
        });
    }

    async fn done(&mut self, done: Done) {
        let now = self.now();
        self.schedule.done(&done.id, now.passed);
        let news = self.board.measured(&done.id, done.of, done.outcome, now);
        self.tell(news).await;
    }

    async fn tell(&self, news: Vec<News>) {
        for News { id, of, state, members } in news {
            self.reality.report_durably(&id, of, state, members).await;
        }
    }

    async fn take_in(&mut self, change: IntentChange) {
        match change {
            IntentChange::Present { collection, object, .. } if object.phase == Phase::Live => {
                let taken = match collection.as_str() {
                    MonitoringObject::COLLECTION => self.put_object(&object),
                    MonitoringCondition::COLLECTION => self.put_condition(&object),
                    _ => Ok(Vec::new()),
                };
                match taken {
                    Ok(news) => self.tell(news).await,
                    // it stays as it was, and is seen as not realised
                    Err(problem) => tracing::error!(id = object.id, %problem, "cannot be monitored"),
                }
            }
            IntentChange::Present { object, .. } => {
                self.forget(&object.id);
                self.reality.released(&object.id).await;
            }
            IntentChange::Gone { id, .. } => self.forget(&id),
            IntentChange::Synced { .. } => self.synced = true,
        }
    }

    fn forget(&mut self, id: &str) {
        self.schedule.remove(id);
        self.board.remove_object(id);
        self.board.remove_condition(id);
    }

    fn put_object(&mut self, raw: &RawObject) -> Result<Vec<News>, Unreadable> {
        let object = raw.typed::<MonitoringObject>()?;
        let settings = Arc::new(ObjectSettings::read(&object.intent)?);
        let id: Id = raw.id.as_str().into();
        if self.board.settings(&id).is_some_and(|(of, _)| of == raw.intent_revision) {
            return Ok(Vec::new());
        }
        let within = match (self.synced, object.reality.state.since.is_some()) {
            (true, _) => SOON,
            (false, false) => settings.interval.min(SPREAD),
            (false, true) => settings.interval,
        };
        let first = self.start.elapsed() + self.world.up_to(within.min(settings.interval));
        self.schedule.put(&id, settings.interval, first);
        Ok(self.board.put_object(&id, raw.intent_revision, settings, object.reality.state).into_iter().collect())
    }

    fn put_condition(&mut self, raw: &RawObject) -> Result<Vec<News>, Unreadable> {
        let object = raw.typed::<MonitoringCondition>()?;
        let rule = read_condition(&object.intent)?;
        let parent: Id = raw.parent.as_deref().ok_or(Unreadable::NoParent)?.into();
        let at = (&parent, raw.intent_revision);
        // Nobody knows yet how it stands: that does not wait for the turn of an object which was measured before a restart.
        if object.reality.state.since.is_none()
            && let Some(settings) = self.board.unmeasured(&parent)
        {
            let first = self.start.elapsed() + self.world.up_to(SOON.min(settings.interval));
            self.schedule.put(&parent, settings.interval, first);
        }
        Ok(self.board.put_condition(&raw.id.as_str().into(), at, rule, object.reality.state, self.now()))
    }
}
