//! The local control plane and the `dev` command.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
};
use loopback_operator::{
    crd::ProjectLoadBalancer,
    dev::{
        apply::{Existing, apply, parse},
        binaries::{Program, Sources},
        controlplane::{Claim, ControlPlane, Options, free_port},
        process::{Process, Signal, Spawner},
        progress::Progress,
    },
    runtime::World,
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::rig::{PATIENCE, until};

const MANIFEST: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, namespace: team}
---
apiVersion: v1
kind: Namespace
metadata: {name: team}
";

async fn control_plane(state: &Path) -> ControlPlane {
    let options = Options::new(state, Sources::from_env().unwrap());
    ControlPlane::start(options, &World::real(), &Progress::stderr()).await.unwrap()
}

async fn uid_of_config_map(plane: &ControlPlane) -> Option<String> {
    let api = Api::<ConfigMap>::namespaced(plane.cluster().client().unwrap(), "team");
    api.get_opt("kept").await.unwrap().and_then(|object| object.uid())
}

#[tokio::test]
async fn a_control_plane_goes_on_where_it_was_killed() {
    let root = TempDir::new().unwrap();
    let mut plane = control_plane(root.path()).await;
    let client = plane.cluster().client().unwrap();
    apply(&client, "suite", parse(MANIFEST).unwrap(), Existing::Update).await.unwrap();
    let uid = uid_of_config_map(&plane).await;
    assert!(uid.is_some());
    let problem = Claim::take(root.path()).unwrap_err().to_string();
    assert!(problem.contains("another process uses the state"), "{problem}");
    plane.restart(Program::ApiServer).await.unwrap();
    assert_eq!(uid_of_config_map(&plane).await, uid);
    let authority = fs::read(root.path().join("controlplane/certificates/current/server-ca.crt")).unwrap();
    drop(plane);

    let plane = control_plane(root.path()).await;
    assert_eq!(uid_of_config_map(&plane).await, uid);
    assert_eq!(fs::read(root.path().join("controlplane/certificates/current/server-ca.crt")).unwrap(), authority);
    plane.stop().await;
}

#[tokio::test]
async fn what_nobody_owns_any_more_is_collected() {
    let root = TempDir::new().unwrap();
    let mut options = Options::new(root.path(), Sources::from_env().unwrap());
    options.durable = false;
    let plane = ControlPlane::start(options, &World::real(), &Progress::stderr()).await.unwrap();
    let client = plane.cluster().client().unwrap();
    apply(&client, "suite", parse(MANIFEST).unwrap(), Existing::Update).await.unwrap();
    let api = Api::<ConfigMap>::namespaced(client.clone(), "team");
    let owner = api.get("kept").await.unwrap().uid().unwrap();
    let owned = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: owned\n  namespace: team\n  ownerReferences:\n  \
         - {{apiVersion: v1, kind: ConfigMap, name: kept, uid: {owner}}}"
    );
    apply(&client, "suite", parse(&owned).unwrap(), Existing::Update).await.unwrap();
    api.delete("kept", &kube::api::DeleteParams::background()).await.unwrap();
    until("the owned object is collected", async || api.get_opt("owned").await.unwrap().is_none()).await;
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(client);
    namespaces.delete("team", &kube::api::DeleteParams::default()).await.unwrap();
    until("the namespace is gone", async || namespaces.get_opt("team").await.unwrap().is_none()).await;
    plane.stop().await;
}

/// `dev` on free ports.
struct Dev<'a> {
    root: &'a Path,
    api: u16,
    _spawner: Spawner,
    process: Process,
}

impl<'a> Dev<'a> {
    async fn start(root: &'a Path, pool: &str, more: &[&str]) -> Self {
        let ports = [(); 6].map(|()| free_port().unwrap());
        let [api, metrics, one, other, dns, s3] = ports.map(|port| format!("127.0.0.1:{port}"));
        let output = File::create(root.join("output")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopback-operator"));
        command.args(["dev", "--kubernetes-port", "0", "--address-pool", pool, "--state-dir", "state"]);
        command.args(["--api-listen", &api, "--metrics-listen", &metrics, "--demo-targets", &format!("{one},{other}")]);
        command.args(["--dns-listen", &dns, "--s3-listen", &s3]);
        command.args(more).current_dir(root).stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let spawner = Spawner::new().unwrap();
        let process = spawner.start(command).await.unwrap();
        Self { root, api: ports[0], _spawner: spawner, process }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.root.join("output")).unwrap()
    }

    async fn running(&mut self) {
        until("dev runs", async || self.output().contains("running; Ctrl-C stops")).await;
    }

    /// Whether it ended well.
    async fn ends_well(&mut self) -> bool {
        timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap().success()
    }

    async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.root.join("state/kubeconfig")).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

async fn uid_of_balancer(client: Client) -> String {
    Api::<ProjectLoadBalancer>::namespaced(client, "shop").get("web").await.unwrap().uid().unwrap()
}

/// Runs a line as a user would; gives what it printed.
fn run(line: &str, directory: &Path) -> String {
    let ran = Command::new("sh").args(["-c", line]).current_dir(directory).output().unwrap();
    assert!(ran.status.success(), "{line}\n{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test]
async fn dev_prints_lines_that_work_and_keeps_data() {
    let root = TempDir::new().unwrap();
    let mut dev = Dev::start(root.path(), "127.21.0.0/16", &[]).await;
    dev.running().await;
    let output = dev.output();
    assert!(output.contains("all samples are Ready"), "{output}");
    let lines: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let commands: Vec<_> = lines.into_iter().filter(|line| !line.starts_with('#')).collect();
    assert!(commands.len() > 5, "{output}");
    let answers: Vec<_> = commands.iter().map(|line| run(line, root.path())).collect();
    assert!(answers[0].contains("projectloadbalancer.loopback.cloud/web"), "{}", answers[0]);
    assert!(answers.iter().any(|answer| answer == "a\n" || answer == "b\n"), "{answers:?}");
    let uid = uid_of_balancer(dev.client().await).await;
    dev.process.kill();

    let mut dev = Dev::start(root.path(), "127.21.0.0/16", &["--exit-when-ready"]).await;
    assert!(dev.ends_well().await, "{}", dev.output());
    let plane = control_plane(&root.path().join("state")).await;
    assert_eq!(uid_of_balancer(plane.cluster().client().unwrap()).await, uid);
    plane.stop().await;
}

#[tokio::test]
async fn dev_tells_a_taken_address_with_its_flag_and_stops_on_a_signal() {
    let (root, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut dev = Dev::start(root.path(), "127.22.0.0/16", &["--no-samples"]).await;
    dev.running().await;
    assert!(!dev.output().contains("applying samples"), "{}", dev.output());
    let taken = format!("127.0.0.1:{}", dev.api);
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopback-operator"));
    command.args(["dev", "--state-dir", "state", "--kubernetes-port", "0", "--api-listen", &taken]);
    let [dns, s3] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port().unwrap()));
    command.args(["--dns-listen", &dns, "--s3-listen", &s3]);
    let ran = command.current_dir(other.path()).output().unwrap();
    let told = String::from_utf8(ran.stderr).unwrap();
    assert!(!ran.status.success() && told.contains("pass --api-listen with another address"), "{told}");
    dev.process.signal(Signal::SIGTERM).unwrap();
    assert!(dev.ends_well().await, "{}", dev.output());
}

#[tokio::test]
async fn dev_says_what_is_not_ready() {
    let root = TempDir::new().unwrap();
    let _in_the_way = TcpListener::bind("127.23.0.1:8080").unwrap();
    let more = ["--exit-when-ready", "--ready-timeout", "15"];
    let mut dev = Dev::start(root.path(), "127.23.0.0/16", &more).await;
    assert!(!dev.ends_well().await, "{}", dev.output());
    let output = dev.output();
    assert!(output.contains("not Ready:\n  ProjectLoadBalancer shop/web: NotListening: "), "{output}");
}
