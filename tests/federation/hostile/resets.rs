//! An operator is told when state resolution takes something back.

use serde_json::json;

use super::{EVIL, Scene};
use crate::harness::{made::now_ms, only_alone, prometheus::Prometheus};

const HOUR_MS: u64 = 3_600_000;

/// Eve names herself, dates that ahead, names herself anew, dates that back, and then goes on as if she had not: of her two names the one with the later date
/// wins, and nothing that came said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_an_alert() {
    if only_alone("the figures of several nodes are not those of one") {
        return;
    }
    let scene = Scene::open().await;
    let prometheus = Prometheus::watching(&[scene.server.base()]).await;
    prometheus.is_quiet().await;
    let named = |name: &str, at_ms: u64| {
        json!({
            "type": "m.room.member", "state_key": scene.eve.user_id, "origin_server_ts": at_ms,
            "content": {"membership": "join", "displayname": name},
        })
    };
    let mut eve = scene.eve.clone();
    // Gus came last: nothing else is an end of the graph.
    eve.last.clone_from(&scene.gus.last);
    let first = eve.event(named("first", now_ms() + HOUR_MS));
    eve.knows(&first.json);
    eve.follow(&first);
    let second = eve.event(named("second", now_ms() - HOUR_MS));
    let beside = eve.text("I am who I was");
    for event in [&first, &second, &beside] {
        let told = scene.send(EVIL, &[event]).await;
        Scene::assert_taken(&told, event);
    }
    let name = "PlayhouseStateReset";
    prometheus.only_fires(name, async || {}).await;
    prometheus.until("playhouse_state_resets_total == 1").await;
}
