//! The API server of the simulation is held honest: what it answers, the real one answers.

#[path = "../simulation/apiserver/mod.rs"]
mod simulated;

use loopback_operator::{crd, runtime::World};
use simulated::ApiServer;

#[tokio::test(start_paused = true)]
async fn a_client_talks_to_it() {
    let server = ApiServer::new(World::seeded(1));
    let definitions: Vec<_> = crd::all().iter().map(|one| serde_json::to_value(one).unwrap()).collect();
    server.install(&definitions);
    let found = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(server.client("test")).get("kube-system").await;
    assert_eq!(found.unwrap().metadata.name.as_deref(), Some("kube-system"));
}
