//! Wiring only.

use std::process::ExitCode;

use clap::Parser;
use loopback_operator::cli::{self, Cli};

/// Most of the work is JSON that comes and goes: this one takes less time for it, and gives back what a burst has left.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // One TLS implementation in the whole process; a second caller finds it installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    cli::run(Cli::parse()).await
}
