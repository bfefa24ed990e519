//! Starts etcd, kube-apiserver and the garbage collector and namespace controller of kube-controller-manager, and ends
//! them when we end.

mod another;
mod certificates;
mod child;
mod flags;
mod kubeconfig;
mod ports;
mod problem;
mod ready;
mod state;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

pub use super::process::Signal;
pub use another::ApiServer;
pub use certificates::CertificateProblem;
pub use ports::{Port, free_port};
pub use problem::StartProblem;

use super::{
    binaries::{self, Binaries, Program, Sources},
    cluster::Cluster,
    process::Spawner,
    progress::Progress,
    tls,
};
use crate::runtime::World;
use certificates::Certificates;
use child::Child;
use flags::Settings;
use ready::{Probe, Wait};
use state::State;

/// How often free ports are drawn anew when another program was faster.
const PORT_TRIES: u32 = 3;
/// How long a program may take to end when it is asked to. The API server would wait for its clients for a minute.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often the controllers may end by themselves. They do when the API server is away at their start, as official ones.
const REVIVALS: u32 = 20;

/// How to run a control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything is kept here; a second start goes on where the first stopped.
    pub state_dir: PathBuf,
    /// The API server's port.
    pub kubernetes_port: Port,
    /// etcd's port for clients.
    pub etcd_port: Port,
    /// etcd's port for peers, of which there are none.
    pub etcd_peer_port: Port,
    /// Whether data survives a machine that stops at once. False makes writes faster.
    pub durable: bool,
    /// Where the API server writes its audit log: metadata of all requests, bodies of those for `loopback.cloud`.
    pub audit_log: Option<PathBuf>,
    /// Where the programs come from.
    pub sources: Sources,
    /// How long each program may take to become ready.
    pub ready_within: Duration,
}

impl Options {
    /// Durable, on free ports, without an audit log.
    #[must_use]
    pub fn new(state_dir: &Path, sources: Sources) -> Self {
        let free = |flag| Port { number: 0, flag };
        Self {
            state_dir: state_dir.to_owned(),
            kubernetes_port: free("--kubernetes-port"),
            etcd_port: free("--etcd-port"),
            etcd_peer_port: free("--etcd-peer-port"),
            durable: true,
            audit_log: None,
            sources,
            ready_within: Duration::from_secs(60),
        }
    }
}

/// Keeps a state directory for this process, for as long as it lives.
#[derive(Debug)]
pub struct Claim {
    _state: State,
}

impl Claim {
    /// Takes a state directory without starting a control plane on it.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written.
    pub fn take(directory: &Path) -> Result<Self, StartProblem> {
        Ok(Self { _state: State::take(directory)? })
    }
}

/// A running control plane. Dropping it kills its programs; [`ControlPlane::stop`] ends them in order.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    binaries: Binaries,
    settings: Settings,
    ready_within: Duration,
    revivals: u32,
    // Fields are dropped in this order: children before the thread that started them, the state's lock last.
    children: BTreeMap<Program, Child>,
    spawner: Spawner,
    state: State,
}

impl ControlPlane {
    /// Gets the programs (the first time this may take minutes, `progress` shows it), starts them and waits until the
    /// API server is ready.
    ///
    /// # Errors
    /// When a program cannot be had, started, or does not become ready; when the state or a port is in use.
    pub async fn start(options: Options, world: &World, progress: &Progress) -> Result<Self, StartProblem> {
        tls::ensure_provider();
        let state = State::take(&options.state_dir)?;
        let certificates = Certificates::ensure(&state.certificates(), world.now())?;
        let mut settings = prepare(&options, &state, certificates)?;
        // Before the long work: who must choose another port should know it now.
        choose_ports(&options, &mut settings).await?;
        let binaries = binaries::find(&options.sources, progress).await?;
        let cluster = admin_cluster(&settings).await?;
        let spawner = Spawner::new().map_err(|source| StartProblem::Spawn { program: Program::Etcd, source })?;
        let children = BTreeMap::new();
        let ready_within = options.ready_within;
        let mut plane = Self { cluster, binaries, settings, ready_within, revivals: 0, children, spawner, state };
        for tries_left in (0..PORT_TRIES).rev() {
            match plane.start_all().await {
                Err(problem) if problem.is_lost_port() && tries_left > 0 => plane.move_ports(&options).await?,
                result => return result.map(|()| plane),
            }
        }
        Ok(plane)
    }

    /// The cluster, as its admin.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The API server's port on 127.0.0.1.
    #[must_use]
    pub fn kubernetes_port(&self) -> u16 {
        self.settings.api_port
    }

    /// etcd's port for clients on 127.0.0.1, for a relay between it and an API server.
    #[must_use]
    pub fn etcd_port(&self) -> u16 {
        self.settings.etcd_port
    }

    /// Where the programs came from.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The file that the program writes to.
    #[must_use]
    pub fn log(&self, program: Program) -> PathBuf {
        self.children.get(&program).map_or_else(|| self.state.log(&program.to_string()), |child| child.log().to_owned())
    }

    /// The program's process id, while it has been started.
    #[must_use]
    pub fn process_id(&self, program: Program) -> Option<u32> {
        self.children.get(&program).map(Child::id)
    }

    /// Sends a signal to a program, for tests of what happens then: `SIGSTOP` freezes it, `SIGCONT` lets it go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&mut self, program: Program, signal: Signal) -> std::io::Result<()> {
        self.children.get_mut(&program).map_or(Ok(()), |child| child.signal(signal))
    }

    /// Kills a program, if it runs; it stays away until it is restarted.
    pub fn kill(&mut self, program: Program) {
        self.children.remove(&program);
    }

    /// Kills a program, if it runs, starts it again and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start or does not become ready.
    pub async fn restart(&mut self, program: Program) -> Result<(), StartProblem> {
        self.children.remove(&program);
        self.spawn(program).await?;
        self.wait_ready(program).await?;
        self.check().await
    }

    /// Whether all programs run. Starts the controllers again when they have given up.
    ///
    /// # Errors
    /// When a program has ended by itself.
    pub async fn check(&mut self) -> Result<(), StartProblem> {
        for (program, child) in &mut self.children {
            let Err(problem) = ready::check(*program, child) else { continue };
            if *program != Program::ControllerManager || self.revivals >= REVIVALS {
                return Err(problem);
            }
            self.revivals += 1;
            return self.spawn(Program::ControllerManager).await;
        }
        Ok(())
    }

    /// Ends the programs: first the controllers, because the API server waits for its watchers (then it needs a second,
    /// else until it is killed), and last etcd, which flushes its data. Takes at most three times 3 seconds.
    pub async fn stop(mut self) {
        for program in [Program::ControllerManager, Program::ApiServer, Program::Etcd] {
            if let Some(mut child) = self.children.remove(&program) {
                child.stop(STOP_LIMIT).await;
            }
        }
    }

    async fn start_all(&mut self) -> Result<(), StartProblem> {
        self.children.clear();
        // The API server prepares itself for a second or two before it needs etcd.
        self.spawn(Program::Etcd).await?;
        self.spawn(Program::ApiServer).await?;
        self.wait_ready(Program::Etcd).await?;
        self.wait_ready(Program::ApiServer).await?;
        self.spawn(Program::ControllerManager).await
    }

    async fn spawn(&mut self, program: Program) -> Result<(), StartProblem> {
        let (found, flags) = match program {
            Program::Etcd => (&self.binaries.etcd, flags::etcd(&self.settings)),
            Program::ApiServer => (&self.binaries.api_server, flags::api_server(&self.settings)),
            Program::ControllerManager => {
                (&self.binaries.controller_manager, flags::controller_manager(&self.settings))
            }
        };
        let log = self.state.log(&program.to_string());
        let started = Child::start(&self.spawner, &found.path, &flags, &log).await;
        self.children.insert(program, started.map_err(|source| StartProblem::Spawn { program, source })?);
        Ok(())
    }

    async fn wait_ready(&mut self, program: Program) -> Result<(), StartProblem> {
        let probe = match program {
            Program::Etcd => Probe::etcd(&self.settings)?,
            Program::ApiServer => Probe::api_server(&self.settings)?,
            Program::ControllerManager => return Ok(()), // says nothing that we could wait for
        };
        Wait { program, within: self.ready_within, children: &mut self.children }.until(probe).await
    }

    async fn move_ports(&mut self, options: &Options) -> Result<(), StartProblem> {
        self.children.clear();
        choose_ports(options, &mut self.settings).await?;
        self.cluster = admin_cluster(&self.settings).await?;
        Ok(())
    }
}

fn prepare(options: &Options, state: &State, certificates: Certificates) -> Result<Settings, StartProblem> {
    let audit = options.audit_log.clone().map(|log| flags::Audit { policy: state.audit_policy(), log });
    if let Some(audit) = &audit {
        std::fs::write(&audit.policy, flags::AUDIT_POLICY).map_err(|source| state::problem(&audit.policy, source))?;
    }
    Ok(Settings {
        certificates,
        kubeconfig: state.kubeconfig(),
        etcd_data: state.etcd(),
        etcd_port: 0,
        etcd_peer_port: 0,
        api_port: 0,
        durable: options.durable,
        audit,
    })
}

async fn choose_ports(options: &Options, settings: &mut Settings) -> Result<(), StartProblem> {
    let chosen = [
        (options.etcd_port, &mut settings.etcd_port),
        (options.etcd_peer_port, &mut settings.etcd_peer_port),
        (options.kubernetes_port, &mut settings.api_port),
    ];
    for (port, number) in chosen {
        let problem = |source| StartProblem::Port { port: port.number, flag: port.flag, source };
        *number = ports::settle(port).await.map_err(problem)?;
    }
    Ok(())
}

/// Writes the admin's kubeconfig, which the controllers use too, and reads it back.
async fn admin_cluster(settings: &Settings) -> Result<Cluster, StartProblem> {
    let read = |path: PathBuf| std::fs::read(&path).map_err(|source| state::problem(&path, source));
    let certificates = &settings.certificates;
    let cluster = Cluster::from_kubeconfig(kubeconfig::text(kubeconfig::Admin {
        server: &format!("https://127.0.0.1:{}", settings.api_port),
        authority: &read(certificates.certificate("server-ca"))?,
        certificate: &read(certificates.certificate("admin"))?,
        key: &read(certificates.key("admin"))?,
    }))
    .await?;
    cluster.write_kubeconfig(&settings.kubeconfig)?;
    Ok(cluster)
}
