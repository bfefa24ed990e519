//! S5: no secret leaves the Secret that it belongs in, in any spelling.

use super::{Evidence, Violation, spellings::Finder};
use crate::plan::Side;

/// The secrets of a run: tokens without their id, and what the backend minted.
fn canaries(evidence: &Evidence<'_>) -> Vec<String> {
    let tokens = evidence.tokens.iter().filter_map(|token| token.rsplit_once('_').map(|(_, secret)| secret.to_owned()));
    let fetched = evidence.calls.iter().filter(|call| call.method == "GET" && call.point.role.ends_with("/secret"));
    let minted = fetched.filter_map(|call| call.answer()["values"]["secretAccessKey"].as_str().map(str::to_owned));
    tokens.chain(minted).collect()
}

/// Whatever left, and where it was seen.
fn outgoing(evidence: &Evidence<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut seen: Vec<(String, String)> =
        evidence.prints.iter().map(|print| ("a print".to_owned(), print.clone())).collect();
    for call in &evidence.calls {
        let about = call.point.to_string();
        let secret =
            (call.point.side == Side::Kubernetes && call.point.role.contains(":secrets")) || about.contains("/secret#");
        if !secret {
            seen.push((format!("what {about} sent"), format!("{}\n{}", call.path, text(&call.body))));
        }
        if secret && call.code.is_none_or(|code| code < 300) {
            continue;
        }
        seen.push((format!("the answer to {about}"), text(&call.answer)));
    }
    seen.extend(evidence.audit.iter().map(|entry| ("the audit log".to_owned(), entry.line.clone())));
    seen
}

/// S5.
pub fn kept(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut finder = Finder::default();
    canaries(evidence).iter().for_each(|secret| finder.add(secret));
    let leaks = outgoing(evidence).into_iter().filter(|(_, text)| finder.finds(text));
    leaks.map(|(place, _)| Violation::new("S5", format!("a secret is in {place}"))).collect()
}
