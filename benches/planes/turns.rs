//! Ours and its peers in turn, and what was seen of each.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    peer::{Missing, Peer},
    process::{client_processor, processor},
    table::Group,
};

/// How often each is measured; the figure in the middle counts.
pub const ROUNDS: usize = 3;
pub const OURS: &str = "ours";
/// How long after the end of a measurement the last answers may come.
const GRACE: Duration = Duration::from_secs(30);

/// What clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Good answers.
    pub answers: u64,
    /// Connections that broke, wrong answers, none.
    pub errors: u64,
    /// How long each good answer took, in microseconds; nothing where nobody can say.
    pub micros: Vec<u32>,
}

impl Seen {
    /// A request was answered.
    pub fn answered(&mut self, since: Instant) {
        self.answers += 1;
        self.micros.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// What is told of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Answers a second.
    pub rate: f64,
    /// Milliseconds that half of the answers took at most.
    pub p50: Option<f64>,
    /// And 99 of 100.
    pub p99: Option<f64>,
    /// Microseconds of processor time an answer, of the server alone.
    pub cpu: f64,
    /// In the whole measurement.
    pub errors: f64,
    /// Share of their processor that the clients used: where it is near 1, they are what bounds the rate.
    pub client: f64,
}

/// Who is measured.
pub struct Field {
    /// Ours: where it serves, and its process.
    pub ours: (SocketAddr, u32),
    pub peers: Vec<Result<Peer, Missing>>,
}

/// Callers side by side, until all have ended.
pub async fn callers<F>(count: usize, caller: impl Fn(usize) -> F) -> Seen
where
    F: Future<Output = Seen> + Send + 'static,
{
    let mut tasks: JoinSet<Seen> = (0..count).map(caller).collect();
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen.expect("a caller that ends well");
        all.answers += seen.answers;
        all.errors += seen.errors;
        all.micros.extend(seen.micros);
    }
    all
}

/// Loads one server, after a short time that does not count.
pub async fn watch(id: u32, time: Duration, load: impl AsyncFn(Instant) -> Seen) -> Figures {
    let warm = (time / 5).min(Duration::from_secs(1));
    until(Instant::now() + warm, &load).await;
    let (cpu, client, began) = (processor(id), client_processor(), Instant::now());
    let mut seen = until(began + time, &load).await;
    let took = began.elapsed().as_secs_f64();
    let (cpu, client) = (processor(id) - cpu, client_processor() - client);
    seen.micros.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
    let (answers, errors) = (seen.answers.max(1) as f64, seen.errors as f64);
    let (p50, p99) = (quantile(&seen.micros, 0.5), quantile(&seen.micros, 0.99));
    let (cpu, client) = (cpu.as_secs_f64() * 1e6 / answers, client.as_secs_f64() / took);
    Figures { rate: answers / took, p50, p99, cpu, errors, client }
}

async fn until(end: Instant, load: &impl AsyncFn(Instant) -> Seen) -> Seen {
    let left = end.saturating_duration_since(Instant::now());
    timeout(left + GRACE, load(end)).await.expect("a server that answers")
}

/// Milliseconds that this share of the answers took at most.
fn quantile(sorted: &[u32], share: f64) -> Option<f64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let at = ((sorted.len() as f64 * share).ceil() as usize).max(1) - 1;
    sorted.get(at).map(|micros| f64::from(*micros) / 1e3)
}

/// What was seen in all rounds.
#[derive(Default)]
pub struct Rounds(BTreeMap<&'static str, Vec<Figures>>);

impl Rounds {
    /// One more.
    pub fn add(&mut self, name: &'static str, figures: Figures) {
        self.0.entry(name).or_default().push(figures);
    }

    /// Of each figure the one in the middle.
    fn middle(&self, name: &str) -> Figures {
        let all = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let of = |figure: fn(&Figures) -> Option<f64>| middle(all.iter().filter_map(figure).collect());
        let must = |figure| of(figure).unwrap_or_default();
        Figures {
            rate: must(|seen| Some(seen.rate)),
            p50: of(|seen| seen.p50),
            p99: of(|seen| seen.p99),
            cpu: must(|seen| Some(seen.cpu)),
            errors: all.iter().map(|seen| seen.errors).fold(0.0, f64::max),
            client: must(|seen| Some(seen.client)),
        }
    }

    /// Ours first, then the peers, also those that are missing.
    pub fn group(&self, case: &str, peers: &[Result<Peer, Missing>]) -> Group {
        let mut group = Group::new(case, self.middle(OURS));
        for peer in peers {
            match peer {
                Ok(peer) => group.peer(peer.name, Ok(self.middle(peer.name))),
                Err(missing) => group.peer(missing.name, Err(missing.why.clone())),
            }
        }
        group
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Loads all of them in turn; the load is told where, and when to end.
pub async fn in_turn(
    case: &str,
    time: Duration,
    field: &Field,
    load: impl AsyncFn(SocketAddr, Instant) -> Seen,
) -> Group {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let (at, id) = field.ours;
        rounds.add(OURS, watch(id, time, async |end| load(at, end).await).await);
        for peer in field.peers.iter().flatten() {
            let figures = watch(peer.process.id(), time, async |end| load(peer.at, end).await).await;
            rounds.add(peer.name, figures);
        }
    }
    rounds.group(case, &field.peers)
}
