//! Intents and realities of DNS: zones, which are authority over names of a domain, and the records in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Intent, Member, Members, ObjectId};
pub use crate::rules::dns::RecordType;

/// Authority to write names in part of a domain that the project's organization owns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Zone {
    /// The name that people know it by; need not be unique.
    pub name: String,
    /// The domain, absolute. One DNS zone is served for all zones of a domain. Never changes.
    pub domain: String,
    /// Names that its records may have, 1 to 64 of them: a name, or `*` as leftmost label for exactly one label.
    pub patterns: Vec<String>,
}

/// What is served of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneState {
    /// Names of the servers that answer for the domain.
    #[serde(default)]
    pub name_servers: Vec<String>,
    /// Its records that are served.
    #[serde(default)]
    pub records: u32,
    /// Its records that are not; the members list them, though not all of very many.
    #[serde(default)]
    pub unserved_records: u32,
    /// Zones of the same project that may write some of the same names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<Overlap>,
}

/// Another zone of the project that may write some of the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overlap {
    /// Id of the other zone.
    pub id: ObjectId,
    /// Its name.
    pub name: String,
    /// Patterns of this zone that cover names of the other.
    pub patterns: Vec<String>,
}

/// All values of one type at one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The name, absolute; a trailing dot is optional. Never changes.
    pub name: String,
    /// The type. Never changes.
    #[serde(rename = "type")]
    pub of: RecordType,
    /// Time to live, a GEP-2257 duration of whole seconds from 1s to 168h; absent: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// 1 to 256 values in the presentation format of the type (RFC 1035 section 5.1).
    pub values: Vec<String>,
}

/// Whether a record is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordState {
    /// State, reason and message.
    #[serde(flatten)]
    pub standing: Member,
}

/// What stands in a record's state, and in the members of its zone, whose paths are `name/TYPE`. A zone lists only records
/// that are not served.
pub mod member {
    /// The record is in the answers.
    pub const SERVED: &str = "Served";
    /// It is not; the reason is one of those below.
    pub const NOT_SERVED: &str = "NotServed";
    /// No pattern of its zone covers its name.
    pub const OUTSIDE_PATTERNS: &str = "OutsidePatterns";
    /// Name, time to live or values cannot be read.
    pub const INVALID: &str = "Invalid";
    /// An older record has its name and type.
    pub const CONFLICT: &str = "Conflict";
    /// A CNAME stands alone at its name (RFC 1034 section 3.6.2).
    pub const CNAME_CONFLICT: &str = "CnameConflict";
    /// Its zone is being deleted.
    pub const ZONE_GONE: &str = "ZoneGone";
}

impl Intent for Zone {
    type State = ZoneState;
    const COLLECTION: &'static str = "dns-zones";
    const PERMISSION: &'static str = "project.dns_zone";
    const MEMBERS: &'static [Members] = &[];
    const NAME_FIELD: &'static str = "name";
}

impl Intent for Record {
    type State = RecordState;
    const COLLECTION: &'static str = "dns-zones/records";
    // A key of its own, not implied by the zone's: who may write records need not be able to widen the patterns.
    const PERMISSION: &'static str = "project.dns_zone.record";
    const MEMBERS: &'static [Members] = &[];
    const NAME_FIELD: &'static str = "name";
    const PARENT: Option<&'static str> = Some(Zone::COLLECTION);
}
