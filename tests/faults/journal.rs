//! The backend's journal: its feed, followed from the project's beginning by its administrator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use loopback_operator::protocol::{Cursor, Frame, Owner, RawObject};
use reqwest::Method;
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use crate::{admin::Admin, rig::PATIENCE};

/// What is made when all is over, and awaited: the journal is complete then.
const END: &str = "the-end";

/// One line of the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Whose it was.
    pub owner: Option<Owner>,
    /// What it was; `None`: gone.
    pub object: Option<RawObject>,
}

/// Where an object is found below its project.
pub fn path(collection: &str, object: &RawObject) -> String {
    let nested = ["dns-zones/", "object-stores/"]
        .iter()
        .find_map(|parents| collection.strip_prefix(parents).map(|rest| (parents, rest)));
    match (nested, &object.parent) {
        (Some((parents, children)), Some(parent)) => format!("{parents}{parent}/{children}/{}", object.id),
        _ => format!("{collection}/{}", object.id),
    }
}

/// The journal of one project.
pub struct Journal {
    admin: Admin,
    project: String,
    entries: Arc<Mutex<Vec<Entry>>>,
    synced: watch::Receiver<bool>,
    reader: JoinHandle<()>,
}

impl Journal {
    /// Follows a project from now on; `news` is told of each line.
    pub fn follow(admin: Admin, project: &str, news: watch::Sender<()>) -> Self {
        let entries = Arc::default();
        let (tell, synced) = watch::channel(false);
        let path = format!("/v3/projects/{project}/changes");
        let reader = tokio::spawn(read(admin.clone(), path, Arc::clone(&entries), tell, news));
        Self { admin, project: project.to_owned(), entries, synced, reader }
    }

    /// What the backend holds at a moment after this was asked, by collection: the journal itself is heard a moment after it
    /// is written. `None`: it did not say.
    pub async fn snapshot(&self) -> Option<Vec<(String, RawObject)>> {
        let request = self.admin.request(Method::GET, &format!("/v3/projects/{}/changes", self.project));
        let answer = request.send().await.and_then(reqwest::Response::error_for_status).ok()?;
        let (mut lines, mut held) = (Lines::of(answer), Vec::new());
        loop {
            match lines.next().await? {
                Frame::Change { collection, object, .. } => held.push((collection, *object)),
                Frame::Synced { .. } => return Some(held),
                _ => {}
            }
        }
    }

    /// Waits until all that has happened so far is in the journal.
    pub async fn complete(&self, news: &watch::Sender<()>) -> Result<(), String> {
        let path = format!("/v3/projects/{}/load-balancers", self.project);
        let end = json!({"intent": {"name": END, "services": {"web": {"port": 7}}, "targets": {}}});
        let end = self.admin.ask(Method::POST, &path, Some(end)).await?;
        let (id, etag) = (end["id"].as_str().unwrap_or_default(), end["etag"].as_str());
        let mut news = news.subscribe();
        let told = async {
            while !self.entries.lock().unwrap().iter().any(|entry| entry.id == id) {
                news.changed().await.expect("the run lives");
            }
        };
        tokio::time::timeout(PATIENCE, told).await.map_err(|_| "the journal ends before the run".to_owned())?;
        self.admin.change(Method::DELETE, &format!("{path}/{id}"), etag, None).await.map(drop)
    }

    /// Waits until nothing that happens from now on can be missed.
    pub async fn ready(&self) {
        let mut synced = self.synced.clone();
        synced.wait_for(|synced| *synced).await.expect("the reader lives");
    }

    /// All lines.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// What the backend holds as far as we heard, by id.
    pub fn inventory(&self) -> BTreeMap<String, (String, RawObject)> {
        Self::held(&self.entries.lock().unwrap())
    }

    fn held(entries: &[Entry]) -> BTreeMap<String, (String, RawObject)> {
        let mut held = BTreeMap::new();
        for entry in entries {
            match &entry.object {
                Some(object) => held.insert(entry.id.clone(), (entry.collection.clone(), object.clone())),
                None => held.remove(&entry.id),
            };
        }
        held
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The feed, frame by frame, until the connection ends.
struct Lines {
    answer: reqwest::Response,
    buffer: Vec<u8>,
}

impl Lines {
    fn of(answer: reqwest::Response) -> Self {
        Self { answer, buffer: Vec::new() }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(frame) => return Some(frame),
                    Err(_) => continue,
                }
            }
            self.buffer.extend_from_slice(&self.answer.chunk().await.ok()??);
        }
    }
}

async fn read(
    admin: Admin,
    path: String,
    entries: Arc<Mutex<Vec<Entry>>>,
    synced: watch::Sender<bool>,
    news: watch::Sender<()>,
) {
    let (mut cursor, mut listed) = (None, BTreeSet::new());
    loop {
        let after = cursor.as_ref().map(|Cursor(after)| format!("?after={after}")).unwrap_or_default();
        let request = admin.request(Method::GET, &format!("{path}{after}"));
        if let Ok(answer) = request.send().await.and_then(reqwest::Response::error_for_status) {
            let mut lines = Lines::of(answer);
            while let Some(frame) = lines.next().await {
                take(frame, &entries, &mut cursor, &mut listed, &synced);
                news.send_replace(());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn take(
    frame: Frame,
    entries: &Mutex<Vec<Entry>>,
    cursor: &mut Option<Cursor>,
    listed: &mut BTreeSet<String>,
    synced: &watch::Sender<bool>,
) {
    let entry = match frame {
        Frame::Change { collection, object, cursor: position } => {
            listed.insert(object.id.clone());
            *cursor = position.or(cursor.take());
            Entry { collection, id: object.id.clone(), owner: object.owner.clone(), object: Some(*object) }
        }
        Frame::Gone { collection, id, owner, cursor: position, .. } => {
            *cursor = Some(position);
            Entry { collection, id, owner, object: None }
        }
        Frame::Synced { cursor: position } => {
            // A snapshot has all that there is: a store that was put back may lack what it had.
            if cursor.replace(position).is_none() {
                let known = Journal::held(&entries.lock().unwrap());
                let lost = known.into_iter().filter(|(id, _)| !listed.contains(id));
                let gone =
                    lost.map(|(id, (collection, object))| Entry { collection, id, owner: object.owner, object: None });
                let gone: Vec<_> = gone.collect();
                entries.lock().unwrap().extend(gone);
            }
            synced.send_replace(true);
            return;
        }
        Frame::Progress { cursor: position } => {
            *cursor = Some(position);
            return;
        }
        Frame::Reset { .. } => {
            *cursor = None;
            listed.clear();
            return;
        }
        Frame::Hello { .. } => return,
    };
    entries.lock().unwrap().push(entry);
}
