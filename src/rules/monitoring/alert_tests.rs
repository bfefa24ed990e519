use proptest::prelude::*;

use super::*;
use crate::rules::monitoring::{Function, Operator, Parameter, Recovery};

/// Fires above 500 after 30 s, recovers at 400 after 60 s.
fn rule() -> Rule {
    Rule {
        parameter: Parameter::TimingTotal,
        operator: Operator::GreaterThan,
        threshold: Measure::whole(500),
        window: Duration::ZERO,
        function: Function::Last,
        hold: Duration::from_secs(30),
        recovery: Recovery { threshold: Measure::whole(400), hold: Duration::from_secs(60) },
        no_data: NoData::Ignore,
    }
}

fn reading(value: Option<i64>) -> Reading {
    value.map_or(Reading::NoData, |value| Reading::Value(Measure::whole(value)))
}

const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Looks at each time, and where timers ask for it; all transitions with their times.
fn history(rule: &Rule, start: AlertState, readings: &[(u64, Option<i64>)]) -> Vec<(u64, AlertState)> {
    let (mut standing, mut look, mut last) = (Standing::restored(start), None, Reading::NoData);
    let mut seen = Vec::new();
    for (at, value) in readings {
        while let Some(due) = look.filter(|due| *due < secs(*at)) {
            let next = step(rule, standing, last, due);
            seen.extend(next.transition.map(|change| (due.as_secs(), change.to)));
            (standing, look) = (next.standing, next.look_at);
        }
        last = reading(*value);
        let next = step(rule, standing, last, secs(*at));
        seen.extend(next.transition.map(|change| (*at, change.to)));
        (standing, look) = (next.standing, next.look_at);
    }
    seen
}

#[test]
fn histories() {
    use AlertState::{Cleared, Firing, NoData as Nothing, Pending};
    let fires = Rule { no_data: NoData::Fire, ..rule() };
    let at_once =
        Rule { hold: Duration::ZERO, recovery: Recovery { hold: Duration::ZERO, ..rule().recovery }, ..rule() };
    let good = Some(100);
    let (band, bad) = (Some(450), Some(900));
    type History<'a> = (&'a str, &'a Rule, AlertState, &'a [(u64, Option<i64>)], &'a [(u64, AlertState)]);
    let rule = rule();
    let cases: &[History<'_>] = &[
        ("the first value ends the doubt", &rule, Nothing, &[(0, good)], &[(0, Cleared)]),
        ("a short breach is pending", &rule, Cleared, &[(0, bad), (20, good)], &[(0, Pending), (20, Cleared)]),
        ("a timer fires it", &rule, Cleared, &[(0, bad), (300, bad)], &[(0, Pending), (30, Firing)]),
        (
            "a break starts over",
            &rule,
            Cleared,
            &[(0, bad), (20, good), (25, bad), (50, bad)],
            &[(0, Pending), (20, Cleared), (25, Pending)],
        ),
        (
            "the band ends pending",
            &rule,
            Cleared,
            &[(0, band), (100, bad), (120, band)],
            &[(100, Pending), (120, Cleared)],
        ),
        ("the band does not end an alert", &rule, Firing, &[(0, band), (500, band)], &[]),
        ("recovery takes its time", &rule, Firing, &[(0, good), (59, good), (61, good)], &[(60, Cleared)]),
        ("the band breaks a recovery", &rule, Firing, &[(0, good), (50, band), (70, good), (100, good)], &[]),
        ("no data ends pending", &rule, Cleared, &[(0, bad), (10, None)], &[(0, Pending), (10, Nothing)]),
        ("one lost probe does not end an alert", &rule, Firing, &[(0, None), (10, bad), (100, bad)], &[]),
        ("no data for long ends an alert", &rule, Firing, &[(0, None), (61, None)], &[(60, Nothing)]),
        ("no data fires where it shall", &fires, Cleared, &[(0, None), (31, None)], &[(0, Pending), (30, Firing)]),
        ("no data keeps it firing", &fires, Firing, &[(0, None), (500, None)], &[]),
        ("without for it fires at once", &at_once, Cleared, &[(0, bad), (1, good)], &[(0, Firing), (1, Cleared)]),
    ];
    for (name, rule, start, readings, expected) in cases {
        assert_eq!(history(rule, *start, readings), *expected, "{name}");
    }
}

#[test]
fn a_transition_has_the_value_that_made_it() {
    let fired = step(
        &Rule { hold: Duration::ZERO, ..rule() },
        Standing::restored(AlertState::Cleared),
        reading(Some(501)),
        secs(1),
    );
    let expected = Transition { from: AlertState::Cleared, to: AlertState::Firing, value: Some(Measure::whole(501)) };
    assert_eq!(fired.transition, Some(expected));
}

fn states() -> impl Strategy<Value = AlertState> {
    prop::sample::select(vec![AlertState::Cleared, AlertState::Pending, AlertState::Firing, AlertState::NoData])
}

fn readings() -> impl Strategy<Value = Vec<(u64, Option<i64>)>> {
    prop::collection::vec((0_u64..40, prop::option::weighted(0.9, 300_i64..600)), 1..60)
}

proptest! {
    #[test]
    fn it_never_flaps_inside_the_band(values in prop::collection::vec((1_u64..100, 401_i64..=500), 1..50)) {
        for start in [AlertState::Cleared, AlertState::Firing] {
            let mut now = 0;
            let readings: Vec<_> = values.iter().map(|(wait, value)| { now += wait; (now, Some(*value)) }).collect();
            prop_assert_eq!(history(&rule(), start, &readings), vec![]);
        }
    }

    #[test]
    fn looking_again_changes_nothing(start in states(), readings in readings(), fire in any::<bool>()) {
        let rule = Rule { no_data: if fire { NoData::Fire } else { NoData::Ignore }, ..rule() };
        let (mut standing, mut now) = (Standing::restored(start), Duration::ZERO);
        for (wait, value) in readings {
            now += secs(wait);
            let first = step(&rule, standing, reading(value), now);
            let again = step(&rule, first.standing, reading(value), now);
            prop_assert_eq!(again.standing, first.standing);
            prop_assert_eq!(again.transition, None);
            prop_assert!(first.look_at.is_none_or(|due| due > now));
            standing = first.standing;
        }
    }

    #[test]
    fn a_restart_neither_fires_anew_nor_forgets(start in states(), readings in readings()) {
        let (mut standing, mut now) = (Standing::restored(start), Duration::ZERO);
        for (wait, value) in readings {
            now += secs(wait);
            standing = step(&rule(), standing, reading(value), now).standing;
            let after = step(&rule(), Standing::restored(standing.state), reading(value), now);
            prop_assert_eq!(after.standing.state, standing.state);
            prop_assert_eq!(after.transition, None);
        }
    }

    #[test]
    fn it_fires_only_after_all_readings_of_its_time_were_bad(readings in readings()) {
        let (mut standing, mut now, mut good_at) = (Standing::default(), secs(1000), secs(1000));
        for (wait, value) in readings {
            now += secs(wait);
            let next = step(&rule(), standing, reading(value), now);
            if value.is_none_or(|value| value <= 500) {
                good_at = now;
            }
            if next.transition.is_some_and(|change| change.to == AlertState::Firing) {
                prop_assert!(now >= good_at + rule().hold);
            }
            standing = next.standing;
        }
    }
}
