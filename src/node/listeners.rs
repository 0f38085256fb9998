//! The sockets, and the one HTTP server behind them.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpServer,
    dev::ServerHandle,
    web::{self, Payload},
};
use rustls::ServerConfig;

use super::{
    StartError,
    acme::Acme,
    tls::{self, Certificates},
};
use crate::{
    config::{Config, Listener, Resource},
    edge::{
        App,
        route::{Mounted, Table, dispatch},
    },
};

/// Threads for file reads of one HTTP worker.
const BLOCKING_THREADS_MAX: usize = 16;

/// An idle connection is closed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What every node answers, whatever it is for.
const OF_NODES: [Resource; 2] = [Resource::Health, Resource::Metrics];

/// Why a node answers nothing else.
const NO_EDGE: &str = "this node answers no requests: it has not the role `edge`";

/// What was opened.
pub(super) struct Bound {
    pub(super) addresses: BTreeMap<Resource, SocketAddr>,
    pub(super) listeners: Listeners,
    pub(super) certificates: Vec<Arc<Certificates>>,
}

/// The running HTTP server.
pub(super) struct Listeners {
    handle: ServerHandle,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Listeners {
    /// Takes no more connections and waits for the requests that are being answered.
    pub(super) async fn stop(self, within: Duration) {
        let ended = async {
            self.handle.stop(true).await;
            let _ = self.task.await;
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!("requests did not end in time");
        }
    }
}

struct Socket {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Arc<Certificates>>,
    tls: Option<ServerConfig>,
}

/// Opens all listeners of the configuration; `acme` has the certificate of those that want it from there.
pub(super) fn open(
    config: &Config,
    app: &Arc<App>,
    mounted: &Mounted,
    acme: Option<&Acme>,
) -> Result<Bound, StartError> {
    let mut addresses = BTreeMap::new();
    let mut tables = BTreeMap::new();
    let mut sockets = Vec::new();
    for listener in wanted(config)? {
        let socket = bind(&listener, acme)?;
        for resource in &listener.resources {
            addresses.entry(*resource).or_insert(socket.address);
        }
        let table = if config.cluster.is_edge() {
            mounted.table(&listener.resources)?
        } else {
            let mut resources = listener.resources.clone();
            resources.retain(|resource| OF_NODES.contains(resource));
            mounted.table(&resources)?.closed(NO_EDGE)
        };
        tables.insert(socket.address, Arc::new(table));
        sockets.push(socket);
    }
    if let Some(address) = addresses.get(&Resource::Client) {
        // Set once: a node opens its listeners once.
        let _ = app.client_listener.set(client_url(config, address));
    }
    let certificates = sockets
        .iter()
        .filter_map(|socket| socket.certificates.clone())
        .collect();
    let listeners = serve(config, app.clone(), Arc::new(tables), sockets)?;
    Ok(Bound {
        addresses,
        listeners,
        certificates,
    })
}

/// The URL of the client listener.
pub(super) fn client_url(config: &Config, address: &SocketAddr) -> String {
    let scheme = if config.listen.client_has_tls() {
        "https"
    } else {
        "http"
    };
    if address.ip().is_unspecified() {
        return format!("{scheme}://localhost:{}", address.port());
    }
    format!("{scheme}://{address}")
}

/// The listeners of the simple keys and the further ones.
fn wanted(config: &Config) -> Result<Vec<Listener>, StartError> {
    let listen = &config.listen;
    let mut client = vec![
        Resource::Client,
        Resource::Media,
        Resource::Admin,
        Resource::Health,
        // A proxy may pass on everything to one place.
        Resource::Federation,
    ];
    let mut all = Vec::new();
    match &listen.metrics {
        Some(address) => all.push(Listener {
            address: address.clone(),
            resources: vec![Resource::Metrics, Resource::Health],
            ..Listener::default()
        }),
        None => client.push(Resource::Metrics),
    }
    all.insert(
        0,
        Listener {
            address: listen.client.clone(),
            resources: client,
            tls_cert: listen.client_tls_cert.clone(),
            tls_key: listen.client_tls_key.clone(),
            tls_acme: listen.client_tls_acme,
        },
    );
    // Whoever is named first is where something is answered.
    if let Some(address) = &listen.federation {
        let pair = listen.federation_tls_cert.clone();
        let pair = pair.zip(listen.federation_tls_key.clone());
        let (tls_cert, tls_key) = match pair {
            None if !listen.federation_plain && !listen.federation_tls_acme => {
                Some(tls::makeshift(config)?)
            }
            pair => pair,
        }
        .unzip();
        let federation = Listener {
            address: address.clone(),
            resources: vec![Resource::Federation],
            tls_cert,
            tls_key,
            tls_acme: listen.federation_tls_acme,
        };
        all.insert(0, federation);
    }
    all.extend(listen.more.iter().cloned());
    Ok(all)
}

fn bind(listener: &Listener, acme: Option<&Acme>) -> Result<Socket, StartError> {
    let io = |error| StartError::Io {
        what: format!("cannot listen on {}", listener.address),
        error,
    };
    let wanted: Vec<SocketAddr> = listener.address.to_socket_addrs().map_err(io)?.collect();
    let socket = TcpListener::bind(wanted.as_slice()).map_err(io)?;
    socket.set_nonblocking(true).map_err(io)?;
    let certificates = match (&listener.tls_cert, &listener.tls_key) {
        (Some(cert), Some(key)) => Some(Certificates::load(cert, key)?),
        _ => None,
    };
    let tls = match &certificates {
        Some(certificates) => Some(certificates.server_config()),
        None if listener.tls_acme => acme.map(Acme::server_config),
        None => None,
    };
    Ok(Socket {
        address: socket.local_addr().map_err(io)?,
        listener: socket,
        certificates,
        tls,
    })
}

fn serve(
    config: &Config,
    app: Arc<App>,
    tables: Arc<BTreeMap<SocketAddr, Arc<Table>>>,
    sockets: Vec<Socket>,
) -> Result<Listeners, StartError> {
    let limits = &config.limits;
    let mut server = HttpServer::new(move || {
        let (app, tables) = (app.clone(), tables.clone());
        actix_web::App::new().default_service(web::to(
            move |request: HttpRequest, payload: Payload| {
                let app = app.clone();
                let table = tables.get(&request.app_config().local_addr()).cloned();
                async move { dispatch(app, table, request, payload).await }
            },
        ))
    })
    .workers(workers(config))
    .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
    .max_connections(config.listen.connections_max as usize)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(Duration::from_millis(limits.head_timeout_ms))
    .shutdown_timeout(super::REQUESTS_END_WITHIN.as_secs())
    .disable_signals();
    for socket in sockets {
        let listening = match socket.tls {
            Some(tls) => server.listen_rustls_0_23(socket.listener, tls),
            None => server.listen(socket.listener),
        };
        server = listening.map_err(|error| StartError::Io {
            what: format!("cannot listen on {}", socket.address),
            error,
        })?;
    }
    let running = server.run();
    Ok(Listeners {
        handle: running.handle(),
        task: tokio::spawn(running),
    })
}

pub(super) fn workers(config: &Config) -> usize {
    match config.listen.workers {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
        workers => workers as usize,
    }
}
