//! What Ketesa (a fork of synapse-admin, 1.3.0) asks for on its pages of users and rooms, with the very queries that its data provider builds, and the
//! fields that it reads.

mod rooms;
mod users;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::{
    client::{
        props::{list, text},
        stage::on_own_servers,
    },
    harness::{Client, client::encode},
};

const V1: &str = "/_synapse/admin/v1";
const V2: &str = "/_synapse/admin/v2";

/// How a table is asked for that shows what belongs to something.
const REFERENCE: &str = "from=0&limit=10&order_by=id&dir=b";

/// What follows the log comes within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fails the test for a field that is missing.
#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "no {field}: {value}");
    }
}

/// The field of each entry that Ketesa takes for its ID.
#[track_caller]
fn names(entries: &Value, field: &str) -> Vec<String> {
    let entries = list(entries).iter();
    entries.map(|entry| text(&entry[field])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn before_anybody_is_logged_in() {
    on_own_servers(&[], async |server| {
        let nobody = server.client();
        let told = nobody.get(&format!("{V1}/server_version")).await;
        // The page comes from another origin.
        assert_eq!(told.header("access-control-allow-origin"), "*");
        assert!(text(&told.ok()["server_version"]).starts_with("Playhouse"));
        let path = format!("{V2}/users/{}", encode("@anna:playhouse.test"));
        for method in ["PUT", "DELETE"] {
            let asked = nobody.request(Method::OPTIONS, &path, None).await;
            assert!((200..300).contains(&asked.status), "{}", asked.status);
            let allowed = asked.header("access-control-allow-methods");
            assert!(allowed.contains(method), "{allowed}");
        }
    })
    .await;
}

/// Asks for a status as its progress bars do, until it is an end.
async fn ends(boss: &Client, path: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let told = boss.get(path).await.ok();
        match told["status"].as_str() {
            Some("complete") => return told,
            Some("failed") | None => panic!("{told}"),
            Some(_) => assert!(Instant::now() < end, "{told}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
