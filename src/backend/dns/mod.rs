//! DNS: an authoritative server of its own for the domains that organizations own.
//!
//! ```text
//! intents -> plane -> assembly: what each record is worth -> catalog of zones, changed name by name
//! question -> server -> answer -> catalog: longest domain -> zone: label tree -> message
//! ```

mod answer;
mod assembly;
mod catalog;
mod checks;
mod datagrams;
mod places;
mod plane;
mod record;
mod served;
mod server;
#[cfg(test)]
mod tests;
mod wire;
mod zone;

use std::sync::Arc;

pub use answer::{Transport, respond};
pub use catalog::Catalog;
pub use checks::{OwnerOf, RecordChecks, ZoneChecks};
pub use plane::{DnsPlane, NAME_SERVER, Options};
pub use server::{LISTEN, ListenProblem, Listeners};
pub use zone::{Found, RecordSet, Zone};

use super::{api::collections::Collection, domains, plane::BoxedPlane, service::Service};
use crate::{
    protocol::dns,
    rules::dns::{Alphabet, Name},
};

/// The name servers when nothing else is said.
#[must_use]
pub fn name_servers() -> Vec<Name> {
    Name::parse(NAME_SERVER, Alphabet::Host).into_iter().collect()
}

/// The service on open sockets.
#[must_use]
pub fn service(listeners: Listeners, name_servers: Vec<Name>) -> Service {
    let owner_of: OwnerOf = |view, name| Ok(domains::owner_of_domain(view, name)?.map(|domain| domain.organization));
    let plane = DnsPlane::new(listeners, Options { name_servers });
    Service { collections: collections(owner_of), facts: Vec::new(), plane: BoxedPlane::new(plane) }
}

/// The collections of the service.
#[must_use]
pub fn collections(owner_of: OwnerOf) -> Vec<Collection> {
    vec![
        Collection::of::<dns::Zone>("dz", Arc::new(ZoneChecks::new(owner_of))),
        Collection::of::<dns::Record>("dr", Arc::new(RecordChecks)),
    ]
}
