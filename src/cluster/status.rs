//! How a cluster stands, as operators see it: what the register says.

use std::collections::BTreeMap;

use playhouse_schema::{
    address::{Family, Layout, Shard},
    register::{NodeEntry, RegisterView, ShardEntry, Standing},
};
use serde::{Deserialize, Serialize};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// By name.
    pub(crate) nodes: Vec<NodeStatus>,
    /// By family and number.
    pub(crate) shards: Vec<ShardStatus>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    /// What the operator calls it.
    pub(crate) name: String,
    /// This life of it.
    pub(crate) incarnation: String,
    /// Where other nodes reach it.
    pub(crate) address: String,
    /// What it does.
    pub(crate) roles: Vec<String>,
    /// `serving`, `draining` or `dead`.
    pub(crate) standing: String,
    /// So much of its lease is left.
    pub(crate) lease_left_ms: u64,
    /// When this life began.
    pub(crate) joined_ts: u64,
    /// So many shards it holds.
    pub(crate) shards: usize,
    /// How busy they are together, records a second.
    pub(crate) load: f64,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardStatus {
    /// `rooms`, `users` or `servers`.
    pub(crate) family: String,
    /// Which of them.
    pub(crate) number: u16,
    /// The node that holds it; none while it is on its way.
    pub(crate) holder: Option<String>,
    /// So often it was claimed.
    pub(crate) term: u64,
    /// Where it shall go.
    pub(crate) wanted: Option<String>,
    /// Where an operator wants it.
    pub(crate) pinned: Option<String>,
    /// How busy it is, records a second; not known while nobody has told.
    pub(crate) load: Option<f64>,
}

/// What a node says of itself in the register.
#[derive(Default, Deserialize)]
struct Facts {
    #[serde(default)]
    loads: BTreeMap<String, f64>,
}

impl Status {
    /// Of what the register says.
    pub(crate) fn of(view: &RegisterView) -> Self {
        let nodes = view.nodes.iter().map(|node| NodeStatus::of(view, node));
        let shards = view.shards.iter().map(|shard| ShardStatus::of(view, shard));
        Self {
            nodes: nodes.collect(),
            shards: shards.collect(),
        }
    }
}

impl NodeStatus {
    /// Whether its lease runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.lease_left_ms > 0
    }

    fn of(view: &RegisterView, node: &NodeEntry) -> Self {
        let held = view.shards.iter();
        let held = held.filter(|entry| node.is_alive() && entry.holder == Some(node.incarnation));
        let loads = loads(node);
        let load = |entry: &ShardEntry| loads.get(&entry.shard.to_string()).copied();
        let standing = if node.is_alive() {
            node.standing.as_str()
        } else {
            "dead"
        };
        Self {
            name: node.name.to_string(),
            incarnation: node.incarnation.to_string(),
            address: node.address.clone(),
            roles: node.roles.clone(),
            standing: standing.to_owned(),
            lease_left_ms: node.left_ms,
            joined_ts: node.joined_ms,
            shards: held.clone().count(),
            load: held.filter_map(load).sum(),
        }
    }
}

impl ShardStatus {
    fn of(view: &RegisterView, entry: &ShardEntry) -> Self {
        let holder = entry.holder.and_then(|holder| view.node_of(holder));
        let load = holder.and_then(|node| loads(node).get(&entry.shard.to_string()).copied());
        Self {
            family: entry.shard.family.name().to_owned(),
            number: entry.shard.number,
            holder: holder.map(|node| node.name.to_string()),
            term: entry.term,
            wanted: entry.wanted.as_ref().map(ToString::to_string),
            pinned: entry.pinned.as_ref().map(ToString::to_string),
            load,
        }
    }

    /// Whether it is where it shall be.
    pub(crate) fn is_settled(&self) -> bool {
        self.holder.is_some() && self.holder == self.wanted
    }
}

fn loads(node: &NodeEntry) -> BTreeMap<String, f64> {
    let facts = serde_json::from_str::<Facts>(&node.facts);
    facts.unwrap_or_default().loads
}

/// Whether a node takes shards.
pub(crate) fn takes_shards(node: &NodeEntry) -> bool {
    node.is_alive() && node.standing == Standing::Serving
}

/// The shard of a family by its number, if there is one.
pub(crate) fn shard_of(layout: Layout, family: &str, number: u16) -> Option<Shard> {
    let mut families = Family::ALL.into_iter();
    let family = families.find(|known| known.name() == family)?;
    (number < layout.shards).then_some(Shard { family, number })
}

#[cfg(test)]
mod tests {
    use playhouse_schema::register::NodeName;
    use uuid::Uuid;

    use super::*;

    fn node(name: &str, life: u128, left_ms: u64) -> NodeEntry {
        NodeEntry {
            name: NodeName::parse(name).unwrap(),
            incarnation: Uuid::from_u128(life),
            address: format!("{name}:1"),
            roles: vec!["rooms".to_owned()],
            standing: Standing::Serving,
            facts: r#"{"loads": {"rooms/0": 2.5}}"#.to_owned(),
            joined_ms: 7,
            left_ms,
        }
    }

    fn shard(number: u16, life: Option<u128>) -> ShardEntry {
        ShardEntry {
            shard: Shard {
                family: Family::Rooms,
                number,
            },
            holder: life.map(Uuid::from_u128),
            term: 3,
            wanted: NodeName::parse("a"),
            pinned: None,
        }
    }

    #[test]
    fn the_dead_hold_nothing() {
        let view = RegisterView {
            nodes: vec![node("a", 1, 500), node("b", 2, 0)],
            shards: vec![shard(0, Some(1)), shard(1, Some(2)), shard(2, None)],
        };
        let status = Status::of(&view);
        let standings: Vec<_> = status.nodes.iter().map(|node| &node.standing[..]).collect();
        assert_eq!(standings, ["serving", "dead"]);
        assert_eq!((status.nodes[0].shards, status.nodes[1].shards), (1, 0));
        assert_eq!(status.nodes[0].load, 2.5);
        assert_eq!(status.shards[0].holder.as_deref(), Some("a"));
        assert_eq!(status.shards[0].load, Some(2.5));
        assert_eq!(status.shards[1].holder, None);
        let settled: Vec<_> = status.shards.iter().map(ShardStatus::is_settled).collect();
        assert_eq!(settled, [true, false, false]);
    }

    #[test]
    fn shards_are_named() {
        let layout = Layout { shards: 4 };
        let shard = shard_of(layout, "users", 3).unwrap();
        assert_eq!(shard.to_string(), "users/3");
        assert_eq!(shard_of(layout, "users", 4), None);
        assert_eq!(shard_of(layout, "cooks", 0), None);
    }
}
