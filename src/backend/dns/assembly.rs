//! From all zones and records to what is served and what each of them is worth. Pure.
//!
//! Names are judged one by one: a change costs what it touches, not what there is.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    mem,
    sync::Arc,
};

use super::{
    places::{Places, overlap},
    record::{Parsed, RecordProblem},
    zone::Sets,
};
use crate::{
    protocol::{
        Member, ObjectId,
        dns::{Overlap, Zone, member},
    },
    rules::dns::{Name, NameProblem, Pattern, RecordType},
};

/// A zone that may write.
#[derive(Clone, Debug, PartialEq)]
pub struct Writer {
    /// What people call it.
    pub name: String,
    /// Name of its project.
    pub project: String,
    /// Its domain.
    pub domain: Name,
    /// What it may write.
    pub patterns: Vec<Pattern>,
}

impl Writer {
    /// A zone's intent as it was read.
    ///
    /// # Errors
    /// Domain or a pattern is no name.
    pub fn read(project: &str, zone: &Zone) -> Result<Self, NameProblem> {
        Ok(Self {
            name: zone.name.clone(),
            project: project.to_owned(),
            domain: Name::parse(&zone.domain, crate::rules::dns::Alphabet::Underscore)?,
            patterns: zone.patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?,
        })
    }
}

/// A record that is not being deleted.
#[derive(Debug)]
struct Held {
    zone: ObjectId,
    parsed: Result<Parsed, RecordProblem>,
}

/// The records of one zone.
#[derive(Debug, Default)]
struct Kin {
    records: BTreeSet<ObjectId>,
    refused: BTreeMap<ObjectId, Member>,
}

/// Everything that is to be served.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Zones that are not being deleted.
    zones: BTreeMap<ObjectId, Writer>,
    /// Records that are not being deleted.
    records: BTreeMap<ObjectId, Held>,
    /// Records by their zones' ids.
    kin: BTreeMap<ObjectId, Kin>,
    /// Records by their names. Those whose name cannot be read are not in it.
    names: BTreeMap<Name, BTreeSet<ObjectId>>,
    /// Zones by their patterns.
    places: Places,
    /// The zones that overlap a zone.
    overlaps: BTreeMap<ObjectId, BTreeMap<ObjectId, Overlap>>,
    /// Domains of the zones, and how many zones each has.
    domains: BTreeMap<Name, usize>,
    /// The domains that were told.
    told: BTreeSet<Name>,
    touched: Touched,
}

/// What is to be judged again.
#[derive(Debug, Default)]
struct Touched {
    names: BTreeSet<Name>,
    /// Records whose name cannot be read.
    nameless: BTreeSet<ObjectId>,
    zones: BTreeSet<ObjectId>,
    domains: BTreeSet<Name>,
}

/// Domains that came and went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Those that have zones now.
    pub added: BTreeSet<Name>,
    /// Those that have none any more.
    pub removed: BTreeSet<Name>,
}

/// What came of the changes.
#[derive(Debug, Default)]
pub struct Assembled {
    /// How the domains changed.
    pub domains: Moved,
    /// What names have now that may have had something else.
    pub names: Vec<(Name, Sets)>,
    /// What became of records.
    pub records: BTreeMap<ObjectId, Member>,
    /// What became of zones.
    pub zones: BTreeMap<ObjectId, ZoneReport>,
}

/// What became of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneReport {
    /// Records of it that are served.
    pub served: u32,
    /// Records of it that are not.
    pub unserved: u32,
    /// Zones of its project that overlap it.
    pub overlaps: Vec<Overlap>,
    /// Its records that are not served, by `name/TYPE`; not all of very many.
    pub members: BTreeMap<String, Member>,
}

/// Most records that are not served that a zone lists.
const LISTED: usize = 200;

impl Assembly {
    /// Takes in a zone, or what it is now.
    pub fn put_zone(&mut self, id: &str, writer: Writer) {
        self.remove_zone(id);
        for other in self.places.beside(&writer) {
            let Some(theirs) = self.zones.get(&other) else { continue };
            for (of, our, with, their) in [(id, &writer, &*other, theirs), (&*other, theirs, id, &writer)] {
                if let Some(overlap) = overlap(our, with, their) {
                    self.overlaps.entry(of.to_owned()).or_default().insert(with.to_owned(), overlap);
                    self.touched.zones.insert(of.to_owned());
                }
            }
        }
        self.places.put(id, &writer);
        *self.domains.entry(writer.domain.clone()).or_default() += 1;
        self.touched.domains.insert(writer.domain.clone());
        self.zones.insert(id.to_owned(), writer);
        self.touch_zone(id);
    }

    /// Takes in a record, or what it is now.
    pub fn put_record(&mut self, id: &str, zone: ObjectId, parsed: Result<Parsed, RecordProblem>) {
        self.remove_record(id);
        match &parsed {
            Ok(parsed) => {
                self.names.entry(parsed.name.clone()).or_default().insert(id.to_owned());
                self.touched.names.insert(parsed.name.clone());
            }
            Err(_) => drop(self.touched.nameless.insert(id.to_owned())),
        }
        self.kin.entry(zone.clone()).or_default().records.insert(id.to_owned());
        self.touched.zones.insert(zone.clone());
        self.records.insert(id.to_owned(), Held { zone, parsed });
    }

    /// Lets go of a zone or a record.
    pub fn remove(&mut self, id: &str) {
        if !self.remove_zone(id) {
            self.remove_record(id);
        }
    }

    /// False when it is no zone.
    fn remove_zone(&mut self, id: &str) -> bool {
        let Some(writer) = self.zones.remove(id) else { return false };
        self.places.remove(id, &writer);
        if let Entry::Occupied(mut zones) = self.domains.entry(writer.domain.clone()) {
            *zones.get_mut() -= 1;
            if *zones.get() == 0 {
                zones.remove();
            }
        }
        self.touched.domains.insert(writer.domain);
        self.touch_zone(id);
        self.forget_overlaps(id);
        true
    }

    fn remove_record(&mut self, id: &str) {
        self.touched.nameless.remove(id);
        let Some(Held { zone, parsed }) = self.records.remove(id) else { return };
        if let Some(kin) = self.kin.get_mut(&zone) {
            kin.records.remove(id);
            kin.refused.remove(id);
            if kin.records.is_empty() {
                self.kin.remove(&zone);
            }
        }
        self.touched.zones.insert(zone);
        let Ok(Parsed { name, .. }) = parsed else { return };
        if let Some(beside) = self.names.get_mut(&name) {
            beside.remove(id);
            if beside.is_empty() {
                self.names.remove(&name);
            }
        }
        self.touched.names.insert(name);
    }

    /// All records of a zone are judged again.
    fn touch_zone(&mut self, id: &str) {
        self.touched.zones.insert(id.to_owned());
        for record in self.kin.get(id).into_iter().flat_map(|kin| &kin.records) {
            match self.records.get(record).map(|held| &held.parsed) {
                Some(Ok(parsed)) => drop(self.touched.names.insert(parsed.name.clone())),
                _ => drop(self.touched.nameless.insert(record.clone())),
            }
        }
    }

    fn forget_overlaps(&mut self, id: &str) {
        for other in self.overlaps.remove(id).unwrap_or_default().into_keys() {
            if let Some(theirs) = self.overlaps.get_mut(&other) {
                theirs.remove(id);
            }
            self.touched.zones.insert(other);
        }
    }

    /// Decides what is served where something changed since the last time. Of two records that exclude each other the older one
    /// is, whose id comes first: what worked goes on working. A record that falls out of its zone's patterns makes room for one
    /// that does not.
    #[must_use]
    pub fn settle(&mut self) -> Assembled {
        let domains = self.settle_domains();
        let Touched { mut names, nameless, mut zones, .. } = mem::take(&mut self.touched);
        // at a domain itself other records may be
        let moved = domains.added.iter().chain(&domains.removed);
        names.extend(moved.filter(|domain| self.names.contains_key(*domain)).cloned());
        let mut all = Assembled { domains, ..Assembled::default() };
        for name in names {
            let (sets, standings) = self.judge(&name);
            all.names.push((name, sets));
            all.records.extend(standings);
        }
        for id in nameless {
            let Some(held) = self.records.get(&id) else { continue };
            let standing = self.admit(held).map_or_else(|refusal| refusal, |_| served());
            all.records.insert(id, standing);
        }
        for (id, standing) in &all.records {
            zones.extend(self.note(id, standing));
        }
        all.zones = zones.into_iter().filter_map(|id| Some((id.clone(), self.report(&id)?))).collect();
        all
    }

    /// How the domains changed since they were told last.
    fn settle_domains(&mut self) -> Moved {
        let mut moved = Moved::default();
        for domain in mem::take(&mut self.touched.domains) {
            if self.domains.contains_key(&domain) {
                if self.told.insert(domain.clone()) {
                    moved.added.insert(domain);
                }
            } else if self.told.remove(&domain) {
                moved.removed.insert(domain);
            }
        }
        moved
    }

    /// What a name has, and what each of its records is worth.
    fn judge(&self, name: &Name) -> (Sets, Vec<(ObjectId, Member)>) {
        let (mut taken, mut sets, mut standings) = (Taken::new(), Sets::new(), Vec::new());
        for id in self.names.get(name).into_iter().flatten() {
            let Some(held) = self.records.get(id) else { continue };
            let judged = self.admit(held).and_then(|parsed| {
                self.not_at_apex(parsed)?;
                claim(&mut taken, id, parsed).map(|()| parsed)
            });
            let standing = match judged {
                Ok(parsed) => {
                    sets.insert(parsed.of.code(), Arc::clone(&parsed.set));
                    served()
                }
                Err(refusal) => refusal,
            };
            standings.push((id.clone(), standing));
        }
        (sets, standings)
    }

    /// Whether a record can be served by itself.
    fn admit<'a>(&self, held: &'a Held) -> Result<&'a Parsed, Member> {
        let zone = self.zones.get(&held.zone).ok_or_else(|| {
            refused(
                member::ZONE_GONE,
                "its zone is being deleted; delete the record, or make it in another zone".into(),
            )
        })?;
        let parsed = held.parsed.as_ref().map_err(|problem| refused(member::INVALID, problem.to_string()))?;
        if zone.patterns.iter().any(|pattern| pattern.matches(&parsed.name)) {
            return Ok(parsed);
        }
        let patterns = zone.patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(refused(
            member::OUTSIDE_PATTERNS,
            format!(
                "{} is covered by no pattern of its zone {} ({patterns}): rename the record, or add a pattern to the zone",
                parsed.name, zone.name
            ),
        ))
    }

    /// The apex has SOA and NS records, so it can be no alias (RFC 1912 section 2.4).
    fn not_at_apex(&self, parsed: &Parsed) -> Result<(), Member> {
        let apex = self.domains.contains_key(&parsed.name);
        if parsed.of != RecordType::CNAME || !apex {
            return Ok(());
        }
        let message =
            format!("{} is a domain itself, and those cannot be an alias: write A and AAAA records", parsed.name);
        Err(refused(member::CNAME_CONFLICT, message))
    }

    /// Keeps what became of a record; tells its zone when that is news to it.
    fn note(&mut self, id: &str, standing: &Member) -> Option<ObjectId> {
        let zone = &self.records.get(id)?.zone;
        let refused = &mut self.kin.get_mut(zone)?.refused;
        let news = match refused.get(id) {
            Some(before) => before != standing,
            None => standing.state != member::SERVED,
        };
        if standing.state == member::SERVED {
            refused.remove(id);
        } else if news {
            refused.insert(id.to_owned(), standing.clone());
        }
        news.then(|| zone.clone())
    }

    fn report(&self, id: &ObjectId) -> Option<ZoneReport> {
        self.zones.get(id)?;
        let overlaps = self.overlaps.get(id).into_iter().flat_map(BTreeMap::values).cloned().collect();
        let Some(kin) = self.kin.get(id) else { return Some(ZoneReport { overlaps, ..ZoneReport::default() }) };
        let path = |id: &ObjectId| match self.records.get(id).map(|held| &held.parsed) {
            Some(Ok(parsed)) => format!("{}/{}", parsed.name.key(), parsed.of),
            _ => id.clone(),
        };
        let members = kin.refused.iter().take(LISTED).map(|(id, standing)| (path(id), standing.clone())).collect();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let unserved = count(kin.refused.len());
        Some(ZoneReport { served: count(kin.records.len()).saturating_sub(unserved), unserved, overlaps, members })
    }
}

fn served() -> Member {
    Member { state: member::SERVED.into(), ..Member::default() }
}

/// Which record has each type at a name.
type Taken = BTreeMap<RecordType, ObjectId>;

fn claim(taken: &mut Taken, id: &ObjectId, parsed: &Parsed) -> Result<(), Member> {
    let (name, of) = (&parsed.name, parsed.of);
    if let Some(older) = taken.get(&of) {
        let message = format!("{name} has {of} records already, from the older record {older}: delete one of the two");
        return Err(refused(member::CONFLICT, message));
    }
    let other = taken.iter().find(|(other, _)| (**other == RecordType::CNAME) != (of == RecordType::CNAME));
    if let Some((other, older)) = other {
        let message = format!(
            "a CNAME stands alone at its name, and {name} has {other} records already, from the older record {older}: \
             delete one of the two"
        );
        return Err(refused(member::CNAME_CONFLICT, message));
    }
    taken.insert(of, id.clone());
    Ok(())
}

fn refused(reason: &str, message: String) -> Member {
    Member { state: member::NOT_SERVED.into(), reason: reason.into(), message }
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
