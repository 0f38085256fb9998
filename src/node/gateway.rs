//! The push gateway's listeners, beside a node's or alone.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpServer,
    dev::ServerHandle,
    web::{self, Payload},
};
use playhouse_actors::{
    env::{Env, Identity},
    gateway::GatewaySettings,
    house::LoneGateway,
};

use super::{
    LogHandle, SigningKey, StartError, house, install_crypto,
    metrics::{self, Watched},
    refuse_beside_nodes,
    tls::Certificates,
};
use crate::{
    config::Config,
    outbound::Trust,
    push::{
        Gateway,
        server::{Side, dispatch},
    },
};

/// A homeserver that says nothing keeps its connection for so long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Requests have so long to end when the gateway stops.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(10);

/// Attempts that are on their way have so long to end after that.
const ATTEMPTS_END_WITHIN: Duration = Duration::from_secs(10);

/// Outboxes and writers have so long to end after that.
const ACTORS_END_WITHIN: Duration = Duration::from_secs(10);

/// How much the gateway keeps, as configured.
pub(super) fn settings(config: &Config) -> GatewaySettings {
    GatewaySettings {
        waiting_max: config.push_gateway.waiting_max as usize,
    }
}

/// The gateway's sockets, and what answers there.
pub(super) struct GatewayListeners {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    certificates: Option<Arc<Certificates>>,
    handles: Vec<ServerHandle>,
}

impl GatewayListeners {
    /// Opens the sockets; `None` when no gateway is wanted. Threads are the configuration's `[listen] workers`.
    pub(super) fn open(
        config: &Config,
        gateway: impl FnOnce() -> Result<Arc<Gateway>, String>,
    ) -> Result<Option<Self>, StartError> {
        let wish = &config.push_gateway;
        let Some(listen) = &wish.listen else {
            return Ok(None);
        };
        let certificates = match (&wish.listen_tls_cert, &wish.listen_tls_key) {
            (Some(cert), Some(key)) => Some(Certificates::load(cert, key)?),
            _ => None,
        };
        let socket = bind(listen)?;
        let address = socket.local_addr().map_err(|error| io(listen, error))?;
        let figures = wish.metrics.as_deref().map(bind).transpose()?;
        let gateway = gateway().map_err(StartError::Push)?;
        let mut handles = vec![serve(
            config,
            (&gateway, Side::Homeservers),
            (socket, certificates.as_ref()),
        )?];
        if let Some(socket) = figures {
            let side = (&gateway, Side::Figures);
            handles.push(serve(config, side, (socket, None))?);
        }
        tracing::info!(%address, "the push gateway listens");
        Ok(Some(Self {
            gateway,
            address,
            certificates,
            handles,
        }))
    }

    /// Where homeservers reach it.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The gateway.
    pub(super) fn gateway(&self) -> Arc<Gateway> {
        self.gateway.clone()
    }

    /// Reads apps and certificates again. What cannot be used stays as it is.
    pub(super) fn reload(&self, config: &Config) {
        self.gateway.reload(config);
        if let Some(certificates) = &self.certificates
            && let Err(error) = certificates.reload()
        {
            tracing::error!(%error, "the push gateway's certificate stays as it is");
        }
    }

    /// Takes no more requests, ends those that are being answered, and then the attempts on their way.
    pub(super) async fn stop(&self) {
        let ended = async {
            for handle in &self.handles {
                handle.stop(true).await;
            }
        };
        if tokio::time::timeout(REQUESTS_END_WITHIN, ended)
            .await
            .is_err()
        {
            tracing::warn!("requests to the push gateway did not end in time");
        }
        self.gateway.drain(ATTEMPTS_END_WITHIN).await;
    }
}

fn io(address: &str, error: std::io::Error) -> StartError {
    StartError::Io {
        what: format!("cannot listen on {address}"),
        error,
    }
}

fn bind(address: &str) -> Result<TcpListener, StartError> {
    let wanted = address.to_socket_addrs();
    let wanted: Vec<SocketAddr> = wanted.map_err(|error| io(address, error))?.collect();
    let socket = TcpListener::bind(wanted.as_slice()).map_err(|error| io(address, error))?;
    socket
        .set_nonblocking(true)
        .map_err(|error| io(address, error))?;
    Ok(socket)
}

fn serve(
    config: &Config,
    (gateway, side): (&Arc<Gateway>, Side),
    (socket, certificates): (TcpListener, Option<&Arc<Certificates>>),
) -> Result<ServerHandle, StartError> {
    let gateway = gateway.clone();
    let server = HttpServer::new(move || {
        let gateway = gateway.clone();
        actix_web::App::new().default_service(web::to(
            move |request: HttpRequest, payload: Payload| {
                let gateway = gateway.clone();
                async move { dispatch(gateway, side, request, payload).await }
            },
        ))
    })
    .workers(super::listeners::workers(config))
    .max_connections(config.listen.connections_max as usize)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(Duration::from_millis(config.limits.head_timeout_ms))
    .shutdown_timeout(REQUESTS_END_WITHIN.as_secs())
    .disable_signals();
    let listening = match certificates {
        Some(certificates) => server.listen_rustls_0_23(socket, certificates.server_config()),
        None => server.listen(socket),
    };
    let running = listening.map_err(|error| io("the push gateway's address", error))?;
    let running = running.run();
    let handle = running.handle();
    tokio::spawn(running);
    Ok(handle)
}

/// A push gateway that is no homeserver.
pub struct RunningGateway {
    lone: LoneGateway,
    listeners: GatewayListeners,
    log: Option<LogHandle>,
    upkeep: tokio::task::JoinHandle<()>,
    watch: tokio::task::JoinHandle<()>,
}

/// Starts a push gateway and nothing else on the current tokio runtime, which must be a multi-threaded one.
///
/// `log` is what SIGHUP adjusts; none in tests.
pub async fn start_gateway(
    config: Config,
    log: Option<LogHandle>,
) -> Result<RunningGateway, StartError> {
    install_crypto();
    metrics::install();
    if config.push_gateway.listen.is_none() {
        let missing = "[push_gateway] listen is missing: nobody could reach the gateway";
        return Err(StartError::Push(missing.to_owned()));
    }
    let trust: Arc<Trust> = house::open_trust(&config)?;
    let store = house::open_store(&config).await?;
    refuse_beside_nodes(&*store).await?;
    let env = Env::system(Identity {
        server_name: house::server_name(&config),
        // The gateway signs nothing in the name of a server.
        signer: SigningKey::generate().signer()?,
    });
    let lone = LoneGateway::open(store, env.clone(), settings(&config)).await?;
    let listeners = GatewayListeners::open(&config, || {
        let over = (&env, lone.office());
        Gateway::open(&config, over, (&trust, metrics::render))
    });
    let listeners = match listeners {
        Ok(Some(listeners)) => listeners,
        Ok(None) => return Err(StartError::Push("there is no listener".to_owned())),
        Err(error) => {
            lone.close(ACTORS_END_WITHIN).await;
            return Err(error);
        }
    };
    let watched = Watched {
        data: config.server.data_dir.clone().into(),
        app: None,
        gateway: Some(listeners.gateway()),
    };
    Ok(RunningGateway {
        lone,
        listeners,
        log,
        upkeep: tokio::spawn(metrics::upkeep()),
        watch: tokio::spawn(metrics::watch(watched)),
    })
}

impl RunningGateway {
    /// Where homeservers reach it, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.listeners.address()
    }

    /// Reads apps and certificates again, and sets the log level of `config`. What cannot be used stays as it is.
    pub fn reload(&self, config: &Config) {
        self.listeners.reload(config);
        if let Some(log) = &self.log {
            log.set_level(&config.log.level);
        }
    }

    /// Stops in order: no new requests, requests end, attempts end, writers commit what they have. What waits is tried at the next start.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.watch.abort();
        self.listeners.stop().await;
        self.lone.close(ACTORS_END_WITHIN).await;
        self.upkeep.abort();
        tracing::info!("stopped");
        if let Some(log) = self.log {
            log.close().await;
        }
    }
}
