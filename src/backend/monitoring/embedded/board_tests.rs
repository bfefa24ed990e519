use serde_json::json;

use super::*;
use crate::{
    backend::monitoring::{
        embedded::outcome::{Failure, Trace},
        settings::read_condition,
    },
    rules::monitoring::{Measure, Parameter},
};

fn id(text: &str) -> Id {
    text.into()
}

fn at(seconds: u64) -> Now {
    let wall = Timestamp::from_second(1_767_225_600 + i64::try_from(seconds).unwrap()).unwrap();
    Now { passed: Duration::from_secs(seconds), wall }
}

fn settings(kind: &str) -> Arc<ObjectSettings> {
    settings_at(kind, "http://x.example/")
}

fn settings_at(kind: &str, url: &str) -> Arc<ObjectSettings> {
    let mut intent = json!({"name": "x", "type": kind, "interval": "1s"});
    if kind == "HTTP" {
        intent["http"] = json!({"url": url});
    } else {
        intent["tcp"] = json!({"host": "x.example", "port": 1});
    }
    Arc::new(ObjectSettings::read(&serde_json::from_value(intent).unwrap()).unwrap())
}

fn rule(change: Value) -> Rule {
    let mut intent =
        json!({"name": "x", "parameter": "response.up", "operator": "LessThan", "threshold": 1, "for": "10s"});
    json_patch::merge(&mut intent, &change);
    read_condition(&serde_json::from_value(intent).unwrap()).unwrap()
}

fn outcome(up: bool) -> Outcome {
    let mut trace = Trace::new(tokio::time::Instant::now());
    trace.set(Parameter::ResponseSize, Measure::whole(2));
    let result = if up { Ok(()) } else { Err(Failure::new("ConnectionRefused", "no")) };
    Outcome::of(trace, Duration::from_millis(if up { 20 } else { 900 }), result)
}

fn board(rule: Rule) -> Board {
    let mut board = Board::default();
    assert_eq!(board.put_object(&id("mo"), 1, settings("HTTP"), ObjectState::default()), None);
    assert_eq!(board.put_condition(&id("mc"), (&id("mo"), 2), rule, ConditionState::default(), at(0)), vec![]);
    board
}

/// Ids with state, or with `up`.
fn told(news: &[News]) -> Vec<(String, String)> {
    let word = |news: &News| match news.state.get("alertState") {
        Some(state) => state.as_str().unwrap_or_default().to_owned(),
        None => news.state["up"].to_string(),
    };
    news.iter().map(|news| (news.id.to_string(), word(news))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn transitions_are_told_and_nothing_else() {
    let mut board = board(rule(json!({})));
    let mut seen = Vec::new();
    for second in 0..60 {
        let now = at(second);
        seen.extend(board.look(now).into_iter().map(|news| (second, news)));
        let up = !(20..40).contains(&second);
        seen.extend(board.measured(&id("mo"), 1, outcome(up), now).into_iter().map(|news| (second, news)));
    }
    let words: Vec<_> =
        seen.iter().map(|(second, news)| (*second, told(std::slice::from_ref(news)).remove(0))).collect();
    let right = [
        (0, "mo", "true"),
        (0, "mc", "Cleared"),
        (20, "mo", "false"),
        (20, "mc", "Pending"),
        (30, "mc", "Firing"),
        (40, "mo", "true"),
        (40, "mc", "Cleared"),
    ];
    assert_eq!(words, right.map(|(second, id, state)| (second, (id.to_owned(), state.to_owned()))));
    let fired = &seen[4].1;
    assert_eq!(fired.state, json!({"alertState": "Firing", "since": "2026-01-01T00:00:30Z", "value": "0"}));
    assert_eq!(seen[2].1.state["reason"], "ConnectionRefused");
}

#[test]
fn a_timer_fires_between_probes() {
    let mut board = board(rule(json!({})));
    board.measured(&id("mo"), 1, outcome(false), at(5));
    assert_eq!(board.next_look(), Some(Duration::from_secs(15)));
    assert_eq!(board.look(at(14)), vec![]);
    assert_eq!(told(&board.look(at(15))), pairs(&[("mc", "Firing")]));
    assert_eq!(board.next_look(), None);
}

#[test]
fn a_restart_tells_what_was_told_and_goes_on_from_there() {
    let since = "2026-01-01T00:00:00Z".to_owned();
    let firing =
        ConditionState { alert_state: AlertState::Firing, since: Some(since.clone()), value: Some("0".into()) };
    let down = ObjectState { up: Some(false), since: Some(since), ..ObjectState::default() };
    let mut board = Board::default();
    let object = board.put_object(&id("mo"), 1, settings("HTTP"), down.clone()).unwrap();
    assert_eq!(object.state, serde_json::to_value(&down).unwrap());
    let condition = board.put_condition(&id("mc"), (&id("mo"), 2), rule(json!({})), firing.clone(), at(0));
    assert_eq!(condition[0].state, serde_json::to_value(&firing).unwrap());
    for second in 1..100 {
        assert_eq!(board.measured(&id("mo"), 1, outcome(false), at(second)), vec![], "still down, still firing");
    }
    let up = board.measured(&id("mo"), 1, outcome(true), at(100));
    assert_eq!(told(&up), pairs(&[("mo", "true"), ("mc", "Cleared")]));
}

#[test]
fn a_pending_alert_stays_pending_over_a_restart_and_counts_anew() {
    let since = Some("2026-01-01T00:00:00Z".to_owned());
    let pending = ConditionState { alert_state: AlertState::Pending, since: since.clone(), value: Some("0".into()) };
    let mut board = Board::default();
    board.put_object(&id("mo"), 1, settings("HTTP"), ObjectState { up: Some(false), since, ..ObjectState::default() });
    let condition = board.put_condition(&id("mc"), (&id("mo"), 2), rule(json!({})), pending.clone(), at(0));
    assert_eq!(condition[0].state, serde_json::to_value(&pending).unwrap());
    for second in 5..15 {
        assert_eq!(board.measured(&id("mo"), 1, outcome(false), at(second)), vec![], "10s have not passed since 5s");
    }
    assert_eq!(told(&board.look(at(15))), pairs(&[("mc", "Firing")]));
}

#[test]
fn a_long_stop_is_no_alert_although_no_data_would_be() {
    let state =
        ConditionState { alert_state: AlertState::Cleared, since: Some("2020-01-01T00:00:00Z".into()), value: None };
    let change = json!({"noData": "Fire", "for": null, "window": {"duration": "1s", "function": "Avg"}});
    let mut board = Board::default();
    board.put_object(&id("mo"), 1, settings("HTTP"), ObjectState::default());
    board.put_condition(&id("mc"), (&id("mo"), 2), rule(change), state, at(0));
    assert_eq!((board.next_look(), board.look(at(3_600))), (None, vec![]), "nobody has asked yet");
    assert_eq!(told(&board.measured(&id("mo"), 1, outcome(true), at(3_600))), pairs(&[("mo", "true")]));
}

#[test]
fn a_clock_that_jumps_moves_no_alert() {
    let mut board = board(rule(json!({"window": {"duration": "5s", "function": "Max"}, "operator": "LessThan"})));
    let jumping = |second: u64| {
        let wall = if second.is_multiple_of(2) { at(second).wall } else { at(second + 86_400).wall };
        Now { wall, ..at(second) }
    };
    let mut seen = Vec::new();
    for second in 0..30 {
        let up = second < 3;
        seen.extend(board.look(jumping(second)));
        seen.extend(board.measured(&id("mo"), 1, outcome(up), jumping(second)));
    }
    let states: Vec<_> = told(&seen).into_iter().filter(|(id, _)| id == "mc").map(|(_, state)| state).collect();
    assert_eq!(states, ["Cleared", "Pending", "Firing"]);
}

#[test]
fn why_nothing_can_be_asked_is_told_each_time_it_is_another_reason() {
    let mut board = board(rule(json!({})));
    let ours =
        |reason| Outcome::of(Trace::new(tokio::time::Instant::now()), Duration::ZERO, Err(Failure::ours(reason, "no")));
    let reasons = |news: Vec<News>| {
        news.iter().filter_map(|news| news.state["reason"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(reasons(board.measured(&id("mo"), 1, ours("Exhausted"), at(1))), ["Exhausted"]);
    assert_eq!(reasons(board.measured(&id("mo"), 1, ours("Refused"), at(2))), ["Refused"]);
    assert_eq!(board.measured(&id("mo"), 1, ours("Refused"), at(3)), vec![]);
}

#[test]
fn a_condition_that_comes_later_knows_the_last_probe() {
    let mut board = board(rule(json!({})));
    board.measured(&id("mo"), 1, outcome(true), at(1));
    let slow = rule(json!({"parameter": "timing.total", "operator": "GreaterThan", "threshold": "10ms", "for": null}));
    let news = board.put_condition(&id("mc2"), (&id("mo"), 3), slow, ConditionState::default(), at(2));
    assert_eq!(news[0].state, json!({"alertState": "Firing", "since": "2026-01-01T00:00:02Z", "value": "20ms"}));
}

#[test]
fn an_edit_is_answered_and_keeps_the_alert() {
    let mut board = board(rule(json!({"for": null})));
    board.measured(&id("mo"), 1, outcome(false), at(1));
    let news =
        board.put_condition(&id("mc"), (&id("mo"), 9), rule(json!({"for": "1m"})), ConditionState::default(), at(2));
    assert_eq!((news.len(), news[0].of, told(&news)), (1, 9, pairs(&[("mc", "Firing")])));
    assert_eq!(news[0].state["since"], "2026-01-01T00:00:01Z");
    // another parameter: judged at once
    let other = rule(json!({"parameter": "timing.total", "threshold": 1, "operator": "LessThan"}));
    let news = board.put_condition(&id("mc"), (&id("mo"), 10), other, ConditionState::default(), at(3));
    assert_eq!((news[0].of, told(&news)), (10, pairs(&[("mc", "Cleared")])));
}

#[test]
fn an_object_that_was_edited_is_asked_anew() {
    let mut board = board(rule(json!({})));
    board.measured(&id("mo"), 1, outcome(true), at(1));
    let news = board.put_object(&id("mo"), 5, settings("HTTP"), ObjectState::default()).unwrap();
    assert_eq!((news.of, &news.state["up"]), (5, &json!(true)));
    assert_eq!(board.measured(&id("mo"), 1, outcome(false), at(2)), vec![], "the probe is of the old settings");
    assert_eq!(
        told(&board.measured(&id("mo"), 5, outcome(false), at(3))),
        pairs(&[("mo", "false"), ("mc", "Pending")])
    );
}

#[test]
fn another_url_starts_over_and_another_interval_does_not() {
    let mut board = board(rule(json!({"window": {"duration": "1m", "function": "Avg"}})));
    board.measured(&id("mo"), 1, outcome(false), at(1));
    board.put_object(&id("mo"), 2, settings("HTTP"), ObjectState::default());
    assert_eq!((board.samples(), board.next_look()), (1, Some(Duration::from_secs(11))));
    board.put_object(&id("mo"), 3, settings_at("HTTP", "http://y.example/"), ObjectState::default());
    assert_eq!((board.samples(), board.next_look()), (0, None));
    assert_eq!(told(&board.measured(&id("mo"), 3, outcome(true), at(2))), pairs(&[("mo", "true"), ("mc", "Cleared")]));
}

#[test]
fn a_parameter_that_the_object_does_not_have_is_told() {
    let mut board = Board::default();
    board.put_object(&id("mo"), 1, settings("TCP"), ObjectState::default());
    let status = rule(json!({"parameter": "response.status", "threshold": 500}));
    let news = board.put_condition(&id("mc"), (&id("mo"), 2), status, ConditionState::default(), at(0));
    let wrong = &news[0].members[member::PARAMETER];
    assert_eq!((news[0].of, wrong.state.as_str()), (2, member::UNFIT));
    assert!(wrong.message.contains("a TCP object has no response.status"), "{}", wrong.message);
    assert_eq!(told(&board.measured(&id("mo"), 1, outcome(true), at(1))), pairs(&[("mo", "true")]));
}

#[test]
fn what_is_gone_leaves_nothing() {
    let mut board = board(rule(json!({"window": {"duration": "1h", "function": "Avg"}})));
    for second in 0..50 {
        board.measured(&id("mo"), 1, outcome(second < 40), at(second));
    }
    assert_eq!(board.samples(), 50);
    board.remove_condition("mc");
    board.remove_object("mo");
    assert!(board.objects.is_empty() && board.conditions.is_empty() && board.looks.is_empty());
}

#[test]
fn memory_is_bounded_by_the_windows() {
    let mut board = board(rule(json!({"window": {"duration": "1m", "function": "P95"}})));
    board.put_condition(&id("last"), (&id("mo"), 2), rule(json!({})), ConditionState::default(), at(0));
    for second in 0..10_000 {
        board.measured(&id("mo"), 1, outcome(true), at(second));
        assert!(board.samples() <= 61);
    }
}
