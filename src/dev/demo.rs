//! The targets that the samples name: small HTTP servers that tell their name.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, http::StatusCode, routing::get};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::runtime::Drain;

/// The targets as the samples name them: name and address.
pub const TARGETS: [(&str, &str); 2] = [("a", "127.0.0.1:8081"), ("b", "127.0.0.1:8082")];

/// Why a target does not serve.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}: stop what uses it or pass other addresses with --demo-targets")]
pub struct DemoProblem {
    /// Where it should listen.
    pub address: SocketAddr,
    /// What went wrong.
    pub source: io::Error,
}

/// Serves the targets until `drain` starts: `/` answers the name, `/healthz` answers 200, but 503 between a DELETE and a PUT
/// of it. Returns where they listen.
///
/// # Errors
/// When an address is taken.
pub async fn serve(addresses: &[SocketAddr], drain: &Drain) -> Result<Vec<SocketAddr>, DemoProblem> {
    let mut listening = Vec::with_capacity(TARGETS.len());
    for ((name, _), address) in TARGETS.iter().zip(addresses) {
        let problem = |source| DemoProblem { address: *address, source };
        let listener = TcpListener::bind(address).await.map_err(problem)?;
        listening.push(listener.local_addr().map_err(problem)?);
        let router = Router::new().route("/", get(move || async move { format!("{name}\n") })).merge(health());
        let stop = drain.clone();
        let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.wait().await });
        drain.spawn(async move { server.await });
    }
    Ok(listening)
}

/// The health of a target, which people may take away and give back to see what follows.
fn health() -> Router {
    let broken = Arc::new(AtomicBool::new(false));
    let set = |to: bool, says: &'static str| {
        let broken = Arc::clone(&broken);
        async move || {
            broken.store(to, Ordering::Relaxed);
            says
        }
    };
    let (fail, mend) = (set(true, "unwell from now on\n"), set(false, "well again\n"));
    let answer = async move || match broken.load(Ordering::Relaxed) {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "unwell\n"),
    };
    Router::new().route("/healthz", get(answer).delete(fail).put(mend))
}

/// Points the samples to where the targets listen.
pub fn point(samples: &mut [DynamicObject], listening: &[SocketAddr]) {
    let moved: Vec<_> = TARGETS.iter().zip(listening).filter(|((_, named), now)| *named != now.to_string()).collect();
    for ((_, named), now) in moved {
        let Ok(named) = named.parse() else { continue };
        samples.iter_mut().for_each(|sample| replace(&mut sample.data, named, *now));
    }
}

/// Replaces each `{address, port}` and each URL that stands for `named`.
fn replace(value: &mut Value, named: SocketAddr, now: SocketAddr) {
    match value {
        Value::Object(fields) => {
            if fields.get("address") == Some(&json!(named.ip())) && fields.get("port") == Some(&json!(named.port())) {
                fields.insert("address".to_owned(), json!(now.ip()));
                fields.insert("port".to_owned(), json!(now.port()));
            }
            fields.values_mut().for_each(|field| replace(field, named, now));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, named, now)),
        Value::String(text) => *text = text.replace(&format!("//{named}/"), &format!("//{now}/")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dev::{manifests, tls};

    #[tokio::test]
    async fn targets_tell_their_names_and_stop() {
        tls::ensure_provider();
        let drain = Drain::new();
        let any = ["127.0.0.1:0".parse().unwrap(); 2];
        let listening = serve(&any, &drain).await.unwrap();
        let get = |path: String| async { reqwest::get(path).await.unwrap().text().await.unwrap() };
        assert_eq!(get(format!("http://{}/", listening[1])).await, "b\n");
        assert_eq!(get(format!("http://{}/healthz", listening[0])).await, "ok\n");
        let taken = serve(&listening, &Drain::new()).await.unwrap_err();
        assert!(taken.to_string().contains("--demo-targets"), "{taken}");
        assert!(drain.finish(Duration::from_secs(5)).await);
    }

    #[test]
    fn samples_follow_the_targets() {
        let text = |samples: &[DynamicObject]| serde_json::to_string(samples).unwrap();
        let mut samples = manifests::samples().unwrap();
        let as_written = text(&samples);
        point(&mut samples, &TARGETS.map(|target| target.1.parse().unwrap()));
        assert_eq!(text(&samples), as_written);
        point(&mut samples, &["127.0.0.1:18081".parse().unwrap(), "127.0.0.2:8082".parse().unwrap()]);
        let moved = text(&samples);
        assert!(moved.contains("18081") && moved.contains("127.0.0.2") && !moved.contains(":8081"), "{moved}");
    }
}
