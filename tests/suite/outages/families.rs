//! What users of the town want: objects of all kinds, roots with their children, and how each looks in each variant.

use serde_json::{Value, json};

use crate::rig::DOMAIN;

/// How many objects a family has.
pub const FAMILY: usize = 11;
/// How many variants of a spec there are.
pub const VARIANTS: u64 = 8;

/// One object that users may want.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its kind.
    pub kind: &'static str,
    /// Where the backend keeps what it stands for.
    pub collection: &'static str,
    /// Its name.
    pub name: String,
    /// The name of the root that it belongs to.
    pub root: Option<String>,
}

/// A root and its children, the root first.
pub type Clan = Vec<Member>;

/// The clans of one family.
pub fn family(number: usize) -> Vec<Clan> {
    vec![
        clan(("ProjectLoadBalancer", "load-balancers"), format!("b{number}"), None),
        clan(
            ("ObjectBucket", "object-stores"),
            format!("k{number}"),
            Some(("ObjectBucketCredential", "object-stores/credentials", 2)),
        ),
        clan(("ProjectDnsZone", "dns-zones"), format!("z{number}"), Some(("DnsRecord", "dns-zones/records", 3))),
        clan(
            ("MonitoringObject", "monitoring/objects"),
            format!("m{number}"),
            Some(("MonitoringCondition", "monitoring/conditions", 2)),
        ),
    ]
}

fn clan(
    (kind, collection): (&'static str, &'static str),
    name: String,
    children: Option<(&'static str, &'static str, usize)>,
) -> Clan {
    let mut clan = vec![Member { kind, collection, name: name.clone(), root: None }];
    if let Some((kind, collection, count)) = children {
        let child = |n| Member { kind, collection, name: format!("{name}-{n}"), root: Some(name.clone()) };
        clan.extend((0..count).map(child));
    }
    clan
}

impl Member {
    /// Its spec. `town` is the town's name.
    pub fn spec(&self, town: &str, variant: u64) -> Value {
        let (name, root) = (&self.name, self.root.as_deref().unwrap_or_default());
        match self.kind {
            "ProjectLoadBalancer" => json!({"services": [{"name": "web", "port": 18_080 + variant}],
                "targets": [{"name": "a", "address": "127.0.0.1", "port": 9}]}),
            "ObjectBucket" => json!({"bucketName": format!("{town}-{name}")}),
            "ObjectBucketCredential" => json!({"bucketRef": {"name": root}, "access": access(variant)}),
            "ProjectDnsZone" => json!({"domain": DOMAIN, "patterns":
                [format!("*.{name}.{town}.{DOMAIN}"), format!("v{variant}.{name}.{town}.{DOMAIN}")]}),
            "DnsRecord" => json!({"zoneRef": {"name": root}, "name": format!("{name}.{root}.{town}.{DOMAIN}"),
                "type": "A", "values": [format!("192.0.2.{}", variant + 1)]}),
            "MonitoringObject" => {
                json!({"type": "HTTP", "http": {"url": format!("http://127.0.0.1:9/{variant}")}, "interval": "1h"})
            }
            _ => {
                json!({"objectRef": {"name": root}, "parameter": "response.up", "operator": "LessThan", "threshold": 0,
                "for": format!("{}s", variant + 10)})
            }
        }
    }

    /// Whether an intent is what the spec of a variant leads to, as far as variants and objects differ.
    pub fn fits(&self, town: &str, variant: u64, intent: &Value) -> bool {
        let spec = self.spec(town, variant);
        match self.kind {
            "ProjectLoadBalancer" => intent["services"]["web"]["port"] == spec["services"][0]["port"],
            "ObjectBucket" => intent["bucketName"] == spec["bucketName"],
            "ObjectBucketCredential" => intent["access"] == spec["access"],
            "ProjectDnsZone" => intent["patterns"] == spec["patterns"],
            "DnsRecord" => intent["name"] == spec["name"] && intent["values"] == spec["values"],
            "MonitoringObject" => intent["http"]["url"] == spec["http"]["url"],
            _ => intent["for"] == spec["for"],
        }
    }
}

/// What the keys of a credential may do.
pub fn access(variant: u64) -> &'static str {
    ["ReadWrite", "ReadOnly", "WriteOnly"][(variant % 3) as usize]
}
