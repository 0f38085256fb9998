//! What a sync reads of the user's own state.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use playhouse_schema::address::Sequence;
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId, push::Ruleset};

use crate::user::{
    hidden_invites::InviteTurn,
    message::{Presence, ToDeviceIndex},
    sliding::{connection::SentRooms, threads::ThreadChanges},
};

/// Takes a piece of account data: type, content as JSON text, and the sequence of the record that set it. Removed data have the content `{}`; after 0 they are left out.
pub(crate) type DataVisitor<'a> = &'a mut dyn FnMut(&str, &str, Sequence);

/// The user's own state as a sync sees it. A value is a view that does not move.
pub(crate) trait Account: Send + Sync + 'static {
    /// Global account data set after a sequence of the user's records.
    fn visit_data(&self, after: Sequence, visitor: DataVisitor<'_>);

    /// Account data of a room set after a sequence.
    fn visit_room_data(&self, room_id: &RoomId, after: Sequence, visitor: DataVisitor<'_>);

    /// The rooms whose account data were set after a sequence.
    fn rooms_with_data(&self, after: Sequence) -> BTreeSet<OwnedRoomId>;

    /// To-device messages after an index that are durable (queued by records up to the first bound), oldest first, at most as many as the
    /// second; and the index of the
    /// last of them, or `after` when there is none.
    fn to_device(
        &self,
        device_id: &DeviceId,
        after: ToDeviceIndex,
        bounds: (Sequence, usize),
    ) -> (Vec<Bytes>, ToDeviceIndex);

    /// Whether messages up to an index are still kept.
    fn keeps_to_device(&self, device_id: &DeviceId, until: ToDeviceIndex) -> bool;

    /// Unclaimed one-time keys by algorithm.
    fn one_time_key_counts(&self, device_id: &DeviceId) -> Vec<(String, u64)>;

    /// Algorithms with an unused fallback key.
    fn unused_fallback_types(&self, device_id: &DeviceId) -> Vec<String>;

    /// Other users whose keys this user signed by records after a sequence.
    fn signed_users(&self, after: Sequence) -> BTreeSet<OwnedUserId>;

    /// Users whose events are not wanted.
    fn ignored(&self) -> Arc<BTreeSet<OwnedUserId>>;

    /// Whether the invites of somebody are never shown.
    fn hides_invites_of(&self, inviter: &UserId) -> bool;

    /// The push rules in force.
    fn push_rules(&self) -> Arc<Ruleset>;

    /// A stored filter as JSON.
    fn filter(&self, filter_id: &str) -> Option<String>;

    /// What a version of a connection of sliding sync says of rooms.
    fn connection(&self, device_id: &DeviceId, name: &str, version: u64) -> Option<SentRooms>;

    /// Rooms named by `m.direct`.
    fn direct_rooms(&self) -> BTreeSet<OwnedRoomId>;

    /// The tags of a room.
    fn tags(&self, room_id: &RoomId) -> BTreeSet<String>;

    /// Whether thread subscriptions were changed by records after the first and up to the second.
    fn threads_changed(&self, after: Sequence, until: Sequence) -> bool;

    /// The newest changes of thread subscriptions by records after the first and before the second.
    fn thread_changes(&self, span: (Sequence, Sequence), limit: usize) -> ThreadChanges;

    /// Whether the user has forgotten a membership, which began with this record of the room.
    fn has_forgotten(&self, room_id: &RoomId, since: Sequence) -> bool;

    /// What a moderator did last about an invite that began with this record of the room.
    fn invite_turn(&self, room_id: &RoomId, since: Sequence) -> Option<InviteTurn>;

    /// The rooms about whose invites a moderator did something after a sequence.
    fn invites_turned(&self, after: Sequence) -> BTreeSet<OwnedRoomId>;

    /// Presence as last kept.
    fn presence(&self) -> Option<Presence>;
}
