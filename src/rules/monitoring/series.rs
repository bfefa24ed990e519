//! The samples that a condition looks at, and the one value that a window makes of them.

use std::{collections::VecDeque, time::Duration};

use super::{Function, Measure};

/// Samples that one series holds at most: an hour, one a second.
const MOST: usize = 3_601;

/// What was measured within a window that ends at the newest sample. Holds no more than that.
#[derive(Clone, Debug)]
pub struct Series {
    window: Duration,
    samples: VecDeque<(Duration, Measure)>,
}

impl Series {
    /// A series without samples. A window of no length holds the newest sample alone.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { window, samples: VecDeque::new() }
    }

    /// Adds what a probe at `at` measured, or that it measured nothing. `at` never goes back.
    pub fn add(&mut self, at: Duration, measured: Option<Measure>) {
        while self.samples.front().is_some_and(|(then, _)| *then + self.window <= at) || self.samples.len() >= MOST {
            self.samples.pop_front();
        }
        if let Some(measure) = measured {
            self.samples.push_back((at, measure));
        }
    }

    /// Samples that are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether no sample is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The value of the window; absent while it has no samples.
    #[must_use]
    pub fn value(&self, function: Function) -> Option<Measure> {
        let values = || self.samples.iter().map(|(_, measure)| measure.to_thousandths());
        let count = i64::try_from(self.samples.len()).unwrap_or(i64::MAX);
        let (_, last) = self.samples.back()?;
        let value = match function {
            Function::Last => last.to_thousandths(),
            Function::Avg => sum(values()) / count,
            Function::Min => values().min()?,
            Function::Max => values().max()?,
            Function::Sum => sum(values()),
            Function::Count => return Some(Measure::whole(count)),
            Function::P95 => percentile_95(values().collect())?,
        };
        Some(Measure::thousandths(value))
    }
}

fn sum(values: impl Iterator<Item = i64>) -> i64 {
    values.fold(0, i64::saturating_add)
}

/// The smallest value that 95 of 100 do not exceed (nearest rank).
fn percentile_95(mut values: Vec<i64>) -> Option<i64> {
    let rank = (values.len() * 95).div_ceil(100).checked_sub(1)?;
    let (_, value, _) = values.select_nth_unstable(rank);
    Some(*value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(window: u64, samples: &[(u64, Option<i64>)]) -> Series {
        let mut series = Series::new(Duration::from_secs(window));
        for (at, value) in samples {
            series.add(Duration::from_secs(*at), value.map(Measure::whole));
        }
        series
    }

    #[test]
    fn functions() {
        let all = series(60, &[(1, Some(4)), (2, Some(1)), (3, None), (4, Some(10)), (5, Some(3))]);
        for (function, value) in [
            (Function::Last, 3_000),
            (Function::Avg, 4_500),
            (Function::Min, 1_000),
            (Function::Max, 10_000),
            (Function::Sum, 18_000),
            (Function::Count, 4_000),
            (Function::P95, 10_000),
        ] {
            assert_eq!(all.value(function), Some(Measure::thousandths(value)), "{function}");
            assert_eq!(series(60, &[(1, None)]).value(function), None, "{function}");
        }
        let hundred: Vec<_> = (1..=100).map(|n| (n, i64::try_from(n).ok())).collect();
        assert_eq!(series(1000, &hundred).value(Function::P95), Some(Measure::whole(95)));
    }

    #[test]
    fn a_window_forgets() {
        let samples = [(0, Some(9)), (10, Some(1)), (20, Some(2))];
        assert_eq!(series(20, &samples).value(Function::Max), Some(Measure::whole(2)));
        assert_eq!(series(21, &samples).value(Function::Max), Some(Measure::whole(9)));
        assert_eq!(series(0, &samples).len(), 1);
        assert!(series(0, &[(0, Some(1)), (1, None)]).is_empty(), "the newest probe measured nothing");
    }

    proptest! {
        #[test]
        fn no_more_is_held_than_the_window_needs(
            window in 0_u64..120,
            steps in prop::collection::vec((1_u64..20, prop::option::weighted(0.8, 0_i64..100)), 0..200),
        ) {
            let mut series = Series::new(Duration::from_secs(window));
            let (mut now, mut kept) = (0, Vec::new());
            for (step, value) in steps {
                now += step;
                series.add(Duration::from_secs(now), value.map(Measure::whole));
                kept.extend(value.map(|value| (now, value)));
                kept.retain(|(at, _)| *at == now || at + window > now);
                prop_assert_eq!(series.len(), kept.len());
                let greatest = kept.iter().map(|(_, value)| Measure::whole(*value)).max();
                prop_assert_eq!(series.value(Function::Max), greatest);
            }
        }
    }

    #[test]
    fn a_series_is_bounded() {
        let mut series = Series::new(Duration::from_secs(1_000_000));
        for at in 0..10_000 {
            series.add(Duration::from_secs(at), Some(Measure::whole(1)));
        }
        assert_eq!(series.len(), MOST);
    }
}
