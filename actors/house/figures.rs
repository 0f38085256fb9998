//! Figures of the house that no actor counts by the way.

use std::collections::BTreeSet;

use playhouse_schema::{
    models::parked,
    register::{RegisterView, Standing},
};

use super::House;

/// Sets gauges, and remembers which: who has gone from this node is not behind any more.
#[derive(Debug, Default)]
pub struct Figures {
    readers: BTreeSet<String>,
}

impl Figures {
    /// What is known here. Cheap: to be called every few seconds.
    pub fn note(&mut self, house: &House) {
        self.note_readers(house);
        if let Some(connections) = house.store.connections() {
            metrics::gauge!("playhouse_database_connections_max").set(connections.most as f64);
            metrics::gauge!("playhouse_database_connections_busy").set(connections.busy as f64);
            metrics::gauge!("playhouse_database_connections_idle").set(connections.idle as f64);
        }
        if let Some(ward) = house.ward() {
            let view = ward.view().borrow().clone();
            note_cluster(&view);
        }
        if let Some(map) = house.map() {
            metrics::gauge!("playhouse_cluster_shards_served").set(map.served().len() as f64);
        }
    }

    fn note_readers(&mut self, house: &House) {
        let lags = house.pools.tail().lags();
        for gone in self.readers.iter().filter(|name| !lags.contains_key(*name)) {
            metrics::gauge!("playhouse_reader_lag_records", "reader" => gone.clone()).set(0.0);
        }
        self.readers = lags.keys().cloned().collect();
        for (reader, behind) in lags {
            metrics::gauge!("playhouse_reader_lag_records", "reader" => reader).set(behind as f64);
        }
    }

    /// How much is parked, by the database.
    pub async fn note_parked(&self, house: &House) {
        match parked::count(&**house.models.store()).await {
            Ok(count) => metrics::gauge!("playhouse_parked_items").set(count as f64),
            Err(error) => tracing::debug!(%error, "it is not known what is parked"),
        }
    }

    /// How large the database is.
    pub async fn note_size(&self, house: &House) {
        match house.store.size_bytes().await {
            Ok(bytes) => metrics::gauge!("playhouse_database_bytes").set(bytes as f64),
            Err(error) => tracing::debug!(%error, "it is not known how large the database is"),
        }
    }
}

/// How the cluster stands, by the register as this node has read it last.
fn note_cluster(view: &RegisterView) {
    let count = |standing: &'static str, count: usize| {
        metrics::gauge!("playhouse_cluster_nodes", "standing" => standing).set(count as f64);
    };
    let living = |wanted: Standing| {
        let nodes = view.nodes.iter();
        nodes
            .filter(|node| node.is_alive() && node.standing == wanted)
            .count()
    };
    let (serving, draining) = (living(Standing::Serving), living(Standing::Draining));
    count("serving", serving);
    count("draining", draining);
    count("dead", view.nodes.len() - serving - draining);
    metrics::gauge!("playhouse_cluster_shards_without_owner").set(ownerless(view) as f64);
}

/// Shards that no living node holds.
fn ownerless(view: &RegisterView) -> usize {
    let is_held = |holder| view.node_of(holder).is_some();
    let shards = view.shards.iter();
    shards
        .filter(|shard| !shard.holder.is_some_and(is_held))
        .count()
}
