//! Real connections over loopback, with certificates of an authority of our own.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use playhouse_actors::{
    env::Env,
    network::{Network as _, PeerError, PeerMethod, PeerRequest},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ruma::{ServerName, signatures::PublicKeyMap};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::{Knows, env};
use crate::{
    config::Config,
    federation::{
        Federation,
        connect::{Connecting, Connector},
        names::Route,
        own_keys::own_public_keys,
        well_known::WellKnown,
        x_matrix::{Signed, authenticate},
    },
    outbound::{AddressRules, Looking, Lookup, Trust},
};

/// Nothing takes as long as this, not even where the machine stalls.
const LONG: Duration = Duration::from_secs(60);

/// A request that arrived.
#[derive(Clone, Debug)]
struct Seen {
    /// Over which connection: each has a number.
    connection: usize,
    certificate_for: Option<String>,
    head: String,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// A server with a certificate, and what reached it.
struct Peer {
    port: u16,
    ca_pem: String,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

impl Peer {
    async fn start() -> Arc<Self> {
        crate::node::install_crypto();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let names = ["named.example", "localhost", "127.0.0.1"].map(str::to_owned);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &ca).unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            ca_pem: ca.pem(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let (acceptor, serving) = (TlsAcceptor::from(Arc::new(tls)), peer.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(acceptor.clone(), stream));
            }
        });
        peer
    }

    async fn serve(self: Arc<Self>, acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let certificate_for = stream.get_ref().1.server_name().map(ToOwned::to_owned);
        let mut read = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
            };
            let mut seen = Seen {
                connection,
                certificate_for: certificate_for.clone(),
                head: String::from_utf8(read.drain(..end).collect()).unwrap(),
                body: String::new(),
            };
            let length = seen.header("content-length").unwrap_or("0");
            let length: usize = length.parse().unwrap();
            while read.len() < length {
                stream.read_buf(&mut read).await?;
            }
            seen.body = String::from_utf8(read.drain(..length).collect()).unwrap();
            let path = seen.head.split(' ').nth(1).unwrap();
            let (answer, breaks_off) = (answer(path), path == "/short");
            self.seen.lock().push(seen);
            let Some(answer) = answer else {
                std::future::pending::<()>().await;
                return Ok(());
            };
            stream.write_all(answer.as_bytes()).await?;
            if breaks_off {
                return stream.flush().await;
            }
        }
    }

    fn last(&self) -> Seen {
        self.seen
            .lock()
            .last()
            .cloned()
            .expect("something was asked")
    }

    fn trust(&self) -> Arc<Trust> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &self.ca_pem).unwrap();
        Trust::open(file.path().to_str()).unwrap()
    }
}

/// What is answered at a path; `None` for nothing at all.
fn answer(path: &str) -> Option<String> {
    let (status, headers, body) = match path {
        "/slow" => return None,
        // It breaks off.
        "/short" => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/short\r\ntransfer-encoding: chunked\r\n\r\n";
            return Some(format!("{head}8\r\n12345678\r\n"));
        }
        "/huge" => ("200 OK", "", "x".repeat(5_000)),
        "/packed" => ("200 OK", "content-encoding: gzip\r\n", "zip".to_owned()),
        "/moved" => ("302 Found", "location: /else\r\n", String::new()),
        "/refused" => {
            let body = r#"{"errcode":"M_FORBIDDEN","error":"no"}"#;
            ("403 Forbidden", "", body.to_owned())
        }
        "/.well-known/matrix/server" => ("302 Found", "location: /said\r\n", String::new()),
        "/said" => {
            let headers = "cache-control: max-age=3600\r\n";
            (
                "200 OK",
                headers,
                r#"{"m.server":"m.example:7"}"#.to_owned(),
            )
        }
        _ => ("200 OK", "", "{\"good\":true}".to_owned()),
    };
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

/// A server that reaches the peer under its name and another one.
fn federation(peer: &Peer, us: &Env, trust: &Arc<Trust>, allow: &[&str]) -> Federation {
    let mut config = Config::default();
    let allow = allow.iter().map(|network| (*network).to_owned());
    config.federation.allow_networks = allow.collect();
    config.federation.notaries = Vec::new();
    config.federation.overrides = ["named.example", "other.example"]
        .map(|name| format!("{name}=127.0.0.1:{}", peer.port))
        .to_vec();
    Federation::new(&config, us, trust)
}

fn request(destination: &str, path: &str) -> PeerRequest {
    PeerRequest {
        destination: ServerName::parse(destination).unwrap(),
        method: PeerMethod::Put,
        path: path.to_owned(),
        body: Some(Bytes::from_static(b"{\"b\": 1, \"a\": 2}")),
        within: LONG,
        answer_bytes_max: 4_096,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_the_right_server() {
    let (peer, us) = (Peer::start().await, env("us.example", 1));
    let federation = federation(&peer, &us, &peer.trust(), &["127.0.0.0/8", "::1"]);
    let known = PublicKeyMap::from([("us.example".to_owned(), own_public_keys(&us, 0))]);
    let literal = format!("127.0.0.1:{}", peer.port);
    let local = format!("localhost:{}", peer.port);
    for (name, certificate_for) in [
        ("named.example", Some("named.example")),
        (local.as_str(), Some("localhost")),
        (literal.as_str(), None),
    ] {
        // A connection is used again; it is free some time after its answer has come.
        let (mut used, deadline) = (BTreeSet::new(), Instant::now() + LONG);
        let seen = loop {
            let answer = federation.ask(request(name, "/_matrix/x?y=%20")).await;
            assert_eq!(
                answer.as_deref(),
                Ok(b"{\"good\":true}".as_slice()),
                "{name}"
            );
            let seen = peer.last();
            if !used.insert(seen.connection) {
                break seen;
            }
            assert!(Instant::now() < deadline, "no connection is used again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(seen.certificate_for.as_deref(), certificate_for);
        assert_eq!(seen.header("host"), Some(name));
        assert!(seen.head.starts_with("PUT /_matrix/x?y=%20 HTTP/1.1\r\n"));
        assert_eq!(seen.body, r#"{"a":2,"b":1}"#, "what is sent is canonical");
        let them = env(name, 2).with_network(Arc::new(Knows(known.clone())));
        let signed = Signed {
            method: "PUT",
            uri: "/_matrix/x?y=%20",
            authorization: &[seen.header("authorization").unwrap()],
            body: Some(seen.body.as_bytes()),
        };
        let origin = authenticate(&them, &signed).await;
        assert_eq!(origin.as_deref(), Ok(us.server_name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed() {
    let (peer, us) = (Peer::start().await, env("us.example", 1));
    let literal = format!("127.0.0.1:{}", peer.port);
    let careful = federation(&peer, &us, &peer.trust(), &[]);
    // The certificate is for other names.
    let answer = careful.ask(request("other.example", "/")).await;
    assert!(matches!(&answer, Err(PeerError::Unreachable(why)) if why.contains("certificate")));
    // The address is a private one.
    let answer = careful.ask(request(&literal, "/")).await;
    assert_eq!(answer, Err(PeerError::Denied));
    // Ourselves.
    let answer = careful.ask(request("us.example", "/")).await;
    assert_eq!(answer, Err(PeerError::Denied));
    // The authority is unknown.
    let stranger = federation(&peer, &us, &Arc::default(), &["127.0.0.0/8"]);
    let answer = stranger.ask(request("named.example", "/")).await;
    assert!(matches!(&answer, Err(PeerError::Unreachable(why)) if why.contains("certificate")));
    assert!(peer.seen.lock().is_empty(), "nothing is said to strangers");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded() {
    let (peer, us) = (Peer::start().await, env("us.example", 1));
    let federation = federation(&peer, &us, &peer.trust(), &[]);
    let ask = async |path: &str, within: Duration| {
        let request = PeerRequest {
            within,
            ..request("named.example", path)
        };
        federation.ask(request).await.unwrap_err()
    };
    assert_eq!(ask("/huge", LONG).await, PeerError::TooLarge);
    assert_eq!(
        ask("/slow", Duration::from_millis(300)).await,
        PeerError::TooSlow
    );
    let packed = ask("/packed", LONG).await;
    assert!(matches!(packed, PeerError::Nonsense(_)));
    let moved = ask("/moved", LONG).await;
    assert!(matches!(moved, PeerError::Refused { status: 302, .. }));
    let refused = PeerError::Refused {
        status: 403,
        errcode: "M_FORBIDDEN".to_owned(),
        error: "no".to_owned(),
    };
    assert_eq!(ask("/refused", LONG).await, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_can_be_taken_as_they_come() {
    let (peer, us) = (Peer::start().await, env("us.example", 1));
    let federation = federation(&peer, &us, &peer.trust(), &[]);
    let ask = |path: &str, answer_bytes_max: u64| {
        federation.ask_in_pieces(PeerRequest {
            answer_bytes_max,
            ..request("named.example", path)
        })
    };
    let answer = ask("/short", 100).await.unwrap();
    assert_eq!(answer.content_type.as_deref(), Some("text/short"));
    assert_eq!(answer.length, None);
    let pieces: Vec<_> = answer.pieces.collect().await;
    assert!(matches!(
        pieces.last(),
        Some(Err(PeerError::Unreachable(_)))
    ));
    let came: Vec<_> = pieces.iter().flatten().collect();
    assert_eq!(came, ["12345678"]);
    let answer = ask("/short", 7).await.unwrap();
    let pieces: Vec<_> = answer.pieces.collect().await;
    assert_eq!(pieces, [Err(PeerError::TooLarge)]);
    let whole = ask("/whole", 100).await.unwrap();
    assert_eq!(whole.length, Some(13));
    let pieces: Vec<_> = whole.pieces.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"{\"good\":true}");
    assert_eq!(ask("/huge", 100).await.err(), Some(PeerError::TooLarge));
    let packed = ask("/packed", 100).await.err();
    assert!(matches!(packed, Some(PeerError::Nonsense(_))));
    let moved = ask("/moved", 100).await.err();
    assert!(matches!(
        moved,
        Some(PeerError::Refused { status: 302, .. })
    ));
}

/// Everybody is at home.
struct Home;

impl Lookup for Home {
    fn addresses(&self, _host: &str) -> Looking {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delegation_is_asked_for_once() {
    let (peer, us) = (Peer::start().await, env("us.example", 1));
    let well_known = |allow: &[&str]| {
        let allow: Vec<String> = allow.iter().map(|network| (*network).to_owned()).collect();
        let rules = AddressRules::new(&allow, &[]);
        WellKnown::new(us.clone(), &peer.trust(), (rules, Arc::new(Home))).at_port(peer.port)
    };
    let open = well_known(&["127.0.0.1"]);
    let (one, two) = tokio::join!(
        open.delegated("named.example"),
        open.delegated("named.example")
    );
    assert_eq!(one.as_ref().map(|name| name.as_str()), Some("m.example:7"));
    assert_eq!(one, two);
    assert_eq!(peer.seen.lock().len(), 2, "the question and its redirect");
    // Without the right certificate nothing is believed; private addresses are not asked.
    assert_eq!(open.delegated("other.example").await, None);
    assert_eq!(well_known(&[]).delegated("named.example").await, None);
    assert_eq!(peer.seen.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_target_does_not_stop_the_next() {
    let peer = Peer::start().await;
    // Connections to it stand, and nothing is ever said on them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [silent.local_addr().unwrap().port(), peer.port];
    let mut connector = Connector(Arc::new(Connecting {
        routes: Arc::default(),
        lookup: Arc::new(Home),
        rules: AddressRules::new(&["127.0.0.0/8".to_owned()], &[]),
        trust: peer.trust(),
        tls: OnceLock::new(),
    }));
    let route = Arc::new(Route {
        host: "named.example".to_owned(),
        certificate: "named.example".to_owned(),
        targets: ports
            .map(|port| ("target.example".to_owned(), port))
            .to_vec(),
        is_trusted: false,
    });
    let taken = connector.0.routes.take(&route);
    let place = format!("http://{}/", taken.key).parse().unwrap();
    // Nobody but the second one has a certificate to show.
    assert_eq!(connector.call(place).await.map(drop), Ok(()));
}
