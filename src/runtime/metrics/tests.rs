use super::*;
use crate::runtime::{Backoff, Queue, World, queue::Keyed, queue::Trigger};

impl Keyed for String {
    fn kind(&self) -> &str {
        "zone"
    }
}

fn object(name: &str) -> ObjectName {
    ObjectName { kind: "ProjectDnsZone".into(), namespace: "shop".into(), name: name.into() }
}

/// All metrics told once.
fn told() -> Metrics {
    let metrics = Metrics::new("1.2.3", ObjectSeries::On);
    let second = Duration::from_secs(1);
    for result in [PassResult::Success, PassResult::RequeueAfter, PassResult::TerminalError, PassResult::Error] {
        metrics.pass("zone", second).end(result);
    }
    drop(metrics.pass("zone", second));
    metrics.pass_crashed("zone");
    metrics.kubernetes_request("200", "GET", "127.0.0.1:6443");
    metrics.backend_request("create", "201", second);
    metrics.backend_throttled(second);
    metrics.drift_corrected("ProjectDnsZone");
    metrics.follow_orphans(|| vec![("ProjectDnsZone".to_owned(), 2)]);
    metrics.time_to_ready("ProjectDnsZone", second);
    metrics.leader("loopback-operator", true);
    metrics.resource_ready(&object("a"), false, "Creating");
    metrics.resource_ready(&object("a"), true, "Ready");
    metrics.deletion_blocked(&object("a"), Some(90 * second));
    let queue = Queue::new(World::seeded(1), 8, Backoff::default());
    queue.add("a".to_owned(), Trigger::User);
    metrics.follow_queue(move || queue.stats());
    metrics
}

#[tokio::test(start_paused = true)]
async fn names_are_those_that_dashboards_know() {
    let page = told().encode().unwrap();
    let controller = r#"controller="zone""#;
    let both = r#"name="zone",controller="zone""#;
    for line in [
        r#"loopback_build_info{version="1.2.3"} 1"#,
        &format!(r#"controller_runtime_reconcile_total{{{controller},result="success"}} 1"#),
        &format!(r#"controller_runtime_reconcile_total{{{controller},result="requeue_after"}} 1"#),
        &format!(r#"controller_runtime_reconcile_total{{{controller},result="error"}} 2"#),
        &format!(r#"controller_runtime_reconcile_total{{{controller},result="requeue"}} 1"#),
        &format!("controller_runtime_reconcile_errors_total{{{controller}}} 2"),
        &format!("controller_runtime_terminal_reconcile_errors_total{{{controller}}} 1"),
        &format!("controller_runtime_reconcile_panics_total{{{controller}}} 1"),
        &format!("controller_runtime_reconcile_time_seconds_count{{{controller}}} 5"),
        &format!("controller_runtime_active_workers{{{controller}}} 0"),
        &format!("controller_runtime_max_concurrent_reconciles{{{controller}}} 8"),
        &format!(r#"workqueue_depth{{{both},priority="high"}} 1"#),
        &format!("workqueue_adds_total{{{both}}} 1"),
        &format!("workqueue_retries_total{{{both}}} 0"),
        &format!("workqueue_queue_duration_seconds_sum{{{both}}} 5"),
        &format!("workqueue_work_duration_seconds_count{{{both}}} 5"),
        &format!("workqueue_unfinished_work_seconds{{{both}}} 0"),
        &format!("workqueue_longest_running_processor_seconds{{{both}}} 0"),
        r#"rest_client_requests_total{code="200",method="GET",host="127.0.0.1:6443"} 1"#,
        r#"leader_election_master_status{name="loopback-operator"} 1"#,
        r#"loopback_resource_ready{kind="ProjectDnsZone",namespace="shop",name="a",reason="Ready"} 1"#,
        r#"loopback_backend_requests_total{operation="create",code="201"} 1"#,
        r#"loopback_backend_request_duration_seconds_count{operation="create"} 1"#,
        "loopback_backend_throttled_seconds_total 1",
        r#"loopback_drift_corrected_total{kind="ProjectDnsZone"} 1"#,
        r#"loopback_orphans{kind="ProjectDnsZone"} 2"#,
        r#"loopback_time_to_ready_seconds_count{kind="ProjectDnsZone"} 1"#,
        r#"loopback_deletion_blocked_seconds{kind="ProjectDnsZone",namespace="shop",name="a"} 90"#,
    ] {
        assert!(page.lines().any(|found| found.trim_end_matches(".0") == line), "{line}\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
    assert!(!page.contains("Creating"), "an old reason stays\n{page}");
}

#[tokio::test(start_paused = true)]
async fn series_of_an_object_go_with_it() {
    let metrics = told();
    metrics.resource_ready(&object("b"), true, "Ready");
    metrics.forget(&object("a"));
    let page = metrics.encode().unwrap();
    assert!(!page.contains(r#"name="a""#) && page.contains(r#"name="b""#), "{page}");
    let quiet = Metrics::new("1", ObjectSeries::Off);
    quiet.resource_ready(&object("b"), true, "Ready");
    assert!(!quiet.encode().unwrap().contains("loopback_resource_ready"));
}
