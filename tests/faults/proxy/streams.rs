//! Watches and the feed, event by event.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::Run;
use crate::plan::{Fault, Point, Side};

const DELAY: Duration = Duration::from_millis(1_500);
/// When somebody notices that an event was lost: no reader can.
const NOTICED: Duration = Duration::from_millis(2_500);

struct Events {
    run: Arc<Run>,
    point: Point,
    answer: reqwest::Response,
    buffer: Vec<u8>,
    ended: bool,
    /// Until when later events come and one that was lost does not.
    lost: Option<Instant>,
}

/// Whether a line only says that the stream lives: those come as time passes.
fn alive(line: &[u8]) -> bool {
    [br#""type":"BOOKMARK""#.as_slice(), br#""type":"progress""#]
        .iter()
        .any(|mark| line.windows(mark.len()).take(8).any(|part| part == *mark))
}

/// The stream's events as its reader shall see them.
pub(super) fn body(run: Arc<Run>, point: Point, answer: reqwest::Response) -> Body {
    let events = Events { run, point, answer, buffer: Vec::new(), ended: false, lost: None };
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

    /// The next line; `None` within it: that an event was lost is noticed.
    async fn line_or_end(&mut self) -> Option<Option<Vec<u8>>> {
        match self.lost {
            Some(noticed) => match tokio::time::timeout_at(noticed, self.line()).await {
                Ok(line) => line.map(Some),
                Err(_) => Some(None),
            },
            None => self.line().await.map(Some),
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.ended {
                return None;
            }
            let Some(line) = self.line_or_end().await? else { return Some(self.over()) };
            if alive(&line) {
                return Some(line);
            }
            match self.run.event(&self.point, &line) {
                // Later ones come. What makes up for it in the end is that the reader is told to start over.
                Some(Fault::Dropped) => {
                    self.lost = Some(Instant::now() + NOTICED);
                    self.run.pend_for(NOTICED);
                }
                Some(Fault::Delayed) => {
                    tokio::time::sleep(DELAY).await;
                    return Some(line);
                }
                Some(Fault::Doubled) => return Some([line.clone(), line].concat()),
                Some(Fault::Closed) => return None,
                Some(Fault::Expired) => return Some(self.over()),
                _ => return Some(line),
            }
        }
    }

    /// The reader is told to start over.
    fn over(&mut self) -> Vec<u8> {
        self.ended = true;
        let text = match self.point.side {
            Side::Kubernetes => {
                r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#
            }
            Side::Backend => r#"{"type":"reset","reason":"a fault"}"#,
        };
        format!("{text}\n").into_bytes()
    }
}
