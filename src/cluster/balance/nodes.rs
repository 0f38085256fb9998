//! The nodes: their file, and the connections to them.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, time};

/// The file is not read when it is larger.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A node must take a connection within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// A node that takes no connection is asked last for so long.
const AWAY_FOR: Duration = Duration::from_millis(500);

/// A connection to a node is kept so long without use: less than nodes keep it.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// So many connections to each node are kept without use.
const KEPT_MAX: usize = 256;

type Connection = SendRequest<Incoming>;

/// One node.
pub(super) struct Node {
    /// `host:port`.
    pub(super) place: String,
    /// Connections that wait for a request, and since when.
    kept: Mutex<Vec<(Connection, Instant)>>,
    /// When it may be there again.
    pub(super) away_until: Mutex<Option<Instant>>,
}

impl Node {
    /// Whether it took no connection a moment ago.
    pub(super) fn is_away(&self) -> bool {
        let until = *self.away_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn take_kept(&self) -> Option<Connection> {
        let mut kept = self.kept.lock();
        while let Some((connection, since)) = kept.pop() {
            if !connection.is_closed() && since.elapsed() < KEPT_FOR {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> io::Result<Connection> {
        let connected = time::timeout(CONNECT_WITHIN, TcpStream::connect(&self.place)).await;
        let stream = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => stream,
            Err(error) => {
                *self.away_until.lock() = Some(Instant::now() + AWAY_FOR);
                return Err(error);
            }
        };
        *self.away_until.lock() = None;
        // A request is written at once; without this it may wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a node broke");
            }
        });
        Ok(sender)
    }

    /// Keeps a connection for the next request once its answer has passed.
    async fn keep(self: Arc<Self>, mut connection: Connection) {
        if connection.ready().await.is_err() {
            return;
        }
        let mut kept = self.kept.lock();
        kept.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < KEPT_FOR);
        if kept.len() < KEPT_MAX {
            kept.push((connection, Instant::now()));
        }
    }
}

/// What became of a request at one node.
pub(super) enum Brought {
    /// The node's answer begins so.
    Answered(Response<Incoming>),
    /// Nothing of it was sent.
    Unsent(Request<Incoming>),
    /// Some of it was sent, and there is no answer.
    Lost,
}

/// Brings a request to a node, by a connection that was kept if there is one.
pub(super) async fn bring(node: &Arc<Node>, mut request: Request<Incoming>) -> Brought {
    loop {
        let kept = node.take_kept();
        let is_fresh = kept.is_none();
        let mut connection = match kept {
            Some(connection) => connection,
            None => match node.connect().await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::debug!(node = node.place, %error, "no connection to a node");
                    return Brought::Unsent(request);
                }
            },
        };
        match connection.try_send_request(request).await {
            Ok(response) => {
                tokio::spawn(node.clone().keep(connection));
                return Brought::Answered(response);
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) if is_fresh => return Brought::Unsent(unsent),
                Some(unsent) => request = unsent,
                None => {
                    let error = error.into_error();
                    tracing::warn!(node = node.place, %error, "a node went away with a request");
                    return Brought::Lost;
                }
            },
        }
    }
}

/// Reads the file.
pub(super) async fn read(path: &Path) -> io::Result<String> {
    if tokio::fs::metadata(path).await?.len() > FILE_BYTES_MAX {
        let error = format!("{} is too large for a list of nodes", path.display());
        return Err(io::Error::other(error));
    }
    tokio::fs::read_to_string(path).await
}

/// The nodes of a file, in its order; those that were known keep their connections.
pub(super) fn parse(text: &str, known: &[Arc<Node>]) -> Arc<[Arc<Node>]> {
    let known: BTreeMap<&str, &Arc<Node>> = known
        .iter()
        .map(|node| (node.place.as_str(), node))
        .collect();
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| node_of(line, &known)).collect()
}

fn node_of(line: &str, known: &BTreeMap<&str, &Arc<Node>>) -> Option<Arc<Node>> {
    let place = line.strip_prefix("http://").unwrap_or(line);
    let place = place.trim_end_matches('/');
    let port = place.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) || place.contains('/') {
        tracing::warn!(line, "no node stands in this line");
        return None;
    }
    let node = || {
        Arc::new(Node {
            place: place.to_owned(),
            kept: Mutex::new(Vec::new()),
            away_until: Mutex::new(None),
        })
    };
    Some(known.get(place).map_or_else(node, |node| Arc::clone(node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_nodes() {
        let text = "# three\nhttp://127.0.0.1:1/\n\n  127.0.0.1:2\n[::1]:3\nhttps://a:4/b\nnonsense\na:b\n";
        let nodes = parse(text, &[]);
        assert_eq!(places(&nodes), ["127.0.0.1:1", "127.0.0.1:2", "[::1]:3"]);
        let later = parse("127.0.0.1:2\n127.0.0.1:9", &nodes);
        assert!(Arc::ptr_eq(&later[0], &nodes[1]));
        assert_eq!(places(&later), ["127.0.0.1:2", "127.0.0.1:9"]);
    }

    fn places(nodes: &[Arc<Node>]) -> Vec<&str> {
        nodes.iter().map(|node| node.place.as_str()).collect()
    }
}
