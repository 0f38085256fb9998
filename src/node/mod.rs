//! Wiring only: opens the store, starts the actors, opens the listeners, and ends all of it in order.

mod acme;
mod cluster;
mod gateway;
mod house;
mod identity;
mod key_files;
mod listeners;
mod logging;
mod metrics;
mod shared_key;
mod spans;
mod tls;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use playhouse_actors::house::{House, HouseError};
use playhouse_schema::port::StoreError;

use self::{
    acme::Acme,
    cluster::{Joined, Joining},
    gateway::GatewayListeners,
    listeners::Listeners,
    metrics::Watched,
    tls::Certificates,
};
pub use self::{
    gateway::{RunningGateway, start_gateway},
    identity::{SigningKey, random_secret},
    key_files::{open_signer, rotate},
    logging::LogHandle,
};
pub(crate) use self::{
    house::{database, open_house, open_store, open_store_beside},
    shared_key::{SharedKey, refuse_beside_nodes},
};
use crate::{
    admin, canary, client,
    config::{Config, Resource},
    edge::{App, Routes, route::MountError},
    federation_api, operator,
    outbound::HousePostman,
    push::Gateway,
};

/// A node that is one of several has so long to give its work to the others, before it stops to take requests.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// Requests and long polls have so long to end when the node stops.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(10);

/// Actors and writers have so long to end after that.
const ACTORS_END_WITHIN: Duration = Duration::from_secs(20);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or a socket.
    #[error("{what}: {error}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        error: std::io::Error,
    },
    /// The signing key or a certificate cannot be used.
    #[error("{0}")]
    Key(String),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The actors do not start.
    #[error(transparent)]
    House(#[from] HouseError),
    /// Media cannot be kept or fetched as configured.
    #[error("{0}")]
    Media(String),
    /// The node cannot be one of several.
    #[error("{0}")]
    Cluster(String),
    /// The push gateway cannot be run as configured.
    #[error("{0}")]
    Push(String),
    /// Nothing outside can be asked.
    #[error("cannot speak to the outside: {0}")]
    Outside(String),
    /// The endpoints contradict each other.
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// A node that serves.
pub struct RunningNode {
    config: Arc<Config>,
    addresses: BTreeMap<Resource, SocketAddr>,
    house: Arc<House>,
    cluster: Option<Joined>,
    listeners: Listeners,
    gateway: Option<GatewayListeners>,
    certificates: Vec<Arc<Certificates>>,
    log: Option<LogHandle>,
    upkeep: tokio::task::JoinHandle<()>,
    sweeps: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts a node on the current tokio runtime, which must be a multi-threaded one. Ports may be 0: see [`RunningNode::address`].
///
/// `log` is what SIGHUP adjusts; none in tests.
pub async fn start(config: Config, log: Option<LogHandle>) -> Result<RunningNode, StartError> {
    install_crypto();
    metrics::install();
    let config = Arc::new(config);
    let trust = house::open_trust(&config)?;
    let joining = Joining::open(&config).await?;
    let postman = HousePostman::new(&config, &trust);
    let wanted = (joining.as_ref(), Some(postman.settings(&config)));
    let house = house::open_house_trusting(&config, &trust, wanted).await?;
    let cluster = joining.map(|joining| joining.begin(&house));
    let app = App::new(config.clone(), house.clone(), (&trust, metrics::render))?;
    let app = Arc::new(app);
    postman.serve(&app);
    let mut routes = Routes::default();
    client::mount(&mut routes);
    admin::mount(&mut routes);
    federation_api::mount(&mut routes);
    operator::mount(&mut routes);
    let acme = Acme::open(&config, house.env(), &trust)?;
    let gateway = GatewayListeners::open(&config, || {
        let over = (house.env(), house.gateway());
        Gateway::open(&config, over, (&trust, metrics::render))
    })?;
    let bound = listeners::open(&config, &app, &routes.finish(), acme.as_ref())?;
    tracing::info!(server_name = config.server.name, "started");
    let watched = Watched {
        data: config.server.data_dir.clone().into(),
        app: Some(app.clone()),
        gateway: gateway.as_ref().map(GatewayListeners::gateway),
    };
    Ok(RunningNode {
        config,
        addresses: bound.addresses,
        house,
        cluster,
        listeners: bound.listeners,
        gateway,
        certificates: bound.certificates,
        log,
        upkeep: tokio::spawn(metrics::upkeep()),
        sweeps: [
            client::account_validity::start(&app),
            client::media::start(&app),
            Some(client::media::start_settling(&app)),
            acme.map(Acme::start),
            Some(tokio::spawn(metrics::watch(watched))),
            canary::start(&app),
        ]
        .into_iter()
        .flatten()
        .collect(),
    })
}

/// Makes aws-lc the provider of all TLS in the process. Safe to repeat.
pub(crate) fn install_crypto() {
    // It fails when a provider is installed already, which then is this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

impl RunningNode {
    /// Where something is answered, with the port that was taken.
    pub fn address(&self, resource: Resource) -> Option<SocketAddr> {
        self.addresses.get(&resource).copied()
    }

    /// Where homeservers reach the push gateway, if there is one.
    pub fn gateway_address(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(GatewayListeners::address)
    }

    /// The URL for clients.
    pub fn client_url(&self) -> String {
        let address = self.addresses.get(&Resource::Client);
        address.map_or_else(String::new, |address| {
            listeners::client_url(&self.config, address)
        })
    }

    /// Reads certificates again, and sets the log level of `config`. What cannot be read stays as it is.
    pub fn reload(&self, config: &Config) {
        for certificates in &self.certificates {
            match certificates.reload() {
                Ok(()) => tracing::info!(path = %certificates.path(), "certificate read again"),
                Err(error) => tracing::error!(%error, "certificate stays as it is"),
            }
        }
        if let Some(gateway) = &self.gateway {
            gateway.reload(config);
        }
        if let Some(log) = &self.log {
            log.set_level(&config.log.level);
        }
    }

    /// Stops in order: other nodes take over, no new connections, long polls end, requests end, actors sleep, writers commit what they have.
    pub async fn stop(self) {
        tracing::info!("stopping");
        for sweep in &self.sweeps {
            sweep.abort();
        }
        // Before shards move: what becomes of the attempts on their way must be recorded here.
        if let Some(gateway) = &self.gateway {
            gateway.stop().await;
        }
        if let Some(cluster) = &self.cluster {
            cluster.drain(DRAINED_WITHIN).await;
        }
        self.house.end_waiting();
        self.listeners.stop(REQUESTS_END_WITHIN).await;
        self.house.close(ACTORS_END_WITHIN).await;
        if let Some(cluster) = self.cluster {
            cluster.close();
        }
        self.upkeep.abort();
        tracing::info!("stopped");
        if let Some(log) = self.log {
            log.close().await;
        }
    }
}
