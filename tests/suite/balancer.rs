//! Real connections through balancers that were applied to the cluster.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    rig::{Scene, alone, condition, rig, status_of, until},
    servers::{
        Server, bounded, count, curl, echoes, free_port_v6, front, greeted, greeted_from, is_closed, letters,
        own_address, ready_balancer,
    },
};

const KIND: &str = "ProjectLoadBalancer";

fn weighted(target: Value, weight: u32) -> Value {
    let mut target = target;
    target["weight"] = json!(weight);
    target
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_share_connections_under_both_algorithms() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "weights").await;
    let (a, b) = (Server::echo(own_address(), 'a').await, Server::echo(own_address(), 'b').await);
    let spec = |algorithm| {
        json!({"algorithm": algorithm, "services": [{"name": "web", "port": 8080}],
            "targets": [weighted(a.target("a"), 3), weighted(b.target("b"), 1)]})
    };
    let balancer = ready_balancer(&scene, "web", spec("RoundRobin")).await;
    let at = SocketAddr::new(front(&balancer, "IPv4"), 8080);
    let seen = letters(at, 40).await;
    assert_eq!((count(&seen, 'a'), count(&seen, 'b')), (30, 10), "{seen}");

    let balancer = ready_balancer(&scene, "web", spec("LeastConnections")).await;
    assert_eq!(SocketAddr::new(front(&balancer, "IPv4"), 8080), at);
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(bounded(greeted(at)).await.expect("a connection"));
    }
    let seen: String = held.iter().map(|(_, letter)| letter).collect();
    assert_eq!((count(&seen, 'a'), count(&seen, 'b')), (9, 3), "{seen}");

    // In turn, b would have one in four; with the most connections in relation to its weight it gets none.
    held.retain(|(_, letter)| *letter == 'b');
    until("the connections to a have ended", async || letters(at, 2).await == "aa").await;
    assert_eq!(letters(at, 6).await, "aaaaaa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_families_are_served_with_targets_of_both() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "families").await;
    let four = Server::echo(own_address(), '4').await;
    let six = Server::echo("[::1]:0".parse().unwrap(), '6').await;
    let port = free_port_v6();
    let spec = |families| {
        json!({"addressFamilies": families, "services": [{"name": "web", "port": port}],
            "targets": [four.target("four"), six.target("six")]})
    };
    let balancer = ready_balancer(&scene, "web", spec(json!(["IPv6", "IPv4"]))).await;
    let first = front(&balancer, "IPv4");
    for address in [first, front(&balancer, "IPv6")] {
        let seen = letters(SocketAddr::new(address, port), 8).await;
        assert_eq!((count(&seen, '4'), count(&seen, '6')), (4, 4), "{address}: {seen}");
    }
    // A family that goes is not listened on any more; the other one keeps its address.
    let balancer = ready_balancer(&scene, "web", spec(json!(["IPv4"]))).await;
    assert_eq!(status_of(&balancer)["addresses"].as_array().unwrap().len(), 1);
    assert_eq!(front(&balancer, "IPv4"), first);
    assert!(is_closed(SocketAddr::new("::1".parse().unwrap(), port)).await);
    assert_eq!(letters(SocketAddr::new(first, port), 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_are_allowed_and_blocked() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "origins").await;
    let server = Server::echo(own_address(), 'x').await;
    let spec = json!({
        "services": [
            {"name": "some", "port": 8080, "allowedOrigins": ["127.0.0.2/32", "10.0.0.0/8"]},
            {"name": "but", "port": 8081, "allowedOrigins": ["127.0.0.0/24"], "blockedOrigins": ["127.0.0.3/32"]},
            {"name": "not", "port": 8082, "blockedOrigins": ["127.0.0.2/31"]},
        ],
        "targets": [server.target("x")],
    });
    let balancer = ready_balancer(&scene, "web", spec.clone()).await;
    let address = front(&balancer, "IPv4");
    let admits = async |port: u16, from: &str| greeted_from(from, SocketAddr::new(address, port)).await.is_ok();
    for (port, from, right) in [
        (8080, "127.0.0.2", true),
        (8080, "127.0.0.3", false),
        (8081, "127.0.0.2", true),
        (8081, "127.0.0.3", false),
        (8081, "127.0.1.2", false),
        (8082, "127.0.0.2", false),
        (8082, "127.0.0.3", false),
        (8082, "127.0.0.4", true),
    ] {
        assert_eq!(admits(port, from).await, right, "{from} at {port}");
    }
    let mut open = spec;
    open["services"][0]["allowedOrigins"] = json!(["127.0.0.3/32"]);
    ready_balancer(&scene, "web", open).await;
    assert!(admits(8080, "127.0.0.3").await && !admits(8080, "127.0.0.2").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_leave_alone_what_they_do_not_concern() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "edits").await;
    let (a, b) = (Server::echo(own_address(), 'a').await, Server::echo(own_address(), 'b').await);
    let service =
        |name: &str, port: u16, target: &str| json!({"name": name, "port": port, "targets": [{"name": target}]});
    let (web, admin) = (service("web", 8080, "a"), service("admin", 8081, "b"));
    let both = json!([a.target("a"), b.target("b")]);
    let balancer = ready_balancer(&scene, "web", json!({"services": [web, admin], "targets": both})).await;
    let address = front(&balancer, "IPv4");
    let (web_at, admin_at) = (SocketAddr::new(address, 8080), SocketAddr::new(address, 8081));
    let (mut kept, _) = greeted(web_at).await.expect("a connection");
    let (mut ended, _) = greeted(admin_at).await.expect("a connection");

    // More services, another algorithm, weights: the connection does not notice.
    let edited = json!({"algorithm": "LeastConnections", "services": [web, admin, service("more", 8082, "b")],
        "targets": [weighted(a.target("a"), 7), b.target("b")]});
    let balancer = ready_balancer(&scene, "web", edited).await;
    assert_eq!(front(&balancer, "IPv4"), address);
    assert!(echoes(&mut kept, b"after an edit").await && echoes(&mut ended, b"this too").await);
    assert_eq!(letters(SocketAddr::new(address, 8082), 1).await, "b");

    // A service goes: its listener and its connections end, the other's stay.
    let balancer = ready_balancer(&scene, "web", json!({"services": [web], "targets": both})).await;
    assert_eq!(front(&balancer, "IPv4"), address);
    assert!(is_closed(admin_at).await);
    assert!(bounded(ended.read_u8()).await.is_err(), "the connection of a removed service goes on");
    assert!(echoes(&mut kept, b"after a removal").await);

    // A port moves: the old one closes.
    let balancer =
        ready_balancer(&scene, "web", json!({"services": [service("web", 8090, "a")], "targets": both})).await;
    assert_eq!(front(&balancer, "IPv4"), address);
    assert!(is_closed(web_at).await);
    assert_eq!(letters(SocketAddr::new(address, 8090), 1).await, "a");
}

/// Everything that is seen of an object while it is watched.
struct Watched {
    seen: Arc<Mutex<Vec<DynamicObject>>>,
    task: JoinHandle<()>,
}

impl Watched {
    async fn new(scene: &Scene, name: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (api, noted) = (scene.api(KIND), seen.clone());
        let now = scene.get(KIND, name).await.expect("it is there").metadata.resource_version.expect("a version");
        let parameters = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(290);
        let task = tokio::spawn(async move {
            let events = api.watch(&parameters, &now).await.expect("a watch");
            pin_mut!(events);
            while let Some(event) = events.next().await {
                if let Ok(WatchEvent::Modified(object)) = event {
                    noted.lock().unwrap().push(object);
                }
            }
        });
        Self { seen, task }
    }

    fn end(self) -> Vec<DynamicObject> {
        self.task.abort();
        self.seen.lock().unwrap().clone()
    }
}

/// What curl said, and when it was asked.
type Asked = (Instant, Result<String, String>);

/// A curl in a loop.
struct Loop {
    results: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Loop {
    fn new(at: SocketAddr) -> Self {
        let results = Arc::new(Mutex::new(Vec::new()));
        let noted = results.clone();
        let task = tokio::spawn(async move {
            loop {
                let began = Instant::now();
                let result = curl(at).await;
                noted.lock().unwrap().push((began, result));
                sleep(Duration::from_millis(5)).await;
            }
        });
        Self { results, task }
    }

    /// Requests that began after a moment.
    fn since(&self, moment: Instant) -> Vec<Result<String, String>> {
        let results = self.results.lock().unwrap();
        results.iter().filter(|(began, _)| *began >= moment).map(|(_, result)| result.clone()).collect()
    }

    async fn until_more(&self, count: usize, from: &str) {
        let moment = Instant::now();
        let good = |result: &Result<String, String>| result.as_deref() == Ok(from);
        until("more requests are answered", async || {
            self.since(moment).iter().filter(|result| good(result)).count() >= count
        })
        .await;
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn degraded(object: &DynamicObject) -> bool {
    condition(object, "Degraded").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_dies_and_comes_back_and_no_request_fails() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "outage").await;
    let (a, b) = (Server::http(own_address(), "a").await, Server::http(own_address(), "b").await);
    let check = json!({"protocol": "HTTP", "path": "/healthz", "interval": "200ms", "timeout": "200ms",
        "healthyThreshold": 2, "unhealthyThreshold": 2});
    let spec = json!({"services": [{"name": "web", "port": 8080, "healthCheck": check}],
        "targets": [a.target("a"), b.target("b")]});
    let balancer = ready_balancer(&scene, "web", spec).await;
    let at = SocketAddr::new(front(&balancer, "IPv4"), 8080);
    let healthy = |object: &DynamicObject| status_of(object)["services"][0]["healthyTargets"].clone();
    until("both targets are healthy", async || healthy(&scene.get(KIND, "web").await.unwrap()) == 2).await;
    let watched = Watched::new(&scene, "web").await;
    let curls = Loop::new(at);
    curls.until_more(3, "a").await;
    curls.until_more(3, "b").await;

    let b_at = b.address;
    b.kill().await;
    until("the balancer is degraded", async || degraded(&scene.get(KIND, "web").await.unwrap())).await;
    let noticed = Instant::now();
    curls.until_more(20, "a").await;
    let after: Vec<_> = curls.since(noticed);
    assert!(after.iter().all(|result| result.as_deref() == Ok("a")), "{after:?}");
    let object = scene.get(KIND, "web").await.unwrap();
    let unhealthy = &status_of(&object)["unhealthyTargets"];
    assert_eq!(unhealthy.as_array().map(Vec::len), Some(1), "{unhealthy}");
    assert_eq!(unhealthy[0]["name"], "web/b");
    assert_eq!(unhealthy[0]["state"], "Unhealthy");
    assert_eq!(unhealthy[0]["reason"], "ConnectionRefused");
    assert_eq!(healthy(&object), 1);
    scene.until_event("web", "MembersUnhealthy", Duration::from_secs(10)).await;

    let _b = Server::http(b_at, "b").await;
    until("the balancer is well again", async || !degraded(&scene.get(KIND, "web").await.unwrap())).await;
    curls.until_more(10, "b").await;
    scene.until_event("web", "MembersHealthy", Duration::from_secs(10)).await;
    assert!(status_of(&scene.get(KIND, "web").await.unwrap()).get("unhealthyTargets").is_none());
    let back = curls.since(noticed);
    assert!(back.iter().all(Result::is_ok), "{back:?}");

    let versions = watched.end();
    assert!(!versions.is_empty());
    let ready = |object: &DynamicObject| condition(object, "Ready").is_some_and(|c| c["status"] == "True");
    assert!(versions.iter().all(ready), "Ready went away");
    // Degraded comes and goes: what is between is not written again and again.
    assert!(versions.len() <= 4, "{} writes", versions.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_comes_back_as_it_was() {
    let (rig, _alone) = alone().await;
    let scene = Scene::new(rig, "killed").await;
    let server = Server::http(own_address(), "a").await;
    let check = json!({"protocol": "HTTP", "interval": "500ms", "timeout": "500ms"});
    let spec =
        json!({"services": [{"name": "web", "port": 8080, "healthCheck": check}], "targets": [server.target("a")]});
    let balancer = ready_balancer(&scene, "web", spec).await;
    let at = SocketAddr::new(front(&balancer, "IPv4"), 8080);
    until("the target is healthy", async || {
        status_of(&scene.get(KIND, "web").await.unwrap())["services"][0]["healthyTargets"] == 1
    })
    .await;
    let before = scene.get(KIND, "web").await.unwrap();
    let curls = Loop::new(at);
    curls.until_more(3, "a").await;

    // With the operator: it notices, and has nothing to write on the balancer.
    rig.backend.kill();
    assert!(curl(at).await.is_err());
    let down = async || {
        let binding = scene.get("ProjectBinding", "default").await.unwrap();
        condition(&binding, "Ready").is_some_and(|ready| ready["status"] == "False")
    };
    until("the binding says that the backend is down", down).await;
    rig.backend.again();
    curls.until_more(3, "a").await;
    rig.wire.wait().await;
    scene.until_ready("ProjectBinding", "default").await;

    // Without the operator: the backend knows all that it needs.
    rig.operator.kill();
    rig.restart_backend().await;
    curls.until_more(3, "a").await;
    rig.restart_operator().await;
    scene.until_ready("ProjectBinding", "default").await;
    let restarted = Instant::now();
    curls.until_more(20, "a").await;
    assert!(curls.since(restarted).iter().all(Result::is_ok));
    let after = scene.get(KIND, "web").await.unwrap();
    assert_eq!(front(&after, "IPv4"), at.ip());
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "{:#}", after.data["status"]);
}
