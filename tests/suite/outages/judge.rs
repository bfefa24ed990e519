//! How a town must stand when all is calm again: what the backend holds is what users want, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DynamicObject, ListParams},
};
use loopback_operator::protocol::{Phase, RawObject};
use tokio::time::{Instant, sleep};

use super::{
    families::{Member, access},
    journal::Journal,
    town::Town,
    users::{Users, Wish},
};
use crate::{
    rig::{condition, message_of},
    s3,
};

/// How long it may take until all is as it should be.
const CALM: Duration = Duration::from_secs(300);

/// Both sides, by kind and name, and by owner.
struct Scenery {
    resources: BTreeMap<(String, String), DynamicObject>,
    held: BTreeMap<String, Vec<RawObject>>,
}

/// Waits until the town is as its users want it, then judges how it came there. How long it took.
pub async fn settled(town: &Town, users: &Users, journal: &Journal) -> Duration {
    let began = Instant::now();
    let scenery = loop {
        let scenery = Scenery::of(town, users).await;
        let Some((about, why)) = scenery.unfinished(town, users) else { break scenery };
        assert!(began.elapsed() < CALM, "{about}: not within {CALM:?}: {why}\n{}", town.story(&about));
        sleep(Duration::from_millis(500)).await;
    };
    let took = began.elapsed();
    for (member, wish) in users.wishes() {
        scenery.once_and_for_all(member, journal, town);
        if member.kind == "ObjectBucketCredential" {
            opens(town, member, wish).await;
        }
    }
    took
}

fn uid(object: &DynamicObject) -> &str {
    object.metadata.uid.as_deref().unwrap_or_default()
}

impl Scenery {
    async fn of(town: &Town, users: &Users) -> Self {
        let kinds: BTreeSet<_> = users.all().map(|member| (member.kind, member.collection)).collect();
        let (mut resources, mut held) = (BTreeMap::new(), BTreeMap::<String, Vec<RawObject>>::new());
        for (kind, collection) in kinds {
            for object in town.api(kind).list(&ListParams::default()).await.expect("a list").items {
                let name = object.metadata.name.clone().unwrap_or_default();
                resources.insert((kind.to_owned(), name), object);
            }
            for object in town.wire.list(town.name, collection).await {
                let owner = object.owner.as_ref().map(|owner| owner.uid.clone()).unwrap_or_default();
                held.entry(owner).or_default().push(object);
            }
        }
        Self { resources, held }
    }

    /// Whom it is about, and what is not yet as it should be.
    fn unfinished(&self, town: &Town, users: &Users) -> Option<(String, String)> {
        let mut left: BTreeSet<_> = self.resources.keys().cloned().collect();
        let mut orphans: BTreeSet<_> = self.held.keys().cloned().collect();
        for (member, wish) in users.wishes() {
            let key = (member.kind.to_owned(), member.name.clone());
            left.remove(&key);
            let Some(resource) = self.resources.get(&key) else {
                return Some((member.name.clone(), format!("no {}", member.kind)));
            };
            orphans.remove(uid(resource));
            if let Some(why) = self.unlike(town, member, wish, resource) {
                return Some((member.name.clone(), why));
            }
        }
        if let Some((kind, name)) = left.first() {
            return Some((
                name.clone(),
                format!("{kind} is still there: {}", self.resources[&left.first()?.clone()].data),
            ));
        }
        let orphan = orphans.first()?;
        Some((orphan.clone(), format!("held for nobody: {:?}", self.held[orphan])))
    }

    fn unlike(&self, town: &Town, member: &Member, wish: &Wish, resource: &DynamicObject) -> Option<String> {
        let generation = resource.metadata.generation;
        let ready = condition(resource, "Ready").filter(|ready| ready["status"] == "True");
        let current = ready.is_some_and(|ready| ready["observedGeneration"].as_i64() == generation);
        if resource.metadata.deletion_timestamp.is_some() || !current || condition(resource, "Paused").is_some() {
            return Some(format!("not Ready at {generation:?}: {}", resource.data["status"]));
        }
        let stalled = message_of(resource, "Stalled");
        if !stalled.is_empty() {
            return Some(stalled);
        }
        let object = match self.held.get(uid(resource)).map(Vec::as_slice) {
            Some([one]) => one,
            other => return Some(format!("the backend holds {other:?}")),
        };
        let root = member.root.as_ref().and_then(|root| self.root(root));
        let below = member.root.is_none() || object.parent.as_deref() == root.map(|root| root.id.as_str());
        if object.phase != Phase::Live || !below || !member.fits(town.name, wish.variant, &object.intent) {
            return Some(format!("{} is wanted, the backend holds {object:?}", member.spec(town.name, wish.variant)));
        }
        (resource.data["status"]["id"] != object.id.as_str()).then(|| format!("{} is {}", resource.data, object.id))
    }

    fn root(&self, name: &str) -> Option<&RawObject> {
        let (_, resource) = self.resources.iter().find(|((_, one), _)| one == name)?;
        self.held.get(uid(resource))?.first()
    }

    /// What lives has had one object in the backend, and nobody ever began to end it.
    fn once_and_for_all(&self, member: &Member, journal: &Journal, town: &Town) {
        let resource = &self.resources[&(member.kind.to_owned(), member.name.clone())];
        let life = journal.of(uid(resource));
        let name = &member.name;
        assert!(life.ids.len() <= 1, "{name} ({}) had {:?}\n{}", uid(resource), life.ids, town.story(name));
        assert!(life.ended.is_empty(), "{name} lives, but {:?} was ended\n{}", life.ended, town.story(name));
    }
}

/// A credential's Secret opens its bucket.
async fn opens(town: &Town, member: &Member, wish: &Wish) {
    let api = Api::<Secret>::namespaced(town.client.clone(), town.name);
    let secret = api.get(&member.name).await.expect("a Secret");
    let text = |(key, value): (String, k8s_openapi::ByteString)| (key, String::from_utf8(value.0).expect("a text"));
    let values: BTreeMap<String, String> = secret.data.unwrap_or_default().into_iter().map(text).collect();
    let (client, bucket) = (s3::client(&values), format!("/{}", values["BUCKET_NAME"]));
    let (path, may) = (format!("{bucket}/{}", member.name), access(wish.variant));
    if may == "ReadOnly" {
        let answer = client.get(&bucket).await;
        assert_eq!(answer.status, 200, "{} cannot list: {}", member.name, answer.text());
        return;
    }
    let answer = client.put(&path, "x").await;
    assert_eq!(answer.status, 200, "{} cannot write: {}", member.name, answer.text());
    let answer = client.delete(&path).await;
    assert_eq!(answer.status, 204, "{} cannot delete: {}", member.name, answer.text());
}
