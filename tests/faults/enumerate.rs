//! Which plans there are: each call that a workload makes, with each fault.

use crate::{
    plan::{Fault, Point, Side},
    proxy::Call,
    workloads::{Trait, Workload},
};

/// A call, and what it meets.
pub type Meeting = (Point, Fault);

/// What can meet a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A call.
    Call,
    /// The opening of a stream.
    Opening,
    /// An event of one.
    Event,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Call, Self::Opening, Self::Event];

    fn of(call: &Call) -> Self {
        match (call.point.role.starts_with("EVENT:"), call.stream) {
            (true, _) => Self::Event,
            (_, true) => Self::Opening,
            _ => Self::Call,
        }
    }

    /// What every run does to it: killed, lost, doubled, late.
    pub fn always(self) -> Vec<Fault> {
        match self {
            Self::Call => Fault::ALWAYS.to_vec(),
            Self::Opening => Fault::OPENING.to_vec(),
            Self::Event => vec![],
        }
    }

    /// What full runs do to it besides: each answer is another, each event of a stream goes wrong.
    pub fn besides(self) -> Vec<Fault> {
        match self {
            Self::Call => Fault::full(),
            Self::Opening => Fault::full_opening(),
            Self::Event => Fault::EVENTS.to_vec(),
        }
    }

    /// Each of these faults at each call of a workload that is of this class.
    pub fn meetings(self, workload: Workload, calls: &[Call], faults: &[Fault]) -> Vec<Meeting> {
        let calls = calls.iter().filter(|call| Self::of(call) == self && its_own(workload, call));
        calls.flat_map(|call| faults.iter().map(|fault| (call.point.clone(), *fault))).collect()
    }
}

/// At most so many of all, evenly. The faults of a call are neighbours, `cycle` of them: a step that shares no factor with
/// their number meets each fault at one call or another, and a step that is not longer meets each call.
pub fn sample<T>(all: Vec<T>, cycle: usize, many: usize, offset: usize) -> Vec<T> {
    let least = all.len().div_ceil(many.max(1)).max(1);
    let step = (least..).find(|step| common_factor(*step, cycle) == 1).unwrap_or(least);
    all.into_iter().skip(offset % step).step_by(step).collect()
}

fn common_factor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_factor(b, a % b) }
}

/// Calls that each start and each binding brings are enumerated in one workload.
fn its_own(workload: Workload, call: &Call) -> bool {
    workload.trait_ == Trait::Binding || !starts(&call.point)
}

fn starts(point: &Point) -> bool {
    let (method, about) = point.role.split_once(':').unwrap_or_default();
    let shared =
        about.starts_with("projectbindings") || about.starts_with("secrets/token") || matches!(about, "view" | "feed");
    let opens =
        method == "GET" && (about.ends_with("?watch") || (point.side == Side::Kubernetes && !about.contains('/')));
    method != "EVENT" && (shared || opens)
}

#[test]
fn a_sample_meets_each_call_and_each_fault() {
    let faults = Fault::full();
    let all: Vec<(usize, usize)> =
        (0..400).flat_map(|call| (0..faults.len()).map(move |fault| (call, fault))).collect();
    for (many, offset) in [(6_000, 0), (3_000, 7), (1_000, 12_345)] {
        let sample = sample(all.clone(), faults.len(), many, offset);
        assert!(sample.len() <= many && sample.len() > many / 2, "{}", sample.len());
        let met =
            |of: fn(&(usize, usize)) -> usize| sample.iter().map(of).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!((met(|one| one.0), met(|one| one.1)), (400, faults.len()));
    }
}
