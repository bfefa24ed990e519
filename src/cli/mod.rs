//! The command line: one file a subcommand. Every flag has a `LOOPBACK_*` twin.

mod admin;
#[cfg(feature = "backend")]
mod backend;
#[cfg(feature = "operator")]
mod crds;
#[cfg(all(feature = "operator", feature = "backend"))]
mod dev;
mod domain;
#[cfg(feature = "operator")]
mod operator;
mod token;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::runtime::{LogFormat, Telemetry};

/// Kubernetes operator for Loopback, and the Loopback backend itself.
#[derive(Debug, Parser)]
#[command(name = "loopback-operator", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "backend")]
    Backend(backend::Args),
    #[cfg(feature = "operator")]
    Crds(crds::Args),
    #[cfg(all(feature = "operator", feature = "backend"))]
    Dev(Box<dev::Args>),
    Domain(domain::Args),
    #[cfg(feature = "operator")]
    Operator(Box<operator::Args>),
    Token(token::Args),
}

/// Why a subcommand ended: one message for the person who called it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// A failure with this message: what is wrong, where, and what to do.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// A failure that says what an error and its causes say.
    #[must_use]
    pub fn from_error(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// How the process logs, for the subcommands that run on.
#[derive(Debug, Args)]
pub struct Logging {
    /// How log lines look.
    #[arg(long, env = "LOOPBACK_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// What is logged, as tracing's directives: a level, or TARGET=LEVEL separated by commas.
    #[arg(long, env = "LOOPBACK_LOG", default_value = "info")]
    log: String,
}

impl Logging {
    /// Starts logging to standard error.
    ///
    /// # Errors
    /// Directives that cannot be understood.
    pub fn start(&self) -> Result<Telemetry, Failure> {
        Telemetry::start(self.log_format, &self.log).map_err(Failure::from_error)
    }
}

/// Returns when the process is asked to stop: SIGINT or SIGTERM.
pub async fn signal() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Runs the subcommand that was asked for.
pub async fn run(cli: Cli) -> ExitCode {
    match dispatch(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        #[cfg(feature = "backend")]
        Command::Backend(args) => backend::run(args).await,
        #[cfg(feature = "operator")]
        Command::Crds(args) => crds::run(args).await,
        #[cfg(all(feature = "operator", feature = "backend"))]
        Command::Dev(args) => dev::run(*args).await,
        #[cfg(feature = "operator")]
        Command::Operator(args) => operator::run(*args).await,
        Command::Domain(args) => domain::run(args).await,
        Command::Token(args) => token::run(args).await,
    }
}
