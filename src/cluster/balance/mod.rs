//! A small balancer for trials and tests: it spreads requests over nodes, in turn or at random, and knows nothing of Matrix.
//!
//! Bodies pass through as they come, both ways, and so do long polls. A request is brought to another node only when nothing of it was sent to the first.
//! A client that goes away closes the connection to the node. The nodes stand in a file, which is read again when it has changed; who asks from the same
//! machine is told which ones are known.

mod heads;
mod nodes;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time,
};

use self::{
    heads::{Body, forwardable, passed_on, refusal, text},
    nodes::{Brought, Node, bring, parse, read},
};

/// Whoever asks here from the same machine is told the nodes, one in each line. Nothing of a node is called so.
pub const NODES_PATH: &str = "/_balancer/nodes";

/// The file with the nodes is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A client's connection may be idle for so long: longer than clients keep it.
const IDLE_FOR: Duration = Duration::from_secs(120);

/// So many clients may be connected.
const CLIENTS_MAX: usize = 20_000;

/// What a balancer is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A file with one node in each line, as `host:port` or `http://host:port`; empty lines and lines that begin with `#` say nothing.
    pub nodes: PathBuf,
    /// Where to listen. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Picks nodes at random instead of in turn.
    pub random: bool,
}

/// A balancer that runs until it is dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Balancer {
    /// Reads the file and listens. Fails when the file cannot be read, or the address not be had.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let text = read(&settings.nodes).await?;
        let balance = Arc::new(Balance {
            nodes: Mutex::new(parse(&text, &[])),
            turn: AtomicUsize::new(0),
            random: settings.random,
        });
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let looking = look(settings.nodes, text, balance.clone());
        let tasks = [
            tokio::spawn(accept(listener, balance)),
            tokio::spawn(looking),
        ];
        Ok(Self { address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Balance {
    nodes: Mutex<Arc<[Arc<Node>]>>,
    turn: AtomicUsize,
    random: bool,
}

impl Balance {
    async fn answer(&self, request: Request<Incoming>, client: IpAddr) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Some(parts) = forwardable(parts, client) else {
            return refusal(StatusCode::BAD_REQUEST, "this is no request for a server");
        };
        let mut request = Request::from_parts(parts, body);
        for node in self.order() {
            match bring(&node, request).await {
                Brought::Answered(response) => return passed_on(response),
                Brought::Unsent(unsent) => request = unsent,
                Brought::Lost => {
                    return refusal(StatusCode::BAD_GATEWAY, "the node went away");
                }
            }
        }
        let mut refusal = refusal(StatusCode::SERVICE_UNAVAILABLE, "no node answers");
        let again = HeaderValue::from_static("1");
        refusal.headers_mut().insert(header::RETRY_AFTER, again);
        refusal
    }

    /// The nodes as they are known, one in each line.
    fn known(&self) -> String {
        let nodes = self.nodes.lock().clone();
        let places: Vec<_> = nodes.iter().map(|node| node.place.as_str()).collect();
        places.join("\n")
    }

    /// All nodes, the one whose turn it is first, and those last that took no connection a moment ago.
    fn order(&self) -> Vec<Arc<Node>> {
        let nodes = self.nodes.lock().clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = if self.random { scattered(turn) } else { turn };
        let first = first.checked_rem(nodes.len()).unwrap_or(0);
        let mut order: Vec<_> = nodes[first..]
            .iter()
            .chain(&nodes[..first])
            .cloned()
            .collect();
        order.sort_by_cached_key(|node| node.is_away());
        order
    }
}

/// A number that looks like chance (splitmix64): the nodes that a run of requests reaches need not be secret.
fn scattered(turn: usize) -> usize {
    let mut mixed = (turn as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Half of it is enough, and fits wherever there are pointers.
    (mixed >> 33) as usize
}

async fn accept(listener: TcpListener, balance: Arc<Balance>) {
    // Dropped with this task, and all clients' connections with it.
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CLIENTS_MAX => match accepted {
                Ok((stream, address)) => {
                    clients.spawn(serve(stream, address.ip(), balance.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken");
                    time::sleep(LOOK_EVERY).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, client: IpAddr, balance: Arc<Balance>) {
    let _ = stream.set_nodelay(true);
    let is_near = is_near(&stream, client);
    let service = service_fn(move |request: Request<Incoming>| {
        let balance = balance.clone();
        async move {
            let answer = if is_near && request.uri().path() == NODES_PATH {
                text(balance.known())
            } else {
                balance.answer(request, client).await
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_FOR);
    let served = server.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a client's connection broke");
    }
}

/// Whether a client is on the same machine.
fn is_near(stream: &TcpStream, client: IpAddr) -> bool {
    let own = stream.local_addr().map(|address| address.ip());
    client.to_canonical().is_loopback() || own.is_ok_and(|own| own == client)
}

/// Follows the file. What cannot be read changes nothing.
async fn look(path: PathBuf, mut text: String, balance: Arc<Balance>) {
    let mut ticks = time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let Ok(now) = read(&path).await else { continue };
        if now != text {
            let before = balance.nodes.lock().clone();
            *balance.nodes.lock() = parse(&now, &before);
            text = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn places(nodes: &[Arc<Node>]) -> Vec<&str> {
        nodes.iter().map(|node| node.place.as_str()).collect()
    }

    #[test]
    fn nodes_take_turns_and_those_away_come_last() {
        let balance = |random| Balance {
            nodes: Mutex::new(parse("a:1\nb:1\nc:1", &[])),
            turn: AtomicUsize::new(0),
            random,
        };
        let in_turn = balance(false);
        assert_eq!(places(&in_turn.order()), ["a:1", "b:1", "c:1"]);
        assert_eq!(places(&in_turn.order()), ["b:1", "c:1", "a:1"]);
        let away = in_turn.nodes.lock()[2].clone();
        *away.away_until.lock() = Some(Instant::now() + Duration::from_secs(60));
        assert_eq!(places(&in_turn.order()), ["a:1", "b:1", "c:1"]);
        let by_chance = balance(true);
        let mut first = [0; 3];
        for _ in 0..300 {
            let order = by_chance.order();
            first[usize::from(order[0].place.as_bytes()[0] - b'a')] += 1;
        }
        assert!(first.iter().all(|count| *count > 60), "{first:?}");
        *by_chance.nodes.lock() = parse("", &[]);
        assert!(by_chance.order().is_empty());
    }
}
