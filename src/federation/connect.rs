//! Connections: names become addresses, addresses are judged and raced, and whoever answers shows a certificate.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use parking_lot::Mutex;
use rustls_pki_types::ServerName as CertificateName;
use tokio::{net::TcpStream, time};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_service::Service;

use super::names::Route;
use crate::outbound::{AddressRules, Lookup, Trust};

/// An address is ahead of the next one by so long.
const HEAD_START: Duration = Duration::from_millis(250);

/// A target is ahead of the next one by so long: time for its address, the connection and its certificate. Who drops packets must not use up all the time.
const TARGET_HEAD_START: Duration = Duration::from_secs(2);

/// A connection must stand after this time, certificate and all, whichever target it leads to.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Of one name so many addresses are tried.
const ADDRESSES_MAX: usize = 8;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectError {
    /// No address that may be asked.
    #[error("this address is not asked")]
    Denied,
    /// No address at all.
    #[error("the name has no address")]
    Unresolved,
    /// Nobody answers.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Somebody answers, but it is not whom it was asked for.
    #[error("no secure connection: {0}")]
    Certificate(String),
    /// It takes too long.
    #[error("no connection in time")]
    TooSlow,
}

/// The routes that are being taken, by what stands for them in the URL of a request.
#[derive(Default)]
pub(super) struct Routes(Mutex<BTreeMap<String, (Arc<Route>, usize)>>);

/// Somebody takes a route.
pub(super) struct Taken {
    routes: Arc<Routes>,
    /// What stands for it in the URL.
    pub(super) key: String,
}

impl Routes {
    /// Announces that a route is taken.
    pub(super) fn take(self: &Arc<Self>, route: &Arc<Route>) -> Taken {
        let key = route.key();
        let mut taken = self.0.lock();
        taken
            .entry(key.clone())
            .or_insert_with(|| (route.clone(), 0))
            .1 += 1;
        Taken {
            routes: self.clone(),
            key,
        }
    }

    fn find(&self, key: &str) -> Option<Arc<Route>> {
        Some(self.0.lock().get(key)?.0.clone())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.routes.0.lock();
        if let Some((_, count)) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// Makes connections for the pool.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<Connecting>);

/// What a connection needs.
pub(super) struct Connecting {
    /// The routes that are being taken.
    pub(super) routes: Arc<Routes>,
    /// Who knows addresses.
    pub(super) lookup: Arc<dyn Lookup>,
    /// Which of them may be asked.
    pub(super) rules: AddressRules,
    /// Whose certificates are believed.
    pub(super) trust: Arc<Trust>,
    /// The same, read.
    pub(super) tls: OnceLock<TlsConnector>,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.clone();
        let route = connecting.routes.find(uri.host().unwrap_or_default());
        Box::pin(async move {
            let route = route.ok_or(ConnectError::Unresolved)?;
            let connected = time::timeout(CONNECT_WITHIN, connecting.connect(&route));
            connected.await.map_err(|_| ConnectError::TooSlow)?
        })
    }
}

impl Connecting {
    /// Tries all targets in order, each with all its addresses. One that does not answer has a head start, and no more, before the next one.
    async fn connect(&self, route: &Route) -> Result<Stream, ConnectError> {
        let name = CertificateName::try_from(route.certificate.clone())
            .map_err(|_| ConnectError::Unresolved)?;
        let mut attempts = Vec::with_capacity(route.targets.len());
        for (host, port) in &route.targets {
            attempts.push(self.secure((host, *port), &name, route.is_trusted));
        }
        first(attempts, TARGET_HEAD_START, ConnectError::Unresolved).await
    }

    /// Connects to one target, which must show the certificate.
    async fn secure(
        &self,
        (host, port): (&str, u16),
        name: &CertificateName<'static>,
        is_trusted: bool,
    ) -> Result<Stream, ConnectError> {
        let stream = self.reach(host, port, is_trusted).await?;
        let secured = self.tls().connect(name.clone(), stream).await;
        let tls = secured.map_err(|error| ConnectError::Certificate(error.to_string()))?;
        Ok(Stream(TokioIo::new(tls)))
    }

    async fn reach(
        &self,
        host: &str,
        port: u16,
        is_trusted: bool,
    ) -> Result<TcpStream, ConnectError> {
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.lookup.addresses(host).await.map_err(|error| {
                tracing::trace!(host, %error, "no address");
                ConnectError::Unresolved
            })?,
        };
        if found.is_empty() {
            return Err(ConnectError::Unresolved);
        }
        let allowed: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| is_trusted || self.rules.permit(*address))
            .collect();
        if allowed.is_empty() {
            return Err(ConnectError::Denied);
        }
        let places = alternating(allowed)
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        let stream = race(places).await;
        let stream = stream.map_err(|error| ConnectError::Unreachable(error.to_string()))?;
        // A request is written at once; without this it may wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn tls(&self) -> &TlsConnector {
        self.tls.get_or_init(|| {
            let mut tls = self.trust.tls();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(tls))
        })
    }
}

/// IPv6 and IPv4 in turns, IPv6 first (RFC 8305).
fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(six.next());
        mixed.extend(four.next());
        if mixed.len() == before || mixed.len() >= ADDRESSES_MAX {
            mixed.truncate(ADDRESSES_MAX);
            return mixed;
        }
    }
}

/// Tries addresses, each with a head start before the next one; whoever answers first wins.
async fn race(places: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let attempts = places.into_iter().map(TcpStream::connect).collect();
    first(
        attempts,
        HEAD_START,
        io::Error::from(io::ErrorKind::NotFound),
    )
    .await
}

/// Makes attempts, each with a head start before the next one, which begins sooner when one fails. The first that succeeds wins; when none does, the last
/// failure tells why, and `failure` when there are none.
async fn first<A, T, E>(attempts: Vec<A>, head_start: Duration, mut failure: E) -> Result<T, E>
where
    A: Future<Output = Result<T, E>>,
{
    let mut waiting = attempts.into_iter();
    let mut racing = FuturesUnordered::new();
    loop {
        racing.extend(waiting.next());
        if racing.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            Some(result) = racing.next() => match result {
                Ok(won) => return Ok(won),
                Err(error) => failure = error,
            },
            () = time::sleep(head_start), if waiting.len() > 0 => {}
        }
    }
}

/// A connection that stands.
pub(super) struct Stream(TokioIo<TlsStream<TcpStream>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &str| -> Vec<IpAddr> {
            list.split(' ').map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(
            alternating(parse("1.1.1.1 2.2.2.2 3.3.3.3 2001:db8::1")),
            parse("2001:db8::1 1.1.1.1 2.2.2.2 3.3.3.3")
        );
        assert!(alternating(Vec::new()).is_empty());
        let many = (0..20)
            .map(|index| IpAddr::from([9, 9, 9, index]))
            .collect();
        assert_eq!(alternating(many).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_stop_the_living() {
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = living.local_addr().unwrap();
        // Taken, so that nobody else listens there, and not listened to.
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dead = closed.local_addr().unwrap();
        let stream = race(vec![dead, place]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), place);
        assert!(race(vec![dead]).await.is_err());
        assert!(race(Vec::new()).await.is_err());
    }

    #[test]
    fn routes_are_forgotten_with_the_last_who_takes_them() {
        let routes = Arc::new(Routes::default());
        let route = Arc::new(Route {
            host: "h".to_owned(),
            certificate: "h".to_owned(),
            targets: Vec::new(),
            is_trusted: false,
        });
        let (one, two) = (routes.take(&route), routes.take(&route));
        let key = one.key.clone();
        drop(one);
        assert!(routes.find(&key).is_some());
        drop(two);
        assert!(routes.find(&key).is_none());
    }
}
