//! A certificate authority that speaks ACME (RFC 8555) over TLS, proves names by tls-alpn-01 (RFC 8737) and signs what it is asked for.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair, SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;

use super::{glance::glance, server::SERVER_NAME};

/// What a client offers who asks for a proof.
pub(crate) const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";

/// The extension that has the proof.
const PROOF_OID: &str = "1.3.6.1.5.5.7.1.31";

/// A running authority, and the place where it asks a server for proofs, whatever the name.
pub(crate) struct Authority {
    office: Arc<Office>,
    folder: TempDir,
}

/// What it has done and how it behaves.
#[derive(Default)]
struct Books {
    nonces: BTreeSet<String>,
    nonces_given: usize,
    accounts: Vec<Account>,
    orders: Vec<Order>,
    closed: bool,
    aged: bool,
}

#[derive(Clone, PartialEq)]
struct Account {
    x: String,
    y: String,
}

struct Order {
    account: usize,
    names: Vec<String>,
    proven: Vec<Option<bool>>,
    certificate: Option<String>,
}

struct Office {
    port: u16,
    asked: SocketAddr,
    issuer: CertifiedIssuer<'static, KeyPair>,
    books: Mutex<Books>,
}

struct Answer {
    status: u16,
    place: Option<String>,
    body: String,
}

impl Authority {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("an authority");
        let acceptor = acceptor(&issuer);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let office = Arc::new(Office {
            port: listener.local_addr().expect("an address").port(),
            asked: place_for_one(),
            issuer,
            books: Mutex::default(),
        });
        let serving = office.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(acceptor.clone(), stream));
            }
        });
        Self { office, folder }
    }

    /// How a server is told to get its federation listener's certificate here.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let ca = self.folder.path().join("ca.pem");
        [
            ("FEDERATION_LISTEN", self.asked().to_string()),
            ("LISTEN_FEDERATION_TLS_ACME", "true".to_owned()),
            ("ACME_AGREE_TO_TERMS", "true".to_owned()),
            ("ACME_DOMAINS", SERVER_NAME.to_owned()),
            ("ACME_CONTACTS", format!("admin@{SERVER_NAME}")),
            ("ACME_DIRECTORY", self.office.url("/directory")),
            ("ACME_CA_FILE", ca.to_string_lossy().into_owned()),
        ]
        .map(|(name, value)| (format!("PLAYHOUSE_{name}"), value))
        .to_vec()
    }

    /// Where the server is asked for proofs.
    pub(crate) fn asked(&self) -> SocketAddr {
        self.office.asked
    }

    /// Who signs certificates.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.office.issuer.der().clone()
    }

    /// From now on it answers nothing but errors, or no more.
    pub(crate) fn close(&self, closed: bool) {
        self.office.books.lock().closed = closed;
    }

    /// From now on its certificates are good, but have most of their time behind them, or no more.
    pub(crate) fn sign_aged(&self, aged: bool) {
        self.office.books.lock().aged = aged;
    }

    /// How many accounts there are, and how many orders were made.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let books = self.office.books.lock();
        (books.accounts.len(), books.orders.len())
    }
}

/// A place where a server can listen, now and whenever it starts again: whoever asks for any free port gets one of another address.
fn place_for_one() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 64 | high, low, count);
    std::net::TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

fn acceptor(issuer: &CertifiedIssuer<'static, KeyPair>) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .expect("a certificate with its key");
    TlsAcceptor::from(Arc::new(tls))
}

impl Office {
    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// One request for each connection.
    async fn serve(self: Arc<Self>, acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(acceptor.accept(stream).await?);
        let mut first = String::new();
        stream.read_line(&mut first).await?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let path = first.split(' ').nth(1).unwrap_or_default();
        let answer = self.answer(path, &body).await;
        let mut head = format!(
            "HTTP/1.1 {} x\r\nreplay-nonce: {}\r\ncontent-length: {}\r\n",
            answer.status,
            self.nonce(),
            answer.body.len()
        );
        if let Some(place) = &answer.place {
            head += &format!("location: {}\r\n", self.url(place));
        }
        let text = format!("{head}connection: close\r\n\r\n{}", answer.body);
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    }

    fn nonce(&self) -> String {
        let mut books = self.books.lock();
        books.nonces_given += 1;
        let nonce = format!("nonce{}", books.nonces_given);
        books.nonces.insert(nonce.clone());
        nonce
    }

    async fn answer(&self, path: &str, body: &[u8]) -> Answer {
        if self.books.lock().closed {
            return refused(503);
        }
        match path {
            "/directory" => {
                return plain(json!({
                    "newNonce": self.url("/nonce"), "newAccount": self.url("/accounts"),
                    "newOrder": self.url("/orders"),
                }));
            }
            "/nonce" => return written(200, None, String::new()),
            _ => {}
        }
        let Some((account, content)) = self.open_letter(path, body) else {
            return refused(400);
        };
        let mut parts = path.trim_start_matches('/').split('/');
        let what = parts.next().unwrap_or_default();
        let numbers: Vec<usize> = parts.filter_map(|part| part.parse().ok()).collect();
        match (what, numbers.as_slice()) {
            ("accounts", []) => self.welcome(account, &content),
            ("orders", []) => self.take_order(account, &content),
            (_, [order, ..]) if !self.is_of(account, *order) => refused(403),
            ("order", [order]) => plain(self.order(*order)),
            ("proof", [order, name]) => plain(self.proof(*order, *name)),
            ("prove", [order, name]) => {
                self.prove(*order, *name).await;
                plain(self.challenge(*order, *name))
            }
            ("sign", [order]) => match self.sign(*order, &content) {
                Some(()) => plain(self.order(*order)),
                None => refused(403),
            },
            ("certificate", [order]) => {
                let certificate = self.books.lock().orders[*order].certificate.clone();
                certificate.map_or_else(|| refused(404), |pem| written(200, None, pem))
            }
            _ => refused(404),
        }
    }

    /// The account that has signed a request, and what it says: nonce, address and signature are right.
    fn open_letter(&self, path: &str, body: &[u8]) -> Option<(usize, Value)> {
        let letter: Value = serde_json::from_slice(body).ok()?;
        let part = |name: &str| letter[name].as_str();
        let (protected, payload) = (part("protected")?, part("payload")?);
        let head: Value = serde_json::from_slice(&decoded(protected)?).ok()?;
        let mut books = self.books.lock();
        let is_fresh = books.nonces.remove(head["nonce"].as_str()?);
        if !is_fresh || head["url"] != self.url(path) || head["alg"] != "ES256" {
            return None;
        }
        let signer = match head["kid"].as_str() {
            Some(kid) => {
                let number: usize = kid.rsplit_once('/')?.1.parse().ok()?;
                books.accounts.get(number)?.clone()
            }
            None if path == "/accounts" => Account {
                x: head["jwk"]["x"].as_str()?.to_owned(),
                y: head["jwk"]["y"].as_str()?.to_owned(),
            },
            None => return None,
        };
        let point = [vec![4], decoded(&signer.x)?, decoded(&signer.y)?].concat();
        let signed = format!("{protected}.{payload}");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decoded(part("signature")?)?)
            .ok()?;
        let known = books.accounts.iter().position(|known| *known == signer);
        let account = known.unwrap_or_else(|| {
            books.accounts.push(signer);
            books.accounts.len() - 1
        });
        let content = serde_json::from_slice(&decoded(payload)?);
        Some((account, content.unwrap_or_default()))
    }

    fn is_of(&self, account: usize, order: usize) -> bool {
        let books = self.books.lock();
        let order = books.orders.get(order);
        order.is_some_and(|order| order.account == account)
    }

    fn welcome(&self, account: usize, content: &Value) -> Answer {
        let contact = format!("mailto:admin@{SERVER_NAME}");
        if content["termsOfServiceAgreed"] != true || content["contact"] != json!([contact]) {
            return refused(403);
        }
        let body = json!({"status": "valid"}).to_string();
        written(200, Some(format!("/account/{account}")), body)
    }

    fn take_order(&self, account: usize, content: &Value) -> Answer {
        let wanted = content["identifiers"].as_array().into_iter().flatten();
        let names: Vec<String> = wanted
            .filter(|wanted| wanted["type"] == "dns")
            .filter_map(|wanted| wanted["value"].as_str().map(str::to_owned))
            .collect();
        let number = {
            let mut books = self.books.lock();
            books.orders.push(Order {
                account,
                proven: vec![None; names.len()],
                names,
                certificate: None,
            });
            books.orders.len() - 1
        };
        let body = self.order(number).to_string();
        written(201, Some(format!("/order/{number}")), body)
    }

    fn order(&self, number: usize) -> Value {
        let books = self.books.lock();
        let order = &books.orders[number];
        let status = if order.certificate.is_some() {
            "valid"
        } else if order.proven.contains(&Some(false)) {
            "invalid"
        } else if order.proven.contains(&None) {
            "pending"
        } else {
            "ready"
        };
        let proofs = 0..order.names.len();
        let proofs = proofs.map(|name| self.url(&format!("/proof/{number}/{name}")));
        let mut told = json!({
            "status": status, "authorizations": proofs.collect::<Vec<_>>(),
            "finalize": self.url(&format!("/sign/{number}")),
        });
        if order.certificate.is_some() {
            told["certificate"] = self.url(&format!("/certificate/{number}")).into();
        }
        told
    }

    fn proof(&self, number: usize, name: usize) -> Value {
        let challenge = self.challenge(number, name);
        let books = self.books.lock();
        let order = &books.orders[number];
        json!({
            "status": challenge["status"], "challenges": [challenge],
            "identifier": {"type": "dns", "value": order.names[name]},
        })
    }

    fn challenge(&self, number: usize, name: usize) -> Value {
        let proven = self.books.lock().orders[number].proven[name];
        let status = match proven {
            None => "pending",
            Some(true) => "valid",
            Some(false) => "invalid",
        };
        json!({
            "type": "tls-alpn-01", "status": status, "token": token(number, name),
            "url": self.url(&format!("/prove/{number}/{name}")),
        })
    }

    async fn prove(&self, number: usize, name: usize) {
        let (wanted, account) = {
            let books = self.books.lock();
            let order = &books.orders[number];
            (
                order.names[name].clone(),
                books.accounts[order.account].clone(),
            )
        };
        let key = format!(
            "{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{}\",\"y\":\"{}\"}}",
            account.x, account.y
        );
        let thumb = URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_bytes()));
        let secret = format!("{}.{thumb}", token(number, name));
        let secret = digest(&SHA256, secret.as_bytes());
        let shown = glance(self.asked, &wanted, &[PROOF_PROTOCOL]).await;
        let proven = shown.is_ok_and(|shown| {
            let agreed = shown.protocol.as_deref() == Some(PROOF_PROTOCOL);
            agreed && proves(&shown.certificate, &wanted, secret.as_ref())
        });
        self.books.lock().orders[number].proven[name] = Some(proven);
    }

    /// Signs what was proven and nothing else.
    fn sign(&self, number: usize, content: &Value) -> Option<()> {
        let request = decoded(content["csr"].as_str()?)?;
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request).ok()?;
        let mut books = self.books.lock();
        let aged = books.aged;
        let order = &mut books.orders[number];
        let names = request.params.subject_alt_names.iter();
        let names: Option<BTreeSet<String>> = names
            .map(|name| match name {
                SanType::DnsName(name) => Some(name.to_string()),
                _ => None,
            })
            .collect();
        let wanted: BTreeSet<String> = order.names.iter().cloned().collect();
        if names? != wanted || order.proven.iter().any(|proven| *proven != Some(true)) {
            return None;
        }
        // Of the one, two thirds are over; not so of the other.
        let years = if aged { [1975, 2045] } else { [2020, 2090] };
        [request.params.not_before, request.params.not_after] =
            years.map(|year| date_time_ymd(year, 1, 1));
        let certificate = request.signed_by(&self.issuer).ok()?;
        order.certificate = Some(certificate.pem() + &self.issuer.pem());
        Some(())
    }
}

fn token(number: usize, name: usize) -> String {
    format!("token-of-order-{number}-and-name-{name}")
}

/// Whether a certificate is the proof for a name: for this name alone, with the digest in the extension made for it.
fn proves(certificate: &[u8], wanted: &str, secret: &[u8]) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let is_of = names.is_some_and(|names| {
        let names = &names.value.general_names;
        matches!(names.as_slice(), [GeneralName::DNSName(name)] if *name == wanted)
    });
    // An octet string in DER.
    let content = [&[4_u8, 32][..], secret].concat();
    let mut extensions = certificate.extensions().iter();
    is_of
        && extensions.any(|extension| {
            let is_proof = extension.oid.to_id_string() == PROOF_OID;
            is_proof && extension.critical && extension.value == content.as_slice()
        })
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn plain(body: Value) -> Answer {
    written(200, None, body.to_string())
}

fn refused(status: u16) -> Answer {
    let problem = json!({"type": "urn:ietf:params:acme:error:played", "detail": "only played"});
    written(status, None, problem.to_string())
}

fn written(status: u16, place: Option<String>, body: String) -> Answer {
    Answer {
        status,
        place,
        body,
    }
}
