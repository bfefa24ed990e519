//! Watches and the feed, event by event.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};

use super::Run;
use crate::plan::{Fault, Point, Side};

const DELAY: Duration = Duration::from_millis(1_500);

struct Events {
    run: Arc<Run>,
    point: Point,
    answer: reqwest::Response,
    buffer: Vec<u8>,
    ended: bool,
}

/// Whether a line only says that the stream lives: those come as time passes.
fn alive(line: &[u8]) -> bool {
    [br#""type":"BOOKMARK""#.as_slice(), br#""type":"progress""#]
        .iter()
        .any(|mark| line.windows(mark.len()).take(8).any(|part| part == *mark))
}

/// The stream's events as its reader shall see them.
pub(super) fn body(run: Arc<Run>, point: Point, answer: reqwest::Response) -> Body {
    let events = Events { run, point, answer, buffer: Vec::new(), ended: false };
    let lines = stream::unfold(events, async |mut events| {
        let line = events.next().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(line)), events))
    });
    Body::from_stream(lines.boxed())
}

impl Events {
    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Some(self.buffer.drain(..=end).collect());
            }
            self.buffer.extend_from_slice(&self.answer.chunk().await.ok()??);
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let line = self.line().await?;
        if alive(&line) {
            return Some(line);
        }
        match self.run.event(&self.point, &line) {
            Some(Fault::Delayed) => {
                tokio::time::sleep(DELAY).await;
                Some(line)
            }
            Some(Fault::Doubled) => Some([line.clone(), line].concat()),
            Some(Fault::Closed) => None,
            // What is lost without a word can be noticed by nobody: after it the reader is told to start over.
            Some(Fault::Dropped | Fault::Expired) => {
                self.ended = true;
                Some(self.over())
            }
            _ => Some(line),
        }
    }

    fn over(&self) -> Vec<u8> {
        let text = match self.point.side {
            Side::Kubernetes => {
                r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#
            }
            Side::Backend => r#"{"type":"reset","reason":"a fault"}"#,
        };
        format!("{text}\n").into_bytes()
    }
}
