//! Media over HTTP.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::harness::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_download_waits_for_the_upload() {
    let server = TestServer::start().await;
    let anna = server.register("anna").await;
    let created = anna.post("/_matrix/media/v1/create", json!({})).await.ok();
    let uri = created["content_uri"].as_str().expect("a URI").to_owned();
    let place = uri.strip_prefix("mxc://").expect("a URI of media");
    let download = |timeout_ms: u32| {
        let path = format!("/_matrix/client/v1/media/download/{place}?timeout_ms={timeout_ms}");
        let anna = anna.clone();
        async move { anna.get(&path).await }
    };
    download(0).await.refused(504, "M_NOT_YET_UPLOADED");
    download(300).await.refused(504, "M_NOT_YET_UPLOADED");
    let started = Instant::now();
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(download(30_000))).collect();
    let upload = anna
        .raw(
            Method::PUT,
            &format!("/_matrix/media/v3/upload/{place}"),
            br#"{"here":true}"#.to_vec(),
        )
        .await;
    upload.expect("an answer").ok();
    for download in waiting {
        let content = download.await.expect("the task ends").ok();
        assert_eq!(content, json!({"here": true}));
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}
