//! Tells a plane what it shall make real.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{Collections, Homes, RETRY, lock};
use crate::{
    backend::{
        follow::{Event, latest},
        plane::IntentChange,
        records::{self, Stored},
        store::{self, Commit, Row, Store, Table, View, decode},
    },
    protocol::{ObjectId, Phase, Problem, Project, Revision},
};

/// Commits in one step.
const STEP: usize = 256;

/// Tells the plane what it shall make real.
pub(super) struct Feeder {
    store: Arc<dyn Store>,
    collections: Collections,
    intents: mpsc::Sender<IntentChange>,
    homes: Homes,
    /// Projects by id.
    projects: BTreeMap<ObjectId, Arc<Project>>,
    /// What the plane was told last, and where in the collections. Its own reports change none of it.
    known: BTreeMap<ObjectId, (usize, (Revision, Phase, bool))>,
}

/// The plane is gone.
pub(super) struct Closed;

impl Feeder {
    pub(super) fn new(
        store: Arc<dyn Store>,
        collections: Collections,
        intents: mpsc::Sender<IntentChange>,
        homes: Homes,
    ) -> Self {
        Self { store, collections, intents, homes, projects: BTreeMap::new(), known: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) {
        let mut synced = false;
        loop {
            let stop = match self.snapshot().await {
                Ok(Some(position)) => self.go_on(position, &mut synced).await.is_err(),
                Ok(None) => {
                    tokio::time::sleep(RETRY).await;
                    false
                }
                Err(Closed) => true,
            };
            if stop {
                return;
            }
        }
    }

    async fn send(&self, change: IntentChange) -> Result<(), Closed> {
        self.intents.send(change).await.map_err(|_| Closed)
    }

    /// Tells all that exists and differs from what was told before. The revision from which to follow; `None` when the store
    /// failed.
    pub(super) async fn snapshot(&mut self) -> Result<Option<Revision>, Closed> {
        match self.read_all().await {
            Ok((start, seen)) => {
                self.forget_all_but(&seen).await?;
                Ok(Some(start))
            }
            Err(Stop::Closed) => Err(Closed),
            Err(Stop::Store(problem)) => {
                tracing::error!(%problem, "intents cannot be read");
                Ok(None)
            }
        }
    }

    async fn read_all(&mut self) -> Result<(Revision, BTreeSet<ObjectId>), Stop> {
        let start = self.read_projects().await?;
        let projects: Vec<ObjectId> = self.projects.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        for project in projects {
            for rank in 0..self.collections.len() {
                self.read_collection(&project, rank, start, &mut seen).await?;
            }
        }
        Ok((start, seen))
    }

    async fn read_projects(&mut self) -> Result<Revision, Problem> {
        let look = |view: &dyn View| Ok((view.revision(), view.scan(Table::Projects, b"", b"", usize::MAX)?));
        let (revision, rows) = store::read(&*self.store, look).await?;
        for (_, value) in rows {
            let project: Project = decode(&value)?;
            self.projects.insert(project.id.clone(), Arc::new(project));
        }
        Ok(revision)
    }

    async fn read_collection(
        &mut self,
        project: &str,
        rank: usize,
        start: Revision,
        seen: &mut BTreeSet<ObjectId>,
    ) -> Result<(), Stop> {
        let Some(collection) = self.collections.get(rank) else { return Ok(()) };
        let (prefix, mut last) = (store::key(&[project, collection.path]), Vec::new());
        loop {
            let rows = self.read_rows(&prefix, &last).await?;
            let Some((key, _)) = rows.last() else { return Ok(()) };
            last.clone_from(key);
            for (key, value) in &rows {
                seen.extend(records::split_key(key).map(|(_, _, id)| id.to_owned()));
                self.tell(&Event { revision: start, key, value: Some(value), removed: None }, Some(start)).await?;
            }
        }
    }

    async fn read_rows(&self, prefix: &[u8], last: &[u8]) -> Result<Vec<Row>, Problem> {
        let (prefix, last) = (prefix.to_vec(), last.to_vec());
        store::read(&*self.store, move |view: &dyn View| Ok(records::rows_after(view, &prefix, &last)?)).await
    }

    async fn forget_all_but(&mut self, seen: &BTreeSet<ObjectId>) -> Result<(), Closed> {
        let gone = self.known.iter().filter(|(id, _)| !seen.contains(*id));
        let mut gone: Vec<_> = gone.map(|(id, (rank, _))| (*rank, id.clone())).collect();
        gone.sort_by(|a, b| b.cmp(a));
        for (_, id) in gone {
            self.gone(&id).await?;
        }
        Ok(())
    }

    async fn gone(&mut self, id: &str) -> Result<(), Closed> {
        let Some((rank, _)) = self.known.remove(id) else { return Ok(()) };
        lock(&self.homes).remove(id);
        let Some(collection) = self.collections.get(rank) else { return Ok(()) };
        self.send(IntentChange::Gone { collection: collection.path.to_owned(), id: id.to_owned() }).await
    }

    /// Tells what happens, until the log is lost or the store failed. What happened during the snapshot belongs to it.
    async fn go_on(&mut self, position: Revision, synced: &mut bool) -> Result<(), Closed> {
        let Ok(commits) = self.store.log().after(position, usize::MAX) else { return Ok(()) };
        if !self.take_in(&commits).await? {
            return Ok(());
        }
        let mut position = commits.last().map_or(position, |commit| commit.revision);
        if !std::mem::replace(synced, true) {
            self.send(IntentChange::Synced { revision: position }).await?;
        }
        while let Ok(commits) = self.store.log().wait(position, STEP).await {
            if !self.take_in(&commits).await? {
                return Ok(());
            }
            position = commits.last().map_or(position, |commit| commit.revision);
        }
        Ok(())
    }

    /// Of some commits, first what is gone, children first; then what is there, parents first. False when the store failed:
    /// then another snapshot tells the rest.
    pub(super) async fn take_in(&mut self, commits: &[Arc<Commit>]) -> Result<bool, Closed> {
        let mut events: Vec<_> =
            latest(commits).into_iter().filter_map(|event| Some((self.rank(&event)?, event))).collect();
        events.sort_by_key(|(rank, event)| match event.value {
            None => (false, usize::MAX - rank),
            Some(_) => (true, *rank),
        });
        for (_, event) in events {
            match self.tell(&event, None).await {
                Err(Stop::Closed) => return Err(Closed),
                Err(Stop::Store(problem)) => {
                    tracing::error!(%problem, "intents cannot be read");
                    tokio::time::sleep(RETRY).await;
                    return Ok(false);
                }
                Ok(()) => {}
            }
        }
        Ok(true)
    }

    /// Where the collection of the object stands among the service's.
    fn rank(&self, event: &Event<'_>) -> Option<usize> {
        let (_, collection, _) = records::split_key(event.key)?;
        self.collections.iter().position(|found| found.path == collection)
    }

    /// Tells what happened to an object, unless it is news to nobody, or newer than `until`: then its commit will tell.
    async fn tell(&mut self, event: &Event<'_>, until: Option<Revision>) -> Result<(), Stop> {
        let (Some(rank), Some((project_id, _, id))) = (self.rank(event), records::split_key(event.key)) else {
            return Ok(());
        };
        let Some(value) = event.value else { return Ok(self.gone(id).await?) };
        let Stored { object, chosen, purge, secret, .. } = match decode(value) {
            Ok(stored) => stored,
            // One that cannot be read must not keep the others from the plane.
            Err(problem) => {
                tracing::error!(%problem, id, "an object cannot be read");
                return Ok(());
            }
        };
        if until.is_some_and(|until| object.revision > until) {
            return Ok(());
        }
        let now = (object.intent_revision, object.phase, purge);
        if self.known.get(id).is_some_and(|(_, told)| *told == now) {
            return Ok(());
        }
        let Some(project) = self.project(project_id).await? else {
            tracing::error!(id, project_id, "the project of an object is not there");
            return Ok(());
        };
        let collection = self.path(rank);
        self.known.insert(id.to_owned(), (rank, now));
        lock(&self.homes).insert(id.to_owned(), (project_id.to_owned(), collection));
        let (collection, object) = (collection.to_owned(), Box::new(object));
        Ok(self.send(IntentChange::Present { collection, project, object, chosen, secret, purge }).await?)
    }

    fn path(&self, rank: usize) -> &'static str {
        self.collections.get(rank).map_or("", |collection| collection.path)
    }

    async fn project(&mut self, id: &str) -> Result<Option<Arc<Project>>, Problem> {
        if !self.projects.contains_key(id) {
            self.read_projects().await?;
        }
        Ok(self.projects.get(id).cloned())
    }
}

/// Why telling stops.
enum Stop {
    /// The plane is gone.
    Closed,
    /// The store failed.
    Store(Problem),
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Store(problem)
    }
}
