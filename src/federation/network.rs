//! Other servers as the actors see them, over everything in this folder.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_actors::{
    env::Env,
    house::House,
    network::{KeysWanted, Network, PeerAnswer, PeerError, PeerRequest},
    peer_keys::{HeardKeys, KnownKeys, PUBLISHED_BYTES_MAX},
};
use ruma::{OwnedServerName, ServerName, signatures::PublicKeyMap};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    dns::Dns,
    key_ring::{Asking, KeyRing, Shelf},
    names::{Guide, Route, read_override, resolve},
    server_rules::ServerRules,
    well_known::WellKnown,
    wire::{Sending, Wire},
    x_matrix,
};
use crate::{
    config::Config,
    outbound::{AddressRules, Lookup, Trust},
};

/// A server gives its keys within this time.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// A notary gives those of many: it asks them itself.
const NOTARY_WITHIN: Duration = Duration::from_secs(20);

/// A notary's answer is at most so large.
const NOTARY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reaches other servers. All that it does happens in the runtime in which it was made: connections outlive whoever asked first.
pub(crate) struct Federation {
    road: Arc<Road>,
    ring: Arc<KeyRing>,
    shelf: Arc<HouseShelf>,
    runtime: Handle,
}

/// The way to other servers.
struct Road {
    env: Env,
    names: Names,
    wire: Wire,
    rules: ServerRules,
}

impl Federation {
    /// Must be called within the runtime. `env` is without a network.
    pub(crate) fn new(config: &Config, env: &Env, trust: &Arc<Trust>) -> Self {
        let settings = &config.federation;
        let dns = Arc::new(Dns::new(env.clone()));
        let lookup: Arc<dyn Lookup> = dns.clone();
        let rules = AddressRules::new(&settings.allow_networks, &config.outbound.deny_networks);
        let guarded = (rules, lookup);
        let overrides = settings.overrides.iter();
        let names = Names {
            overrides: overrides.filter_map(|text| read_override(text)).collect(),
            well_known: WellKnown::new(env.clone(), trust, guarded.clone()),
            dns,
        };
        let road = Arc::new(Road {
            env: env.clone(),
            names,
            wire: Wire::new(trust, guarded),
            rules: ServerRules::new(settings),
        });
        let shelf = Arc::<HouseShelf>::default();
        let notaries = settings.notaries.iter();
        let notaries = notaries
            .filter_map(|name| ServerName::parse(name).ok())
            .filter(|name| name != env.server_name())
            .collect();
        let ring = KeyRing::new(env.clone(), (road.clone(), shelf.clone()), notaries);
        Self {
            road,
            ring: Arc::new(ring),
            shelf,
            runtime: Handle::current(),
        }
    }

    /// From now on keys are remembered in this house.
    pub(crate) fn remember_in(&self, house: &Arc<House>) {
        // Set once: there is one house.
        let _ = self.shelf.0.set(Arc::downgrade(house));
    }

    /// Has something done in the runtime of the connections.
    fn apart<T: Send + 'static>(
        &self,
        asking: impl Future<Output = Result<T, PeerError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, PeerError>> {
        let asked = self.runtime.spawn(asking);
        Box::pin(async move {
            asked
                .await
                .unwrap_or_else(|_| Err(PeerError::Unreachable("the server stops".to_owned())))
        })
    }
}

impl Network for Federation {
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let road = self.road.clone();
        self.apart(async move { road.ask(request).await })
    }

    fn ask_in_pieces(
        &self,
        request: PeerRequest,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let road = self.road.clone();
        self.apart(async move { road.ask_in_pieces(request).await })
    }

    fn keys(&self, wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        let ring = self.ring.clone();
        let found = self.runtime.spawn(async move { ring.keys(&wanted).await });
        Box::pin(async move { found.await.unwrap_or_default() })
    }
}

impl Road {
    async fn ask(&self, request: PeerRequest) -> Result<Bytes, PeerError> {
        let (server_name, sending) = self.signed(request)?;
        self.send(&server_name, sending).await
    }

    async fn ask_in_pieces(&self, request: PeerRequest) -> Result<PeerAnswer, PeerError> {
        let (server_name, sending) = self.signed(request)?;
        let route = self.route(&server_name, sending.deadline).await?;
        self.wire.open(&route, sending).await
    }

    fn signed(&self, request: PeerRequest) -> Result<(OwnedServerName, Sending), PeerError> {
        if request.destination == self.env.server_name() {
            return Err(PeerError::Denied);
        }
        let deadline = Instant::now() + request.within;
        let signed = x_matrix::sign(&self.env, &request);
        let (authorization, body) =
            signed.map_err(|error| PeerError::Nonsense(format!("the request: {error}")))?;
        let sending = Sending {
            method: request.method.as_str(),
            path: request.path,
            authorization: Some(authorization),
            body,
            deadline,
            answer_bytes_max: request.answer_bytes_max,
        };
        Ok((request.destination, sending))
    }

    async fn send(&self, server_name: &ServerName, sending: Sending) -> Result<Bytes, PeerError> {
        let route = self.route(server_name, sending.deadline).await?;
        self.wire.send(&route, sending).await
    }

    async fn route(
        &self,
        server_name: &ServerName,
        deadline: Instant,
    ) -> Result<Arc<Route>, PeerError> {
        if !self.rules.admit(server_name) {
            return Err(PeerError::Barred);
        }
        let found = timeout_at(deadline, resolve(server_name, &self.names)).await;
        Ok(Arc::new(found.map_err(|_| PeerError::TooSlow)?))
    }
}

impl Asking for Road {
    fn ask<'a>(
        &'a self,
        server_name: &'a ServerName,
        path: &'static str,
        body: Option<String>,
    ) -> BoxFuture<'a, Result<Bytes, PeerError>> {
        let (method, within, answer_bytes_max) = match body {
            Some(_) => ("POST", NOTARY_WITHIN, NOTARY_BYTES_MAX),
            None => ("GET", KEYS_WITHIN, PUBLISHED_BYTES_MAX as u64),
        };
        let sending = Sending {
            method,
            path: path.to_owned(),
            authorization: None,
            body,
            deadline: Instant::now() + within,
            answer_bytes_max,
        };
        Box::pin(self.send(server_name, sending))
    }
}

/// Who is asked on the way from a name to a place.
struct Names {
    overrides: BTreeMap<OwnedServerName, (String, u16)>,
    well_known: WellKnown,
    dns: Arc<Dns>,
}

impl Guide for Names {
    fn overridden(&self, name: &ServerName) -> Option<(String, u16)> {
        self.overrides.get(name).cloned()
    }

    fn delegated<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<OwnedServerName>> {
        Box::pin(self.well_known.delegated(host))
    }

    fn services(&self, name: String) -> BoxFuture<'_, Vec<(String, u16)>> {
        Box::pin(self.dns.services(name))
    }
}

/// The house remembers, once it is open.
#[derive(Default)]
struct HouseShelf(OnceLock<Weak<House>>);

impl HouseShelf {
    fn house(&self) -> Option<Arc<House>> {
        self.0.get()?.upgrade()
    }
}

impl Shelf for HouseShelf {
    fn known<'a>(&'a self, server_name: &'a ServerName) -> BoxFuture<'a, Option<KnownKeys>> {
        Box::pin(async move { self.house()?.peer_keys(server_name).await.ok() })
    }

    fn keep<'a>(&'a self, server_name: &'a ServerName, heard: HeardKeys) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Some(house) = self.house() else {
                return;
            };
            if let Err(error) = house.learn_peer_keys(server_name, heard).await {
                tracing::warn!(%server_name, %error, "keys are not remembered");
            }
        })
    }
}
