//! An operator is told when shards have no node.

use super::{
    nodes::until,
    shared::{Shared, held_by},
};
use crate::harness::prometheus::Prometheus;

#[tokio::test(flavor = "multi_thread")]
async fn shards_without_a_node_are_an_alert() {
    let shared = Shared::steady();
    let most = "edge,rooms,users,media,push,appservice,directory,background";
    let first = shared.start_for(("n1", most), false);
    let mut second = shared.start_for(("n2", "servers,background"), false);
    let all_are_held = |status: &serde_json::Value| held_by(status, None) == 0;
    until(&first, "all shards find their places", all_are_held).await;
    // The node that goes is none of its concern: that it does not answer is another alert.
    let prometheus = Prometheus::watching(&[first.base()]).await;
    prometheus.is_quiet().await;
    second.kill();
    let name = "PlayhouseShardsWithoutOwner";
    prometheus.only_fires(name, async || {}).await;
}
