//! What nodes say of themselves in the register, besides that they live.

use std::collections::BTreeMap;

use playhouse_schema::{address::Family, register::RegisterView};
use serde::{Deserialize, Serialize};

use super::balance::Loads;

/// What a node says of itself with each beat.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    /// By shard, in the form of its display.
    #[serde(default)]
    pub(super) loads: BTreeMap<String, f64>,
}

/// What the living nodes say of their shards. One of which nothing is said yet counts as much as others of its family: who has just taken it must not seem idle
/// and be given more.
pub(super) fn loads_of(view: &RegisterView) -> Loads {
    let mut loads = Loads::new();
    for node in view.nodes.iter().filter(|node| node.is_alive()) {
        let Ok(facts) = serde_json::from_str::<Facts>(&node.facts) else {
            continue;
        };
        for entry in &view.shards {
            if entry.holder == Some(node.incarnation)
                && let Some(load) = facts.loads.get(&entry.shard.to_string())
            {
                loads.insert(entry.shard, *load);
            }
        }
    }
    for family in Family::ALL {
        let known = loads.iter().filter(|(shard, _)| shard.family == family);
        let known: Vec<f64> = known.map(|(_, load)| *load).collect();
        if known.is_empty() {
            continue;
        }
        let average = known.iter().sum::<f64>() / known.len() as f64;
        let shards = view.shards.iter();
        for entry in shards.filter(|entry| entry.shard.family == family) {
            loads.entry(entry.shard).or_insert(average);
        }
    }
    loads
}
