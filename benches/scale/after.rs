//! A site that has all its objects: at rest, started anew, with a backend that drifts or is away.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{
    counts::{changes, grown, processor, writes},
    ground::{PROJECTS, Site},
    rig::{ready, until},
    table::{Bound, Table},
};

/// Nothing is written for so long: at rest.
const CALM: Duration = Duration::from_secs(5);
/// How long the backend is away.
const AWAY: Duration = Duration::from_secs(60);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Waits until nothing is written any more.
pub async fn calm(site: &Site) {
    loop {
        let before = (site.api_calls().await, site.backend_calls().await);
        sleep(CALM).await;
        let (api, backend) = (grown(&before.0, &site.api_calls().await), grown(&before.1, &site.backend_calls().await));
        if !api.keys().any(|what| writes(what)) && backend.is_empty() {
            return;
        }
    }
}

fn sum(counts: &BTreeMap<String, f64>, which: fn(&str) -> bool) -> f64 {
    // A sum of nothing is -0.
    counts.iter().filter(|(what, _)| which(what)).map(|(_, count)| count).sum::<f64>() + 0.0
}

#[allow(clippy::cast_precision_loss, reason = "bytes of a process")]
fn resident(site: &Site) -> (f64, f64) {
    (site.operator.resident() as f64 / MEBIBYTE, site.backend.resident() as f64 / MEBIBYTE)
}

/// At rest, for so long.
pub async fn rest(site: &Site, time: Duration, table: &mut Table) {
    calm(site).await;
    let before = (site.api_calls().await, site.backend_calls().await);
    let (cpu, memory) = ((processor(site.operator.id()), processor(site.backend.id())), resident(site));
    sleep(time).await;
    let api = grown(&before.0, &site.api_calls().await);
    let backend = grown(&before.1, &site.backend_calls().await);
    let share = |id: u32, before: Duration| (processor(id) - before).as_secs_f64() / time.as_secs_f64() * 100.0;
    let seconds = time.as_secs();
    table.add(format!("at rest {seconds} s: Kubernetes writes but the Lease"), sum(&api, writes), "", Bound::Most(0.0));
    table.add(format!("at rest {seconds} s: backend writes"), sum(&backend, changes), "", Bound::Most(0.0));
    table.add(format!("at rest {seconds} s: backend reads"), sum(&backend, |what| !changes(what)), "", Bound::Open);
    table.add("at rest: operator's share of a core", share(site.operator.id(), cpu.0), "%", Bound::Most(1.0));
    table.add("at rest: backend's share of a core", share(site.backend.id(), cpu.1), "%", Bound::Open);
    let after = resident(site);
    table.add("memory of the operator", after.0, "MiB", Bound::Most(100.0 * 1e6 / MEBIBYTE));
    table.add("memory of the backend", after.1, "MiB", Bound::Most(100.0 * 1e6 / MEBIBYTE));
    table.add("at rest: growth of the operator's memory", after.0 - memory.0, "MiB", Bound::Most(1.0));
    table.add("at rest: growth of the backend's memory", after.1 - memory.1, "MiB", Bound::Most(1.0));
}

/// The operator is killed and started.
#[allow(clippy::cast_precision_loss, reason = "a count of objects")]
pub async fn restart(site: &Site, objects: usize, table: &mut Table) {
    site.operator.kill();
    let before = site.api_calls().await;
    let began = Instant::now();
    site.operator.again();
    until("the operator is ready", async || ready(site.metrics).await).await;
    let listed = began.elapsed();
    until("all are looked at", async || site.passes().await >= objects as f64 && site.queued().await == 0.0).await;
    table.time(format!("start until {objects} objects are listed"), listed, Bound::Open);
    table.time(format!("start until {objects} objects are observed"), began.elapsed(), Bound::Most(5.0));
    calm(site).await;
    let api = grown(&before, &site.api_calls().await);
    table.add("Kubernetes writes after the start", sum(&api, writes), "", Bound::Most(0.0));
}

/// The backend is away for a while, then comes back.
pub async fn outage(site: &Site, table: &mut Table) {
    site.backend.kill();
    let probes = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind(site.wire.address()).await.unwrap();
    let counter = probes.clone();
    // Who connects is let go without a word: the backend is there and does not work.
    let refusing = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    sleep(Duration::from_secs(3)).await;
    let (api, lines, first) =
        (site.api_calls().await, site.operator.log().lines().count(), probes.load(Ordering::Relaxed));
    sleep(AWAY).await;
    let api = grown(&api, &site.api_calls().await);
    println!("    {api:?}");
    let writes = sum(&api, writes);
    let lines = site.operator.log().lines().count() - lines;
    #[allow(clippy::cast_precision_loss, reason = "a count of calls")]
    let rate = (probes.load(Ordering::Relaxed) - first) as f64 / AWAY.as_secs_f64();
    refusing.abort();
    drop(refusing.await);
    site.backend.again();
    site.wire.wait().await;
    let began = Instant::now();
    until("the bindings are ready", async || site.bound().await).await;
    table.add("backend away: Kubernetes writes after the first 3 s", writes, "", Bound::Most(0.0));
    table.add("backend away: calls a second and project", rate / PROJECTS as f64, "/s", Bound::Most(1.0));
    #[allow(clippy::cast_precision_loss, reason = "a count of lines")]
    table.add("backend away: lines of the operator's log", lines as f64, "", Bound::Open);
    table.time("backend back: until all is well", began.elapsed(), Bound::Most(10.0));
}
