//! A provider: what Apple, Google and browsers' push services look like from here. Speaks TLS and HTTP/2, and remembers who asked.

use std::{
    collections::{BTreeMap, VecDeque},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The path.
    pub(crate) path: String,
    /// `HTTP/2.0` and so on.
    pub(crate) version: String,
    /// All headers.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// When.
    pub(crate) at: Instant,
    /// The status that was answered, or is going to be; 0 for none.
    pub(crate) said: u16,
    /// When it was handed over to the line; never, if that broke before.
    pub(crate) answered: Option<Instant>,
}

impl Seen {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered when nothing else was said before.
type Manner = Box<dyn FnMut(&Seen) -> Said + Send>;

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
    after: Duration,
}

impl Said {
    /// A status and a JSON body.
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            after: Duration::ZERO,
        }
    }

    /// 200.
    pub(crate) fn ok() -> Self {
        Self::new(200, json!({}))
    }

    /// Nothing, for longer than anybody waits.
    pub(crate) fn nothing() -> Self {
        Self::new(0, json!({})).after(Duration::from_secs(3_600))
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same, but later.
    pub(crate) fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

#[derive(Default)]
struct Book {
    seen: Vec<Seen>,
    /// Answers in order.
    answers: VecDeque<Said>,
    /// When there are none left; 200 without it.
    manner: Option<Manner>,
}

impl Book {
    fn judge(&mut self, seen: &Seen) -> Said {
        if let Some(said) = self.answers.pop_front() {
            return said;
        }
        match &mut self.manner {
            Some(manner) => manner(seen),
            None => Said::ok(),
        }
    }

    /// What was asked may have been taken out meanwhile, and something else stand in its place.
    fn note_answered(&mut self, place: usize, at: Instant) {
        let seen = self.seen.get_mut(place);
        if let Some(seen) = seen.filter(|seen| seen.at == at) {
            seen.answered = Some(Instant::now());
        }
    }
}

/// A running provider. Stops when dropped.
pub(crate) struct Provider {
    folder: TempDir,
    port: u16,
    book: Arc<Mutex<Book>>,
    handle: ServerHandle,
}

impl Provider {
    /// Starts one that lets anybody in.
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    /// Starts one that lets only those in who have its certificate.
    pub(crate) async fn start_for_certified() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(wants_certificate: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = write_certificates(folder.path(), wants_certificate);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a socket");
        let book = Arc::new(Mutex::new(Book::default()));
        let served = book.clone();
        let server = HttpServer::new(move || {
            let book = served.clone();
            actix_web::App::new().default_service(web::to(
                move |request: HttpRequest, body: web::Bytes| {
                    let book = book.clone();
                    async move { answer(&book, &request, &body).await }
                },
            ))
        })
        .workers(1)
        // Providers do not hang up on those who come back, and ask nobody whether he lives.
        .keep_alive(Duration::from_secs(75))
        .shutdown_timeout(0)
        .disable_signals()
        .listen_rustls_0_23(listener, tls)
        .expect("a listener")
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            folder,
            port,
            book,
            handle,
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A file of its folder: `ca.pem` is the authority that vouches for it, `client.pem` a certificate of that authority with its key.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The next answer after those that were said before.
    pub(crate) fn will_say(&self, said: Said) {
        self.book.lock().expect("a book").answers.push_back(said);
    }

    /// From now on this decides what is answered.
    pub(crate) fn will_judge(&self, manner: impl FnMut(&Seen) -> Said + Send + 'static) {
        self.book.lock().expect("a book").manner = Some(Box::new(manner));
    }

    /// How much was asked so far.
    pub(crate) fn count(&self) -> usize {
        self.book.lock().expect("a book").seen.len()
    }

    /// All that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.book.lock().expect("a book").seen.clone()
    }

    /// All that was asked so far, of which nothing is known any more from now on.
    pub(crate) fn taken(&self) -> Vec<Seen> {
        std::mem::take(&mut self.book.lock().expect("a book").seen)
    }

    /// Whoever believes in this one's authority believes in another's, too, from now on.
    pub(crate) fn vouch_for(&self, other: &Self) {
        let read = |provider: &Self| std::fs::read_to_string(provider.path("ca.pem"));
        let both = [self, other].map(|provider| read(provider).expect("a file"));
        std::fs::write(self.path("ca.pem"), both.concat()).expect("a file");
    }

    /// Waits until so many were asked, and gives them.
    pub(crate) async fn wait_for(&self, number: usize) -> Vec<Seen> {
        for _ in 0..6_000 {
            let seen = self.seen();
            if seen.len() >= number {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("only {:?} of {number} came", self.seen());
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn answer(book: &Mutex<Book>, request: &HttpRequest, body: &web::Bytes) -> HttpResponse {
    let (said, place, at) = {
        let mut book = book.lock().expect("a book");
        let headers = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut seen = Seen {
            path: request.path().to_owned(),
            version: format!("{:?}", request.version()),
            headers: headers.collect(),
            body: body.to_vec(),
            at: Instant::now(),
            said: 0,
            answered: None,
        };
        let said = book.judge(&seen);
        seen.said = said.status;
        let at = seen.at;
        book.seen.push(seen);
        (said, book.seen.len() - 1, at)
    };
    tokio::time::sleep(said.after).await;
    book.lock().expect("a book").note_answered(place, at);
    let status = StatusCode::from_u16(said.status).expect("a status");
    let mut response = HttpResponse::build(status);
    // Apple says it, and Sygnal knows answers by it.
    if let Some(id) = request.headers().get("apns-id") {
        response.insert_header(("apns-id", id.clone()));
    }
    for (name, value) in said.headers {
        response.insert_header((name, value));
    }
    // Apple says nothing more, and Sygnal never makes room for what it does not want to hear: after 64 KiB of it nothing else would reach it.
    if said.status == 200 && request.path().starts_with("/3/device/") {
        return response.finish();
    }
    response.json(said.body)
}

fn write_certificates(folder: &Path, wants_certificate: bool) -> ServerConfig {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Who believes several knows them by their names.
    let name = format!("authority of {}", folder.display());
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    let signed = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
        // The user ID, where Apple writes the topic.
        let user_id = DnType::CustomDnType(vec![0, 9, 2_342, 19_200_300, 100, 1, 1]);
        params.distinguished_name.push(user_id, name);
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        (certificate, key)
    };
    let (certificate, key) = signed("org.example.app");
    let pair = format!("{}{}", certificate.pem(), key.serialize_pem());
    std::fs::write(folder.join("client.pem"), pair).expect("a file");
    let (certificate, key) = signed("127.0.0.1");
    let secret = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions of TLS");
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    builder
        .with_single_cert(vec![certificate.der().clone()], secret)
        .expect("a certificate with its key")
}
