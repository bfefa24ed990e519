//! Wiring only.

use std::process::ExitCode;

use clap::Parser;
use loopback_operator::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    // One TLS implementation in the whole process; a second caller finds it installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    cli::run(Cli::parse()).await
}
