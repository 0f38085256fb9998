//! Where devices meet for a login by QR code.

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{on_each_engine, on_own_servers};
use crate::harness::{Client, client::Answer};

const OLD: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
const NEW: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";

async fn say(
    client: &Client,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    text: &str,
) -> Answer {
    let mut headers = headers.to_vec();
    headers.push(("content-type", "text/plain"));
    client
        .with_headers(method, path, &headers, text.as_bytes().to_vec())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_exchange_plain_text() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let begun = say(&client, (Method::POST, OLD), &[], "one").await;
        assert_eq!(begun.status, 201);
        let first = begun.header("etag").to_owned();
        assert!(first.starts_with('"') && !begun.header("expires").is_empty());
        assert!(
            begun
                .header("access-control-expose-headers")
                .contains("ETag")
        );
        let url = begun.body["url"].as_str().expect("an address");
        let path = url.strip_prefix(client.base()).expect("an address of ours");
        let read = client.get(path).await;
        assert_eq!((read.status, read.bytes.as_slice()), (200, &b"one"[..]));
        assert_eq!(read.header("content-type"), "text/plain");
        assert_eq!(read.header("etag"), first);
        let known = [("if-none-match", first.as_str())];
        let same = client
            .with_headers(Method::GET, path, &known, Vec::new())
            .await;
        assert_eq!(same.status, 304);
        let put = (Method::PUT, path);
        let said = say(&client, put.clone(), &[("if-match", &first)], "two").await;
        assert_eq!(said.status, 202);
        assert_ne!(said.header("etag"), first);
        let late = say(&client, put.clone(), &[("if-match", &first)], "three").await;
        assert_eq!(late.status, 412);
        assert_eq!(
            late.body["org.matrix.msc4108.errcode"],
            "M_CONCURRENT_WRITE"
        );
        let other = client
            .with_headers(Method::GET, path, &known, Vec::new())
            .await;
        assert_eq!((other.status, other.bytes.as_slice()), (200, &b"two"[..]));
        say(&client, put.clone(), &[], "x")
            .await
            .refused(400, "M_MISSING_PARAM");
        let large = "x".repeat(4097);
        say(
            &client,
            put.clone(),
            &[("if-match", said.header("etag"))],
            &large,
        )
        .await
        .refused(413, "M_TOO_LARGE");
        client
            .post(OLD, json!({}))
            .await
            .refused(400, "M_INVALID_PARAM");
        assert_eq!(client.delete(path).await.status, 204);
        client.get(path).await.refused(404, "M_NOT_FOUND");
        client.delete(path).await.refused(404, "M_NOT_FOUND");
        say(&client, put, &[("if-match", said.header("etag"))], "x")
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_exchange_json() {
    on_each_engine(async |stage| {
        let client = stage.client();
        assert_eq!(client.get(NEW).await.ok()["create_available"], true);
        let begun = client.post(NEW, json!({"data": "one"})).await.ok();
        assert!(begun["expires_in_ms"].as_u64().is_some_and(|ms| ms > 0));
        let path = format!("{NEW}/{}", begun["id"].as_str().expect("an ID"));
        let read = client.get(&path).await.ok();
        assert_eq!(
            (&read["data"], &read["sequence_token"]),
            (&json!("one"), &begun["sequence_token"])
        );
        let two = |token: &Value| json!({"sequence_token": token, "data": "two"});
        let said = client.put(&path, two(&begun["sequence_token"])).await.ok();
        assert_ne!(said["sequence_token"], begun["sequence_token"]);
        client
            .put(&path, two(&begun["sequence_token"]))
            .await
            .refused(409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE");
        assert_eq!(client.get(&path).await.ok()["data"], "two");
        let large = json!({"data": "x".repeat(4097)});
        client.post(NEW, large).await.refused(413, "M_TOO_LARGE");
        client.delete(&path).await.ok();
        client.get(&path).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meetings_are_few_and_may_be_for_users_only() {
    let settings = [
        ("PLAYHOUSE_RENDEZVOUS_MODE", "authenticated"),
        ("PLAYHOUSE_RENDEZVOUS_SESSIONS_MAX", "2"),
    ];
    on_own_servers(&settings, async |server| {
        let nobody = server.client();
        assert_eq!(nobody.get(NEW).await.ok()["create_available"], false);
        let body = json!({"data": ""});
        nobody
            .post(NEW, body.clone())
            .await
            .refused(401, "M_MISSING_TOKEN");
        let anna = server.register("anna").await;
        assert_eq!(anna.get(NEW).await.ok()["create_available"], true);
        let mut paths = Vec::new();
        for _ in 0..3 {
            let begun = anna.post(NEW, body.clone()).await.ok();
            paths.push(format!("{NEW}/{}", begun["id"].as_str().expect("an ID")));
        }
        let mut there = 0;
        for path in &paths {
            there += u32::from(nobody.get(path).await.status == 200);
        }
        assert_eq!(there, 2);
        nobody.get(&paths[2]).await.ok();
    })
    .await;
}
