//! DNS: an authoritative server of its own for the domains that organizations own.
//!
//! ```text
//! intents -> plane -> assembly: what each record is worth -> catalog of zones, swapped whole
//! question -> server -> answer -> catalog: longest domain -> zone: label tree -> message
//! ```

mod answer;
mod assembly;
mod server;
#[cfg(test)]
mod tests;
mod zone;

pub use answer::{Transport, respond};
pub use server::{LISTEN, ListenProblem, Listeners};
pub use zone::{Catalog, Found, RecordSet, Zone};
