//! Requests that are oversized, deep, slow or not text are refused within bounds.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Options, TestServer, client::encode, only_alone};

async fn connect(server: &TestServer) -> TcpStream {
    let address = server.base().trim_start_matches("http://");
    TcpStream::connect(address)
        .await
        .expect("the server accepts connections")
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut bytes)).await;
    // A server that has said why may close while we still send.
    drop(read.expect("an answer or a closed connection comes in time"));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_refused() {
    let server = TestServer::start().await;
    let anna = server.register("anna").await;
    let room_id = anna.create_room(serde_json::json!({})).await;
    let path = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/1",
        encode(&room_id)
    );
    let just_too_large = format!("{{\"body\":\"{}\"}}", "x".repeat(65_536));
    let refused = anna
        .raw(reqwest::Method::PUT, &path, just_too_large.into_bytes())
        .await
        .expect("an answer");
    refused.refused(413, "M_TOO_LARGE");
    let far_too_large = vec![b' '; 64 << 20];
    if let Ok(answer) = anna.raw(reqwest::Method::PUT, &path, far_too_large).await {
        answer.refused(413, "M_TOO_LARGE");
    }
    anna.say(&room_id, "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_body_is_refused() {
    let server = TestServer::start().await;
    let anna = server.register("anna").await;
    for body in ["{\"a\":".repeat(20_000), "[".repeat(60_000)] {
        let answer = anna
            .raw(
                reqwest::Method::POST,
                "/_matrix/client/v3/createRoom",
                body.into_bytes(),
            )
            .await;
        assert_eq!(answer.expect("an answer").status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_utf8_is_refused() {
    let server = TestServer::start().await;
    let anna = server.register("anna").await;
    let body = b"{\"name\":\"\xff\xfe\"}".to_vec();
    let answer = anna
        .raw(reqwest::Method::POST, "/_matrix/client/v3/createRoom", body)
        .await;
    answer.expect("an answer").refused(400, "M_NOT_JSON");
    anna.get("/_matrix/client/v3/profile/%ff%fe")
        .await
        .refused(400, "M_INVALID_PARAM");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_request_is_cut_off() {
    if only_alone("a balancer takes requests apart before a node sees them") {
        return;
    }
    let timeout = (
        "PLAYHOUSE_LIMITS_BODY_TIMEOUT_MS".to_owned(),
        "1500".to_owned(),
    );
    let server = TestServer::start_with(Options {
        environment: vec![timeout],
        ..Options::default()
    })
    .await;
    let mut stream = connect(&server).await;
    let head = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the head is taken");
    let started = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        loop {
            if writer.write_all(b" ").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(90), reader.read_to_end(&mut bytes));
    tokio::select! {
        ended = read => drop(ended.expect("the connection is cut off in time")),
        () = drip => {}
    }
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.is_empty() || text.contains(" 408 "), "{text}");
    assert!(
        started.elapsed() < Duration::from_secs(90),
        "it took {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_head_is_refused() {
    if only_alone("a balancer takes requests apart before a node sees them") {
        return;
    }
    let server = TestServer::start().await;
    let mut stream = connect(&server).await;
    stream
        .write_all(b"GET /_matrix/client/versions HTTP/1.1\r\n")
        .await
        .expect("the first line is taken");
    let line = format!("X-Filler: {}\r\n", "x".repeat(1_000));
    for _ in 0..5_000 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let text = answer(&mut stream).await;
    assert!(
        text.is_empty() || text.contains(" 400 ") || text.contains(" 431 "),
        "{text}"
    );
    server.client().get("/_matrix/client/versions").await.ok();
}
