//! Domains that organizations own: pure functions on a transaction.
//!
//! A domain covers all names below it. Rows are keyed by the labels from the right, so that what covers a name, and what lies
//! below it, stand together.

use super::{
    store::{StoreProblem, Table, Transaction, View, decode, encode, key, prefix_end},
    tenants::{self, Made, check_label},
};
use crate::protocol::{Code, Domain, Problem};

/// Longest name of a domain, in bytes (RFC 1035 section 2.3.4, without the root).
const LONGEST: usize = 253;

/// Refuses what is no domain that an organization can own.
///
/// # Errors
/// [`Code::Invalid`] with `/domain`.
pub fn check(name: &str) -> Result<(), Problem> {
    let labels = name.len() <= LONGEST && name.split('.').all(|label| check_label(label, "").is_ok());
    if labels && name.contains('.') {
        return Ok(());
    }
    let detail = "must be a domain in lower case without trailing dot, at least two labels, for instance example.com";
    Err(Problem::invalid("/domain", detail))
}

/// Gives a domain to an organization under `id`, unless it has it.
///
/// # Errors
/// When the name is no domain, the organization does not exist, or another organization has the domain, one around it, or one
/// in it.
pub fn ensure(tx: &mut dyn Transaction, id: &str, organization: &str, name: &str) -> Result<(Domain, Made), Problem> {
    check(name)?;
    if tenants::organization(tx, organization)?.is_none() {
        return Err(Problem::not_found(format_args!("organization {organization:?}")));
    }
    let around = owner_of_domain(tx, name)?;
    if let Some(present) = around.iter().find(|domain| domain.name == name && domain.organization == organization) {
        return Ok((present.clone(), Made::Before));
    }
    let row = row_key(name);
    let inside = tx.scan(Table::Domains, &row, &prefix_end(&row), usize::MAX)?;
    let inside = inside.iter().map(|(_, value)| decode(value)).collect::<Result<Vec<Domain>, _>>()?;
    if around.iter().chain(&inside).any(|domain| domain.organization != organization) {
        let detail = format!("{name}, a domain around it or one in it belongs to another organization");
        return Err(Problem { field: Some("/domain".into()), ..Problem::new(Code::Conflict, detail) });
    }
    let domain = Domain { id: id.to_owned(), name: name.to_owned(), organization: organization.to_owned() };
    tx.put(Table::Domains, &row, encode(&domain)?)?;
    Ok((domain, Made::Now))
}

/// Takes a domain from its organization. What was made below it stays as it is, until it is changed.
///
/// # Errors
/// [`Code::NotFound`].
pub fn remove(tx: &mut dyn Transaction, organization: &str, name: &str) -> Result<Domain, Problem> {
    let domain = of(tx, organization, name)?;
    tx.delete(Table::Domains, &row_key(name))?;
    Ok(domain)
}

/// One domain of an organization.
///
/// # Errors
/// [`Code::NotFound`].
pub fn of(view: &dyn View, organization: &str, name: &str) -> Result<Domain, Problem> {
    let domain = get(view, &row_key(name))?.filter(|domain| domain.organization == organization);
    domain.ok_or_else(|| Problem::not_found(format_args!("domain {name:?} of the organization {organization:?}")))
}

/// The domain that covers a name, the name itself included; of several the longest. `name` is in lower case, without trailing
/// dot. Who owns it is in [`Domain::organization`].
///
/// # Errors
/// When the store fails.
pub fn owner_of_domain(view: &dyn View, name: &str) -> Result<Option<Domain>, StoreProblem> {
    let mut rest = name;
    loop {
        if let Some(domain) = get(view, &row_key(rest))? {
            return Ok(Some(domain));
        }
        let Some((_, above)) = rest.split_once('.') else { return Ok(None) };
        rest = above;
    }
}

/// At most `limit` domains of an organization after the one named `after`, and whether there are more.
///
/// # Errors
/// When the store fails.
pub fn list(
    view: &dyn View,
    organization: &str,
    after: &str,
    limit: usize,
) -> Result<(Vec<Domain>, bool), StoreProblem> {
    let mut from = if after.is_empty() { Vec::new() } else { row_key(after) };
    if !after.is_empty() {
        // The smallest key that is larger.
        from.push(0);
    }
    let mut found: Vec<Domain> = Vec::new();
    for (_, value) in view.scan(Table::Domains, &from, b"", usize::MAX)? {
        let domain: Domain = decode(&value)?;
        if domain.organization != organization {
            continue;
        }
        if found.len() == limit {
            return Ok((found, true));
        }
        found.push(domain);
    }
    Ok((found, false))
}

fn get(view: &dyn View, row: &[u8]) -> Result<Option<Domain>, StoreProblem> {
    view.get(Table::Domains, row)?.map(|bytes| decode(&bytes)).transpose()
}

fn row_key(name: &str) -> Vec<u8> {
    key(&name.rsplit('.').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::store::memory::Memory;

    fn with(organizations: &[&str]) -> Memory {
        let mut memory = Memory::default();
        for name in organizations {
            memory.job(|tx| tenants::ensure_organization(tx, name, name)).unwrap();
        }
        memory
    }

    fn add(memory: &mut Memory, organization: &str, name: &str) -> Result<Made, Code> {
        let added = memory.job(|tx| ensure(tx, &format!("dom-{name}"), organization, name));
        added.map(|(_, made)| made).map_err(|problem| problem.code)
    }

    #[test]
    fn a_domain_covers_what_is_below_it() {
        let mut memory = with(&["acme", "other"]);
        for name in ["example.dev", "shop.example.dev", "example.com"] {
            assert_eq!(add(&mut memory, "acme", name), Ok(Made::Now));
        }
        let covers = |name: &str| owner_of_domain(&memory, name).unwrap().map(|domain| domain.name);
        assert_eq!(covers("example.dev").as_deref(), Some("example.dev"));
        assert_eq!(covers("a.b.example.dev").as_deref(), Some("example.dev"));
        assert_eq!(covers("a.shop.example.dev").as_deref(), Some("shop.example.dev"));
        for name in ["dev", "xexample.dev", "example.dev.org", ""] {
            assert_eq!(covers(name), None, "{name}");
        }
    }

    #[test]
    fn domains_of_two_organizations_do_not_overlap() {
        let mut memory = with(&["acme", "other"]);
        assert_eq!(add(&mut memory, "acme", "shop.example.dev"), Ok(Made::Now));
        for name in ["shop.example.dev", "a.shop.example.dev", "example.dev"] {
            assert_eq!(add(&mut memory, "other", name), Err(Code::Conflict), "{name}");
        }
        assert_eq!(add(&mut memory, "other", "shop2.example.dev"), Ok(Made::Now));
        assert_eq!(add(&mut memory, "acme", "shop.example.dev"), Ok(Made::Before));
        assert_eq!(add(&mut memory, "none", "example.org"), Err(Code::NotFound));
        memory.job(|tx| remove(tx, "other", "shop.example.dev")).unwrap_err();
        memory.job(|tx| remove(tx, "acme", "shop.example.dev")).unwrap();
        assert_eq!(add(&mut memory, "other", "shop.example.dev"), Ok(Made::Now));
    }

    #[test]
    fn names_are_domains_and_lists_have_pages() {
        let mut memory = with(&["acme"]);
        for bad in ["", "dev", "a..dev", ".example.dev", "example.dev.", "Example.dev", "*.example.dev", "a_b.dev"] {
            assert_eq!(add(&mut memory, "acme", bad), Err(Code::Invalid), "{bad}");
        }
        for name in ["example.dev", "a.example.dev", "b.example.com"] {
            add(&mut memory, "acme", name).unwrap();
        }
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let (page, more) = list(&memory, "acme", &after, 1).unwrap();
            after.clone_from(&page[0].name);
            names.extend(page.into_iter().map(|domain| domain.name));
            if !more {
                break;
            }
        }
        assert_eq!(names, ["b.example.com", "example.dev", "a.example.dev"]);
        assert!(list(&memory, "other", "", 9).unwrap().0.is_empty());
    }
}
