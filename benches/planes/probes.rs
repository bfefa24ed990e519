//! HTTP probes. Ours are due at times; the peer's are asked for, so many at a time and as fast as it can.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use loopback_operator::protocol::{client::Route, monitoring::MonitoringObject};
use serde_json::json;
use tokio::time::{sleep, sleep_until};

use crate::{
    Ground,
    http1::{Answer, Connection, Responder},
    ours::Ours,
    peer::{Missing, Peer, Plan, file, free},
    rig::until,
    table::Table,
    turns::{OURS, ROUNDS, Rounds, Seen, callers, watch},
};

/// Objects that are probed once a second, which is the shortest interval: as many probes a second.
const OBJECTS: [usize; 2] = [200, 2_000];
/// Probes that the peer has under way.
const CLIENTS: usize = 16;
/// What a start leaves to do is done after so long.
const SETTLED: Duration = Duration::from_secs(2);

pub async fn measure(ground: &Ground, table: &mut Table) {
    let probed = Responder::start().await;
    let peers = vec![blackbox(ground, probed.at).await];
    for objects in OBJECTS {
        let mut ours = Ours::start(&ground.folder(&format!("probes-{objects}"))).await;
        let url = format!("http://{}/healthz", probed.at);
        let object = |number| json!({"name": format!("m{number}"), "type": "HTTP", "http": {"url": url}, "interval": "1s", "timeout": "1s"});
        ours.create_all(Route::of::<MonitoringObject>(None), (0..objects).map(object)).await;
        ours.process.kill();
        let mut rounds = Rounds::default();
        for _ in 0..ROUNDS {
            // Ours never rests while it runs: it is away while the peer is measured.
            ours.again().await;
            let before = probed.asked();
            until("all objects are probed", async || probed.asked() - before >= objects as u64).await;
            sleep(SETTLED).await;
            rounds.add(OURS, watch(ours.process.id(), ground.time, async |end| count(&probed, end).await).await);
            ours.process.kill();
            for peer in peers.iter().flatten() {
                let load = async |end| callers(CLIENTS, |_| asking(peer.at, probed.at, end)).await;
                rounds.add(peer.name, watch(peer.process.id(), ground.time, load).await);
            }
        }
        let case = format!("HTTP probes, {objects} objects every second; peer {CLIENTS} at a time");
        table.add(rounds.group(&case, &peers).paced());
    }
}

/// What the responder is asked until then.
async fn count(probed: &Responder, end: Instant) -> Seen {
    let before = probed.asked();
    sleep_until(end.into()).await;
    Seen { answers: probed.asked() - before, ..Seen::default() }
}

async fn blackbox(ground: &Ground, probed: SocketAddr) -> Result<Peer, Missing> {
    let (folder, at) = (ground.folder("blackbox"), free());
    let text =
        "modules:\n  http_2xx:\n    prober: http\n    timeout: 5s\n    http:\n      preferred_ip_protocol: ip4\n";
    let arguments = vec![
        format!("--config.file={}", file(&folder, "blackbox.yml", text)),
        format!("--web.listen-address={at}"),
        "--log.level=error".into(),
    ];
    let (program, packages) = ("prometheus-blackbox-exporter", "prometheus-blackbox-exporter");
    let plan = Plan { name: "blackbox exporter", program, packages, arguments, at, folder };
    plan.start(async |at| asking(at, probed, Instant::now() + Duration::from_millis(10)).await.answers > 0).await
}

/// Asks the peer for one probe after the other.
async fn asking(at: SocketAddr, probed: SocketAddr, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let request =
        format!("GET /probe?target=http%3A%2F%2F{probed}%2Fhealthz&module=http_2xx HTTP/1.1\r\nHost: {at}\r\n\r\n");
    // It may not listen yet.
    let Ok(mut connection) = Connection::open(at).await else { return seen };
    loop {
        let began = Instant::now();
        if began >= end {
            return seen;
        }
        match connection.ask(request.as_bytes()).await {
            Ok(answer) if succeeded(&answer) => seen.answered(began),
            Ok(_) => seen.errors += 1,
            Err(_) => {
                seen.errors += 1;
                connection = Connection::open(at).await.unwrap();
            }
        }
    }
}

/// Whether what the peer says of a probe is that it went well.
fn succeeded(answer: &Answer<'_>) -> bool {
    answer.status == 200 && answer.body.split(|byte| *byte == b'\n').any(|line| line == b"probe_success 1")
}
