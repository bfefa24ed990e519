//! One project of one backend as one token sees it: its client, its mirror, its health. Bindings share links.

use std::{
    mem::{Discriminant, discriminant},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use tokio::{sync::Notify, time::Instant};
use tracing::{info, warn};

use crate::{
    protocol::{
        Frame, Problem, ProjectView, RawObject,
        client::{CallError, Client},
    },
    runtime::{
        Drain, World,
        mirror::{Mirror, Notice, Source, Step},
    },
};

/// Pause before the backend is asked again while it is down: at most one probe a second.
const PROBE: Duration = Duration::from_secs(1);
/// Longest pause that an answer may ask for. It may come from something in between, and one call a minute harms nobody.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pause before a snapshot is asked for after the backend said to start over.
const RESTART: Duration = Duration::from_millis(100);
/// Pause before a refused token is tried again; a new token is tried at once, because it makes a new link.
const DENIED: Duration = Duration::from_secs(300);

/// While the backend is down, why is told once; another cause only after so long. What is left of a connection is told in other
/// words each time, and each word would be a write of each binding's status.
const ANOTHER_CAUSE: Duration = Duration::from_secs(60);
/// Pause before a project that was too large is read again.
const OVERFULL: Duration = Duration::from_secs(60);

/// How a link stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// First contact has not been made.
    Starting,
    /// The feed is followed and the mirror is complete.
    Up,
    /// The backend cannot be reached or does not work.
    Down(String),
    /// The backend refuses the token or the project.
    Denied(Box<Problem>),
}

/// What the engine must know about a link.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// Objects changed.
    Objects(Vec<Notice>),
    /// [`Link::health`] changed.
    Health,
}

/// Where a link tells its events.
pub type Listener = Arc<dyn Fn(&Link, LinkEvent) + Send + Sync>;

/// One project of one backend as one token sees it.
pub struct Link {
    /// For calls.
    pub client: Client,
    state: Mutex<State>,
    doubt: Notify,
    asked: Notify,
    listener: Listener,
}

struct State {
    mirror: Mirror,
    health: Health,
    /// What kind of failure was last told, and when.
    cause: Option<(Cause, Instant)>,
    view: Option<ProjectView>,
}

/// The kind of a failure, and the backend's status where it answered.
type Cause = (Discriminant<CallError>, Option<u16>);

impl Link {
    /// A link that follows the feed until `drain` starts.
    #[must_use]
    pub fn open(client: Client, listener: Listener, world: World, drain: &Drain) -> Arc<Self> {
        let state = State { mirror: Mirror::default(), health: Health::Starting, cause: None, view: None };
        let link =
            Arc::new(Self { client, state: Mutex::new(state), doubt: Notify::new(), asked: Notify::new(), listener });
        drain.spawn(follow(link.clone(), world, drain.clone()));
        link
    }

    /// How it stands.
    #[must_use]
    pub fn health(&self) -> Health {
        self.state().health.clone()
    }

    /// What it is connected to; `None` before first contact.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.state().mirror.source().cloned()
    }

    /// The project as the token saw it at the last connection.
    #[must_use]
    pub fn view(&self) -> Option<ProjectView> {
        self.state().view.clone()
    }

    /// Reads the mirror. `look` must be quick: others wait.
    pub fn look<T>(&self, look: impl FnOnce(&Mirror) -> T) -> T {
        look(&self.state().mirror)
    }

    /// Takes in the answer to a call.
    pub fn fold(&self, collection: &str, object: RawObject) {
        self.state().mirror.fold(collection, object);
    }

    /// Takes in that an object does not exist any more.
    pub fn fold_gone(&self, collection: &str, id: &str) {
        self.state().mirror.fold_gone(collection, id);
    }

    /// Somebody's call failed in a way that may concern all: have the feed find out now.
    pub fn suspect(&self) {
        self.doubt.notify_one();
    }

    /// A person has done something about a refusal, and asks: the next try waits no longer.
    pub fn ask_again(&self) {
        if matches!(self.health(), Health::Denied(_)) {
            self.asked.notify_waiters();
        }
    }

    fn set(&self, health: Health) {
        let before = std::mem::replace(&mut self.state().health, health.clone());
        if before == health {
            return;
        }
        match &health {
            Health::Down(why) => warn!(why, "backend is down"),
            Health::Denied(problem) => warn!(%problem, "backend refuses the token or the project"),
            Health::Up => info!("backend is up"),
            Health::Starting => {}
        }
        (self.listener)(self, LinkEvent::Health);
    }

    /// It does not work, for this reason.
    fn down(&self, error: &CallError) {
        let status = if let CallError::Refused(problem) = error { Some(problem.status) } else { None };
        let cause = (discriminant(error), status);
        {
            let mut state = self.state();
            let told = state.cause.as_ref().filter(|_| matches!(state.health, Health::Down(_)));
            if told.is_some_and(|(told, at)| *told == cause || at.elapsed() < ANOTHER_CAUSE) {
                return;
            }
            state.cause = Some((cause, Instant::now()));
        }
        self.set(Health::Down(error.to_string()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(link: Arc<Link>, world: World, drain: Drain) {
    while !drain.started() {
        let pause = tokio::select! {
            biased;
            () = drain.wait() => return,
            ended = once(&link) => match ended {
                Ok(pause) => pause,
                Err(error) => failed(&link, error),
            },
        };
        tokio::select! {
            biased;
            () = drain.wait() => return,
            () = link.asked.notified() => {}
            () = tokio::time::sleep(pause + world.up_to(pause / 4)) => {}
        }
    }
}

fn failed(link: &Link, error: CallError) -> Duration {
    match error {
        CallError::Refused(problem) if matches!(problem.status, 401 | 403 | 404) => {
            link.set(Health::Denied(problem));
            DENIED
        }
        CallError::Refused(problem) => {
            let asked = problem.retry_after.map_or(PROBE, Duration::from_secs);
            let pause = asked.clamp(PROBE, LONGEST_PAUSE);
            link.down(&CallError::Refused(problem));
            pause
        }
        error => {
            link.down(&error);
            PROBE
        }
    }
}

/// One connection of the feed, from its opening to its end; the pause before the next.
async fn once(link: &Link) -> Result<Duration, CallError> {
    let view = link.client.view().await?;
    link.state().view = Some(view);
    let cursor = link.state().mirror.cursor().cloned();
    let frames = link.client.changes(cursor.as_ref()).await?;
    pin_mut!(frames);
    let mut greeted = false;
    loop {
        let frame = tokio::select! {
            biased;
            frame = frames.next() => frame,
            // A call that fails while the feed looks well: ask whether the backend still answers.
            () = link.doubt.notified() => { link.client.view().await?; continue }
        };
        let Some(frame) = frame.transpose()? else { return Err(CallError::Doubtful("the feed ended".into())) };
        greeted |= matches!(frame, Frame::Hello { .. } | Frame::Reset { .. });
        if !greeted {
            // What comes without its sender's name might be of another store, or of another run.
            return Err(CallError::Doubtful("the feed does not begin with who is talking".into()));
        }
        let step = link.state().mirror.apply(frame);
        match step {
            Step::Changed(notices) if notices.is_empty() => {}
            Step::Changed(notices) => {
                // Before the first complete snapshot nobody can use what is there.
                if link.health() == Health::Up {
                    (link.listener)(link, LinkEvent::Objects(notices));
                }
            }
            Step::Synced(lost) => {
                link.set(Health::Up);
                (link.listener)(link, LinkEvent::Objects(lost));
            }
            Step::Restart => return Ok(RESTART),
            Step::Overfull => {
                let why =
                    format!("the project holds more than an operator keeps; read again every {} s", OVERFULL.as_secs());
                link.set(Health::Down(why));
                return Ok(OVERFULL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures::{FutureExt, future::BoxFuture};
    use reqwest::{Request, Response};
    use serde_json::json;

    use super::*;
    use crate::protocol::client::{Exchange, Token};

    /// A backend whose feeds are these texts, one after the other.
    struct Feeds(Mutex<VecDeque<String>>);

    impl Exchange for Feeds {
        fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, CallError>> {
            let view = json!({"id": "p", "name": "n", "organization": "o", "store": "s", "permissions": []});
            let text = match request.url().path().ends_with("/changes") {
                true => self.0.lock().unwrap().pop_front(),
                false => Some(view.to_string()),
            };
            async { text.map(|text| http::Response::new(text).into()).ok_or(CallError::Unreachable("over".into())) }
                .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_does_not_say_who_talks_is_not_believed() {
        let hello = r#"{"type":"hello","store":"s","epoch":"e","projectId":"p"}"#;
        let synced = r#"{"type":"synced","cursor":"1"}"#;
        let feeds = Feeds(Mutex::new([format!("{synced}\n"), format!("{hello}\n{synced}\n")].into()));
        let url = "http://localhost".parse().unwrap();
        let client = Client::new(Arc::new(feeds), &url, "n", Token::new("t").unwrap()).unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let listener: Listener = Arc::new(move |link, event| {
            if matches!(event, LinkEvent::Health) {
                told.send((link.health(), link.source().is_some())).unwrap();
            }
        });
        let drain = Drain::new();
        let _link = Link::open(client, listener, World::real(), &drain);
        assert!(matches!(heard.recv().await.unwrap(), (Health::Down(why), false) if why.contains("who is talking")));
        assert_eq!(heard.recv().await.unwrap(), (Health::Up, true));
        drain.start();
    }

    /// A backend that does not work, in words that change.
    struct Broken(AtomicUsize);

    impl Exchange for Broken {
        fn send(&self, _: Request) -> BoxFuture<'static, Result<Response, CallError>> {
            let call = self.0.fetch_add(1, Ordering::Relaxed);
            let error = match call % 3 {
                0 => CallError::Doubtful("closed".into()),
                1 => CallError::Doubtful("reset".into()),
                _ => CallError::Unreachable("refused".into()),
            };
            async { Err(error) }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn why_it_is_down_is_told_once_however_the_words_change() {
        let url = "http://localhost".parse().unwrap();
        let broken = Arc::new(Broken(AtomicUsize::new(0)));
        let client = Client::new(broken.clone(), &url, "n", Token::new("t").unwrap()).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener: Listener = {
            let told = told.clone();
            Arc::new(move |link, _| told.lock().unwrap().push(link.health()))
        };
        let drain = Drain::new();
        let _link = Link::open(client, listener, World::real(), &drain);
        tokio::time::sleep(ANOTHER_CAUSE - PROBE).await;
        let whys = || told.lock().unwrap().iter().filter(|health| matches!(health, Health::Down(_))).count();
        assert!(broken.0.load(Ordering::Relaxed) >= 40, "it is asked all the time");
        assert_eq!(whys(), 1, "{:?}", told.lock().unwrap());
        tokio::time::sleep(10 * PROBE).await;
        assert_eq!(whys(), 2, "another cause is told in the end");
        drain.start();
    }
}
