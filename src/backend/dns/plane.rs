//! The plane: follows zones and records, serves what they come to, and says what became of each.

use std::{collections::BTreeMap, mem};

use serde::{Deserialize, Serialize};

use super::{
    assembly::{Assembled, Assembly, Moved, Writer, ZoneReport},
    record::parse,
    served::Served,
    server::Listeners,
    zone::Sets,
};
use crate::{
    backend::plane::{IntentChange, Intents, Plane, PlaneProblem, Reporter},
    protocol::{
        Intent, Member, ObjectId, Phase, Project, RawObject, Revision,
        dns::{Record, RecordState, Zone, ZoneState},
    },
    rules::dns::{Name, NameProblem},
    runtime::Drain,
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
}

impl DnsPlane {
    /// A plane that serves nothing yet.
    #[must_use]
    pub fn new(listeners: Listeners, options: Options) -> Self {
        Self { listeners, options }
    }
}

impl Plane for DnsPlane {
    async fn run(self, mut intents: Intents, reality: Reporter, drain: Drain) -> Result<(), PlaneProblem> {
        let served = Served::default();
        self.listeners.serve(&served, &drain);
        let mut work = Work::new(self.options, served, reality);
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

/// What was reported of a zone last.
type Told = (Revision, ZoneState, BTreeMap<String, Member>);

struct Work {
    options: Options,
    served: Served,
    reality: Reporter,
    synced: bool,
    assembly: Assembly,
    revisions: BTreeMap<ObjectId, Revision>,
    /// The newest revision that was seen. The serial numbers are taken from it: it grows with each change, and over restarts.
    newest: Revision,
    told: BTreeMap<ObjectId, Told>,
    /// The same for records, of which there are many.
    standings: BTreeMap<ObjectId, (Revision, Member)>,
    /// Objects that are let go of as soon as they are served no more.
    leaving: Vec<ObjectId>,
}

impl Work {
    fn new(options: Options, served: Served, reality: Reporter) -> Self {
        Self {
            options,
            served,
            reality,
            synced: false,
            assembly: Assembly::default(),
            revisions: BTreeMap::new(),
            newest: 0,
            told: BTreeMap::new(),
            standings: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    fn take_in(&mut self, change: IntentChange) {
        match change {
            IntentChange::Present { collection, project, object, .. } if object.phase == Phase::Live => {
                self.newest = self.newest.max(object.revision);
                if let Err(problem) = self.present(&collection, &project, &object) {
                    tracing::error!(id = object.id, %problem, "cannot serve what was accepted");
                }
            }
            IntentChange::Present { object, .. } => {
                self.newest = self.newest.max(object.revision);
                self.forget(&object.id);
                self.leaving.push(object.id);
            }
            IntentChange::Gone { id, .. } => self.forget(&id),
            IntentChange::Synced { revision } => {
                self.newest = self.newest.max(revision);
                self.synced = true;
            }
        }
    }

    fn present(&mut self, collection: &str, project: &Project, object: &RawObject) -> Result<(), Unreadable> {
        let id = object.id.clone();
        if collection == Zone::COLLECTION {
            self.assembly.put_zone(&id, Writer::read(&project.name, &Zone::deserialize(&object.intent)?)?);
        } else {
            let zone = object.parent.clone().ok_or(Unreadable::NoZone)?;
            self.assembly.put_record(&id, zone, parse(&Record::deserialize(&object.intent)?));
        }
        self.revisions.insert(id, object.intent_revision);
        Ok(())
    }

    fn forget(&mut self, id: &str) {
        self.assembly.remove(id);
        self.revisions.remove(id);
        self.told.remove(id);
        self.standings.remove(id);
    }

    /// Serves what all comes to, then says so.
    async fn settle(&mut self) {
        if !self.synced {
            return;
        }
        let Assembled { domains, names, records, zones } = self.assembly.settle();
        self.publish(&domains, names);
        for id in mem::take(&mut self.leaving) {
            self.reality.released(&id).await;
        }
        self.report_zones(zones).await;
        self.report_records(records).await;
    }

    fn publish(&mut self, domains: &Moved, names: Vec<(Name, Sets)>) {
        let serial = self.serial();
        let servers = &self.options.name_servers;
        self.served.change(|catalog| {
            domains.added.iter().for_each(|domain| catalog.add(domain, serial, servers));
            domains.removed.iter().for_each(|domain| catalog.remove(domain, serial));
            catalog.change(names, serial);
        });
    }

    /// The next serial number: each is used once (RFC 1982). What a crash may have lost is skipped by the store.
    #[allow(clippy::cast_possible_truncation, reason = "they are counted in a circle")]
    fn serial(&mut self) -> u32 {
        self.newest += 1;
        self.newest as u32
    }

    async fn report_zones(&mut self, zones: BTreeMap<ObjectId, ZoneReport>) {
        for (id, report) in zones {
            let Some(of) = self.revisions.get(&id) else { continue };
            let state = ZoneState {
                name_servers: self.options.name_servers.iter().map(ToString::to_string).collect(),
                records: report.served,
                unserved_records: report.unserved,
                overlaps: report.overlaps,
            };
            let now = (*of, state, report.members);
            if self.told.get(&id) != Some(&now) {
                self.told.insert(id.clone(), now.clone());
                self.tell(id, now.0, &now.1, now.2).await;
            }
        }
    }

    async fn report_records(&mut self, records: BTreeMap<ObjectId, Member>) {
        for (id, standing) in records {
            let Some(of) = self.revisions.get(&id) else { continue };
            let now = (*of, standing);
            if self.standings.get(&id) != Some(&now) {
                self.standings.insert(id.clone(), now.clone());
                self.tell(id, now.0, &RecordState { standing: now.1 }, BTreeMap::new()).await;
            }
        }
    }

    async fn tell(&self, id: ObjectId, of: Revision, state: &impl Serialize, members: BTreeMap<String, Member>) {
        match serde_json::to_value(state) {
            Ok(state) => self.reality.report(&id, of, state, members).await,
            Err(problem) => tracing::error!(id, %problem, "a state cannot be written"),
        }
    }
}
