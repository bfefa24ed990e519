//! `ProjectBinding`: binds a namespace to a Loopback project.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    DEFAULT_NAME,
    conditions::Condition,
    references::{LocalReference, SecretKeyReference},
    schema,
};

/// Binds this namespace to a project of a Loopback organization: what is created here under this binding lives in that
/// project. Either a LoopbackBackend lends its token, which needs a grant there, or the namespace brings a token of its own.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loopback.cloud",
    version = "v1alpha1",
    kind = "ProjectBinding",
    namespaced,
    shortname = "lpp",
    category = "loopback",
    status = "ProjectBindingStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.backendRef.name"
)]
#[schemars(extend("x-kubernetes-validations" = spec_rules()))]
pub struct ProjectBindingSpec {
    /// Name of the organization that owns the project. Cannot be changed.
    #[schemars(schema_with = "schema::label_name")]
    pub organization: String,
    /// Name of the project. Cannot be changed.
    #[schemars(schema_with = "schema::label_name")]
    pub project: String,
    /// The LoopbackBackend whose address and token are used; one of its grants must cover this namespace, organization and
    /// project. Absent, together with `url` and `tokenSecretRef`: the LoopbackBackend named `default`. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_ref: Option<LocalReference>,
    /// Where the API of a backend is that no LoopbackBackend describes, for example `https://api.example.com`. Goes with
    /// `tokenSecretRef`, because no token is ever lent to an address from here. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::url")]
    pub url: Option<String>,
    /// A token of this namespace's own, in a Secret here; then no grant is needed. Without `url` it is used at the
    /// operator's own backend. May be changed to another Secret at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyReference>,
}

fn spec_rules() -> Value {
    schema::joined([
        schema::immutable("organization"),
        schema::immutable("project"),
        schema::immutable("backendRef"),
        schema::immutable("url"),
        schema::field_rules(&[
            (
                "tokenSecretRef",
                "has(self.url) || has(self.tokenSecretRef) == has(oldSelf.tokenSecretRef)",
                "without url, tokenSecretRef cannot be added or removed, because it decides which backend is used; \
                 it may name another Secret",
            ),
            (
                "backendRef",
                "!(has(self.backendRef) && has(self.url))",
                "backendRef and url exclude each other: a LoopbackBackend brings its own address",
            ),
            (
                "backendRef",
                "!(has(self.backendRef) && has(self.tokenSecretRef))",
                "backendRef and tokenSecretRef exclude each other: a LoopbackBackend brings its own token",
            ),
        ]),
    ])
}

/// Where a binding's backend and token come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// From this LoopbackBackend, under a grant.
    Lent {
        /// Its name.
        backend: &'a str,
    },
    /// The namespace's own token at this address, or at the operator's own backend when there is none.
    Own {
        /// Where the API is.
        url: Option<&'a str>,
        /// Where the token is.
        token: &'a SecretKeyReference,
    },
    /// An address without a token of its own: nothing is sent anywhere.
    TokenMissing,
}

impl ProjectBindingSpec {
    /// Where backend and token come from.
    #[must_use]
    pub fn connection(&self) -> Connection<'_> {
        match (&self.backend_ref, &self.url, &self.token_secret_ref) {
            (Some(backend), ..) => Connection::Lent { backend: &backend.name },
            (None, url, Some(token)) => Connection::Own { url: url.as_deref(), token },
            (None, Some(_), None) => Connection::TokenMissing,
            (None, None, None) => Connection::Lent { backend: DEFAULT_NAME },
        }
    }
}

/// What the operator knows about the project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectBindingStatus {
    /// The generation of the spec that this status speaks about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `loopback.cloud/reconcile-requested-at` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub last_handled_reconcile_at: Option<String>,
    /// What is true of it: Ready, Synced, and, only while true, Reconciling, Stalled, Degraded and Paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The project's id in the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::text")]
    pub project_id: Option<String>,
    /// What the token may and may not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
}

/// What a token may and may not do in the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Permission keys that the operator can use and the token lacks, for example
    /// `project.load_balancer:create`. Only kinds that need one of them are held up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::text_set")]
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_follows_what_is_written() {
        let token = SecretKeyReference { name: "t".into(), key: "token".into() };
        let own = Some(token.clone());
        let url = Some("https://api.example.com".to_owned());
        let backend_ref = Some(LocalReference { name: "eu".into() });
        let spec = ProjectBindingSpec::default();
        assert_eq!(spec.connection(), Connection::Lent { backend: "default" });
        let spec = ProjectBindingSpec { backend_ref, ..Default::default() };
        assert_eq!(spec.connection(), Connection::Lent { backend: "eu" });
        let spec = ProjectBindingSpec { token_secret_ref: own.clone(), ..Default::default() };
        assert_eq!(spec.connection(), Connection::Own { url: None, token: &token });
        let spec = ProjectBindingSpec { url: url.clone(), token_secret_ref: own, ..Default::default() };
        assert_eq!(spec.connection(), Connection::Own { url: url.as_deref(), token: &token });
        let spec = ProjectBindingSpec { url: url.clone(), ..Default::default() };
        assert_eq!(spec.connection(), Connection::TokenMissing);
    }
}
