//! Tables and keys.

/// What rows are about. Each table is ordered by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// The store's own: identity, revision.
    Meta = 0,
    /// Organizations by name.
    Organizations = 1,
    /// Projects by name.
    Projects = 2,
    /// Tokens by id.
    Tokens = 3,
    /// Objects by (project id, collection, object id).
    Objects = 4,
    /// Who owns or owned what, by (project id, cluster, uid).
    Owners = 5,
    /// What services hand out, for instance front-end addresses; the keys are theirs and start with their collection.
    Leases = 6,
    /// What belongs to an object, by (project id, id of the parent, collection, id).
    Children = 7,
    /// Domains of organizations by name.
    Domains = 8,
    /// What a data plane keeps in a store of its own; the keys are its own.
    Data = 64,
}

impl Table {
    /// Its number in stored keys; never changes.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// One key of several parts. Parts must not contain a NUL, so that no key is a prefix of another by accident.
#[must_use]
pub fn key(parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

/// The first key after all keys that start with `prefix`; empty (which [`super::View::scan`] takes as "no end") when there
/// is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_end_is_after_all_keys_with_the_prefix_and_before_others() {
        let prefix = key(&["lb", "a"]);
        let end = prefix_end(&prefix);
        assert!(key(&["lb", "a", "zzz"]) < end && key(&["lb", "b"]) >= end && key(&["lb", "a0"]) >= end);
        assert_eq!(prefix_end(&[1, 0xff]), vec![2]);
        assert!(prefix_end(&[0xff]).is_empty());
    }
}
