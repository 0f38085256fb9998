//! Media of other servers: given out while it comes, kept when all of it has come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, Response};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

use crate::{
    admin::administrator,
    harness::{
        Client, Options, Peers, TestServer, only_alone,
        script::{Pieces, Reply},
        web::{Body, Reply as WebReply, Web},
    },
};

/// The server whose media is wanted.
const FAR: &str = "far.test";

/// Where servers ask it.
const ASKED: &str = "/_matrix/federation/v1/media/download/";

/// Where they ask one that knows nothing of that.
const ASKED_BEFORE: &str = "/_matrix/media/v3/download/far.test/";

const IN_PARTS: &str = "multipart/mixed; boundary=far";

/// What comes after the content.
const TAIL: &[u8] = b"\r\n--far--\r\n";

/// What has to happen happens in less.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, and another one whose media its users want.
struct Stage {
    _peers: Peers,
    server: TestServer,
    anna: Client,
    asked: Arc<AtomicUsize>,
    allowed: watch::Sender<usize>,
}

impl Stage {
    /// The other server answers each question in turn by its number and its path. One piece of what comes in pieces may be sent.
    async fn open(
        settings: &[(&str, &str)],
        answer: impl Fn(usize, &str, watch::Receiver<usize>) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let peers = Peers::start(&[FAR]).await;
        let (allowed, gate) = watch::channel(1);
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        peers.follow(move |asked| {
            if !asked.path.starts_with(ASKED) && !asked.path.starts_with(ASKED_BEFORE) {
                return None;
            }
            let number = count.fetch_add(1, Ordering::SeqCst);
            answer(number, asked.path, gate.clone())
        });
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = Options {
            environment: peers.environment().into_iter().chain(settings).collect(),
            ..Options::default()
        };
        let server = TestServer::start_with(options).await;
        let anna = server.register("anna").await;
        Self {
            _peers: peers,
            server,
            anna,
            asked,
            allowed,
        }
    }

    /// So often the other server was asked.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn allow(&self, pieces: usize) {
        self.allowed.send_replace(pieces);
    }

    /// So many files are on their way in.
    fn incoming(&self) -> usize {
        self.server.incoming()
    }
}

fn download(id: &str) -> String {
    format!("/_matrix/client/v1/media/download/{FAR}/{id}")
}

/// All before the content, with these headers.
fn opening(headers: &str) -> Vec<u8> {
    let json = "--far\r\nContent-Type: application/json\r\n\r\n{}\r\n";
    format!("{json}--far\r\n{headers}\r\n\r\n").into_bytes()
}

const TEXT: &str = "Content-Type: text/plain\r\nContent-Disposition: inline; filename=\"a b.txt\"";

/// An answer of two parts whose content comes in pieces.
fn in_pieces(headers: &str, content: &[&[u8]], gate: watch::Receiver<usize>) -> Pieces {
    let mut pieces: Vec<Vec<u8>> = content.iter().map(|piece| piece.to_vec()).collect();
    if let Some(first) = pieces.first_mut() {
        first.splice(..0, opening(headers));
    }
    if let Some(last) = pieces.last_mut() {
        last.extend_from_slice(TAIL);
    }
    Pieces {
        content_type: IN_PARTS,
        length: None,
        pieces,
        allowed: gate,
        breaks_off: false,
    }
}

/// The same at once.
fn whole(content: &[u8]) -> Reply {
    let mut body = opening(TEXT);
    body.extend_from_slice(content);
    body.extend_from_slice(TAIL);
    Reply::Bytes(IN_PARTS, body)
}

/// Reads until so many bytes are there.
async fn read(answer: &mut Response, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes {
        let piece = answer.chunk().await.expect("the body goes on");
        read.extend_from_slice(&piece.expect("there is more"));
    }
    read
}

/// Reads to the end: what came, and whether it was the end of a whole body.
async fn rest(answer: &mut Response) -> (Vec<u8>, bool) {
    let mut read = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            Ok(None) => return (read, true),
            Err(_) => return (read, false),
        }
    }
}

async fn becomes(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never comes that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_is_given_before_the_last_has_come() {
    let stage = Stage::open(&[], |_, _, gate| {
        Some(Reply::Pieces(in_pieces(
            TEXT,
            &[b"first", b" and last"],
            gate,
        )))
    })
    .await;
    let mut early = stage.anna.opened(&download("a")).await;
    assert_eq!(early.status(), 200);
    let headers = early.headers().clone();
    let mut body = read(&mut early, 4).await;
    assert!(b"first".starts_with(&body[..]), "{body:?}");
    assert_eq!(stage.incoming(), 1);
    stage.allow(2);
    let (more, is_whole) = rest(&mut early).await;
    body.extend(more);
    assert_eq!((&body[..], is_whole), (&b"first and last"[..], true));
    becomes("the file is kept", || stage.incoming() == 0).await;
    // The copy is shown in the same way.
    let later = stage.anna.get(&download("a")).await;
    assert_eq!((later.status, &later.bytes), (200, &body));
    for name in [
        "content-type",
        "content-disposition",
        "content-security-policy",
        "cross-origin-resource-policy",
        "cache-control",
        "x-content-type-options",
        "accept-ranges",
        "etag",
    ] {
        let shown = headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(shown, Some(later.header(name)), "{name}");
    }
    assert_eq!(
        later.header("content-disposition"),
        "inline; filename*=utf-8''a%20b.txt"
    );
    assert_eq!(later.header("content-length"), "14");
    assert!(!headers.contains_key("content-length"));
    assert_eq!(stage.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_never_taken_for_the_whole() {
    let large = vec![7_u8; 300_000];
    let content = large.clone();
    let stage = Stage::open(&[], move |number, _, gate| {
        if number > 0 {
            return Some(whole(&content));
        }
        let mut pieces = in_pieces(TEXT, &[&content, b"more"], gate);
        pieces.breaks_off = true;
        pieces.pieces[1] = b"more".to_vec();
        Some(Reply::Pieces(pieces))
    })
    .await;
    let path = download("a");
    let mut early = stage.anna.opened(&path).await;
    read(&mut early, 1).await;
    assert_eq!(stage.incoming(), 1);
    stage.allow(2);
    let (_, is_whole) = rest(&mut early).await;
    assert!(!is_whole, "it looks whole");
    becomes("the file is gone", || stage.incoming() == 0).await;
    // Nothing was kept: the other server is asked again.
    let later = stage.anna.get(&path).await;
    assert_eq!((later.status, later.bytes == large), (200, true));
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_breaks_off() {
    let half = vec![b'x'; 60_000];
    let settings = [("PLAYHOUSE_MEDIA_UPLOAD_BYTES_MAX", "100000")];
    let stage = Stage::open(&settings, move |_, path, gate| {
        let pieces = if path.contains("/untold?") {
            in_pieces(TEXT, &[&half, &half, b"more"], gate)
        } else if path.contains("/belittled?") {
            in_pieces("Content-Length: 60000", &[&half, &half], gate)
        } else {
            return Some(Reply::Announced(1_000_000));
        };
        Some(Reply::Pieces(pieces))
    })
    .await;
    for id in ["untold", "belittled"] {
        stage.allow(1);
        let mut early = stage.anna.opened(&download(id)).await;
        assert_eq!(early.status(), 200);
        read(&mut early, 1).await;
        stage.allow(3);
        let (_, is_whole) = rest(&mut early).await;
        assert!(!is_whole, "{id}");
        becomes("the file is gone", || stage.incoming() == 0).await;
    }
    let refused = stage.anna.get(&download("announced")).await;
    refused.refused(502, "M_TOO_LARGE");
    assert_eq!(stage.incoming(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_among_the_headers_of_a_part_means_nothing() {
    let stage = Stage::open(&[], |_, path, gate| {
        let length = if path.contains("/short?") {
            3
        } else {
            1_u64 << 40
        };
        let headers = format!("Content-Length: {length}");
        let pieces = in_pieces(&headers, &[b"all", b" of it"], gate);
        Some(Reply::Pieces(pieces))
    })
    .await;
    for id in ["short", "long"] {
        stage.allow(1);
        let mut early = stage.anna.opened(&download(id)).await;
        assert_eq!(early.status(), 200);
        assert!(!early.headers().contains_key("content-length"), "{id}");
        let mut body = read(&mut early, 1).await;
        stage.allow(2);
        let (more, is_whole) = rest(&mut early).await;
        body.extend(more);
        assert_eq!((&body[..], is_whole), (&b"all of it"[..], true), "{id}");
        let later = stage.anna.get(&download(id)).await;
        assert_eq!(later.header("content-length"), "9");
    }
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_share_what_is_fetched_once() {
    if only_alone("each node fetches for those who ask it") {
        return;
    }
    let large = vec![5_u8; 700_000];
    let content = large.clone();
    let stage = Stage::open(&[], move |_, _, gate| {
        let pieces = in_pieces(TEXT, &[&content, &content], gate);
        Some(Reply::Pieces(pieces))
    })
    .await;
    let path = download("a");
    let mut one = stage.anna.opened(&path).await;
    let mut first = read(&mut one, 1).await;
    let mut two = stage.anna.opened(&path).await;
    let mut second = read(&mut two, 1).await;
    let mut three = stage.anna.opened(&path).await;
    read(&mut three, 1).await;
    drop(three);
    assert_eq!((stage.asked(), stage.incoming()), (1, 1));
    stage.allow(2);
    for (answer, body) in [(&mut one, &mut first), (&mut two, &mut second)] {
        let (more, is_whole) = rest(answer).await;
        body.extend(more);
        assert!(is_whole && *body == [&large[..], &large[..]].concat());
    }
    assert_eq!(stage.asked(), 1);
    // When all have gone it is brought to its end, for the next one.
    stage.allow(1);
    let path = download("b");
    let mut only = stage.anna.opened(&path).await;
    read(&mut only, 1).await;
    drop(only);
    stage.allow(2);
    let later = stage.anna.get(&path).await;
    assert_eq!((later.status, later.bytes.len()), (200, 1_400_000));
    becomes("the file is kept", || stage.incoming() == 0).await;
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_cut_short_is_gone_afterwards() {
    let mut stage = Stage::open(&[], |number, _, gate| {
        if number > 0 {
            return Some(whole(b"all of it"));
        }
        let pieces = in_pieces(TEXT, &[b"all", b" of it"], gate);
        Some(Reply::Pieces(pieces))
    })
    .await;
    let path = download("a");
    let mut early = stage.anna.opened(&path).await;
    read(&mut early, 1).await;
    stage.server.kill();
    let (_, is_whole) = rest(&mut early).await;
    assert!(!is_whole);
    assert_eq!(stage.incoming(), 1);
    stage.server.start_again();
    assert_eq!(stage.incoming(), 0);
    let anna = stage.anna.at(stage.server.base());
    assert_eq!(anna.get(&path).await.bytes, b"all of it");
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_away_meanwhile_is_not_given_to_its_end() {
    let stage = Stage::open(&[], |_, _, gate| {
        let pieces = in_pieces(TEXT, &[b"bad", b" things"], gate);
        Some(Reply::Pieces(pieces))
    })
    .await;
    let boss = administrator(&stage.server.client(), "boss").await;
    let path = download("a");
    let mut early = stage.anna.opened(&path).await;
    read(&mut early, 1).await;
    let away = format!("/_synapse/admin/v1/media/quarantine/{FAR}/a");
    boss.post(&away, json!({})).await.ok();
    stage.allow(2);
    let (_, is_whole) = rest(&mut early).await;
    assert!(!is_whole, "it looks whole");
    let refused = stage.anna.get(&path).await;
    refused.refused(404, "M_NOT_FOUND");
    assert_eq!(stage.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_old_proxies_wait_for_the_whole() {
    let stage = Stage::open(&[], |_, path, gate| {
        if path.contains("/part?") {
            return Some(whole(b"all of it"));
        }
        let pieces = in_pieces(TEXT, &[b"all", b" of it"], gate);
        Some(Reply::Pieces(pieces))
    })
    .await;
    let range = [("range", "bytes=4-5")];
    let part = stage
        .anna
        .with_headers(Method::GET, &download("part"), &range, Vec::new())
        .await;
    assert_eq!((part.status, &part.bytes[..]), (206, &b"of"[..]));
    assert_eq!(stage.asked(), 1);
    if only_alone("a balancer asks nodes in HTTP/1.1 whatever it is asked in") {
        return;
    }
    // In HTTP/1.0 nobody can tell the end from a connection that breaks off.
    let place = stage.server.base().trim_start_matches("http://").to_owned();
    let token = stage.anna.token.clone().expect("a token");
    let head = format!(
        "GET {} HTTP/1.0\r\nHost: {place}\r\nAuthorization: Bearer {token}\r\n\r\n",
        download("old")
    );
    let reading = tokio::spawn(async move {
        let mut stream = TcpStream::connect(place).await.expect("a connection");
        let asked = stream.write_all(head.as_bytes()).await;
        asked.expect("it is asked");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        read.expect("it answers");
        String::from_utf8(answer).expect("text")
    });
    becomes("the other server is asked", || stage.asked() == 2).await;
    stage.allow(2);
    let answer = reading.await.expect("it is read").to_ascii_lowercase();
    assert!(answer.contains("content-length: 9\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nall of it"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_lies_elsewhere_is_fetched_there() {
    let elsewhere = Web::start("127.0.0.5", |_| {
        let reply = WebReply::new("image/png", Body::Bytes(b"not really".to_vec()));
        reply.header("content-disposition", "attachment; filename=there.png")
    })
    .await;
    let inside = Web::start("127.0.0.1", |_| WebReply::page("secret")).await;
    let (there, private) = (elsewhere.base(), inside.base());
    let settings = [("PLAYHOUSE_OUTBOUND_ALLOW_NETWORKS", "127.0.0.5/32")];
    let stage = Stage::open(&settings, move |_, path, _| {
        let base = if path.contains("/inside?") {
            &private
        } else {
            &there
        };
        let parts = [opening(&format!("Location: {base}/there")), TAIL.to_vec()];
        Some(Reply::Bytes(IN_PARTS, parts.concat()))
    })
    .await;
    for _ in 0..2 {
        let answer = stage.anna.get(&download("a")).await;
        assert_eq!(
            (answer.status, &answer.bytes[..]),
            (200, &b"not really"[..])
        );
        assert_eq!(answer.header("content-type"), "image/png");
        let disposition = answer.header("content-disposition");
        assert_eq!(disposition, "inline; filename=there.png");
    }
    assert_eq!((stage.asked(), elsewhere.count("/there")), (1, 1));
    let seen = elsewhere.seen();
    let is_signed = seen.iter().any(|seen| seen.headers.contains("x-matrix"));
    assert!(!is_signed, "strangers are told nothing");
    // What is private is not asked.
    let refused = stage.anna.get(&download("inside")).await;
    refused.refused(404, "M_NOT_FOUND");
    assert_eq!(inside.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_former_times_tell_the_length() {
    let stage = Stage::open(&[], |_, path, gate| {
        let pieces = Pieces {
            content_type: "text/csv",
            length: Some(9),
            pieces: vec![b"all".to_vec(), b" of it".to_vec()],
            allowed: gate,
            breaks_off: false,
        };
        // Of the new way they know nothing.
        let is_old = path.starts_with(ASKED_BEFORE);
        is_old.then_some(Reply::Pieces(pieces))
    })
    .await;
    let mut early = stage.anna.opened(&download("a")).await;
    assert_eq!(early.headers()["content-length"], "9");
    assert_eq!(early.headers()["content-type"], "text/csv");
    let mut body = read(&mut early, 1).await;
    stage.allow(2);
    let (more, is_whole) = rest(&mut early).await;
    body.extend(more);
    assert_eq!((&body[..], is_whole), (&b"all of it"[..], true));
    assert_eq!(stage.anna.get(&download("a")).await.bytes, b"all of it");
    assert_eq!(stage.asked(), 2, "once in each way");
}
