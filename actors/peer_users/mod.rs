//! What is known of another server's user: the devices and their keys.
//!
//! Owns whether a list is complete: changes follow each other by the IDs that the user's server gives them, and one that does not follow makes the list
//! outdated. Records lie with those of local users, so that whoever follows device lists follows these too. Must not know how lists are fetched, who shares a
//! room with whom, nor check keys: it is told what was checked.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::peer_user::{
        FetchedDevices, Outdated, PeerDeviceChanged, PeerSigningKeys, PeerUserRecord, SharedRoom,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident, Unavailable},
};

/// A list has no more devices.
const DEVICES_MAX: usize = 1_000;

/// So many of the latest changes are told apart from new ones.
const SEEN_MAX: usize = 64;

/// Another server's user: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerUser {
    list: Option<Arc<DeviceList>>,
    /// How often what is known has changed: what was asked for before the last time is not kept, for it may be older than that.
    round: u64,
}

/// A complete list of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// By device ID, the `device_keys` objects.
    pub devices: BTreeMap<String, String>,
    /// The cross-signing keys.
    pub keys: PeerSigningKeys,
    /// The list is good for as long as this holds.
    pub witness: SharedRoom,
    stream_id: u64,
    seen: VecDeque<u64>,
}

/// What can be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerUserCommand {
    /// A list was fetched.
    Keep {
        /// The list.
        list: Box<FetchedDevices>,
        /// [`PeerUserAnswer::round`] as it was before it was asked for.
        round: u64,
    },
    /// The user's server tells of a change.
    Change {
        /// The change.
        change: PeerDeviceChanged,
        /// The changes before it.
        after: Vec<u64>,
    },
    /// The user's server tells of other cross-signing keys. What is `None` stays as it is.
    ChangeKeys(PeerSigningKeys),
    /// The user's server tells of something that makes no sense.
    Outdate,
}

/// What can be asked: all that is known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PeerUserQuery;

/// What is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerUserAnswer {
    /// The devices, unless they must be fetched.
    pub list: Option<Arc<DeviceList>>,
    /// To be named with the list that is fetched then.
    pub round: u64,
}

/// Whether the list is known now.
pub type IsKnown = bool;

/// Why a user could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PeerUserError {
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl DeviceList {
    fn of(fetched: &FetchedDevices) -> Self {
        let devices = fetched.devices.iter();
        Self {
            devices: devices
                .map(|device| (device.device_id.clone(), device.keys.clone()))
                .collect(),
            keys: fetched.keys.clone(),
            witness: fetched.witness.clone(),
            stream_id: fetched.stream_id,
            seen: VecDeque::from([fetched.stream_id]),
        }
    }

    fn has_seen(&self, stream_id: u64) -> bool {
        self.seen.contains(&stream_id)
    }

    /// What a change comes to: nothing when it was told before.
    fn judge(&self, change: PeerDeviceChanged, after: &[u64]) -> Option<PeerUserRecord> {
        let is_same = self.devices.get(&change.device_id) == change.keys.as_ref();
        // Changes of several devices may come under one ID.
        let is_latest = change.stream_id == self.stream_id;
        if self.has_seen(change.stream_id) && (is_same || !is_latest) {
            return None;
        }
        let follows = !after.is_empty() && after.iter().all(|id| self.has_seen(*id));
        let fits = self.devices.len() < DEVICES_MAX || self.devices.contains_key(&change.device_id);
        ((follows || is_latest) && (fits || change.keys.is_none()))
            .then_some(PeerUserRecord::DeviceChanged(change))
    }

    fn change(&mut self, change: &PeerDeviceChanged) {
        match &change.keys {
            Some(keys) => {
                let device_id = change.device_id.clone();
                self.devices.insert(device_id, keys.clone());
            }
            None => {
                self.devices.remove(&change.device_id);
            }
        }
        self.stream_id = change.stream_id;
        if !self.has_seen(change.stream_id) {
            self.seen.push_back(change.stream_id);
        }
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
    }
}

impl PeerUser {
    fn judge(&self, command: PeerUserCommand, now_ms: u64) -> Decision<Self> {
        let outdated = PeerUserRecord::Outdated(Outdated { at_ms: now_ms });
        let (record, is_known) = match (command, self.list.as_deref()) {
            (PeerUserCommand::Keep { list, round }, _) if round == self.round => {
                (PeerUserRecord::DevicesFetched(*list), true)
            }
            (PeerUserCommand::Keep { .. }, list) => {
                return Decision::unchanged(list.is_some());
            }
            (PeerUserCommand::Change { change, after }, Some(list)) => {
                let told = list.has_seen(change.stream_id);
                match list.judge(change, &after) {
                    Some(record) => (record, true),
                    None if told => return Decision::unchanged(true),
                    None => (outdated, false),
                }
            }
            (PeerUserCommand::ChangeKeys(keys), Some(list)) => {
                let keys = PeerSigningKeys {
                    master: keys.master.or_else(|| list.keys.master.clone()),
                    self_signing: keys.self_signing.or_else(|| list.keys.self_signing.clone()),
                };
                if keys == list.keys {
                    return Decision::unchanged(true);
                }
                (PeerUserRecord::SigningKeysChanged(keys), true)
            }
            (PeerUserCommand::Outdate, _) | (_, None) => (outdated, false),
        };
        Decision::new(vec![record], is_known)
    }

    fn tell(&self) -> PeerUserAnswer {
        PeerUserAnswer {
            list: self.list.clone(),
            round: self.round,
        }
    }

    fn take_in(&mut self, record: &PeerUserRecord) {
        self.round += 1;
        let list = self.list.as_mut().map(Arc::make_mut);
        match (record, list) {
            (PeerUserRecord::DevicesFetched(fetched), _) => {
                self.list = Some(Arc::new(DeviceList::of(fetched)));
            }
            (PeerUserRecord::DeviceChanged(change), Some(list)) => list.change(change),
            (PeerUserRecord::SigningKeysChanged(keys), Some(list)) => {
                list.keys.clone_from(keys);
            }
            (PeerUserRecord::DeviceChanged(_) | PeerUserRecord::SigningKeysChanged(_), None) => {}
            (PeerUserRecord::Outdated(_), _) => self.list = None,
        }
    }
}

impl Domain for PeerUser {
    const NAME: &'static str = "peer_user";

    type Record = PeerUserRecord;
    type Command = PeerUserCommand;
    type Reply = IsKnown;
    type Query = PeerUserQuery;
    type Answer = PeerUserAnswer;
    type Signal = ();
    type Error = PeerUserError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &PeerUserRecord) {
        self.take_in(record);
    }

    fn decide(&self, command: PeerUserCommand, env: &Env) -> Result<Decision<Self>, PeerUserError> {
        Ok(self.judge(command, env.now_ms()))
    }

    fn answer(
        resident: &mut Resident<Self>,
        _query: PeerUserQuery,
        port: Port<PeerUserAnswer, PeerUserError>,
    ) {
        let _ = port.send(Ok(resident.state.tell()));
    }

    fn weight_bytes(&self) -> usize {
        let list = self.list.as_ref();
        let of_list = |list: &Arc<DeviceList>| {
            let devices = list.devices.iter();
            devices
                .map(|(name, keys)| 128 + name.len() + keys.len())
                .sum()
        };
        1_024 + list.map_or(0, of_list)
    }
}
