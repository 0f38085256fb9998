//! What a server sends again after its death: the one transaction on its way, as it was, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::json;

use crate::harness::{
    Client, Options, Peers, TestServer,
    script::{Asked, Reply},
};

/// The server to which is sent.
const FAR: &str = "far.test";

/// So many messages go out before each death.
const MESSAGES: usize = 60;

/// So often it dies.
const DEATHS: usize = 3;

/// What is sent arrives in less.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which transactions brought which message.
type Arrivals = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_transaction_on_its_way_is_repeated() {
    let peers = Peers::start(&[FAR]).await;
    let arrivals = Arrivals::default();
    let noted = arrivals.clone();
    peers.follow(move |asked| note(asked, &noted));
    let mut server = TestServer::start_with(Options {
        environment: peers.environment(),
        ..Options::default()
    })
    .await;
    let anna = server.register("anna").await;
    for death in 0..DEATHS {
        let anna = anna.at(server.base());
        for number in 0..MESSAGES {
            send(&anna, &format!("{death}-{number}")).await;
        }
        for number in 0..MESSAGES {
            arrived(&arrivals, &format!("{death}-{number}")).await;
        }
        server.kill();
        server.start_again();
    }
    // In order: when the last one is there, whatever is repeated is, too.
    send(&anna.at(server.base()), "last").await;
    arrived(&arrivals, "last").await;
    let mut repeated = BTreeSet::new();
    let arrivals = arrivals.lock();
    for (name, transactions) in &*arrivals {
        let first = &transactions[0];
        assert!(
            transactions.iter().all(|id| id == first),
            "{name} came in {transactions:?}"
        );
        if transactions.len() > 1 {
            repeated.insert(first);
        }
    }
    assert_eq!(arrivals.len(), DEATHS * MESSAGES + 1);
    assert!(repeated.len() <= DEATHS, "{repeated:?}");
}

async fn send(anna: &Client, name: &str) {
    let path = format!("/_matrix/client/v3/sendToDevice/m.test/{name}");
    let body = json!({"messages": {"@fred:far.test": {"DEVICE": {"name": name}}}});
    anna.put(&path, body).await.ok();
}

async fn arrived(arrivals: &Arrivals, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !arrivals.lock().contains_key(name) {
        assert!(Instant::now() < deadline, "{name} never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn note(asked: &Asked<'_>, arrivals: &Arrivals) -> Option<Reply> {
    let id = asked.path.strip_prefix("/_matrix/federation/v1/send/")?;
    for edu in asked.body["edus"].as_array().into_iter().flatten() {
        let messages = &edu["content"]["messages"]["@fred:far.test"];
        if let Some(name) = messages["DEVICE"]["name"].as_str() {
            let mut arrivals = arrivals.lock();
            arrivals
                .entry(name.to_owned())
                .or_default()
                .push(id.to_owned());
        }
    }
    Some(Reply::Json(200, json!({"pdus": {}})))
}
