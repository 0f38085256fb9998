//! Other servers, as far as tests play them: they publish their keys over TLS, take what they are sent, and sign what they ask.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use playhouse_actors::{
    env::{Env, Identity, Signer},
    room::receive::sign::{SignedPdu, finish_template},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey};
use reqwest::Method;
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    serde::{Base64, base64::Standard},
    signatures::sign_json,
};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    client::{Answer, Client},
    script::{self, Asked, Reply, Script},
    server::SERVER_NAME,
};

/// The key with which all of them sign.
const SEED: [u8; 32] = [9; 32];

/// What is sent arrives in less.
const PATIENCE: Duration = Duration::from_secs(120);

/// The events that each was sent, and the rules by which they answer.
#[derive(Clone, Default)]
struct Minds {
    received: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
    script: Arc<Mutex<Option<Script>>>,
}

/// Other servers on one port.
pub(crate) struct Peers {
    names: Vec<String>,
    host: String,
    port: u16,
    folder: tempfile::TempDir,
    minds: Minds,
}

impl Peers {
    /// Starts servers of these names.
    pub(crate) async fn start(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self::start_at("127.0.0.1", names).await
    }

    /// The same at an address of this machine.
    pub(crate) async fn start_at(host: &str, names: Vec<String>) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).expect("an authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, TlsKey::generate().expect("a key"));
        let ca = ca.expect("an authority");
        let key = TlsKey::generate().expect("a key");
        let certificate = CertificateParams::new(names.clone()).expect("names");
        let certificate = certificate.signed_by(&key, &ca).expect("a certificate");
        let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .expect("a certificate with its key");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).expect("a file");
        let listener = TcpListener::bind((host, 0)).await.expect("a port");
        let peers = Self {
            names,
            host: host.to_owned(),
            port: listener.local_addr().expect("an address").port(),
            folder,
            minds: Minds::default(),
        };
        let (acceptor, minds) = (TlsAcceptor::from(Arc::new(tls)), peers.minds.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, minds.clone()));
            }
        });
        peers
    }

    /// How a server is told of them.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let places = self.names.iter();
        let places: Vec<_> = places
            .map(|name| format!("{name}={}:{}", self.host, self.port))
            .collect();
        let ca = self.folder.path().join("ca.pem");
        [
            ("PLAYHOUSE_EXTRA_CA", ca.to_string_lossy().into_owned()),
            ("PLAYHOUSE_FEDERATION_OVERRIDES", places.join(",")),
            (
                "PLAYHOUSE_FEDERATION_ALLOW_NETWORKS",
                format!("127.0.0.0/8,{}/32", self.host),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// What they are called.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// From now on they answer by these rules, where these have an answer.
    pub(crate) fn follow(
        &self,
        script: impl Fn(&Asked<'_>) -> Option<Reply> + Send + Sync + 'static,
    ) {
        *self.minds.script.lock() = Some(Arc::new(script));
    }

    /// Events that one of them was sent.
    pub(crate) fn received(&self, name: &str) -> Vec<Value> {
        self.received_after(name, 0)
    }

    /// Events that one of them was sent after so many others.
    pub(crate) fn received_after(&self, name: &str, count: usize) -> Vec<Value> {
        let received = self.minds.received.lock();
        let events = received.get(name).into_iter().flatten();
        events.skip(count).cloned().collect()
    }

    /// Whether one of them was sent a fitting event.
    pub(crate) fn was_sent(&self, name: &str, fits: impl Fn(&Value) -> bool) -> bool {
        let received = self.minds.received.lock();
        let events = received.get(name).into_iter().flatten();
        // What came last is looked for most.
        events.rev().any(fits)
    }

    /// Waits until one of them was sent a fitting event.
    pub(crate) async fn await_event(&self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.received(name);
            if let Some(event) = events.iter().find(|event| fits(event)) {
                return event.clone();
            }
            assert!(Instant::now() < deadline, "{name} was sent only {events:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a server signs with.
pub(crate) fn env(name: &str) -> Env {
    Env::system(Identity {
        server_name: name.try_into().expect("a server name"),
        signer: Signer::from_seed("peer", &SEED).expect("a key"),
    })
}

pub(crate) fn signed(name: &str, object: Value) -> CanonicalJsonObject {
    let mut object: CanonicalJsonObject = serde_json::from_value(object).expect("canonical JSON");
    sign_json(name, &env(name).identity.signer, &mut object).expect("it can be signed");
    object
}

/// Asks the server of `client` in the name of another server.
pub(crate) async fn ask_as(
    name: &str,
    client: &Client,
    request: (Method, &str),
    body: Option<&str>,
) -> Answer {
    ask_of((name, SERVER_NAME), client, request, body).await
}

/// The same of a server with a name of its own.
pub(crate) async fn ask_of(
    (name, destination): (&str, &str),
    client: &Client,
    (method, path): (Method, &str),
    body: Option<&str>,
) -> Answer {
    let mut request = json!({
        "method": method.as_str(), "uri": path, "origin": name, "destination": destination,
    });
    if let Some(body) = body {
        request["content"] = serde_json::from_str(body).expect("JSON");
    }
    let request = signed(name, request);
    let signature = serde_json::to_value(&request).expect("JSON");
    let signature = signature["signatures"][name]["ed25519:peer"].as_str();
    let header = format!(
        "X-Matrix origin=\"{name}\",destination=\"{destination}\",key=\"ed25519:peer\",sig=\"{}\"",
        signature.expect("a signature")
    );
    let headers = [
        ("authorization", header.as_str()),
        ("content-type", "application/json"),
    ];
    let body = body.unwrap_or_default().as_bytes().to_vec();
    client.with_headers(method, path, &headers, body).await
}

/// Finishes the event of a `make_…` answer in the name of its user's server.
pub(crate) fn finish(name: &str, made: &Value, membership: &str) -> SignedPdu {
    let version = made["room_version"].as_str().expect("a room version");
    let version = RoomVersionId::try_from(version).expect("a room version");
    let rules = version.rules().expect("a known version");
    let user_id = made["event"]["sender"].as_str().expect("a sender");
    let content = serde_json::from_value(json!({ "membership": membership })).expect("content");
    let template = made["event"].to_string();
    finish_template(&template, user_id, content, (&rules, &env(name))).expect("a template")
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, minds: Minds) -> io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let header = |name: &str| {
            let fields = head.iter().filter_map(|line| line.split_once(':'));
            let mut named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            named.next().map_or("", |(_, value)| value.trim())
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let path = head.first().and_then(|line| line.split(' ').nth(1));
        let host = header("host");
        let name = host.split(':').next().unwrap_or_default();
        let reply = reply(name, path.unwrap_or_default(), &body, &minds);
        script::write(&mut stream, reply).await?;
    }
}

fn reply(name: &str, path: &str, body: &[u8], minds: &Minds) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let body = &body;
    let script = minds.script.lock().clone();
    let own = script.and_then(|script| script(&Asked { name, path, body }));
    own.unwrap_or_else(|| {
        let (status, answer) = answer(name, path, body, minds);
        Reply::Json(status, answer)
    })
}

/// The keys that a server publishes.
pub(crate) fn public_keys(name: &str) -> CanonicalJsonObject {
    let key = env(name).identity.signer.public_key().to_vec();
    let key = Base64::<Standard>::new(key).encode();
    let keys = json!({
        "server_name": name, "valid_until_ts": 4_000_000_000_000_u64,
        "verify_keys": {"ed25519:peer": {"key": key}}, "old_verify_keys": {},
    });
    signed(name, keys)
}

fn answer(name: &str, path: &str, body: &Value, minds: &Minds) -> (u16, Value) {
    if path.starts_with("/_matrix/key/v2/server") {
        let keys = public_keys(name);
        return (200, serde_json::to_value(&keys).expect("JSON"));
    }
    if path.starts_with("/_matrix/federation/v1/send/") {
        let events = body["pdus"].as_array().cloned().unwrap_or_default();
        minds
            .received
            .lock()
            .entry(name.to_owned())
            .or_default()
            .extend(events);
        return (200, json!({"pdus": {}}));
    }
    let unknown = json!({"errcode": "M_UNRECOGNIZED", "error": "only played"});
    (404, unknown)
}
