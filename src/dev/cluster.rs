//! A cluster to talk to: one that we started or one that the user has.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long one call of the start-up may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How long a token is valid, in seconds. kube reads it from its file about every minute.
const TOKEN_SECONDS: i64 = 3600;
/// Time until the next try when a token cannot be renewed.
const RENEWAL_RETRY: Duration = Duration::from_secs(10);

/// Why a cluster cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClusterProblem {
    /// The kubeconfig does not have it.
    #[error(
        "cannot use the context {context:?} of the kubeconfig: {source}: `kubectl config get-contexts` lists those that there are"
    )]
    Context {
        /// The context's name.
        context: String,
        /// What went wrong.
        source: Box<KubeconfigError>,
    },
    /// A kubeconfig cannot be read or put into words.
    #[error("cannot read the kubeconfig: {0}")]
    Kubeconfig(String),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The API server refused.
    #[error("cannot {what}: {}", said(source))]
    Call {
        /// What we wanted.
        what: String,
        /// What it answered.
        source: Box<kube::Error>,
    },
    /// The API server answered without a token.
    #[error("the API server gave no token for the ServiceAccount {name}")]
    NoToken {
        /// The ServiceAccount.
        name: String,
    },
    /// The API server did not answer in time.
    #[error("cannot {what}: the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    Late {
        /// What we wanted.
        what: String,
    },
}

/// A cluster, as its admin. Cheap enough to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    config: Config,
    kubeconfig: String,
}

impl Cluster {
    /// A cluster of the user's kubeconfig.
    ///
    /// # Errors
    /// When there is no such context or it cannot be used.
    pub async fn existing(context: &str) -> Result<Self, ClusterProblem> {
        super::tls::ensure_provider();
        let problem = |source| ClusterProblem::Context { context: context.to_owned(), source: Box::new(source) };
        let mut kubeconfig = Kubeconfig::read().map_err(problem)?;
        keep_only(&mut kubeconfig, context);
        let text = serde_saphyr::to_string(&kubeconfig).map_err(|e| ClusterProblem::Kubeconfig(e.to_string()))?;
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(problem)?;
        Ok(Self { config, kubeconfig: text })
    }

    /// The cluster of this kubeconfig's current context.
    pub(super) async fn from_kubeconfig(text: String) -> Result<Self, ClusterProblem> {
        let problem = |error: KubeconfigError| ClusterProblem::Kubeconfig(error.to_string());
        let kubeconfig = Kubeconfig::from_yaml(&text).map_err(problem)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Ok(Self { config: config.map_err(problem)?, kubeconfig: text })
    }

    /// How to connect as admin. No timeout on answers: watches stay open.
    #[must_use]
    pub fn admin(&self) -> Config {
        self.config.clone()
    }

    /// A client of the admin.
    ///
    /// # Errors
    /// When its certificates cannot be used.
    pub fn client(&self) -> Result<Client, ClusterProblem> {
        client(self.config.clone())
    }

    /// Writes the admin's kubeconfig, for `kubectl --kubeconfig`; only the user can read it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), ClusterProblem> {
        replace(path, &self.kubeconfig)
    }

    /// Credentials of a ServiceAccount that exists.
    ///
    /// # Errors
    /// When there is no such ServiceAccount.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Credentials, ClusterProblem> {
        let account = Account { api: Api::namespaced(self.client()?, namespace), name: name.to_owned() };
        let directory = TempDir::with_prefix("loopback-token-")
            .map_err(|source| ClusterProblem::Write { path: std::env::temp_dir(), source })?;
        let file = directory.path().join("token");
        let lifetime = account.write_token(&file).await?;
        let mut config = self.config.clone();
        config.auth_info = AuthInfo { token_file: Some(file.to_string_lossy().into_owned()), ..AuthInfo::default() };
        namespace.clone_into(&mut config.default_namespace);
        let renewal = tokio::spawn(account.renew(file, lifetime));
        Ok(Credentials { config, renewal, _directory: directory })
    }
}

/// What a ServiceAccount authenticates with. Its token is renewed while this lives; keep it as long as its clients.
#[derive(Debug)]
pub struct Credentials {
    config: Config,
    renewal: JoinHandle<()>,
    _directory: TempDir,
}

impl Credentials {
    /// How to connect as the ServiceAccount; its namespace is the default one.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// A client of the ServiceAccount.
    ///
    /// # Errors
    /// When the certificate authority cannot be used.
    pub fn client(&self) -> Result<Client, ClusterProblem> {
        client(self.config.clone())
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

struct Account {
    api: Api<ServiceAccount>,
    name: String,
}

impl Account {
    /// Asks for a token, writes it and returns how long it is valid from now.
    async fn write_token(&self, file: &Path) -> Result<Duration, ClusterProblem> {
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let parameters = PostParams::default();
        let answer = self.api.create_token_request(&self.name, &parameters, &request);
        let answer = within(answer, || format!("get a token for the ServiceAccount {}", self.name)).await?;
        let status = answer.status.ok_or_else(|| ClusterProblem::NoToken { name: self.name.clone() })?;
        replace(file, &status.token)?;
        let lifetime = Timestamp::now().duration_until(status.expiration_timestamp.0);
        Ok(lifetime.try_into().unwrap_or_default())
    }

    /// Writes a new token when four fifths of the old one's life are over.
    async fn renew(self, file: PathBuf, first: Duration) {
        let mut pause = first.mul_f64(0.8);
        loop {
            tokio::time::sleep(pause).await;
            pause = match self.write_token(&file).await {
                Ok(lifetime) => lifetime.mul_f64(0.8),
                Err(problem) => {
                    tracing::warn!(%problem, "token not renewed, trying again");
                    RENEWAL_RETRY
                }
            };
        }
    }
}

fn client(config: Config) -> Result<Client, ClusterProblem> {
    Client::try_from(config)
        .map_err(|source| ClusterProblem::Call { what: "make a client".to_owned(), source: Box::new(source) })
}

/// A call, bounded.
pub(super) async fn within<T>(
    call: impl Future<Output = kube::Result<T>>,
    what: impl Fn() -> String,
) -> Result<T, ClusterProblem> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(ClusterProblem::Call { what: what(), source: Box::new(source) }),
        Err(_) => Err(ClusterProblem::Late { what: what() }),
    }
}

/// What the API server said, without the rest of its answer.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

/// Drops what the context does not need: a copy of a kubeconfig should not hand out other clusters' keys.
fn keep_only(kubeconfig: &mut Kubeconfig, context: &str) {
    kubeconfig.contexts.retain(|candidate| candidate.name == context);
    let kept = kubeconfig.contexts.first().and_then(|named| named.context.clone()).unwrap_or_default();
    kubeconfig.clusters.retain(|cluster| cluster.name == kept.cluster);
    kubeconfig.auth_infos.retain(|user| Some(&user.name) == kept.user.as_ref());
    kubeconfig.current_context = Some(context.to_owned());
}

/// Writes a secret file aside and renames it: who reads it sees the old or the new text, whole.
fn replace(path: &Path, text: &str) -> Result<(), ClusterProblem> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut aside = tempfile::NamedTempFile::new_in(directory)?; // mode 0600
        aside.write_all(text.as_bytes())?;
        aside.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|source| ClusterProblem::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_has_only_the_context_that_was_asked_for() {
        let text = "
apiVersion: v1
kind: Config
current-context: b
contexts:
- {name: a, context: {cluster: ca, user: ua}}
- {name: b, context: {cluster: cb, user: ub}}
clusters:
- {name: ca, cluster: {server: https://a}}
- {name: cb, cluster: {server: https://b}}
users:
- {name: ua, user: {token: secret-a}}
- {name: ub, user: {token: secret-b}}
";
        let mut kubeconfig = Kubeconfig::from_yaml(text).unwrap();
        keep_only(&mut kubeconfig, "a");
        let copy = serde_saphyr::to_string(&kubeconfig).unwrap();
        assert!(copy.contains("secret-a") && copy.contains("https://a"), "{copy}");
        assert!(!copy.contains("secret-b") && !copy.contains("https://b"), "{copy}");
        assert_eq!(Kubeconfig::from_yaml(&copy).unwrap().current_context.as_deref(), Some("a"));
    }

    #[test]
    fn secret_files_are_replaced_and_private() {
        let root = TempDir::new().unwrap();
        let path = root.path().join("token");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
