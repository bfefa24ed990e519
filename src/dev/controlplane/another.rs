//! What tests do to a control plane beyond signals: a second API server on the same data, and history that is forgotten.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use serde_json::json;

use super::{
    Child, Cluster, ControlPlane, Program, Settings, Spawner, StartProblem, admin_cluster, flags, free_port,
    ready::{Probe, Wait},
};

/// Another API server on the data of a control plane. Dropping it kills it.
#[derive(Debug)]
pub struct ApiServer {
    cluster: Cluster,
    settings: Settings,
    binary: PathBuf,
    log: PathBuf,
    ready_within: Duration,
    children: BTreeMap<Program, Child>,
    spawner: Spawner,
}

impl ControlPlane {
    /// Starts another API server, which goes to this port of 127.0.0.1 for etcd: what listens there may hold things up.
    /// Its audit log stands beside that of the first, with the ending `.another`.
    ///
    /// # Errors
    /// When it does not start or does not become ready.
    pub async fn another_api_server(&self, etcd_port: u16) -> Result<ApiServer, StartProblem> {
        let mut settings = self.settings.clone();
        let problem = |source| StartProblem::Spawn { program: Program::ApiServer, source };
        settings.api_port = free_port().map_err(problem)?;
        settings.etcd_port = etcd_port;
        settings.kubeconfig.set_extension("another");
        if let Some(audit) = &mut settings.audit {
            audit.log.set_extension("another");
        }
        let mut server = ApiServer {
            cluster: admin_cluster(&settings).await?,
            settings,
            binary: self.binaries.api_server.path.clone(),
            log: self.state.log("another-kube-apiserver"),
            ready_within: self.ready_within,
            children: BTreeMap::new(),
            spawner: Spawner::new().map_err(problem)?,
        };
        server.start().await?;
        Ok(server)
    }

    /// Has etcd forget all versions but the present ones, so that no watch can go on from an older one.
    ///
    /// # Errors
    /// When etcd does not do it.
    pub async fn compact(&self) -> Result<(), StartProblem> {
        let etcd = Probe::etcd(&self.settings)?;
        let problem = |error| StartProblem::Spawn { program: Program::Etcd, source: io::Error::other(error) };
        let range = etcd.post("/v3/kv/range", &json!({"key": "AA=="})).await.map_err(problem)?;
        let revision = &range["header"]["revision"];
        etcd.post("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await.map_err(problem)?;
        Ok(())
    }
}

impl ApiServer {
    /// The cluster as this one shows it, as its admin.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Kills it, if it runs.
    pub fn kill(&mut self) {
        self.children.clear();
    }

    /// Kills it, if it runs, starts it again and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start or does not become ready.
    pub async fn start(&mut self) -> Result<(), StartProblem> {
        self.kill();
        let program = Program::ApiServer;
        let started = Child::start(&self.spawner, &self.binary, &flags::api_server(&self.settings), &self.log).await;
        self.children.insert(program, started.map_err(|source| StartProblem::Spawn { program, source })?);
        let probe = Probe::api_server(&self.settings)?;
        Wait { program, within: self.ready_within, children: &mut self.children }.until(probe).await
    }
}
