//! The kinds that the server knows, and how paths name them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::schema::Schema;

/// Number of a kind, in the order in which they were registered.
pub type KindId = usize;

/// One kind.
#[derive(Debug)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    /// Whether `/status` is apart from the rest.
    pub status: bool,
    /// Whether its objects have a generation.
    pub generation: bool,
    /// Whether a PUT without a resource version is taken.
    pub unconditional: bool,
    /// Whether a PUT creates what is not there.
    pub put_creates: bool,
    /// Defined by a CustomResourceDefinition.
    pub custom: bool,
    pub schema: Arc<Schema>,
    /// Fields that a field selector may name, beside name and namespace; `None`: all.
    pub selectable: Option<Vec<String>>,
}

impl Kind {
    /// `v1` or `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `secrets` or `leases.coordination.k8s.io`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Secret` or `Lease.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    fn builtin(row: &Row, metadata: &Arc<Schema>) -> Self {
        let (group, version, plural, kind) = row.0;
        Self {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            kind: kind.into(),
            namespaced: row.1,
            status: matches!(plural, "namespaces" | "customresourcedefinitions" | "services"),
            generation: matches!(plural, "customresourcedefinitions" | "endpointslices"),
            unconditional: !matches!(plural, "customresourcedefinitions" | "leases"),
            put_creates: matches!(plural, "leases" | "events"),
            custom: false,
            schema: Schema::builtin(plural, metadata),
            selectable: None,
        }
    }

    /// The served version of a CustomResourceDefinition.
    pub fn custom(definition: &Value, metadata: &Arc<Schema>) -> Option<Self> {
        let text = |pointer: &str| Some(definition.pointer(pointer)?.as_str()?.to_owned());
        let versions = definition.pointer("/spec/versions")?.as_array()?;
        let version = versions.iter().find(|version| version["storage"] == true)?;
        let fields = version["selectableFields"].as_array().into_iter().flatten();
        let fields = fields.filter_map(|field| Some(field["jsonPath"].as_str()?.trim_start_matches('.').to_owned()));
        Some(Self {
            group: text("/spec/group")?,
            version: version["name"].as_str()?.to_owned(),
            plural: text("/spec/names/plural")?,
            kind: text("/spec/names/kind")?,
            namespaced: text("/spec/scope")? == "Namespaced",
            status: version.pointer("/subresources/status").is_some(),
            generation: true,
            unconditional: false,
            put_creates: false,
            custom: true,
            schema: Schema::custom(version.pointer("/schema/openAPIV3Schema")?, metadata),
            selectable: Some(fields.collect()),
        })
    }
}

type Row = ((&'static str, &'static str, &'static str, &'static str), bool);

const BUILTIN: &[Row] = &[
    (("", "v1", "namespaces", "Namespace"), false),
    (("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"), false),
    (("", "v1", "secrets", "Secret"), true),
    (("", "v1", "configmaps", "ConfigMap"), true),
    (("", "v1", "services", "Service"), true),
    (("", "v1", "serviceaccounts", "ServiceAccount"), true),
    (("events.k8s.io", "v1", "events", "Event"), true),
    (("coordination.k8s.io", "v1", "leases", "Lease"), true),
    (("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"), true),
    (("rbac.authorization.k8s.io", "v1", "roles", "Role"), true),
    (("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"), true),
    (("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole"), false),
    (("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding"), false),
];

/// Namespaces come first, definitions second.
pub const NAMESPACES: KindId = 0;
pub const DEFINITIONS: KindId = 1;

/// Kinds by number and by the place in a path.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    all: Vec<Arc<Kind>>,
    /// Group and version to plural to number.
    paths: BTreeMap<String, BTreeMap<String, KindId>>,
}

impl Kinds {
    /// The built-in kinds.
    pub fn builtin() -> Self {
        let metadata = Schema::metadata();
        let mut kinds = Self::default();
        for row in BUILTIN {
            kinds.add(Kind::builtin(row, &metadata));
        }
        kinds
    }

    /// Registers a kind, again under its old number when it was known.
    pub fn add(&mut self, kind: Kind) -> KindId {
        let same = |known: &Arc<Kind>| known.group == kind.group && known.plural == kind.plural;
        let id = self.all.iter().position(same).unwrap_or(self.all.len());
        self.paths.entry(kind.api_version()).or_default().insert(kind.plural.clone(), id);
        let kind = Arc::new(kind);
        if id == self.all.len() {
            self.all.push(kind);
        } else {
            self.all[id] = kind;
        }
        id
    }

    /// Stops serving a kind.
    pub fn remove(&mut self, id: KindId) {
        let kind = self.all[id].clone();
        if let Some(plurals) = self.paths.get_mut(&kind.api_version()) {
            plurals.remove(&kind.plural);
        }
    }

    pub fn get(&self, id: KindId) -> &Arc<Kind> {
        &self.all[id]
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The kind that a path names.
    pub fn at(&self, api_version: &str, plural: &str) -> Option<KindId> {
        // Core events are kept as the other group's; see `events`.
        if api_version == "v1" && plural == "events" {
            return self.at("events.k8s.io/v1", plural);
        }
        self.paths.get(api_version)?.get(plural).copied()
    }

    /// The kind that an owner reference names.
    pub fn named(&self, api_version: &str, kind: &str) -> Option<KindId> {
        let plurals = self.paths.get(api_version)?;
        plurals.values().copied().find(|id| self.all[*id].kind == kind)
    }
}
