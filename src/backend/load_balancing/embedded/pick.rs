//! Which target takes the next connection. Pure.

use crate::protocol::load_balancer::Algorithm;

/// How good a choice a target is; the best that there are share the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Healthy.
    Proven,
    /// Not checked yet. Takes connections only while no target is healthy, so that a new balancer serves at once and a
    /// new target of an old one starts when it has proven itself.
    Unproven,
    /// Healthy by its checks, but a connection to it failed a moment ago.
    ProvenResting,
    /// Not checked yet, and a connection to it failed a moment ago.
    UnprovenResting,
}

/// What picking knows of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Share; 0 is never picked.
    pub weight: u32,
    /// Absent: never picked.
    pub rank: Option<Rank>,
    /// Connections that it has.
    pub open: usize,
}

/// Smooth weighted round robin: over as many turns as the weights sum up to, each target is picked as often as its weight
/// says, as evenly spread as can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wheel(Vec<i64>);

impl Wheel {
    /// A wheel whose targets stand where they stood on an earlier one.
    #[must_use]
    pub fn new(standing: Vec<i64>) -> Self {
        Self(standing)
    }

    /// Where a target stands.
    #[must_use]
    pub fn standing(&self, index: usize) -> i64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// The next of the targets that `takes` admits.
    fn turn(&mut self, candidates: &[Candidate], takes: impl Fn(&Candidate) -> bool) -> Option<usize> {
        self.0.resize(candidates.len(), 0);
        let (mut total, mut best) = (0, None);
        for (index, (standing, candidate)) in self.0.iter_mut().zip(candidates).enumerate() {
            if !takes(candidate) {
                continue;
            }
            let weight = i64::from(candidate.weight);
            *standing += weight;
            total += weight;
            if best.is_none_or(|(_, highest)| *standing > highest) {
                best = Some((index, *standing));
            }
        }
        let (index, _) = best?;
        if let Some(standing) = self.0.get_mut(index) {
            *standing -= total;
        }
        Some(index)
    }
}

/// The target that takes the next connection, if any can.
pub fn pick(algorithm: Algorithm, candidates: &[Candidate], wheel: &mut Wheel) -> Option<usize> {
    let usable = |candidate: &&Candidate| candidate.weight > 0 && candidate.rank.is_some();
    let rank = candidates.iter().filter(usable).map(|candidate| candidate.rank).min()?;
    let first_choice = |candidate: &Candidate| candidate.weight > 0 && candidate.rank == rank;
    match algorithm {
        Algorithm::RoundRobin => wheel.turn(candidates, first_choice),
        Algorithm::LeastConnections => {
            let least = candidates.iter().filter(|c| first_choice(c)).min_by(|a, b| load(a, b).cmp(&load(b, a)))?;
            wheel.turn(candidates, |c| first_choice(c) && load(c, least) == load(least, c))
        }
    }
}

/// Load of `a` in relation to its weight, scaled so that it compares with `load(b, a)` without a division.
fn load(a: &Candidate, b: &Candidate) -> u128 {
    (a.open as u128) * u128::from(b.weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(weight: u32) -> Candidate {
        Candidate { weight, rank: Some(Rank::Proven), open: 0 }
    }

    fn turns(candidates: &[Candidate], count: usize) -> Vec<usize> {
        let mut wheel = Wheel::default();
        (0..count).filter_map(|_| pick(Algorithm::RoundRobin, candidates, &mut wheel)).collect()
    }

    #[test]
    fn round_robin_spreads_evenly() {
        assert_eq!(turns(&[candidate(5), candidate(1), candidate(1)], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[candidate(1), candidate(1)], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn ranks_decide_before_weights() {
        let ranked = |rank| Candidate { rank: Some(rank), ..candidate(1) };
        let all = [Rank::UnprovenResting, Rank::ProvenResting, Rank::Unproven, Rank::Proven];
        for count in 1..=4 {
            let candidates: Vec<_> = all.iter().take(count).copied().map(ranked).collect();
            assert_eq!(pick(Algorithm::RoundRobin, &candidates, &mut Wheel::default()), Some(count - 1));
        }
        let spare = [Candidate { weight: 0, ..candidate(1) }, ranked(Rank::Unproven)];
        assert_eq!(pick(Algorithm::RoundRobin, &spare, &mut Wheel::default()), Some(1));
    }

    #[test]
    fn least_connections_is_in_relation_to_the_weight_and_ties_take_turns() {
        let mut candidates = [candidate(2), candidate(1)];
        let mut wheel = Wheel::default();
        for _ in 0..30 {
            let index = pick(Algorithm::LeastConnections, &candidates, &mut wheel).unwrap();
            candidates[index].open += 1;
        }
        assert_eq!([candidates[0].open, candidates[1].open], [20, 10]);
        let mut wheel = Wheel::default();
        let idle = [candidate(1), candidate(1)];
        let picks: Vec<_> = (0..4).filter_map(|_| pick(Algorithm::LeastConnections, &idle, &mut wheel)).collect();
        assert_eq!(picks, [0, 1, 0, 1]);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let rank =
            proptest::option::of(prop_oneof![Just(Rank::Proven), Just(Rank::Unproven), Just(Rank::ProvenResting)]);
        let one = (0_u32..20, rank, 0_usize..50).prop_map(|(weight, rank, open)| Candidate { weight, rank, open });
        proptest::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn shares_are_exact_over_each_cycle(weights in proptest::collection::vec(0_u32..20, 1..10)) {
            let candidates: Vec<_> = weights.iter().copied().map(candidate).collect();
            let cycle = weights.iter().sum::<u32>() as usize;
            let picks = turns(&candidates, cycle * 2);
            for half in picks.chunks(cycle.max(1)) {
                for (index, weight) in weights.iter().enumerate() {
                    prop_assert_eq!(half.iter().filter(|pick| **pick == index).count(), *weight as usize);
                }
            }
        }

        #[test]
        fn what_is_picked_can_be_and_nothing_better_is_left(
            list in proptest::collection::vec(candidates(), 1..20),
            least in any::<bool>(),
        ) {
            let algorithm = if least { Algorithm::LeastConnections } else { Algorithm::RoundRobin };
            let mut wheel = Wheel::default();
            for candidates in list {
                let usable: Vec<_> = candidates.iter().filter(|c| c.weight > 0 && c.rank.is_some()).collect();
                match pick(algorithm, &candidates, &mut wheel) {
                    None => prop_assert!(usable.is_empty()),
                    Some(index) => {
                        let picked = candidates[index];
                        prop_assert!(picked.weight > 0 && picked.rank.is_some());
                        prop_assert!(usable.iter().all(|other| picked.rank <= other.rank));
                        let same = usable.iter().filter(|other| other.rank == picked.rank);
                        let lighter = |other: &&Candidate| load(other, &picked) < load(&picked, other);
                        prop_assert!(!least || !same.copied().any(|other| lighter(&other)));
                    }
                }
            }
        }
    }
}
