//! Alerts that one server causes, or two.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;

use crate::harness::{
    Options, TestServer, Town, client::encode, only_alone, prometheus::Prometheus,
};

/// Puts a small disk of its own under a server's data, on which so many megabytes are taken already.
fn disk(taken: u32) -> Vec<String> {
    let script = format!(
        "mkdir -p \"$PLAYHOUSE_DATA_DIR\" && mount -t tmpfs -o size=256m tmpfs \"$PLAYHOUSE_DATA_DIR\" \
         && head -c {taken}M /dev/zero >\"$PLAYHOUSE_DATA_DIR/ballast\" && exec \"$@\""
    );
    // With root's rights, or those of a namespace of one's own.
    let words = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    words.map(ToOwned::to_owned).to_vec()
}

fn server_with(environment: &[(&str, &str)]) -> TestServer {
    let environment = environment.iter();
    let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    TestServer::start_exactly(Options {
        environment: environment.collect(),
        ..Options::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone() {
    let mut server = server_with(&[]);
    let prometheus = Prometheus::watching(&[server.base()]).await;
    prometheus.is_quiet().await;
    server.kill();
    prometheus.only_fires("PlayhouseDown", async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_nearly_full() {
    for (taken, is_full) in [(50, false), (231, true)] {
        let server = TestServer::start_exactly(Options {
            prefix: disk(taken),
            ..Options::default()
        });
        let prometheus = Prometheus::watching_disks(&[server.base()]).await;
        if is_full {
            prometheus
                .only_fires("PlayhouseDiskFull", async || {})
                .await;
        } else {
            prometheus.is_quiet().await;
        }
    }
}

/// Writes a certificate that is good for so many days, and the key to it.
fn certificate(folder: &std::path::Path, days: u64) -> [String; 2] {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("the time");
    let mut params = CertificateParams::new(["playhouse.test".to_owned()]).expect("a name");
    params.not_after = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(days * 86_400);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let made = [("crt", certificate.pem()), ("key", key.serialize_pem())];
    made.map(|(ending, text)| {
        let path = folder.join(format!("listener.{ending}"));
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    for (days, is_soon) in [(30, false), (3, true)] {
        let [cert, key] = certificate(folder.path(), days);
        let server = server_with(&[
            ("PLAYHOUSE_FEDERATION_LISTEN", "127.0.0.1:0"),
            ("PLAYHOUSE_FEDERATION_TLS_CERT", &cert),
            ("PLAYHOUSE_FEDERATION_TLS_KEY", &key),
        ]);
        let prometheus = Prometheus::watching(&[server.base()]).await;
        if is_soon {
            let name = "PlayhouseCertificateExpires";
            prometheus.only_fires(name, async || {}).await;
        } else {
            prometheus.is_quiet().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_out_of_reach() {
    if only_alone("the figures of several nodes are not those of one") {
        return;
    }
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let mut two = town.open("two.town", &[]).await;
    let [anna, bert] = [one.register("anna").await, two.register("bert").await];
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    let join = format!(
        "/_matrix/client/v3/join/{}?server_name=one.town",
        encode(&room_id)
    );
    bert.post(&join, json!({})).await.ok();
    anna.say(&room_id, "hello").await;
    let prometheus = Prometheus::watching(&[one.base()]).await;
    let reached = "playhouse_outbox_destinations_reached == 1";
    prometheus.until(reached).await;
    prometheus.is_quiet().await;
    two.kill();
    anna.say(&room_id, "are you there").await;
    let name = "PlayhouseFederationLag";
    prometheus.only_fires(name, async || {}).await;
}
