//! One watch of Secrets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::time::Instant;
use tracing::warn;

use super::{
    super::{cache::Subject, watch::Retry},
    Secrets,
    watched::{Scope, Watched},
};
use crate::runtime::Drain;

/// How long a Secret may be refused before that is believed: an API server that has just started knows no roles yet.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// All watches.
pub(super) type Shared = Arc<Mutex<BTreeMap<Scope, Watched>>>;
/// Called when a Secret changed.
pub(super) type Wake = Arc<dyn Fn(&Subject) + Send + Sync>;

/// Follows until `drain` starts. Survives everything: what fails is tried again.
pub(super) async fn follow(client: Client, scope: Scope, watches: Shared, wake: Wake, drain: Drain) {
    let api = Api::<Secret>::namespaced(client, scope.namespace());
    let events = watcher(api, scope.config()).backoff(Retry::default());
    pin_mut!(events);
    let mut intake = Intake { scope, watches, wake, found: Vec::new(), refused: None };
    loop {
        let event = tokio::select! {
            biased;
            () = drain.wait() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Ok(event)) => intake.take(event),
            Some(Err(error)) => intake.failed(&error),
        }
    }
}

struct Intake {
    scope: Scope,
    watches: Shared,
    wake: Wake,
    /// What the list under way has shown.
    found: Vec<Secret>,
    /// Since when it is refused.
    refused: Option<Instant>,
}

impl Intake {
    fn take(&mut self, event: Event<Secret>) {
        if !matches!(event, Event::Init) {
            self.refused = None;
        }
        match event {
            Event::Init => self.found.clear(),
            Event::InitApply(secret) => {
                self.found.push(secret.clone());
                self.change(|watched| watched.early(secret));
            }
            Event::InitDone => {
                let found = std::mem::take(&mut self.found);
                self.change(|watched| watched.list(found));
            }
            Event::Apply(secret) => self.change(|watched| {
                let name = secret.name_any();
                watched.take(Arc::new(secret));
                vec![name]
            }),
            Event::Delete(secret) => self.change(|watched| {
                watched.gone(&secret);
                vec![secret.name_any()]
            }),
        }
    }

    fn failed(&mut self, error: &watcher::Error) {
        if let Some(why) = refusal(&self.scope, error)
            && self.refused.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
        {
            self.change(|watched| watched.refuse(why));
        }
    }

    /// Stores what is new, and wakes its readers.
    fn change(&self, with: impl FnOnce(&mut Watched) -> Vec<String>) {
        let names = {
            let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            watches.get_mut(&self.scope).map(with).unwrap_or_default()
        };
        names.iter().for_each(|name| (self.wake)(&Secrets::subject(self.scope.namespace(), name)));
    }
}

fn refusal(scope: &Scope, error: &watcher::Error) -> Option<String> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        error => {
            warn!(%scope, %error, "watching a Secret");
            return None;
        }
    };
    let hint = "bind the ClusterRole loopback-operator-secrets to the operator's ServiceAccount in that namespace";
    (status.code == 403).then(|| format!("the operator may not read {scope}; {hint}"))
}
