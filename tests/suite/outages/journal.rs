//! What became of each owner's objects, as the backend's feed told it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use loopback_operator::protocol::{Cursor, Frame, Phase};
use reqwest::Method;
use tokio::task::JoinHandle;

use crate::rig::Wire;

/// All that one owner ever had.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Ids of its objects.
    pub ids: BTreeSet<String>,
    /// Those of them whose end had begun.
    pub ended: BTreeSet<String>,
}

/// The journal of one project, by the owners' UIDs.
pub struct Journal {
    lives: Arc<Mutex<BTreeMap<String, Life>>>,
    reader: JoinHandle<()>,
}

impl Journal {
    /// Follows a project from now on, whatever happens to the backend.
    pub fn follow(wire: &Wire, project: &str) -> Self {
        let lives = Arc::default();
        let reader = tokio::spawn(read(wire.clone(), format!("/v3/projects/{project}/changes"), Arc::clone(&lives)));
        Self { lives, reader }
    }

    /// What an owner had.
    pub fn of(&self, uid: &str) -> Life {
        self.lives.lock().unwrap().get(uid).cloned().unwrap_or_default()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(wire: Wire, path: String, lives: Arc<Mutex<BTreeMap<String, Life>>>) {
    let mut cursor = None;
    loop {
        let after = cursor.as_ref().map(|Cursor(after)| format!("?after={after}")).unwrap_or_default();
        let answer = wire.request(Method::GET, &format!("{path}{after}")).send().await;
        if let Ok(answer) = answer.and_then(reqwest::Response::error_for_status) {
            let (mut chunks, mut buffer) = (answer.bytes_stream(), Vec::new());
            while let Some(Ok(chunk)) = chunks.next().await {
                buffer.extend_from_slice(&chunk);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let Ok(frame) = serde_json::from_slice(&line) else { continue };
                    take(frame, &lives, &mut cursor);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn take(frame: Frame, lives: &Mutex<BTreeMap<String, Life>>, cursor: &mut Option<Cursor>) {
    let mut lives = lives.lock().unwrap();
    match frame {
        Frame::Change { object, cursor: position, .. } => {
            *cursor = position.or(cursor.take());
            let Some(owner) = object.owner else { return };
            let life = lives.entry(owner.uid).or_default();
            life.ids.insert(object.id.clone());
            if object.phase == Phase::Deleting {
                life.ended.insert(object.id);
            }
        }
        Frame::Gone { id, owner, cursor: position, .. } => {
            *cursor = Some(position);
            let Some(owner) = owner else { return };
            lives.entry(owner.uid).or_default().ended.insert(id);
        }
        Frame::Synced { cursor: position } | Frame::Progress { cursor: position } => *cursor = Some(position),
        Frame::Reset { .. } => *cursor = None,
        Frame::Hello { .. } => {}
    }
}
