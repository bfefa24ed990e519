//! The plane: follows zones and records, serves what they come to, and says what became of each.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    assembly::{Assembled, Assembly, Writer, ZoneReport, parse},
    server::{Listeners, Served},
    zone::{Catalog, Contents, Zone as ServedZone},
};
use crate::{
    backend::plane::{IntentChange, Intents, Plane, PlaneProblem, Reporter},
    protocol::{
        Intent, Member, ObjectId, Phase, Project, RawObject, Revision,
        dns::{Record, RecordState, Zone, ZoneState},
    },
    rules::dns::{Name, NameProblem},
    runtime::{Drain, World},
};

/// The name server when nothing else is said: names below `localhost` are this machine everywhere (RFC 6761 section 6.3).
pub const NAME_SERVER: &str = "ns.localhost";

/// What the plane needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names under which the world finds this server, at least one; they stand in NS records and in the status of zones.
    pub name_servers: Vec<Name>,
}

/// The embedded plane.
pub struct DnsPlane {
    listeners: Listeners,
    options: Options,
    world: World,
}

impl DnsPlane {
    /// A plane that serves nothing yet.
    #[must_use]
    pub fn new(listeners: Listeners, options: Options, world: World) -> Self {
        Self { listeners, options, world }
    }
}

impl Plane for DnsPlane {
    async fn run(self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let served = Served::default();
        self.listeners.serve(&served, &drain);
        let mut work = Work::new(self.options, self.world, served, reality);
        let follow = async {
            while let Some(change) = intents.recv().await {
                work.take_in(change);
                // what came meanwhile is served together
                while let Ok(change) = intents.try_recv() {
                    work.take_in(change);
                }
                work.settle().await;
            }
            // no more changes: what is served stays
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = drain.wait() => {}
            () = follow => {}
        }
        Ok(())
    }
}

/// Why a stored object cannot be made real; the checks refuse all these.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("its intent has another shape: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("its domain or a pattern is no name: {0}")]
    Name(#[from] NameProblem),
    #[error("it belongs to no zone")]
    NoZone,
}

/// A domain as it is served.
struct Domain {
    contents: Contents,
    zone: Arc<ServedZone>,
}

/// What was reported of an object last.
type Told = (Revision, Value, BTreeMap<String, Member>);

struct Work {
    options: Options,
    world: World,
    served: Served,
    reality: Reporter,
    synced: bool,
    assembly: Assembly,
    revisions: BTreeMap<ObjectId, Revision>,
    domains: BTreeMap<Name, Domain>,
    /// The last serial number of each domain, also of those that are not served now: it must never go back (RFC 1982).
    serials: BTreeMap<Name, u32>,
    told: BTreeMap<ObjectId, Told>,
    /// Objects that are let go of as soon as they are served no more.
    leaving: Vec<ObjectId>,
}

impl Work {
    fn new(options: Options, world: World, served: Served, reality: Reporter) -> Self {
        Self {
            options,
            world,
            served,
            reality,
            synced: false,
            assembly: Assembly::default(),
            revisions: BTreeMap::new(),
            domains: BTreeMap::new(),
            serials: BTreeMap::new(),
            told: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    fn take_in(&mut self, change: IntentChange) {
        match change {
            IntentChange::Present { collection, project, object, .. } if object.phase == Phase::Live => {
                if let Err(problem) = self.present(&collection, &project, &object) {
                    tracing::error!(id = object.id, %problem, "cannot serve what was accepted");
                }
            }
            IntentChange::Present { object, .. } => {
                self.forget(&object.id);
                self.leaving.push(object.id);
            }
            IntentChange::Gone { id, .. } => self.forget(&id),
            IntentChange::Synced => self.synced = true,
        }
    }

    fn present(&mut self, collection: &str, project: &Project, object: &RawObject) -> Result<(), Unreadable> {
        let id = object.id.clone();
        if collection == Zone::COLLECTION {
            let writer = Writer::read(&project.name, &Zone::deserialize(&object.intent)?)?;
            let before = ZoneState::deserialize(&object.reality.state).unwrap_or_default().serial;
            let last = self.serials.entry(writer.domain.clone()).or_default();
            *last = before.max(*last);
            self.assembly.zones.insert(id.clone(), writer);
        } else {
            let zone = object.parent.clone().ok_or(Unreadable::NoZone)?;
            let parsed = parse(&Record::deserialize(&object.intent)?);
            self.assembly.records.insert(id.clone(), (zone, parsed));
        }
        self.revisions.insert(id, object.intent_revision);
        Ok(())
    }

    fn forget(&mut self, id: &str) {
        self.assembly.zones.remove(id);
        self.assembly.records.remove(id);
        self.revisions.remove(id);
        self.told.remove(id);
    }

    /// Serves what all comes to, then says so.
    async fn settle(&mut self) {
        if !self.synced {
            return;
        }
        let assembled = self.assembly.assemble();
        self.publish(&assembled);
        for id in std::mem::take(&mut self.leaving) {
            self.reality.released(&id).await;
        }
        self.report(assembled).await;
    }

    fn publish(&mut self, assembled: &Assembled) {
        let same_domains = assembled.domains.keys().eq(self.domains.keys());
        let mut before = std::mem::take(&mut self.domains);
        let mut news = !same_domains || self.served.load().is_none();
        for (name, contents) in &assembled.domains {
            let kept = before.remove(name).filter(|domain| same_domains && domain.contents == *contents);
            let domain = kept.unwrap_or_else(|| {
                news = true;
                let zone = self.build(name, contents, assembled);
                Domain { contents: contents.clone(), zone }
            });
            self.domains.insert(name.clone(), domain);
        }
        if news {
            let zones = self.domains.values().map(|domain| Arc::clone(&domain.zone));
            self.served.store(Some(Arc::new(Catalog::new(zones))));
        }
    }

    fn build(&mut self, name: &Name, contents: &Contents, assembled: &Assembled) -> Arc<ServedZone> {
        // seconds, as many name servers count: it grows over restarts, and a burst of changes runs ahead of the clock
        let now = u32::try_from(self.world.now().as_second()).unwrap_or(0);
        let serial = self.serials.entry(name.clone()).or_default();
        *serial = now.max(serial.saturating_add(1));
        let below = assembled.domains.keys().filter(|other| *other != name && other.is_within(name));
        Arc::new(ServedZone::build(name, *serial, &self.options.name_servers, contents, below))
    }

    async fn report(&mut self, assembled: Assembled) {
        for (id, report) in assembled.zones {
            let state = self.zone_state(&id, &report);
            self.tell(id, &state, report.members).await;
        }
        for (id, standing) in assembled.records {
            self.tell(id, &RecordState { standing }, BTreeMap::new()).await;
        }
    }

    fn zone_state(&self, id: &str, report: &ZoneReport) -> ZoneState {
        let domain = self.assembly.zones.get(id).and_then(|writer| self.domains.get(&writer.domain));
        ZoneState {
            name_servers: self.options.name_servers.iter().map(ToString::to_string).collect(),
            records: report.served,
            overlaps: report.overlaps.clone(),
            serial: domain.map_or(0, |domain| domain.zone.serial),
        }
    }

    async fn tell(&mut self, id: ObjectId, state: &impl Serialize, members: BTreeMap<String, Member>) {
        let (Some(of), Ok(state)) = (self.revisions.get(&id), serde_json::to_value(state)) else { return };
        let told = (*of, state, members);
        if self.told.get(&id) == Some(&told) {
            return;
        }
        let (of, state, members) = told.clone();
        self.told.insert(id.clone(), told);
        self.reality.report(&id, of, state, members).await;
    }
}
