//! What every handler is handed: the configuration, the house, the limiter.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use playhouse_actors::{
    env::Env,
    house::{House, HouseError},
    user::UserError,
};
use ruma::{OwnedUserId, ServerName};

use super::{
    bridges::{Bridge, Bridges},
    limits::Limiter,
    origins::Origins,
    queue::Queue,
    repeats::Repeats,
    uiaa::Interactive,
};
use crate::{
    backups::BackupDesk,
    client::{media::Fetches, rendezvous::Meetings, sso::Providers},
    config::{Config, check::Network},
    federation::ServerRules,
    media::{Blobs, Thumbnails, Turns, previews::Previews},
    node::StartError,
    outbound::{Gateways, Trust},
    pages::Pages,
    third_party::{self, ThirdParty},
};

/// One node's edge.
pub(crate) struct App {
    /// What the operator set.
    pub(crate) config: Arc<Config>,
    /// Rooms, users and everything they do.
    pub(crate) house: Arc<House>,
    /// Rates.
    pub(crate) limiter: Limiter,
    /// User-interactive authentication.
    pub(crate) interactive: Interactive,
    /// Answers to old clients' repeated requests.
    pub(crate) repeats: Repeats,
    /// Media files.
    pub(crate) blobs: Blobs,
    /// Backups that administrators want.
    pub(crate) backups: Arc<BackupDesk>,
    /// Thumbnails of them.
    pub(crate) thumbnails: Thumbnails,
    /// Uploads that count against a limit, one at a time for each user.
    pub(crate) uploads: Turns,
    /// Pieces of other servers' media on their way, each fetched once.
    pub(crate) fetches: Fetches,
    /// Other servers that are sending now.
    pub(crate) origins: Origins,
    /// With which servers this one talks.
    pub(crate) server_rules: ServerRules,
    /// Syncs from the beginning.
    pub(crate) initial_syncs: Queue,
    /// Previews of links, when they are switched on.
    pub(crate) previews: Option<Previews>,
    /// Push gateways, of which clients tell.
    pub(crate) gateways: Gateways,
    /// What people are shown.
    pub(crate) pages: Pages,
    /// Application services.
    pub(crate) bridges: Bridges,
    /// What proves something about a person outside: mail, captchas.
    pub(crate) third_party: ThirdParty,
    /// Where devices meet for a login by QR code.
    pub(crate) meetings: Meetings,
    /// Systems at which users have accounts by which they log in here.
    pub(crate) providers: Providers,
    /// The Prometheus text, or nothing when no recorder is installed.
    pub(crate) metrics: fn() -> String,
    /// Where the client listener answers, once it is open.
    pub(crate) client_listener: OnceLock<String>,
    /// Proxies whose word on addresses is believed.
    pub(super) proxies: Vec<Network>,
}

impl App {
    /// An edge over a house. Must be called within the runtime.
    pub(crate) fn new(
        config: Arc<Config>,
        house: Arc<House>,
        (trust, metrics): (&Arc<Trust>, fn() -> String),
    ) -> Result<Self, StartError> {
        let media = &config.media;
        let folder = config.in_data_dir(&media.dir);
        let blobs = match house.ward() {
            Some(ward) => Blobs::open_among(media, folder, ward.name()),
            None => Blobs::open(media, folder),
        };
        let blobs = blobs.map_err(StartError::Media)?;
        blobs.share_locks(house.desks());
        Ok(Self {
            previews: Previews::start(&config, &house, &blobs, trust),
            uploads: Turns::new(house.desks()),
            fetches: Fetches::new(&config, &house, &blobs, trust),
            origins: Origins::among(&config.limits, house.desks()),
            server_rules: ServerRules::new(&config.federation),
            initial_syncs: Queue::new(
                config.limits.initial_syncs_max,
                Duration::from_millis(config.limits.initial_sync_wait_ms),
            ),
            limiter: Limiter::among(&config.limits, house.desks()),
            interactive: Interactive::new(&house, third_party::stage_params(&config)),
            thumbnails: Thumbnails::new(blobs.clone(), media),
            repeats: Repeats::new(house.desks()),
            backups: Arc::default(),
            blobs,
            third_party: ThirdParty::new(&config, trust).map_err(StartError::Outside)?,
            gateways: Gateways::new(&config, trust),
            pages: Pages::new(house.env().clone()),
            bridges: Bridges::open(&config).map_err(StartError::Outside)?,
            providers: Providers::new(trust, &house),
            meetings: Meetings::new(
                config.rendezvous.sessions_max,
                config.rendezvous.lifetime_ms,
                &house,
            ),
            proxies: config
                .listen
                .trusted_proxies
                .iter()
                .filter_map(|proxy| Network::parse(proxy))
                .collect(),
            client_listener: OnceLock::new(),
            metrics,
            house,
            config,
        })
    }

    /// Clock and randomness.
    pub(crate) fn env(&self) -> &Env {
        self.house.env()
    }

    /// The URL under which clients reach this server: as configured. A server whose name means this machine is reached at its listener; any other may
    /// stand behind a proxy, so nothing can be told of it, and clients go by the name alone.
    pub(crate) fn client_url(&self) -> Option<&str> {
        let server = &self.config.server;
        let listener = || {
            let listener = self.client_listener.get()?;
            means_this_machine(&server.name).then_some(listener.as_str())
        };
        server.client_url.as_deref().or_else(listener)
    }

    /// The beginning of every address that is told to clients, without a slash at the end: as configured, or else as a client on this very machine
    /// addressed it. Whatever another client says in its `Host` header is not believed.
    pub(crate) fn base_url(&self, host: Option<&str>) -> Option<String> {
        if let Some(url) = &self.config.server.client_url {
            return Some(url.trim_end_matches('/').to_owned());
        }
        let host = host.filter(|host| means_this_machine(host))?;
        let tls = self.config.listen.client_has_tls();
        Some(format!("{}://{host}", if tls { "https" } else { "http" }))
    }

    /// The application service with this token.
    pub(crate) fn bridge(&self, token: &str) -> Option<Arc<Bridge>> {
        self.bridges.of_token(token).cloned()
    }

    /// The user ID of a user name, if a person may take it: as [`House::available_user_id`], and what is kept for an application service counts as taken.
    pub(crate) async fn free_user_id(&self, username: &str) -> Result<OwnedUserId, HouseError> {
        let user_id = self.house.available_user_id(username).await?;
        let checked = self.bridges.check_user(&user_id);
        checked.map_err(|_| UserError::UserInUse)?;
        Ok(user_id)
    }
}

/// Whether a server name is that of a server for one machine.
fn means_this_machine(server_name: &str) -> bool {
    let Ok(server_name) = <&ServerName>::try_from(server_name) else {
        return false;
    };
    let host = server_name.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: &str| {
        address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
    };
    host.eq_ignore_ascii_case("localhost") || is_loopback(address)
}

#[cfg(test)]
mod tests {
    use super::means_this_machine;

    #[test]
    fn names_of_this_machine() {
        for name in [
            "localhost",
            "LOCALHOST:8008",
            "127.0.0.1",
            "127.0.0.2:80",
            "[::1]:8008",
        ] {
            assert!(means_this_machine(name), "{name}");
        }
        for name in [
            "example.org",
            "localhost.example.org",
            "10.0.0.1",
            "[2001:db8::1]",
            "",
        ] {
            assert!(!means_this_machine(name), "{name}");
        }
    }
}
