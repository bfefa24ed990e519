//! Which cases there are. One is a line of text, and that line replays it.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{
    bases::{Base, bases},
    values::{Field, change, fields},
};

/// How the wrong spec comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The object is created with it, and then made good.
    Create,
    /// A good object gets it, and then the good spec again.
    Edit,
    /// A good object gets each change alone, then all, then the good spec, with no pause between.
    Rapid,
}

/// One thing to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Name of the base.
    pub base: String,
    /// How it comes about.
    pub how: How,
    /// Fields with the labels of what they get.
    pub changes: Vec<(String, String)>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = format!("{:?}", self.how).to_lowercase();
        let changes: Vec<String> = self.changes.iter().map(|(pointer, label)| format!("{pointer}={label}")).collect();
        write!(f, "{} {how} {}", self.base, changes.join(","))
    }
}

impl Case {
    /// Reads the line that a case prints.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let base = words.next()?.to_owned();
        let how = match words.next()? {
            "create" => How::Create,
            "edit" => How::Edit,
            "rapid" => How::Rapid,
            _ => return None,
        };
        let pair = |text: &str| text.split_once('=').map(|(pointer, label)| (pointer.to_owned(), label.to_owned()));
        let changes = words.next()?.split(',').map(pair).collect::<Option<Vec<_>>>()?;
        Some(Self { base, how, changes })
    }
}

/// Everything that can be tried.
pub struct Space {
    bases: Vec<(Base, BTreeMap<String, Field>)>,
}

impl Space {
    /// From our own schemas.
    pub fn new() -> Self {
        let known = |base: &Base| fields(base.kind).into_iter().map(|field| (field.pointer.clone(), field)).collect();
        Self { bases: bases().into_iter().map(|base| (known(&base), base)).map(|(f, b)| (b, f)).collect() }
    }

    /// The base of a case.
    pub fn base(&self, name: &str) -> &Base {
        &self.bases.iter().find(|(base, _)| base.name == name).expect("a base of ours").0
    }

    /// The specs that a case sends, the last with all of its changes.
    pub fn specs(&self, case: &Case) -> Vec<Value> {
        let (base, fields) = self.bases.iter().find(|(base, _)| base.name == case.base).expect("a base of ours");
        let made = |changes: &[(String, String)]| {
            let mut spec = base.spec.clone();
            for (pointer, label) in changes {
                let value = fields.get(pointer).and_then(|field| field.value(label));
                change(&mut spec, pointer, value.expect("a field and a label of ours").as_ref());
            }
            spec
        };
        let alone = case.changes.iter().map(|change| made(std::slice::from_ref(change)));
        let alone = if case.how == How::Rapid { alone.collect() } else { vec![] };
        alone.into_iter().chain([made(&case.changes)]).collect()
    }

    /// Each field with each of its values; at creation or as an edit in turn, and the other way with another seed.
    pub fn singles(&self, seed: u64) -> Vec<Case> {
        let mut cases = Vec::new();
        for (base, fields) in &self.bases {
            for field in fields.values() {
                for (label, _) in field.tries() {
                    let even = (cases.len() as u64 + seed).is_multiple_of(2);
                    let how = if even { How::Create } else { How::Edit };
                    cases.push(Case { base: base.name.into(), how, changes: vec![(field.pointer.clone(), label)] });
                }
            }
        }
        cases
    }

    /// All pairs of fields, each with two values drawn by the seed.
    pub fn pairs(&self, seed: u64) -> Vec<Case> {
        let mut dice = Dice(seed);
        let mut cases = Vec::new();
        for (base, fields) in &self.bases {
            let fields: Vec<&Field> = fields.values().collect();
            for (index, one) in fields.iter().enumerate() {
                for other in &fields[index + 1..] {
                    let how = [How::Create, How::Edit, How::Rapid][dice.below(3)];
                    let changes = [*one, *other].map(|field| {
                        let tries = field.tries();
                        (field.pointer.clone(), tries[dice.below(tries.len())].0.clone())
                    });
                    cases.push(Case { base: base.name.into(), how, changes: changes.to_vec() });
                }
            }
        }
        cases
    }
}

/// Random numbers that stay the same whatever library is used (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// The next one.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap_or(0)
    }

    /// In another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_cases_and_each_line_its_case() {
        let space = Space::new();
        let cases = || space.singles(3).into_iter().chain(space.pairs(3)).collect::<Vec<_>>();
        let first = cases();
        assert_eq!(first, cases());
        assert_ne!(space.pairs(3), space.pairs(4));
        for case in &first {
            assert_eq!(Case::parse(&case.to_string()).as_ref(), Some(case));
        }
        println!("{} singles, {} pairs", space.singles(3).len(), space.pairs(3).len());
    }

    #[test]
    fn every_kind_and_every_field_is_tried() {
        let tried = Space::new().singles(0);
        for (base, fields) in &Space::new().bases {
            for pointer in fields.keys() {
                let labels =
                    tried.iter().filter(|case| case.base == base.name && case.changes[0].0 == *pointer).count();
                assert!(labels >= 7, "{}{pointer}: {labels}", base.name);
            }
        }
        for definition in loopback_operator::crd::all() {
            let kind = &definition.spec.names.kind;
            assert!(bases().iter().any(|base| base.kind == kind), "{kind} has no base");
        }
    }
}
