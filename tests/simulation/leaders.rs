//! Which of two replicas acts, to the millisecond.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use loopback_operator::{
    operator::engine::leadership::Settings,
    runtime::{Drain, Metrics, metrics::ObjectSeries},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{Fate, Rule},
    journal::{Journal, Side},
    line::Bend,
    operator::{Site, start},
    plan::{Deed, Wish},
    scenarios::told,
    world::{Scene, Script},
};

const TICK: Duration = Duration::from_millis(20);
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(10);

/// Keeps a replica from the API server, and counts how often it asks for the Lease.
#[derive(Default)]
struct Apart(AtomicBool, AtomicUsize);

impl Bend for Apart {
    fn bend(&self, side: Side, request: Request<Bytes>) -> Result<Request<Bytes>, Response<Body>> {
        if request.uri().path().contains("/leases") {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        if side == Side::Wire || !self.0.load(Ordering::Relaxed) {
            return Ok(request);
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        Err(answer)
    }
}

struct Replica {
    metrics: Metrics,
    apart: Arc<Apart>,
    cut: CancellationToken,
    drain: Drain,
}

impl Replica {
    async fn start(site: &Site, identity: &str, duration: Duration) -> Self {
        let apart = Arc::new(Apart::default());
        let site = Site { bend: Some(apart.clone()), ..site.clone() };
        let replica = Self {
            metrics: Metrics::new("0", ObjectSeries::Off),
            apart,
            cut: CancellationToken::new(),
            drain: Drain::new(),
        };
        let settings =
            Settings { namespace: "loopback-system".into(), name: "lease".into(), identity: identity.into(), duration };
        start(&site, replica.cut.clone(), replica.drain.clone(), replica.metrics.clone(), Some(settings)).await;
        replica
    }

    fn leads(&self) -> bool {
        self.metrics.encode().unwrap().contains("leader_election_master_status{name=\"lease\"} 1")
    }

    /// How often it asks for the Lease meanwhile.
    async fn asks(&self, meanwhile: Duration) -> usize {
        let before = self.apart.1.load(Ordering::Relaxed);
        sleep(meanwhile).await;
        self.apart.1.load(Ordering::Relaxed) - before
    }

    /// Waits until it leads; how long that took.
    async fn until_leads(&self) -> Duration {
        let began = Instant::now();
        while !self.leads() {
            assert!(began.elapsed() < LONG, "it does not lead");
            sleep(TICK).await;
        }
        began.elapsed()
    }
}

/// Runs a test in a world without faults.
fn in_peace(test: impl AsyncFnOnce(&Site)) {
    in_world([Deed::Namespace], Vec::new(), async |scene| test(&scene.site).await);
}

/// Runs a test in a world where this was done before.
fn in_world(first: impl IntoIterator<Item = Deed>, rules: Vec<Rule>, test: impl AsyncFnOnce(&mut Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let script = Script::written(at_once(first), rules);
        let mut scene = Scene::new(&script, None, Journal::new(script.deeds.len()), CancellationToken::new()).await;
        scene.users.work(script.deeds).await;
        test(&mut scene).await;
    });
}

fn at_once(deeds: impl IntoIterator<Item = Deed>) -> Vec<(Duration, Deed)> {
    deeds.into_iter().map(|deed| (Duration::ZERO, deed)).collect()
}

/// The first leads, the second stands by.
async fn pair(site: &Site, duration: Duration) -> (Replica, Replica) {
    let first = Replica::start(site, "first", duration).await;
    first.until_leads().await;
    let second = Replica::start(site, "second", duration).await;
    sleep(LONG).await;
    assert!(first.leads() && !second.leads());
    (first, second)
}

#[test]
fn another_takes_over_when_the_lease_ends_and_at_once_when_it_is_given_back() {
    for duration in [Duration::from_millis(1_500), Duration::from_secs(6)] {
        in_peace(async |site| {
            let (first, second) = pair(site, duration).await;
            first.cut.cancel();
            let crash = second.until_leads().await;
            // It was renewed within the last third, and seen a moment later.
            assert!(crash > duration / 2 && crash < duration + duration / 3, "{crash:?} after a crash");
            let third = Replica::start(site, "third", duration).await;
            sleep(LONG).await;
            assert!(second.leads() && !third.leads());
            second.drain.start();
            let stop = third.until_leads().await;
            assert!(stop < Duration::from_millis(100), "{stop:?} after a stop");
            println!("{duration:?}: {crash:?} after a crash, {stop:?} after a stop");
        });
    }
}

#[test]
fn a_leader_without_an_api_server_stops_before_another_starts() {
    let duration = Duration::from_millis(1_500);
    // At any time since its last renewal.
    for after in (0..500).step_by(125).map(Duration::from_millis) {
        in_peace(async |site| {
            let (first, second) = pair(site, duration).await;
            sleep(after).await;
            first.apart.0.store(true, Ordering::Relaxed);
            let began = Instant::now();
            while !second.leads() {
                assert!(began.elapsed() < LONG, "nobody takes over");
                sleep(TICK).await;
                assert!(!(first.leads() && second.leads()), "two lead, {:?} after {after:?}", began.elapsed());
            }
            first.apart.0.store(false, Ordering::Relaxed);
            sleep(LONG).await;
            assert!(!first.leads() && second.leads(), "who comes back stands by");
        });
    }
}

/// Waits until all is as users want it, and once more so long: no law is broken by then.
async fn well(site: &Site, and_then: Duration) {
    let began = Instant::now();
    while let Some(why) = site.kube.watchman.unfinished() {
        assert!(began.elapsed() < LONG, "{why}");
        sleep(TICK).await;
    }
    sleep(and_then).await;
    assert_eq!((site.kube.watchman.unfinished(), site.kube.journal.verdict()), (None, Vec::new()));
}

#[test]
fn a_pass_in_the_middle_of_a_call_is_dropped_with_the_lead() {
    let answer = 4 * LONG;
    let late = Fate::Pass(Duration::ZERO, answer);
    let rule = Rule { from: Duration::ZERO, call: "/load-balancers", body: "owner", fate: late, times: 1 };
    let first = [Deed::Namespace, Deed::Backend, Deed::TokenSecrets, Deed::Binding { own: false }];
    in_world(first, vec![rule], async |scene| {
        let (first, second) = pair(&scene.site, Duration::from_millis(1_500)).await;
        let balancer = Wish::plain("projectloadbalancers", "a");
        scene.users.work(at_once([Deed::Create(balancer.clone())])).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.site.kube.watchman.inventory().len(), 1, "it is made, and its maker waits for the answer");
        assert!(scene.site.kube.watchman.unfinished().is_some());
        first.apart.0.store(true, Ordering::Relaxed);
        second.until_leads().await;
        first.apart.0.store(false, Ordering::Relaxed);
        // The answer comes to one that leads no more: it says nothing of it.
        well(&scene.site, 2 * answer).await;
        second.drain.start();
        first.until_leads().await;
        scene.users.work(at_once([Deed::Edit(Wish { variant: 1, ..balancer })])).await;
        well(&scene.site, LONG).await;
    });
}

#[test]
fn what_a_status_says_is_told_although_the_lead_was_lost_before_its_answer_came() {
    let late = Fate::Pass(Duration::ZERO, LONG);
    let rule = Rule { from: LONG, call: "projectloadbalancers/a/status", body: "Denied", fate: late, times: 1 };
    let first = [Deed::Namespace, Deed::Backend, Deed::TokenSecrets, Deed::Binding { own: false }];
    in_world(first, vec![rule], async |scene| {
        let replica = Replica::start(&scene.site, "first", Duration::from_millis(1_500)).await;
        replica.until_leads().await;
        let balancer = Wish::plain("projectloadbalancers", "a");
        scene.users.work(at_once([Deed::Create(balancer.clone())])).await;
        well(&scene.site, LONG).await;
        let edit = Deed::Edit(Wish { variant: 1, ..balancer });
        scene.users.work(at_once([Deed::Narrow("project.load_balancer"), edit])).await;
        sleep(Duration::from_secs(1)).await;
        let told = || scene.site.kube.journal.read(0, told);
        assert_eq!(told(), 0, "its answer is on its way");
        replica.apart.0.store(true, Ordering::Relaxed);
        while replica.leads() {
            sleep(TICK).await;
        }
        replica.apart.0.store(false, Ordering::Relaxed);
        replica.until_leads().await;
        sleep(2 * LONG).await;
        assert_eq!(told(), 1);
    });
}

#[test]
fn a_standby_watches_and_asks_for_nothing() {
    in_peace(async |site| {
        let (_first, second) = pair(site, Duration::from_millis(1_500)).await;
        let asked = second.asks(Duration::from_secs(240)).await;
        assert!(asked <= 2, "asked {asked} times");
    });
}

#[test]
fn a_watch_that_ends_at_once_is_not_opened_again_without_a_pause() {
    in_peace(async |site| {
        let (first, second) = pair(site, Duration::from_secs(30)).await;
        first.apart.0.store(true, Ordering::Relaxed);
        // From now on the version of the Lease is one that no watch can start from.
        site.kube.api.compact();
        site.kube.api.close_watches();
        let asked = second.asks(Duration::from_secs(25)).await;
        assert!(asked <= 8, "asked {asked} times");
        second.until_leads().await;
    });
}
