//! Patterns of names that a zone may write: a name, or a name whose leftmost label is `*` and stands for one label.

use std::fmt;

use super::name::{Alphabet, Name, NameProblem};

/// Names that may be written. `*.a.b` covers `x.a.b` and the wildcard record `*.a.b`, neither `a.b` nor `x.y.a.b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Name);

impl Pattern {
    /// The label that stands for any.
    pub const STAR: &str = "*";

    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is no name, or has a star elsewhere than as its leftmost label.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        Name::parse_owner(text, Alphabet::Underscore).map(Self)
    }

    /// Whether a record of this name may be written.
    #[must_use]
    pub fn matches(&self, name: &Name) -> bool {
        if !self.0.is_wildcard() {
            return self.0 == *name;
        }
        // one label for the star, the others the same
        self.0.is_beside(name)
    }

    /// Whether there is a name that both cover.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        // the star is a label too, so a wildcard pattern stands for the names that it covers
        self.matches(&other.0) || other.matches(&self.0)
    }

    /// Where it stands: what follows its leftmost label, and that label, in lower case. Patterns overlap only beside each other,
    /// and there when they are the same or one has the star: so those that overlap can be looked up.
    #[must_use]
    pub fn place(&self) -> (&str, &str) {
        let key = self.0.key();
        key.split_once('.').map_or(("", key), |(label, parent)| (parent, label))
    }

    /// Whether all names that it covers are in `domain`.
    #[must_use]
    pub fn is_within(&self, domain: &Name) -> bool {
        let base = if self.0.is_wildcard() { self.0.parent() } else { None };
        base.as_ref().unwrap_or(&self.0).is_within(domain)
    }

    /// The pattern as a name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The pairs of patterns of two sets that cover a name in common.
#[must_use]
pub fn overlaps<'a>(ours: &'a [Pattern], theirs: &'a [Pattern]) -> Vec<(&'a Pattern, &'a Pattern)> {
    let pairs = ours.iter().flat_map(|our| theirs.iter().map(move |their| (our, their)));
    pairs.filter(|(our, their)| our.overlaps(their)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse_owner(text, Alphabet::Underscore).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn one_label_for_the_star() {
        for (text, covered, not) in [
            ("*.a.b", &["x.a.b", "X.A.B", "*.a.b", "_x.a.b"][..], &["a.b", "x.y.a.b", "x.a.c", "b", "xa.b"][..]),
            ("a.b", &["a.b", "A.b."], &["x.a.b", "*.a.b", "b"]),
        ] {
            for yes in covered {
                assert!(pattern(text).matches(&name(yes)), "{text} {yes}");
            }
            for no in not {
                assert!(!pattern(text).matches(&name(no)), "{text} {no}");
            }
        }
        assert!(pattern("*.example.dev").is_within(&name("example.dev")));
        assert!(!pattern("*.dev").is_within(&name("example.dev")));
        assert!(!pattern("*.badexample.dev").is_within(&name("example.dev")));
        for bad in ["*", "a.*.b", "*.*.b", "pr-*.b", "", "b..c"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn overlaps_name_both_sides() {
        let ours = [pattern("*.shop.example.dev"), pattern("shop.example.dev")];
        let theirs = [pattern("api.SHOP.example.dev"), pattern("*.example.dev"), pattern("x.y.example.dev")];
        let texts = |pairs: Vec<(&Pattern, &Pattern)>| -> Vec<String> {
            pairs.iter().map(|(our, their)| format!("{our} {their}")).collect()
        };
        assert_eq!(
            texts(overlaps(&ours, &theirs)),
            ["*.shop.example.dev api.SHOP.example.dev", "shop.example.dev *.example.dev"]
        );
    }

    fn labels(depth: usize) -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]", 1..=depth).prop_map(|labels| labels.join("."))
    }

    fn patterns() -> impl Strategy<Value = String> {
        prop_oneof![labels(3), labels(2).prop_map(|base| format!("*.{base}"))]
    }

    /// Every name of up to three labels of a, b and c: c stands for labels that no pattern has.
    fn universe() -> Vec<Name> {
        let level = |above: &[String]| -> Vec<String> {
            above.iter().flat_map(|base| ["a", "b", "c"].map(|label| format!("{label}.{base}"))).collect()
        };
        let first: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let second = level(&first);
        let third = level(&second);
        [first, second, third].concat().iter().map(|text| name(text)).collect()
    }

    proptest! {
        #[test]
        fn patterns_overlap_when_a_name_is_in_both(a in patterns(), b in patterns()) {
            let (a, b) = (pattern(&a), pattern(&b));
            let both = universe().iter().any(|name| a.matches(name) && b.matches(name));
            prop_assert_eq!(a.overlaps(&b), both, "{} {}", a, b);
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            let ((above, left), (beside, right)) = (a.place(), b.place());
            let meet = left == right || [left, right].contains(&Pattern::STAR);
            prop_assert_eq!(a.overlaps(&b), above == beside && meet, "{} {}", a, b);
        }
    }
}
