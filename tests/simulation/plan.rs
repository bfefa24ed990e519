//! What users and administrators will do, drawn from a run's seed.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    faults::{millis, pick},
    kinds::KINDS,
};

/// How long users are busy.
const BUSY: u64 = 25_000;

/// An object as its user wants it.
#[derive(Clone, Debug)]
pub struct Wish {
    pub kind: usize,
    pub name: String,
    pub variant: u64,
    pub policy: Policy,
}

/// What roots have beside their own fields.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub observe: bool,
    /// Absent: Delete.
    pub deletion: Option<&'static str>,
    pub import: Option<Import>,
}

/// Which object is to be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// One that administrators made, if there is one.
    Made,
    /// The same, from the cluster that has it.
    FromCluster,
    Missing,
}

impl Wish {
    /// An object without policies.
    pub fn plain(plural: &str, name: &str) -> Self {
        let kind = KINDS.iter().position(|kind| kind.plural == plural).unwrap();
        Self { kind, name: name.to_owned(), variant: 0, policy: Policy::default() }
    }

    /// The spec as it is written; `id` is what is imported.
    pub fn spec(&self, id: Option<&str>) -> Value {
        let kind = &KINDS[self.kind];
        let mut spec = (kind.spec)(&self.name, self.variant);
        if kind.parent.is_some() {
            return spec;
        }
        spec["managementPolicy"] = if self.policy.observe { json!("Observe") } else { Value::Null };
        spec["deletionPolicy"] = json!(self.policy.deletion);
        if let Some(id) = id {
            spec["import"] = json!({"id": id});
            if self.policy.import == Some(Import::FromCluster) {
                spec["import"]["fromCluster"] = json!(OTHER);
            }
        }
        spec
    }
}

/// The cluster that foreign objects belong to.
pub const OTHER: &str = "other";

/// One deed.
#[derive(Clone, Debug)]
pub enum Deed {
    Namespace,
    Backend,
    /// With a token of its own, or through what an administrator lends.
    Binding {
        own: bool,
    },
    TokenSecrets,
    Create(Wish),
    Edit(Wish),
    Delete(usize, String),
    /// The finalizer is removed by force, before or after that.
    Force(usize, String),
    DeleteBinding,
    DeleteNamespace,
    /// Administrators make an object in the backend, that nobody owns or that another cluster does.
    Make(Wish, bool),
    /// Somebody changes, or deletes, an object past the operator.
    Drift(u64),
    DriftAway(u64),
    /// A new token in the Secret; the old one is revoked.
    Rotate,
    Revoke,
    Narrow(&'static str),
    DeleteSecret(u64),
    Restart,
    /// The store is copied; a restart on the copy follows.
    Copy,
    Older,
    Compact,
    HangUp,
}

impl Deed {
    /// The kind that it is about, if it is about one.
    pub fn kind(&self) -> Option<usize> {
        match self {
            Self::Create(wish) | Self::Edit(wish) | Self::Make(wish, _) => Some(wish.kind),
            Self::Delete(kind, _) | Self::Force(kind, _) => Some(*kind),
            _ => None,
        }
    }

    /// Whether the operator may lose a token by it.
    pub fn bereaves(&self) -> bool {
        matches!(self, Self::Revoke | Self::Narrow(_) | Self::DeleteSecret(_) | Self::Older | Self::DeleteNamespace)
    }
}

/// What will be done, and when.
pub fn plan(random: &mut StdRng) -> Vec<(Duration, Deed)> {
    let mut deeds = Vec::new();
    let own = random.random_bool(0.3);
    for deed in [Deed::Namespace, Deed::Backend, Deed::TokenSecrets, Deed::Binding { own }] {
        // Mostly there first, now and then late; nothing is in a namespace before it is there.
        let late = random.random_bool(0.15) && !matches!(deed, Deed::Namespace);
        deeds.push((if late { millis(random, 10_000) } else { Duration::ZERO }, deed));
    }
    // Many small runs find more than few large ones.
    for _ in 0..[1, 1, 1, 1, 1, 2, 2, 3][pick(random, 8)] {
        life(random, &mut deeds);
    }
    for _ in 0..pick(random, 4) {
        let at = millis(random, BUSY);
        deeds.push((at, trouble(random)));
    }
    // Equal times keep their order.
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}

/// The life of one object, with its parent where it needs one.
fn life(random: &mut StdRng, deeds: &mut Vec<(Duration, Deed)>) {
    let kind = pick(random, KINDS.len());
    let mut at = millis(random, 5_000);
    let child = KINDS[kind].parent.is_some();
    let name = if child { format!("c{}", pick(random, 2)) } else { "a".to_owned() };
    if let Some((plural, _)) = KINDS[kind].parent {
        parent(random, plural, deeds);
    }
    let mut wish = Wish { kind, name, variant: 0, policy: policy(random, kind) };
    if wish.policy.import.is_some() || (wish.policy.observe && random.random_bool(0.7)) {
        made(random, &wish, deeds);
    }
    deeds.push((at, Deed::Create(wish.clone())));
    for _ in 0..pick(random, 5) {
        // Some come in a rush, some when all is calm.
        let most = if random.random_bool(0.6) { 60 } else { 12_000 };
        at += millis(random, most);
        step(random, &mut wish, &mut at, deeds);
    }
}

fn step(random: &mut StdRng, wish: &mut Wish, at: &mut Duration, deeds: &mut Vec<(Duration, Deed)>) {
    let (kind, name) = (wish.kind, wish.name.clone());
    match pick(random, 12) {
        0 => deeds.push((*at, Deed::Delete(kind, name))),
        1 => {
            deeds.push((*at, Deed::Delete(kind, name)));
            *at += millis(random, 6_000);
            wish.variant = random.random_range(0..4);
            deeds.push((*at, Deed::Create(wish.clone())));
        }
        2 => {
            // There and back again.
            for variant in [1, 0] {
                wish.variant = variant;
                deeds.push((*at, Deed::Edit(wish.clone())));
                *at += millis(random, 300);
            }
        }
        3 => {
            wish.policy.observe = !wish.policy.observe;
            deeds.push((*at, Deed::Edit(wish.clone())));
        }
        4 => {
            wish.policy.deletion = if wish.policy.deletion.is_some() { None } else { Some("Retain") };
            deeds.push((*at, Deed::Edit(wish.clone())));
        }
        5 if random.random_bool(0.4) => deeds.push((*at, Deed::Force(kind, name))),
        _ => {
            wish.variant = random.random_range(0..4);
            deeds.push((*at, Deed::Edit(wish.clone())));
        }
    }
}

fn parent(random: &mut StdRng, plural: &str, deeds: &mut Vec<(Duration, Deed)>) {
    let late = if random.random_bool(0.3) { millis(random, 20_000) } else { Duration::ZERO };
    let mut wish = Wish::plain(plural, "a");
    if random.random_bool(0.2) {
        wish.policy = policy(random, wish.kind);
        if wish.policy.import.is_some() || wish.policy.observe {
            made(random, &wish, deeds);
        }
    }
    let kind = wish.kind;
    deeds.push((late, Deed::Create(wish)));
    if random.random_bool(0.2) {
        deeds.push((millis(random, BUSY), Deed::Delete(kind, "a".into())));
    }
}

fn policy(random: &mut StdRng, kind: usize) -> Policy {
    if KINDS[kind].parent.is_some() {
        return Policy::default();
    }
    let purge = KINDS[kind].plural == "objectbuckets";
    let deletion = match pick(random, 8) {
        0 => Some("Retain"),
        1 | 2 if purge => Some("Purge"),
        _ => None,
    };
    let import = match pick(random, 20) {
        0 | 1 => Some(Import::Made),
        2 => Some(Import::FromCluster),
        3 => Some(Import::Missing),
        _ => None,
    };
    Policy { observe: random.random_bool(0.12), deletion, import }
}

/// What an administrator made before there was a resource for it, or after.
fn made(random: &mut StdRng, wish: &Wish, deeds: &mut Vec<(Duration, Deed)>) {
    let at = if random.random_bool(0.8) { Duration::ZERO } else { millis(random, 20_000) };
    let foreign = wish.policy.import == Some(Import::FromCluster) || random.random_bool(0.25);
    let made = Wish { variant: random.random_range(0..3), policy: Policy::default(), ..wish.clone() };
    deeds.push((at, Deed::Make(made, foreign)));
}

fn trouble(random: &mut StdRng) -> Deed {
    match pick(random, 18) {
        0 | 1 => Deed::Drift(random.random()),
        2 => Deed::DriftAway(random.random()),
        3 => Deed::Rotate,
        4 => Deed::Revoke,
        5 => Deed::Narrow(
            ["project.load_balancer", "project.dns_zone", "project.object_store.credentials", "project.monitoring"]
                [pick(random, 4)],
        ),
        6 => Deed::DeleteSecret(random.random()),
        7 | 8 => Deed::Restart,
        9 => Deed::Older,
        10 => Deed::Compact,
        11 => Deed::DeleteNamespace,
        12 => Deed::Backend,
        13 => Deed::DeleteBinding,
        14 => Deed::Binding { own: random.random_bool(0.5) },
        15 | 16 => foreign(random),
        _ => Deed::HangUp,
    }
}

/// An object of another cluster under a name that users use too.
fn foreign(random: &mut StdRng) -> Deed {
    let roots: Vec<usize> = (0..KINDS.len()).filter(|kind| KINDS[*kind].parent.is_none()).collect();
    let kind = roots[pick(random, roots.len())];
    let variant = random.random_range(0..3);
    Deed::Make(Wish { kind, name: "a".into(), variant, policy: Policy::default() }, true)
}
