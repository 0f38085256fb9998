//! A scripted server in whose room a crowd is: it lets others join, and tells them the whole state.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use playhouse_actors::env::{Env, Identity, Signer};
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    room_version_rules::RoomVersionRules,
    serde::{Base64, base64::Standard},
    signatures::{hash_and_sign_event, reference_hash, sign_json},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::Town;

/// The room.
pub(crate) const ROOM: &str = "!crowd:crowd.test";

/// The server.
pub(crate) const CROWD: &str = "crowd.test";

const SEED: [u8; 32] = [5; 32];

/// A room with many members, and the server that tells of it.
pub(crate) struct Crowd {
    played: Arc<Played>,
    task: tokio::task::JoinHandle<()>,
}

/// What is told.
struct Played {
    env: Env,
    /// The state as a list in JSON, and what authorises it.
    state: String,
    auth_chain: String,
    template: Value,
    key_requests: AtomicUsize,
}

impl Crowd {
    /// Makes a room with so many members, and serves it from its place in a town.
    pub(crate) async fn gather(town: &Town, members: usize) -> Self {
        let house = town.house(CROWD);
        let certificate = CertificateDer::from_pem_file(&house.cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&house.key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate with its key");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(house.address).await.expect("the place");
        let played = tokio::task::spawn_blocking(move || Arc::new(played(members)));
        let played = played.await.expect("a room");
        let told = played.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, told.clone()));
            }
        });
        Self { played, task }
    }

    /// How often it was asked for its keys.
    pub(crate) fn key_requests(&self) -> usize {
        self.played.key_requests.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A room's history while it is made: a line.
struct Line {
    env: Env,
    rules: RoomVersionRules,
    last: Vec<String>,
    depth: u64,
}

impl Line {
    fn add(&mut self, (event_type, state_key): (&str, &str), fields: Value) -> (String, String) {
        self.depth += 1;
        let mut event = json!({
            "room_id": ROOM, "type": event_type, "state_key": state_key, "depth": self.depth, "prev_events": self.last,
            "origin_server_ts": 1_700_000_000_000 + self.depth,
        });
        let object = event.as_object_mut().expect("an object");
        object.extend(fields.as_object().expect("an object").clone());
        let mut event: CanonicalJsonObject = serde_json::from_value(event).expect("canonical JSON");
        let signer = &self.env.identity.signer;
        hash_and_sign_event(CROWD, signer, &mut event, &self.rules.redaction)
            .expect("it can be signed");
        let hash = reference_hash(&event, &self.rules).expect("a hash");
        let event_id = format!("${hash}");
        self.last = vec![event_id.clone()];
        (event_id, serde_json::to_string(&event).expect("JSON"))
    }
}

fn played(members: usize) -> Played {
    let signer = Signer::from_seed("crowd", &SEED).expect("a key");
    let env = Env::system(Identity {
        server_name: CROWD.try_into().expect("a server name"),
        signer,
    });
    let mut line = Line {
        env: env.clone(),
        rules: RoomVersionId::V11.rules().expect("a known version"),
        last: Vec::new(),
        depth: 0,
    };
    let creator = "@creator:crowd.test";
    let by_creator = |content: Value, auth: &[&String]| json!({"sender": creator, "content": content, "auth_events": auth});
    let (create, text) = line.add(
        ("m.room.create", ""),
        by_creator(json!({"room_version": "11"}), &[]),
    );
    let mut state = vec![text];
    let mut next = |key: (&str, &str), fields: Value| {
        let (event_id, text) = line.add(key, fields);
        state.push(text);
        event_id
    };
    let joined = json!({"membership": "join"});
    let join = next(
        ("m.room.member", creator),
        by_creator(joined.clone(), &[&create]),
    );
    let powers = json!({"users": {creator: 100}});
    let powers = next(
        ("m.room.power_levels", ""),
        by_creator(powers, &[&create, &join]),
    );
    let rules = json!({"join_rule": "public"});
    let rules = next(
        ("m.room.join_rules", ""),
        by_creator(rules, &[&create, &join, &powers]),
    );
    for number in 0..members {
        let user_id = format!("@member{number}:crowd.test");
        let content = json!({"membership": "join", "displayname": format!("Member {number}")});
        let fields = json!({
            "sender": user_id, "content": content, "auth_events": [create, powers, rules],
        });
        next(("m.room.member", &user_id), fields);
    }
    let template = json!({
        "room_id": ROOM, "type": "m.room.member", "content": joined, "depth": line.depth + 1, "prev_events": line.last,
        "auth_events": [create, powers, rules], "origin": CROWD,
    });
    Played {
        env,
        auth_chain: format!("[{}]", state[..4].join(",")),
        state: format!("[{}]", state.join(",")),
        template,
        key_requests: AtomicUsize::new(0),
    }
}

impl Played {
    fn answer(&self, path: &str, body: &str) -> (u16, String) {
        if path.starts_with("/_matrix/key/v2/server") {
            self.key_requests.fetch_add(1, Ordering::Relaxed);
            return (200, self.keys());
        }
        if let Some(rest) = path.strip_prefix("/_matrix/federation/v1/make_join/") {
            let user_id = rest.split('/').nth(1).unwrap_or_default();
            let user_id = user_id.split('?').next().unwrap_or_default();
            let user_id = user_id.replace("%40", "@").replace("%3A", ":");
            let mut event = self.template.clone();
            event["sender"] = user_id.as_str().into();
            event["state_key"] = user_id.into();
            let made = json!({"room_version": "11", "event": event});
            return (200, made.to_string());
        }
        if path.starts_with("/_matrix/federation/v2/send_join/") {
            let (state, auth_chain) = (&self.state, &self.auth_chain);
            let answer = format!(
                r#"{{"state":{state},"auth_chain":{auth_chain},"event":{body},"members_omitted":false,"origin":"{CROWD}"}}"#
            );
            return (200, answer);
        }
        if path.starts_with("/_matrix/federation/v1/send/") {
            return (200, r#"{"pdus":{}}"#.to_owned());
        }
        let unknown = json!({"errcode": "M_UNRECOGNIZED", "error": "only played"});
        (404, unknown.to_string())
    }

    fn keys(&self) -> String {
        let signer = &self.env.identity.signer;
        let key = Base64::<Standard>::new(signer.public_key().to_vec()).encode();
        let keys = json!({
            "server_name": CROWD, "valid_until_ts": 4_000_000_000_000_u64,
            "verify_keys": {"ed25519:crowd": {"key": key}}, "old_verify_keys": {},
        });
        let mut keys: CanonicalJsonObject = serde_json::from_value(keys).expect("canonical JSON");
        sign_json(CROWD, signer, &mut keys).expect("it can be signed");
        serde_json::to_string(&keys).expect("JSON")
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, played: Arc<Played>) -> io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let (status, answer) = played.answer(&path, &String::from_utf8_lossy(&body));
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}
