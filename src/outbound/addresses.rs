//! Which addresses may be connected to when a stranger chose them: the table, as a pure function.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::check::Network;

/// IPv4 networks that are no part of the public internet: the special-purpose registry of IANA, with what it says is reachable but no web server has
/// (relays, AS112), multicast and what is reserved.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "multicast tunnelling"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved and broadcast"),
];

/// Only here are public IPv6 addresses. What lies outside is unspecified, loopback, IPv4 in disguise (`::/96`, `::ffff:0:0/96`, `64:ff9b::/96`, …), discard,
/// segment routing, unique local, link-local, site-local, multicast, or unassigned.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What is special within it.
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 5] = [
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "protocol assignments, Teredo, benchmarking, ORCHID",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "documentation",
    ),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        "AS112",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "documentation",
    ),
];

/// Why an address is no ordinary public one; `None` when it is.
pub(crate) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => SPECIAL_V4
            .iter()
            .find(|(network, bits, _)| (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0)
            .map(|(.., what)| *what),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let is_in =
        |network: Ipv6Addr, bits: u32| (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0;
    if !is_in(GLOBAL_UNICAST.0, GLOBAL_UNICAST.1) {
        return Some("not global unicast");
    }
    SPECIAL_V6
        .iter()
        .find(|(network, bits, _)| is_in(*network, *bits))
        .map(|(.., what)| *what)
}

/// The table with what the operator adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressRules {
    /// Allowed whatever else is said.
    pub(crate) allow: Vec<Network>,
    /// Refused beside the special ones.
    pub(crate) deny: Vec<Network>,
}

impl AddressRules {
    /// Reads networks as the configuration has them; what is none was refused when the configuration was checked.
    pub(crate) fn new(allow: &[String], deny: &[String]) -> Self {
        let read = |networks: &[String]| {
            networks
                .iter()
                .filter_map(|network| Network::parse(network))
                .collect()
        };
        Self {
            allow: read(allow),
            deny: read(deny),
        }
    }

    /// Whether a host may be asked, as far as its spelling tells: names are judged once they are resolved.
    pub(crate) fn permit_host(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or(true, |address| self.permit(address))
    }

    /// Whether this address may be connected to.
    pub(crate) fn permit(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is judged as what the kernel would connect to.
        let meant = address.to_canonical();
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(meant));
        is_in(&self.allow) || !(is_in(&self.deny) || special(address).is_some())
    }
}
