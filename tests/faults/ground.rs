//! What all lanes stand on: one control plane.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use kube::Client;
use loopback_operator::dev::{
    binaries::Sources,
    cluster::Cluster,
    controlplane::{ControlPlane, Options},
};

use crate::{audit::Audit, proxy::Upstream, rig};

/// A control plane and its audit log.
pub struct Ground {
    /// As its admin.
    pub client: Client,
    /// For credentials.
    pub cluster: Cluster,
    /// What the API server was asked.
    pub audit: Audit,
    /// The API server, for those who bring a token.
    pub upstream: Upstream,
    numbers: AtomicU32,
    _plane: ControlPlane,
    base: PathBuf,
}

impl Ground {
    /// Starts one.
    pub async fn start() -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        drop(std::fs::remove_dir_all(&base));
        std::fs::create_dir_all(&base).expect("a folder");
        let audit_log = base.join("audit.log");
        let options = Options {
            durable: false,
            audit_log: Some(audit_log.clone()),
            ..Options::new(&base.join("controlplane"), Sources::from_env().expect("sources"))
        };
        let plane = rig::control_plane(options, &rig::base_manifests()).await;
        let cluster = plane.cluster().clone();
        let config = cluster.admin();
        let authority =
            config.root_cert.iter().flatten().map(|der| reqwest::Certificate::from_der(der).expect("an authority"));
        let http = reqwest::Client::builder().no_proxy().tls_certs_only(authority).build().expect("a client");
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = cluster.client().expect("a client");
        let (audit, upstream) = (Audit::follow(&audit_log), Upstream { url, http });
        Self { client, cluster, audit, upstream, numbers: AtomicU32::new(1), _plane: plane, base }
    }

    /// A folder of this name.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.base.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    /// A number that nobody has.
    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}
