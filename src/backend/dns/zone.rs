//! One domain: a tree of labels.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
};

use hickory_proto::rr::Name as WireName;

use crate::rules::dns::{Name, RecordData};

/// Number of the type SOA.
pub const SOA: u16 = 6;
/// Number of the type NS.
pub const NS: u16 = 2;
/// Number of the type CNAME.
pub const CNAME: u16 = 5;
/// Time to live of the records that the server makes itself.
const OWN_TTL: u32 = 3600;
/// Longest time for which it is remembered that something does not exist (RFC 2308 section 5): what is made shall be seen soon.
const NEGATIVE_TTL: u32 = 60;
/// Refresh, retry and expire of the SOA record. Nobody transfers the zone; the numbers are those that RFC 1912 recommends.
const TIMES: [u32; 3] = [3600, 600, 1_209_600];

/// A label in lower case.
pub type Label = Box<[u8]>;
/// A name's labels in lower case, the rightmost first.
pub type Path = Vec<Label>;

/// The path of a name as it came from the wire.
pub fn path(name: &WireName) -> Path {
    let mut path: Path = name.iter().map(|label| label.to_ascii_lowercase().into()).collect();
    path.reverse();
    path
}

/// The path of a name.
pub fn path_of(name: &Name) -> Path {
    name.labels().rev().map(|label| label.to_ascii_lowercase().into_bytes().into()).collect()
}

/// All records of one type at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// Time to live in seconds.
    pub ttl: u32,
    /// Values as they go on the wire.
    pub values: Vec<Vec<u8>>,
    /// Where a CNAME points.
    pub target: Option<WireName>,
}

impl RecordSet {
    /// The set of these values.
    #[must_use]
    pub fn new(ttl: u32, data: &[RecordData]) -> Self {
        let target = data.iter().find_map(|value| match value {
            RecordData::CNAME(name) => WireName::from_labels(name.labels().map(str::as_bytes)).ok(),
            _ => None,
        });
        Self { ttl, values: data.iter().map(RecordData::wire).collect(), target }
    }
}

/// All records of one name, by the number of the type.
pub type Sets = BTreeMap<u16, Arc<RecordSet>>;

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Label, Node>,
    sets: Sets,
    /// Whether it exists though there is nothing at it or below it.
    kept: bool,
}

/// One domain.
#[derive(Debug)]
pub struct Zone {
    /// Its name.
    pub apex: WireName,
    /// Its serial number.
    pub serial: u32,
    /// The SOA record with the time to live that it has in negative answers.
    pub negative: RecordSet,
    /// The SOA record without its numbers.
    authority: Vec<u8>,
    depth: usize,
    root: Node,
}

/// What a zone says about a name and a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The number of the type, and the records.
    Set(u16, &'a RecordSet),
    /// The name is an alias (RFC 1034 section 3.6.2).
    Alias(&'a RecordSet),
    /// The name exists, but has nothing of the type (RFC 2308 section 2.2).
    NoData,
    /// The name does not exist, nor anything below it (RFC 8020).
    NoName,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of one type.
    Type(u16),
    /// Any (RFC 8482).
    Any,
}

impl Zone {
    /// A domain with nothing in it but its own records.
    #[must_use]
    pub fn new(domain: &Name, serial: u32, name_servers: &[Name]) -> Self {
        let depth = domain.labels().count();
        let mut root = Node::default();
        let servers = name_servers.iter().map(Name::wire).collect();
        root.sets.insert(NS, Arc::new(RecordSet { ttl: OWN_TTL, values: servers, target: None }));
        // a name that was read has a form on the wire
        let apex = WireName::from_labels(domain.labels().map(str::as_bytes)).unwrap_or_default();
        let negative = RecordSet { ttl: NEGATIVE_TTL.min(OWN_TTL), values: Vec::new(), target: None };
        let mut zone = Self { apex, serial, negative, authority: authority(domain, name_servers), depth, root };
        zone.stamp(serial);
        zone
    }

    /// How many labels its name has.
    #[must_use]
    pub fn labels(&self) -> usize {
        self.depth
    }

    /// Gives a name these records and no others, the zone's own aside. False when it had them already.
    pub fn put(&mut self, name: &Name, sets: Sets) -> bool {
        self.root.put(path_of(name).get(self.depth..).unwrap_or_default(), sets)
    }

    /// A domain in it is served beside it: the names down to there exist.
    pub fn mark(&mut self, domain: &[Label]) {
        self.root.down(self.depth, domain).kept = true;
    }

    /// What it has in the domain of another zone, which has nothing yet, goes there.
    pub fn hand_over(&mut self, domain: &[Label], to: &mut Self) {
        let node = self.root.down(self.depth, domain);
        to.root.children = mem::take(&mut node.children);
        to.root.put(&[], mem::take(&mut node.sets));
    }

    /// A domain in it is served beside it no more: it takes what that had, the domain's own records aside.
    pub fn unmark(&mut self, domain: &[Label], of: Option<Self>) {
        let inside = of.map(|zone| zone.root.without_own());
        self.root.unmark(domain.get(self.depth..).unwrap_or_default(), inside);
    }

    /// Gives the zone another serial number.
    pub fn stamp(&mut self, serial: u32) {
        self.serial = serial;
        let mut soa = self.authority.clone();
        let [refresh, retry, expire] = TIMES;
        for number in [serial, refresh, retry, expire, NEGATIVE_TTL] {
            soa.extend(number.to_be_bytes());
        }
        self.negative.values = vec![soa.clone()];
        self.root.sets.insert(SOA, Arc::new(RecordSet { ttl: OWN_TTL, values: vec![soa], target: None }));
    }

    /// What the zone says about a name in it: RFC 1034 section 4.3.2, with the wildcards of RFC 4592.
    #[must_use]
    pub fn find(&self, name: &[Label], wanted: Wanted) -> Found<'_> {
        let mut node = &self.root;
        for label in name.get(self.depth..).unwrap_or_default() {
            match node.children.get(label) {
                Some(child) => node = child,
                // `node` is the closest encloser; only a wildcard right below it counts (RFC 4592 section 3.3.1)
                None => return node.children.get(&b"*"[..]).map_or(Found::NoName, |star| star.answer(wanted)),
            }
        }
        node.answer(wanted)
    }
}

impl Node {
    fn down(&mut self, depth: usize, path: &[Label]) -> &mut Self {
        path.iter().skip(depth).fold(self, |node, label| node.children.entry(label.clone()).or_default())
    }

    fn without_own(mut self) -> Self {
        self.sets.retain(|of, _| ![SOA, NS].contains(of));
        self
    }

    fn unmark(&mut self, path: &[Label], inside: Option<Self>) {
        let Some((label, rest)) = path.split_first() else {
            *self = Self { kept: false, ..inside.unwrap_or_else(|| mem::take(self)) };
            return;
        };
        let Some(child) = self.children.get_mut(label) else { return };
        child.unmark(rest, inside);
        self.prune(label);
    }

    /// A name that has nothing, and nothing below it, does not exist.
    fn prune(&mut self, label: &Label) {
        let nothing = |child: &Self| child.sets.is_empty() && child.children.is_empty() && !child.kept;
        if self.children.get(label).is_some_and(nothing) {
            self.children.remove(label);
        }
    }

    fn put(&mut self, path: &[Label], mut sets: Sets) -> bool {
        let Some((label, rest)) = path.split_first() else {
            for own in [SOA, NS] {
                sets.extend(self.sets.get(&own).map(|set| (own, Arc::clone(set))));
            }
            let news = self.sets != sets;
            self.sets = sets;
            return news;
        };
        if sets.is_empty() && !self.children.contains_key(label) {
            return false;
        }
        let child = self.children.entry(label.clone()).or_default();
        let news = child.put(rest, sets);
        self.prune(label);
        news
    }

    fn answer(&self, wanted: Wanted) -> Found<'_> {
        let set = match wanted {
            Wanted::Type(of) => self.sets.get_key_value(&of),
            // one set will do (RFC 8482 section 4.1)
            Wanted::Any => self.sets.first_key_value(),
        };
        match (set, self.sets.get(&CNAME)) {
            (Some((of, set)), _) => Found::Set(*of, set),
            (None, Some(alias)) => Found::Alias(alias),
            (None, None) => Found::NoData,
        }
    }
}

/// RFC 1035 section 3.3.13, up to the numbers.
fn authority(domain: &Name, name_servers: &[Name]) -> Vec<u8> {
    let server = name_servers.first().unwrap_or(domain).wire();
    [&server[..], b"\x0ahostmaster", &domain.wire()].concat()
}
