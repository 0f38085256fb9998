//! What makes sense and what does not.

use std::{
    net::{IpAddr, ToSocketAddrs as _},
    path::Path,
};

use ruma::{
    RoomAliasId, RoomId, RoomVersionId, ServerName, UserId,
    serde::{Base64, base64::Standard},
};

use super::{Config, ConfigError};
use crate::{
    federation::read_override,
    media::bucket_and_prefix,
    outbound::{Ports, UrlPattern},
};

impl Config {
    /// Refuses values that make no sense, naming section and key.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_server()?;
        self.check_listen()?;
        self.check_acme()?;
        self.check_database()?;
        self.check_cluster()?;
        self.check_outbound()?;
        self.check_push()?;
        self.check_federation()?;
        self.check_media()?;
        self.check_accounts()?;
        self.check_push_gateway()?;
        self.check_watching()?;
        self.check_rest()
    }

    fn check_server(&self) -> Result<(), ConfigError> {
        let key = self.server.policy_server_key.as_deref();
        let is_key =
            |key| Base64::<Standard>::parse(key).is_ok_and(|key| key.as_bytes().len() == 32);
        require(key.is_none_or(is_key), || {
            "[server] policy_server_key is not 32 bytes in base64".to_owned()
        })?;
        let name = &self.server.name;
        require(ServerName::parse(name).is_ok(), || {
            format!(
                "[server] name: `{name}` is no server name (a host name, perhaps with a port, without https://)"
            )
        })?;
        require(!self.server.data_dir.is_empty(), || {
            "[server] data_dir must not be empty".to_owned()
        })?;
        for (key, url) in [
            ("client_url", &self.server.client_url),
            ("identity_server_url", &self.server.identity_server_url),
        ] {
            let Some(url) = url else { continue };
            require(
                url.starts_with("https://") || url.starts_with("http://"),
                || format!("[server] {key}: `{url}` must begin with https:// or http://"),
            )?;
        }
        Ok(())
    }

    fn check_listen(&self) -> Result<(), ConfigError> {
        let listen = &self.listen;
        require_address("client", &listen.client)?;
        require_pair("client", &listen.client_tls_cert, &listen.client_tls_key)?;
        if let Some(address) = &listen.federation {
            require_address("federation", address)?;
        }
        require_pair(
            "federation",
            &listen.federation_tls_cert,
            &listen.federation_tls_key,
        )?;
        require(
            !listen.federation_plain || listen.federation_tls_cert.is_none(),
            || "[listen] federation_plain and federation_tls_cert exclude each other".to_owned(),
        )?;
        if let Some(address) = &listen.metrics {
            require_address("metrics", address)?;
        }
        for listener in &listen.more {
            require_address("more", &listener.address)?;
            require_pair("more", &listener.tls_cert, &listener.tls_key)?;
            require(!listener.resources.is_empty(), || {
                format!("[listen] more: {} has no resources", listener.address)
            })?;
        }
        let well_known = self.federation.well_known.as_deref();
        require(
            well_known.is_none_or(|name| ServerName::parse(name).is_ok()),
            || "[federation] well_known is no host with or without a port".to_owned(),
        )?;
        for proxy in &listen.trusted_proxies {
            require(Network::parse(proxy).is_some(), || {
                format!("[listen] trusted_proxies: `{proxy}` is neither an address nor a network")
            })?;
        }
        require(listen.connections_max > 0, || {
            "[listen] connections_max must be at least 1".to_owned()
        })
    }

    fn check_database(&self) -> Result<(), ConfigError> {
        let database = &self.database;
        require(database.url.is_none() || database.urls.is_empty(), || {
            "[database] url and urls do not go together: name all databases in urls (PLAYHOUSE_DATABASE is url)"
                .to_owned()
        })?;
        let addresses = database.addresses();
        let key = match database.url {
            Some(_) => "url",
            None => "urls",
        };
        for (index, address) in addresses.iter().enumerate() {
            let is_postgres =
                address.starts_with("postgres://") || address.starts_with("postgresql://");
            require(is_postgres, || {
                format!("[database] {key} must begin with postgres:// (leave it out for SQLite)")
            })?;
            require(!addresses[..index].contains(address), || {
                format!(
                    "[database] urls: address {} is there already: each database is named once",
                    index + 1
                )
            })?;
        }
        require(addresses.len() as u64 <= database.shards, || {
            format!(
                "[database] urls: {} shards cannot lie in {} databases",
                database.shards,
                addresses.len()
            )
        })?;
        require((1..=1_000).contains(&database.connections), || {
            format!(
                "[database] connections: {} is not from 1 to 1000",
                database.connections
            )
        })?;
        let timeout_ms = database.statement_timeout_ms;
        require((1_000..=3_600_000).contains(&timeout_ms), || {
            format!("[database] statement_timeout_ms: {timeout_ms} is not from 1000 to 3600000")
        })?;
        require((1..=64).contains(&database.shards), || {
            format!("[database] shards: {} is not from 1 to 64", database.shards)
        })?;
        let writers = database.writers;
        require((1..=database.shards).contains(&writers), || {
            format!("[database] writers: {writers} is not from 1 to the number of shards")
        })
    }

    fn check_media(&self) -> Result<(), ConfigError> {
        let media = &self.media;
        if let Some(url) = &media.storage {
            require(bucket_and_prefix(url).is_some(), || {
                format!("[media] storage: `{url}` is not s3://bucket/prefix")
            })?;
        }
        require(
            media.s3_access_key_id.is_some() == media.s3_secret_access_key.is_some(),
            || "[media] s3_access_key_id and s3_secret_access_key belong together".to_owned(),
        )?;
        require(!media.redirect_downloads || media.storage.is_some(), || {
            "[media] redirect_downloads needs a storage to which clients can be sent".to_owned()
        })?;
        for limit in &media.upload_limits {
            let is_link = |uri: &String| uri.starts_with("https://") || uri.starts_with("http://");
            require(limit.info_uri.as_ref().is_none_or(is_link), || {
                "[media] upload_limits: info_uri must begin with https:// or http://".to_owned()
            })?;
        }
        require(
            (1..=31_536_000_000).contains(&media.pending_upload_ms),
            || "[media] pending_upload_ms is not from 1 to a year".to_owned(),
        )
    }

    fn check_outbound(&self) -> Result<(), ConfigError> {
        let outbound = &self.outbound;
        for (key, networks) in [
            ("allow_networks", &outbound.allow_networks),
            ("deny_networks", &outbound.deny_networks),
        ] {
            for network in networks {
                require(Network::parse(network).is_some(), || {
                    format!("[outbound] {key}: `{network}` is neither an address nor a network")
                })?;
            }
        }
        for ports in &outbound.ports {
            require(Ports::parse(ports).is_some(), || {
                format!("[outbound] ports: `{ports}` is neither a port nor a range of ports")
            })?;
        }
        let previews = &self.previews;
        for pattern in &previews.deny_urls {
            require(UrlPattern::parse(pattern).is_some(), || {
                "[previews] deny_urls: a pattern must not be empty".to_owned()
            })?;
        }
        let counts = [
            ("concurrent_max", previews.concurrent_max, 1..=1_000),
            (
                "concurrent_per_user_max",
                previews.concurrent_per_user_max,
                1..=1_000,
            ),
            ("cache_entries_max", previews.cache_entries_max, 1..=100_000),
            (
                "page_bytes_max",
                previews.page_bytes_max,
                1_024..=1_073_741_824,
            ),
            ("timeout_ms", previews.timeout_ms, 100..=120_000),
            ("picture_days", previews.picture_days, 1..=3_650),
        ];
        for (key, value, range) in counts {
            require(range.contains(&value), || {
                let (from, to) = (range.start(), range.end());
                format!("[previews] {key}: {value} is not from {from} to {to}")
            })?;
        }
        Ok(())
    }

    fn check_federation(&self) -> Result<(), ConfigError> {
        let federation = &self.federation;
        for network in &federation.allow_networks {
            require(Network::parse(network).is_some(), || {
                format!(
                    "[federation] allow_networks: `{network}` is neither an address nor a network"
                )
            })?;
        }
        for text in &federation.overrides {
            require(read_override(text).is_some(), || {
                format!("[federation] overrides: `{text}` is not name=host:port")
            })?;
        }
        let names = federation
            .allow_servers
            .iter()
            .chain(&federation.deny_servers);
        for name in names {
            let is_pattern = !name.is_empty() && !name.contains(['/', '@', ' ']);
            require(is_pattern, || {
                format!("[federation] allow_servers, deny_servers: `{name}` is no name of servers")
            })?;
        }
        for (key, value) in [
            ("retry_wait_ms", federation.retry_wait_ms),
            ("retry_wait_max_ms", federation.retry_wait_max_ms),
            ("refused_for_ms", federation.refused_for_ms),
        ] {
            require((1..=86_400_000).contains(&value), || {
                format!("[federation] {key}: {value} is not from 1 to 86400000")
            })?;
        }
        for name in &federation.notaries {
            require(ServerName::parse(name).is_ok(), || {
                format!("[federation] notaries: `{name}` is no server name")
            })?;
        }
        Ok(())
    }

    fn check_rooms(&self) -> Result<(), ConfigError> {
        let rooms = &self.rooms;
        let choices: [(&str, &str, &[&str]); 5] = [
            (
                "encrypted_by_default",
                &rooms.encrypted_by_default,
                &["off", "invite", "all"],
            ),
            ("make", &rooms.make, &["all", "admins"]),
            ("invite", &rooms.invite, &["all", "admins"]),
            (
                "accept_invites",
                &rooms.accept_invites,
                &["off", "direct", "all"],
            ),
            (
                "accept_invites_of",
                &rooms.accept_invites_of,
                &["all", "local"],
            ),
        ];
        for (key, value, known) in choices {
            require(known.contains(&value), || {
                format!("[rooms] {key}: `{value}` is none of {}", known.join(", "))
            })?;
        }
        for room_id in &rooms.exclude_from_sync {
            require(RoomId::parse(room_id).is_ok(), || {
                format!("[rooms] exclude_from_sync: `{room_id}` is no ID of a room")
            })?;
        }
        for user_id in &self.presence.observers {
            require(UserId::parse(user_id).is_ok(), || {
                format!("[presence] observers: `{user_id}` is no ID of a user")
            })?;
        }
        for alias in &self.registration.auto_join_rooms {
            require(RoomAliasId::parse(alias).is_ok(), || {
                format!("[registration] auto_join_rooms: `{alias}` is no alias of a room")
            })?;
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        require(limits.body_bytes_max >= 65_536, || {
            "[limits] body_bytes_max must be at least 65536: events may be that large".to_owned()
        })?;
        require((10..=120).contains(&limits.json_depth_max), || {
            "[limits] json_depth_max is not from 10 to 120".to_owned()
        })?;
        require(limits.initial_syncs_max > 0, || {
            "[limits] initial_syncs_max must be at least 1".to_owned()
        })?;
        require(limits.server_transactions_max > 0, || {
            "[limits] server_transactions_max must be at least 1".to_owned()
        })?;
        for (key, rate) in limits.rates() {
            require(rate.per_second > 0.0 && rate.burst > 0, || {
                format!("[limits] {key}: per_second and burst must be above 0")
            })?;
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), ConfigError> {
        let version = &self.rooms.default_version;
        let known = RoomVersionId::try_from(version.as_str())
            .is_ok_and(|version| version.rules().is_some());
        require(known, || {
            format!("[rooms] default_version: `{version}` is no room version (1 to 12)")
        })?;
        self.check_rooms()?;
        require(matches!(self.log.format.as_str(), "text" | "json"), || {
            format!(
                "[log] format: `{}` is neither text nor json",
                self.log.format
            )
        })?;
        require(
            tracing_subscriber::EnvFilter::try_new(&self.log.level).is_ok(),
            || format!("[log] level: `{}` is no level or filter", self.log.level),
        )?;
        self.check_limits()?;
        require(!self.jwt.enabled || self.jwt.key().is_some(), || {
            "[jwt] needs a secret that fits its algorithm: for HS256 any text, for others a public key in PEM".to_owned()
        })?;
        if let Some(problem) = self.sso.problem() {
            return Err(ConfigError::Invalid(format!("[sso] providers: {problem}")));
        }
        let mode = self.rendezvous.mode.as_str();
        require(matches!(mode, "open" | "authenticated" | "off"), || {
            format!("[rendezvous] mode: `{mode}` is not open, authenticated or off")
        })?;
        let voip = &self.voip;
        require(
            voip.turn_username.is_some() == voip.turn_password.is_some(),
            || "[voip] turn_username and turn_password belong together".to_owned(),
        )?;
        let credentials = voip.turn_shared_secret.is_some() || voip.turn_username.is_some();
        require(voip.turn_uris.is_empty() || credentials, || {
            "[voip] turn_uris need turn_shared_secret, or turn_username and turn_password"
                .to_owned()
        })?;
        let retention = &self.retention;
        require(retention.sweep_every_ms > 0, || {
            "[retention] sweep_every_ms must be above 0".to_owned()
        })?;
        let bounds = retention.min_ms().zip(retention.max_ms());
        require(bounds.is_none_or(|(min, max)| min <= max), || {
            "[retention] lifetime_min_ms is above lifetime_max_ms".to_owned()
        })?;
        for transport in &self.rtc.transports {
            require(
                transport.get("type").is_some_and(toml::Value::is_str),
                || "[rtc] transports: each needs a type".to_owned(),
            )?;
        }
        let secret = &self.registration.shared_secret;
        require(
            secret.as_ref().is_none_or(|secret| !secret.is_empty()),
            || "[registration] shared_secret must not be empty".to_owned(),
        )
    }
}

pub(super) fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::Invalid(otherwise()))
    }
}

fn require_address(key: &str, address: &str) -> Result<(), ConfigError> {
    let resolves = address
        .to_socket_addrs()
        .is_ok_and(|mut found| found.next().is_some());
    require(resolves, || {
        format!("[listen] {key}: `{address}` is no address to listen on (host:port)")
    })
}

fn require_pair(
    key: &str,
    cert: &Option<String>,
    secret: &Option<String>,
) -> Result<(), ConfigError> {
    require_pair_of(&format!("[listen] {key}"), cert, secret)
}

pub(super) fn require_pair_of(
    key: &str,
    cert: &Option<String>,
    secret: &Option<String>,
) -> Result<(), ConfigError> {
    require(cert.is_some() == secret.is_some(), || {
        format!("{key}: TLS needs both the certificate and the key")
    })?;
    for path in cert.iter().chain(secret) {
        require(Path::new(path).is_file(), || {
            format!("{key}: there is no file {path}")
        })?;
    }
    Ok(())
}

/// An address or a network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix_bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse().ok()?, bits.parse().ok()?),
            None => {
                let address: IpAddr = text.parse().ok()?;
                (address, if address.is_ipv4() { 32 } else { 128 })
            }
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix_bits <= longest).then_some(Self {
            address,
            prefix_bits,
        })
    }

    /// Whether an address belongs to it.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.prefix_bits);
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let difference = network.to_bits() ^ address.to_bits();
                difference.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let difference = network.to_bits() ^ address.to_bits();
                difference.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}
