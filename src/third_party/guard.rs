//! Identity servers are named by strangers: what is inside the operator's network is not asked, however it is spelled.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::config::check::Network;

/// IPv4 networks that are no part of the public internet (IANA's registry of special-purpose addresses, multicast, reserved).
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// IPv6 networks within `2000::/3` that are no ordinary part of it: Teredo and its kin, documentation, 6to4.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Which addresses may be connected to.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    allowed: Vec<Network>,
}

impl Guard {
    /// Public addresses, and these networks.
    pub(super) fn new(allowed: &[String]) -> Self {
        let allowed = allowed.iter().filter_map(|text| Network::parse(text));
        Self {
            allowed: allowed.collect(),
        }
    }

    /// Whether this address may be connected to.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        let meant = address.to_canonical();
        let is_allowed = self.allowed.iter().any(|network| network.contains(meant));
        is_allowed || is_public(meant)
    }

    /// Whether a host may be asked, as far as its spelling tells: names are judged when they are resolved.
    pub(super) fn permits_host(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or(true, |address| self.permits(address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4
            .iter()
            .any(|(network, bits)| (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0),
        IpAddr::V6(address) => {
            let global = address.to_bits() >> 125 == 1;
            let special = SPECIAL_V6.iter().any(|(network, bits)| {
                (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
            });
            global && !special
        }
    }
}

/// Only permitted addresses leave here: what was checked is what is connected to.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            let permitted: Vec<SocketAddr> = found
                .filter(|address| guard.permits(address.ip()))
                .take(8)
                .collect();
            if permitted.is_empty() {
                return Err(io::Error::other("this host has no address that may be asked").into());
            }
            let addresses: Addrs = Box::new(permitted.into_iter());
            Ok(addresses)
        })
    }
}

/// A client that reaches what the guard permits.
pub(super) fn client(guard: &Guard) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .dns_resolver(Arc::new(guard.clone()))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(super::ANSWER_WITHIN)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_and_allowed_networks() {
        let guard = Guard::new(&["10.1.0.0/16".to_owned()]);
        for (host, permitted) in [
            ("8.8.8.8", true),
            ("example.org", true),
            ("[2606:4700::1111]", true),
            ("10.1.2.3", true),
            ("10.2.2.3", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("192.168.1.1", false),
            ("[::1]", false),
            ("[::ffff:127.0.0.1]", false),
            ("[64:ff9b::7f00:1]", false),
            ("[fd00::1]", false),
            ("[2002:7f00:1::]", false),
        ] {
            assert_eq!(guard.permits_host(host), permitted, "{host}");
        }
    }
}
