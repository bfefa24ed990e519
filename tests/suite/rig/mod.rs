//! What the tests share: one control plane, one backend, one operator, each a real process. They are started by the first
//! test that asks and end with the process of the tests.

mod children;
mod lossy;
pub mod rights;
mod scene;
mod traces;
mod view;
mod wire;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use kube::{Client, config::Kubeconfig};
use loopback_operator::{
    dev::{
        apply::{Existing, apply, parse},
        binaries::Sources,
        cluster::{Cluster, Credentials},
        controlplane::{ControlPlane, Options, free_port},
        progress::Progress,
    },
    runtime::World,
};
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Instant, sleep},
};

pub use self::wire::DOMAIN;
pub use self::{
    children::Program,
    lossy::{Loss, Lossy},
    scene::{Scene, condition, message_of, permissions, reason_of, status_of},
    view::View,
    wire::{Wire, below, path_of},
};

/// How long anything may take to come true. Generous: machines are slow and busy; what has a bound says so itself.
pub const PATIENCE: Duration = Duration::from_secs(60);
const MANAGER: &str = "suite";
/// Who operators are to the API server.
pub const OPERATOR: &str = "system:serviceaccount:loopback-system:loopback-operator";

/// The shared processes.
pub struct Rig {
    /// The control plane's kubeconfig, for kubectl as its admin.
    pub kubeconfig: PathBuf,
    /// Where the API server writes what it was asked.
    pub audit_log: PathBuf,
    /// The backend's API.
    pub backend: Program,
    /// The operator, watching all namespaces.
    pub operator: Program,
    /// The operator's metrics and health.
    pub metrics: SocketAddr,
    /// Where the backend answers DNS.
    pub dns: SocketAddr,
    /// For the wire API, as its administrator.
    pub wire: Wire,
    cluster: Cluster,
    /// Held shared by tests that need the processes to run, alone by those that kill them.
    undisturbed: RwLock<()>,
    scenes: AtomicU32,
    _credentials: Credentials,
    _plane: ControlPlane,
    _lock: std::fs::File,
}

static RIG: OnceLock<Rig> = OnceLock::new();

/// The rig, with its processes left in peace while the guard lives.
pub async fn rig() -> (&'static Rig, RwLockReadGuard<'static, ()>) {
    let rig = shared().await;
    (rig, rig.undisturbed.read().await)
}

/// The rig for a test that kills its processes: no other test runs meanwhile.
pub async fn alone() -> (&'static Rig, RwLockWriteGuard<'static, ()>) {
    let rig = shared().await;
    (rig, rig.undisturbed.write().await)
}

async fn shared() -> &'static Rig {
    tokio::task::spawn_blocking(|| RIG.get_or_init(on_its_own_thread)).await.expect("the rig starts")
}

/// Children die with the thread that started them, and a test's runtime ends with the test: both need a thread that stays.
fn on_its_own_thread() -> Rig {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        sender.send(runtime.block_on(start())).expect("the first test waits");
        runtime.block_on(std::future::pending::<()>());
    });
    receiver.recv().expect("the rig starts; see above")
}

async fn start() -> Rig {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("suite");
    // Another run of the suite in this tree has the folder until it ends.
    let lock = std::fs::File::create(base.with_extension("lock")).expect("a file");
    lock.lock().expect("the folder of the suite");
    drop(std::fs::remove_dir_all(&base));
    std::fs::create_dir_all(&base).expect("a folder for the suite");
    let audit_log = base.join("audit.log");
    let options = Options {
        durable: false,
        audit_log: Some(audit_log.clone()),
        ..Options::new(&base.join("controlplane"), Sources::from_env().expect("sources"))
    };
    let plane = control_plane(options, &base_manifests()).await;
    let cluster = plane.cluster().clone();
    let kubeconfig = base.join("kubeconfig");
    cluster.write_kubeconfig(&kubeconfig).expect("a kubeconfig");
    let api = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let dns = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let s3 = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let state = base.join("backend");
    let backend = Program::start(
        &base.join("backend.log"),
        [
            "backend",
            "--s3-listen",
            &s3.to_string(),
            "--api-listen",
            &api.to_string(),
            "--state-dir",
            &state.to_string_lossy(),
            "--address-pool",
            "127.20.0.0/16",
            "--dns-listen",
            &dns.to_string(),
            "--outbound-allow-loopback",
            "--stop-drain",
            "1",
            "--log",
            "info,loopback_operator=debug",
        ],
        [],
    );
    let Operator { program: operator, metrics, credentials } = Operator::start(&base, &cluster, api).await;
    let wire = Wire::admin(api, &state.join("admin-token")).await;
    until("the operator is ready", async || ready(metrics).await).await;
    Rig {
        dns,
        kubeconfig,
        audit_log,
        backend,
        operator,
        metrics,
        wire,
        cluster,
        undisturbed: RwLock::new(()),
        scenes: AtomicU32::new(1),
        _credentials: credentials,
        _plane: plane,
        _lock: lock,
    }
}

impl Rig {
    /// A client of the admin, for the runtime of the test that asks.
    pub fn client(&self) -> Client {
        self.cluster.client().expect("a client")
    }

    /// Kills the operator and starts it again.
    pub async fn restart_operator(&self) {
        self.operator.kill();
        self.operator.again();
        until("the operator is ready", async || ready(self.metrics).await).await;
    }

    /// Another replica of the operator.
    pub async fn replica(&self) -> Operator {
        let base = self.audit_log.parent().expect("a folder").join("replica");
        std::fs::create_dir_all(&base).expect("a folder");
        let replica = Operator::start(&base, &self.cluster, self.wire.address()).await;
        until("the replica is ready", async || ready(replica.metrics).await).await;
        replica
    }

    /// An operator whose watches can be stopped, and what stops them.
    pub async fn behind_a_view(&self) -> (Operator, View) {
        let base = self.audit_log.parent().expect("a folder").join("view");
        std::fs::create_dir_all(&base).expect("a folder");
        let view = View::start(&Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig")).await;
        let operator = Operator::behind(&base, &self.cluster, Some(&view.url), self.wire.address()).await;
        until("the operator is ready", async || ready(operator.metrics).await).await;
        (operator, view)
    }

    /// Kills the backend and starts it again.
    pub async fn restart_backend(&self) {
        self.backend.kill();
        self.backend.again();
        self.wire.wait().await;
    }

    fn number(&self) -> u32 {
        self.scenes.fetch_add(1, Ordering::Relaxed)
    }
}

/// A control plane with these manifests.
pub async fn control_plane(options: Options, manifests: &[String]) -> ControlPlane {
    let plane = ControlPlane::start(options, &World::real(), &Progress::stderr()).await.expect("a control plane");
    let client = plane.cluster().client().expect("a client");
    for manifest in manifests {
        apply(&client, MANAGER, parse(manifest).expect("a manifest"), Existing::Update)
            .await
            .expect("the base is taken");
    }
    plane
}

/// An operator of a cluster, as its ServiceAccount there.
pub struct Operator {
    /// Its process.
    pub program: Program,
    /// Its metrics and health.
    pub metrics: SocketAddr,
    credentials: Credentials,
}

impl Operator {
    /// Starts one; it may not be ready yet.
    pub async fn start(base: &Path, cluster: &Cluster, backend: SocketAddr) -> Self {
        Self::behind(base, cluster, None, backend).await
    }

    /// Starts one that goes to this address for the API server.
    async fn behind(base: &Path, cluster: &Cluster, server: Option<&str>, backend: SocketAddr) -> Self {
        let credentials = cluster.service_account("loopback-system", "loopback-operator").await.expect("an account");
        let (admin, kubeconfig) = (base.join("kubeconfig"), base.join("operator-kubeconfig"));
        cluster.write_kubeconfig(&admin).expect("a kubeconfig");
        write_operator_kubeconfig(&admin, &credentials, server, &kubeconfig);
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
        let program = Program::start(
            &base.join("operator.log"),
            [
                "operator",
                "--backend-url",
                &format!("http://{backend}"),
                "--metrics-listen",
                &metrics.to_string(),
                "--outbound-allow-loopback",
                "--leader-elect",
                "--lease-namespace",
                "loopback-system",
                "--log",
                "info,loopback_operator=debug",
            ],
            [("KUBECONFIG", kubeconfig.to_string_lossy().as_ref())],
        );
        Self { program, metrics, credentials }
    }
}

/// A cluster beside the shared one, for a test that would disturb others; its operator uses the shared backend.
pub struct OwnCluster {
    /// Its programs.
    pub plane: ControlPlane,
    /// As its admin.
    pub client: Client,
    /// Its operator, which may not be ready yet.
    pub operator: Operator,
    _base: tempfile::TempDir,
}

impl OwnCluster {
    /// Starts one with these manifests.
    pub async fn start(rig: &Rig, manifests: &[String]) -> Self {
        let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let sources = Sources::from_env().expect("sources");
        let options = Options { durable: false, ..Options::new(&base.path().join("controlplane"), sources) };
        let plane = control_plane(options, manifests).await;
        let client = plane.cluster().client().expect("a client");
        let operator = Operator::start(base.path(), plane.cluster(), rig.wire.address()).await;
        Self { plane, client, operator, _base: base }
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        self.operator.program.kill();
    }
}

/// Definitions and base as `kubectl apply -k deploy` would send them, definitions first.
pub fn base_manifests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["crds", "deploy"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect();
    // crds/, then the namespace that the others live in.
    files.sort_by_key(|path| (path.parent().map(Path::to_owned), !path.ends_with("namespace.yaml"), path.clone()));
    files.iter().map(|path| std::fs::read_to_string(path).expect("a manifest")).collect()
}

/// The cluster of the admin's kubeconfig, with the operator's token instead of the admin's certificate.
pub fn write_operator_kubeconfig(admin: &Path, credentials: &Credentials, server: Option<&str>, path: &Path) {
    let mut kubeconfig = Kubeconfig::read_from(admin).expect("a kubeconfig");
    if let Some(server) = server {
        for named in &mut kubeconfig.clusters {
            named.cluster = Some(kube::config::Cluster { server: Some(server.to_owned()), ..Default::default() });
        }
    }
    let token_file = credentials.config().auth_info.token_file;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(kube::config::AuthInfo { token_file: token_file.clone(), ..Default::default() });
    }
    let text = serde_json::to_string(&kubeconfig).expect("JSON is YAML");
    std::fs::write(path, text).expect("a kubeconfig");
}

/// The lines of a file of JSON that mention something. The last may be half written.
pub fn json_lines(path: &Path, mention: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("a log");
    let lines = text.lines().filter(|line| line.contains(mention));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Whether an operator says that it is ready.
pub async fn ready(metrics: SocketAddr) -> bool {
    let answer = reqwest::get(format!("http://{metrics}/readyz")).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Whether an operator says that it leads.
pub async fn leads(metrics: SocketAddr) -> bool {
    let Ok(answer) = reqwest::get(format!("http://{metrics}/metrics")).await else { return false };
    answer.text().await.is_ok_and(|page| page.contains(r#"leader_election_master_status{name="loopback-operator"} 1"#))
}

/// Waits until something is true; panics with its name when that takes too long.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    assert!(within(PATIENCE, holds).await, "not within {PATIENCE:?}: {what}");
}

/// Whether something becomes true in time.
pub async fn within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds().await {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
