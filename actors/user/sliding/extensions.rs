//! The extensions of sliding sync.

use bytes::Bytes;
use ruma::{OwnedRoomId, RoomId};

use super::{plan::SlidingPlan, threads::ThreadChanges};
use crate::{
    room::message::ReceiptsWanted,
    user::{
        message::ToDeviceIndex,
        sync::{
            body::Body,
            build::{TO_DEVICE_MAX, account_data, write_device_lists, write_key_counts},
            devices::DeviceLists,
            plan::RoomPlan,
            rooms::{RoomPart, data_event, typing_event},
        },
    },
};

/// So many thread subscriptions one answer brings.
const THREADS_MAX: u64 = 100;

/// What extensions tell.
#[derive(Default)]
pub(super) struct Extensions {
    /// Messages and where they end, when they are wanted.
    to_device: Option<(Vec<Bytes>, ToDeviceIndex)>,
    has_key_counts: bool,
    data: Vec<String>,
    room_data: Vec<(OwnedRoomId, Vec<String>)>,
    receipts: Vec<(OwnedRoomId, Bytes)>,
    typing: Vec<(OwnedRoomId, Bytes)>,
    sticky: Vec<(OwnedRoomId, Vec<Bytes>)>,
    threads: ThreadChanges,
}

/// Reads the `since` of to-device messages.
pub(crate) fn read_index(word: &str) -> Option<ToDeviceIndex> {
    let (sequence, partial) = word.strip_prefix('d')?.split_once('_')?;
    Some(ToDeviceIndex {
        sequence: sequence.parse().ok()?,
        partial: partial.parse().ok()?,
    })
}

fn write_index(index: ToDeviceIndex) -> String {
    format!("d{}_{}", index.sequence, index.partial)
}

impl Extensions {
    /// Gathers what is wanted.
    pub(super) fn gather(sliding: &SlidingPlan, parts: &[(&RoomPlan, RoomPart)]) -> Self {
        let wanted = &sliding.sliding.query.request.extensions;
        let plan = &sliding.plan;
        let mut extensions = Self {
            has_key_counts: wanted.e2ee.enabled == Some(true),
            ..Self::default()
        };
        if wanted.to_device.enabled == Some(true) {
            let limit = wanted.to_device.limit.unwrap_or(TO_DEVICE_MAX as u64);
            let limit = limit.clamp(1, TO_DEVICE_MAX as u64) as usize;
            let (device_id, after) = (&plan.request.device_id, sliding.sliding.to_device);
            let bounds = (plan.durable(), limit);
            extensions.to_device = Some(plan.account.to_device(device_id, after, bounds));
        }
        if wanted.account_data.is_on() {
            extensions.data = account_data(plan, sliding.sliding.data);
        }
        for (room_id, after) in &sliding.room_data {
            let data = room_data(sliding, room_id, *after);
            if !data.is_empty() {
                extensions.room_data.push((room_id.clone(), data));
            }
        }
        for (room, part) in parts {
            let window = room.window.as_ref();
            let is_wanted =
                window.is_some_and(|window| window.wanted.receipts != ReceiptsWanted::None);
            if let (true, Some(receipts)) = (is_wanted, part.ephemeral.first()) {
                let receipts = (room.room_id.clone(), receipts.clone());
                extensions.receipts.push(receipts);
            }
        }
        if wanted.sticky_events.is_on() {
            let of_rooms = parts.iter().filter(|(_, part)| !part.sticky.is_empty());
            let of_rooms = of_rooms.map(|(room, part)| (room.room_id.clone(), part.sticky.clone()));
            extensions.sticky = of_rooms.collect();
        }
        let typing = sliding.typing.iter();
        extensions.typing = typing
            .map(|(room_id, users)| (room_id.clone(), typing_event(plan, users)))
            .collect();
        if wanted.thread_subscriptions.enabled == Some(true) {
            let limit = wanted.thread_subscriptions.limit.unwrap_or(THREADS_MAX);
            let span = (sliding.sliding.threads, plan.durable().saturating_add(1));
            let limit = limit.clamp(1, THREADS_MAX) as usize;
            extensions.threads = plan.account.thread_changes(span, limit);
        }
        extensions
    }

    /// Whether nothing is told.
    pub(super) fn is_empty(&self) -> bool {
        let has_messages = self
            .to_device
            .as_ref()
            .is_some_and(|(messages, _)| !messages.is_empty());
        !has_messages
            && self.data.is_empty()
            && self.room_data.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && self.sticky.is_empty()
            && self.threads.is_empty()
    }

    /// Writes them.
    pub(super) fn write(&self, body: &mut Body, sliding: &SlidingPlan, lists: &DeviceLists) {
        if let Some((messages, next)) = &self.to_device {
            body.key("to_device").object(|body| {
                body.key("next_batch").string(&write_index(*next));
                body.key("events").array(|body| {
                    for message in messages {
                        body.raw(message);
                    }
                });
            });
        }
        if self.has_key_counts {
            body.key("e2ee").object(|body| {
                write_device_lists(body, lists);
                write_key_counts(body, &sliding.plan);
            });
        }
        if !self.data.is_empty() || !self.room_data.is_empty() {
            body.key("account_data")
                .object(|body| self.write_data(body));
        }
        write_by_room(body, "receipts", &self.receipts);
        write_by_room(body, "typing", &self.typing);
        let wanted = &sliding.sliding.query.request.extensions;
        // Without events, too: who has no position to name is told everything again.
        if wanted.sticky_events.is_on() {
            body.key("org.matrix.msc4354.sticky_events")
                .object(|body| write_sticky(body, sliding, &self.sticky));
        }
        if !self.threads.is_empty() {
            body.key("io.element.msc4308.thread_subscriptions")
                .object(|body| self.threads.write(body, "prev_batch"));
        }
    }

    fn write_data(&self, body: &mut Body) {
        body.key("global").array(|body| {
            for data in &self.data {
                body.raw(data.as_bytes());
            }
        });
        body.key("rooms").object(|body| {
            for (room_id, data) in &self.room_data {
                body.key(room_id.as_str()).array(|body| {
                    for data in data {
                        body.raw(data.as_bytes());
                    }
                });
            }
        });
    }
}

fn room_data(sliding: &SlidingPlan, room_id: &RoomId, after: u64) -> Vec<String> {
    let until = sliding.plan.durable();
    let mut data = Vec::new();
    sliding
        .plan
        .account
        .visit_room_data(room_id, after, &mut |event_type, content, sequence| {
            if sequence <= until {
                data.push(data_event(event_type, content));
            }
        });
    data
}

/// What was told of rooms is told up to where the answer ends: there is no other position of these events.
fn write_sticky(body: &mut Body, sliding: &SlidingPlan, rooms: &[(OwnedRoomId, Vec<Bytes>)]) {
    let next = sliding.plan.next.write(sliding.plan.home.sources.layout());
    body.key("next_batch").string(&next);
    body.key("rooms").object(|body| {
        for (room_id, events) in rooms {
            body.events(room_id.as_str(), events, true);
        }
    });
}

fn write_by_room(body: &mut Body, name: &str, events: &[(OwnedRoomId, Bytes)]) {
    if events.is_empty() {
        return;
    }
    body.key(name).object(|body| {
        body.key("rooms").object(|body| {
            for (room_id, event) in events {
                body.key(room_id.as_str()).raw(event);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_of_messages_are_read_as_written() {
        let index = ToDeviceIndex {
            sequence: 17,
            partial: 3,
        };
        assert_eq!(read_index(&write_index(index)), Some(index));
        for nonsense in ["", "d", "17_3", "d1", "d1_x"] {
            assert_eq!(read_index(nonsense), None);
        }
    }
}
