//! What only the engine or the backend can judge: it ends as a status that names the field and says what to do, and
//! a good balancer beside it does not notice.

use std::net::{IpAddr, SocketAddr};

use kube::api::DynamicObject;
use loopback_operator::dev::controlplane::free_port;
use serde_json::{Value, json};

use crate::{
    rig::{Program, Rig, Scene, Wire, condition, message_of, permissions, reason_of, rig, status_of, until},
    servers::{free_port_v6, front, is_closed, ready_balancer},
};

const KIND: &str = "ProjectLoadBalancer";
const BINDING: &str = "ProjectBinding";

fn spec(port: u16) -> Value {
    json!({"services": [{"name": "web", "port": port}], "targets": [target("a", "127.0.0.1", 9)]})
}

fn target(name: &str, address: &str, port: u16) -> Value {
    json!({"name": name, "address": address, "port": port})
}

/// A scene with a good balancer in it.
struct Beside {
    scene: Scene,
    before: DynamicObject,
}

impl Beside {
    async fn new(rig: &'static Rig, what: &str) -> Self {
        let scene = Scene::new(rig, what).await;
        let before = ready_balancer(&scene, "beside", spec(8080)).await;
        Self { scene, before }
    }

    /// Nothing was written to it.
    async fn unmoved(&self) {
        let after = self.scene.get(KIND, "beside").await.expect("it is there");
        assert_eq!(
            after.metadata.resource_version, self.before.metadata.resource_version,
            "{:#}",
            after.data["status"]
        );
    }

    async fn apply(&self, name: &str, spec: Value) {
        self.scene.apply(self.scene.manifest(KIND, name, spec)).await;
    }

    /// A binding with a token of its own that ends Stalled.
    async fn stalled_binding(&self, name: &str, how: Value, reason: &str, says: &[&str]) {
        self.scene.bind(name, how).await;
        let object = self.scene.until_stalled(BINDING, name, reason).await;
        said(&message_of(&object, "Stalled"), says);
    }

    async fn stalled(&self, name: &str, reason: &str, says: &[&str]) {
        let object = self.scene.until_stalled(KIND, name, reason).await;
        said(&message_of(&object, "Stalled"), says);
        assert!(condition(&object, "Reconciling").is_none(), "Stalled and Reconciling at the same time");
    }
}

fn said(message: &str, says: &[&str]) {
    let missing: Vec<_> = says.iter().filter(|text| !message.contains(**text)).collect();
    assert!(missing.is_empty(), "does not say {missing:?}: {message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bindings_that_lead_nowhere() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "nowhere").await;
    let scene = &beside.scene;
    let (_, token) = rig.wire.token(&scene.name, &permissions()).await;
    scene.secret(&scene.name, "own", &token).await;
    let own = |more: Value| {
        let mut how = json!({"tokenSecretRef": {"name": "own", "key": "token"}});
        how.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        how
    };
    let backend = json!({"name": scene.name});
    beside
        .stalled_binding(
            "organization",
            own(json!({"organization": "other"})),
            "ProjectNotFound",
            &[&scene.name, "does not belong to organization other"],
        )
        .await;
    let narrow = ["none-such", "organization.project:read"];
    beside.stalled_binding("project", own(json!({"project": "none-such"})), "Denied", &narrow).await;
    let rules = json!([{"permission": "organization.project:read"}]);
    let body = json!({"description": "all projects", "rules": rules});
    let wide = rig.wire.ask(http::Method::POST, "/v3/tokens", None, Some(body)).await;
    scene.secret(&scene.name, "wide", wide["secret"].as_str().unwrap()).await;
    let how = json!({"project": "none-such", "tokenSecretRef": {"name": "wide", "key": "token"}});
    beside.stalled_binding("absent", how, "ProjectNotFound", &["none-such"]).await;
    let ungranted = ["No grant", &scene.name, "project none-such of organization acme", "ask an administrator"];
    let how = json!({"backendRef": backend, "project": "none-such"});
    beside.stalled_binding("grant", how, "NotGranted", &ungranted).await;
    let how = json!({"tokenSecretRef": {"name": "own", "key": "tocken"}});
    beside.stalled_binding("key", how, "TokenMissing", &["Secret", "own", "has no key tocken"]).await;
    let how = json!({"url": "https://api.example.com"});
    beside.stalled_binding("url", how, "TokenMissing", &["set spec.tokenSecretRef"]).await;
    for (name, url) in [
        ("metadata", "https://169.254.169.254"),
        ("private", "https://10.0.0.1"),
        ("mapped", "https://[::ffff:10.0.0.1]"),
    ] {
        beside.stalled_binding(name, own(json!({"url": url})), "InvalidSpec", &["spec.url", "is refused"]).await;
    }
    beside.unmoved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_that_was_refused_tries_again_at_once_when_it_is_asked() {
    let (rig, _peace) = rig().await;
    let scene = Scene::unbound(rig, "asked").await;
    let all = permissions().into_iter().chain(["organization.project:read".to_owned()]);
    let rules: Vec<Value> = all.map(|permission| json!({"permission": permission})).collect();
    let body = json!({"description": "all projects", "rules": rules});
    let wide = rig.wire.ask(http::Method::POST, "/v3/tokens", None, Some(body)).await;
    scene.secret(&scene.name, "wide", wide["secret"].as_str().unwrap()).await;
    let later = format!("{}-later", scene.name);
    scene.bind("default", json!({"project": later, "tokenSecretRef": {"name": "wide", "key": "token"}})).await;
    scene.until_stalled(BINDING, "default", "ProjectNotFound").await;
    rig.wire.project(&later).await;
    let request = json!({"metadata": {"annotations": {"loopback.cloud/reconcile-requested-at": "now"}}});
    scene.merge(BINDING, "default", request).await;
    scene.until_ready(BINDING, "default").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_do_not_suffice() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "tokens").await;
    let scene = &beside.scene;
    let (id, revoked) = rig.wire.token(&scene.name, &permissions()).await;
    rig.wire.ask(http::Method::DELETE, &format!("/v3/tokens/{id}"), None, None).await;
    let reads = permissions().into_iter().filter(|permission| permission.ends_with(":read")).collect::<Vec<_>>();
    let (_, reader) = rig.wire.token(&scene.name, &reads).await;
    for (name, token) in [("revoked", &revoked), ("reader", &reader)] {
        scene.secret(&scene.name, name, token).await;
    }
    let own = |name: &str| json!({"tokenSecretRef": {"name": name, "key": "token"}});
    beside.stalled_binding("revoked", own("revoked"), "TokenInvalid", &["token"]).await;

    scene.bind("reader", own("reader")).await;
    let binding = scene.until_condition(BINDING, "reader", "Degraded", "True").await;
    assert_eq!(reason_of(&binding, "Degraded"), "PermissionsMissing");
    said(&message_of(&binding, "Degraded"), &["project.load_balancer:create"]);
    let mut wanted = spec(8080);
    wanted["projectRef"] = json!({"name": "reader"});
    beside.apply("denied", wanted).await;
    beside.stalled("denied", "Denied", &["lacks the permission project.load_balancer:create"]).await;

    // Another token in the same Secret: no need to touch anything else.
    let (_, full) = rig.wire.token(&scene.name, &permissions()).await;
    scene.secret(&scene.name, "reader", &full).await;
    scene.until_ready(KIND, "denied").await;
    beside.unmoved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_must_not_be_reached_are_members_only() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "targets").await;
    let api: SocketAddr = rig.wire.url().trim_start_matches("http://").parse().unwrap();
    let wanted = json!({"services": [{"name": "web", "port": 8080}], "targets": [
        target("good", "127.0.0.1", 9), target("metadata", "169.254.169.254", 80), target("api", "127.0.0.1", api.port()),
        target("pool", "127.20.0.1", 8080), target("nat64", "64:ff9b::a9fe:a9fe", 80),
    ]});
    beside.apply("web", wanted).await;
    let object = beside.scene.until_ready(KIND, "web").await;
    assert_eq!(reason_of(&object, "Degraded"), "MembersUnhealthy");
    said(&message_of(&object, "Degraded"), &["4 of 5 in service web"]);
    let members = status_of(&object)["unhealthyTargets"].as_array().unwrap().clone();
    for (name, reason) in
        [("metadata", "LinkLocal"), ("api", "OwnListener"), ("pool", "OwnListener"), ("nat64", "LinkLocal")]
    {
        let member = members.iter().find(|member| member["name"] == format!("web/{name}")).expect(name);
        assert_eq!((&member["state"], &member["reason"]), (&json!("Refused"), &json!(reason)));
        said(member["message"].as_str().unwrap(), &["is refused", "name another address"]);
    }
    assert_eq!(status_of(&object)["services"][0]["healthyTargets"], 1);
    beside.unmoved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_refused_targets_fit_into_a_status() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "many").await;
    let targets: Vec<Value> = (0..1000).map(|n| target(&format!("t{n}"), "169.254.169.254", 1000 + n)).collect();
    let services: Vec<Value> = (0..8).map(|n| json!({"name": format!("s{n}"), "port": 8080 + n})).collect();
    beside.apply("web", json!({"services": services, "targets": targets})).await;
    let object = beside.scene.until_ready(KIND, "web").await;
    assert_eq!(status_of(&object)["unhealthyTargets"].as_array().unwrap().len(), 50);
    assert_eq!(status_of(&object)["services"][7], json!({"name": "s7", "healthyTargets": 0, "targets": 1000}));
    let message = message_of(&object, "Degraded");
    said(&message, &["1000 of 1000 in service s0", "1000 of 1000 in service s7"]);
    assert!(message.len() < 2048, "{message}");
    beside.unmoved().await;
}

/// What a service's entry in the status says.
fn service<'a>(object: &'a DynamicObject, name: &str) -> &'a Value {
    let services = status_of(object)["services"].as_array().expect("services");
    services.iter().find(|service| service["name"] == name).expect("the service")
}

async fn not_listening(scene: &Scene, name: &str, on: &str, says: &[&str]) -> DynamicObject {
    let object = scene.until_condition(KIND, name, "Reconciling", "True").await;
    let object = match reason_of(&object, "Reconciling").as_str() {
        "NotListening" => object,
        _ => {
            until("it says that it does not listen", async || {
                reason_of(&scene.get(KIND, name).await.unwrap(), "Reconciling") == "NotListening"
            })
            .await;
            scene.get(KIND, name).await.unwrap()
        }
    };
    assert_eq!(condition(&object, "Ready").unwrap()["status"], "False");
    assert_eq!(reason_of(&object, "Ready"), "NotListening");
    assert!(condition(&object, "Stalled").is_none());
    let service = service(&object, on);
    assert_eq!((&service["state"], &service["reason"]), (&json!("NotListening"), &json!("PortInUse")), "{service}");
    said(service["message"].as_str().unwrap(), says);
    said(&message_of(&object, "Ready"), &[on]);
    object
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_of_the_shared_address_has_one_holder() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "shared").await;
    let scene = &beside.scene;
    let (port, other) = (free_port_v6(), free_port_v6());
    let wanted = |port: u16| {
        let mut wanted = spec(port);
        wanted["addressFamilies"] = json!(["IPv6"]);
        wanted["services"][0]["name"] = json!("first");
        wanted["services"].as_array_mut().unwrap().push(json!({"name": "second", "port": other}));
        wanted
    };
    let mut one = spec(port);
    one["addressFamilies"] = json!(["IPv6"]);
    ready_balancer(scene, "holder", one).await;
    beside.apply("late", wanted(port)).await;
    let says = [port.to_string(), "choose another port".to_owned(), "load balancer".to_owned()];
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    let late = not_listening(scene, "late", "first", &says).await;
    // The service beside it works.
    assert!(service(&late, "second").get("state").is_none());
    assert!(!is_closed(SocketAddr::new("::1".parse().unwrap(), other)).await);
    // It takes the port when it becomes free.
    scene.delete(KIND, "holder").await;
    scene.until_gone(KIND, "holder").await;
    scene.until_ready(KIND, "late").await;
    beside.unmoved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_another_program_has_is_told_and_taken_when_it_is_free() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "taken").await;
    let scene = &beside.scene;
    let address = front(&ready_balancer(scene, "web", spec(8080)).await, "IPv4");
    let program = std::net::TcpListener::bind((address, 8081)).expect("a port");
    let mut wanted = spec(8080);
    wanted["services"].as_array_mut().unwrap().push(json!({"name": "more", "port": 8081}));
    beside.apply("web", wanted).await;
    let says = ["port 8081", "choose another port, or stop the program"];
    not_listening(scene, "web", "more", &says).await;
    assert!(!is_closed(SocketAddr::new(address, 8080)).await, "the service beside it is gone");
    drop(program);
    scene.until_ready(KIND, "web").await;
    beside.unmoved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_addresses_is_a_quota() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "pool").await;
    let scene = &beside.scene;
    let base = rig.audit_log.parent().expect("a folder").join("small");
    let api = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let dns = format!("127.0.0.1:{}", free_port().expect("a port"));
    let arguments = [
        "backend",
        "--dns-listen",
        &dns,
        "--s3-listen",
        "127.0.0.1:0",
        "--api-listen",
        &api.to_string(),
        "--address-pool",
        "127.21.0.0/30",
        "--state-dir",
    ];
    let state = base.to_string_lossy().into_owned();
    let arguments = arguments.into_iter().chain([state.as_str(), "--stop-drain", "0"]);
    let small = Program::start(&base.with_extension("log"), arguments, []);
    let wire = Wire::admin(api, &base.join("admin-token")).await;
    wire.project(&scene.name).await;
    let (_, token) = wire.token(&scene.name, &permissions()).await;
    scene.secret(&scene.name, "small", &token).await;
    scene
        .bind("small", json!({"url": format!("http://{api}"), "tokenSecretRef": {"name": "small", "key": "token"}}))
        .await;
    let wanted = || {
        let mut wanted = spec(8080);
        wanted["projectRef"] = json!({"name": "small"});
        wanted
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for name in ["one", "two"] {
        addresses.push(front(&ready_balancer(scene, name, wanted()).await, "IPv4"));
    }
    addresses.sort();
    assert_eq!(addresses, ["127.21.0.1".parse::<IpAddr>().unwrap(), "127.21.0.2".parse().unwrap()]);
    beside.apply("three", wanted()).await;
    let says = ["127.21.0.0/30 is in use", "addressFamilies", "larger pool"];
    beside.stalled("three", "QuotaExceeded", &says).await;
    // One way out that the message names.
    let mut six = wanted();
    six["addressFamilies"] = json!(["IPv6"]);
    six["services"][0]["port"] = json!(free_port_v6());
    ready_balancer(scene, "three", six).await;
    for name in ["one", "two", "three"] {
        scene.delete(KIND, name).await;
        scene.until_gone(KIND, name).await;
    }
    scene.delete(BINDING, "small").await;
    scene.until_gone(BINDING, "small").await;
    small.kill();
    beside.unmoved().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_imported_says_so() {
    let (rig, _peace) = rig().await;
    let beside = Beside::new(rig, "imports").await;
    let held = status_of(&beside.before)["id"].as_str().unwrap().to_owned();
    let import = |id: &str| {
        let mut wanted = spec(8080);
        wanted["import"] = json!({"id": id});
        wanted
    };
    beside.apply("absent", import("lb-none")).await;
    beside.stalled("absent", "ImportNotFound", &["spec.import.id", "lb-none"]).await;
    beside.apply("held", import(&held)).await;
    let holder = format!("{KIND} {}/beside", beside.scene.name);
    beside.stalled("held", "OwnedByAnother", &[&held, &holder, "Retain", "spec.import.fromCluster"]).await;
    let kept = rig.wire.get(&beside.scene.name, "load-balancers", &held).await;
    assert_eq!(kept.owner.map(|owner| owner.name).as_deref(), Some("beside"), "the holder lost what it held");
    let mut observe = spec(8080);
    observe["managementPolicy"] = json!("Observe");
    beside.apply("nothing", observe).await;
    beside.stalled("nothing", "ImportNotFound", &["spec.import.id"]).await;
    beside.unmoved().await;
}
