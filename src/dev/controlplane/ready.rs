//! Waits until a program is ready, and no longer once a program has ended.

use std::{collections::BTreeMap, io, time::Duration};

use reqwest::{Certificate, Client, Identity};
use serde_json::Value;
use tokio::time::Instant;

use super::{Child, Settings, StartProblem, state};
use crate::dev::binaries::Program;

/// How often is asked.
const POLL: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A program that is waited for; etcd or an API server that ends ends the wait.
pub(super) struct Wait<'a> {
    pub(super) program: Program,
    pub(super) within: Duration,
    pub(super) children: &'a mut BTreeMap<Program, Child>,
}

impl Wait<'_> {
    /// Asks until the answer is good.
    pub(super) async fn until(self, probe: Probe) -> Result<(), StartProblem> {
        let deadline = Instant::now() + self.within;
        loop {
            // The controllers may give up while the API server is away; that is looked at later.
            for (program, child) in self.children.iter_mut().filter(|child| *child.0 != Program::ControllerManager) {
                check(*program, child)?;
            }
            let Err(last) = probe.ask().await else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(self.not_ready(last.to_string()));
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

/// A question that is answered well once a program is ready.
#[derive(Debug)]
pub(super) struct Probe {
    client: Client,
    url: String,
    path: &'static str,
}

impl Probe {
    /// Of etcd, as the API server, whom alone it lets in.
    pub(super) fn etcd(settings: &Settings) -> Result<Self, StartProblem> {
        Self::new(settings, Program::Etcd, "etcd-client", settings.etcd_port, "/health")
    }

    /// Of the API server, as its admin.
    pub(super) fn api_server(settings: &Settings) -> Result<Self, StartProblem> {
        Self::new(settings, Program::ApiServer, "admin", settings.api_port, "/readyz")
    }

    fn new(
        settings: &Settings,
        program: Program,
        identity: &str,
        port: u16,
        path: &'static str,
    ) -> Result<Self, StartProblem> {
        let certificates = &settings.certificates;
        let mut pem = Vec::new();
        for path in
            [certificates.key(identity), certificates.certificate(identity), certificates.certificate("server-ca")]
        {
            pem.push(std::fs::read(&path).map_err(|source| state::problem(&path, source))?);
        }
        let authority = pem.pop().unwrap_or_default();
        let client = client(&authority, &pem.concat())
            .map_err(|error| StartProblem::Spawn { program, source: io::Error::other(error) })?;
        Ok(Self { client, url: format!("https://127.0.0.1:{port}"), path })
    }

    async fn ask(&self) -> reqwest::Result<()> {
        let answer = self.client.get(format!("{}{}", self.url, self.path)).send().await?;
        answer.error_for_status().map(drop)
    }

    /// Asks for something else.
    pub(super) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Value> {
        let answer = self.client.post(format!("{}{path}", self.url)).json(body).send().await?;
        answer.error_for_status()?.json().await
    }
}

fn client(authority: &[u8], identity: &[u8]) -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .timeout(ANSWER_LIMIT)
        .identity(Identity::from_pem(identity)?)
        .tls_certs_only([Certificate::from_pem(authority)?])
        .build()
}
