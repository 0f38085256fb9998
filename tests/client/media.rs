//! Media: uploads, downloads, thumbnails.

use reqwest::Method;
use serde_json::json;

use super::{
    props::text,
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::Client;

const UPLOAD: &str = "/_matrix/media/v3/upload";

/// A red picture of 640 × 320 pixels.
fn picture() -> Vec<u8> {
    let red = image::RgbImage::from_pixel(640, 320, image::Rgb([255, 0, 0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    red.write_to(&mut bytes, image::ImageFormat::Png)
        .expect("a PNG can be written");
    bytes.into_inner()
}

/// Uploads and gives server name and media ID with a slash in between.
async fn upload(client: &Client, query: &str, content_type: &str, bytes: &[u8]) -> String {
    let path = format!("{UPLOAD}{query}");
    let headers = [("content-type", content_type)];
    let answer = client
        .with_headers(Method::POST, &path, &headers, bytes.to_vec())
        .await
        .ok();
    let uri = text(&answer["content_uri"]);
    uri.strip_prefix("mxc://playhouse.test/").expect("ours");
    uri.trim_start_matches("mxc://").to_owned()
}

fn download(id: &str) -> String {
    format!("/_matrix/client/v1/media/download/{id}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_is_downloaded() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let bytes: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
        let id = upload(
            &anna,
            "?filename=data.bin",
            "application/octet-stream",
            &bytes,
        )
        .await;
        let answer = bert.get(&download(&id)).await;
        assert_eq!((answer.status, &answer.bytes), (200, &bytes));
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(
            answer.header("content-disposition"),
            "attachment; filename=data.bin"
        );
        assert_eq!(answer.header("content-length"), "100000");
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("sandbox")
        );
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "cross-origin"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let renamed = bert
            .get(&format!("{}/other%20name.txt", download(&id)))
            .await;
        assert_eq!(
            renamed.header("content-disposition"),
            "attachment; filename*=utf-8''other%20name.txt"
        );
        let nobody = stage.client();
        nobody
            .get(&download(&id))
            .await
            .refused(401, "M_MISSING_TOKEN");
        let old = nobody
            .get(&format!("/_matrix/media/v3/download/{id}"))
            .await;
        assert_eq!(old.bytes, bytes);
        bert.get(&download("playhouse.test/unknown"))
            .await
            .refused(404, "M_NOT_FOUND");
        nobody
            .with_headers(Method::POST, UPLOAD, &[], bytes)
            .await
            .refused(401, "M_MISSING_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_files() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let bytes = format!("[{}1]", "1,".repeat(5_000)).into_bytes();
        let id = upload(&anna, "", "application/json", &bytes).await;
        let headers = [("accept-encoding", "gzip")];
        let whole = anna
            .with_headers(Method::GET, &download(&id), &headers, Vec::new())
            .await;
        assert_eq!((whole.status, &whole.bytes), (200, &bytes));
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let tag = whole.header("etag").to_owned();
        for (range, condition, status, wanted, told) in [
            ("bytes=0-9", "", 206, 0..10, "bytes 0-9/10003"),
            (
                "bytes=10000-",
                "",
                206,
                10_000..10_003,
                "bytes 10000-10002/10003",
            ),
            (
                "bytes=-2",
                "",
                206,
                10_001..10_003,
                "bytes 10001-10002/10003",
            ),
            ("bytes=5-4", "", 200, 0..10_003, ""),
            ("bytes=0-1,5-6", "", 200, 0..10_003, ""),
            ("bytes=0-9", &tag, 206, 0..10, "bytes 0-9/10003"),
            ("bytes=0-9", "\"other\"", 200, 0..10_003, ""),
            ("bytes=10003-", "", 416, 0..0, "bytes */10003"),
        ] {
            let headers = [("range", range), ("if-range", condition)];
            let headers = &headers[..if condition.is_empty() { 1 } else { 2 }];
            let answer = anna
                .with_headers(Method::GET, &download(&id), headers, Vec::new())
                .await;
            assert_eq!(answer.status, status, "{range}");
            assert_eq!(answer.header("content-range"), told, "{range}");
            assert_eq!(answer.bytes, bytes[wanted], "{range}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_paths_lead_there_too() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        for version in ["v1", "r0", "v3"] {
            let base = format!("/_matrix/media/{version}");
            let headers = [("content-type", "image/png")];
            let answer = anna
                .with_headers(Method::POST, &format!("{base}/upload"), &headers, picture())
                .await
                .ok();
            let uri = text(&answer["content_uri"]);
            let id = uri.trim_start_matches("mxc://");
            let paths = [
                format!("download/{id}"),
                format!("download/{id}/name"),
                format!("thumbnail/{id}?width=32&height=32&method=crop"),
                "config".to_owned(),
            ];
            for path in paths {
                let answer = anna.get(&format!("{base}/{path}")).await;
                assert_eq!(answer.status, 200, "{version}/{path}: {}", answer.body);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dangerous_types_are_not_shown_inline() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let cases = [
            ("text/html", "attachment"),
            ("image/svg+xml", "attachment"),
            ("application/javascript", "attachment"),
            ("image/png", "inline"),
            ("text/plain; charset=utf-8", "inline"),
        ];
        for (content_type, disposition) in cases {
            let id = upload(&anna, "", content_type, b"<script>").await;
            let answer = anna.get(&download(&id)).await;
            assert_eq!(answer.header("content-type"), content_type);
            assert!(
                answer
                    .header("content-disposition")
                    .starts_with(disposition),
                "{content_type}"
            );
            assert!(
                answer
                    .header("content-security-policy")
                    .contains("script-src 'none'")
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_are_no_larger_than_asked() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let id = upload(&anna, "", "image/png", &picture()).await;
        let thumbnail = |query: &str| format!("/_matrix/client/v1/media/thumbnail/{id}?{query}");
        for (query, wanted) in [
            ("width=320&height=240&method=scale", (320, 160)),
            ("width=32&height=32&method=crop", (32, 32)),
            ("width=800&height=600&method=scale", (640, 320)),
        ] {
            let answer = anna.get(&thumbnail(query)).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.body);
            assert!(
                answer.header("content-type").starts_with("image/"),
                "{query}"
            );
            let made = image::load_from_memory(&answer.bytes).expect("a picture");
            assert_eq!((made.width(), made.height()), wanted, "{query}");
        }
        anna.get(&thumbnail("width=0&height=0"))
            .await
            .refused(400, "M_INVALID_PARAM");
        anna.get(&thumbnail("width=32"))
            .await
            .refused(400, "M_MISSING_PARAM");
        stage
            .client()
            .get(&thumbnail("width=32&height=32"))
            .await
            .refused(401, "M_MISSING_TOKEN");
        let text = upload(&anna, "", "text/plain", b"no picture").await;
        let path = format!("/_matrix/client/v1/media/thumbnail/{text}?width=32&height=32");
        anna.get(&path).await.refused(400, "M_UNKNOWN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_address_is_filled_later_and_once() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let made = anna.post("/_matrix/media/v1/create", json!({})).await.ok();
        assert!(made["unused_expires_at"].as_u64().is_some());
        let id = text(&made["content_uri"])
            .trim_start_matches("mxc://")
            .to_owned();
        let early = anna.get(&format!("{}?timeout_ms=0", download(&id))).await;
        early.refused(504, "M_NOT_YET_UPLOADED");
        let put = format!("{UPLOAD}/{id}");
        let headers = [("content-type", "text/plain")];
        let theirs = bert
            .with_headers(Method::PUT, &put, &headers, b"theirs".to_vec())
            .await;
        theirs.refused(403, "M_FORBIDDEN");
        let path = format!("{}?timeout_ms=100000", download(&id));
        let (waited, _) = tokio::join!(bert.get(&path), async {
            anna.with_headers(Method::PUT, &put, &headers, b"mine".to_vec())
                .await
                .ok();
        });
        assert_eq!(waited.bytes, b"mine");
        let twice = anna
            .with_headers(Method::PUT, &put, &headers, b"again".to_vec())
            .await;
        twice.refused(409, "M_CANNOT_OVERWRITE_MEDIA");
        assert_eq!(bert.get(&download(&id)).await.bytes, b"mine");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_have_a_limit_and_last() {
    let limits = [
        ("PLAYHOUSE_MEDIA_UPLOAD_BYTES_MAX", "1000"),
        ("PLAYHOUSE_MEDIA_UNAUTHENTICATED_DOWNLOAD", "false"),
    ];
    on_own_servers(&limits, async |server| {
        let anna = server.register("anna").await;
        for config in [
            "/_matrix/client/v1/media/config",
            "/_matrix/media/v3/config",
        ] {
            assert_eq!(anna.get(config).await.ok()["m.upload.size"], 1000);
        }
        let id = upload(&anna, "", "text/plain", &[b'x'; 1000]).await;
        let large = anna
            .with_headers(Method::POST, UPLOAD, &[], vec![b'x'; 1001])
            .await;
        large.refused(413, "M_TOO_LARGE");
        server.restart();
        let anna = anna.at(server.base());
        assert_eq!(anna.get(&download(&id)).await.bytes.len(), 1000);
        let old = format!("/_matrix/media/v3/download/{id}");
        anna.nobody().get(&old).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uploads_more_than_allowed() {
    let limits = [
        ("PLAYHOUSE_MEDIA_QUOTA_BYTES_PER_USER", "5000"),
        (
            "PLAYHOUSE_MEDIA_UPLOAD_LIMITS",
            "[{ period_seconds = 3600, bytes_max = 3000, info_uri = 'https://example.org/more', can_upgrade = true }]",
        ),
        ("PLAYHOUSE_SERVER_CLIENT_URL", "https://matrix.example.org/"),
    ];
    on_own_servers(&limits, async |server| {
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let send = async |client: &Client, length: usize| {
            client
                .with_headers(Method::POST, UPLOAD, &[], vec![b'x'; length])
                .await
        };
        let all = send(&anna, 5001)
            .await
            .refused(403, "M_USER_LIMIT_EXCEEDED");
        let page = "https://matrix.example.org/_synapse/client/media_upload_limit_exceeded";
        assert_eq!(all["info_uri"], page);
        assert!(all.get("can_upgrade").is_none());
        send(&anna, 2000).await.ok();
        let hour = send(&anna, 1001)
            .await
            .refused(403, "M_USER_LIMIT_EXCEEDED");
        assert_eq!(hour["info_uri"], "https://example.org/more");
        assert_eq!(hour["can_upgrade"], true);
        let both = futures_util::future::join_all((0..6).map(|_| send(&anna, 400))).await;
        let taken = both.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(taken, 2, "the rest of 1000, however many come at once");
        send(&bert, 3000).await.ok();
        server.restart();
        let anna = anna.at(server.base());
        send(&anna, 201).await.refused(403, "M_USER_LIMIT_EXCEEDED");
        send(&anna, 200).await.ok();
        let (status, page) = anna
            .text("/_synapse/client/media_upload_limit_exceeded")
            .await;
        assert_eq!(status, 200);
        assert!(page.contains("Upload limit"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_do_not_wait_for_ever_nor_in_any_number() {
    let limits = [
        ("PLAYHOUSE_MEDIA_PENDING_UPLOADS_MAX", "3"),
        ("PLAYHOUSE_MEDIA_PENDING_UPLOAD_MS", "30000"),
    ];
    on_own_servers(&limits, async |server| {
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let create =
            async |client: &Client| client.post("/_matrix/media/v1/create", json!({})).await;
        let reserve = async |client: &Client| {
            let answer = create(client).await.ok();
            let uri = text(&answer["content_uri"]);
            (
                uri.trim_start_matches("mxc://").to_owned(),
                answer["unused_expires_at"].clone(),
            )
        };
        let (first, _) = reserve(&anna).await;
        let put = async |client: &Client, id: &str| {
            client
                .with_headers(Method::PUT, &format!("{UPLOAD}/{id}"), &[], b"x".to_vec())
                .await
        };
        put(&bert, &first).await.refused(403, "M_FORBIDDEN");
        put(&bert, "other.example/abc")
            .await
            .refused(404, "M_NOT_FOUND");
        put(&bert, "playhouse.test/unknown")
            .await
            .refused(404, "M_NOT_FOUND");
        put(&anna, &first).await.ok();
        put(&anna, &first)
            .await
            .refused(409, "M_CANNOT_OVERWRITE_MEDIA");
        let answers = futures_util::future::join_all((0..5).map(|_| create(&anna))).await;
        let refused = answers.iter().filter(|answer| answer.status == 429).count();
        assert_eq!(refused, 2, "what is filled does not count");
        let late = answers.into_iter().find(|answer| answer.status == 200);
        let late = late.expect("three were given").ok();
        let id = text(&late["content_uri"])
            .trim_start_matches("mxc://")
            .to_owned();
        reserve(&bert).await;
        // It is over when another can be had: nobody's clock but the server's counts.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
        while create(&anna).await.status == 429 {
            assert!(
                std::time::Instant::now() < deadline,
                "addresses never expire"
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        // This one may have been given out after the one that is over.
        let path = format!("{}?timeout_ms=0", download(&id));
        let mut gone = anna.get(&path).await;
        while gone.status == 504 && std::time::Instant::now() < deadline {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            gone = anna.get(&path).await;
        }
        gone.refused(404, "M_NOT_FOUND");
        put(&anna, &id).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_a_picture_is_told_a_blurred_one() {
    on_own_servers(&[("PLAYHOUSE_MEDIA_BLURHASH", "true")], async |server| {
        let anna = server.register("anna").await;
        let upload = async |content_type: &str, bytes: Vec<u8>| {
            let headers = [("content-type", content_type)];
            let answer = anna.with_headers(Method::POST, UPLOAD, &headers, bytes);
            answer.await.ok()
        };
        let told = upload("image/png", picture()).await;
        let blurhash = text(&told["xyz.amorgan.blurhash"]);
        // Four parts across and three down, each of two characters, after size and greatest part; the first of the parts has four.
        assert!(
            blurhash.starts_with('L') && blurhash.len() == 28,
            "{blurhash}"
        );
        for (content_type, bytes) in [("image/png", b"none".to_vec()), ("text/plain", picture())] {
            let told = upload(content_type, bytes).await;
            assert!(told.get("xyz.amorgan.blurhash").is_none(), "{told}");
        }
    })
    .await;
}
