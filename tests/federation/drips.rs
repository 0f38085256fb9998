//! Connections to the port for other servers that are fed byte by byte: they are closed, and others are served meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::neighbours::sees;
use crate::harness::{Town, client::encode};

/// Settings that let the patience end soon.
const HASTY: [(&str, &str); 2] = [
    ("PLAYHOUSE_LIMITS_HEAD_TIMEOUT_MS", "10000"),
    ("PLAYHOUSE_LIMITS_BODY_TIMEOUT_MS", "10000"),
];

/// So long a byte waits for the one before it.
const PAUSE: Duration = Duration::from_millis(50);

/// Who drips is cut off within this time: generous, since many tests run at once, and far less than a request takes at this pace.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(120);

/// So many drip at once in each way.
const EACH: usize = 20;

/// What comes byte by byte.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// The first message of TLS.
    Greeting,
    /// The head of a request.
    Head,
    /// The body of a request.
    Body,
}

impl Slow {
    /// What is sent at once.
    fn prelude(self) -> &'static [u8] {
        match self {
            // A record of 16 KiB follows.
            Slow::Greeting => &[0x16, 3, 1, 0x40, 0],
            Slow::Head => b"PUT /_matrix/federation/v1/send/drip HTTP/1.1\r\nHost: one.town\r\nX-Slow: ",
            Slow::Body => {
                b"POST /_matrix/key/v2/query HTTP/1.1\r\nHost: one.town\r\nContent-Type: application/json\r\n\
                  Content-Length: 100000\r\n\r\n{"
            }
        }
    }

    /// What is repeated.
    fn byte(self) -> u8 {
        match self {
            Slow::Greeting => 1,
            Slow::Head => b'x',
            Slow::Body => b' ',
        }
    }

    /// Opens a connection and feeds it until the other side hangs up.
    async fn feed(self, place: SocketAddr, tls: &TlsConnector) {
        let Ok(stream) = TcpStream::connect(place).await else {
            return;
        };
        if matches!(self, Slow::Greeting) {
            return self.drip(stream).await;
        }
        let name = ServerName::try_from("one.town").expect("a name");
        if let Ok(stream) = tls.connect(name, stream).await {
            self.drip(stream).await;
        }
    }

    async fn drip(self, stream: impl AsyncRead + AsyncWrite) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let writing = async {
            let mut bytes = self.prelude();
            let next = [self.byte()];
            while writer.write_all(bytes).await.is_ok() && writer.flush().await.is_ok() {
                tokio::time::sleep(PAUSE).await;
                bytes = &next;
            }
        };
        let mut said = Vec::new();
        tokio::select! {
            read = reader.read_to_end(&mut said) => drop(read),
            () = writing => {}
        }
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains(" 200 "), "{self:?} is answered: {said}");
    }
}

fn connector(town: &Town) -> TlsConnector {
    let authority = CertificateDer::from_pem_file(town.authority()).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_fed_byte_by_byte_are_closed() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &HASTY).await;
    let two = town.open("two.town", &[]).await;
    let (anna, bert) = (one.register("anna").await, two.register("bert").await);
    let wish = json!({"preset": "public_chat", "room_alias_name": "rain"});
    let room_id = anna.create_room(wish).await;
    let path = format!("/_matrix/client/v3/join/{}", encode("#rain:one.town"));
    bert.post(&path, json!({})).await.ok();
    let (place, tls) = (town.house("one.town").address, connector(&town));
    let (done, closed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut drips = Vec::new();
    for slow in [Slow::Greeting, Slow::Head, Slow::Body] {
        for _ in 0..EACH {
            let (tls, done, closed) = (tls.clone(), done.clone(), closed.clone());
            drips.push(tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let fed = tokio::time::timeout(CUT_OFF_WITHIN, slow.feed(place, &tls)).await;
                    assert!(fed.is_ok(), "{slow:?} is not cut off");
                    closed.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }
    // The other server is heard, and hears, all the while.
    let mut lines = 0;
    while lines < 3 || closed.load(Ordering::Relaxed) < 3 * EACH {
        assert!(
            drips.iter().all(|drip| !drip.is_finished()),
            "a drip has failed"
        );
        let hello = bert.say(&room_id, &format!("hello {lines}")).await;
        sees(&anna, &room_id, &hello).await;
        let answer = anna.say(&room_id, &format!("answer {lines}")).await;
        sees(&bert, &room_id, &answer).await;
        lines += 1;
    }
    done.store(true, Ordering::Relaxed);
    for drip in drips {
        drip.await.expect("it is cut off");
    }
}
