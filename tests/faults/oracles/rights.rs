//! S8: the operator has the rights that it uses. That it uses all that it has is for a suite to say that makes it do everything.

use std::{collections::BTreeSet, sync::LazyLock};

use super::{Evidence, Violation};
use crate::rig::rights::{self, Right};

static GRANTED: LazyLock<BTreeSet<Right>> = LazyLock::new(|| rights::granted(&["roles.yaml", "role-secrets.yaml"]));

/// What it did is what its roles let it do, and without faults nothing is refused.
pub fn enough(evidence: &Evidence<'_>) -> Vec<Violation> {
    let ours = evidence.audit.iter().filter(|entry| entry.user == evidence.user);
    let wrong = ours.filter_map(|entry| match &entry.refused {
        Some(words) => evidence.run.plan.is_none().then(|| format!("refused: {words}")),
        None => (!GRANTED.contains(&entry.right)).then(|| format!("no role has {:?}", entry.right)),
    });
    wrong.map(|what| Violation::new("S8", what)).collect()
}
