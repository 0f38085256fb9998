//! The balancer between clients and nodes.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time,
};

use crate::harness::{Client, Front, Options, TestServer};

/// Whatever is waited for happens within this time.
const PATIENCE: Duration = Duration::from_secs(120);

async fn server(name: &str) -> TestServer {
    let environment = vec![("PLAYHOUSE_SERVER_NAME".to_owned(), name.to_owned())];
    TestServer::start_with(Options {
        environment,
        ..Options::default()
    })
    .await
}

/// The names of the servers that answer some requests.
async fn answering(client: &Client, requests: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..requests {
        let answer = client.get("/_matrix/key/v2/server").await.ok();
        names.push(answer["server_name"].as_str().expect("a name").to_owned());
    }
    names
}

/// Asks until a run of answers is as wanted.
async fn until_answered_by(client: &Client, wanted: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let names = answering(client, 6).await;
        if wanted(&names) {
            return;
        }
        assert!(Instant::now() < deadline, "never came: {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_take_turns_come_and_go() {
    let (mut one, two) = (server("one.test").await, server("two.test").await);
    let front = Front::before(&[one.base(), two.base()], false);
    let client = Client::new(&front.base());
    let names = answering(&client, 4).await;
    assert_eq!(names, ["one.test", "two.test", "one.test", "two.test"]);

    front.turn_to(&[two.base()]).await;
    assert_eq!(answering(&client, 6).await, vec!["two.test"; 6]);
    front.set(&[one.base(), two.base()]);
    until_answered_by(&client, |names| names.iter().any(|name| name == "one.test")).await;

    // It has closed its connections: nothing can have been sent by them, so the next node is asked.
    one.stop();
    assert_eq!(answering(&client, 6).await, vec!["two.test"; 6]);
    front.set(&[]);
    let deadline = Instant::now() + PATIENCE;
    while client.get("/health").await.status == 200 {
        assert!(Instant::now() < deadline, "it never forgot the nodes");
    }
    let answer = client.get("/health").await;
    assert_eq!(answer.header("retry-after"), "1");
    answer.refused(503, "M_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_random_all_nodes_are_reached() {
    let (one, two) = (server("one.test").await, server("two.test").await);
    let front = Front::before(&[one.base(), two.base()], true);
    let names = answering(&Client::new(&front.base()), 40).await;
    let ones = names.iter().filter(|name| *name == "one.test").count();
    assert!((5..=35).contains(&ones), "{names:?}");
    let turns = names.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns < 39, "they take turns: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_long_polls_pass_through() {
    let node = TestServer::start().await;
    let front = Front::before(&[node.base()], false);
    let anna = Client::register(&front.base(), "anna").await;

    let content: Vec<u8> = (0..20_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    let uploaded = anna
        .raw(Method::POST, "/_matrix/media/v3/upload", content.clone())
        .await
        .expect("the balancer answers");
    let uri = uploaded.ok()["content_uri"]
        .as_str()
        .expect("a URI")
        .to_owned();
    let path = uri.strip_prefix("mxc://").expect("a URI of Matrix");
    let downloaded = anna
        .get(&format!("/_matrix/client/v1/media/download/{path}"))
        .await;
    assert_eq!(downloaded.status, 200);
    assert!(downloaded.bytes == content, "another content came back");

    let room = anna.create_room(serde_json::json!({})).await;
    let sync = anna.sync(None, "").await;
    let poll = tokio::spawn(first_said(anna.clone(), room.clone(), sync));
    let event_id = anna.say(&room, "hello").await;
    let said = time::timeout(PATIENCE, poll).await;
    let said = said.expect("it is woken").expect("it is answered");
    assert_eq!(said["event_id"], event_id.as_str(), "{said}");
}

/// The first message after a sync, by long polls. What was done before may be told after it, too.
async fn first_said(client: Client, room_id: String, mut sync: Value) -> Value {
    loop {
        let since = sync["next_batch"].as_str().expect("a token").to_owned();
        sync = client.sync(Some(&since), "timeout=30000").await;
        let events = sync["rooms"]["join"][&room_id]["timeline"]["events"].as_array();
        let mut events = events.into_iter().flatten();
        if let Some(said) = events.find(|event| event["type"] == "m.room.message") {
            return said.clone();
        }
    }
}

/// A node that a test plays.
struct Played(TcpListener);

impl Played {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self(listener.expect("a free port"))
    }

    fn place(&self) -> String {
        let address = self.0.local_addr().expect("an address");
        format!("http://{address}")
    }

    /// The next connection, and the head of the request that comes by it.
    async fn request(&self) -> (TcpStream, String) {
        let accepted = time::timeout(PATIENCE, self.0.accept()).await;
        let (mut stream, _) = accepted.expect("a request").expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text");
        (stream, head.to_ascii_lowercase())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_learn_who_asks() {
    let node = Played::open().await;
    let front = Front::before(&[&node.place()], false);
    let client = Client::new(&front.base());
    let asking = tokio::spawn(async move {
        let headers = [("x-forwarded-for", "10.1.2.3"), ("connection", "close")];
        client
            .with_headers(Method::GET, "/path?a=%2F&b", &headers, Vec::new())
            .await
    });
    let (mut stream, head) = node.request().await;
    assert!(head.starts_with("get /path?a=%2f&b http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nx-forwarded-for: 10.1.2.3, 127.0.0.1\r\n"),
        "{head}"
    );
    assert!(!head.contains("\r\nconnection:"), "{head}");
    let answer = b"HTTP/1.1 418 Teapot\r\ncontent-length: 2\r\nkeep-alive: 3\r\nx-own: 1\r\n\r\n{}";
    stream.write_all(answer).await.expect("it is read");
    let answer = asking.await.expect("it is answered");
    assert_eq!((answer.status, answer.header("x-own")), (418, "1"));
    assert_eq!(answer.header("keep-alive"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_sent_is_not_repeated() {
    let (first, second) = (Played::open().await, Played::open().await);
    let front = Front::before(&[&first.place(), &second.place()], false);
    let client = Client::new(&front.base());
    let asking = tokio::spawn(async move { client.get("/first").await });
    let (stream, head) = first.request().await;
    assert!(head.starts_with("get /first "), "{head}");
    drop(stream);
    asking
        .await
        .expect("it is answered")
        .refused(502, "M_UNKNOWN");

    // It is the second's turn, and the first thing that it hears of is the second request.
    let client = Client::new(&front.base());
    let asking = tokio::spawn(async move { client.get("/second").await });
    let (stream, head) = second.request().await;
    assert!(head.starts_with("get /second "), "{head}");
    drop(stream);
    asking
        .await
        .expect("it is answered")
        .refused(502, "M_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_are_gone_for_the_node() {
    let node = Played::open().await;
    let front = Front::before(&[&node.place()], false);
    let client = Client::new(&front.base());
    let asking = tokio::spawn(async move { client.get("/waits").await });
    let (mut stream, _) = node.request().await;
    asking.abort();
    let mut rest = Vec::new();
    let ended = time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // A reset is an end as well.
    let _ = ended.expect("the connection ends");
    assert!(rest.is_empty(), "{rest:?}");
}

/// The program, stopped when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_it() {
    let node = TestServer::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("nodes.txt");
    std::fs::write(&file, node.base()).expect("the file can be written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_playhouse"))
        .args([
            "cluster",
            "balance",
            "--random",
            "--listen",
            "127.0.0.1:0",
            "--nodes",
        ])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = program.stdout.take().expect("standard output is piped");
    let mut running = Running(program);
    let first = std::io::BufRead::lines(std::io::BufReader::new(output)).next();
    let line = first.expect("a line").expect("text");
    let (_, base) = line.split_once(" at ").expect("an address");
    assert_eq!(Client::new(base).get("/health").await.status, 200);
    let pid = running.0.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("there is `kill`").success());
    assert!(running.0.wait().expect("it ends").success());
}
