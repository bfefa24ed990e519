//! Secrets that the backend mints: a delivery is announced, fetched, and acknowledged.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ObjectId;

/// A secret that was minted for an object, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// Identity of the secret: another one after it was issued anew.
    pub id: ObjectId,
    /// Whether its holder has yet to acknowledge it. Until then it can be fetched again and again, then never more.
    pub pending: bool,
}

/// Values of a secret by name, for instance `accessKeyId`. Never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretValues(pub BTreeMap<String, String>);

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Answer to GET `{id}/secret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    /// The delivery; give it back to acknowledge.
    pub id: ObjectId,
    /// The values.
    pub values: SecretValues,
}

/// Body of POST `{id}/secret/acknowledge` and of POST `{id}/reissue`: the delivery that the caller saw. One that is not the
/// present one is refused as stale, so a repeated call never loses or revokes a secret that the caller does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryRef {
    /// Its id.
    pub id: ObjectId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_printed() {
        let values =
            SecretValues(BTreeMap::from([("accessKeyId".into(), "AK1".into()), ("key".into(), "s3cr3t".into())]));
        let shown = format!("{:?}", Delivered { id: "sec-1".into(), values });
        assert!(shown.contains("accessKeyId") && !shown.contains("s3cr3t") && !shown.contains("AK1"), "{shown}");
    }
}
