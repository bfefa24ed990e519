//! What is served now, shared between those who answer and the one who changes it.

use std::sync::{Arc, PoisonError, RwLock};

use super::{
    answer::{Transport, respond},
    zone::{Catalog, Sets},
};
use crate::rules::dns::Name;

/// What is served now; nothing before all was read once. Cheap to clone.
///
/// A lock rather than a copy for each change: a change costs what it changes, whatever else the domain has. Each answer is made
/// from one state, and held up for some microseconds at most.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<RwLock<Option<Catalog>>>);

impl Served {
    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let catalog = self.0.read().unwrap_or_else(PoisonError::into_inner);
        respond(catalog.as_ref(), request, transport)
    }

    /// Serves another catalog.
    pub fn replace(&self, catalog: Catalog) {
        let before = self.0.write().unwrap_or_else(PoisonError::into_inner).replace(catalog);
        // a large one takes its time to go, when nobody waits for it any more
        drop(before);
    }

    /// Changes some names, all at once.
    pub fn change(&self, names: Vec<(Name, Sets)>, serial: u32) {
        if let Some(catalog) = self.0.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            catalog.change(names, serial);
        }
    }
}
