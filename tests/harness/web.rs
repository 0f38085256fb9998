//! A web server double: says what a test wants, byte for byte, and remembers who asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What is answered.
pub(crate) enum Body {
    /// These bytes with their length.
    Bytes(Vec<u8>),
    /// These bytes again and again, without a length, so many times at most.
    Again(Vec<u8>, usize),
    /// One byte after the other with pauses, for ever.
    Drip,
    /// Nothing at all, not even a head, for ever.
    Silence,
    /// These bytes instead of head and body.
    Raw(Vec<u8>),
}

/// An answer.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Reply {
    /// 200 with a content type.
    pub(crate) fn new(content_type: &str, body: Body) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body,
        }
    }

    /// 200 with a page.
    pub(crate) fn page(html: impl Into<String>) -> Self {
        Self::new(
            "text/html; charset=utf-8",
            Body::Bytes(html.into().into_bytes()),
        )
    }

    /// 302.
    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self {
            status: 302,
            headers: vec![("location".to_owned(), to.into())],
            body: Body::Bytes(Vec::new()),
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What was asked: head line, headers in one text, body.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET`, `PUT`, …
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// All header lines in lower case.
    pub(crate) headers: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// A running double. Ends with the runtime of its test.
pub(crate) struct Web {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Web {
    /// Listens on a free port of an address.
    pub(crate) async fn start(
        ip: &str,
        site: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (site, log) = (Arc::new(site), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (site, log) = (site.clone(), log.clone());
                tokio::spawn(async move { serve(stream, &*site, &log).await });
            }
        });
        Self { address, seen }
    }

    /// `http://address:port`.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panicked").clone()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        let seen = self.seen();
        seen.iter().filter(|seen| seen.target == path).count()
    }
}

async fn serve(
    mut stream: TcpStream,
    site: &(dyn Fn(&Seen) -> Reply + Send + Sync),
    log: &Mutex<Vec<Seen>>,
) -> Option<()> {
    // One request for each connection: nothing to keep apart.
    let seen = read(&mut stream).await?;
    let reply = site(&seen);
    log.lock().expect("nobody panicked").push(seen);
    let mut head = format!(
        "HTTP/1.1 {} Whatever\r\nconnection: close\r\n",
        reply.status
    );
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match reply.body {
        Body::Bytes(bytes) => {
            if !head.contains("content-length") {
                head += &format!("content-length: {}\r\n", bytes.len());
            }
            stream
                .write_all(format!("{head}\r\n").as_bytes())
                .await
                .ok()?;
            stream.write_all(&bytes).await.ok()?;
        }
        Body::Again(bytes, times) => {
            stream
                .write_all(format!("{head}\r\n").as_bytes())
                .await
                .ok()?;
            for _ in 0..times {
                stream.write_all(&bytes).await.ok()?;
            }
        }
        Body::Drip => {
            stream
                .write_all(format!("{head}\r\n").as_bytes())
                .await
                .ok()?;
            loop {
                stream.write_all(b"<").await.ok()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Body::Silence => std::future::pending().await,
        Body::Raw(bytes) => stream.write_all(&bytes).await.ok()?,
    }
    stream.shutdown().await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let (line, headers) = head.split_once("\r\n")?;
    let headers = headers.to_ascii_lowercase();
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().expect("a length"));
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = line.split(' ');
    Some(Seen {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        headers,
        body,
    })
}
