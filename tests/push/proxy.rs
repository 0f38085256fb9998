//! Outgoing requests go through a proxy where that is wanted.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{
    gateway::{TestGateway, apns_app, message},
    provider::Provider,
};

/// A proxy that tunnels for whoever has its password, and remembers what it was asked.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = log.clone();
                tokio::spawn(async move {
                    // A connection that breaks ends the tunnel.
                    let _ = tunnel(stream, &log).await;
                });
            }
        });
        Self { port, asked }
    }
}

async fn tunnel(mut stream: TcpStream, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8_192 {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().expect("a log").push(head.clone());
    // `user:secret`
    if !head.contains("dXNlcjpzZWNyZXQ=") {
        let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        return stream.write_all(refused).await;
    }
    let mut other = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut other).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn apple_is_reached_through_a_tunnel() {
    let provider = Provider::start().await;
    let proxy = Proxy::start().await;
    let more = format!("proxy = 'http://user:secret@127.0.0.1:{}'", proxy.port);
    let gateway = TestGateway::start(&provider, &[apns_app(&provider, "")], &more);
    assert!(gateway.notify(message("$one", "AAAA")).await.is_empty());
    let seen = provider.wait_for(1).await.remove(0);
    assert_eq!(seen.version, "HTTP/2.0");
    let asked = proxy.asked.lock().expect("a log").clone();
    let wanted = format!("CONNECT {} ", provider.url().replace("https://", ""));
    assert!(asked[0].starts_with(&wanted), "{asked:?}");
}
