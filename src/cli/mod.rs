//! The command line: one file a subcommand. Every flag has a `LOOPBACK_*` twin.

#[cfg(feature = "operator")]
mod crds;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Kubernetes operator for Loopback, and the Loopback backend itself.
#[derive(Debug, Parser)]
#[command(name = "loopback-operator", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "operator")]
    Crds(crds::Args),
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
        #[cfg(feature = "operator")]
        Command::Crds(args) => crds::run(args).await,
    }
}
