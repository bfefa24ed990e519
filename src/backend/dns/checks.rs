//! What the service decides when an intent is accepted: whether the organization owns the domain, and whether another project
//! may write some of the names already. What a record is worth beside others is the plane's to say, because it changes with them.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::record::parse;
use crate::{
    backend::{
        checks::Checks,
        store::{StoreProblem, Table, Transaction, View, decode, encode, key, prefix_end},
    },
    protocol::{
        Code, Intent, Problem, Project,
        dns::{Record, Zone},
    },
    rules::dns::{Alphabet, Name, Pattern},
};

/// Most patterns of a zone.
const MOST_PATTERNS: usize = 64;

/// The name of the organization that owns a domain.
pub type OwnerOf = fn(&dyn View, &str) -> Result<Option<String>, StoreProblem>;

/// The checks of the collection `dns-zones`.
#[derive(Clone, Copy, Debug)]
pub struct ZoneChecks {
    owner_of: OwnerOf,
}

/// Kept beside a zone's intent.
#[derive(Deserialize)]
struct Chosen {
    domain: String,
}

/// What a zone may write, for the checks of the others: kept by its id, which stands by each of its patterns.
#[derive(Serialize, Deserialize)]
struct Claim {
    project: String,
    organization: String,
    name: String,
    patterns: Vec<String>,
}

impl ZoneChecks {
    /// `owner_of`: who owns a domain.
    #[must_use]
    pub fn new(owner_of: OwnerOf) -> Self {
        Self { owner_of }
    }

    fn check_owner(&self, view: &dyn View, project: &Project, domain: &Name) -> Result<(), Problem> {
        for name in std::iter::successors(Some(domain.clone()), Name::parent) {
            match (self.owner_of)(view, name.key())? {
                Some(owner) if owner == project.organization => return Ok(()),
                // who it is is nobody else's business
                Some(_) => break,
                None => {}
            }
        }
        let detail = format!(
            "the organization {} does not own the domain {domain}: an administrator must give the domain to it, or choose a \
             domain that it owns",
            project.organization
        );
        Err(refused("/domain", detail))
    }
}

impl Checks for ZoneChecks {
    fn accept(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        project: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem> {
        let zone: Zone = read(intent)?;
        let domain = Name::parse(&zone.domain, Alphabet::Host)
            .map_err(|problem| Problem::invalid("/domain", problem.to_string()))?;
        if let Some(before) = before.map(read::<Chosen>).transpose()?
            && before.domain != domain.key()
        {
            return Err(Problem::invalid("/domain", format!("a zone keeps its domain {}", before.domain)));
        }
        let patterns = read_patterns(&zone, &domain)?;
        self.check_owner(tx, project, &domain)?;
        check_overlaps(tx, project, &patterns)?;
        let claim = Claim {
            project: project.name.clone(),
            organization: project.organization.clone(),
            name: zone.name,
            patterns: zone.patterns,
        };
        claim.put(tx, id)?;
        Ok(json!({"domain": domain.key()}))
    }

    fn release(&self, tx: &mut dyn Transaction, id: &str, _: &Value) -> Result<(), Problem> {
        Ok(Claim::remove(tx, id)?)
    }
}

fn read_patterns(zone: &Zone, domain: &Name) -> Result<Vec<Pattern>, Problem> {
    if zone.patterns.is_empty() || zone.patterns.len() > MOST_PATTERNS {
        return Err(Problem::invalid("/patterns", format!("a zone has 1 to {MOST_PATTERNS} patterns")));
    }
    let mut patterns: Vec<Pattern> = Vec::with_capacity(zone.patterns.len());
    for (index, text) in zone.patterns.iter().enumerate() {
        let wrong = |detail: String| Problem::invalid(format!("/patterns/{index}"), detail);
        let pattern = Pattern::parse(text).map_err(|problem| wrong(problem.to_string()))?;
        if !pattern.is_within(domain) {
            return Err(wrong(format!(
                "the pattern {pattern} is not in the domain {domain}: write one that ends with it"
            )));
        }
        if patterns.contains(&pattern) {
            return Err(wrong(format!("the pattern {pattern} stands there twice")));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

impl Claim {
    fn get(view: &dyn View, id: &str) -> Result<Option<Self>, StoreProblem> {
        view.get(Table::Leases, &claim_row(id))?.map(|bytes| decode(&bytes)).transpose()
    }

    fn put(&self, tx: &mut dyn Transaction, id: &str) -> Result<(), StoreProblem> {
        Self::remove(tx, id)?;
        for pattern in self.patterns() {
            tx.put(Table::Leases, &pattern_row(&pattern, id), self.project.clone().into_bytes())?;
        }
        tx.put(Table::Leases, &claim_row(id), encode(self)?)
    }

    fn remove(tx: &mut dyn Transaction, id: &str) -> Result<(), StoreProblem> {
        for pattern in Self::get(tx, id)?.iter().flat_map(Self::patterns) {
            tx.delete(Table::Leases, &pattern_row(&pattern, id))?;
        }
        tx.delete(Table::Leases, &claim_row(id))
    }

    fn patterns(&self) -> impl Iterator<Item = Pattern> {
        // they were read when they were accepted
        self.patterns.iter().filter_map(|text| Pattern::parse(text).ok())
    }
}

/// Inside one project zones may overlap; the plane tells them.
fn check_overlaps(tx: &dyn Transaction, project: &Project, patterns: &[Pattern]) -> Result<(), Problem> {
    for (index, our) in patterns.iter().enumerate() {
        let Some((claim, their)) = overlapping(tx, &project.name, our)? else { continue };
        let detail = if claim.organization == project.organization {
            format!(
                "the pattern {our} overlaps {their} of the zone {} in the project {}: narrow one of the two",
                claim.name, claim.project
            )
        } else {
            // organizations do not see each other
            format!("the pattern {our} overlaps {their} of a zone of another organization: narrow it")
        };
        return Err(refused(&format!("/patterns/{index}"), detail));
    }
    Ok(())
}

/// A zone of another project that may write a name that this pattern covers, and by which of its patterns. Costs what stands
/// beside the pattern, however many zones there are.
fn overlapping(view: &dyn View, project: &str, pattern: &Pattern) -> Result<Option<(Claim, Pattern)>, StoreProblem> {
    let (parent, label) = pattern.place();
    let all = [Zone::COLLECTION, "pattern", parent];
    let prefixes = match label {
        Pattern::STAR => vec![key(&all)],
        label => [label, Pattern::STAR].map(|label| key(&[&all[..], &[label]].concat())).into(),
    };
    for prefix in prefixes {
        for (row, holder) in view.scan(Table::Leases, &prefix, &prefix_end(&prefix), usize::MAX)? {
            if holder == project.as_bytes() {
                continue;
            }
            let Some(claim) = id_of(&row).map(|id| Claim::get(view, id)).transpose()?.flatten() else { continue };
            let their = claim.patterns().find(|their| their.overlaps(pattern));
            if let Some(their) = their {
                return Ok(Some((claim, their)));
            }
        }
    }
    Ok(None)
}

fn claim_row(id: &str) -> Vec<u8> {
    key(&[Zone::COLLECTION, "claim", id])
}

/// What a pattern ends with, its leftmost label, and whose it is.
fn pattern_row(pattern: &Pattern, id: &str) -> Vec<u8> {
    let (parent, label) = pattern.place();
    key(&[Zone::COLLECTION, "pattern", parent, label, id])
}

fn id_of(pattern_row: &[u8]) -> Option<&str> {
    std::str::from_utf8(pattern_row).ok()?.split('\0').nth(4)
}

/// The checks of the collection `dns-zones/records`.
#[derive(Clone, Copy, Debug)]
pub struct RecordChecks;

impl Checks for RecordChecks {
    fn accept(
        &self,
        _: &mut dyn Transaction,
        _: &str,
        _: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem> {
        let record: Record = read(intent)?;
        let parsed = parse(&record).map_err(|problem| Problem::invalid(problem.field(), problem.to_string()))?;
        let chosen = json!({"name": parsed.name.key(), "type": parsed.of});
        match before {
            Some(before) if *before != chosen => {
                Err(Problem::invalid("/name", "a record keeps its name and its type: make another record instead"))
            }
            _ => Ok(chosen),
        }
    }

    fn release(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<(), Problem> {
        Ok(())
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    T::deserialize(value).map_err(|problem| Problem::invalid("", problem.to_string()))
}

fn refused(field: &str, detail: String) -> Problem {
    Problem { field: Some(field.to_owned()), ..Problem::new(Code::Conflict, detail) }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
