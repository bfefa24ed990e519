//! What the three programs are called with. All flags are valid for the official programs of every supported version.

use std::path::{Path, PathBuf};

use super::certificates::Certificates;

/// What the flags depend on.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) certificates: Certificates,
    pub(super) kubeconfig: PathBuf,
    pub(super) etcd_data: PathBuf,
    pub(super) etcd_port: u16,
    pub(super) etcd_peer_port: u16,
    pub(super) api_port: u16,
    /// False: etcd does not wait for the disk.
    pub(super) durable: bool,
    pub(super) audit: Option<Audit>,
}

/// Where the API server writes down what was asked of it.
#[derive(Clone, Debug)]
pub(super) struct Audit {
    pub(super) policy: PathBuf,
    pub(super) log: PathBuf,
}

/// Bodies of our own kinds, metadata of everything else; nothing twice.
pub(super) const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  resources: [{group: loopback.cloud}]
- level: Metadata
"#;

pub(super) fn etcd(settings: &Settings) -> Vec<String> {
    let certificates = &settings.certificates;
    let client = format!("https://127.0.0.1:{}", settings.etcd_port);
    let peer = format!("https://127.0.0.1:{}", settings.etcd_peer_port);
    let mut flags = vec![
        path_flag("data-dir", &settings.etcd_data),
        flag("name", "loopback"),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", &format!("loopback={peer}")),
        flag("log-level", "warn"),
        flag("client-cert-auth", "true"),
        flag("peer-client-cert-auth", "true"),
        path_flag("trusted-ca-file", &certificates.certificate("etcd-client-ca")),
        path_flag("peer-trusted-ca-file", &certificates.certificate("server-ca")),
    ];
    // The client is etcd's own gateway from HTTP to itself.
    for (prefix, identity) in [("", "etcd"), ("peer-", "etcd"), ("client-", "etcd-client")] {
        flags.push(path_flag(&format!("{prefix}cert-file"), &certificates.certificate(identity)));
        flags.push(path_flag(&format!("{prefix}key-file"), &certificates.key(identity)));
    }
    if !settings.durable {
        flags.push(flag("unsafe-no-fsync", "true"));
    }
    flags
}

pub(super) fn api_server(settings: &Settings) -> Vec<String> {
    let certificates = &settings.certificates;
    let mut flags = vec![
        flag("etcd-servers", &format!("https://127.0.0.1:{}", settings.etcd_port)),
        path_flag("etcd-cafile", &certificates.certificate("server-ca")),
        path_flag("etcd-certfile", &certificates.certificate("etcd-client")),
        path_flag("etcd-keyfile", &certificates.key("etcd-client")),
        flag("bind-address", "127.0.0.1"),
        flag("advertise-address", "127.0.0.1"),
        flag("secure-port", &settings.api_port.to_string()),
        path_flag("tls-cert-file", &certificates.certificate("api-server")),
        path_flag("tls-private-key-file", &certificates.key("api-server")),
        path_flag("client-ca-file", &certificates.certificate("client-ca")),
        flag("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        path_flag("service-account-key-file", &certificates.verifying_key()),
        path_flag("service-account-signing-key-file", &certificates.signing_key()),
        flag("service-cluster-ip-range", "10.0.0.0/24"),
        // There are no nodes: nothing can answer at the address of the `kubernetes` Service.
        flag("endpoint-reconciler-type", "none"),
        flag("authorization-mode", "RBAC"),
        flag("allow-privileged", "true"),
        // It only acts on pods, which it refuses while their namespace has no `default` account.
        flag("disable-admission-plugins", "ServiceAccount"),
    ];
    if let Some(audit) = &settings.audit {
        flags.push(path_flag("audit-policy-file", &audit.policy));
        flags.push(path_flag("audit-log-path", &audit.log));
    }
    flags
}

pub(super) fn controller_manager(settings: &Settings) -> Vec<String> {
    vec![
        path_flag("kubeconfig", &settings.kubeconfig),
        flag("controllers", "garbage-collector-controller,namespace-controller"),
        flag("concurrent-gc-syncs", "20"),
        flag("leader-elect", "false"),
        flag("use-service-account-credentials", "false"),
        flag("secure-port", "0"), // it serves nothing that we ask for
    ]
}

fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

fn path_flag(name: &str, path: &Path) -> String {
    flag(name, &path.to_string_lossy())
}
