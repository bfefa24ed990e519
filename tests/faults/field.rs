//! All lanes, and the queue that they work off. One field serves all tests of this program.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock},
};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, OnceCell, oneshot},
    time::Instant,
};

use crate::{
    campaign::{self, Verdict},
    ground::Ground,
    job::Job,
    lane::{self, Lane},
    progress::Progress,
    table::References,
};

/// How many jobs run at the same time.
const LANES: usize = 10;
/// How many more run that mostly wait, for the namespace controller for instance.
const WAITING: usize = 4;

static FIELD: OnceLock<Field> = OnceLock::new();

/// Lanes on one ground.
pub struct Field {
    queue: Arc<Queue>,
    /// How workloads go without faults, recorded once.
    pub references: OnceCell<References>,
    /// When it was started.
    pub began: Instant,
}

/// A job, and where its verdict goes.
type Ticket = (Job, oneshot::Sender<(Job, Verdict)>);

#[derive(Default)]
struct Queue {
    /// Those that keep the machine busy, and those that wait.
    jobs: Mutex<[VecDeque<Ticket>; 2]>,
    more: Notify,
}

impl Queue {
    fn push(&self, job: Job) -> oneshot::Receiver<(Job, Verdict)> {
        let (verdict, told) = oneshot::channel();
        self.jobs.lock().unwrap()[usize::from(job.waits())].push_back((job, verdict));
        self.more.notify_one();
        told
    }

    /// The next job; the others' when there is none of one's own.
    async fn next(&self, waiting: bool) -> Ticket {
        loop {
            {
                let mut jobs = self.jobs.lock().unwrap();
                let own = usize::from(waiting);
                if let Some(ticket) = jobs[own].pop_front().or_else(|| jobs[1 - own].pop_front()) {
                    self.more.notify_one();
                    return ticket;
                }
            }
            self.more.notified().await;
        }
    }
}

impl Field {
    /// The field. Children die with the thread that started them, and a test's runtime ends with the test: it has a thread
    /// of its own, which stays.
    pub async fn shared() -> &'static Self {
        tokio::task::spawn_blocking(|| FIELD.get_or_init(on_its_own_thread)).await.expect("the field starts")
    }

    async fn start() -> Self {
        let began = Instant::now();
        let ground = Arc::new(Ground::start().await);
        let queue = Arc::<Queue>::default();
        let ports = lane::ports(LANES + WAITING).into_iter().enumerate();
        let lanes = join_all(ports.map(|(number, ports)| Lane::start(Arc::clone(&ground), number + 1, ports))).await;
        for (number, lane) in lanes.into_iter().enumerate() {
            let (queue, lane) = (Arc::clone(&queue), Arc::new(lane));
            tokio::spawn(async move { work(&queue, &lane, number >= LANES).await });
        }
        Self { queue, references: OnceCell::new(), began }
    }

    /// Runs all jobs; each with its verdict.
    pub async fn all(&self, what: &'static str, jobs: impl IntoIterator<Item = Job>) -> Vec<(Job, Verdict)> {
        let mut running: FuturesUnordered<_> = jobs.into_iter().map(|job| self.queue.push(job)).collect();
        let (progress, mut done) = (Progress::new(what, running.len()), Vec::new());
        while let Some(ended) = running.next().await {
            let (job, verdict) = ended.expect("the lane lives");
            if job.plan.bug.is_none() && !verdict.violations.is_empty() {
                println!("FAULT_PLAN='{}'", job.plan);
                verdict.violations.iter().for_each(|violation| println!("  {violation}"));
                println!("{}", verdict.log);
            }
            progress.done(&verdict.spent, !verdict.violations.is_empty());
            done.push((job, verdict));
        }
        done
    }
}

fn on_its_own_thread() -> Field {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        sender.send(runtime.block_on(Field::start())).expect("the first test waits");
        runtime.block_on(std::future::pending::<()>());
    });
    receiver.recv().expect("the field starts; see above")
}

async fn work(queue: &Queue, lane: &Arc<Lane>, waiting: bool) {
    loop {
        let (job, verdict) = queue.next(waiting).await;
        let mut found = campaign::run(lane, &job).await;
        if !job.kept {
            found.forget();
        }
        drop(verdict.send((job, found)));
    }
}
