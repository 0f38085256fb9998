//! Media kept in a bucket: what is put there and what is asked of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::Method;

use super::props::text;
use crate::{
    admin::administrator,
    harness::{
        Client, Options, TestServer,
        web::{Body, Reply, Seen, Web},
    },
};

/// A bucket: objects by key, and parts that are no objects yet.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    multipart: usize,
}

impl Bucket {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let (key, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let signed = seen
            .headers
            .contains("authorization: aws4-hmac-sha256 credential=key/")
            || query.contains("X-Amz-Signature=");
        assert!(signed, "unsigned: {}", seen.headers);
        match (seen.method.as_str(), query) {
            ("HEAD", _) => match self.objects.get(key) {
                Some(object) => {
                    object_reply(Vec::new()).header("content-length", &object.len().to_string())
                }
                None => Reply::page("").status(404),
            },
            ("PUT", "") => {
                self.objects.insert(key.to_owned(), seen.body.clone());
                object_reply(Vec::new())
            }
            ("POST", "uploads") | ("POST", "uploads=") => {
                self.multipart += 1;
                xml(&format!(
                    "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u{}</UploadId></InitiateMultipartUploadResult>",
                    self.multipart
                ))
            }
            ("PUT", query) => {
                let number = parameter(query, "partNumber").parse().expect("a number");
                let part = (parameter(query, "uploadId").to_owned(), number);
                self.parts.insert(part, seen.body.clone());
                object_reply(Vec::new())
            }
            ("POST", query) => {
                let upload = parameter(query, "uploadId").to_owned();
                let (mine, others) = std::mem::take(&mut self.parts)
                    .into_iter()
                    .partition(|((of, _), _)| *of == upload);
                self.parts = others;
                let mine: BTreeMap<_, Vec<u8>> = mine;
                self.objects
                    .insert(key.to_owned(), mine.into_values().flatten().collect());
                xml(
                    "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><ETag>\"e\"</ETag></CompleteMultipartUploadResult>",
                )
            }
            ("GET", query) if query.contains("list-type=2") => xml(
                "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>",
            ),
            ("GET", query) if query.contains("X-Amz-Signature=") => {
                let told = |name| percent_decoded(parameter(query, name));
                let mut reply = self.get(key, &seen.headers);
                reply = reply.header("content-disposition", &told("response-content-disposition"));
                reply.header("x-told-type", &told("response-content-type"))
            }
            ("GET", _) => self.get(key, &seen.headers),
            other => panic!("nobody should ask {other:?}"),
        }
    }

    fn get(&self, key: &str, headers: &str) -> Reply {
        let Some(object) = self.objects.get(key) else {
            return Reply::page("").status(404);
        };
        let range = headers
            .lines()
            .find_map(|line| line.strip_prefix("range: bytes="));
        let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
            return object_reply(object.clone());
        };
        let (first, last): (usize, usize) = (
            first.parse().expect("a number"),
            last.parse().expect("a number"),
        );
        let told = format!("bytes {first}-{last}/{}", object.len());
        object_reply(object[first..=last].to_vec())
            .status(206)
            .header("content-range", &told)
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> &'a str {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .expect("the parameter")
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            let digits = std::str::from_utf8(&digits).expect("digits");
            decoded.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).expect("text")
}

fn object_reply(body: Vec<u8>) -> Reply {
    Reply::new("application/octet-stream", Body::Bytes(body))
        .header("etag", "\"e\"")
        .header("last-modified", "Sat, 21 Nov 2026 08:00:00 GMT")
}

fn xml(body: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    Reply::new("application/xml", Body::Bytes(body.into_bytes()))
}

async fn upload(client: &Client, content_type: &str, bytes: Vec<u8>) -> String {
    let headers = [("content-type", content_type)];
    let answer = client
        .with_headers(Method::POST, "/_matrix/media/v3/upload", &headers, bytes)
        .await
        .ok();
    text(&answer["content_uri"])
        .trim_start_matches("mxc://")
        .to_owned()
}

fn settings(web: &Web, redirect: &str) -> [(&'static str, String); 5] {
    [
        ("PLAYHOUSE_MEDIA_REDIRECT_DOWNLOADS", redirect.to_owned()),
        (
            "PLAYHOUSE_MEDIA_STORAGE",
            "s3://bucket/some/prefix".to_owned(),
        ),
        ("PLAYHOUSE_MEDIA_S3_ENDPOINT", web.base()),
        ("PLAYHOUSE_MEDIA_S3_ACCESS_KEY_ID", "key".to_owned()),
        ("PLAYHOUSE_MEDIA_S3_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

async fn server_on(web: &Web, redirect: &str) -> TestServer {
    let environment = settings(web, redirect);
    TestServer::start_with(Options {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        ..Options::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_what_is_uploaded() {
    let bucket: Arc<Mutex<Bucket>> = Arc::default();
    let inside = bucket.clone();
    let web = Web::start("127.0.0.1", move |seen| {
        inside.lock().expect("nobody panicked").answer(seen)
    })
    .await;
    let server = server_on(&web, "false").await;
    let anna = server.register("anna").await;
    let download = |id: &str| format!("/_matrix/client/v1/media/download/{id}");

    let small = upload(&anna, "text/plain", b"hello".to_vec()).await;
    assert_eq!(anna.get(&download(&small)).await.bytes, b"hello");
    let before = web.seen().len();
    let twin = upload(&anna, "text/plain", b"hello".to_vec()).await;
    assert_eq!(anna.get(&download(&twin)).await.bytes, b"hello");
    let puts = web.seen()[before..]
        .iter()
        .filter(|seen| seen.method == "PUT")
        .count();
    assert_eq!(puts, 0, "the same content is stored once");

    let large: Vec<u8> = (0..20 << 20).map(|index: u32| (index / 7) as u8).collect();
    let id = upload(&anna, "video/mp4", large.clone()).await;
    let whole = anna.get(&download(&id)).await;
    assert!(whole.bytes == large, "it comes back as it went in");
    let range = [("range", "bytes=10000000-10000099")];
    let part = anna
        .with_headers(Method::GET, &download(&id), &range, Vec::new())
        .await;
    assert_eq!(
        (part.status, &part.bytes[..]),
        (206, &large[10_000_000..10_000_100])
    );
    {
        let bucket = bucket.lock().expect("nobody panicked");
        assert_eq!((bucket.multipart, bucket.parts.len()), (1, 0));
        let keys: Vec<&String> = bucket.objects.keys().collect();
        assert_eq!(keys.len(), 2, "{keys:?}");
        assert!(
            keys.iter()
                .all(|key| key.starts_with("/bucket/some/prefix/blobs/b3/")),
            "{keys:?}"
        );
    }

    let before = bucket.lock().expect("nobody panicked").objects.len();
    ask_for_a_thumbnail_twice(&anna).await;
    let after = bucket.lock().expect("nobody panicked").objects.len();
    assert_eq!(after - before, 2, "the picture and its thumbnail");
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.incoming() > 0 {
        assert!(Instant::now() < deadline, "something stays behind");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask_for_a_thumbnail_twice(client: &Client) {
    let red = image::RgbImage::from_pixel(640, 320, image::Rgb([255, 0, 0]));
    let mut picture = std::io::Cursor::new(Vec::new());
    red.write_to(&mut picture, image::ImageFormat::Png)
        .expect("a PNG");
    let id = upload(client, "image/png", picture.into_inner()).await;
    let thumbnail =
        format!("/_matrix/client/v1/media/thumbnail/{id}?width=320&height=240&method=scale");
    for _ in 0..2 {
        let answer = client.get(&thumbnail).await;
        let made = image::load_from_memory(&answer.bytes).expect("a picture");
        assert_eq!((made.width(), made.height()), (320, 160));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_sent_to_the_bucket() {
    let bucket: Arc<Mutex<Bucket>> = Arc::default();
    let inside = bucket.clone();
    let web = Web::start("127.0.0.1", move |seen| {
        inside.lock().expect("nobody panicked").answer(seen)
    })
    .await;
    let server = server_on(&web, "true").await;
    let boss = administrator(&server.client(), "boss").await;
    let anna = server.register("anna").await;
    let id = upload(&anna, "text/html", b"<b>hello</b>".to_vec()).await;
    let direct = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let ask = async |path: &str| {
        let url = format!("{}{path}", server.base());
        let asked = direct
            .get(url)
            .bearer_auth(anna.token.as_deref().expect("a token"))
            .send();
        asked.await.expect("an answer")
    };
    for path in [
        format!("/_matrix/client/v1/media/download/{id}/page.html"),
        format!("/_matrix/media/v3/download/{id}/page.html?allow_redirect=true"),
    ] {
        let answer = ask(&path).await;
        assert_eq!(answer.status(), 307, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text");
        assert_eq!(header("cache-control"), "no-store");
        let location = header("location");
        let beginning = format!("{}/bucket/some/prefix/blobs/b3/", web.base());
        assert!(location.starts_with(&beginning), "{location}");
        let there = direct.get(location).send().await.expect("an answer");
        assert_eq!(
            there.headers()["content-disposition"],
            "attachment; filename=page.html"
        );
        assert_eq!(there.headers()["x-told-type"], "text/html");
        assert_eq!(&there.bytes().await.expect("bytes")[..], b"<b>hello</b>");
    }
    let plain = ask(&format!("/_matrix/media/v3/download/{id}")).await;
    assert_eq!(plain.status(), 200, "old clients say whether they follow");
    let path = format!("/_synapse/admin/v1/media/quarantine/{id}");
    boss.post(&path, serde_json::json!({})).await.ok();
    let path = format!("/_matrix/client/v1/media/download/{id}");
    assert_eq!(ask(&path).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn media_is_brought_into_a_bucket() {
    let bucket: Arc<Mutex<Bucket>> = Arc::default();
    let inside = bucket.clone();
    let web = Web::start("127.0.0.1", move |seen| {
        inside.lock().expect("nobody panicked").answer(seen)
    })
    .await;
    let mut server = TestServer::start().await;
    let anna = server.register("anna").await;
    let large: Vec<u8> = (0..9 << 20).map(|index: u32| (index / 7) as u8).collect();
    let small = upload(&anna, "text/plain", b"hello".to_vec()).await;
    let large_id = upload(&anna, "video/mp4", large.clone()).await;
    let other = format!(
        "[media]\nstorage = \"s3://bucket/some/prefix\"\ns3_endpoint = \"{}\"\ns3_access_key_id = \"key\"\ns3_secret_access_key = \"secret\"\n",
        web.base()
    );
    let file = server.data().join("bucket.toml");
    std::fs::write(&file, other).expect("a file");
    let file = file.to_str().expect("a path");
    // While the server runs, and once more when it has ended: what came in between is brought, too.
    let told =
        tokio::task::block_in_place(|| server.command_line(&["media", "copy", "--to", file]));
    assert!(told.0 && told.1.contains("Brought: 2 files"), "{told:?}");
    let later = upload(&anna, "text/plain", b"later".to_vec()).await;
    server.stop();
    let again = ["media", "copy", "--to", file, "--remove"];
    let told = tokio::task::block_in_place(|| server.command_line(&again));
    assert!(
        told.1
            .contains("Brought: 1 files of 5 bytes in all; 2 were there"),
        "{told:?}"
    );
    for (name, value) in settings(&web, "false") {
        server.set(name, &value);
    }
    server.restart();
    let anna = anna.at(server.base());
    for (id, content) in [
        (small, &b"hello"[..]),
        (large_id, &large),
        (later, b"later"),
    ] {
        let path = format!("/_matrix/client/v1/media/download/{id}");
        assert!(anna.get(&path).await.bytes == content, "{id}");
    }
}
