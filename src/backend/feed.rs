//! The feed: what happens in a project, as lines of JSON.
//!
//! A reader pulls: it holds a position in the log and nothing else, so a slow one costs nothing and, once it falls off the
//! log, is told to start over.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use futures::{Stream, stream};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    follow::{Event, latest},
    records::{self, Stored},
    store::{self, Commit, Store, StoreProblem, Table, View, decode},
    tenants,
};
use crate::{
    protocol::{Code, Cursor, Frame, ObjectId, Problem, Revision},
    runtime::Drain,
};

/// A line is sent at least this often; readers take ten seconds of silence for a broken connection.
const PROGRESS: Duration = Duration::from_secs(5);
/// Commits in one step.
const STEP: usize = 256;

/// What a reader may see.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The project.
    pub project_id: String,
    /// Collections that the token may read.
    pub readable: BTreeSet<String>,
    /// The token; when it changes, the feed ends.
    pub token: ObjectId,
}

impl Scope {
    /// What a cursor is bound to besides the epoch: with other rights, objects before it were not seen.
    fn fingerprint(&self) -> String {
        let text = format!("{}\n{}", self.project_id, self.readable.iter().cloned().collect::<Vec<_>>().join("\n"));
        HEXLOWER.encode(Sha256::digest(text).get(..6).unwrap_or_default())
    }
}

/// A decoded cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    epoch: String,
    scope: String,
    revision: Revision,
}

impl Position {
    /// Reads a cursor.
    ///
    /// # Errors
    /// [`Code::BadRequest`] when it is none of ours.
    pub fn parse(cursor: &str) -> Result<Self, Problem> {
        let parse = || {
            let text = String::from_utf8(BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?).ok()?;
            let (epoch, rest) = text.split_once(':')?;
            let (scope, revision) = rest.split_once(':')?;
            let revision = revision.parse().ok()?;
            Some(Self { epoch: epoch.to_owned(), scope: scope.to_owned(), revision })
        };
        parse().ok_or_else(|| Problem::new(Code::BadRequest, "after must be a cursor of this feed"))
    }

    fn cursor(&self) -> Cursor {
        Cursor(BASE64URL_NOPAD.encode(format!("{}:{}:{}", self.epoch, self.scope, self.revision).as_bytes()))
    }
}

/// The lines of one reader.
pub fn lines(
    store: Arc<dyn Store>,
    scope: Scope,
    after: Option<Position>,
    drain: Drain,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(Reader::new(store, scope, after, drain), |mut reader| async move {
        let lines = reader.next().await?;
        Some((Ok(lines), reader))
    })
}

struct Reader {
    store: Arc<dyn Store>,
    scope: Scope,
    drain: Drain,
    /// Where the reader stands; its revision is the one up to which all was sent.
    position: Position,
    stage: Stage,
    sent: Instant,
}

enum Stage {
    Hello {
        after: Option<Position>,
    },
    /// Sending what exists, in several reads; `last` is the key of the last row, and `start` the revision of the first read.
    Snapshot {
        last: Vec<u8>,
        start: Option<Revision>,
    },
    /// The first step after a snapshot takes all that happened during it, so that it ends where one read would have.
    Follow {
        limit: usize,
    },
    Ended,
}

impl Reader {
    fn new(store: Arc<dyn Store>, scope: Scope, after: Option<Position>, drain: Drain) -> Self {
        let epoch = store.identity().epoch.clone();
        let position = Position { epoch, scope: scope.fingerprint(), revision: 0 };
        Self { store, scope, drain, position, stage: Stage::Hello { after }, sent: Instant::now() }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let frames = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Hello { after } => self.hello(after),
            Stage::Snapshot { last, start } => self.snapshot(last, start).await,
            Stage::Follow { limit } => self.follow(limit).await?,
            Stage::Ended => return None,
        };
        self.sent = Instant::now();
        let mut lines = Vec::new();
        for frame in frames {
            // A frame is plain data; should one not be JSON all the same, the feed ends rather than skips it.
            serde_json::to_writer(&mut lines, &frame).ok()?;
            lines.push(b'\n');
        }
        Some(lines.into())
    }

    fn hello(&mut self, after: Option<Position>) -> Vec<Frame> {
        let identity = self.store.identity();
        let (store, epoch) = (identity.store.clone(), identity.epoch.clone());
        let hello = Frame::Hello { store, epoch, project_id: self.scope.project_id.clone() };
        let Some(after) = after else {
            self.stage = Stage::Snapshot { last: Vec::new(), start: None };
            return vec![hello];
        };
        if let Some(reason) = self.refusal(&after) {
            return vec![hello, reset(reason)];
        }
        self.position = after;
        self.stage = Stage::Follow { limit: STEP };
        vec![hello, Frame::Synced { cursor: self.position.cursor() }]
    }

    fn refusal(&self, after: &Position) -> Option<&'static str> {
        if after.epoch != self.position.epoch {
            return Some("the backend was started again since");
        }
        if after.scope != self.position.scope {
            return Some("the cursor belongs to another project, or the token may read something else now");
        }
        self.store.log().after(after.revision, 0).err().map(|_| COMPACTED)
    }

    async fn snapshot(&mut self, last: Vec<u8>, start: Option<Revision>) -> Vec<Frame> {
        let prefix = store::key(&[&self.scope.project_id]);
        let look = move |view: &dyn View| Ok((view.revision(), records::rows_after(view, &prefix, &last)?));
        let (revision, rows) = match store::read(&*self.store, look).await {
            Ok(read) => read,
            Err(problem) => return vec![reset(&problem.detail)],
        };
        let start = start.unwrap_or(revision);
        let Some((last, _)) = rows.last() else {
            self.position.revision = start;
            self.stage = Stage::Follow { limit: usize::MAX };
            return vec![Frame::Synced { cursor: self.position.cursor() }];
        };
        let last = last.clone();
        let frames: Result<Vec<_>, _> = rows.iter().filter_map(|(key, value)| self.present(key, value)).collect();
        match frames {
            Ok(frames) => {
                self.stage = Stage::Snapshot { last, start: Some(start) };
                frames
            }
            Err(problem) => vec![reset(&problem.to_string())],
        }
    }

    /// The frame of an object, unless the reader may not see it.
    fn present(&self, key: &[u8], value: &[u8]) -> Option<Result<Frame, StoreProblem>> {
        let collection = self.visible(key)?;
        let frame = |stored: Stored| Frame::Change { collection, object: Box::new(stored.object), cursor: None };
        Some(decode::<Stored>(value).map(frame))
    }

    /// The collection in an object's key, when it is in scope.
    fn visible(&self, key: &[u8]) -> Option<String> {
        let (project_id, collection, _) = records::split_key(key)?;
        let visible = project_id == self.scope.project_id && self.scope.readable.contains(collection);
        visible.then(|| collection.to_owned())
    }

    /// Waits for something to say.
    async fn follow(&mut self, limit: usize) -> Option<Vec<Frame>> {
        let mut limit = limit;
        loop {
            let quiet = self.sent + PROGRESS;
            let commits = tokio::select! {
                biased;
                () = self.drain.wait() => return None,
                commits = self.store.log().wait(self.position.revision, limit) => commits,
                () = tokio::time::sleep_until(quiet) => Ok(Vec::new()),
            };
            let Ok(commits) = commits else { return Some(vec![reset(COMPACTED)]) };
            if self.touches_token(&commits) {
                return Some(vec![reset("the token's rights have changed, or it was revoked")]);
            }
            let Ok(frames) = self.frames(&commits) else { return Some(vec![reset("a commit cannot be read")]) };
            limit = STEP;
            self.stage = Stage::Follow { limit };
            if !frames.is_empty() {
                return Some(frames);
            }
            if Instant::now() >= quiet {
                return Some(vec![Frame::Progress { cursor: self.position.cursor() }]);
            }
        }
    }

    fn touches_token(&self, commits: &[Arc<Commit>]) -> bool {
        let key = tenants::token_key(&self.scope.token);
        commits.iter().flat_map(|commit| &commit.changes).any(|c| c.table == Table::Tokens && c.key == key)
    }

    /// The frames of some commits; moves the position past them. Only the last frame has the new position: who stops in the
    /// middle hears all of it again.
    fn frames(&mut self, commits: &[Arc<Commit>]) -> Result<Vec<Frame>, StoreProblem> {
        let before = self.position.cursor();
        self.position.revision = commits.last().map_or(self.position.revision, |commit| commit.revision);
        let mut frames = Vec::new();
        for Event { revision, key, value, removed } in latest(commits) {
            let Some(collection) = self.visible(key) else { continue };
            frames.push(match value {
                Some(value) => {
                    let object = Box::new(decode::<Stored>(value)?.object);
                    Frame::Change { collection, object, cursor: None }
                }
                None => {
                    let object = decode::<Stored>(removed.unwrap_or_default())?.object;
                    Frame::Gone { collection, id: object.id, owner: object.owner, revision, cursor: before.clone() }
                }
            });
        }
        let now = self.position.cursor();
        match frames.last_mut() {
            Some(Frame::Change { cursor, .. }) => *cursor = Some(now),
            Some(Frame::Gone { cursor, .. }) => *cursor = now,
            _ => {}
        }
        Ok(frames)
    }
}

const COMPACTED: &str = "the cursor is too old";

fn reset(reason: &str) -> Frame {
    Frame::Reset { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_nonsense_is_refused() {
        let position = Position { epoch: "ep-1".into(), scope: "abc".into(), revision: 7 };
        let text = position.cursor().0;
        assert_eq!(Position::parse(&text), Ok(position));
        for bad in ["", "x", &text[1..], &BASE64URL_NOPAD.encode(b"a:b:-1"), &BASE64URL_NOPAD.encode(b"a:b"), "ä"] {
            assert!(Position::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_rights_are_another_scope() {
        let scope = |readable: &[&str]| Scope {
            project_id: "prj-1".into(),
            readable: readable.iter().map(|r| (*r).to_owned()).collect(),
            token: "tk-1".into(),
        };
        assert_ne!(scope(&["a"]).fingerprint(), scope(&["a", "b"]).fingerprint());
        assert_eq!(scope(&["a"]).fingerprint(), scope(&["a"]).fingerprint());
    }
}
