//! The filter of a sync (client-server API, "Filtering"), as far as the user actor judges by it: the room part is handed to the rooms as it came.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::EventFields;
use crate::room::message::EventFormat;

/// A whole filter.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncFilter {
    /// The fields of room events that are wanted; `None` wants them whole.
    pub(crate) fields: Option<EventFields>,
    /// The form in which room events are wanted.
    pub(crate) format: EventFormat,
    /// Presence events.
    pub(crate) presence: EventFilter,
    /// Global account data.
    pub(crate) account_data: EventFilter,
    /// Rooms and what they show.
    pub(crate) room: RoomFilter,
    /// The room part as it came, for the rooms.
    pub(crate) room_json: Option<String>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    event_fields: Option<Vec<String>>,
    #[serde(default)]
    event_format: EventFormat,
    #[serde(default)]
    presence: EventFilter,
    #[serde(default)]
    account_data: EventFilter,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
}

/// Which events are wanted, by type and sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct EventFilter {
    limit: Option<u64>,
    types: Option<Vec<String>>,
    #[serde(default)]
    not_types: Vec<String>,
    senders: Option<Vec<OwnedUserId>>,
    #[serde(default)]
    not_senders: Vec<OwnedUserId>,
    rooms: Option<Vec<OwnedRoomId>>,
    #[serde(default)]
    not_rooms: Vec<OwnedRoomId>,
    contains_url: Option<bool>,
    related_by_senders: Option<Vec<String>>,
    related_by_rel_types: Option<Vec<String>>,
    #[serde(default)]
    lazy_load_members: bool,
    #[serde(default)]
    include_redundant_members: bool,
    #[serde(default)]
    unread_thread_notifications: bool,
    #[serde(rename = "org.matrix.msc3773.unread_thread_notifications", default)]
    unread_thread_notifications_unstable: bool,
}

/// The room part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct RoomFilter {
    rooms: Option<Vec<OwnedRoomId>>,
    #[serde(default)]
    not_rooms: Vec<OwnedRoomId>,
    #[serde(default)]
    pub(crate) include_leave: bool,
    #[serde(default)]
    pub(crate) ephemeral: EventFilter,
    #[serde(default)]
    pub(crate) account_data: EventFilter,
    #[serde(default)]
    pub(crate) state: EventFilter,
    #[serde(default)]
    pub(crate) timeline: EventFilter,
}

/// How many events a timeline has when the filter does not say: as the rooms do it.
const TIMELINE_LIMIT_DEFAULT: u64 = 10;

/// The most events a timeline has, whatever the filter says.
const TIMELINE_LIMIT_MAX: u64 = 100;

impl SyncFilter {
    /// Reads a filter; the error says what is wrong.
    pub(crate) fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let wire: Wire<'_> = serde_json::from_str(json)?;
        let room_json = wire.room.map(|room| room.get().to_owned());
        let room = room_json
            .as_deref()
            .map_or_else(|| Ok(RoomFilter::default()), serde_json::from_str)?;
        Ok(Self {
            fields: wire.event_fields.as_deref().and_then(EventFields::new),
            format: wire.event_format,
            presence: wire.presence,
            account_data: wire.account_data,
            room,
            room_json,
        })
    }

    /// For a room of sliding sync: so many events, and members as needed or not. What rooms are told beyond that does not go by filters.
    pub(crate) fn of_window(limit: u32, lazy: bool) -> Self {
        let mut filter = Self::default();
        filter.room.timeline.limit = Some(limit.into());
        filter.room.state.lazy_load_members = lazy;
        filter.room_json = Some(r#"{"timeline":{"limit":0}}"#.to_owned());
        filter
    }

    /// Whether members are loaded lazily.
    pub(crate) fn is_lazy(&self) -> bool {
        self.room.state.lazy_load_members || self.room.timeline.lazy_load_members
    }

    /// Whether members that the client has already may be left out.
    pub(crate) fn omits_redundant(&self) -> bool {
        self.is_lazy() && !self.room.state.include_redundant_members
    }

    /// Whether threads are counted apart.
    pub(crate) fn counts_threads(&self) -> bool {
        let timeline = &self.room.timeline;
        timeline.unread_thread_notifications || timeline.unread_thread_notifications_unstable
    }
}

impl RoomFilter {
    /// Whether this room is wanted at all.
    pub(crate) fn wants(&self, room_id: &RoomId) -> bool {
        listed(room_id, self.rooms.as_deref(), &self.not_rooms)
    }
}

impl EventFilter {
    /// Whether only the room can tell which events are wanted: it depends on what relates to them.
    pub(crate) fn asks_for_relations(&self) -> bool {
        self.related_by_senders.is_some() || self.related_by_rel_types.is_some()
    }

    /// Whether an event of this type and sender is wanted.
    pub(crate) fn wants(&self, event_type: &str, sender: &UserId) -> bool {
        self.wants_type(event_type) && listed(sender, self.senders.as_deref(), &self.not_senders)
    }

    /// Whether an event of this type is wanted.
    pub(crate) fn wants_type(&self, event_type: &str) -> bool {
        let named = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| fits_pattern(event_type, pattern))
        };
        !named(&self.not_types) && self.types.as_deref().is_none_or(named)
    }

    /// Whether events of this room are wanted.
    pub(crate) fn wants_room(&self, room_id: &RoomId) -> bool {
        listed(room_id, self.rooms.as_deref(), &self.not_rooms)
    }

    /// How many events a timeline has at most.
    pub(crate) fn timeline_limit(&self) -> usize {
        let limit = self.limit.unwrap_or(TIMELINE_LIMIT_DEFAULT);
        limit.min(TIMELINE_LIMIT_MAX) as usize
    }

    /// Whether nothing but the number of events is restricted.
    pub(crate) fn is_plain(&self) -> bool {
        let only = Self {
            limit: self.limit,
            lazy_load_members: self.lazy_load_members,
            include_redundant_members: self.include_redundant_members,
            unread_thread_notifications: self.unread_thread_notifications,
            unread_thread_notifications_unstable: self.unread_thread_notifications_unstable,
            ..Self::default()
        };
        *self == only
    }
}

/// The negative list wins over the positive one; no positive list wants everything.
fn listed<W, O>(item: &W, wanted: Option<&[O]>, unwanted: &[O]) -> bool
where
    W: PartialEq + ?Sized,
    O: AsRef<W>,
{
    !unwanted.iter().any(|other| other.as_ref() == item)
        && wanted.is_none_or(|wanted| wanted.iter().any(|other| other.as_ref() == item))
}

/// `*` stands for any characters.
fn fits_pattern(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else {
            return false;
        };
        rest = &rest[found + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[test]
    fn patterns() {
        assert!(fits_pattern("m.room.member", "m.room.*"));
        assert!(fits_pattern("m.room.member", "*"));
        assert!(fits_pattern("m.room.member", "m.*.mem*r"));
        assert!(!fits_pattern("m.room.member", "m.*.name"));
        assert!(!fits_pattern("m.room", "m.room.*"));
        assert!(!fits_pattern("aa", "a*aa"));
    }

    #[test]
    fn negative_lists_win_and_an_empty_list_wants_nothing() {
        let json = r#"{"presence":{"types":[]},"account_data":{"types":["m.*"],"not_types":["m.push_rules"]},
            "room":{"rooms":["!a:x"],"not_rooms":["!a:x"],"timeline":{"limit":5000,"unread_thread_notifications":true},
            "state":{"lazy_load_members":true}}}"#;
        let filter = SyncFilter::parse(json).unwrap();
        assert!(!filter.presence.wants("m.presence", user_id!("@a:x")));
        assert!(filter.account_data.wants_type("m.direct"));
        assert!(!filter.account_data.wants_type("m.push_rules"));
        assert!(!filter.room.wants(room_id!("!a:x")));
        assert!(!filter.room.wants(room_id!("!b:x")));
        assert_eq!(filter.room.timeline.timeline_limit(), 100);
        assert!(filter.is_lazy() && filter.omits_redundant() && filter.counts_threads());
        assert!(filter.room.timeline.is_plain() && !filter.presence.is_plain());
    }
}
