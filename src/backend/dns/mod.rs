//! DNS: an authoritative server of its own for the domains that organizations own.
//!
//! ```text
//! intents -> plane -> assembly: what each record is worth -> catalog of zones, swapped whole
//! question -> server -> answer -> catalog: longest domain -> zone: label tree -> message
//! ```

mod answer;
mod assembly;
mod checks;
mod plane;
mod server;
#[cfg(test)]
mod tests;
mod zone;

use std::sync::Arc;

pub use answer::{Transport, respond};
pub use checks::{OwnerOf, RecordChecks, ZoneChecks};
pub use plane::{DnsPlane, NAME_SERVER, Options};
pub use server::{LISTEN, ListenProblem, Listeners};
pub use zone::{Catalog, Found, RecordSet, Zone};

use super::api::collections::Collection;
use crate::protocol::dns;

/// The collections of the service.
#[must_use]
pub fn collections(owner_of: OwnerOf) -> Vec<Collection> {
    vec![
        Collection::of::<dns::Zone>("dz", Arc::new(ZoneChecks::new(owner_of))),
        Collection::of::<dns::Record>("dr", Arc::new(RecordChecks)),
    ]
}
