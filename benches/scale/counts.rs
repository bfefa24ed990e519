//! Counters of the API server, the operator and the kernel.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use crate::ground::Site;

/// Counters by what they count.
pub type Counts = BTreeMap<String, f64>;

/// What a text of Prometheus metrics says under a name: each series by the values of some of its labels.
fn series(text: &str, name: &str, labels: &[&str]) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let label = |label: &&str| {
            let start = format!("{label}=\"");
            series.split(&start).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
        };
        let key = labels.iter().map(label).collect::<Vec<_>>().join(" ");
        *counts.entry(key).or_default() += value.parse::<f64>().unwrap_or(0.0);
    }
    counts
}

/// What grew, and by how much.
pub fn grown(before: &Counts, after: &Counts) -> Counts {
    let by = |(what, count): (&String, &f64)| (what.clone(), count - before.get(what).unwrap_or(&0.0));
    after.iter().map(by).filter(|(_, count)| *count > 0.0).collect()
}

/// Whether a call to the API server writes; the Lease is not counted.
pub fn writes(what: &str) -> bool {
    let read = ["GET", "LIST", "WATCH", "CONNECT"].iter().any(|verb| what.starts_with(verb));
    !read && !what.contains("leases") && !what.contains("tokenreviews") && !what.contains("subjectaccessreviews")
}

/// Whether a call to the backend writes.
pub fn changes(what: &str) -> bool {
    ["create", "claim", "delete", "patch", "retire", "acknowledge", "reissue"].iter().any(|verb| what.starts_with(verb))
}

impl Site {
    /// Calls that the API server has had: verb, resource, subresource.
    pub async fn api_calls(&self) -> Counts {
        series(&self.ground.metrics().await, "apiserver_request_total", &["verb", "resource", "subresource"])
    }

    /// Calls that the operator has made to the backend: operation, answer.
    pub async fn backend_calls(&self) -> Counts {
        series(&self.figures().await, "loopback_backend_requests_total", &["operation", "code"])
    }

    /// Passes that have ended.
    pub async fn passes(&self) -> f64 {
        series(&self.figures().await, "controller_runtime_reconcile_total", &["result"]).values().sum()
    }

    /// Keys that wait for a pass or have one.
    pub async fn queued(&self) -> f64 {
        let text = self.figures().await;
        let all = [("workqueue_depth", "name"), ("controller_runtime_active_workers", "controller")];
        all.iter().map(|(name, label)| series(&text, name, &[label]).values().sum::<f64>()).sum()
    }
}

/// Processor time that a process has used.
pub fn processor(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // user and system time; a tick is 10 ms
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Processor time that everything on this machine has used.
pub fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, (idle, waiting for a disk,) interrupts of both kinds
    Duration::from_millis(10 * [0, 1, 2, 5, 6].into_iter().filter_map(|at| ticks.get(at)).sum::<u64>())
}

/// Seconds since 1970, for the result file.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
