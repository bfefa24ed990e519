//! Waits until a program is ready, and no longer once a program has ended.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use tokio::time::Instant;

use super::{Child, Settings, StartProblem, state};
use crate::dev::binaries::Program;

/// How often is asked.
const POLL: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A program that is waited for; any of the children that ends ends the wait.
pub(super) struct Wait<'a> {
    pub(super) program: Program,
    pub(super) within: Duration,
    pub(super) children: &'a mut BTreeMap<Program, Child>,
}

impl Wait<'_> {
    /// Asks until the answer is good.
    pub(super) async fn until<F>(self, ask: impl Fn() -> F) -> Result<(), StartProblem>
    where
        F: Future<Output = Result<(), String>>,
    {
        let deadline = Instant::now() + self.within;
        loop {
            for (program, child) in self.children.iter_mut() {
                check(*program, child)?;
            }
            let answer = tokio::time::timeout(ANSWER_LIMIT, ask()).await;
            let Err(last) = answer.unwrap_or_else(|_| Err("no answer".to_owned())) else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(self.not_ready(last));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn not_ready(&self, last: String) -> StartProblem {
        let child = self.children.get(&self.program);
        StartProblem::NotReady {
            program: self.program,
            within: self.within,
            last,
            log: child.map(|child| child.log().to_owned()).unwrap_or_default(),
            tail: child.map(Child::tail).unwrap_or_default(),
        }
    }
}

/// An error once the program has ended.
pub(super) fn check(program: Program, child: &mut Child) -> Result<(), StartProblem> {
    match child.ended() {
        Ok(None) => Ok(()),
        Ok(Some(status)) => {
            Err(StartProblem::Exited { program, status, log: child.log().to_owned(), tail: child.tail() })
        }
        Err(source) => Err(StartProblem::Spawn { program, source }),
    }
}

/// Asks etcd whether it is healthy, with the client certificate of the API server.
pub(super) fn etcd(
    settings: &Settings,
) -> Result<impl Fn() -> futures::future::BoxFuture<'static, Result<(), String>> + use<>, StartProblem> {
    let certificates = &settings.certificates;
    let read = |path: &Path| std::fs::read(path).map_err(|source| state::problem(path, source));
    let authority = read(&certificates.certificate("server-ca"))?;
    let mut identity = read(&certificates.key("etcd-client"))?;
    identity.extend(read(&certificates.certificate("etcd-client"))?);
    let client = || {
        let builder = reqwest::Client::builder().no_proxy().identity(reqwest::Identity::from_pem(&identity)?);
        builder.tls_certs_only([reqwest::Certificate::from_pem(&authority)?]).build()
    };
    let client =
        client().map_err(|error| StartProblem::Spawn { program: Program::Etcd, source: io::Error::other(error) })?;
    let url = format!("https://127.0.0.1:{}/health", settings.etcd_port);
    Ok(move || {
        let request = client.get(&url).send();
        let answer = async move { request.await?.error_for_status() };
        Box::pin(async move { answer.await.map(drop).map_err(|error| error.to_string()) }) as _
    })
}

/// Asks the API server whether it is ready.
pub(super) fn api_server(client: kube::Client) -> impl Fn() -> futures::future::BoxFuture<'static, Result<(), String>> {
    move || {
        let client = client.clone();
        Box::pin(async move {
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
            client.request_text(request).await.map(drop).map_err(|error| error.to_string())
        })
    }
}
