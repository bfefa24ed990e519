//! Which of several replicas acts: the one that holds a Lease. The others keep their caches warm.
//!
//! The Lease only spares double work. That nothing is done twice rests on owners and versions in the backend and in
//! Kubernetes, so a replica that acts although its Lease has expired (it was stopped in the middle, say) harms nothing.

mod record;

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{PostParams, WatchEvent, WatchParams},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use self::record::{Candidate, Step};
use crate::runtime::{Drain, Metrics, World};

/// How long passes that run may take to end before the Lease is given back.
const LAST_PASSES: Duration = Duration::from_secs(10);
/// The shortest time that a Lease may be held; below, the API server's own latency decides who leads.
pub const SHORTEST: Duration = Duration::from_millis(600);

/// How a replica stands for leadership.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name: one for each set of replicas.
    pub name: String,
    /// Who we are; unlike any other process, also the one before a restart.
    pub identity: String,
    /// How long others wait for a sign of life before they take over, at least [`SHORTEST`]. It is renewed each third of
    /// this, and who could not renew it for five sixths stops: a slow API server is no reason to, and others count from later.
    pub duration: Duration,
}

impl Settings {
    fn renewal(&self) -> Duration {
        self.duration / 3
    }

    fn deadline(&self) -> Duration {
        self.duration * 5 / 6
    }
}

/// Whether this process acts.
#[derive(Clone)]
pub struct Leadership(watch::Receiver<bool>);

impl Leadership {
    /// Of a process that is alone.
    #[must_use]
    pub fn alone() -> Self {
        Self(watch::channel(true).1)
    }

    /// Returns once this process leads.
    pub async fn gained(&mut self) {
        self.becomes(true).await;
    }

    /// Returns once it does not lead any more.
    pub async fn lost(&mut self) {
        self.becomes(false).await;
    }

    async fn becomes(&mut self, leads: bool) {
        if self.0.wait_for(|now| *now == leads).await.is_err() {
            // Nobody changes it any more.
            std::future::pending::<()>().await;
        }
    }
}

/// Stands for leadership until `drain` starts; then, once `passes` have ended, gives the Lease back.
pub(super) fn stand(
    client: Client,
    settings: Settings,
    (world, metrics): (World, Metrics),
    passes: Drain,
    drain: &Drain,
) -> Leadership {
    let (leads, leadership) = watch::channel(false);
    metrics.leader(&settings.name, false);
    let contest = Contest {
        api: Api::namespaced(client, &settings.namespace),
        candidate: Candidate::new(&settings.identity, settings.duration),
        mine: None,
        settings,
        world,
        metrics,
        leads,
    };
    let stop = drain.clone();
    drain.spawn(contest.run(passes, stop));
    Leadership(leadership)
}

struct Contest {
    api: Api<Lease>,
    candidate: Candidate,
    /// The Lease as our last write left it.
    mine: Option<Lease>,
    settings: Settings,
    world: World,
    metrics: Metrics,
    leads: watch::Sender<bool>,
}

/// Why a Lease is watched no more.
enum Watched {
    /// It expired, was given back or removed, or changed hands.
    MayBeTaken,
    /// There is nothing more to see.
    Ended,
}

impl Contest {
    async fn run(mut self, passes: Drain, drain: Drain) {
        let drained = drain.clone();
        tokio::select! {
            biased;
            () = drained.wait() => {}
            () = self.compete() => {}
        }
        passes.finish(LAST_PASSES).await;
        if *self.leads.borrow() {
            self.give_back().await;
        }
    }

    /// Never ends.
    async fn compete(&mut self) {
        // Until when we may act. It counts from when the last renewal was sent: others may have seen it no earlier.
        let mut until: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let longest = began + self.settings.renewal();
            let held = match timeout_at(until.map_or(longest, |until| until.min(longest)), self.round()).await {
                Ok(Ok(held)) => held,
                Ok(Err(error)) => self.uncertain(&error.to_string()),
                Err(_) => self.uncertain("no answer in time"),
            };
            match held {
                Some(true) => until = Some(began + self.settings.deadline()),
                Some(false) => until = None,
                None => {}
            }
            until = until.filter(|until| Instant::now() < *until);
            self.announce(until.is_some());
            match until {
                Some(until) => self.rest(until, began, held.is_some()).await,
                // Not known who holds it: what was seen of it before says nothing about when to ask again.
                None if held.is_none() => tokio::time::sleep_until(began + self.settings.renewal() / 4).await,
                None => self.look_out(began).await,
            }
        }
    }

    /// A leader's pause before it renews; short after a renewal that failed.
    async fn rest(&self, until: Instant, began: Instant, renewed: bool) {
        let pause = if renewed { self.settings.renewal() } else { self.settings.renewal() / 4 };
        tokio::time::sleep_until(until.min(began + pause)).await;
    }

    /// Until the Lease may be taken.
    async fn look_out(&mut self, began: Instant) {
        let next = began + self.settings.renewal();
        let Some(version) = self.candidate.version() else { return tokio::time::sleep_until(next).await };
        let ended = match self.watched(&version, next).await {
            Ok(Watched::MayBeTaken) => return,
            Ok(Watched::Ended) => "it ended".to_owned(),
            Err(error) => error.to_string(),
        };
        // One that ends at once, because its start is compacted for instance, is not opened again without a pause.
        debug!(ended, "the lease cannot be watched");
        tokio::time::sleep_until(next.min(self.candidate.expiry().unwrap_or(next))).await;
    }

    fn uncertain(&self, why: &str) -> Option<bool> {
        debug!(why, lease = self.settings.name, "the lease could not be read or written");
        None
    }

    fn announce(&self, leads: bool) {
        let news = self.leads.send_if_modified(|now| std::mem::replace(now, leads) != leads);
        if !news {
            return;
        }
        self.metrics.leader(&self.settings.name, leads);
        if leads {
            info!(lease = self.settings.name, identity = self.settings.identity, "leads");
        } else {
            warn!(lease = self.settings.name, "leads no more: the lease was not renewed in time, or was taken");
        }
    }

    /// Takes or renews the Lease when that is due. Says whether it is ours; `None`: not known.
    async fn round(&mut self) -> kube::Result<Option<bool>> {
        // While nobody else writes it, it is as we left it: a leader reads nothing.
        if let Some(lease) = self.mine.take()
            && let Some(ours) = self.stored(lease).await?
        {
            return Ok(Some(ours));
        }
        let lease = self.api.get_opt(&self.settings.name).await?;
        let step = self.candidate.next(lease.as_ref(), Instant::now());
        match (step, lease) {
            (Step::Wait(_), _) => Ok(Some(false)),
            (Step::Take, None) => {
                let lease = self.candidate.made(&self.settings.name, self.world.now());
                let answer = self.api.create(&PostParams::default(), &lease).await;
                self.answered(answer)
            }
            (Step::Take | Step::Renew, Some(lease)) => self.stored(lease).await,
            (Step::Renew, None) => Ok(None),
        }
    }

    /// Puts our name and the time on the Lease as it was; `None` when it is another by now.
    async fn stored(&mut self, lease: Lease) -> kube::Result<Option<bool>> {
        let lease = self.candidate.taken(lease, self.world.now());
        let answer = self.api.replace(&self.settings.name, &PostParams::default(), &lease).await;
        self.answered(answer)
    }

    fn answered(&mut self, answer: kube::Result<Lease>) -> kube::Result<Option<bool>> {
        match answer {
            Ok(lease) => {
                self.candidate.saw(&lease, Instant::now());
                self.mine = Some(lease);
                Ok(Some(true))
            }
            // Somebody was faster; who it was, the Lease tells when it is read.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Watches the Lease until it expires, is given back or removed, or changes hands. Each sign of life prolongs it.
    async fn watched(&mut self, version: &str, next: Instant) -> kube::Result<Watched> {
        let of_name = WatchParams::default().fields(&format!("metadata.name={}", self.settings.name));
        let (api, longest) = (self.api.clone(), self.expiry(next));
        let Ok(events) = timeout_at(longest, api.watch(&of_name, version)).await else {
            return Ok(Watched::MayBeTaken);
        };
        let mut events = events?.boxed();
        loop {
            let Ok(event) = timeout_at(self.expiry(next), events.next()).await else {
                return Ok(Watched::MayBeTaken);
            };
            match event.transpose()? {
                Some(WatchEvent::Added(lease) | WatchEvent::Modified(lease)) => {
                    let was = self.candidate.holder().map(str::to_owned);
                    self.candidate.saw(&lease, Instant::now());
                    if was.as_deref() != self.candidate.holder() {
                        return Ok(Watched::MayBeTaken);
                    }
                }
                Some(WatchEvent::Bookmark(_)) => {}
                Some(WatchEvent::Deleted(_)) => return Ok(Watched::MayBeTaken),
                Some(WatchEvent::Error(_)) | None => return Ok(Watched::Ended),
            }
        }
    }

    fn expiry(&self, next: Instant) -> Instant {
        self.candidate.expiry().unwrap_or(next).max(Instant::now())
    }

    /// So that another need not wait for its end.
    async fn give_back(&mut self) {
        let free = async {
            let lease = self.api.get(&self.settings.name).await?;
            let Some(lease) = self.candidate.free(lease, self.world.now()) else { return Ok(()) };
            self.api.replace(&self.settings.name, &PostParams::default(), &lease).await.map(drop)
        };
        let given: Result<kube::Result<()>, _> = timeout(self.settings.duration, free).await;
        self.leads.send_replace(false);
        match given {
            Ok(Ok(())) => info!(lease = self.settings.name, "lease given back"),
            Ok(Err(error)) => debug!(%error, "the lease was not given back"),
            Err(_) => debug!("the lease was not given back in time"),
        }
    }
}
