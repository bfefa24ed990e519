//! From all zones and records to what is served and what each of them is worth. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::zone::{Contents, RecordSet};
use crate::{
    protocol::{
        Member, ObjectId,
        dns::{Overlap, Record, Zone, member},
    },
    rules::dns::{Name, NameProblem, Pattern, RecordType, SetProblem, TtlProblem, overlaps, parse_set, parse_ttl},
};

/// A record's intent as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub of: RecordType,
    /// Time to live and values.
    pub set: Arc<RecordSet>,
}

/// Why a record's intent cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// Its name.
    #[error("name: {0}")]
    Name(#[from] NameProblem),
    /// Its time to live.
    #[error("ttl: {0}")]
    Ttl(#[from] TtlProblem),
    /// Its values.
    #[error("values: {0}")]
    Values(#[from] SetProblem),
}

impl RecordProblem {
    /// JSON pointer of the field.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Name(_) => "/name".into(),
            Self::Ttl(_) => "/ttl".into(),
            Self::Values(SetProblem::Value { index, .. } | SetProblem::Twice(index)) => format!("/values/{index}"),
            Self::Values(_) => "/values".into(),
        }
    }
}

/// Reads a record's intent.
///
/// # Errors
/// The first field that is wrong.
pub fn parse(record: &Record) -> Result<Parsed, RecordProblem> {
    let name = Name::parse_owner(&record.name, record.of.alphabet())?;
    let ttl = parse_ttl(record.ttl.as_deref())?;
    let set = Arc::new(RecordSet::new(ttl, &parse_set(record.of, &record.values)?));
    Ok(Parsed { name, of: record.of, set })
}

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

/// Everything that is to be served.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Zones that are not being deleted, by id.
    pub zones: BTreeMap<ObjectId, Writer>,
    /// Records that are not being deleted, by id, with their zones' ids.
    pub records: BTreeMap<ObjectId, (ObjectId, Result<Parsed, RecordProblem>)>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Assembled {
    /// What is served, by domain.
    pub domains: BTreeMap<Name, Contents>,
    /// What became of each record.
    pub records: BTreeMap<ObjectId, Member>,
    /// What became of each zone.
    pub zones: BTreeMap<ObjectId, ZoneReport>,
}

/// What became of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneReport {
    /// Records of it that are served.
    pub served: u32,
    /// Zones of its project that overlap it.
    pub overlaps: Vec<Overlap>,
    /// Its records that are not served, by `name/TYPE`.
    pub members: BTreeMap<String, Member>,
}

/// Most records that are not served that a zone lists.
const LISTED: usize = 200;

impl Assembly {
    /// Decides what is served. Of two records that exclude each other the older one is, whose id comes first: what worked goes
    /// on working. A record that falls out of its zone's patterns makes room for one that does not.
    #[must_use]
    pub fn assemble(&self) -> Assembled {
        let mut all = Assembled {
            domains: self.zones.values().map(|zone| (zone.domain.clone(), Contents::new())).collect(),
            zones: self.zones.keys().map(|id| (id.clone(), self.report(id))).collect(),
            records: BTreeMap::new(),
        };
        let domains: BTreeSet<Name> = all.domains.keys().cloned().collect();
        let mut taken = BTreeMap::new();
        for (id, (zone_id, parsed)) in &self.records {
            let judged = self.admit(zone_id, parsed).and_then(|parsed| {
                not_at_apex(&domains, parsed)?;
                claim(&mut taken, id, parsed).map(|()| parsed)
            });
            let standing = match judged {
                Ok(parsed) => {
                    if let Some(contents) = home(&domains, &parsed.name).and_then(|home| all.domains.get_mut(&home)) {
                        contents.insert((parsed.name.clone(), parsed.of), Arc::clone(&parsed.set));
                    }
                    Member { state: member::SERVED.into(), ..Member::default() }
                }
                Err(refusal) => refusal,
            };
            if let Some(report) = all.zones.get_mut(zone_id) {
                note(report, id, parsed.as_ref().ok(), &standing);
            }
            all.records.insert(id.clone(), standing);
        }
        all
    }

    /// Whether a record can be served by itself.
    fn admit<'a>(&self, zone: &str, parsed: &'a Result<Parsed, RecordProblem>) -> Result<&'a Parsed, Member> {
        let zone = self.zones.get(zone).ok_or_else(|| {
            refused(
                member::ZONE_GONE,
                "its zone is being deleted; delete the record, or make it in another zone".into(),
            )
        })?;
        let parsed = parsed.as_ref().map_err(|problem| refused(member::INVALID, problem.to_string()))?;
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

    fn report(&self, id: &ObjectId) -> ZoneReport {
        let Some(ours) = self.zones.get(id) else { return ZoneReport::default() };
        let others = self.zones.iter().filter(|(other, zone)| *other != id && zone.project == ours.project);
        let overlap = |(id, theirs): (&ObjectId, &Writer)| {
            let patterns: BTreeSet<_> =
                overlaps(&ours.patterns, &theirs.patterns).into_iter().map(|(our, _)| our).collect();
            let patterns: Vec<_> = patterns.into_iter().map(ToString::to_string).collect();
            (!patterns.is_empty()).then(|| Overlap { id: id.clone(), name: theirs.name.clone(), patterns })
        };
        ZoneReport { overlaps: others.filter_map(overlap).collect(), ..ZoneReport::default() }
    }
}

/// Which record has a type at a name, by name and type.
type Taken = BTreeMap<Name, BTreeMap<RecordType, ObjectId>>;

fn claim(taken: &mut Taken, id: &ObjectId, parsed: &Parsed) -> Result<(), Member> {
    let types = taken.entry(parsed.name.clone()).or_default();
    let (name, of) = (&parsed.name, parsed.of);
    if let Some(older) = types.get(&of) {
        let message = format!("{name} has {of} records already, from the older record {older}: delete one of the two");
        return Err(refused(member::CONFLICT, message));
    }
    let other = types.iter().find(|(other, _)| (**other == RecordType::CNAME) != (of == RecordType::CNAME));
    if let Some((other, older)) = other {
        let message = format!(
            "a CNAME stands alone at its name, and {name} has {other} records already, from the older record {older}: \
             delete one of the two"
        );
        return Err(refused(member::CNAME_CONFLICT, message));
    }
    types.insert(of, id.clone());
    Ok(())
}

/// The apex has SOA and NS records, so it can be no alias (RFC 1912 section 2.4).
fn not_at_apex(domains: &BTreeSet<Name>, parsed: &Parsed) -> Result<(), Member> {
    if parsed.of != RecordType::CNAME || !domains.contains(&parsed.name) {
        return Ok(());
    }
    let message = format!("{} is a domain itself, and those cannot be an alias: write A and AAAA records", parsed.name);
    Err(refused(member::CNAME_CONFLICT, message))
}

/// The domain that answers for a name: the longest one that it is in.
fn home(domains: &BTreeSet<Name>, name: &Name) -> Option<Name> {
    std::iter::successors(Some(name.clone()), Name::parent).find(|name| domains.contains(name))
}

fn note(report: &mut ZoneReport, id: &ObjectId, parsed: Option<&Parsed>, standing: &Member) {
    if standing.state == member::SERVED {
        report.served += 1;
    } else if report.members.len() < LISTED {
        let path = parsed.map_or_else(|| id.clone(), |parsed| format!("{}/{}", parsed.name.key(), parsed.of));
        report.members.insert(path, standing.clone());
    }
}

fn refused(reason: &str, message: String) -> Member {
    Member { state: member::NOT_SERVED.into(), reason: reason.into(), message }
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
