//! One fault at one call, as a line of text that means the same call in the next run.

use std::{fmt, str::FromStr};

use crate::planted::Bug;

/// Whom the operator called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// kube-apiserver.
    Kubernetes,
    /// The Loopback API.
    Backend,
}

/// One call, or one event of a stream, by what it is about: paths have roles in place of what is new in each run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Whom.
    pub side: Side,
    /// Method and path, for instance `POST:object-stores/assets`.
    pub role: String,
    /// The how manieth of these, from 1.
    pub nth: u32,
}

/// What an answer says about coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// Nothing.
    Silent,
    /// At once.
    Now,
    /// In a second.
    Second,
    /// In a year.
    Huge,
    /// Something that is no number.
    Garbage,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The operator is killed before the call goes on, and started again.
    KilledBefore,
    /// The operator is killed when the call was carried out, before it has the answer.
    KilledAfter,
    /// The call is carried out, its answer is lost.
    AnswerLost,
    /// The call is carried out twice.
    Twice,
    /// The caller sees a reset; the call is carried out when it has moved on.
    Late,
    /// The call is not carried out, and answered so.
    Code(u16, Later),
    /// The answer comes after the caller has given up.
    Slow,
    /// Half of the answer.
    Truncated,
    /// Good JSON of another shape.
    WrongType,
    /// What a proxy shows to people.
    Html,
    /// More than anybody reads.
    Huge,
    /// An event of a stream never comes.
    Dropped,
    /// An event and all after it come late.
    Delayed,
    /// An event comes twice.
    Doubled,
    /// The stream ends before an event.
    Closed,
    /// The stream says that its reader must start over.
    Expired,
}

impl Fault {
    /// Those that every call meets in every run.
    pub const ALWAYS: [Self; 5] = [Self::KilledBefore, Self::KilledAfter, Self::AnswerLost, Self::Twice, Self::Late];
    /// Those that a stream's opening meets in every run.
    pub const OPENING: [Self; 3] = [Self::KilledBefore, Self::KilledAfter, Self::AnswerLost];
    /// Those that events meet in full runs.
    pub const EVENTS: [Self; 5] = [Self::Dropped, Self::Delayed, Self::Doubled, Self::Closed, Self::Expired];
    /// Wrong bodies.
    const BODIES: [Self; 3] = [Self::WrongType, Self::Html, Self::Huge];
    const CODES: [u16; 14] = [400, 401, 403, 404, 409, 410, 412, 413, 422, 429, 500, 502, 503, 504];
    const LATER: [Later; 5] = [Later::Silent, Later::Now, Later::Second, Later::Huge, Later::Garbage];

    fn codes() -> impl Iterator<Item = Self> {
        Self::CODES.iter().flat_map(|code| Self::LATER.iter().map(|later| Self::Code(*code, *later)))
    }

    /// Those that calls meet in full runs, besides.
    pub fn full() -> Vec<Self> {
        Self::codes().chain([Self::Slow, Self::Truncated]).chain(Self::BODIES).collect()
    }

    /// Those that the opening of a stream meets in full runs, besides.
    pub fn full_opening() -> Vec<Self> {
        Self::codes().chain(Self::BODIES).collect()
    }

    fn names() -> Vec<(String, Self)> {
        let all = Self::ALWAYS.into_iter().chain(Self::EVENTS).chain(Self::full());
        all.map(|fault| (fault.to_string(), fault)).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
            Self::AnswerLost => "answer-lost",
            Self::Twice => "twice",
            Self::Late => "late",
            Self::Slow => "slow",
            Self::Truncated => "truncated",
            Self::WrongType => "wrong-type",
            Self::Html => "html",
            Self::Huge => "huge",
            Self::Dropped => "dropped",
            Self::Delayed => "delayed",
            Self::Doubled => "doubled",
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Code(code, Later::Silent) => return write!(f, "code-{code}"),
            Self::Code(code, later) => return write!(f, "code-{code}-{later:?}"),
        };
        f.write_str(name)
    }
}

impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::names().into_iter().find(|(name, _)| name == text);
        found.map(|(_, fault)| fault).ok_or_else(|| format!("no fault {text}"))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Kubernetes => 'k',
            Side::Backend => 'b',
        };
        write!(f, "{side}:{}#{}", self.role, self.nth)
    }
}

impl FromStr for Point {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("no call: {text}");
        let (side, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (role, nth) = rest.rsplit_once('#').ok_or_else(wrong)?;
        let side = match side {
            "k" => Side::Kubernetes,
            "b" => Side::Backend,
            _ => return Err(wrong()),
        };
        Ok(Self { side, role: role.to_owned(), nth: nth.parse().map_err(|_| wrong())? })
    }
}

/// A workload, and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the workload.
    pub workload: String,
    /// What its choices come from.
    pub seed: u64,
    /// Which call meets which fault.
    pub at: Option<(Point, Fault)>,
    /// What the operator is made to look like.
    pub bug: Option<Bug>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workload={} seed={}", self.workload, self.seed)?;
        if let Some((at, fault)) = &self.at {
            write!(f, " at={at} fault={fault}")?;
        }
        self.bug.iter().try_for_each(|bug| write!(f, " bug={bug:?}"))
    }
}

impl FromStr for Plan {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let field = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let needed = |name: &str| field(name).ok_or_else(|| format!("the plan has no {name}: {text}"));
        let at = match (field("at"), field("fault")) {
            (None, None) => None,
            _ => Some((needed("at")?.parse()?, needed("fault")?.parse()?)),
        };
        Ok(Self {
            workload: needed("workload")?.to_owned(),
            seed: needed("seed")?.parse().map_err(|_| "seed is no number".to_owned())?,
            at,
            bug: field("bug").map(|name| Bug::named(name).ok_or_else(|| format!("no bug {name}"))).transpose()?,
        })
    }
}

#[test]
fn a_plan_is_one_line_that_can_be_read_back() {
    let faults = Fault::names();
    assert!(faults.len() > 80, "{faults:?}");
    let at = |fault| Some((Point { side: Side::Backend, role: "POST:object-stores/assets".into(), nth: 2 }, fault));
    let with = faults.into_iter().map(|(_, fault)| at(fault)).chain([None]);
    for (at, bug) in with.flat_map(|at| [(at.clone(), None), (at, Some(Bug::IfMatchDropped))]) {
        let plan = Plan { workload: "bucket-life".into(), seed: 1, at, bug };
        assert_eq!(plan.to_string().parse(), Ok(plan));
    }
    assert!("workload=a seed=1 at=b:GET:view#1".parse::<Plan>().is_err());
}
