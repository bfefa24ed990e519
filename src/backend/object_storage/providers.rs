//! Who keeps buckets, and where.

use crate::protocol::{
    Problem,
    object_storage::{Provider, Region},
};

/// The provider inside the backend.
pub const EMBEDDED: &str = "embedded";
/// Its region.
pub const LOCAL: &str = "local-1";

/// The providers of this installation; the first is taken when an intent names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers(Vec<Provider>);

impl Default for Providers {
    fn default() -> Self {
        Self(vec![Provider { name: EMBEDDED.to_owned(), regions: vec![LOCAL.to_owned()] }])
    }
}

impl Providers {
    /// All, the first first.
    #[must_use]
    pub fn all(&self) -> &[Provider] {
        &self.0
    }

    /// All regions by name, with the providers that have them.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        let mut names: Vec<&String> = self.0.iter().flat_map(|provider| &provider.regions).collect();
        names.sort_unstable();
        names.dedup();
        let has = |name: &String| self.0.iter().filter(|p| p.regions.contains(name)).map(|p| p.name.clone()).collect();
        names.into_iter().map(|name| Region { name: name.clone(), providers: has(name) }).collect()
    }

    /// The provider and region that an intent means.
    ///
    /// # Errors
    /// When there is no such provider, or it has no such region; the message names those that there are.
    pub fn choose(&self, provider: Option<&str>, region: Option<&str>) -> Result<(String, String), Problem> {
        let found = match provider {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|provider| provider.name == name),
        };
        let Some(found) = found else {
            let names: Vec<_> = self.0.iter().map(|provider| provider.name.as_str()).collect();
            let detail = format!("there is no such provider; there are: {}", names.join(", "));
            return Err(Problem::invalid("/provider", detail));
        };
        let chosen = match region {
            None => found.regions.first(),
            Some(name) => found.regions.iter().find(|region| *region == name),
        };
        match chosen {
            Some(region) => Ok((found.name.clone(), region.clone())),
            None => {
                let detail =
                    format!("the provider {} has no such region; it has: {}", found.name, found.regions.join(", "));
                Err(Problem::invalid("/region", detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_choice_names_the_right_ones() {
        let providers = Providers::default();
        let local = Ok((EMBEDDED.to_owned(), LOCAL.to_owned()));
        assert_eq!(providers.choose(None, None), local);
        assert_eq!(providers.choose(Some("embedded"), Some("local-1")), local);
        for (provider, region, field, named) in [
            (Some("aws"), None, "/provider", EMBEDDED),
            (Some(""), None, "/provider", EMBEDDED),
            (None, Some("eu-1"), "/region", LOCAL),
            (Some("embedded"), Some(""), "/region", LOCAL),
        ] {
            let problem = providers.choose(provider, region).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field));
            assert!(problem.detail.contains(named), "{}", problem.detail);
        }
        assert_eq!(providers.regions()[0].providers, [EMBEDDED]);
    }
}
