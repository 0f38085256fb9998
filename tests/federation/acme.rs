//! Certificates by ACME on the port for other servers.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::harness::{
    Options, TestServer,
    acme::{Authority, PROOF_PROTOCOL},
    glance::glance,
    only_alone,
    server::SERVER_NAME,
};

/// A certificate comes in less. The pauses between attempts double.
const PATIENCE: Duration = Duration::from_secs(180);

async fn start(authority: &Authority) -> TestServer {
    let options = Options {
        environment: authority.environment(),
        ..Options::default()
    };
    TestServer::start_with(options).await
}

/// The certificate that is served, whoever has signed it.
async fn served(authority: &Authority) -> CertificateDer<'static> {
    let shown = glance(authority.asked(), SERVER_NAME, &[]).await;
    shown.expect("there is a certificate").certificate
}

/// Asks as one who believes the authority and nobody else.
async fn ask(authority: &Authority) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root()).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    let stream = TcpStream::connect(authority.asked()).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await?;
    let request =
        format!("GET /_matrix/federation/v1/version HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    assert_eq!(&status, b"HTTP/1.1 200");
    Ok(())
}

/// Waits until a certificate of the authority is served.
async fn await_belief(authority: &Authority) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = ask(authority).await {
        assert!(Instant::now() < deadline, "no certificate came: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until so many certificates are kept.
async fn await_kept(folder: &Path, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let names = names_in(folder);
        let kept = names.iter().filter(|name| name.ends_with(".pem"));
        if kept.count() == count {
            return;
        }
        assert!(Instant::now() < deadline, "kept are only {names:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn mode(path: &Path) -> u32 {
    let metadata = std::fs::metadata(path).expect("it exists");
    metadata.permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_once_and_kept() {
    if only_alone("it looks at the orders and files of one node") {
        return;
    }
    let authority = Authority::start().await;
    let mut server = start(&authority).await;
    await_belief(&authority).await;
    assert_eq!(authority.counts(), (1, 1));
    let folder = server.data().join("acme");
    await_kept(&folder, 1).await;
    assert_eq!(mode(&folder), 0o700);
    let names = names_in(&folder);
    assert_eq!(names.len(), 2, "a certificate and an account: {names:?}");
    for name in names {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
    }
    let first = served(&authority).await;
    server.restart();
    assert!(served(&authority).await == first, "it is kept");
    assert_eq!(authority.counts(), (1, 1));
    // For other names there is another certificate, and the account stays.
    server.stop();
    server.set(
        "PLAYHOUSE_ACME_DOMAINS",
        &format!("{SERVER_NAME}, Other.{SERVER_NAME}"),
    );
    server.start_again();
    await_belief(&authority).await;
    assert!(served(&authority).await != first, "it is another");
    assert_eq!(authority.counts(), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_authority_the_server_is_up_and_not_believed() {
    if only_alone("it looks at the orders and files of one node") {
        return;
    }
    let authority = Authority::start().await;
    authority.close(true);
    let server = start(&authority).await;
    server.register("anna").await;
    let first = served(&authority).await;
    ask(&authority).await.expect_err("nobody vouches for it");
    // Nothing is to be proven, so nothing is.
    let proof = glance(authority.asked(), SERVER_NAME, &[PROOF_PROTOCOL]).await;
    assert!(proof.is_err());
    // Who speaks something else too is no authority.
    let protocols = [PROOF_PROTOCOL, b"http/1.1"];
    let shown = glance(authority.asked(), SERVER_NAME, &protocols).await;
    let shown = shown.expect("a certificate");
    assert_eq!(shown.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(shown.certificate == first, "it is the usual one");
    assert_eq!(authority.counts(), (0, 0));
    authority.close(false);
    await_belief(&authority).await;
    assert!(served(&authority).await != first, "it is exchanged");
    assert_eq!(authority.counts(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_exchanged_in_time() {
    if only_alone("it looks at the orders and files of one node") {
        return;
    }
    let authority = Authority::start().await;
    authority.sign_aged(true);
    let mut server = start(&authority).await;
    await_belief(&authority).await;
    await_kept(&server.data().join("acme"), 1).await;
    let first = served(&authority).await;
    // It is due already, and yet the authority is not asked again and again.
    assert_eq!(authority.counts(), (1, 1));
    authority.sign_aged(false);
    server.restart();
    let deadline = Instant::now() + PATIENCE;
    while served(&authority).await == first {
        assert!(Instant::now() < deadline, "it is still the old one");
        // It is good while the next one is ordered.
        ask(&authority).await.expect("it is believed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    await_belief(&authority).await;
    assert_eq!(authority.counts(), (1, 2));
}
