//! Sends requests, reads answers, cuts the feed into frames.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use reqwest::{Request, Response, header};
use serde::de::DeserializeOwned;

use super::{CALL_TIMEOUT, CallError, Exchange, FEED_SILENCE, Token};
use crate::protocol::{Code, Frame, Problem};

/// Largest answer to a call, in bytes; what is larger is not from a backend of ours.
const ANSWER_LIMIT: usize = 8 << 20;
/// Largest line of the feed, in bytes.
const LINE_LIMIT: usize = 4 << 20;
/// Longest text about an answer that cannot be read: it may quote the answer.
const WORDS_LIMIT: usize = 500;

pub(super) async fn read<T: DeserializeOwned>(
    exchange: &dyn Exchange,
    request: Request,
    token: &Token,
) -> Result<T, CallError> {
    tokio::time::timeout(CALL_TIMEOUT, async {
        let bytes = whole(send(exchange, request, token).await?, token).await?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable("not the JSON that was expected", &error))
    })
    .await
    .map_err(|_| silent("the call"))?
}

pub(super) fn silent(what: &str) -> CallError {
    CallError::Doubtful(format!("{what} was not answered within {} s", CALL_TIMEOUT.as_secs()))
}

/// Sends, and turns what is not a success into an error.
pub(super) async fn send(exchange: &dyn Exchange, request: Request, token: &Token) -> Result<Response, CallError> {
    let answer = exchange.send(request).await?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = retry_after(&answer);
    let bytes = whole(answer, token).await?;
    match serde_json::from_slice::<Problem>(&bytes) {
        // The backend gave up on it, but may have done it: a call that took too long answers so, too.
        Ok(problem) if problem.code == Code::Internal => Err(CallError::Doubtful(cut(&problem.to_string()))),
        Ok(problem) => {
            let retry_after = problem.retry_after.or(retry_after);
            let (detail, field) = (cut(&problem.detail), problem.field.as_deref().map(cut));
            Err(CallError::Refused(Box::new(Problem { retry_after, detail, field, ..problem })))
        }
        // Somebody between us and the backend answered. Only what says "later" is safe to understand.
        Err(_) if status.as_u16() == 429 || status.as_u16() == 503 => {
            let code = if status.as_u16() == 429 { Code::Throttled } else { Code::Unavailable };
            let problem = Problem { retry_after, ..Problem::new(code, format!("HTTP {status}")) };
            Err(CallError::Refused(Box::new(problem)))
        }
        Err(_) => Err(CallError::Doubtful(format!("HTTP {status} without problem details"))),
    }
}

fn retry_after(answer: &Response) -> Option<u64> {
    answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Errors of the HTTP client without the URL, whose query or path might one day hold what should not be printed.
pub(super) fn transport(error: reqwest::Error) -> CallError {
    let connecting = error.is_connect() || error.is_builder();
    let text = chain(&error.without_url());
    if connecting { CallError::Unreachable(text) } else { CallError::Doubtful(text) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn unreadable(what: &str, error: &serde_json::Error) -> CallError {
    CallError::Doubtful(cut(&format!("{what}: {error}")))
}

/// The beginning of a text that somebody else wrote.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

async fn whole(mut answer: Response, token: &Token) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > ANSWER_LIMIT {
            return Err(CallError::Doubtful(format!("the answer is larger than {ANSWER_LIMIT} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(token.struck_from(&bytes).unwrap_or(bytes))
}

fn broken(error: reqwest::Error) -> CallError {
    CallError::Doubtful(chain(&error.without_url()))
}

/// Cuts the feed into frames.
pub(super) fn lines(answer: Response, token: Token) -> impl Stream<Item = Result<Frame, CallError>> + Send {
    let state = Some((answer, Lines::default(), token));
    stream::unfold(state, |state| async move {
        let (mut answer, mut lines, token) = state?;
        match next_frame(&mut answer, &mut lines, &token).await {
            Ok(Some(frame)) => Some((Ok(frame), Some((answer, lines, token)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

async fn next_frame(answer: &mut Response, lines: &mut Lines, token: &Token) -> Result<Option<Frame>, CallError> {
    loop {
        if let Some(line) = lines.take()? {
            return frame(&line, token).map(Some);
        }
        let chunk = tokio::time::timeout(FEED_SILENCE, answer.chunk())
            .await
            .map_err(|_| CallError::Doubtful(format!("the feed was silent for {} s", FEED_SILENCE.as_secs())))?;
        match chunk.map_err(broken)? {
            Some(chunk) => lines.push(&chunk),
            None => return Ok(None),
        }
    }
}

fn frame(line: &[u8], token: &Token) -> Result<Frame, CallError> {
    let struck = token.struck_from(line);
    let frame: Frame = serde_json::from_slice(struck.as_deref().unwrap_or(line))
        .map_err(|error| unreadable("a line of the feed cannot be read", &error))?;
    match frame.overlong() {
        None => Ok(frame),
        Some(what) => Err(CallError::Doubtful(format!("a line of the feed has {what} that is too long to be one"))),
    }
}

/// Bytes of the feed that are not a whole line yet.
#[derive(Default)]
struct Lines {
    buffer: bytes::BytesMut,
    searched: usize,
}

impl Lines {
    fn push(&mut self, chunk: &Bytes) {
        self.buffer.extend_from_slice(chunk);
    }

    fn take(&mut self) -> Result<Option<Bytes>, CallError> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        match found {
            Some(at) => {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                Ok(Some(line))
            }
            None if self.buffer.len() > LINE_LIMIT => {
                Err(CallError::Doubtful(format!("a line of the feed is longer than {LINE_LIMIT} bytes")))
            }
            None => {
                self.searched = self.buffer.len();
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_of_a_bad_answer_is_short_and_without_the_token() {
        let token = Token::new("lbt_secret_of_somebody").unwrap();
        let line = format!("{{\"type\": \"lbt_secret_of_somebody{}\"}}", "x".repeat(100_000));
        let CallError::Doubtful(why) = frame(line.as_bytes(), &token).unwrap_err() else { panic!("not doubtful") };
        assert!(why.len() < 1_000 && why.contains("(token)") && !why.contains("lbt_secret"), "{why}");
        let line = b"{\"type\": \"xlbt_secret_of_somebody\", \"id\": \"\xff\"}";
        let CallError::Doubtful(why) = frame(line, &token).unwrap_err() else { panic!("not doubtful") };
        assert!(why.contains("(token)") && !why.contains("lbt_secret"), "{why}");
    }

    #[tokio::test]
    async fn an_answer_is_kept_without_the_token_and_up_to_a_size() {
        let token = Token::new("lbt_secret_of_somebody").unwrap();
        let answer = |text: String| Response::from(http::Response::new(text));
        let kept = whole(answer("you sent lbt_secret_of_somebody, twice: lbt_secret_of_somebody".into()), &token).await;
        assert_eq!(kept.unwrap(), b"you sent (token), twice: (token)");
        assert!(whole(answer("x".repeat(ANSWER_LIMIT)), &token).await.is_ok());
        assert!(matches!(whole(answer("x".repeat(ANSWER_LIMIT + 1)), &token).await, Err(CallError::Doubtful(_))));
    }

    #[test]
    fn identities_that_are_too_long_are_refused() {
        let token = Token::new("t").unwrap();
        let long = "x".repeat(5_000);
        for line in [
            serde_json::json!({"type": "gone", "collection": "k", "id": long, "revision": 1, "cursor": "c"}),
            serde_json::json!({"type": "gone", "collection": "k", "id": "i", "revision": 1, "cursor": long}),
            serde_json::json!({"type": "hello", "store": long, "epoch": "e", "projectId": "p"}),
        ] {
            assert!(frame(line.to_string().as_bytes(), &token).is_err());
        }
        let good = serde_json::json!({"type": "gone", "collection": "k", "id": "i", "revision": 1, "cursor": "c"});
        assert!(frame(good.to_string().as_bytes(), &token).is_ok());
    }

    #[test]
    fn lines_are_cut_wherever_chunks_end() {
        let mut lines = Lines::default();
        lines.push(&Bytes::from_static(b"ab"));
        assert!(lines.take().unwrap().is_none());
        lines.push(&Bytes::from_static(b"c\nd\ne"));
        assert_eq!(lines.take().unwrap().unwrap(), "abc\n");
        assert_eq!(lines.take().unwrap().unwrap(), "d\n");
        assert!(lines.take().unwrap().is_none());
        lines.push(&Bytes::from(vec![b'x'; LINE_LIMIT]));
        assert!(lines.take().is_err());
    }
}
