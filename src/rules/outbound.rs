//! The one filter for addresses that users name and that we connect to.
//!
//! Without it a user could make the backend speak to what only the backend can reach: its own API, the machine's other
//! services, a cloud's metadata service. An address is judged by what it reaches: an IPv6 address that carries an IPv4
//! address (mapped, compatible, translated, 6to4, NAT64, Teredo, ISATAP) is refused when either of the two is.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;

/// Admits [`Rule::Loopback`].
pub const ALLOW_LOOPBACK: &str = "--outbound-allow-loopback";
/// Admits [`Rule::Private`] for [`Profile::Url`].
pub const ALLOW_PRIVATE: &str = "--outbound-allow-private";

/// What an address is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A load balancer's target: private networks are where targets live.
    BalancerTarget,
    /// A URL: a webhook, a probe, an endpoint. Only public addresses unless a flag allows more.
    Url,
}

/// What refused an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display, strum::EnumIter)]
pub enum Rule {
    /// Port 0.
    NoPort,
    /// `0.0.0.0/8` (RFC 1122 section 3.2.1.3) and `::`: reaches the own machine.
    Unspecified,
    /// `224.0.0.0/4` (RFC 5771), `ff00::/8` (RFC 4291 section 2.7).
    Multicast,
    /// `255.255.255.255` and the rest of `240.0.0.0/4` (RFC 1112 section 4).
    Broadcast,
    /// `169.254.0.0/16` (RFC 3927), `fe80::/10`, and what clouds serve credentials from.
    LinkLocal,
    /// A listener of this backend, or an address that it keeps for its own listeners.
    OwnListener,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918, RFC 6598, `fc00::/7` (RFC 4193), `fec0::/10`.
    Private,
    /// Other ranges that no public host has (RFC 6890): documentation, benchmarking, protocol assignments.
    Special,
}

impl Rule {
    /// The admin's flag that lifts the rule; none: nothing does.
    #[must_use]
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::Loopback => Some(ALLOW_LOOPBACK),
            Self::Private => Some(ALLOW_PRIVATE),
            _ => None,
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::NoPort => "port 0 cannot be connected to",
            Self::Unspecified => "an unspecified address is no destination",
            Self::Multicast => "a multicast address is no single host",
            Self::Broadcast => "a broadcast or reserved address is no single host",
            Self::LinkLocal => "link-local and metadata addresses are not served",
            Self::OwnListener => "the address belongs to the backend itself",
            Self::Loopback => "a loopback address is the backend's own machine",
            Self::Private => "the address is in a private network",
            Self::Special => "the address is in a range that no public host has",
        }
    }
}

/// An address that is not connected to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What was named.
    pub address: SocketAddr,
    /// What refused it.
    pub rule: Rule,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is refused: {}", self.address, self.rule.says())?;
        match self.rule.flag() {
            Some(flag) => write!(f, "; name another address, or have an administrator allow it with the flag {flag}"),
            None => write!(f, "; name another address"),
        }
    }
}

/// What the administrator allows and keeps back. By default the strictest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// [`ALLOW_LOOPBACK`] was given.
    pub allow_loopback: bool,
    /// [`ALLOW_PRIVATE`] was given.
    pub allow_private: bool,
    /// The backend's own listeners. One on `0.0.0.0` or `::` stands for its port on every loopback address; other
    /// addresses of the machine are listed one by one.
    pub own: Vec<SocketAddr>,
    /// Blocks that the backend takes addresses from for its own listeners.
    pub reserved: Vec<IpNet>,
}

impl Outbound {
    /// Whether `address` may be connected to. Names are resolved first, and the address that was judged is the one to
    /// connect to.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn check(&self, profile: Profile, address: SocketAddr) -> Result<(), Refusal> {
        let refused = |rule| Err(Refusal { address, rule });
        if address.port() == 0 {
            return refused(Rule::NoPort);
        }
        let port = address.port();
        match faces(address.ip()).filter_map(|ip| self.refuses(profile, ip, port)).min() {
            Some(rule) => refused(rule),
            None => Ok(()),
        }
    }

    /// The first rule that refuses one face of an address.
    fn refuses(&self, profile: Profile, ip: IpAddr, port: u16) -> Option<Rule> {
        let rule = match ip {
            IpAddr::V4(four) => class_of_v4(four),
            IpAddr::V6(six) => class_of_v6(six),
        };
        match rule {
            Some(Rule::Loopback | Rule::Private | Rule::Special) | None if self.is_own(ip, port) => {
                Some(Rule::OwnListener)
            }
            Some(Rule::Loopback) if self.allow_loopback => None,
            Some(Rule::Private) if self.allow_private || profile == Profile::BalancerTarget => None,
            Some(Rule::Special) if profile == Profile::BalancerTarget => None,
            other => other,
        }
    }

    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        let listens = |own: &SocketAddr| {
            let at = own.ip().to_canonical();
            own.port() == port && (at == ip || at.is_unspecified() && ip.is_loopback())
        };
        self.own.iter().any(listens) || self.reserved.iter().any(|block| block.contains(&ip))
    }
}

/// The address and the IPv4 addresses that it carries. One that only stands for IPv4 is that alone.
fn faces(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let canonical = ip.to_canonical();
    let carried = match canonical {
        IpAddr::V6(six) => carried_v4(six),
        IpAddr::V4(_) => Vec::new(),
    };
    std::iter::once(canonical).chain(carried.into_iter().map(IpAddr::V4))
}

/// IPv4 addresses inside an IPv6 address.
fn carried_v4(six: Ipv6Addr) -> Vec<Ipv4Addr> {
    let s = six.segments();
    let at = |high: usize| Ipv4Addr::from((u32::from(s[high]) << 16) | u32::from(s[high + 1]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![],
        // IPv4-compatible (RFC 4291 section 2.5.5.1), translated (RFC 7915), NAT64 (RFC 6052 section 2.1)
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![at(6)],
        // NAT64 for local use (RFC 8215): with a prefix of 48 bits (RFC 6052 section 2.2) and of 96
        [0x64, 0xff9b, 1, high, low, rest, _, _] => {
            let split = (u32::from(high) << 16) | (u32::from(low & 0xff) << 8) | u32::from(rest >> 8);
            vec![at(6), Ipv4Addr::from(split)]
        }
        // 6to4 (RFC 3056)
        [0x2002, _, _, ..] => vec![at(1)],
        // Teredo (RFC 4380): server, and client with its bits turned
        [0x2001, 0, _, _, _, _, _, _] => vec![at(2), Ipv4Addr::from(!at(6).to_bits())],
        // ISATAP (RFC 5214)
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => vec![at(6)],
        _ => vec![],
    }
}

fn class_of_v4(ip: Ipv4Addr) -> Option<Rule> {
    match ip.octets() {
        [0, ..] => Some(Rule::Unspecified),
        [224..=239, ..] => Some(Rule::Multicast),
        [240..=255, ..] => Some(Rule::Broadcast),
        // metadata services stand outside the link-local range in some clouds
        [169, 254, ..] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Some(Rule::LinkLocal),
        [127, ..] => Some(Rule::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some(Rule::Private),
        [192, 0, 0 | 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Some(Rule::Special)
        }
        _ => None,
    }
}

fn class_of_v6(ip: Ipv6Addr) -> Option<Rule> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Rule::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Rule::Loopback),
        [0xff00..=0xffff, ..] => Some(Rule::Multicast),
        // fd00:ec2::/32 serves metadata in AWS, fd20:ce::254 in Google's
        [0xfe80..=0xfebf, ..] | [0xfd00, 0x0ec2, ..] | [0xfd20, 0xce, ..] => Some(Rule::LinkLocal),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some(Rule::Private),
        // forms that carry IPv4 are judged by it as well; for URLs none of them is a place where a service lives
        [0, ..] | [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, 0, ..] | [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => {
            Some(Rule::Special)
        }
        [0x3fff, 0..=0xfff, ..] | [0x5f00, ..] => Some(Rule::Special),
        _ => None,
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
