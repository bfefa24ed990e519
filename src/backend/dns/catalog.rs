//! All domains that are served.
//!
//! Each has what is closest to it: a domain that comes takes what is in it from the one above, and gives it back when it goes.
//! That moves a part of a tree, whatever is in it.

use std::collections::{BTreeMap, BTreeSet};

use super::zone::{Label, Path, Sets, Zone, path_of};
use crate::rules::dns::Name;

/// All domains that are served.
#[derive(Debug, Default)]
pub struct Catalog {
    zones: BTreeMap<Path, Zone>,
}

impl Catalog {
    /// The zone that knows best about a name: the one whose domain has the most labels.
    #[must_use]
    pub fn closest(&self, name: &[Label]) -> Option<&Zone> {
        self.home(name).and_then(|domain| self.zones.get(domain))
    }

    /// Serves a domain too.
    pub fn add(&mut self, domain: &Name, serial: u32, name_servers: &[Name]) {
        let path = path_of(domain);
        if self.zones.contains_key(&path) {
            return;
        }
        let mut zone = Zone::new(domain, serial, name_servers);
        let below: Vec<Path> = self.within(&path).cloned().collect();
        let mut closest = true;
        for labels in (1..path.len()).rev() {
            let Some(above) = path.get(..labels).and_then(|domain| self.zones.get_mut(domain)) else { continue };
            if closest {
                above.hand_over(&path, &mut zone);
                above.stamp(serial);
                below.iter().for_each(|domain| above.mark(domain));
            }
            above.mark(&path);
            closest = false;
        }
        below.iter().for_each(|domain| zone.mark(domain));
        self.zones.insert(path, zone);
    }

    /// Serves a domain no more. What is in it is served by the one above, if there is one.
    pub fn remove(&mut self, domain: &Name, serial: u32) {
        let path = path_of(domain);
        let mut gone = self.zones.remove(&path);
        if gone.is_none() {
            return;
        }
        for labels in (1..path.len()).rev() {
            let Some(above) = path.get(..labels).and_then(|domain| self.zones.get_mut(domain)) else { continue };
            if gone.is_some() {
                above.stamp(serial);
            }
            above.unmark(&path, gone.take());
        }
    }

    /// Gives each name its records; domains in which something changed get the serial number.
    pub fn change(&mut self, names: impl IntoIterator<Item = (Name, Sets)>, serial: u32) {
        let mut changed = BTreeSet::new();
        for (name, sets) in names {
            let path = path_of(&name);
            let Some(domain) = self.home(&path) else { continue };
            if self.zones.get_mut(domain).is_some_and(|zone| zone.put(&name, sets)) && !changed.contains(domain) {
                changed.insert(domain.to_vec());
            }
        }
        for domain in changed {
            if let Some(zone) = self.zones.get_mut(&domain) {
                zone.stamp(serial);
            }
        }
    }

    fn home<'a>(&self, name: &'a [Label]) -> Option<&'a [Label]> {
        (1..=name.len()).rev().filter_map(|labels| name.get(..labels)).find(|domain| self.zones.contains_key(*domain))
    }

    /// The domains in a domain, itself aside.
    fn within<'a>(&'a self, domain: &'a Path) -> impl Iterator<Item = &'a Path> {
        let from = self.zones.range(domain.clone()..).map(|(path, _)| path);
        from.take_while(|path| path.starts_with(domain)).filter(move |path| *path != domain)
    }
}
