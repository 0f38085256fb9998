//! The user's state as the feed reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::address::Sequence;
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId, push::Ruleset};
use serde::{Deserialize, de::IgnoredAny};

use super::account::{Account, DataVisitor};
use crate::user::{
    User,
    data::DataKey,
    hidden_invites::InviteTurn,
    invite_filter::InviteVerdict,
    message::{Presence, ToDeviceIndex},
    sliding::{connection::SentRooms, threads::ThreadChanges},
    state::Item,
};

/// Account data with the push rules: there always are some.
const PUSH_RULES: &str = "m.push_rules";

/// Account data that name the rooms of direct chats, by user.
const DIRECT: &str = "m.direct";

/// Account data of a room with its tags.
const TAGS: &str = "m.tag";

impl User {
    /// Account data set after a sequence, newest first. Costs only what it finds.
    fn data_after(&self, after: Sequence) -> impl Iterator<Item = (&DataKey, &Item)> {
        self.account_data
            .since(0)
            .take_while(move |(_, item)| item.change.sequence > after)
            // Who hears of all of it for the first time need not hear of what is gone.
            .filter(move |(_, item)| after > 0 || item.json.is_some())
    }
}

impl Account for User {
    fn visit_data(&self, after: Sequence, visitor: DataVisitor<'_>) {
        let mut has_rules = false;
        for ((room_id, event_type), item) in self.data_after(after) {
            if room_id.is_some() {
                continue;
            }
            if event_type == PUSH_RULES {
                has_rules = true;
                visit_rules(self, item.change.sequence, visitor);
            } else {
                visitor(
                    event_type,
                    item.json.as_deref().unwrap_or("{}"),
                    item.change.sequence,
                );
            }
        }
        if after == 0 && !has_rules {
            visit_rules(self, 0, visitor);
        }
    }

    fn visit_room_data(&self, room_id: &RoomId, after: Sequence, visitor: DataVisitor<'_>) {
        for ((of, event_type), item) in self.data_after(after) {
            if of.as_deref() == Some(room_id) {
                visitor(
                    event_type,
                    item.json.as_deref().unwrap_or("{}"),
                    item.change.sequence,
                );
            }
        }
    }

    fn rooms_with_data(&self, after: Sequence) -> BTreeSet<OwnedRoomId> {
        self.data_after(after)
            .filter_map(|((room_id, _), _)| room_id.clone())
            .collect()
    }

    fn to_device(
        &self,
        device_id: &DeviceId,
        after: ToDeviceIndex,
        (durable, limit): (Sequence, usize),
    ) -> (Vec<Bytes>, ToDeviceIndex) {
        let Some(device) = self.device(device_id) else {
            return (Vec::new(), after);
        };
        let (messages, last) = device.inbox.durable_after(after, durable, limit);
        let messages = messages
            .into_iter()
            .map(|json| Bytes::copy_from_slice(json.as_bytes()))
            .collect();
        (messages, last.unwrap_or(after))
    }

    fn keeps_to_device(&self, device_id: &DeviceId, until: ToDeviceIndex) -> bool {
        self.device(device_id)
            .is_some_and(|device| device.inbox.has_before(until))
    }

    fn one_time_key_counts(&self, device_id: &DeviceId) -> Vec<(String, u64)> {
        self.device(device_id)
            .map(|device| device.one_time.counts())
            .unwrap_or_default()
    }

    fn unused_fallback_types(&self, device_id: &DeviceId) -> Vec<String> {
        let device = self.device(device_id);
        device
            .map(|device| device.unused_fallback_algorithms())
            .unwrap_or_default()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect()
    }

    fn signed_users(&self, after: Sequence) -> BTreeSet<OwnedUserId> {
        self.signed_after(after).collect()
    }

    fn ignored(&self) -> Arc<BTreeSet<OwnedUserId>> {
        User::ignored(self)
    }

    fn hides_invites_of(&self, inviter: &UserId) -> bool {
        self.judge_invite(inviter) != InviteVerdict::Allow
    }

    fn push_rules(&self) -> Arc<Ruleset> {
        User::push_rules(self)
    }

    fn filter(&self, filter_id: &str) -> Option<String> {
        User::filter(self, filter_id).map(ToString::to_string)
    }

    fn connection(&self, device_id: &DeviceId, name: &str, version: u64) -> Option<SentRooms> {
        self.connections.rooms(device_id, name, version)
    }

    fn direct_rooms(&self) -> BTreeSet<OwnedRoomId> {
        let json = self.account_data.json(None, DIRECT);
        let by_user: Option<BTreeMap<String, Vec<OwnedRoomId>>> =
            json.and_then(|json| serde_json::from_str(json).ok());
        by_user
            .into_iter()
            .flat_map(BTreeMap::into_values)
            .flatten()
            .collect()
    }

    fn tags(&self, room_id: &RoomId) -> BTreeSet<String> {
        #[derive(Deserialize)]
        struct Tags {
            tags: BTreeMap<String, IgnoredAny>,
        }
        let json = self.account_data.json(Some(room_id), TAGS);
        let tags: Option<Tags> = json.and_then(|json| serde_json::from_str(json).ok());
        tags.map(|tags| tags.tags.into_keys().collect())
            .unwrap_or_default()
    }

    fn threads_changed(&self, after: Sequence, until: Sequence) -> bool {
        let changes = self.thread_changes((after, until.saturating_add(1)), 1);
        !changes.is_empty()
    }

    fn thread_changes(&self, span: (Sequence, Sequence), limit: usize) -> ThreadChanges {
        self.threads.changes(span, limit)
    }

    fn has_forgotten(&self, room_id: &RoomId, since: Sequence) -> bool {
        User::has_forgotten(self, room_id, since)
    }

    fn invite_turn(&self, room_id: &RoomId, since: Sequence) -> Option<InviteTurn> {
        self.hidden_invites.turn(room_id, since)
    }

    fn invites_turned(&self, after: Sequence) -> BTreeSet<OwnedRoomId> {
        self.hidden_invites.turned_after(after)
    }

    fn presence(&self) -> Option<Presence> {
        let kept = self.presence.as_ref()?;
        Some(Presence {
            presence: kept.presence.as_str().into(),
            status_msg: kept.status_msg.clone(),
            active_ms: kept.active_ms,
            currently_active: false,
        })
    }
}

fn visit_rules(user: &User, sequence: Sequence, visitor: DataVisitor<'_>) {
    if let Some(json) = user.account_data_json(None, PUSH_RULES) {
        visitor(PUSH_RULES, &json, sequence);
    }
}
