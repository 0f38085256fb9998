//! Account data, global and of rooms, and what of it changed since when.

use std::sync::Arc;

use imbl::OrdMap;
use playhouse_schema::address::{Position, Sequence};
use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use super::state::{Change, Item};

/// The room (`None`: global) and the type of a piece of account data.
pub type DataKey = (Option<OwnedRoomId>, String);

/// All account data of a user. What was removed stays known as removed, so that a sync can tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(DataKey, Item)>", into = "Vec<(DataKey, Item)>")]
pub struct AccountData {
    items: OrdMap<Arc<DataKey>, Item>,
    /// By the record that last changed it.
    order: OrdMap<Sequence, Arc<DataKey>>,
    bytes: usize,
}

impl AccountData {
    pub(super) fn set(&mut self, room_id: Option<OwnedRoomId>, event_type: String, item: Item) {
        let key = Arc::new((room_id, event_type));
        let sequence = item.change.sequence;
        self.bytes += weight(&key, &item);
        if let Some(old) = self.items.insert(key.clone(), item) {
            self.bytes -= weight(&key, &old);
            self.order.remove(&old.change.sequence);
        }
        self.order.insert(sequence, key);
    }

    /// Lets the change of a piece be completed.
    pub(super) fn change_of(
        &mut self,
        room_id: Option<OwnedRoomId>,
        event_type: String,
        complete: impl FnOnce(&mut Change),
    ) {
        if let Some(item) = self.items.get_mut(&(room_id, event_type)) {
            complete(&mut item.change);
        }
    }

    /// A piece; one that was removed has no JSON.
    pub fn get(&self, room_id: Option<&RoomId>, event_type: &str) -> Option<&Item> {
        self.items
            .get(&(room_id.map(RoomId::to_owned), event_type.to_owned()))
    }

    /// The JSON in force.
    pub fn json(&self, room_id: Option<&RoomId>, event_type: &str) -> Option<&Arc<str>> {
        self.get(room_id, event_type)?.json.as_ref()
    }

    /// All pieces in force and removed: global ones first, then room by room, by type.
    pub fn iter(&self) -> impl Iterator<Item = (&DataKey, &Item)> {
        self.items.iter().map(|(key, item)| (&**key, item))
    }

    /// What changed after a position of the user's shard, newest first. Costs only what it finds. What is in flight counts as after.
    pub fn since(&self, position: Position) -> impl Iterator<Item = (&DataKey, &Item)> {
        self.order
            .values()
            .rev()
            .filter_map(|key| self.items.get(key).map(|item| (&**key, item)))
            .take_while(move |(_, item)| {
                item.change.position == 0 || item.change.position > position
            })
    }

    /// Bytes of everything.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many pieces.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

fn weight(key: &DataKey, item: &Item) -> usize {
    let room = key.0.as_ref().map_or(0, |room_id| room_id.as_str().len());
    room + key.1.len() + item.json.as_ref().map_or(0, |json| json.len())
}

impl From<Vec<(DataKey, Item)>> for AccountData {
    fn from(pieces: Vec<(DataKey, Item)>) -> Self {
        let mut data = Self::default();
        for ((room_id, event_type), item) in pieces {
            data.set(room_id, event_type, item);
        }
        data
    }
}

impl From<AccountData> for Vec<(DataKey, Item)> {
    fn from(data: AccountData) -> Self {
        data.iter()
            .map(|(key, item)| (key.clone(), item.clone()))
            .collect()
    }
}
