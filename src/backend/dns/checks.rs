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
    rules::dns::{Alphabet, Name, Pattern, overlaps},
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

/// What a zone may write, for the checks of the others. Kept by domain, with the labels from right to left, so that the zones
/// of a domain and of those in it stand together.
#[derive(Serialize, Deserialize)]
struct Claim {
    id: String,
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
        check_overlaps(tx, id, project, &domain, &patterns)?;
        let claim = Claim {
            id: id.to_owned(),
            project: project.name.clone(),
            organization: project.organization.clone(),
            name: zone.name,
            patterns: zone.patterns,
        };
        tx.put(Table::Leases, &row(domain.key(), id), encode(&claim)?)?;
        Ok(json!({"domain": domain.key()}))
    }

    fn release(&self, tx: &mut dyn Transaction, id: &str, chosen: &Value) -> Result<(), Problem> {
        let chosen: Chosen = read(chosen)?;
        Ok(tx.delete(Table::Leases, &row(&chosen.domain, id))?)
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

/// Inside one project zones may overlap; the plane tells them.
fn check_overlaps(
    tx: &dyn Transaction,
    id: &str,
    project: &Project,
    domain: &Name,
    patterns: &[Pattern],
) -> Result<(), Problem> {
    for claim in claims_near(tx, domain)? {
        if claim.id == id || claim.project == project.name {
            continue;
        }
        let theirs: Vec<Pattern> = claim.patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
        let Some((our, their)) = overlaps(patterns, &theirs).first().copied() else { continue };
        let index = patterns.iter().position(|pattern| pattern == our).unwrap_or_default();
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

/// The zones of this domain, of those above it and of those in it.
fn claims_near(view: &dyn View, domain: &Name) -> Result<Vec<Claim>, Problem> {
    let labels: Vec<&str> = domain.key().split('.').rev().collect();
    let above = (1..labels.len()).map(|count| [labels.get(..count).unwrap_or_default(), &[""]].concat());
    let mut claims = Vec::new();
    for path in above.chain([labels.clone()]) {
        let from = key(&[&[Zone::COLLECTION, "domain"], &path[..]].concat());
        for (_, value) in view.scan(Table::Leases, &from, &prefix_end(&from), usize::MAX)? {
            claims.push(decode(&value)?);
        }
    }
    Ok(claims)
}

/// No label is empty, so the empty part ends the domain.
fn row(domain: &str, id: &str) -> Vec<u8> {
    let labels: Vec<&str> = domain.split('.').rev().collect();
    key(&[&[Zone::COLLECTION, "domain"], &labels[..], &["", id]].concat())
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
