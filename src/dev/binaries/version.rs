//! Which versions of the programs we work with.

use super::Program;

/// A version as far as it matters: `(major, minor)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// First and last version that is supported.
#[must_use]
pub fn supported(program: Program) -> (Version, Version) {
    match program {
        Program::Etcd => (Version(3, 5), Version(3, 7)),
        Program::ApiServer | Program::ControllerManager => (Version(1, 33), Version(1, 37)),
    }
}

/// Whether this version of the program is supported.
#[must_use]
pub fn is_supported(program: Program, version: Version) -> bool {
    let (first, last) = supported(program);
    (first..=last).contains(&version)
}

/// The first version in a text such as `Kubernetes v1.37.2` or `etcd Version: 3.7.3`.
#[must_use]
pub fn parse(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(parse_word)
}

fn parse_word(word: &str) -> Option<Version> {
    let word = word.trim_start_matches("go").trim_start_matches('v');
    let mut parts = word.split(['.', '-', '+']);
    let (major, minor) = (parts.next()?, parts.next()?);
    Some(Version(major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_programs_print() {
        assert_eq!(parse("Kubernetes v1.37.2\n"), Some(Version(1, 37)));
        assert_eq!(parse("Kubernetes v1.34.0-rc.1+ab12"), Some(Version(1, 34)));
        assert_eq!(parse("etcd Version: 3.7.3\nGit SHA: Not provided\nGo Version: go1.26.8"), Some(Version(3, 7)));
        assert_eq!(parse("go version go1.26.8 linux/amd64"), Some(Version(1, 26)));
        assert_eq!(parse("go version go1.27rc1 linux/amd64"), None);
        assert_eq!(parse("no version here, nor 12"), None);
    }

    #[test]
    fn bounds_are_inclusive() {
        assert!(is_supported(Program::Etcd, Version(3, 5)) && is_supported(Program::Etcd, Version(3, 7)));
        assert!(!is_supported(Program::Etcd, Version(3, 4)) && !is_supported(Program::Etcd, Version(4, 0)));
        assert!(is_supported(Program::ApiServer, Version(1, 33)) && !is_supported(Program::ApiServer, Version(1, 32)));
        assert!(!is_supported(Program::ControllerManager, Version(1, 38)));
    }
}
