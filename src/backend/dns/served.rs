//! What is served now, shared between those who answer and the one who changes it.

use std::sync::{Arc, PoisonError, RwLock};

use super::{
    answer::{Transport, respond},
    catalog::Catalog,
};

/// What is served now; nothing before all was read once. Cheap to clone.
///
/// A lock rather than a copy for each change: a change costs what it changes, whatever else is served. Each answer is made from one
/// state, and held up while names are changed.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<RwLock<Option<Catalog>>>);

impl Served {
    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let catalog = self.0.read().unwrap_or_else(PoisonError::into_inner);
        respond(catalog.as_ref(), request, transport)
    }

    /// Changes what is served, all at once. The first time it is made while nothing is served yet.
    pub fn change(&self, change: impl FnOnce(&mut Catalog)) {
        if let Some(catalog) = self.0.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            return change(catalog);
        }
        let mut first = Catalog::default();
        change(&mut first);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(first);
    }
}
