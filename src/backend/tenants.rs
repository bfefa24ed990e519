//! Organizations, projects and tokens: pure functions on a transaction.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::store::{StoreProblem, Table, Transaction, View, decode, encode, key, prefix_end};
use crate::protocol::{Code, ObjectId, Organization, Problem, Project, TokenView};

/// Longest description of a token, in bytes.
pub const DESCRIPTION_LIMIT: usize = 256;
/// Most rules of a token.
pub const RULES_LIMIT: usize = 512;

/// Whether something was made by this call, or existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    Now,
    /// It existed.
    Before,
}

/// Refuses what is no DNS label (RFC 1123 section 2.1, lower case).
///
/// # Errors
/// [`Code::Invalid`] with `pointer`.
pub fn check_label(text: &str, pointer: &str) -> Result<(), Problem> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = text.as_bytes();
    let label =
        (1..=63).contains(&bytes.len()) && bytes.iter().all(|b| inner(*b)) && edge(bytes.first()) && edge(bytes.last());
    if label {
        return Ok(());
    }
    Err(Problem::invalid(pointer, "must be a DNS label: 1 to 63 of a-z, 0-9 and -, not - at the ends"))
}

/// The organization of that name; made under `id` when there is none.
///
/// # Errors
/// When the name is no DNS label.
pub fn ensure_organization(tx: &mut dyn Transaction, id: &str, name: &str) -> Result<(Organization, Made), Problem> {
    check_label(name, "/organization")?;
    if let Some(organization) = organization(tx, name)? {
        return Ok((organization, Made::Before));
    }
    let organization = Organization { id: id.to_owned(), name: name.to_owned() };
    tx.put(Table::Organizations, &key(&[name]), encode(&organization)?)?;
    Ok((organization, Made::Now))
}

/// The project of that name in that organization; made under `id` when there is none.
///
/// # Errors
/// When the name is no DNS label or in use in another organization, or the organization does not exist.
pub fn ensure_project(
    tx: &mut dyn Transaction,
    id: &str,
    organization_name: &str,
    name: &str,
) -> Result<(Project, Made), Problem> {
    check_label(name, "/project")?;
    if organization(tx, organization_name)?.is_none() {
        return Err(Problem::not_found(format_args!("organization {organization_name:?}")));
    }
    match project(tx, name)? {
        Some(project) if project.organization == organization_name => Ok((project, Made::Before)),
        Some(_) => Err(Problem::new(Code::Conflict, format!("the project name {name} is in use; take another"))),
        None => {
            let organization = organization_name.to_owned();
            let project = Project { id: id.to_owned(), name: name.to_owned(), organization };
            tx.put(Table::Projects, &key(&[name]), encode(&project)?)?;
            Ok((project, Made::Now))
        }
    }
}

/// The organization of that name.
///
/// # Errors
/// When the store fails.
pub fn organization(view: &dyn View, name: &str) -> Result<Option<Organization>, StoreProblem> {
    row(view, Table::Organizations, name)
}

/// The project of that name.
///
/// # Errors
/// When the store fails.
pub fn project(view: &dyn View, name: &str) -> Result<Option<Project>, StoreProblem> {
    row(view, Table::Projects, name)
}

/// A token as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredToken {
    /// What it is for and what it may do.
    pub view: TokenView,
    hash: String,
}

impl StoredToken {
    /// Whether what was shown opens it.
    #[must_use]
    pub fn opens(&self, credential: &Credential) -> bool {
        same(self.hash.as_bytes(), credential.hash.as_bytes())
    }
}

impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredToken").field("view", &self.view).finish_non_exhaustive()
    }
}

/// What a caller showed: the id of a token, and the hash of the secret that came with it.
#[derive(Clone)]
pub struct Credential {
    /// Id of the token.
    pub id: ObjectId,
    hash: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).finish_non_exhaustive()
    }
}

const TOKEN_PREFIX: &str = "lbt_";

impl Credential {
    /// Takes a bearer token apart: `lbt_ID_SECRET`.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        let (id, secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let fits = !id.is_empty() && id.len() <= 64 && secret.len() == 64 && plain(id) && plain(secret);
        fits.then(|| Self { id: id.to_owned(), hash: hash(secret) })
    }
}

/// A bearer token of a new id and a new secret, and what is stored of it.
#[must_use]
pub fn new_token(view: TokenView, secret: [u8; 32]) -> (String, StoredToken) {
    let secret = HEXLOWER.encode(&secret);
    (format!("{TOKEN_PREFIX}{}_{secret}", view.id), StoredToken { view, hash: hash(&secret) })
}

fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret))
}

/// The token that the credential belongs to; absent when it is unknown or the secret is wrong.
///
/// # Errors
/// When the store fails.
pub fn authenticate(view: &dyn View, credential: &Credential) -> Result<Option<StoredToken>, StoreProblem> {
    Ok(token(view, &credential.id)?.filter(|token| token.opens(credential)))
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b))) == 0
}

/// The token of that id.
///
/// # Errors
/// When the store fails.
pub fn token(view: &dyn View, id: &str) -> Result<Option<StoredToken>, StoreProblem> {
    row(view, Table::Tokens, id)
}

/// Keeps a token.
///
/// # Errors
/// When the store fails.
pub fn put_token(tx: &mut dyn Transaction, token: &StoredToken) -> Result<(), StoreProblem> {
    tx.put(Table::Tokens, &token_key(&token.view.id), encode(token)?)
}

/// Revokes a token for good.
///
/// # Errors
/// [`Code::NotFound`] when there is none.
pub fn revoke_token(tx: &mut dyn Transaction, id: &str) -> Result<(), Problem> {
    token(tx, id)?.ok_or_else(|| Problem::not_found("this token"))?;
    Ok(tx.delete(Table::Tokens, &token_key(id))?)
}

/// The key of a token.
#[must_use]
pub fn token_key(id: &str) -> Vec<u8> {
    key(&[id])
}

/// At most `limit` of the rows after `after` that `keep` wants, by name, and whether there are more.
///
/// # Errors
/// When the store fails.
pub fn list<T: serde::de::DeserializeOwned>(
    view: &dyn View,
    table: Table,
    after: &str,
    limit: usize,
    keep: &dyn Fn(&T) -> bool,
) -> Result<(Vec<T>, bool), StoreProblem> {
    let from = if after.is_empty() { Vec::new() } else { prefix_end(&key(&[after])) };
    let mut found = Vec::new();
    for (_, value) in view.scan(table, &from, b"", usize::MAX)? {
        let item = decode(&value)?;
        if !keep(&item) {
            continue;
        }
        if found.len() == limit {
            return Ok((found, true));
        }
        found.push(item);
    }
    Ok((found, false))
}

fn row<T: serde::de::DeserializeOwned>(view: &dyn View, table: Table, name: &str) -> Result<Option<T>, StoreProblem> {
    view.get(table, &key(&[name]))?.map(|bytes| decode(&bytes)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "shop", "a-1", "1", &"a".repeat(63)] {
            assert_eq!(check_label(good, "/x"), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "..", "ä", "a\0", &"a".repeat(64)] {
            assert!(check_label(bad, "/x").is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_round_trip_and_never_show_their_secret() {
        let view = TokenView { id: "tk-1".into(), description: "d".into(), rules: vec![] };
        let (text, stored) = new_token(view, [7; 32]);
        let credential = Credential::parse(&text).unwrap();
        assert!(same(credential.hash.as_bytes(), stored.hash.as_bytes()));
        let shown = format!("{stored:?} {credential:?}");
        assert!(!shown.contains("0707") && !shown.contains(&stored.hash), "{shown}");
        let flipped = text.replace("0707", "0708");
        assert!(!same(Credential::parse(&flipped).unwrap().hash.as_bytes(), stored.hash.as_bytes()));
        for bad in ["", "lbt_", "lbt_a_b", "x", &text[1..], &text[..text.len() - 1], &format!("{text}0")] {
            assert!(Credential::parse(bad).is_none(), "{bad}");
        }
    }
}
