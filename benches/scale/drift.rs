//! Somebody changes the backend past the operator: how long until it is as declared again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use loopback_operator::protocol::{
    Frame, RawObject,
    client::{Client, Token, http},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    after::calm,
    ground::{CALLERS, PROJECTS, Site, project},
    table::{Bound, Table, quantile},
};

/// How often one object alone is changed.
const ALONE: usize = 20;

/// An object that was changed.
struct Changed {
    declared: RawObject,
    at: Instant,
    repaired: Option<Duration>,
}

/// Reads the feeds of all projects.
struct Witness {
    changed: Arc<Mutex<BTreeMap<String, Changed>>>,
    repaired: watch::Receiver<usize>,
    _feeds: JoinSet<()>,
}

impl Witness {
    async fn start(site: &Site) -> Self {
        let changed: Arc<Mutex<BTreeMap<String, Changed>>> = Arc::default();
        let (sender, repaired) = watch::channel(0);
        let mut feeds = JoinSet::new();
        let url = site.wire.url().parse().unwrap();
        for (number, token) in site.tokens.iter().enumerate() {
            let exchange = Arc::new(http().build().unwrap());
            let client = Client::new(exchange, &url, &project(number), Token::new(token).unwrap()).unwrap();
            let mut frames = Box::pin(client.changes(None).await.unwrap());
            while !matches!(frames.next().await, Some(Ok(Frame::Synced { .. }))) {}
            let (changed, sender) = (changed.clone(), sender.clone());
            feeds.spawn(async move {
                while let Some(Ok(frame)) = frames.next().await {
                    if let Frame::Change { object, .. } = frame {
                        see(&changed, &sender, &object);
                    }
                }
            });
        }
        Self { changed, repaired, _feeds: feeds }
    }

    /// Changes balancers, so many at the same time; how long each stayed so.
    async fn drift(&mut self, site: &Site, objects: &[(String, RawObject)], at_once: usize) -> Vec<Duration> {
        self.changed.lock().unwrap().clear();
        for part in objects.chunks(at_once) {
            let calls = stream::iter(part).map(|(project, object)| async {
                let change = Changed { declared: object.clone(), at: Instant::now(), repaired: None };
                self.changed.lock().unwrap().insert(object.id.clone(), change);
                site.wire.patch(project, "load-balancers", object, json!({"targets": {"a": {"port": 99}}})).await;
            });
            calls.buffer_unordered(CALLERS).for_each(|_| std::future::ready(())).await;
            let all = |changed: &BTreeMap<String, Changed>| changed.values().all(|one| one.repaired.is_some());
            while !all(&self.changed.lock().unwrap()) {
                self.repaired.changed().await.unwrap();
            }
        }
        self.changed.lock().unwrap().values().filter_map(|one| one.repaired).collect()
    }
}

fn see(changed: &Mutex<BTreeMap<String, Changed>>, sender: &watch::Sender<usize>, object: &RawObject) {
    let mut changed = changed.lock().unwrap();
    let Some(one) = changed.get_mut(&object.id).filter(|one| one.repaired.is_none()) else { return };
    if object.intent_revision > one.declared.intent_revision && object.intent == one.declared.intent {
        one.repaired = Some(one.at.elapsed());
        sender.send_modify(|count| *count += 1);
    }
}

async fn balancers(site: &Site, count: usize) -> Vec<(String, RawObject)> {
    let mut objects = Vec::new();
    for number in 0..PROJECTS {
        let name = project(number);
        let live = site.wire.list(&name, "load-balancers").await;
        objects.extend(live.into_iter().map(|object| (name.clone(), object)));
    }
    objects.truncate(count);
    objects
}

/// Drift of one object, and of many at once.
pub async fn measure(site: &Site, count: usize, table: &mut Table) {
    let mut witness = Witness::start(site).await;
    let mut one = witness.drift(site, &balancers(site, ALONE).await, 1).await;
    table.time("drift of one object, p50 until repaired", quantile(&mut one, 0.5), Bound::Most(0.1));
    table.time("drift of one object, longest", quantile(&mut one, 1.0), Bound::Most(0.1));
    calm(site).await;
    let objects = balancers(site, count).await;
    let mut many = witness.drift(site, &objects, objects.len()).await;
    table.time(format!("drift of {} objects at once, p99", many.len()), quantile(&mut many, 0.99), Bound::Most(3.0));
    calm(site).await;
}
