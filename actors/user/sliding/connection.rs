//! What a connection of sliding sync was told of its rooms, as far as tokens do not say it.
//!
//! A connection goes on from version to version. A version is made when something changes that the token cannot say: a room is told for the first
//! time, or with another configuration, or something in it happened that was not told because the room is outside of every list. Other syncs stay with
//! their version, and most do. A token names its version, and the version is durable before the token leaves, so that a token holds after a restart.
//!
//! The version that a client has shown to have received is the base; what may be on its way is kept as differences to it. A repeat of the
//! request (the answer was lost) begins at the base again. Versions that the client can no longer ask for end.

use std::sync::Arc;

use imbl::OrdMap;
use playhouse_schema::{
    address::Sequence,
    record::user::{SlidingRoomKept, SlidingSyncKept, SlidingTold, SlidingWish},
};
use ruma::{DeviceId, OwnedDeviceId, OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use crate::room::message::StateWish;

/// So many answers to one request may be on their way.
const BRANCHES_MAX: usize = 4;

/// So many connections a device has; one more ends the one that changed longest ago.
const CONNECTIONS_OF_DEVICE_MAX: usize = 8;

/// So many connections a user has.
const CONNECTIONS_MAX: usize = 128;

/// What was told of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRoom {
    /// Timeline and state: a position of the room's shard.
    pub events: SlidingTold,
    /// Receipts: a position of the room's shard.
    pub receipts: SlidingTold,
    /// Account data: a sequence of the user's own log.
    pub data: SlidingTold,
    /// The longest timeline that was asked for.
    pub timeline_limit: u32,
    /// The state that the client has.
    pub wish: Arc<StateWish>,
}

/// All rooms of a connection.
pub type SentRooms = OrdMap<OwnedRoomId, SentRoom>;

/// How one version differs from another: rooms as they are now, `None` for those that are no more.
pub type Changes = Vec<(OwnedRoomId, Option<SentRoom>)>;

/// The connections of a user, by device and name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connections {
    by_name: OrdMap<(OwnedDeviceId, String), Arc<Connection>>,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
struct Connection {
    /// The record that changed it last.
    changed: Sequence,
    /// The version that the client has received …
    base: u64,
    /// … and what it says.
    rooms: SentRooms,
    /// Versions that may be on their way, as differences to the base.
    branches: Vec<(u64, Changes)>,
}

/// A connection as snapshots have it: the base and the branches as records.
#[derive(Serialize, Deserialize)]
struct Written {
    changed: Sequence,
    base: SlidingSyncKept,
    branches: Vec<SlidingSyncKept>,
}

impl Connections {
    /// What a version of a connection says; `None` when it is not known (any more).
    pub fn rooms(&self, device_id: &DeviceId, name: &str, version: u64) -> Option<SentRooms> {
        let key = (device_id.to_owned(), name.to_owned());
        let connection = self.by_name.get(&key)?;
        if connection.base == version {
            return Some(connection.rooms.clone());
        }
        let mut rooms = connection.rooms.clone();
        merge(&mut rooms, &connection.branch(version)?.1);
        Some(rooms)
    }

    /// Takes in a record. One whose parent is not known any more changes nothing.
    pub(in crate::user) fn fold(&mut self, sequence: Sequence, kept: &SlidingSyncKept) {
        let key = (
            OwnedDeviceId::from(kept.device_id.as_str()),
            kept.connection.clone(),
        );
        let (version, changes) = (kept.version, read(kept));
        let Some(parent) = kept.parent else {
            self.make_room(&key.0);
            let mut rooms = SentRooms::new();
            merge(&mut rooms, &changes);
            let connection = Connection {
                changed: sequence,
                base: version,
                rooms,
                branches: Vec::new(),
            };
            self.by_name.insert(key, connection.into());
            return;
        };
        if let Some(connection) = self.by_name.get_mut(&key) {
            let connection = Arc::make_mut(connection);
            connection.changed = sequence;
            connection.go_on(parent, (version, changes));
        }
    }

    /// A device is gone.
    pub(in crate::user) fn drop_device(&mut self, device_id: &DeviceId) {
        let names = self.by_name.keys().filter(|(of, _)| of == device_id);
        for name in names.cloned().collect::<Vec<_>>() {
            self.by_name.remove(&name);
        }
    }

    fn make_room(&mut self, device_id: &DeviceId) {
        let of_device = |(of, _): &&(OwnedDeviceId, String)| of == device_id;
        let own = self.by_name.keys().filter(of_device).count();
        let oldest = if own >= CONNECTIONS_OF_DEVICE_MAX {
            self.oldest(Some(device_id))
        } else if self.by_name.len() >= CONNECTIONS_MAX {
            self.oldest(None)
        } else {
            None
        };
        if let Some(oldest) = oldest {
            self.by_name.remove(&oldest);
        }
    }

    fn oldest(&self, device_id: Option<&DeviceId>) -> Option<(OwnedDeviceId, String)> {
        self.by_name
            .iter()
            .filter(|((of, _), _)| device_id.is_none_or(|device_id| of == device_id))
            .min_by_key(|(_, connection)| connection.changed)
            .map(|(key, _)| key.clone())
    }

    /// A rough figure of the memory it takes.
    pub(in crate::user) fn weight_bytes(&self) -> usize {
        let of_one = |connection: &Arc<Connection>| {
            let changes: usize = connection.branches.iter().map(|(_, it)| it.len()).sum();
            400 + (connection.rooms.len() + changes) * 200
        };
        self.by_name.values().map(of_one).sum()
    }
}

impl Connection {
    fn branch(&self, version: u64) -> Option<&(u64, Changes)> {
        self.branches.iter().find(|(of, _)| *of == version)
    }

    fn go_on(&mut self, parent: u64, branch: (u64, Changes)) {
        if parent != self.base {
            // The client has shown what it received.
            let Some((version, changes)) = self.branch(parent).cloned() else {
                return;
            };
            merge(&mut self.rooms, &changes);
            self.base = version;
            self.branches.clear();
        }
        if self.branches.len() >= BRANCHES_MAX {
            self.branches.remove(0);
        }
        self.branches.push(branch);
    }
}

fn merge(rooms: &mut SentRooms, changes: &Changes) {
    for (room_id, room) in changes {
        match room {
            Some(room) => rooms.insert(room_id.clone(), room.clone()),
            None => rooms.remove(room_id),
        };
    }
}

/// A step as a record.
pub(crate) fn write(
    (device_id, connection): (&DeviceId, &str),
    (parent, version): (Option<u64>, u64),
    changes: &Changes,
) -> SlidingSyncKept {
    let mut wishes: Vec<Arc<StateWish>> = Vec::new();
    let (mut rooms, mut gone) = (Vec::new(), Vec::new());
    for (room_id, room) in changes {
        let Some(room) = room else {
            gone.push(room_id.to_string());
            continue;
        };
        let known = wishes.iter().position(|wish| *wish == room.wish);
        let wish = known.unwrap_or_else(|| {
            wishes.push(room.wish.clone());
            wishes.len() - 1
        });
        rooms.push(SlidingRoomKept {
            room_id: room_id.to_string(),
            events: room.events,
            receipts: room.receipts,
            data: room.data,
            timeline_limit: room.timeline_limit,
            wish: wish as u32,
        });
    }
    let wishes = wishes.iter().map(|wish| SlidingWish {
        entries: wish.entries.iter().cloned().collect(),
        lazy: wish.lazy,
    });
    SlidingSyncKept {
        device_id: device_id.to_string(),
        connection: connection.to_owned(),
        parent,
        version,
        wishes: wishes.collect(),
        rooms,
        gone,
    }
}

fn read(kept: &SlidingSyncKept) -> Changes {
    let wishes: Vec<Arc<StateWish>> = kept
        .wishes
        .iter()
        .map(|wish| {
            Arc::new(StateWish {
                entries: wish.entries.iter().cloned().collect(),
                lazy: wish.lazy,
            })
        })
        .collect();
    let told = kept.rooms.iter().map(|room| {
        let wish = wishes.get(room.wish as usize).cloned().unwrap_or_default();
        let sent = SentRoom {
            events: room.events,
            receipts: room.receipts,
            data: room.data,
            timeline_limit: room.timeline_limit,
            wish,
        };
        (room.room_id.as_str(), Some(sent))
    });
    let gone = kept.gone.iter().map(|room_id| (room_id.as_str(), None));
    told.chain(gone)
        .filter_map(|(room_id, room)| Some((RoomId::parse(room_id).ok()?, room)))
        .collect()
}

impl From<Connection> for Written {
    fn from(connection: Connection) -> Self {
        let nobody = (<&DeviceId>::from(""), "");
        let rooms = connection.rooms.into_iter();
        let base: Changes = rooms.map(|(room_id, room)| (room_id, Some(room))).collect();
        let branches = connection.branches.iter();
        Self {
            changed: connection.changed,
            base: write(nobody, (None, connection.base), &base),
            branches: branches
                .map(|(version, changes)| write(nobody, (None, *version), changes))
                .collect(),
        }
    }
}

impl From<Written> for Connection {
    fn from(written: Written) -> Self {
        let mut rooms = SentRooms::new();
        merge(&mut rooms, &read(&written.base));
        let branches = written.branches.iter();
        Self {
            changed: written.changed,
            base: written.base.version,
            rooms,
            branches: branches.map(|kept| (kept.version, read(kept))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, room_id};

    use super::*;

    fn sent(events: SlidingTold, types: &[&str]) -> Option<SentRoom> {
        let entries = types.iter().map(|name| ((*name).to_owned(), String::new()));
        Some(SentRoom {
            events,
            receipts: SlidingTold::Never,
            data: SlidingTold::Live,
            timeline_limit: 20,
            wish: Arc::new(StateWish {
                entries: entries.collect(),
                lazy: true,
            }),
        })
    }

    fn step(of: &mut Connections, parent: Option<u64>, version: u64, changes: Changes) {
        let kept = write((device_id!("D"), "list"), (parent, version), &changes);
        of.fold(version, &kept);
    }

    #[test]
    fn a_lost_answer_leaves_the_base_and_a_received_one_becomes_it() {
        let device = device_id!("D");
        let (a, b) = (room_id!("!a:x").to_owned(), room_id!("!b:x").to_owned());
        let mut all = Connections::default();
        let first = vec![(a.clone(), sent(SlidingTold::Live, &["m.room.name"]))];
        step(&mut all, None, 1, first);
        step(
            &mut all,
            Some(1),
            2,
            vec![(b.clone(), sent(SlidingTold::Live, &[]))],
        );
        step(&mut all, Some(1), 3, vec![(a, None)]);
        assert_eq!(all.rooms(device, "list", 1).unwrap().len(), 1);
        assert_eq!(all.rooms(device, "list", 2).unwrap().len(), 2);
        assert!(all.rooms(device, "list", 3).unwrap().is_empty());
        assert!(all.rooms(device, "other", 1).is_none());
        // The client goes on from the second.
        step(
            &mut all,
            Some(2),
            4,
            vec![(b, sent(SlidingTold::Until(9), &[]))],
        );
        assert!(all.rooms(device, "list", 1).is_none() && all.rooms(device, "list", 3).is_none());
        let bytes = rmp_serde::to_vec(&all).unwrap();
        let again: Connections = rmp_serde::from_slice(&bytes).unwrap();
        for version in [2, 4] {
            let rooms = all.rooms(device, "list", version);
            assert!(rooms.is_some());
            assert_eq!(again.rooms(device, "list", version), rooms);
        }
        // A version that nobody knows changes nothing.
        step(&mut all, Some(77), 78, Vec::new());
        assert!(all.rooms(device, "list", 78).is_none());
        all.drop_device(device);
        assert!(all.rooms(device, "list", 4).is_none());
    }

    #[test]
    fn connections_are_bounded() {
        let mut all = Connections::default();
        for number in 0..20 {
            let name = format!("c{number}");
            let kept = write((device_id!("D"), &name), (None, number + 1), &Vec::new());
            all.fold(number + 1, &kept);
        }
        assert_eq!(all.by_name.len(), CONNECTIONS_OF_DEVICE_MAX);
        assert!(all.rooms(device_id!("D"), "c19", 20).is_some());
    }
}
