//! Previews of links: what is told of pages, and what hostile links get.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{
    props::text,
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::{
    Client, Options, TestServer,
    client::encode,
    nodes_wished, only_alone,
    web::{Body, Reply, Seen, Web},
};

/// Loopback that the servers under test may ask; all other loopback stays forbidden.
const OPEN: &str = "127.0.0.5";

const ENVIRONMENT: [(&str, &str); 4] = [
    ("PLAYHOUSE_PREVIEWS_ENABLED", "true"),
    ("PLAYHOUSE_OUTBOUND_ALLOW_NETWORKS", "127.0.0.5/32"),
    ("PLAYHOUSE_PREVIEWS_TIMEOUT_MS", "20000"),
    ("PLAYHOUSE_PREVIEWS_DENY_URLS", "127.0.0.5/denied/*"),
];

fn preview(url: &str) -> String {
    format!("/_matrix/client/v1/media/preview_url?url={}", encode(url))
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let red = image::RgbImage::from_pixel(width, height, image::Rgb([255, 0, 0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    red.write_to(&mut bytes, image::ImageFormat::Png)
        .expect("a PNG can be written");
    bytes.into_inner()
}

/// The picture's bytes, but its head says how large it is.
fn picture_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = picture(1, 1);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

fn good_site(seen: &Seen) -> Reply {
    match seen.target.as_str() {
        "/og" => Reply::page(
            "<title>ignored</title><meta property='og:title' content='The &amp; title'>
             <meta property='og:type' content='article'><meta name='description' content='Told in meta'>
             <meta property='og:image' content='/red.png'><meta property='og:image:width' content='99999'>",
        ),
        "/plain" => Reply::page(
            "<title>Only a title</title><img src='tiny.png' width=5 height=5><img src='/small.png'><img src='/red.png'>",
        ),
        "/latin" => Reply::new(
            "text/html; charset=iso-8859-1",
            Body::Bytes(b"<title>Caf\xe9</title>".to_vec()),
        ),
        "/twitter" => Reply::page(
            "<meta name='twitter:title' content='A tweet'><meta name='twitter:description' content='Words'>",
        ),
        "/oembed" => Reply::page(
            "<title>x</title><link rel=alternate type=application/json+oembed href=/describe>",
        ),
        "/describe" => Reply::new(
            "application/json",
            Body::Bytes(
                json!({"type": "video", "provider_name": "Site", "thumbnail_url": "/red.png"})
                    .to_string()
                    .into_bytes(),
            ),
        ),
        "/moved" => Reply::redirect("/hop").status(301),
        "/hop" => Reply::redirect("og"),
        "/red.png" | "/direct/red%20one.png" => {
            Reply::new("image/png", Body::Bytes(picture(300, 200)))
        }
        "/small.png" => Reply::new("image/png", Body::Bytes(picture(16, 16))),
        _ => Reply::page("").status(404),
    }
}

async fn told(client: &Client, url: &str) -> Value {
    client.get(&preview(url)).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_says_of_itself() {
    let web = Web::start(OPEN, good_site).await;
    on_own_servers(&ENVIRONMENT, async |server| {
        let anna = server.register("anna").await;
        let base = web.base();
        let mut og = told(&anna, &format!("{base}/og#part")).await;
        let uri = text(&og["og:image"]);
        let size = og["matrix:image:size"].as_u64().expect("a size");
        og.as_object_mut().expect("an object").remove("og:image");
        assert_eq!(
            og,
            json!({
                "og:title": "The & title", "og:type": "article", "og:description": "Told in meta",
                "og:image:type": "image/png", "og:image:width": 300, "og:image:height": 200, "matrix:image:size": size,
            })
        );
        let id = uri.trim_start_matches("mxc://");
        let image = anna.get(&format!("/_matrix/client/v1/media/download/{id}")).await;
        assert_eq!((image.bytes.len() as u64, image.status), (size, 200));
        assert_eq!(image.bytes, picture(300, 200));

        if !only_alone("each node keeps for itself what it has looked at") {
            let asked = web.count("/og");
            let again = told(&anna, &format!("{base}/og")).await;
            assert_eq!(text(&again["og:image"]), uri, "the same answer again");
            assert_eq!(web.count("/og"), asked, "and nobody is asked");
        }
        let moved = told(&anna, &format!("{base}/moved")).await;
        assert_eq!(moved["og:title"], "The & title");

        let plain = told(&anna, &format!("{base}/plain")).await;
        assert_eq!(plain["og:title"], "Only a title");
        assert_eq!(plain["og:image:width"], 300, "{plain}");
        assert_eq!(told(&anna, &format!("{base}/latin")).await, json!({"og:title": "Café"}));
        let tweet = json!({"og:title": "A tweet", "og:description": "Words"});
        assert_eq!(told(&anna, &format!("{base}/twitter")).await, tweet);
        let described = told(&anna, &format!("{base}/oembed")).await;
        assert_eq!(described["og:site_name"], "Site", "{described}");
        assert_eq!(described["og:type"], "video.other");
        assert_eq!(described["og:image:height"], 200);
        let direct = told(&anna, &format!("{base}/direct/red%20one.png")).await;
        assert_eq!(direct["og:title"], "red one.png");
        assert_eq!(direct["og:image:width"], 300);

        let asked = web.seen();
        let first = asked.iter().find(|seen| seen.target == "/og").expect("asked");
        assert!(first.headers.contains("accept-encoding: identity"));
        assert!(first.headers.contains("accept-language: en"));
        assert!(first.headers.contains("user-agent: playhouse/"));
        let old = format!("/_matrix/media/v3/preview_url?url={}", encode(&format!("{base}/og")));
        assert_eq!(anna.get(&old).await.ok()["og:title"], "The & title");
        anna.nobody().get(&old).await.refused(401, "M_MISSING_TOKEN");
        anna.get("/_matrix/client/v1/media/preview_url")
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn off_unless_switched_on() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        anna.get(&preview("http://127.0.0.5/"))
            .await
            .refused(404, "M_UNRECOGNIZED");
    })
    .await;
}

/// What the hostile site does, by path. `secret` is a place inside.
fn hostile_site(seen: &Seen, secret: &str) -> Reply {
    let block = vec![b'<'; 1 << 16];
    match seen.target.as_str() {
        "/to-private" => Reply::redirect(secret),
        "/to-decimal" => Reply::redirect("http://2130706433/"),
        "/to-name" => Reply::redirect(secret.replace("127.0.0.1", "localhost")),
        "/to-file" => Reply::redirect("file:///etc/passwd"),
        "/to-login" => Reply::redirect("http://a:b@127.0.0.5/"),
        "/to-denied" => Reply::redirect("/denied/page"),
        "/to-nowhere" => Reply::redirect("http://["),
        "/loop" => Reply::redirect("/loop"),
        "/huge" => Reply::page("x").header("content-length", "1000000000000"),
        "/endless" => Reply::new("text/html", Body::Again(block, 1 << 20)),
        "/endless-picture" => Reply::new("image/png", Body::Again(block, 1 << 20)),
        "/drip" => Reply::new("text/html", Body::Drip),
        "/drip-picture" => Reply::new("image/png", Body::Drip),
        "/silence" => Reply::new("text/html", Body::Silence),
        "/bomb" => Reply::new("text/html", Body::Bytes(bomb())).header("content-encoding", "gzip"),
        "/secret-bomb" => Reply::new("text/html", Body::Bytes(bomb())),
        "/cut" => Reply::page("x").header("content-length", "100"),
        "/garbage" => Reply::new(
            "text/html",
            Body::Raw(b"\0\x01\x02nonsense\r\n\r\n".to_vec()),
        ),
        "/headers" => Reply::page("x").header("x-large", &"x".repeat(1 << 20)),
        "/error" => Reply::page("x").status(500),
        "/no-picture" => Reply::new("image/png", Body::Bytes(b"<html>".to_vec())),
        "/vector" => Reply::new(
            "image/svg+xml",
            Body::Bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ),
        "/wide" => Reply::new(
            "image/png",
            Body::Bytes(picture_that_claims(60_000, 60_000)),
        ),
        "/deep" => Reply::page("<title>deep</title>".to_owned() + &"<div>".repeat(900_000)),
        "/attributes" => Reply::page(
            "<title>many</title><p ".to_owned()
                + &(0..400_000)
                    .map(|number| format!("a{number:x} "))
                    .collect::<String>()
                + ">",
        ),
        "/pictures" => Reply::page(format!(
            "<title>pictures</title><meta property='og:image' content='{secret}'>{}",
            format!("<img width=500 height=500 src='{secret}'>").repeat(10_000)
        )),
        "/binary" => Reply::new("application/octet-stream", Body::Again(block, 1 << 20)),
        _ => Reply::page("").status(404),
    }
}

/// 64 MiB of nothing, compressed. Made once, since that takes a while.
fn bomb() -> Vec<u8> {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(packed_nothing).clone()
}

fn packed_nothing() -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let nothing = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&nothing).expect("memory takes it");
    }
    encoder.finish().expect("memory takes it")
}

/// Links as strangers write them; `{inside}` is the port of a server inside, `{open}` that of the hostile site. With the answers that are right.
const HOSTILE: [(&str, u16, &str); 67] = [
    ("http://127.0.0.1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://127.0.0.6:{inside}/", 403, "M_FORBIDDEN"),
    ("http://2130706433:{inside}/", 403, "M_FORBIDDEN"),
    ("http://0x7f000001:{inside}/", 403, "M_FORBIDDEN"),
    ("http://017700000001:{inside}/", 403, "M_FORBIDDEN"),
    ("http://0177.0.0.1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://0x7f.1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://127.1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://127.0.0.1.:{inside}/", 403, "M_FORBIDDEN"),
    ("http://①②⑦.0.0.1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://127。0。0。1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://%31%32%37.0.0.1:{inside}/", 403, "M_FORBIDDEN"),
    ("http://localhost:{inside}/", 403, "M_FORBIDDEN"),
    ("http://LOCALHOST:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[::1]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[::]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[::ffff:127.0.0.1]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[::ffff:7f00:1]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[::127.0.0.1]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[64:ff9b::7f00:1]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[2002:7f00:1::]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[2001:0:7f00:1::]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[fe80::1]:{inside}/", 403, "M_FORBIDDEN"),
    ("http://[fe80::1%25lo]:{inside}/", 400, "M_INVALID_PARAM"),
    ("http://[fd00::1]/", 403, "M_FORBIDDEN"),
    ("http://[ff02::1]/", 403, "M_FORBIDDEN"),
    ("http://0.0.0.0:{inside}/", 403, "M_FORBIDDEN"),
    ("http://0:{inside}/", 403, "M_FORBIDDEN"),
    (
        "http://169.254.169.254/latest/meta-data/",
        403,
        "M_FORBIDDEN",
    ),
    ("http://10.0.0.1/", 403, "M_FORBIDDEN"),
    ("http://192.168.1.1/", 403, "M_FORBIDDEN"),
    ("http://172.31.255.254/", 403, "M_FORBIDDEN"),
    ("http://100.64.0.1/", 403, "M_FORBIDDEN"),
    ("http://198.18.0.1/", 403, "M_FORBIDDEN"),
    ("http://192.0.2.1/", 403, "M_FORBIDDEN"),
    ("http://224.0.0.1/", 403, "M_FORBIDDEN"),
    ("http://255.255.255.255/", 403, "M_FORBIDDEN"),
    (
        "http://127.0.0.5:{open}@127.0.0.1:{inside}/",
        403,
        "M_FORBIDDEN",
    ),
    ("http://user@127.0.0.5:{open}/deep", 403, "M_FORBIDDEN"),
    (
        "http://127.0.0.1:{inside}\\@127.0.0.5:{open}/",
        403,
        "M_FORBIDDEN",
    ),
    ("http://127.0.0.5:22/", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/denied/page", 403, "M_FORBIDDEN"),
    ("file:///etc/passwd", 403, "M_FORBIDDEN"),
    ("ftp://127.0.0.5:{open}/", 403, "M_FORBIDDEN"),
    ("javascript:alert(1)", 403, "M_FORBIDDEN"),
    ("no link", 400, "M_INVALID_PARAM"),
    ("http://127.0.0.5:{open}/to-private", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/to-decimal", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/to-name", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/to-file", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/to-login", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/to-denied", 403, "M_FORBIDDEN"),
    ("http://127.0.0.5:{open}/loop", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/huge", 502, "M_TOO_LARGE"),
    ("http://127.0.0.5:{open}/endless", 502, "M_TOO_LARGE"),
    (
        "http://127.0.0.5:{open}/endless-picture",
        502,
        "M_TOO_LARGE",
    ),
    ("http://127.0.0.5:{open}/drip", 504, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/drip-picture", 504, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/silence", 504, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/bomb", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/cut", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/garbage", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/headers", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/error", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/no-picture", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/vector", 502, "M_UNKNOWN"),
    ("http://127.0.0.5:{open}/wide", 502, "M_UNKNOWN"),
];

/// Pages that want to hurt, but can be read: with the title that is told of them.
const HARMLESS: [(&str, &str); 5] = [
    ("/deep", "deep"),
    ("/attributes", "many"),
    ("/pictures", "pictures"),
    ("/secret-bomb", ""),
    ("/binary", ""),
];

/// The server may grow by so much: what a few pages of the largest size take.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_links_reach_nothing_and_cost_little() {
    let _ = bomb();
    let inside = Web::start("127.0.0.1", |_| Reply::page("<title>secret</title>")).await;
    let secret = format!("{}/", inside.base());
    let open = Web::start(OPEN, move |seen| hostile_site(seen, &secret)).await;
    let environment = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = TestServer::start_with(Options {
        environment: environment.to_vec(),
        ..Options::default()
    })
    .await;
    let anna = server.register("anna").await;
    let before = server.resident_bytes();
    let mut wrong = Vec::new();
    for (link, status, errcode) in HOSTILE {
        let link = link
            .replace("{inside}", &inside.port().to_string())
            .replace("{open}", &open.port().to_string());
        let answer = anna.get(&preview(&link)).await;
        let told = (answer.status, answer.body["errcode"].as_str());
        if told != (status, Some(errcode)) {
            wrong.push(format!("{link}: {} {}", answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (path, title) in HARMLESS {
        let answer = told(&anna, &format!("{}{path}", open.base())).await;
        assert_eq!(answer["og:title"].as_str().unwrap_or(""), title, "{path}");
    }
    assert!(inside.seen().is_empty(), "inside: {:?}", inside.seen());
    assert_eq!(open.count("/denied/page"), 0);
    assert_eq!(open.count("/loop"), 6, "the link and five redirects");
    let growth = server.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "grown by {growth} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_too_many_at_once() {
    let web = Web::start(OPEN, |_| Reply::new("text/html", Body::Drip)).await;
    on_own_servers(&ENVIRONMENT, async |server| {
        let anna = server.register("anna").await;
        let links: Vec<String> = (0..8)
            .map(|number| preview(&format!("{}/{number}", web.base())))
            .collect();
        let answers = futures_util::future::join_all(links.iter().map(|link| anna.get(link))).await;
        let busy = answers.iter().filter(|answer| answer.status == 429).count();
        let slow = answers.iter().filter(|answer| answer.status == 504).count();
        assert_eq!(busy + slow, 8);
        assert!((3..=3 * nodes_wished()).contains(&slow), "{slow} at once");
        let again = anna.get(&links[0]).await;
        assert!(
            [429, 504].contains(&again.status),
            "a failure is remembered"
        );
    })
    .await;
}
