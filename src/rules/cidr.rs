//! Lists of origins: who may connect.
//!
//! A list that is absent allows all; an entry of the blocked list wins over one of the allowed list. A peer that reaches an
//! IPv6 socket over IPv4 (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) is compared as the IPv4 address that it is.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Why a text is not a block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrProblem {
    /// Not `address/prefix`.
    #[error("{0:?} is not a CIDR: write an address and a prefix length, for instance 10.0.0.0/8 or 2001:db8::/32")]
    Format(String),
    /// An address without a prefix length.
    #[error("{0} has no prefix length: for this one address write {0}/{1}")]
    NoPrefix(IpAddr, u8),
    /// Bits behind the prefix are set: which block is meant is not clear.
    #[error("{0} has bits set behind its prefix: for the block write {1}")]
    HostBits(IpNet, IpNet),
    /// IPv4 in the clothes of IPv6.
    #[error("{0} is a block of IPv4 addresses in IPv6 form: write {1}")]
    Mapped(IpNet, IpNet),
}

/// Reads `address/prefix` strictly.
///
/// # Errors
/// When it is not one, has host bits set, or is IPv4 written as IPv6; the error names the right spelling.
pub fn parse(text: &str) -> Result<IpNet, CidrProblem> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(CidrProblem::NoPrefix(address, if address.is_ipv4() { 32 } else { 128 }));
    }
    let net = read(text).ok_or_else(|| CidrProblem::Format(text.chars().take(60).collect()))?;
    if net.addr() != net.network() {
        return Err(CidrProblem::HostBits(net, net.trunc()));
    }
    match mapped(&net) {
        Some(plain) => Err(CidrProblem::Mapped(net, plain)),
        None => Ok(net),
    }
}

/// An address as the standard library reads it (no leading zeros, which some read as octal) and a plain number.
fn read(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    let plain = prefix.bytes().all(|b| b.is_ascii_digit()) && (prefix.len() == 1 || !prefix.starts_with('0'));
    if !plain {
        return None;
    }
    IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok()
}

/// The IPv4 block that an IPv6 block inside `::ffff:0:0/96` stands for.
fn mapped(net: &IpNet) -> Option<IpNet> {
    let IpNet::V6(six) = net else { return None };
    let four = six.addr().to_ipv4_mapped()?;
    let prefix = six.prefix_len().checked_sub(96)?;
    IpNet::new(IpAddr::V4(four), prefix).ok()
}

/// Who may connect to one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    allowed: Option<Blocks>,
    blocked: Blocks,
}

impl Origins {
    /// From blocks that were read with [`parse`]. `allowed` absent: all; empty: nobody.
    #[must_use]
    pub fn new(allowed: Option<&[IpNet]>, blocked: &[IpNet]) -> Self {
        Self { allowed: allowed.map(Blocks::new), blocked: Blocks::new(blocked) }
    }

    /// Whether `peer` may connect. Takes time logarithmic in the length of the lists.
    #[must_use]
    pub fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !self.blocked.contains(peer) && self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }
}

/// Addresses as sorted, disjoint ranges, each with its first and last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Blocks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Blocks {
    fn new(nets: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((bits(net.network()), bits(net.broadcast()))),
            }
        }
        Self { v4: merge(v4), v6: merge(v6) }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, bits(address)),
        }
    }
}

fn bits(address: Ipv6Addr) -> u128 {
    address.to_bits()
}

/// Sorts, and joins those that overlap.
fn merge<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    after.checked_sub(1).and_then(|i| ranges.get(i)).is_some_and(|(_, last)| value <= *last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| parse(text).unwrap()).collect()
    }

    #[test]
    fn a_wrong_block_is_answered_with_the_right_spelling() {
        for (text, right) in [
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("10.0.0.0/33", "for instance 10.0.0.0/8"),
            ("10.0.0/8", "for instance 10.0.0.0/8"),
            ("010.0.0.0/8", "for instance 10.0.0.0/8"),
            (" 10.0.0.0/8", "for instance 10.0.0.0/8"),
            ("10.0.0.0/08", "for instance 10.0.0.0/8"),
            ("10.0.0.0/+8", "for instance 10.0.0.0/8"),
            ("10.0.0.0/", "for instance 10.0.0.0/8"),
            ("", "for instance 10.0.0.0/8"),
        ] {
            let problem = parse(text).unwrap_err().to_string();
            assert!(problem.contains(right), "{text}: {problem}");
        }
        for text in ["0.0.0.0/0", "::/0", "10.0.0.1/32", "fe80::/10"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn blocked_wins_and_absent_means_all() {
        let blocked = nets(&["10.6.6.0/24"]);
        let allowed = nets(&["10.0.0.0/8", "2001:db8::/32"]);
        let origins = Origins::new(Some(&allowed), &blocked);
        for (peer, admitted) in [
            ("10.1.2.3", true),
            ("10.6.6.7", false),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("::1", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:10.6.6.6", false),
        ] {
            assert_eq!(origins.admits(peer.parse().unwrap()), admitted, "{peer}");
        }
        assert!(Origins::default().admits("192.0.2.1".parse().unwrap()));
        assert!(Origins::new(None, &blocked).admits("192.0.2.1".parse().unwrap()));
        assert!(!Origins::new(Some(&[]), &[]).admits("192.0.2.1".parse().unwrap()));
        assert!(!Origins::new(Some(&nets(&["::/0"])), &[]).admits("::ffff:192.0.2.1".parse().unwrap()));
    }

    fn net() -> impl Strategy<Value = IpNet> {
        let four = (0_u32..1 << 16, 0_u8..=32).prop_map(|(a, p)| IpNet::new(IpAddr::V4((a << 8).into()), p).unwrap());
        let six = (0_u128..1 << 16, 0_u8..=128).prop_map(|(a, p)| IpNet::new(IpAddr::V6((a << 64).into()), p).unwrap());
        prop_oneof![four, six].prop_map(|net| net.trunc())
    }

    fn peer() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0_u32..1 << 24).prop_map(|a| IpAddr::V4(a.into())),
            (0_u128..1 << 16).prop_map(|a| IpAddr::V6((a << 64).into()))
        ]
    }

    proptest! {
        #[test]
        fn fast_lookup_agrees_with_the_plain_one(
            allowed in proptest::option::of(proptest::collection::vec(net(), 0..12)),
            blocked in proptest::collection::vec(net(), 0..12),
            peers in proptest::collection::vec(peer(), 1..20),
        ) {
            let origins = Origins::new(allowed.as_deref(), &blocked);
            for peer in peers {
                let plain = !blocked.iter().any(|net| net.contains(&peer))
                    && allowed.as_ref().is_none_or(|nets| nets.iter().any(|net| net.contains(&peer)));
                prop_assert_eq!(origins.admits(peer), plain);
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[0-9a-f:./]{0,24}") {
            if let Ok(net) = parse(&text) {
                prop_assert_eq!(parse(&net.to_string()), Ok(net));
            }
        }
    }
}
