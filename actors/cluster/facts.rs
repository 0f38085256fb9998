//! What nodes say of themselves in the register, besides that they live.

use std::collections::BTreeMap;

use playhouse_schema::{address::Family, register::RegisterView};
use serde::{Deserialize, Serialize};

use super::balance::{Loads, Unheld};

/// So many rooms are told.
pub(super) const HOT_MAX: usize = 20;

/// So many readers are told, those that are furthest behind.
const LAGS_MAX: usize = 64;

/// All of it has so many bytes at most: it is written and read several times a second.
const BYTES_MAX: usize = 16 << 10;

/// What a node says of itself with each beat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// How busy its shards are, records a second; by shard, in the form of its display.
    #[serde(default)]
    pub loads: BTreeMap<String, f64>,
    /// Shards that are coming or going, and for how long, milliseconds.
    #[serde(default)]
    pub moves: BTreeMap<String, u64>,
    /// Shards that it could not take, again and again, and since how long, milliseconds.
    #[serde(default)]
    pub unheld: BTreeMap<String, u64>,
    /// Records that wait for its writers: for each of them, by family.
    #[serde(default)]
    pub queues: BTreeMap<String, Vec<u64>>,
    /// How many positions its folds and followers are behind the log, by name.
    #[serde(default)]
    pub lags: BTreeMap<String, u64>,
    /// The rooms with most records a second.
    #[serde(default)]
    pub hot: Vec<HotRoom>,
}

/// A room that is written much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotRoom {
    /// The room.
    pub room_id: String,
    /// Where it lies.
    pub shard: String,
    /// Records a second, over the last half minute.
    pub rate: f64,
}

impl Facts {
    /// What a node has said.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// As it is said. What is too much is left out, the least important first.
    pub(super) fn write(mut self) -> String {
        self.loads.values_mut().for_each(round);
        self.hot.truncate(HOT_MAX);
        self.hot.iter_mut().for_each(|room| round(&mut room.rate));
        while self.lags.len() > LAGS_MAX {
            let least = self.lags.iter().min_by_key(|(_, behind)| **behind);
            let Some(least) = least.map(|(name, _)| name.clone()) else {
                break;
            };
            self.lags.remove(&least);
        }
        let text = serde_json::to_string(&self).unwrap_or_default();
        if text.len() <= BYTES_MAX {
            return text;
        }
        let less = Self {
            loads: self.loads,
            moves: self.moves,
            unheld: self.unheld,
            ..Self::default()
        };
        serde_json::to_string(&less).unwrap_or_default()
    }
}

/// Nobody needs more, and it is shorter.
fn round(rate: &mut f64) {
    *rate = (*rate * 100.0).round() / 100.0;
}

/// What the living nodes say of their shards: how busy they are, and which of them they could not take. One of which nothing is said yet counts as much as
/// others of its family: who has just taken it must not seem idle and be given more.
pub(super) fn told(view: &RegisterView) -> (Loads, Unheld) {
    let (mut loads, mut unheld) = (Loads::new(), Unheld::new());
    for node in view.nodes.iter().filter(|node| node.is_alive()) {
        let facts = Facts::read(&node.facts);
        for entry in &view.shards {
            if !facts.unheld.is_empty() && facts.unheld.contains_key(&entry.shard.to_string()) {
                unheld.insert((node.name.clone(), entry.shard));
            }
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
    (loads, unheld)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_bounded() {
        let named = |count: u64| (0..count).map(|number| (format!("name/{number}"), number));
        let room = |number: u32| HotRoom {
            room_id: format!("!{number}:example.org"),
            shard: "rooms/1".to_owned(),
            rate: 1.234_567,
        };
        let facts = Facts {
            loads: BTreeMap::from([("rooms/1".to_owned(), 0.123_456)]),
            lags: named(100).collect(),
            hot: (0..100).map(room).collect(),
            ..Facts::default()
        };
        let read = Facts::read(&facts.write());
        assert_eq!(read.loads["rooms/1"], 0.12);
        assert_eq!((read.hot.len(), read.hot[0].rate), (HOT_MAX, 1.23));
        assert_eq!(read.lags.len(), LAGS_MAX);
        assert!(read.lags.values().all(|behind| *behind >= 36));
        let facts = Facts {
            hot: vec![HotRoom {
                room_id: "!".repeat(BYTES_MAX),
                ..room(1)
            }],
            moves: named(3).collect(),
            ..Facts::default()
        };
        let read = Facts::read(&facts.write());
        assert_eq!((read.hot.len(), read.moves.len()), (0, 3));
        assert_eq!(Facts::read("nonsense"), Facts::default());
    }
}
