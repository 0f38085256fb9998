//! How a cluster stands, as operators see it: what the register says, and what the nodes have said of themselves with their last beats.

use std::collections::BTreeMap;

use playhouse_actors::cluster::{Facts, roles};
use playhouse_schema::{
    address::{Family, Layout, Shard},
    register::{NodeEntry, RegisterView, ShardEntry, Standing},
};
use serde::{Deserialize, Serialize};

/// So many rooms are shown.
const HOT_MAX: usize = 20;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// By name.
    pub(crate) nodes: Vec<NodeStatus>,
    /// By family and number.
    pub(crate) shards: Vec<ShardStatus>,
    /// Shards that are not where they shall be, or are just coming or going.
    pub(crate) moves: Vec<MoveStatus>,
    /// How far those are who read the log, by name.
    pub(crate) readers: Vec<ReaderStatus>,
    /// The rooms that are written most, the hottest first.
    pub(crate) hot_rooms: Vec<HotStatus>,
    /// The roles that no living node has: what they are for is not done.
    pub(crate) missing_roles: Vec<String>,
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
    /// Records that wait for its writers: for each of them, by family.
    pub(crate) queues: BTreeMap<String, Vec<u64>>,
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
    /// The node where it is pinned holds nothing that is not pinned there.
    pub(crate) alone: bool,
    /// How busy it is, records a second; not known while nobody has told.
    pub(crate) load: Option<f64>,
}

/// A shard on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveStatus {
    /// As `rooms/3`.
    pub(crate) shard: String,
    /// The node that holds it still.
    pub(crate) from: Option<String>,
    /// Where it shall go.
    pub(crate) to: Option<String>,
    /// For so long, by the last beat of a node that is at it; not known while none is.
    pub(crate) for_ms: Option<u64>,
}

/// A fold or follower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReaderStatus {
    /// What it is called.
    pub(crate) name: String,
    /// The node that does it.
    pub(crate) node: String,
    /// So many positions it is behind the log.
    pub(crate) behind: u64,
}

/// A room that is written much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HotStatus {
    /// The room.
    pub(crate) room_id: String,
    /// Where it lies.
    pub(crate) shard: String,
    /// The node that writes it.
    pub(crate) node: String,
    /// Records a second, over the last half minute.
    pub(crate) rate: f64,
}

impl Status {
    /// Of what the register says.
    pub(crate) fn of(view: &RegisterView) -> Self {
        let told: Told<'_> = view
            .nodes
            .iter()
            .map(|node| (node.name.as_str(), Facts::read(&node.facts)))
            .collect();
        let nodes = view.nodes.iter();
        let nodes = nodes.map(|node| NodeStatus::of(view, (node, &told[node.name.as_str()])));
        let shards = view.shards.iter();
        let shards: Vec<_> = shards
            .map(|shard| ShardStatus::of(view, (shard, &told)))
            .collect();
        let living = view.nodes.iter().filter(|node| node.is_alive());
        let living: Vec<_> = living
            .map(|node| (node.name.as_str(), &told[node.name.as_str()]))
            .collect();
        Self {
            nodes: nodes.collect(),
            moves: moves(&shards, &living),
            shards,
            readers: readers(&living),
            hot_rooms: hot_rooms(&living),
            missing_roles: roles::missing(view).into_iter().map(Into::into).collect(),
        }
    }
}

/// What nodes have said, by name.
type Told<'a> = BTreeMap<&'a str, Facts>;

/// What living nodes have said.
type Living<'a> = [(&'a str, &'a Facts)];

fn moves(shards: &[ShardStatus], living: &Living<'_>) -> Vec<MoveStatus> {
    let mut moves = Vec::new();
    for shard in shards {
        let name = format!("{}/{}", shard.family, shard.number);
        let told = living.iter();
        let told = told.filter_map(|(_, facts)| facts.moves.get(&name).copied());
        let for_ms = told.max();
        if for_ms.is_some() || !shard.is_settled() {
            moves.push(MoveStatus {
                shard: name,
                from: shard.holder.clone(),
                to: shard.wanted.clone(),
                for_ms,
            });
        }
    }
    moves
}

fn readers(living: &Living<'_>) -> Vec<ReaderStatus> {
    let readers = living.iter().flat_map(|(node, facts)| {
        facts.lags.iter().map(move |(name, behind)| ReaderStatus {
            name: name.clone(),
            node: (*node).to_owned(),
            behind: *behind,
        })
    });
    let mut readers: Vec<_> = readers.collect();
    readers.sort_by(|one, other| one.name.cmp(&other.name).then(one.node.cmp(&other.node)));
    readers
}

fn hot_rooms(living: &Living<'_>) -> Vec<HotStatus> {
    let rooms = living.iter().flat_map(|(node, facts)| {
        facts.hot.iter().map(move |room| HotStatus {
            room_id: room.room_id.clone(),
            shard: room.shard.clone(),
            node: (*node).to_owned(),
            rate: room.rate,
        })
    });
    let mut rooms: Vec<_> = rooms.collect();
    rooms.sort_by(|one, other| other.rate.total_cmp(&one.rate));
    rooms.truncate(HOT_MAX);
    rooms
}

impl NodeStatus {
    /// Whether its lease runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.lease_left_ms > 0
    }

    fn of(view: &RegisterView, (node, facts): (&NodeEntry, &Facts)) -> Self {
        let held = view.shards.iter();
        let held = held.filter(|entry| node.is_alive() && entry.holder == Some(node.incarnation));
        let load = |entry: &ShardEntry| facts.loads.get(&entry.shard.to_string()).copied();
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
            queues: if node.is_alive() {
                facts.queues.clone()
            } else {
                BTreeMap::new()
            },
        }
    }
}

impl ShardStatus {
    fn of(view: &RegisterView, (entry, told): (&ShardEntry, &Told<'_>)) -> Self {
        let holder = entry.holder.and_then(|holder| view.node_of(holder));
        let facts = holder.and_then(|node| told.get(node.name.as_str()));
        let load = facts.and_then(|facts| facts.loads.get(&entry.shard.to_string()).copied());
        Self {
            family: entry.shard.family.name().to_owned(),
            number: entry.shard.number,
            holder: holder.map(|node| node.name.to_string()),
            term: entry.term,
            wanted: entry.wanted.as_ref().map(ToString::to_string),
            pinned: entry.pinned.as_ref().map(ToString::to_string),
            alone: entry.alone,
            load,
        }
    }

    /// Whether it is where it shall be.
    pub(crate) fn is_settled(&self) -> bool {
        self.holder.is_some() && self.holder == self.wanted
    }
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
            address: format!("{name}:1"),
            roles: vec!["rooms".to_owned()],
            facts: r##"{
                "loads": {"rooms/0": 2.5}, "queues": {"rooms": [3, 0]}, "moves": {"rooms/2": 70}, "lags": {"user_names": 4},
                "hot": [{"room_id": "!cool:a", "shard": "rooms/0", "rate": 1.0}, {"room_id": "!hot:a", "shard": "rooms/0", "rate": 2.0}]
            }"##.to_owned(),
            joined_ms: 7,
            left_ms,
            ..NodeEntry::new(NodeName::parse(name).unwrap(), Uuid::from_u128(life))
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
            alone: false,
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
        // What the dead have said last is not how things are.
        assert_eq!(status.nodes[0].queues["rooms"], [3, 0]);
        assert!(status.nodes[1].queues.is_empty());
        let moves: Vec<_> = status
            .moves
            .iter()
            .map(|one| (&one.shard[..], one.from.as_deref(), one.for_ms))
            .collect();
        assert_eq!(
            moves,
            [("rooms/1", None, None), ("rooms/2", None, Some(70))]
        );
        assert_eq!((status.readers.len(), status.readers[0].behind), (1, 4));
        let hot = status.hot_rooms.iter();
        let hot: Vec<_> = hot.map(|room| &room.room_id[..]).collect();
        assert_eq!(hot, ["!hot:a", "!cool:a"]);
        assert!(status.missing_roles.contains(&"edge".to_owned()));
        assert!(!status.missing_roles.contains(&"rooms".to_owned()));
    }

    #[test]
    fn shards_are_named() {
        let layout = Layout { shards: 4, era: 0 };
        let shard = shard_of(layout, "users", 3).unwrap();
        assert_eq!(shard.to_string(), "users/3");
        assert_eq!(shard_of(layout, "users", 4), None);
        assert_eq!(shard_of(layout, "cooks", 0), None);
    }
}
