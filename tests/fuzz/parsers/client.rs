//! Answers of a backend as the operator reads them, and its feed up to the mirror.

use std::sync::{Arc, Mutex};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use loopback_operator::{
    protocol::{
        Cursor, Frame, RawObject,
        client::{CallError, Client, Exchange, Token},
    },
    runtime::mirror::{Mirror, Step},
};

use super::shape;
use crate::engine::Fuzz;

const SECRET: &str = "lbt_tk-1_0123456789abcdef0123456789abcdef";
/// A problem stands in statuses.
const WORDS_LIMIT: usize = 4_000;

const WORDS: &[&str] = &[
    "200\n",
    "404\n",
    "409\n",
    "422\n",
    "429\n",
    "500\n",
    "503\n",
    "retry-after: 5\n",
    "content-type: text/html\n",
    "\n\n",
    "{}",
    "null",
    "[]",
    "\"code\":\"internal\"",
    "\"code\":\"not_found\"",
    "\"detail\":",
    SECRET,
    "{\"type\":\"hello\"",
    "{\"type\":\"change\"",
    "{\"type\":\"gone\"",
    "{\"type\":\"synced\",\"cursor\":\"c\"}\n",
    "{\"type\":\"reset\"",
    "\"cursor\":\"c\"",
    "\"id\":\"a\"",
    "\"revision\":9",
];

/// Answers every call with the same.
struct Same(Mutex<Option<http::Response<Vec<u8>>>>);

impl Exchange for Same {
    fn send(&self, _: reqwest::Request) -> BoxFuture<'static, Result<reqwest::Response, CallError>> {
        let answer = self.0.lock().unwrap().take();
        async { answer.map(Into::into).ok_or_else(|| CallError::Unreachable("answered already".into())) }.boxed()
    }
}

/// Status, headers and body, as they would stand in an answer.
fn answer(input: &[u8]) -> Option<http::Response<Vec<u8>>> {
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?).ok()?;
    let mut answer = http::Response::builder().status(status);
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        answer = answer.header(&line[..at], line[at + 1..].trim_ascii());
    }
    answer.body(input[end + 2..].to_vec()).ok()
}

fn client(answer: http::Response<Vec<u8>>) -> Client {
    let exchange = Arc::new(Same(Mutex::new(Some(answer))));
    Client::new(exchange, &"http://backend.test".parse().unwrap(), "shop", Token::new(SECRET).unwrap()).unwrap()
}

fn problem(error: &CallError) -> String {
    let text = format!("{error} {error:?}");
    assert!(!text.contains(SECRET), "the token is quoted: {text}");
    assert!(error.to_string().len() < WORDS_LIMIT, "{} bytes of words", error.to_string().len());
    match error {
        CallError::Refused(problem) => format!("refused {} {:?}", problem.code, problem.retry_after.is_some()),
        CallError::Unreachable(_) => "unreachable".into(),
        CallError::Doubtful(why) => format!("doubtful {}", shape(why)),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    drop(rustls::crypto::ring::default_provider().install_default());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn client_answer() {
    let runtime = runtime();
    Fuzz { name: "client_answer", words: WORDS, inputs: 4_000, memory: 2 << 20 }.run(|input| {
        let (Some(one), Some(other)) = (answer(input), answer(input)) else { return "no answer".into() };
        runtime.block_on(async {
            let object = match client(one).get("load-balancers", "lb-1").await {
                Ok(object) => format!("ok {}", object.inspect(quiet).is_some()),
                Err(error) => problem(&error),
            };
            let view = match client(other).view().await {
                Ok(view) => {
                    assert!(view.project.name.len() < 1_000);
                    "ok".into()
                }
                Err(error) => problem(&error),
            };
            format!("{object} / {view}")
        })
    });
}

fn quiet(object: &RawObject) {
    assert!(!serde_json::to_string(object).unwrap().contains(SECRET));
}

#[test]
fn client_feed() {
    let runtime = runtime();
    Fuzz { name: "client_feed", words: WORDS, inputs: 4_000, memory: 2 << 20 }.run(|input| {
        let answer = http::Response::builder().status(200).body(input.to_vec()).unwrap();
        runtime.block_on(async {
            let mut mirror = Mirror::default();
            let mut class = String::new();
            let mut frames = std::pin::pin!(client(answer).changes(Some(&Cursor("c".into()))).await.unwrap());
            while let Some(frame) = frames.next().await {
                let step = match frame {
                    Ok(frame) => applied(&mut mirror, frame),
                    Err(error) => problem(&error),
                };
                if class.len() < 60 {
                    class = format!("{class}{step};");
                }
            }
            assert!(mirror.source().is_none_or(|source| source.store.len() < 1_000));
            format!("{class}{}", mirror.synced())
        })
    });
}

fn applied(mirror: &mut Mirror, frame: Frame) -> String {
    let place = match &frame {
        Frame::Change { collection, object, .. } => Some((collection.clone(), object.id.clone(), object.revision)),
        _ => None,
    };
    let step = mirror.apply(frame);
    if let (Some((collection, id, revision)), Step::Changed(notices)) = (place, &step)
        && !notices.is_empty()
    {
        assert!(mirror.get(&collection, &id).is_some_and(|kept| kept.revision >= revision), "{collection}/{id}");
    }
    match step {
        Step::Changed(notices) => format!("changed {}", notices.len()),
        Step::Synced(lost) => format!("synced {}", lost.len()),
        other => format!("{other:?}"),
    }
}
