//! What lazy loading has already sent to each device.
//!
//! Only what a client has shown to have received counts: the members of an answer are remembered under its `next_batch`, and taken for known when
//! a sync comes with it. A repeat of an older sync gets them again. Bounded; what is forgotten is merely sent again.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};

/// So many devices are remembered.
const DEVICES_MAX: usize = 16;

/// So many members are remembered for a device.
const MEMBERS_MAX: usize = 20_000;

type Members = BTreeMap<OwnedRoomId, BTreeSet<OwnedUserId>>;

/// Members sent, by device.
#[derive(Debug, Default)]
pub(crate) struct LazyMemory {
    devices: BTreeMap<OwnedDeviceId, DeviceMemory>,
}

#[derive(Debug, Default)]
struct DeviceMemory {
    /// The filter under which they were sent.
    filter: Option<String>,
    known: Members,
    count: usize,
    /// The token that the client had when `known` was true.
    at: Option<String>,
    /// The answer on its way.
    sent: Option<(String, Members)>,
}

impl LazyMemory {
    /// A sync begins: learns from its token what the device has received.
    pub(crate) fn begin(
        &mut self,
        device_id: &OwnedDeviceId,
        filter: Option<&str>,
        since: Option<&str>,
    ) {
        if !self.devices.contains_key(device_id) && self.devices.len() >= DEVICES_MAX {
            self.devices.pop_first();
        }
        let device = self.devices.entry(device_id.clone()).or_default();
        let sent = device.sent.take();
        let goes_on = device.filter.as_deref() == filter && since.is_some();
        if let (true, Some((token, members))) = (goes_on, sent)
            && since == Some(token.as_str())
        {
            device.learn(members);
            device.at = Some(token);
        } else if !goes_on || device.at.as_deref() != since {
            *device = DeviceMemory {
                filter: filter.map(ToOwned::to_owned),
                at: since.map(ToOwned::to_owned),
                ..DeviceMemory::default()
            };
        }
    }

    /// Members of a room that the device has.
    pub(crate) fn known(
        &self,
        device_id: &OwnedDeviceId,
        room_id: &RoomId,
    ) -> Option<&BTreeSet<OwnedUserId>> {
        self.devices.get(device_id)?.known.get(room_id)
    }

    /// An answer leaves, with these members.
    pub(crate) fn sent(&mut self, device_id: &OwnedDeviceId, token: String, members: Members) {
        if let Some(device) = self.devices.get_mut(device_id) {
            device.sent = Some((token, members));
        }
    }
}

impl DeviceMemory {
    fn learn(&mut self, members: Members) {
        for (room_id, members) in members {
            let known = self.known.entry(room_id).or_default();
            let before = known.len();
            known.extend(members);
            self.count += known.len() - before;
        }
        if self.count > MEMBERS_MAX {
            self.known.clear();
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[test]
    fn only_received_answers_count() {
        let device = OwnedDeviceId::from("D");
        let room = room_id!("!r:x");
        let members = || Members::from([(room.to_owned(), [user_id!("@a:x").to_owned()].into())]);
        let mut memory = LazyMemory::default();
        memory.begin(&device, Some("f"), Some("s1"));
        memory.sent(&device, "s2".into(), members());
        memory.begin(&device, Some("f"), Some("s1"));
        assert!(memory.known(&device, room).is_none(), "a repeat");
        memory.sent(&device, "s2".into(), members());
        memory.begin(&device, Some("f"), Some("s2"));
        assert_eq!(memory.known(&device, room).map(BTreeSet::len), Some(1));
        memory.sent(&device, "s3".into(), Members::new());
        memory.begin(&device, Some("f"), Some("s2"));
        assert!(memory.known(&device, room).is_some(), "a repeat of s2");
        memory.begin(&device, Some("g"), Some("s2"));
        assert!(memory.known(&device, room).is_none(), "another filter");
    }
}
