//! What the operator tells about itself: metrics, health, log lines.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rig::{Program, Rig, Scene, alone, rig, until, within},
    servers::ready_balancer,
};

const KIND: &str = "ProjectLoadBalancer";

async fn page(rig: &Rig, path: &str) -> String {
    let answer = reqwest::get(format!("http://{}{path}", rig.metrics)).await.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.text().await.expect("a text")
}

/// The values of all series with this name and all of these labels.
fn series(page: &str, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    page.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| labels.iter().all(|label| line.contains(label.as_str())))
        .map(|line| line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a value"))
        .collect()
}

fn spec() -> Value {
    json!({"services": [{"name": "web", "port": 8080}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_the_names_that_dashboards_know() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "metrics").await;
    ready_balancer(&scene, "web", spec()).await;
    let found = page(rig, "/metrics").await;
    let sum = |name: &str, labels: &[(&str, &str)]| series(&found, name, labels).iter().sum::<f64>();
    let controller = [("controller", KIND)];
    assert!(sum("controller_runtime_reconcile_total", &[("controller", KIND), ("result", "success")]) >= 1.0);
    let passes = sum("controller_runtime_reconcile_total", &controller);
    assert!(sum("controller_runtime_reconcile_time_seconds_count", &controller) >= passes, "{found}");
    assert!(sum("controller_runtime_reconcile_time_seconds_sum", &controller) > 0.0);
    assert_eq!(sum("controller_runtime_reconcile_panics_total", &controller), 0.0);
    assert!(sum("workqueue_adds_total", &[("name", KIND)]) >= 1.0);
    for name in ["workqueue_queue_duration_seconds_count", "workqueue_work_duration_seconds_count"] {
        assert!(sum(name, &[("name", KIND)]) >= 1.0, "{name}");
    }
    for name in ["workqueue_depth", "controller_runtime_active_workers"] {
        let values = series(&found, name, &controller);
        let sane = !values.is_empty() && values.iter().all(|value| (0.0..=1000.0).contains(value));
        assert!(sane, "{name}: {values:?}");
    }
    assert!(sum("rest_client_requests_total", &[("code", "200"), ("method", "PATCH")]) >= 2.0);
    assert!(sum("loopback_backend_requests_total", &[("operation", "create"), ("code", "ok")]) >= 1.0);
    assert!(sum("loopback_time_to_ready_seconds_count", &[("kind", KIND)]) >= 1.0);
    assert_eq!(series(&found, "loopback_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), [1.0]);
    assert!(found.trim_end().ends_with("# EOF"));
    for path in ["/healthz", "/readyz"] {
        page(rig, path).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_objects_series_live_as_long_as_it() {
    let (rig, _peace) = rig().await;
    let scene = Scene::new(rig, "series").await;
    ready_balancer(&scene, "web", spec()).await;
    let labels = [("kind", KIND), ("namespace", scene.name.as_str()), ("name", "web")];
    let ready = [&labels[..], &[("reason", "Ready")]].concat();
    let shown = async || series(&page(rig, "/metrics").await, "loopback_resource_ready", &ready) == [1.0];
    until("it is shown as Ready", shown).await;
    let labelled = format!("namespace=\"{}\"", scene.name);
    let of_it = |page: String| page.lines().any(|line| line.contains(&labelled) && line.contains("name=\"web\""));
    scene.delete(KIND, "web").await;
    scene.until_gone(KIND, "web").await;
    until("its series are gone", async || !of_it(page(rig, "/metrics").await)).await;
    // What was sent late about it does not bring them back.
    assert!(!within(Duration::from_millis(500), async || of_it(page(rig, "/metrics").await)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_are_json_and_say_which_object() {
    let (rig, _alone) = alone().await;
    let scene = Scene::new(rig, "logs").await;
    scene.until_ready("ProjectBinding", "default").await;
    rig.operator.kill();
    let base = rig.audit_log.parent().expect("a folder");
    let kubeconfig = base.join("operator-kubeconfig");
    let (url, metrics) = (rig.wire.url(), rig.metrics.to_string());
    let arguments = ["operator", "--backend-url", &url, "--metrics-listen", &metrics, "--outbound-allow-loopback"];
    let arguments = arguments.into_iter().chain(["--log-format", "json", "--log", "info,loopback_operator=debug"]);
    let operator =
        Program::start(&base.join("json.log"), arguments, [("KUBECONFIG", kubeconfig.to_string_lossy().as_ref())]);
    scene
        .apply(scene.manifest(
            KIND,
            "web",
            json!({"services": [{"name": "web", "port": 8080}], "algorithm": "RoundRobin"}),
        ))
        .await;
    scene.until_ready(KIND, "web").await;
    operator.kill();
    rig.restart_operator().await;

    let log = operator.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let passes: Vec<&Value> =
        lines.iter().filter(|line| line["namespace"] == scene.name.as_str() && line["kind"] == KIND).collect();
    assert!(!passes.is_empty(), "{log}");
    for line in passes {
        assert_eq!((&line["name"], &line["generation"]), (&json!("web"), &json!(1)), "{line}");
        assert!(line["pass"].as_u64().is_some_and(|pass| pass > 0), "{line}");
    }
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    assert!(!log.contains("lbt_"), "a token is in the log");
}
