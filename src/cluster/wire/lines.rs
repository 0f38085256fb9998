//! How connections come about: sockets are opened and taken here, encrypted, greeted, and only then given to ractor.

use std::{
    io::{Error, ErrorKind},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use playhouse_schema::register::NodeName;
use ractor::ActorRef;
use ractor_cluster::{
    BoxRead, BoxWrite, ClusterBidiStream, NodeEventSubscription, NodeServerMessage,
    node::NodeServerSessionInformation,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, lookup_host},
    sync::{Notify, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use uuid::Uuid;

use super::{
    certificates,
    connection::Connection,
    hello::{FORM, Hello, Party, hear, say},
    hub::Hub,
};

/// A socket is encrypted and greeted within this time, and carries calls after that again.
pub(super) const GREETED_WITHIN: Duration = Duration::from_secs(3);

/// So many are at it at a time; who has no certificate could open any number.
const GREETINGS_MAX: usize = 64;

/// The first pause before a node is dialled again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A port that refuses twice, so long one after the other, is closed.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// A process may take a moment to end: so often is its port tried.
const PROBES_MAX: usize = 5;

/// A port that says nothing for so long is not closed.
const PROBE_WITHIN: Duration = Duration::from_millis(300);

/// What was said before a connection ended may go out so long.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(3);

/// Who gives connections to ractor.
pub(super) type Carrier = ActorRef<NodeServerMessage>;

/// A socket that is encrypted and greeted.
struct Line {
    stream: TlsStream<TcpStream>,
    connection: Arc<Connection>,
}

impl ClusterBidiStream for Line {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let Line { stream, connection } = *self;
        let (reader, writer) = tokio::io::split(stream);
        (
            Box::new(reader),
            Box::new(Writing::over(writer, connection)),
        )
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.connection.id.to_string())
    }
}

/// Writes to another node, and no more soon after the connection has ended. ractor's writer outlives its session: without this it would wait with all that is
/// unsent for a node that takes nothing, until the operating system gives that one up.
struct Writing<W> {
    writer: W,
    end: BoxFuture<'static, ()>,
    is_over: bool,
}

impl<W> Writing<W> {
    fn over(writer: W, connection: Arc<Connection>) -> Self {
        let end = Box::pin(async move {
            connection.ended().await;
            sleep(LAST_WORDS_WITHIN).await;
        });
        Self {
            writer,
            end,
            is_over: false,
        }
    }

    /// What is being tried, unless it is over.
    fn unless_over<T>(
        &mut self,
        tried: Poll<Result<T, Error>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, Error>> {
        if tried.is_ready() {
            return tried;
        }
        self.is_over = self.is_over || self.end.as_mut().poll(context).is_ready();
        if self.is_over {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        Poll::Pending
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Writing<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let tried = Pin::new(&mut self.writer).poll_write(context, bytes);
        self.unless_over(tried, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let tried = Pin::new(&mut self.writer).poll_flush(context);
        self.unless_over(tried, context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let tried = Pin::new(&mut self.writer).poll_shutdown(context);
        self.unless_over(tried, context)
    }
}

/// What ractor says of its sessions. What it calls their address is the name of our connection.
pub(super) struct Sessions(pub(super) Weak<Hub>);

impl Sessions {
    fn find(&self, session: &NodeServerSessionInformation) -> Option<(Arc<Hub>, Arc<Connection>)> {
        let hub = self.0.upgrade()?;
        let id = Uuid::parse_str(&session.peer_addr).ok()?;
        let connection = hub.connection(id)?;
        Some((hub, connection))
    }
}

impl NodeEventSubscription for Sessions {
    fn node_session_opened(&self, session: NodeServerSessionInformation) {
        match self.find(&session) {
            Some((_, connection)) => connection.carried_by(session.actor),
            // It has not come through here, or has ended meanwhile.
            None => session.actor.stop(None),
        }
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        if let Some((hub, connection)) = self.find(&session) {
            hub.end(&connection);
        }
    }

    fn node_session_authenticated(&self, _session: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        let Some((hub, connection)) = self.find(&session) else {
            session.actor.stop(None);
            return;
        };
        let node = &connection.peer.name;
        if !connection.ready(&session.actor) {
            tracing::error!(%node, "another node has no gate");
            hub.end(&connection);
            return;
        }
        tracing::info!(%node, "connected with another node");
        hub.count();
        tokio::spawn(async move {
            connection.beat(hub.settings.silence).await;
            hub.end(&connection);
        });
    }
}

/// Takes connections until it is stopped.
pub(super) async fn listen(hub: Arc<Hub>, listener: TcpListener) {
    let greetings = Arc::new(Semaphore::new(GREETINGS_MAX));
    loop {
        let Ok((socket, from)) = listener.accept().await else {
            sleep(PAUSES.0).await;
            continue;
        };
        let Ok(permit) = greetings.clone().try_acquire_owned() else {
            continue;
        };
        let hub = hub.clone();
        tokio::spawn(async move {
            let greeted = timeout(GREETED_WITHIN, take(&hub, socket)).await;
            if let Err(error) = greeted.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
                tracing::debug!(%from, %error, "no connection with another node");
            }
            drop(permit);
        });
    }
}

/// Takes a socket that was opened by another node.
async fn take(hub: &Arc<Hub>, socket: TcpStream) -> Result<(), Error> {
    socket.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(hub.credentials.server.clone());
    let mut stream = TlsStream::from(acceptor.accept(socket).await?);
    let hello: Hello = hear(&mut stream).await?;
    if hello.form != FORM {
        return Err(Error::other("the other program speaks another form"));
    }
    if hello.who.name == hub.settings.name || !shows(&stream, &hello.who.name) {
        return Err(Error::other("its certificate is not that of its name"));
    }
    let dials = hello.who.name < hub.settings.name;
    match (hello.knock, dials) {
        (true, false) => {
            hub.knocked(&hello);
            return Ok(());
        }
        (false, true) => {}
        _ => return Err(Error::other("the wrong one of the two dials")),
    }
    let own = own(hub)?;
    let connection = hub.begin(hello.who, hello.connection);
    let connection = connection.map_err(Error::other)?;
    let said = say(&mut stream, &own).await;
    hand_over(hub, (stream, &connection, true), said)
}

/// Dials a node, or knocks if it is for the other one to dial. Whether there will be a connection.
async fn dial(hub: &Arc<Hub>, name: &NodeName, address: &str) -> Result<bool, Error> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connector = TlsConnector::from(hub.credentials.client.clone());
    let asked = certificates::server_name(name).map_err(Error::other)?;
    let mut stream = TlsStream::from(connector.connect(asked, socket).await?);
    let knock = *name < hub.settings.name;
    let hello = Hello {
        form: FORM,
        who: own(hub)?,
        connection: Uuid::now_v7(),
        address: hub.settings.advertise.clone(),
        knock,
    };
    say(&mut stream, &hello).await?;
    if knock {
        stream.shutdown().await?;
        return Ok(false);
    }
    let dialled: Party = hear(&mut stream).await?;
    if dialled.name != *name || !shows(&stream, name) {
        return Err(Error::other("its certificate is not that of its name"));
    }
    let connection = hub.begin(dialled, hello.connection);
    let connection = connection.map_err(Error::other)?;
    hand_over(hub, (stream, &connection, false), Ok(()))?;
    Ok(true)
}

fn own(hub: &Hub) -> Result<Party, Error> {
    let own = hub.carrier.get().map(|(own, _)| own.clone());
    own.ok_or_else(ends)
}

fn ends() -> Error {
    Error::other("this node ends")
}

/// Gives a connection to ractor, or ends it when it has failed already.
fn hand_over(
    hub: &Arc<Hub>,
    (stream, connection, is_server): (TlsStream<TcpStream>, &Arc<Connection>, bool),
    before: Result<(), Error>,
) -> Result<(), Error> {
    let given = before.and_then(|()| {
        let line = Line {
            stream,
            connection: connection.clone(),
        };
        let opened = NodeServerMessage::ConnectionOpenedExternal {
            stream: Box::new(line),
            is_server,
        };
        let given = hub.carrier.get();
        let given = given.is_some_and(|(_, carrier)| carrier.cast(opened).is_ok());
        given.then_some(()).ok_or_else(ends)
    });
    if given.is_err() {
        hub.end(connection);
    }
    given
}

fn shows(stream: &TlsStream<TcpStream>, name: &NodeName) -> bool {
    certificates::is_of(stream.get_ref().1.peer_certificates(), name)
}

/// Sees to it that there is a connection with a node, as long as there shall be one.
pub(super) async fn keep(hub: Weak<Hub>, name: NodeName, bell: Arc<Notify>) {
    let mut pause = PAUSES.0;
    loop {
        let Some(hub) = hub.upgrade() else { return };
        let Some(wanted) = hub.wanted(&name) else {
            return;
        };
        if let Some(connection) = hub.peer(&name) {
            drop(hub);
            connection.ended().await;
            pause = PAUSES.0;
            sleep(pause).await;
            continue;
        }
        let dialled = timeout(GREETED_WITHIN, dial(&hub, &name, &wanted.address)).await;
        match dialled.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(true) => pause = PAUSES.0,
            Ok(false) => {}
            Err(error) => tracing::debug!(node = %name, %error, "another node is not reached"),
        }
        drop(hub);
        let rung = timeout(pause, bell.notified()).await.is_ok();
        pause = if rung {
            PAUSES.0
        } else {
            PAUSES.1.min(pause * 2)
        };
    }
}

/// Whether a node's port is closed: then its process is gone, for it is opened before the node joins and closed after it has left.
pub(super) async fn is_dead(address: &str) -> bool {
    let mut refused = 0;
    for _ in 0..PROBES_MAX {
        refused = if refuses(address).await {
            refused + 1
        } else {
            0
        };
        if refused == 2 {
            return true;
        }
        sleep(PROBE_PAUSE).await;
    }
    false
}

/// Whether nobody listens behind any of a name's addresses.
async fn refuses(address: &str) -> bool {
    let Ok(Ok(found)) = timeout(PROBE_WITHIN, lookup_host(address)).await else {
        return false;
    };
    let mut refused = false;
    for address in found {
        match timeout(PROBE_WITHIN, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => refused = true,
            _ => return false,
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_not_written_to_for_ever() {
        let peer = Party {
            name: NodeName::parse("n2").unwrap(),
            life: Uuid::from_u128(1),
            gate: 3,
        };
        let connection = Arc::new(Connection::new(peer, Uuid::from_u128(2)));
        let (near, _far) = tokio::io::duplex(1);
        let mut writing = Writing::over(near, connection.clone());
        let written = tokio::spawn(async move { writing.write_all(b"two").await });
        assert!(connection.end());
        let written = timeout(LAST_WORDS_WITHIN * 20, written).await;
        let error = written.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }
}
