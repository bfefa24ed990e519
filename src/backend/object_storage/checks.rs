//! What the service decides when an intent is accepted: that a bucket's name is right and free, where it will be, and the
//! key pair of a credential.

use std::{collections::BTreeMap, net::Ipv4Addr};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::providers::Providers;
use crate::{
    backend::{
        checks::Checks,
        store::{Table, Transaction, key},
    },
    protocol::{
        Code, Intent, Problem, Project, SecretValues,
        object_storage::{
            Bucket, Credential,
            key_pair::{ACCESS_KEY, SECRET_KEY},
        },
    },
    runtime::World,
};

/// What the checks choose for a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChosenBucket {
    /// Its name, which is leased to it.
    pub bucket_name: String,
    /// Who keeps it.
    pub provider: String,
    /// Where.
    pub region: String,
}

/// The checks of the collection `object-stores`.
#[derive(Clone, Debug)]
pub struct BucketChecks {
    providers: Providers,
}

impl BucketChecks {
    /// Buckets at these providers.
    #[must_use]
    pub fn new(providers: Providers) -> Self {
        Self { providers }
    }
}

impl Checks for BucketChecks {
    fn accept(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        _: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem> {
        let intent: Bucket = read(intent)?;
        bucket_name(&intent.bucket_name)?;
        let (provider, region) = self.providers.choose(intent.provider.as_deref(), intent.region.as_deref())?;
        let before: Option<ChosenBucket> = before.map(read).transpose()?;
        if let Some(before) = before {
            same("/bucketName", &before.bucket_name, &intent.bucket_name)?;
            same("/provider", &before.provider, &provider)?;
            same("/region", &before.region, &region)?;
            return write(&before);
        }
        let lease = lease(&intent.bucket_name);
        if tx.get(Table::Leases, &lease)?.is_some_and(|holder| holder != id.as_bytes()) {
            let detail = format!("the bucket name {} is taken, maybe by another project", intent.bucket_name);
            return Err(Problem { field: Some("/bucketName".into()), ..Problem::new(Code::Conflict, detail) });
        }
        tx.put(Table::Leases, &lease, id.as_bytes().to_vec())?;
        write(&ChosenBucket { bucket_name: intent.bucket_name, provider, region })
    }

    fn release(&self, tx: &mut dyn Transaction, id: &str, chosen: &Value) -> Result<(), Problem> {
        let chosen: ChosenBucket = read(chosen)?;
        let lease = lease(&chosen.bucket_name);
        if tx.get(Table::Leases, &lease)?.is_some_and(|holder| holder == id.as_bytes()) {
            tx.delete(Table::Leases, &lease)?;
        }
        Ok(())
    }
}

fn same(field: &str, before: &str, now: &str) -> Result<(), Problem> {
    if before == now {
        return Ok(());
    }
    Err(Problem::invalid(field, format!("cannot be changed: it is {before}; delete the bucket and make another")))
}

fn lease(name: &str) -> Vec<u8> {
    key(&[Bucket::COLLECTION, "name", name])
}

/// The checks of the collection `object-stores/credentials`.
#[derive(Clone, Debug)]
pub struct CredentialChecks {
    world: World,
}

impl CredentialChecks {
    /// Key pairs from this world's randomness.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self { world }
    }
}

impl Checks for CredentialChecks {
    fn accept(
        &self,
        _: &mut dyn Transaction,
        _: &str,
        _: &Project,
        intent: &Value,
        _: Option<&Value>,
    ) -> Result<Value, Problem> {
        // Its shape is all there is to check; the access may be changed.
        read::<Credential>(intent).map(|_| Value::Null)
    }

    fn mint(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<Option<SecretValues>, Problem> {
        let (public, secret) = (self.world.secret(), self.world.secret());
        // 80 bits: 16 characters of S3's alphabet behind the usual four.
        let public = BASE32_NOPAD.encode(public.get(..10).unwrap_or_default());
        Ok(Some(SecretValues(BTreeMap::from([
            (ACCESS_KEY.to_owned(), format!("LPAK{public}")),
            (SECRET_KEY.to_owned(), BASE64URL_NOPAD.encode(secret.get(..30).unwrap_or_default())),
        ]))))
    }

    fn release(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<(), Problem> {
        Ok(())
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    T::deserialize(value).map_err(|problem| Problem::invalid("", problem.to_string()))
}

fn write<T: Serialize>(value: &T) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|problem| Problem::new(Code::Internal, problem.to_string()))
}

/// Refuses what S3 does not take as a bucket's name.
///
/// # Errors
/// With the rule that it breaks.
pub fn bucket_name(name: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|suffix| name.ends_with(suffix));
    let wrong = if !(3..=63).contains(&name.len()) {
        "must have 3 to 63 characters"
    } else if !name.chars().all(|c| plain(c) || c == '-' || c == '.') {
        "must be lower-case letters, digits, '-' and '.'"
    } else if !name.starts_with(plain) || !name.ends_with(plain) {
        "must begin and end with a letter or digit"
    } else if name.contains("..") {
        "must not have two dots in a row"
    } else if name.parse::<Ipv4Addr>().is_ok() {
        "must not look like an IP address"
    } else if reserved {
        "has a beginning or an end that S3 keeps for itself"
    } else {
        return Ok(());
    };
    Err(Problem::invalid("/bucketName", wrong))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::store::memory::Memory;

    #[test]
    fn names_of_buckets() {
        for good in ["abc", "shop-assets", "a.b-c.1", "1a2", &"a".repeat(63)] {
            assert!(bucket_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            &"a".repeat(64),
            "Abc",
            "a_b",
            "a b",
            "-ab",
            "ab-",
            ".ab",
            "ab.",
            "a..b",
            "10.0.0.1",
            "xn--a",
            "sthree-a",
            "a-s3alias",
            "a--ol-s3",
            "äbc",
            "a/b",
            "abc\0",
        ] {
            let problem = bucket_name(bad).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("/bucketName"), "{bad}");
        }
    }

    #[test]
    fn key_pairs_are_long_and_never_the_same() {
        let checks = CredentialChecks::new(World::real());
        let mint = || Memory::default().job(|tx| checks.mint(tx, "c", &Value::Null)).unwrap().unwrap().0;
        let (a, b) = (mint(), mint());
        assert_eq!((a[ACCESS_KEY].len(), a[SECRET_KEY].len()), (20, 40));
        assert!(a[ACCESS_KEY] != b[ACCESS_KEY] && a[SECRET_KEY] != b[SECRET_KEY]);
    }

    #[test]
    fn a_name_belongs_to_one_bucket_until_it_is_released() {
        let (checks, mut memory) = (BucketChecks::new(Providers::default()), Memory::default());
        let project = Project { id: "p".into(), name: "p".into(), organization: "o".into() };
        let intent = json!({"bucketName": "shop-assets"});
        let accept = |memory: &mut Memory, id: &str, intent: &Value, before: Option<&Value>| {
            memory.job(|tx| checks.accept(tx, id, &project, intent, before))
        };
        let chosen = accept(&mut memory, "os-1", &intent, None).unwrap();
        assert_eq!(chosen, json!({"bucketName": "shop-assets", "provider": "embedded", "region": "local-1"}));
        assert_eq!(accept(&mut memory, "os-1", &intent, Some(&chosen)).unwrap(), chosen);
        assert_eq!(accept(&mut memory, "os-2", &intent, None).unwrap_err().code, Code::Conflict);
        let renamed = accept(&mut memory, "os-1", &json!({"bucketName": "other"}), Some(&chosen)).unwrap_err();
        assert_eq!(renamed.field.as_deref(), Some("/bucketName"));
        let nowhere = accept(&mut memory, "os-3", &json!({"bucketName": "new", "region": "mars-1"}), None).unwrap_err();
        assert_eq!(nowhere.field.as_deref(), Some("/region"));
        memory.job(|tx| checks.release(tx, "os-2", &chosen)).unwrap();
        assert_eq!(accept(&mut memory, "os-2", &intent, None).unwrap_err().code, Code::Conflict);
        memory.job(|tx| checks.release(tx, "os-1", &chosen)).unwrap();
        accept(&mut memory, "os-2", &intent, None).unwrap();
    }
}
