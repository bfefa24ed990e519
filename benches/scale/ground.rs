//! What is measured: a control plane, and on it a backend and an operator, each a process of its own.

use std::{net::SocketAddr, path::Path};

use futures::{StreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use loopback_operator::dev::{
    apply::{Existing, apply},
    binaries::Sources,
    cluster::Credentials,
    controlplane::{ControlPlane, Options, free_port},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    late::late,
    rig::{Program, Wire, base_manifests, control_plane, permissions, ready, until},
};

pub use crate::rig::DOMAIN;

/// Namespaces of users.
pub const NAMESPACES: usize = 50;
/// Projects that they are bound to.
pub const PROJECTS: usize = 20;
/// Calls that users have under way at the same time.
pub const CALLERS: usize = 16;
const HOME: &str = "loopback-system";
const GROUP: &str = "loopback.cloud/v1alpha1";

/// Name of a namespace.
pub fn namespace(number: usize) -> String {
    format!("team-{number}")
}

/// Name of the project that a namespace is bound to.
pub fn project(namespace: usize) -> String {
    format!("project-{}", namespace % PROJECTS)
}

/// A control plane with our kinds and the users' namespaces.
pub struct Ground {
    /// As admin.
    pub client: Client,
    /// Folder of all that is started.
    pub base: TempDir,
    plane: ControlPlane,
}

impl Ground {
    /// Starts one. Writes wait for the disk, as in any cluster.
    pub async fn start() -> Self {
        // On the disk of the working folder: a folder for temporary files may be memory.
        let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = Options::new(&base.path().join("controlplane"), Sources::from_env().unwrap());
        let plane = control_plane(options, &base_manifests()).await;
        let ground = Self { client: plane.cluster().client().unwrap(), base, plane };
        let namespaces = (0..NAMESPACES).map(|number| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(number), "labels": {"team": "all"}}})
        });
        ground.apply(namespaces).await;
        ground
    }

    /// Applies manifests.
    pub async fn apply(&self, manifests: impl IntoIterator<Item = Value>) {
        let manifests = manifests.into_iter().map(|manifest| serde_json::from_value(manifest).unwrap()).collect();
        apply(&self.client, "users", manifests, Existing::Update).await.unwrap();
    }

    /// One of our kinds in a namespace.
    pub fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        api_of(&self.client, kind, Some(namespace))
    }

    /// One of our kinds everywhere.
    pub fn all(&self, kind: &str) -> Api<DynamicObject> {
        api_of(&self.client, kind, None)
    }

    /// What the API server says of itself.
    pub async fn metrics(&self) -> String {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap()
    }
}

/// One of our kinds, in a namespace or everywhere.
pub fn api_of(client: &Client, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("loopback.cloud", "v1alpha1", kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// A ground with the product on it.
pub struct Site {
    /// The control plane.
    pub ground: Ground,
    /// The backend.
    pub backend: Program,
    /// The wire API, as its administrator.
    pub wire: Wire,
    /// The operator.
    pub operator: Program,
    /// The operator's metrics and health.
    pub metrics: SocketAddr,
    /// Tokens of projects.
    pub tokens: Vec<String>,
    _credentials: Credentials,
}

impl Site {
    /// Starts all, binds the namespaces and waits until the operator has nothing left to do. The backend answers so many
    /// milliseconds late.
    pub async fn start(delay: u64) -> Self {
        let ground = Ground::start().await;
        let (backend, wire) = backend(ground.base.path()).await;
        let address = if delay == 0 { wire.address() } else { late(wire.address(), delay).await };
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let credentials = ground.plane.cluster().service_account(HOME, "loopback-operator").await.unwrap();
        let operator = operator(&ground, &credentials, address, metrics);
        let mut site = Self { ground, backend, wire, operator, metrics, tokens: vec![], _credentials: credentials };
        site.bind().await;
        until("the operator is ready", async || ready(metrics).await).await;
        until("the bindings are ready", async || site.bound().await).await;
        site
    }

    async fn bind(&mut self) {
        let mut manifests = Vec::new();
        for number in 0..PROJECTS {
            let name = project(number);
            self.wire.project(&name).await;
            let (_, token) = self.wire.token(&name, &permissions()).await;
            self.tokens.push(token.clone());
            let reference = json!({"namespace": HOME, "name": name, "key": "token"});
            let grants =
                json!([{"name": "all", "organization": "acme", "projects": [name], "namespaces": {"from": "All"}}]);
            manifests.extend([
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": HOME}, "stringData": {"token": token}}),
                json!({"apiVersion": GROUP, "kind": "LoopbackBackend", "metadata": {"name": name},
                    "spec": {"tokenSecretRef": reference, "grants": grants}}),
            ]);
        }
        manifests.extend((0..NAMESPACES).map(|number| {
            json!({"apiVersion": GROUP, "kind": "ProjectBinding", "metadata": {"name": "default", "namespace": namespace(number)},
                "spec": {"organization": "acme", "project": project(number), "backendRef": {"name": project(number)}}})
        }));
        self.ground.apply(manifests).await;
    }

    /// Whether all bindings are Ready.
    pub async fn bound(&self) -> bool {
        let bindings = self.ground.all("ProjectBinding").list(&Default::default()).await.unwrap();
        let ready = bindings.iter().filter(|binding| crate::watch::is_ready(binding));
        ready.count() == NAMESPACES
    }

    /// What the operator says of itself.
    pub async fn figures(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.metrics)).await.unwrap().text().await.unwrap()
    }

    /// Declares all of these.
    pub async fn declare(&self, items: &[crate::load::Item]) {
        declare(&self.ground, items).await;
    }
}

/// Users declare these, many at a time.
pub async fn declare(ground: &Ground, items: &[crate::load::Item]) {
    let calls = stream::iter(items).map(|item| {
        let (api, manifest) = (ground.api(item.kind, &item.namespace), item.manifest());
        async move {
            let object: DynamicObject = serde_json::from_value(manifest).unwrap();
            api.create(&Default::default(), &object).await.unwrap();
        }
    });
    calls.buffer_unordered(CALLERS).for_each(|()| std::future::ready(())).await;
}

async fn backend(base: &Path) -> (Program, Wire) {
    let port = || SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())).to_string();
    let (api, dns, s3, state) = (port(), port(), port(), base.join("backend"));
    let program = Program::start(
        &base.join("backend.log"),
        ["backend", "--api-listen", &api, "--dns-listen", &dns, "--s3-listen", &s3, "--address-pool", "127.30.0.0/16"]
            .into_iter()
            .chain(["--state-dir", &state.to_string_lossy(), "--outbound-allow-loopback", "--stop-drain", "0"]),
        [],
    );
    (program, Wire::admin(api.parse().unwrap(), &state.join("admin-token")).await)
}

fn operator(ground: &Ground, credentials: &Credentials, backend: SocketAddr, metrics: SocketAddr) -> Program {
    let base = ground.base.path();
    let (admin, kubeconfig) = (base.join("kubeconfig"), base.join("operator-kubeconfig"));
    ground.plane.cluster().write_kubeconfig(&admin).unwrap();
    crate::rig::write_operator_kubeconfig(&admin, credentials, None, &kubeconfig);
    Program::start(
        &base.join("operator.log"),
        ["operator", "--backend-url", &format!("http://{backend}"), "--metrics-listen", &metrics.to_string()]
            .into_iter()
            .chain(["--leader-elect", "--lease-namespace", HOME]),
        [("KUBECONFIG", kubeconfig.to_string_lossy().as_ref())],
    )
}

impl Drop for Site {
    fn drop(&mut self) {
        self.operator.kill();
        self.backend.kill();
    }
}
