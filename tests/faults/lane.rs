//! One of many that run plans at the same time: a backend, an account at the API server, a proxy.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use data_encoding::BASE64;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, api::PostParams};
use loopback_operator::dev::cluster::Credentials;
use serde_json::json;

use crate::{
    admin::Admin,
    ground::Ground,
    proxy::{Proxy, Run, Upstream},
    rig::Program,
};

const HOME: &str = "loopback-system";
/// How many ports a lane needs.
const PORTS: usize = 4;

/// Different ports for so many lanes, held all at the same time so that none is given twice.
pub fn ports(lanes: usize) -> Vec<[u16; PORTS]> {
    let listen = || TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let held: Vec<[TcpListener; PORTS]> = (0..lanes).map(|_| std::array::from_fn(|_| listen())).collect();
    let number = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    held.iter().map(|listeners| listeners.each_ref().map(number)).collect()
}

/// One lane.
pub struct Lane {
    /// Its name: its account's, and that of its cluster among owners.
    pub name: String,
    /// Control plane.
    pub ground: Arc<Ground>,
    /// Its backend.
    pub backend: Program,
    /// Its backend's state.
    pub state: PathBuf,
    /// As the backend's administrator.
    pub admin: Admin,
    /// What its operators talk to.
    pub proxy: Proxy,
    /// What its backend has printed.
    pub backend_log: PathBuf,
    folder: PathBuf,
    kubeconfig: PathBuf,
    metrics: SocketAddr,
    _credentials: Credentials,
}

impl Lane {
    /// Starts one.
    pub async fn start(ground: Arc<Ground>, number: usize, ports: [u16; PORTS]) -> Self {
        let name = format!("lane-{number}");
        let folder = ground.folder(&name);
        // What calls out from this machine does so from 127.0.0.1, and cannot take a port here while its holder is restarted.
        let own = Ipv4Addr::new(127, 200, 0, u8::try_from(number).expect("few lanes"));
        let [api, dns, s3, metrics] = ports.map(|port| SocketAddr::from((own, port)));
        let (api, dns, s3) = (api.to_string(), dns.to_string(), s3.to_string());
        let (state, log) = (folder.join("backend"), folder.join("backend.log"));
        let pool = format!("127.{}.0.0/16", 100 + number);
        let backend = Program::start(
            &log,
            ["backend", "--api-listen", &api, "--dns-listen", &dns, "--s3-listen", &s3, "--address-pool", &pool]
                .into_iter()
                .chain(["--state-dir", &state.to_string_lossy(), "--outbound-allow-loopback", "--stop-drain", "0"])
                .chain(["--log", "info,loopback_operator=debug"]),
            [],
        );
        let admin = Admin::of(format!("http://{api}"), &state.join("admin-token")).await;
        let upstream = Upstream {
            url: format!("http://{api}"),
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        };
        let proxy = Proxy::start(ground.upstream.clone(), upstream).await;
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}})).expect("an account");
        Api::namespaced(ground.client.clone(), HOME)
            .create(&PostParams::default(), &account)
            .await
            .expect("an account");
        let credentials = ground.cluster.service_account(HOME, &name).await.expect("credentials");
        let kubeconfig = folder.join("kubeconfig");
        let token_file = credentials.config().auth_info.token_file.expect("a token");
        std::fs::write(&kubeconfig, kubeconfig_text(&proxy, &token_file)).expect("a kubeconfig");
        Self {
            name,
            ground,
            backend,
            state,
            admin,
            proxy,
            backend_log: log,
            folder,
            kubeconfig,
            metrics,
            _credentials: credentials,
        }
    }

    /// Who its operators are to the API server.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{HOME}:{}", self.name)
    }

    /// An RBAC subject.
    pub fn subject(&self) -> serde_json::Value {
        json!({"kind": "ServiceAccount", "name": self.name, "namespace": HOME})
    }

    /// Starts an operator of one namespace, whose calls belong to a run from now on. Its log is a new one.
    pub fn operator(&self, run: &Arc<Run>) {
        self.proxy.belong(Some(Arc::clone(run)));
        let log = self.folder.join("operator.log");
        drop(std::fs::remove_file(&log));
        let (backend, metrics) = (format!("http://{}", self.proxy.backend), self.metrics.to_string());
        let operator = Program::start(
            &log,
            ["operator", "--backend-url", &backend, "--metrics-listen", &metrics, "--namespaces", &run.name]
                .into_iter()
                .chain(["--cluster-id", &self.name, "--outbound-allow-loopback", "--workers", "4"])
                .chain(["--log", "info,loopback_operator=debug"]),
            [("KUBECONFIG", self.kubeconfig.to_string_lossy().as_ref())],
        );
        drop(run.operator.set((Arc::new(operator), self.metrics)));
    }
}

fn kubeconfig_text(proxy: &Proxy, token_file: &str) -> String {
    let authority = BASE64.encode(proxy.authority.as_bytes());
    let cluster = json!({"server": format!("https://{}", proxy.kubernetes), "certificate-authority-data": authority});
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": cluster}],
        "users": [{"name": "operator", "user": {"tokenFile": token_file}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
    })
    .to_string()
}
