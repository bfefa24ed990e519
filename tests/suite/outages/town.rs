//! A control plane, a backend and operators that nobody else uses, so that all of them may die.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use loopback_operator::dev::{
    apply::{Existing, apply},
    binaries::Sources,
    cluster::Cluster,
    controlplane::{ControlPlane, Options},
};
use serde_json::{Value, json};

use super::users::Users;
use crate::rig::{
    OPERATOR, Operator, Program, Wire, base_manifests, control_plane, json_lines, leads, permissions, ready, until,
};

/// Field manager of the users.
pub const USERS: &str = "users";

/// The processes of one test.
pub struct Town {
    /// Also its namespace and its project.
    pub name: &'static str,
    /// As admin.
    pub client: Client,
    /// The backend.
    pub backend: Program,
    /// The operators.
    pub operators: Vec<Operator>,
    /// The wire API, as its administrator.
    pub wire: Wire,
}

impl Town {
    /// Starts all, binds the town's namespace to its project and waits until the operators are ready.
    pub async fn start(name: &'static str, replicas: usize) -> (Self, ControlPlane) {
        let (mut town, plane) = Self::begin(name, false).await;
        for _ in 0..replicas {
            town.operate(plane.cluster()).await;
        }
        (town, plane)
    }

    /// Starts all but operators. The API servers keep audit logs.
    pub async fn found(name: &'static str) -> (Self, ControlPlane) {
        Self::begin(name, true).await
    }

    async fn begin(name: &'static str, audited: bool) -> (Self, ControlPlane) {
        let base = base(name);
        drop(std::fs::remove_dir_all(&base));
        std::fs::create_dir_all(&base).expect("a folder");
        let options = Options {
            audit_log: audited.then(|| base.join("audit.log")),
            ..Options::new(&base.join("controlplane"), Sources::from_env().expect("sources"))
        };
        let plane = control_plane(options, &base_manifests()).await;
        let client = plane.cluster().client().expect("a client");
        let (backend, wire) = backend(&base).await;
        let town = Self { name, client, backend, operators: Vec::new(), wire };
        town.bind().await;
        (town, plane)
    }

    /// Starts one more operator, and waits until it is ready.
    pub async fn operate(&mut self, cluster: &Cluster) {
        let folder = base(self.name).join(format!("operator-{}", self.operators.len()));
        std::fs::create_dir_all(&folder).expect("a folder");
        self.operators.push(Operator::start(&folder, cluster, self.wire.address()).await);
        self.until_ready().await;
    }

    /// Waits until one of the operators leads.
    pub async fn until_leads(&self, number: usize) {
        let what = format!("operator {number} leads");
        until(&what, async || leads(self.operators[number].metrics).await).await;
    }

    /// How often operators have listed a kind of ours, through any API server.
    pub fn lists(&self) -> usize {
        let logs = ["audit.log", "audit.another"].map(|name| base(self.name).join(name));
        let entries = logs.iter().flat_map(|log| json_lines(log, "loopback.cloud"));
        entries.filter(|entry| entry["verb"] == "list" && entry["user"]["username"] == OPERATOR).count()
    }

    /// The versions of all objects that users may want, by name.
    pub async fn versions(&self, users: &Users) -> BTreeMap<String, Option<String>> {
        let kinds: BTreeSet<_> = users.all().map(|member| member.kind).collect();
        let mut versions = BTreeMap::new();
        for kind in kinds {
            let objects = self.api(kind).list(&ListParams::default()).await.expect("a list").items;
            versions.extend(objects.into_iter().map(|object| (object.name_any(), object.metadata.resource_version)));
        }
        versions
    }

    /// Waits until each zone says how many records it has: it follows them at a distance.
    pub async fn until_counted(&self) {
        until("the zones say how many records they have", async || {
            let list = async |kind| self.api(kind).list(&ListParams::default()).await.expect("a list").items;
            let (zones, records) = (list("ProjectDnsZone").await, list("DnsRecord").await);
            zones.iter().all(|zone| {
                let own = records.iter().filter(|record| record.data["spec"]["zoneRef"]["name"] == zone.name_any());
                zone.data["status"]["records"] == own.count()
            })
        })
        .await;
    }

    /// Waits until all operators are ready.
    pub async fn until_ready(&self) {
        for operator in &self.operators {
            until("the operator is ready", async || ready(operator.metrics).await).await;
        }
    }

    async fn bind(&self) {
        let name = self.name;
        self.wire.project(name).await;
        let (_, token) = self.wire.token(name, &permissions()).await;
        let group = "loopback.cloud/v1alpha1";
        let reference = json!({"namespace": "loopback-system", "name": name, "key": "token"});
        let grants =
            json!([{"name": "all", "organization": "acme", "projects": [name], "namespaces": {"from": "All"}}]);
        for manifest in [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "loopback-system"},
                "stringData": {"token": token}}),
            json!({"apiVersion": group, "kind": "LoopbackBackend", "metadata": {"name": name},
                "spec": {"tokenSecretRef": reference, "grants": grants}}),
            json!({"apiVersion": group, "kind": "ProjectBinding", "metadata": {"name": "default", "namespace": name},
                "spec": {"organization": "acme", "project": name, "backendRef": {"name": name}}}),
        ] {
            self.apply(manifest).await;
        }
    }

    /// Applies a manifest; the API server must be there.
    pub async fn apply(&self, manifest: Value) -> DynamicObject {
        let manifest = serde_json::from_value(manifest).expect("a manifest");
        let applied =
            apply(&self.client, USERS, vec![manifest], Existing::Update).await.expect("the manifest is taken");
        applied.into_iter().next().expect("one object").object
    }

    /// One of our kinds in the town's namespace.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("loopback.cloud", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), self.name, &resource)
    }

    /// Programs that ended by themselves are started again, as in a cluster; how many.
    pub fn revive(&self) -> usize {
        let all = self.operators.iter().map(|operator| &operator.program).chain([&self.backend]);
        all.filter(|program| program.is_over()).map(Program::again).count()
    }

    /// What the operators logged about something, for the message of a failure.
    pub fn story(&self, about: &str) -> String {
        let mut story = String::new();
        for operator in &self.operators {
            let log = operator.program.log();
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(about)).collect();
            story += &lines[lines.len().saturating_sub(25)..].join("\n");
            story += "\n--\n";
        }
        story
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.operators.iter().for_each(|operator| operator.program.kill());
        self.backend.kill();
    }
}

fn base(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("outages").join(name)
}

async fn backend(base: &Path) -> (Program, Wire) {
    static POOLS: AtomicU16 = AtomicU16::new(0);
    let (api, dns, s3, state) = (lasting_port(), lasting_port(), lasting_port(), base.join("backend"));
    let pool = format!("127.{}.0.0/16", 100 + POOLS.fetch_add(1, Ordering::Relaxed));
    let backend = Program::start(
        &base.join("backend.log"),
        [
            "backend",
            "--api-listen",
            &api.to_string(),
            "--s3-listen",
            &s3.to_string(),
            "--dns-listen",
            &dns.to_string(),
            "--state-dir",
            &state.to_string_lossy(),
            "--address-pool",
            &pool,
            "--outbound-allow-loopback",
            "--stop-drain",
            "1",
        ],
        [],
    );
    (backend, Wire::admin(api, &state.join("admin-token")).await)
}

/// An address that nobody else gets while the process that listens there is away: the system gives ports from 32768 on.
fn lasting_port() -> SocketAddr {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = std::iter::repeat_with(|| rand::random_range(12_000..32_000)).find(free).expect("endless");
    SocketAddr::from(([127, 0, 0, 1], port))
}
