//! Conditional requests (RFC 9110 section 13): pure.

use s3s::dto::{ETagCondition, Timestamp, TimestampFormat};

use super::{problem::VaultProblem, rows::ObjectRow};

/// The conditions of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub(super) matches: Option<ETagCondition>,
    pub(super) none_matches: Option<ETagCondition>,
    /// Seconds since 1970.
    pub(super) modified_since: Option<i64>,
    /// Seconds since 1970.
    pub(super) unmodified_since: Option<i64>,
}

/// Seconds since 1970.
pub(super) fn seconds(time: &Timestamp) -> i64 {
    let mut text = Vec::new();
    // As text, because the type behind it is another crate's. A time that cannot be said is before all objects.
    let said = time.format(TimestampFormat::EpochSeconds, &mut text).is_ok();
    let whole = std::str::from_utf8(&text).unwrap_or_default().split('.').next().unwrap_or_default();
    whole.parse().ok().filter(|_| said).unwrap_or(i64::MIN)
}

fn holds(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(named) => named.value() == etag,
    }
}

impl Conditions {
    /// For a read: what the client has may be enough.
    pub(super) fn read(&self, row: &ObjectRow) -> Result<(), VaultProblem> {
        let modified = row.modified.div_euclid(1000);
        match (&self.matches, self.unmodified_since) {
            (Some(condition), _) if !holds(condition, &row.etag) => return Err(VaultProblem::Precondition("If-Match")),
            (None, Some(since)) if modified > since => return Err(VaultProblem::Precondition("If-Unmodified-Since")),
            _ => {}
        }
        match (&self.none_matches, self.modified_since) {
            (Some(condition), _) if holds(condition, &row.etag) => Err(VaultProblem::NotModified),
            (None, Some(since)) if modified <= since => Err(VaultProblem::NotModified),
            _ => Ok(()),
        }
    }

    /// For the source of a copy: nothing is "not modified" there.
    pub(super) fn copy(&self, row: &ObjectRow) -> Result<(), VaultProblem> {
        self.read(row).map_err(|problem| match problem {
            VaultProblem::NotModified => VaultProblem::Precondition("x-amz-copy-source-if"),
            other => other,
        })
    }

    /// For a write over `present`.
    pub(super) fn write(&self, present: Option<&ObjectRow>) -> Result<(), VaultProblem> {
        match (&self.matches, present) {
            (Some(_), None) => return Err(VaultProblem::NoSuchKey),
            (Some(condition), Some(row)) if !holds(condition, &row.etag) => {
                return Err(VaultProblem::Precondition("If-Match"));
            }
            _ => {}
        }
        match (&self.none_matches, present) {
            (Some(condition), Some(row)) if holds(condition, &row.etag) => {
                Err(VaultProblem::Precondition("If-None-Match"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;
    fn row() -> ObjectRow {
        ObjectRow { etag: "a".into(), modified: 5_700, ..ObjectRow::default() }
    }

    fn etag(text: &str) -> Option<ETagCondition> {
        match text {
            "" => None,
            "*" => Some(ETagCondition::Any),
            etag => Some(ETagCondition::ETag(ETag::Strong(etag.into()))),
        }
    }

    fn word(answer: Result<(), VaultProblem>) -> &'static str {
        match answer {
            Ok(()) => "200",
            Err(VaultProblem::NotModified) => "304",
            Err(VaultProblem::Precondition(_)) => "412",
            Err(VaultProblem::NoSuchKey) => "404",
            Err(_) => "other",
        }
    }

    #[test]
    fn reads() {
        for (matches, none, since, unmodified, expected) in [
            ("", "", None, None, "200"),
            ("a", "", None, None, "200"),
            ("*", "", None, None, "200"),
            ("b", "", None, None, "412"),
            ("", "a", None, None, "304"),
            ("", "*", None, None, "304"),
            ("", "b", None, None, "200"),
            ("", "", Some(4), None, "200"),
            ("", "", Some(5), None, "304"),
            ("", "", Some(9), None, "304"),
            ("", "", None, Some(4), "412"),
            ("", "", None, Some(5), "200"),
            // A tag outweighs a time.
            ("a", "", None, Some(1), "200"),
            ("", "b", Some(9), None, "200"),
            ("a", "a", None, None, "304"),
            ("b", "a", None, None, "412"),
        ] {
            let conditions = Conditions {
                matches: etag(matches),
                none_matches: etag(none),
                modified_since: since,
                unmodified_since: unmodified,
            };
            assert_eq!(word(conditions.read(&row())), expected, "{conditions:?}");
            let copied = if expected == "304" { "412" } else { expected };
            assert_eq!(word(conditions.copy(&row())), copied, "{conditions:?}");
        }
    }

    #[test]
    fn writes() {
        for (matches, none, present, expected) in [
            ("", "", false, "200"),
            ("", "*", false, "200"),
            ("", "*", true, "412"),
            ("", "a", true, "412"),
            ("", "b", true, "200"),
            ("a", "", true, "200"),
            ("b", "", true, "412"),
            ("a", "", false, "404"),
        ] {
            let conditions = Conditions { matches: etag(matches), none_matches: etag(none), ..Conditions::default() };
            let row = row();
            assert_eq!(word(conditions.write(present.then_some(&row))), expected, "{conditions:?}");
        }
    }
}
