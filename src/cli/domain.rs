//! `domain`: say which domains an organization owns.

use clap::Subcommand;
use reqwest::Method;

use super::{
    Failure,
    admin::{Access, Backend},
};
use crate::protocol::Domain;

/// Manages the domains that organizations own.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Give an organization a domain, with all names below it.
    Add {
        /// Name of the organization.
        organization: String,
        /// The domain, for instance example.com.
        domain: String,
    },
    /// List the domains of an organization.
    List {
        /// Name of the organization.
        organization: String,
    },
    /// Take a domain from an organization. What was made below it stays until it is changed.
    Remove {
        /// Name of the organization.
        organization: String,
        /// The domain.
        domain: String,
    },
}

/// Does what was asked for and prints it.
///
/// # Errors
/// When the token file cannot be read, or the backend does not answer or refuses.
pub async fn run(args: Args) -> Result<(), Failure> {
    let backend = Backend::of(&args.access)?;
    let one = |method: Method, organization: &str, domain: &str| {
        backend.request(method, &["v3", "organizations", organization, "domains", domain])
    };
    match args.command {
        Command::Add { organization, domain } => {
            let added: Domain = backend.call(one(Method::PUT, &organization, &domain)?).await?;
            println!("{} belongs to {}", added.name, added.organization);
        }
        Command::List { organization } => {
            let path = ["v3", "organizations", &organization, "domains"];
            backend.each(&path, |domain: Domain| println!("{}", domain.name)).await?;
        }
        Command::Remove { organization, domain } => {
            let removed: Domain = backend.call(one(Method::DELETE, &organization, &domain)?).await?;
            println!("{} belongs to nobody", removed.name);
        }
    }
    Ok(())
}
