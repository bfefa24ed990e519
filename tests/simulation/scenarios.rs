//! What was found once and mended, each as deeds and faults of its own: it must not come back.

use std::time::Duration;

use serde_json::Value;

use crate::{
    faults::{Fate, Rule},
    journal::Entry,
    line::OPERATOR,
    plan::{Deed, Policy, Wish},
    world::{Replicas, Script, run},
};

const SECOND: Duration = Duration::from_secs(1);

/// A namespace that is bound, and then this.
fn script(then: &[(u64, Deed)], rules: Vec<Rule>) -> Script {
    let first = [Deed::Namespace, Deed::Backend, Deed::TokenSecrets, Deed::Binding { own: false }];
    let first = first.into_iter().map(|deed| (Duration::ZERO, deed));
    let then = then.iter().map(|(at, deed)| (Duration::from_millis(*at), deed.clone()));
    Script::written(first.chain(then).collect(), rules)
}

fn rule(from: Duration, call: &'static str, body: &'static str, fate: Fate) -> Rule {
    Rule { from, call, body, fate, times: 1 }
}

fn create(plural: &str, name: &str) -> Deed {
    Deed::Create(Wish::plain(plural, name))
}

fn delete(plural: &str, name: &str) -> Deed {
    let Wish { kind, name, .. } = Wish::plain(plural, name);
    Deed::Delete(kind, name)
}

/// Runs it; all laws hold, and `see` finds nothing.
fn holds(script: Script, see: impl FnOnce(&[Entry]) -> Option<String>) {
    let mut seen = None;
    let ended = run(script, None, |entries| {
        seen = see(entries);
        if seen.is_some() {
            entries.iter().for_each(|entry| println!("{entry}"));
        }
    });
    assert_eq!((ended.broken, seen), (Vec::new(), None));
}

/// Where the operator has done this for the first time.
fn first(entries: &[Entry], verb: &str, path: &str, body: &str) -> Option<usize> {
    entries.iter().position(|entry| {
        entry.who == OPERATOR
            && entry.done()
            && entry.verb == verb
            && entry.path.contains(path)
            && entry.body.to_string().contains(body)
    })
}

const LET_GO: &str = r#""op":"remove","path":"/metadata/finalizers"#;

#[test]
fn a_removal_of_a_finalizer_that_is_answered_404_is_tried_again() {
    let removal = rule(Duration::ZERO, "PATCH", LET_GO, Fate::Code(404, None));
    let life = [(0, create("projectloadbalancers", "a")), (10_000, delete("projectloadbalancers", "a"))];
    holds(script(&life, vec![removal]), |entries| {
        let at = first(entries, "PATCH", "projectloadbalancers/a", LET_GO).map(|place| entries[place].at);
        // Later, new tokens wake everybody.
        at.is_none_or(|at| at > 30 * SECOND).then(|| format!("let go at {at:?}"))
    });
}

/// A restart while somebody waits for its users, whose list comes late.
fn restarted(waits: &'static str, users: &'static str) -> Vec<Rule> {
    let from = 10 * SECOND;
    let late = Fate::Pass(20 * SECOND, Duration::ZERO);
    vec![
        rule(from, waits, "InUse", Fate::Crash { done: true }),
        Rule { times: 2, ..rule(from + SECOND, users, "", late) },
    ]
}

/// The binding, or the parent, goes last.
fn after(entries: &[Entry], user: &str, last: (&str, &str, &str)) -> Option<String> {
    let (user, last) = (first(entries, "PATCH", user, LET_GO), first(entries, last.0, last.1, last.2));
    match (user, last) {
        (Some(user), Some(last)) if user < last => None,
        wrong => Some(format!("user and used went at {wrong:?}")),
    }
}

#[test]
fn a_binding_stays_until_its_users_are_listed_after_a_start() {
    let life = [
        (0, create("projectloadbalancers", "a")),
        (10_000, Deed::DeleteBinding),
        (35_000, delete("projectloadbalancers", "a")),
    ];
    let rules = restarted(
        "PATCH /apis/loopback.cloud/v1alpha1/namespaces/shop/projectbindings/default/status",
        "GET /apis/loopback.cloud/v1alpha1/projectloadbalancers?",
    );
    holds(script(&life, rules), |entries| {
        after(entries, "projectloadbalancers/a", ("PATCH", "projectbindings/default", LET_GO))
    });
}

#[test]
fn a_parent_stays_until_its_children_are_listed_after_a_start() {
    let life = [
        (0, create("projectdnszones", "a")),
        (0, create("dnsrecords", "c0")),
        (10_000, delete("projectdnszones", "a")),
        (35_000, delete("dnsrecords", "c0")),
    ];
    let rules = restarted(
        "PATCH /apis/loopback.cloud/v1alpha1/namespaces/shop/projectdnszones/a/status",
        "GET /apis/loopback.cloud/v1alpha1/dnsrecords?",
    );
    holds(script(&life, rules), |entries| {
        let zone = entries.iter().find(|entry| entry.verb == "POST" && entry.path.ends_with("/dns-zones"));
        let uid = zone.and_then(|entry| entry.body.pointer("/owner/uid")).and_then(Value::as_str).unwrap_or_default();
        let retired = entries.iter().position(|entry| entry.verb == "DELETE" && entry.path.ends_with(uid));
        let child = first(entries, "PATCH", "dnsrecords/c0", LET_GO);
        (retired.is_none() || retired < child).then(|| format!("retired at {retired:?}, child let go at {child:?}"))
    });
}

#[test]
fn what_an_older_copy_has_forgotten_of_a_retired_owner_is_told_again() {
    let life = [
        (0, create("projectloadbalancers", "a")),
        (9_000, Deed::Copy),
        (10_000, delete("projectloadbalancers", "a")),
        // While the plane lets go.
        (10_100, Deed::Older),
    ];
    holds(script(&life, Vec::new()), |entries| {
        let told = entries.iter().filter(|entry| entry.who == OPERATOR && entry.path.contains("/owners/")).count();
        (told < 2).then(|| format!("the owner was retired {told} times"))
    });
}

#[test]
fn the_token_of_a_binding_is_let_go_with_it_whatever_its_watch_says() {
    const TOKEN: &str = "/api/v1/namespaces/shop/secrets/own";
    let rules = vec![
        rule(10 * SECOND, "PATCH /api/v1/namespaces/shop/secrets/own", "", Fate::Crash { done: false }),
        // The restarted operator hears late of it.
        Rule {
            times: 9,
            ..rule(10 * SECOND, "GET /api/v1/namespaces/shop/secrets?", "", Fate::Pass(20 * SECOND, Duration::ZERO))
        },
    ];
    let mut script = script(&[(10_000, Deed::DeleteBinding)], rules);
    script.deeds[3].1 = Deed::Binding { own: true };
    holds(script, |entries| {
        let token = first(entries, "PATCH", TOKEN, r#""finalizers":[]"#);
        let binding = first(entries, "PATCH", "projectbindings/default", LET_GO);
        (token.is_none() || token > binding).then(|| format!("token let go at {token:?}, binding at {binding:?}"))
    });
}

#[test]
fn a_token_is_not_taken_for_gone_because_somebody_says_404() {
    let asked = rule(10 * SECOND, "GET /api/v1/namespaces/shop/secrets/own", "", Fate::Code(404, None));
    let let_go =
        rule(10 * SECOND, "PATCH /api/v1/namespaces/shop/secrets/own", r#""finalizers":[]"#, Fate::Code(404, None));
    for rule in [asked, let_go] {
        let mut script = script(&[(10_000, Deed::DeleteNamespace)], vec![rule]);
        script.deeds[3].1 = Deed::Binding { own: true };
        // Else the namespace could not end.
        holds(script, |entries| {
            let token = first(entries, "PATCH", "secrets/own", r#""finalizers":[]"#);
            let binding = first(entries, "PATCH", "projectbindings/default", LET_GO);
            (token.is_none() || token > binding).then(|| format!("token let go at {token:?}, binding at {binding:?}"))
        });
    }
}

#[test]
fn nothing_is_begun_through_a_binding_that_is_being_let_go() {
    let late = rule(Duration::ZERO, "projectbindings/default", LET_GO, Fate::Pass(5 * SECOND, Duration::ZERO));
    let life = [(10_000, Deed::DeleteBinding), (12_000, create("projectdnszones", "a"))];
    holds(script(&life, vec![late]), |entries| {
        let at = |path, body| first(entries, "PATCH", path, body).map(|place| entries[place].at);
        let (begun, gone) = (at("projectdnszones/a", "/metadata/finalizers"), at("projectbindings/default", LET_GO));
        (begun < gone).then(|| format!("begun at {begun:?}, the binding went at {gone:?}"))
    });
}

#[test]
fn a_binding_that_waits_names_those_too_who_came_later() {
    let life = [
        (0, create("projectloadbalancers", "a")),
        (3_000, Deed::Revoke),
        (5_000, Deed::DeleteBinding),
        (10_000, create("projectdnszones", "a")),
    ];
    // It begins when there is a token again, a moment after the binding has heard of that.
    let begins = rule(20 * SECOND, "projectdnszones/a", "/metadata/finalizers", Fate::Pass(2 * SECOND, Duration::ZERO));
    holds(script(&life, vec![begins]), |entries| {
        let named = first(entries, "PATCH", "projectbindings/default/status", "ProjectDnsZone shop/a");
        let at = named.map(|place| entries[place].at);
        at.is_none_or(|at| at > 80 * SECOND).then(|| format!("named at {at:?}"))
    });
}

#[test]
fn a_binding_that_was_deleted_before_its_token_was_held_holds_it_for_its_users() {
    let rules = vec![
        rule(Duration::ZERO, "PATCH /api/v1/namespaces/shop/secrets/own", "", Fate::Code(500, None)),
        // So long it does not know its users.
        rule(Duration::ZERO, "dnsrecords?", "", Fate::Pass(20 * SECOND, Duration::ZERO)),
    ];
    let life =
        [(500, Deed::DeleteBinding), (2_000, create("projectloadbalancers", "a")), (31_000, Deed::DeleteNamespace)];
    let mut script = script(&life, rules);
    script.deeds[3].1 = Deed::Binding { own: true };
    holds(script, |entries| {
        first(entries, "PATCH", "secrets/own", "loopback.cloud/finalizer").is_none().then(|| "never held".to_owned())
    });
}

#[test]
fn what_is_observed_and_being_deleted_is_not_ready() {
    let bucket = Wish::plain("objectbuckets", "a");
    let observed = Wish { policy: Policy { observe: true, ..Policy::default() }, ..bucket.clone() };
    let life = [(0, Deed::Make(bucket, false)), (1_000, Deed::Create(observed)), (10_000, Deed::DriftAway(0))];
    // It is not empty, so its deletion waits.
    let script = Script { full: true, ..script(&life, Vec::new()) };
    holds(script, |entries| {
        let deleted = entries.iter().position(|entry| entry.verb == "DELETE" && entry.path.contains("/object-stores/"));
        let after = &entries[deleted.unwrap_or(entries.len())..];
        let told = first(after, "PATCH", "objectbuckets/a/status", "It is being deleted in the backend");
        told.is_none().then(|| format!("deleted at {deleted:?}, and the status does not say it"))
    });
}

/// A watch that was opened before this and tells nothing any more, for as long as its reader believes in it.
fn dead(watch: &'static str) -> Rule {
    rule(Duration::ZERO, watch, "", Fate::Swallowed)
}

#[test]
fn a_binding_is_not_let_go_while_the_watch_of_its_users_is_dead() {
    // Listed when there was none; then another replica takes care of one.
    let watch = dead("GET /apis/loopback.cloud/v1alpha1/projectloadbalancers?&watch");
    let life = [(2_000, create("projectloadbalancers", "a")), (40_000, Deed::DeleteBinding)];
    let script = Script {
        replicas: Replicas::Zombie { from: 5 * SECOND, time: 20 * SECOND },
        leave: Some(true),
        ..script(&life, vec![watch])
    };
    holds(script, |entries| {
        let user = first(entries, "PATCH", "projectloadbalancers/a", LET_GO);
        let made = first(entries, "POST", "/load-balancers", "");
        let binding = first(entries, "PATCH", "projectbindings/default", LET_GO);
        (made.is_none() || user.is_none() || binding < user)
            .then(|| format!("made at {made:?}, let go at {user:?}, its binding at {binding:?}"))
    });
}

#[test]
fn who_still_sees_a_binding_that_is_gone_holds_no_secret_for_it() {
    // Another replica lets the binding go; then there is a namespace of that name again.
    let watch = dead("GET /apis/loopback.cloud/v1alpha1/projectbindings?&watch");
    let life = [(10_000, Deed::DeleteNamespace), (15_000, Deed::Namespace), (15_000, Deed::TokenSecrets)];
    let mut script = Script {
        replicas: Replicas::Zombie { from: 5 * SECOND, time: 20 * SECOND },
        leave: Some(true),
        ..script(&life, vec![watch])
    };
    script.deeds[3].1 = Deed::Binding { own: true };
    // L3: else the namespace could not end.
    holds(script, |_| None);
}

#[test]
fn what_a_token_may_not_read_any_more_is_not_taken_for_gone() {
    let life = [
        (0, create("objectbuckets", "a")),
        // It is not empty, so its deletion waits.
        (10_000, delete("objectbuckets", "a")),
        (12_000, Deed::Narrow("project.object_store")),
    ];
    let script = Script { full: true, ..script(&life, Vec::new()) };
    holds(script, |entries| {
        let told = entries.iter().position(|entry| entry.who == OPERATOR && entry.path.contains("/owners/"));
        told.is_none().then(|| "never retired".to_owned())
    });
}

#[test]
fn an_edit_that_is_seen_first_in_the_answer_to_any_write_is_acted_upon() {
    let rules = vec![
        dead("GET /apis/loopback.cloud/v1alpha1/projectbindings?&watch"),
        // Meanwhile another replica does what there is to do, and then the binding is deleted.
        rule(Duration::ZERO, "GET /v3/projects/shop", "", Fate::Pass(8 * SECOND, Duration::ZERO)),
    ];
    let life = [(7_000, Deed::DeleteBinding)];
    let replicas = Replicas::Zombie { from: 2 * SECOND, time: 4 * SECOND };
    holds(Script { replicas, ..script(&life, rules) }, |entries| {
        let at = first(entries, "PATCH", "projectbindings/default", LET_GO).map(|place| entries[place].at);
        at.is_none_or(|at| at > 30 * SECOND).then(|| format!("let go at {at:?}"))
    });
}

#[test]
fn a_parent_goes_when_an_administrator_deletes_what_kept_it() {
    let child = Wish::plain("monitoringconditions", "c0");
    let life = [
        (0, create("monitoringobjects", "a")),
        (1_000, Deed::Create(child.clone())),
        (5_000, delete("monitoringobjects", "a")),
        (7_000, Deed::Force(child.kind, child.name)),
        (10_000, Deed::DriftAway(0)),
    ];
    holds(script(&life, Vec::new()), |entries| {
        let at = first(entries, "PATCH", "monitoringobjects/a", LET_GO).map(|place| entries[place].at);
        let refused = entries.iter().any(|entry| entry.verb == "DELETE" && entry.status == 409);
        (!refused || at.is_none_or(|at| at > 20 * SECOND)).then(|| format!("refused: {refused}, let go at {at:?}"))
    });
}

/// A load balancer that its token may not change any more.
fn denied(rules: Vec<Rule>) -> Script {
    let edit = Wish { variant: 1, ..Wish::plain("projectloadbalancers", "a") };
    let life = [
        (0, create("projectloadbalancers", "a")),
        (10_000, Deed::Narrow("project.load_balancer")),
        (12_000, Deed::Edit(edit)),
    ];
    script(&life, rules)
}

/// How often that was told.
pub fn told(entries: &[Entry]) -> usize {
    let event = |entry: &&Entry| entry.done() && entry.verb == "POST" && entry.path.ends_with("/events");
    entries.iter().filter(event).filter(|entry| entry.body["reason"] == "Denied").count()
}

fn once(entries: &[Entry]) -> Option<String> {
    (told(entries) != 1).then(|| format!("told {} times", told(entries)))
}

#[test]
fn what_a_status_says_is_told_once_although_its_answer_is_lost() {
    let fates = [
        Fate::AnswerLost { silent: false },
        Fate::AnswerLost { silent: true },
        Fate::Code(409, None),
        Fate::Code(500, None),
    ];
    for fate in fates {
        holds(denied(vec![rule(SECOND, "projectloadbalancers/a/status", "Denied", fate)]), once);
    }
}

#[test]
fn who_fails_and_is_edited_all_the_time_is_told_of_seldom() {
    let edit = |number: u64| {
        let wish = Wish { variant: 1 + number % 2, ..Wish::plain("projectloadbalancers", "a") };
        (20 * number, Deed::Edit(wish))
    };
    let mut script = denied(Vec::new());
    script.deeds.extend((1_000..1_100).map(edit).map(|(at, deed)| (Duration::from_millis(at), deed)));
    holds(script, |entries| {
        let status = |entry: &&Entry| {
            entry.who == OPERATOR && entry.at > 19 * SECOND && entry.path.ends_with("projectloadbalancers/a/status")
        };
        let writes = entries.iter().filter(status).count();
        (!(1..=5).contains(&writes)).then(|| format!("{writes} writes of its status"))
    });
}

#[test]
fn an_event_that_is_not_answered_is_sent_again_and_told_once() {
    let fates = [
        Fate::Refused,
        Fate::Swallowed,
        Fate::AnswerLost { silent: false },
        Fate::AnswerLost { silent: true },
        Fate::Code(500, None),
    ];
    for fate in fates {
        holds(denied(vec![rule(SECOND, "POST /apis/events.k8s.io", "Denied", fate)]), once);
    }
}
