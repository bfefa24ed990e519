//! What is served: domains, each an immutable tree of labels.

use std::{collections::BTreeMap, sync::Arc};

use hickory_proto::rr::Name as WireName;

use crate::rules::dns::{Name, RecordData, RecordType};

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
type Label = Box<[u8]>;
/// A name's labels in lower case, the rightmost first.
pub type Path = Vec<Label>;

/// The path of a name as it came from the wire.
pub fn path(name: &WireName) -> Path {
    let mut path: Path = name.iter().map(|label| label.to_ascii_lowercase().into()).collect();
    path.reverse();
    path
}

fn path_of(name: &Name) -> Path {
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

/// The records of a domain by name and type.
pub type Contents = BTreeMap<(Name, RecordType), Arc<RecordSet>>;

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Label, Node>,
    sets: BTreeMap<u16, Arc<RecordSet>>,
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
    /// The zone of a domain. `below` are further domains that are served beside it and are in it: the names down to them exist.
    #[must_use]
    pub fn build<'a>(
        domain: &Name,
        serial: u32,
        name_servers: &[Name],
        contents: &Contents,
        below: impl Iterator<Item = &'a Name>,
    ) -> Self {
        let depth = domain.labels().count();
        let mut root = Node::default();
        for ((name, of), set) in contents {
            root.down(path_of(name), depth).sets.insert(of.code(), Arc::clone(set));
        }
        for name in below {
            root.down(path_of(name), depth);
        }
        let soa = start_of_authority(domain, serial, name_servers);
        let servers = name_servers.iter().map(Name::wire).collect();
        root.sets.insert(NS, Arc::new(RecordSet { ttl: OWN_TTL, values: servers, target: None }));
        let negative = RecordSet { ttl: NEGATIVE_TTL.min(OWN_TTL), values: vec![soa.clone()], target: None };
        root.sets.insert(SOA, Arc::new(RecordSet { ttl: OWN_TTL, values: vec![soa], target: None }));
        // a name that was read has a form on the wire
        let apex = WireName::from_labels(domain.labels().map(str::as_bytes)).unwrap_or_default();
        Self { apex, serial, negative, depth, root }
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
    fn down(&mut self, path: Path, depth: usize) -> &mut Self {
        path.into_iter().skip(depth).fold(self, |node, label| node.children.entry(label).or_default())
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

/// RFC 1035 section 3.3.13.
fn start_of_authority(domain: &Name, serial: u32, name_servers: &[Name]) -> Vec<u8> {
    let mut soa = name_servers.first().unwrap_or(domain).wire();
    soa.extend_from_slice(b"\x0ahostmaster");
    soa.extend(domain.wire());
    let [refresh, retry, expire] = TIMES;
    for number in [serial, refresh, retry, expire, NEGATIVE_TTL] {
        soa.extend(number.to_be_bytes());
    }
    soa
}

/// All domains that are served.
#[derive(Debug, Default)]
pub struct Catalog {
    zones: BTreeMap<Path, Arc<Zone>>,
}

impl Catalog {
    /// Serves these.
    #[must_use]
    pub fn new(zones: impl Iterator<Item = Arc<Zone>>) -> Self {
        Self { zones: zones.map(|zone| (path(&zone.apex), zone)).collect() }
    }

    /// The zone that knows best about a name: the one whose domain has the most labels.
    #[must_use]
    pub fn closest(&self, name: &[Label]) -> Option<&Zone> {
        (1..=name.len()).rev().find_map(|labels| self.zones.get(name.get(..labels)?)).map(Arc::as_ref)
    }
}
