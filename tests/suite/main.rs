//! Suite against a real control plane.

mod bad_inputs;

/// Against the control plane of `KUBECONFIG`, with the definitions applied.
#[tokio::test]
#[ignore = "needs KUBECONFIG"]
async fn bad_inputs_are_refused() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = kube::Client::try_default().await.expect("a control plane");
    bad_inputs::run(client, "default").await;
}
