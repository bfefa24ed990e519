//! Addresses that tenants write into bindings: checked when read, and again each time their name is resolved.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::rules::outbound::{Outbound, Profile};

/// What may be connected to on behalf of a tenant.
#[derive(Clone, Debug)]
pub struct Addresses(Arc<Outbound>);

impl Addresses {
    /// Judged by this filter.
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        Self(Arc::new(outbound))
    }

    /// Whether a URL may be used. A name is judged later, by what it resolves to.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn check(&self, url: &Url) -> Result<(), String> {
        // Plain HTTP would send the token in clear; on the own machine nobody listens.
        if url.scheme() != "https" && !(url.scheme() == "http" && self.0.allow_loopback) {
            return Err(format!("{url} is no https URL; the token would travel in clear"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user or a password cannot be used; name a Secret instead".into());
        }
        let port = url.port_or_known_default().unwrap_or(0);
        let address = match url.host() {
            Some(Host::Ipv4(ip)) => SocketAddr::from((ip, port)),
            Some(Host::Ipv6(ip)) => SocketAddr::from((ip, port)),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(format!("{url} names no host")),
        };
        self.0.check(Profile::Url, address).map_err(|refusal| refusal.to_string())
    }
}

/// Resolves names to what the filter admits: the address that was judged is the one that is connected to.
impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let outbound = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut refused = format!("{} has no address", name.as_str());
            let mut admitted = Vec::new();
            for address in found {
                // The port is not known here; any but 0 is judged alike, own listeners aside.
                let judged = SocketAddr::new(address.ip(), 443);
                match outbound.check(Profile::Url, judged) {
                    Ok(()) => admitted.push(address),
                    Err(refusal) => refused = refusal.to_string(),
                }
            }
            if admitted.is_empty() {
                return Err(refused.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allow_loopback: bool) -> Result<(), String> {
        let outbound = Outbound { allow_loopback, ..Outbound::default() };
        Addresses::new(outbound).check(&Url::parse(url).unwrap())
    }

    #[test]
    fn tenants_reach_only_public_https() {
        assert!(check("https://api.example.com", false).is_ok());
        for bad in [
            "http://api.example.com",
            "https://127.0.0.1:8480",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://10.0.0.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://0x7f.1/",
            "https://user:secret@api.example.com",
        ] {
            assert!(check(bad, false).is_err(), "{bad}");
        }
        assert!(check("http://127.0.0.1:8480", true).is_ok());
    }
}
