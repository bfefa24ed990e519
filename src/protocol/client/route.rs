//! How collections are addressed.

use crate::protocol::{Intent, nested_part};

/// A collection as it is addressed: nested ones are addressed below an object of their parent's collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// Path of the collection, for instance `dns-zones/records`.
    pub collection: &'a str,
    /// Id of the parent, for a nested collection.
    pub parent: Option<&'a str>,
}

impl<'a> Route<'a> {
    /// The collection of `I`; `parent` is left out where the routes do not name it.
    #[must_use]
    pub fn of<I: Intent>(parent: Option<&'a str>) -> Self {
        let nested = nested_part(I::COLLECTION, I::PARENT).is_some();
        Self { collection: I::COLLECTION, parent: parent.filter(|_| nested) }
    }

    pub(super) fn path(self, rest: &[&'a str]) -> Vec<&'a str> {
        let split = self.parent.and_then(|parent| Some((parent, self.collection.rsplit_once('/')?)));
        let mut path: Vec<&str> = match split {
            Some((parent, (above, part))) => above.split('/').chain([parent, part]).collect(),
            None => self.collection.split('/').collect(),
        };
        path.extend(rest);
        path
    }
}

impl<'a> From<&'a str> for Route<'a> {
    fn from(collection: &'a str) -> Self {
        Self { collection, parent: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_collections_are_below_their_parent() {
        let route = Route { collection: "dns-zones/records", parent: Some("zone-1") };
        assert_eq!(route.path(&["rec-1", "owner"]), ["dns-zones", "zone-1", "records", "rec-1", "owner"]);
        assert_eq!(Route::from("monitoring/objects").path(&["mo-1"]), ["monitoring", "objects", "mo-1"]);
        assert_eq!(Route::from("load-balancers").path(&[]), ["load-balancers"]);
    }
}
