//! Which zones of a project write beside each other: their patterns by where they stand. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::assembly::Writer;
use crate::{
    protocol::{ObjectId, dns::Overlap},
    rules::dns::{Pattern, overlaps},
};

/// Zones by project and by what their patterns end with, and there by the leftmost label.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<(String, String), Labels>);

type Labels = BTreeMap<String, BTreeSet<ObjectId>>;

impl Places {
    /// Takes in a zone.
    pub fn put(&mut self, id: &str, zone: &Writer) {
        for pattern in &zone.patterns {
            let labels = self.0.entry(parent(zone, pattern)).or_default();
            labels.entry(pattern.place().1.to_owned()).or_default().insert(id.to_owned());
        }
    }

    /// Lets go of a zone that was taken in as this.
    pub fn remove(&mut self, id: &str, zone: &Writer) {
        for pattern in &zone.patterns {
            let (parent, (_, label)) = (parent(zone, pattern), pattern.place());
            let Some(labels) = self.0.get_mut(&parent) else { continue };
            if let Some(ids) = labels.get_mut(label) {
                ids.remove(id);
                if ids.is_empty() {
                    labels.remove(label);
                }
            }
            if labels.is_empty() {
                self.0.remove(&parent);
            }
        }
    }

    /// The zones with a pattern that covers a name in common with one of this zone.
    pub fn beside(&self, zone: &Writer) -> BTreeSet<ObjectId> {
        let mut beside = BTreeSet::new();
        for pattern in &zone.patterns {
            let Some(labels) = self.0.get(&parent(zone, pattern)) else { continue };
            match pattern.place().1 {
                Pattern::STAR => beside.extend(labels.values().flatten().cloned()),
                label => {
                    let both = [label, Pattern::STAR].into_iter().filter_map(|label| labels.get(label));
                    beside.extend(both.flatten().cloned());
                }
            }
        }
        beside
    }
}

fn parent(zone: &Writer, pattern: &Pattern) -> (String, String) {
    (zone.project.clone(), pattern.place().0.to_owned())
}

/// What a zone has in common with another, if anything.
pub fn overlap(ours: &Writer, with: &str, theirs: &Writer) -> Option<Overlap> {
    let patterns: BTreeSet<_> = overlaps(&ours.patterns, &theirs.patterns).into_iter().map(|(our, _)| our).collect();
    let patterns: Vec<_> = patterns.into_iter().map(ToString::to_string).collect();
    (!patterns.is_empty()).then(|| Overlap { id: with.to_owned(), name: theirs.name.clone(), patterns })
}
