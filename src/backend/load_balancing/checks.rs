//! What the service decides when an intent is accepted: whether it can be, and its front-end addresses.
//!
//! Each balancer with IPv4 holds one address of the pool, alone and for its life; IPv6 is one address that all share, where
//! each port belongs to whoever listens first. Taking a family away gives its address back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::settings::Settings;
use crate::{
    backend::{
        checks::Checks,
        store::{Table, Transaction, key, prefix_end},
    },
    protocol::{
        Code, Intent, Problem, Project,
        load_balancer::{Address, AddressFamily, LoadBalancer},
    },
};

/// The default pool of IPv4 front-end addresses. On Linux all of 127.0.0.0/8 can be listened on.
pub const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 10, 0, 0), 16);
/// The default IPv6 front-end address.
pub const IPV6: Ipv6Addr = Ipv6Addr::LOCALHOST;
/// The first addresses of the pool are given out in order, so that a small installation has short, foreseeable ones; behind
/// them the search starts at a place that the object's id decides, so that its cost does not grow with the pool.
const IN_ORDER: usize = 256;

/// What the checks choose for a balancer; kept beside its intent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Front-end addresses, IPv4 first.
    pub addresses: Vec<Address>,
}

/// The checks of the collection `load-balancers`.
#[derive(Clone, Copy, Debug)]
pub struct LoadBalancingChecks {
    pool: Ipv4Net,
    ipv6: Ipv6Addr,
}

impl LoadBalancingChecks {
    /// `pool`: where IPv4 front-end addresses come from; its network and broadcast addresses are not given out. `ipv6`: the
    /// address that all balancers share. A balancer that has an address keeps it when the pool changes.
    #[must_use]
    pub fn new(pool: Ipv4Net, ipv6: Ipv6Addr) -> Self {
        Self { pool: pool.trunc(), ipv6 }
    }

    fn choose(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        settings: &Settings,
        before: &Chosen,
    ) -> Result<Chosen, Problem> {
        let mut addresses = Vec::new();
        for family in [AddressFamily::IPv4, AddressFamily::IPv6] {
            let held = before.addresses.iter().find(|held| held.family == family);
            match (settings.families.contains(&family), held) {
                (true, Some(held)) => addresses.push(held.clone()),
                (true, None) => addresses.push(Address { family, address: self.take(tx, id, family)? }),
                (false, Some(held)) => give_back(tx, id, held)?,
                (false, None) => {}
            }
        }
        Ok(Chosen { addresses })
    }

    fn take(&self, tx: &mut dyn Transaction, id: &str, family: AddressFamily) -> Result<IpAddr, Problem> {
        if family == AddressFamily::IPv6 {
            return Ok(self.ipv6.into());
        }
        let (first, last) = usable(self.pool).ok_or_else(|| self.exhausted())?;
        let start = start(id, first, last);
        let found = match first_free(tx, first, last, IN_ORDER)? {
            Some(free) => Some(free),
            None => match first_free(tx, start, last, usize::MAX)? {
                Some(free) => Some(free),
                None => first_free(tx, first, last, usize::MAX)?,
            },
        };
        let address = Ipv4Addr::from(found.ok_or_else(|| self.exhausted())?);
        tx.put(Table::Leases, &lease(address), id.as_bytes().to_vec())?;
        Ok(address.into())
    }

    fn exhausted(&self) -> Problem {
        let detail = format!(
            "every address of the pool {} is in use: delete load balancers that are not needed, leave IPv4 out of \
             addressFamilies, or have an administrator start the backend with a larger pool",
            self.pool
        );
        Problem { field: Some("/addressFamilies".into()), ..Problem::new(Code::Quota, detail) }
    }
}

impl Checks for LoadBalancingChecks {
    fn accept(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        _: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem> {
        let intent = LoadBalancer::deserialize(intent).map_err(|problem| Problem::invalid("", problem.to_string()))?;
        let settings = Settings::read(&intent)?;
        let before = before.map(read_chosen).transpose()?.unwrap_or_default();
        let chosen = self.choose(tx, id, &settings, &before)?;
        serde_json::to_value(chosen).map_err(|problem| Problem::new(Code::Internal, problem.to_string()))
    }

    fn release(&self, tx: &mut dyn Transaction, id: &str, chosen: &Value) -> Result<(), Problem> {
        for held in &read_chosen(chosen)?.addresses {
            give_back(tx, id, held)?;
        }
        Ok(())
    }
}

fn read_chosen(value: &Value) -> Result<Chosen, Problem> {
    let broken = |problem: serde_json::Error| {
        Problem::new(Code::Internal, format!("the stored addresses cannot be read: {problem}"))
    };
    if value.is_null() { Ok(Chosen::default()) } else { Chosen::deserialize(value).map_err(broken) }
}

/// Removes the lease of an address that `id` holds alone.
fn give_back(tx: &mut dyn Transaction, id: &str, held: &Address) -> Result<(), Problem> {
    let IpAddr::V4(address) = held.address else { return Ok(()) };
    let key = lease(address);
    if tx.get(Table::Leases, &key)?.is_some_and(|holder| holder == id.as_bytes()) {
        tx.delete(Table::Leases, &key)?;
    }
    Ok(())
}

/// First and last address that can be given out. A block of one or two addresses has neither network nor broadcast address
/// (RFC 3021).
fn usable(pool: Ipv4Net) -> Option<(u32, u32)> {
    let (network, broadcast) = (pool.network().to_bits(), pool.broadcast().to_bits());
    let edge = u32::from(pool.prefix_len() < 31);
    Some((network.checked_add(edge)?, broadcast.checked_sub(edge)?))
}

fn start(id: &str, first: u32, last: u32) -> u32 {
    let hash = Sha256::digest(id.as_bytes());
    let hash = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let size = u64::from(last - first) + 1;
    first + u32::try_from(hash % size).unwrap_or(0)
}

fn lease(address: Ipv4Addr) -> Vec<u8> {
    key(&[LoadBalancer::COLLECTION, "ipv4", &format!("{:08x}", address.to_bits())])
}

/// The lowest address from `from` to `last` that nobody holds, among those before the `limit`th that somebody holds.
fn first_free(tx: &dyn Transaction, from: u32, last: u32, limit: usize) -> Result<Option<u32>, Problem> {
    let (mut next, mut seen) = (from, 0);
    while seen < limit {
        let page = IN_ORDER.min(limit - seen);
        let end = prefix_end(&lease(last.into()));
        let rows = tx.scan(Table::Leases, &lease(next.into()), &end, page)?;
        for (held, _) in &rows {
            if *held != lease(next.into()) {
                return Ok(Some(next));
            }
            if next == last {
                return Ok(None);
            }
            next += 1;
        }
        if rows.len() < page {
            return Ok(Some(next));
        }
        seen += page;
    }
    Ok(None)
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
