//! A request of sliding sync as clients write it, and its bounds.

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedRoomId, UserId, presence::PresenceState};
use serde::{Deserialize, Serialize};

use crate::{room::message::StateWish, user::UserError};

/// So many lists a request may have.
const LISTS_MAX: usize = 100;

/// So many ranges a list may have.
const RANGES_MAX: usize = 100;

/// So many rooms may be subscribed to.
const SUBSCRIPTIONS_MAX: usize = 1_000;

/// So many pieces of state a list or subscription may require.
const REQUIRED_STATE_MAX: usize = 200;

/// So many spaces, types, tags, rooms or list names may stand where some may.
const NAMES_MAX: usize = 1_000;

/// The longest names of connections, lists and transactions.
const NAME_BYTES_MAX: usize = 255;

/// The longest timeline.
const TIMELINE_MAX: u64 = 100;

/// A sliding sync, asked of the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlidingQuery {
    /// The device that syncs.
    pub device_id: OwnedDeviceId,
    /// The `pos` of the last answer.
    pub pos: Option<String>,
    /// What syncing says about presence; `None` leaves it alone (offline).
    pub set_presence: Option<PresenceState>,
    /// Wait so long for something to tell.
    pub timeout_ms: u64,
    /// The body.
    pub request: SlidingRequest,
}

/// The body of a request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SlidingRequest {
    /// Which connection of the device.
    pub conn_id: Option<String>,
    /// Comes back in the answer.
    pub txn_id: Option<String>,
    /// Lists by name.
    #[serde(default)]
    pub lists: BTreeMap<String, List>,
    /// Rooms wanted whether or not they are in a list.
    #[serde(default)]
    pub room_subscriptions: BTreeMap<OwnedRoomId, RoomConfig>,
    /// Extensions.
    #[serde(default)]
    pub extensions: Extensions,
}

/// A list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct List {
    /// First and last place of each range.
    #[serde(default)]
    pub ranges: Vec<(u64, u64)>,
    /// The same for a list of one range.
    pub range: Option<(u64, u64)>,
    /// Which rooms belong to it.
    pub filters: Option<Filters>,
    /// What is wanted of its rooms.
    #[serde(flatten)]
    pub config: RoomConfig,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RoomConfig {
    /// So many events at most.
    #[serde(default)]
    pub timeline_limit: u64,
    /// Event type and state key.
    #[serde(default)]
    pub required_state: Vec<(String, String)>,
}

/// Which rooms belong to a list: those to which all of it applies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Filters {
    /// Named by `m.direct`.
    pub is_dm: Option<bool>,
    /// Children of one of these spaces.
    pub spaces: Option<Vec<OwnedRoomId>>,
    /// Encrypted.
    pub is_encrypted: Option<bool>,
    /// Invited to.
    pub is_invite: Option<bool>,
    /// Of one of these types; `null` is a room without a type.
    pub room_types: Option<Vec<Option<String>>>,
    /// Of none of these types.
    pub not_room_types: Option<Vec<Option<String>>>,
    /// The name contains this, in any case of letters.
    pub room_name_like: Option<String>,
    /// With one of these tags.
    pub tags: Option<Vec<String>>,
    /// With none of these tags.
    pub not_tags: Option<Vec<String>>,
}

/// Extensions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Extensions {
    /// To-device messages.
    #[serde(default)]
    pub to_device: ToDeviceWish,
    /// Device lists and key counts.
    #[serde(default)]
    pub e2ee: Enabled,
    /// Account data.
    #[serde(default)]
    pub account_data: Scope,
    /// Receipts.
    #[serde(default)]
    pub receipts: Scope,
    /// Typing users.
    #[serde(default)]
    pub typing: Scope,
    /// Thread subscriptions.
    #[serde(
        rename = "io.element.msc4308.thread_subscriptions",
        alias = "thread_subscriptions",
        default
    )]
    pub thread_subscriptions: ThreadsWish,
    /// Sticky events.
    #[serde(rename = "org.matrix.msc4354.sticky_events", default)]
    pub sticky_events: StickyWish,
}

/// An extension that is on or off.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Enabled {
    /// On.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// To-device messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ToDeviceWish {
    /// On.
    pub enabled: Option<bool>,
    /// At most so many.
    pub limit: Option<u64>,
    /// The `next_batch` of the last answer: messages up to it have been received.
    pub since: Option<String>,
}

/// Thread subscriptions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ThreadsWish {
    /// On.
    pub enabled: Option<bool>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Sticky events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StickyWish {
    /// On.
    pub enabled: Option<bool>,
    /// The `next_batch` of the last answer: events up to it have been received.
    pub since: Option<String>,
}

impl StickyWish {
    /// Whether it is on.
    pub(crate) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }
}

/// An extension for some of the rooms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scope {
    /// On.
    pub enabled: Option<bool>,
    /// For rooms in these lists; all when it is missing or one is `*`.
    pub lists: Option<Vec<String>>,
    /// For these rooms of those subscribed to; all when it is missing or one is `*`.
    pub rooms: Option<Vec<String>>,
}

impl Scope {
    /// Whether it is on.
    pub(crate) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }

    /// Whether it is on for a room.
    pub(crate) fn covers(&self, room_id: &str, lists: &[&str], is_subscribed: bool) -> bool {
        let names = |wanted: &Option<Vec<String>>, name: &str| {
            let fits = |wanted: &String| wanted == "*" || wanted == name;
            wanted.as_ref().is_none_or(|wanted| wanted.iter().any(fits))
        };
        let by_list = lists.iter().any(|list| names(&self.lists, list));
        self.is_on() && (by_list || (is_subscribed && names(&self.rooms, room_id)))
    }

    fn is_bounded(&self) -> bool {
        let fits = |names: &Option<Vec<String>>| {
            names.as_ref().is_none_or(|names| names.len() <= NAMES_MAX)
        };
        fits(&self.lists) && fits(&self.rooms)
    }
}

impl List {
    /// Its ranges, however they are written.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().chain(&self.range).copied()
    }
}

impl RoomConfig {
    /// So many events at most.
    pub(crate) fn limit(&self) -> u32 {
        u32::try_from(self.timeline_limit.min(TIMELINE_MAX)).unwrap_or(0)
    }

    /// The state that is wanted, with what stands for the user put in.
    pub(crate) fn wish(&self, user_id: &UserId) -> StateWish {
        let mut wish = StateWish::default();
        for (event_type, state_key) in &self.required_state {
            let state_key = match state_key.as_str() {
                "$LAZY" if event_type == "m.room.member" => {
                    wish.lazy = true;
                    continue;
                }
                "$ME" => user_id.to_string(),
                _ => state_key.clone(),
            };
            wish.entries.insert((event_type.clone(), state_key));
        }
        // Whoever wants all members needs none lazily.
        let every_member = ("m.room.member".to_owned(), "*".to_owned());
        wish.lazy &= !wish.entries.contains(&every_member);
        wish
    }
}

impl SlidingRequest {
    /// The name of the connection.
    pub(crate) fn connection(&self) -> &str {
        self.conn_id.as_deref().unwrap_or("")
    }

    /// Refuses what makes no sense or is too much.
    pub(crate) fn check(&self) -> Result<(), UserError> {
        let refuse = |what: &str| Err(UserError::InvalidParam(what.to_owned()));
        let is_long = |name: &Option<String>| {
            name.as_ref()
                .is_some_and(|name| name.len() > NAME_BYTES_MAX)
        };
        if is_long(&self.conn_id) || is_long(&self.txn_id) {
            return refuse("conn_id, txn_id: too long");
        }
        if self.lists.len() > LISTS_MAX || self.room_subscriptions.len() > SUBSCRIPTIONS_MAX {
            return refuse("too many lists or subscriptions");
        }
        let configs = self.lists.values().map(|list| &list.config);
        let mut configs = configs.chain(self.room_subscriptions.values());
        if configs.any(|config| config.required_state.len() > REQUIRED_STATE_MAX) {
            return refuse("required_state: too much");
        }
        for (name, list) in &self.lists {
            if name.len() > NAME_BYTES_MAX || list.ranges.len() > RANGES_MAX {
                return refuse("lists: name too long or too many ranges");
            }
            if list.ranges().any(|(first, last)| first > last) {
                return refuse("ranges: the first place stands after the last");
            }
            if !list.filters.as_ref().is_none_or(Filters::is_bounded) {
                return refuse("filters: too much");
            }
        }
        let extensions = &self.extensions;
        let scopes = [
            &extensions.account_data,
            &extensions.receipts,
            &extensions.typing,
        ];
        if !scopes.iter().all(|scope| scope.is_bounded()) {
            return refuse("extensions: too many lists or rooms");
        }
        Ok(())
    }
}

impl Filters {
    fn is_bounded(&self) -> bool {
        fn fits<T>(items: &Option<Vec<T>>) -> bool {
            items.as_ref().is_none_or(|items| items.len() <= NAMES_MAX)
        }
        fits(&self.spaces)
            && fits(&self.room_types)
            && fits(&self.not_room_types)
            && fits(&self.tags)
            && fits(&self.not_tags)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn request(json: &str) -> SlidingRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_request_as_a_client_writes_it() {
        let request = request(
            r#"{"conn_id":"room-list","lists":{"all_rooms":{"ranges":[[0,19]],"timeline_limit":500,
            "required_state":[["m.room.name",""],["m.room.member","$LAZY"],["m.room.member","$ME"]],
            "filters":{"not_room_types":["m.space"],"room_types":[null]}}},
            "extensions":{"receipts":{"enabled":true,"rooms":["*"]},"to_device":{"enabled":true,"limit":10}}}"#,
        );
        request.check().unwrap();
        let list = &request.lists["all_rooms"];
        assert_eq!(list.config.limit(), 100);
        let wish = list.config.wish(user_id!("@me:x"));
        assert!(wish.lazy && wish.wants("m.room.member", "@me:x"));
        let receipts = &request.extensions.receipts;
        assert!(receipts.covers("!r:x", &["all_rooms"], false));
        assert!(receipts.covers("!r:x", &[], true) && !receipts.covers("!r:x", &[], false));
        assert!(
            !request
                .extensions
                .typing
                .covers("!r:x", &["all_rooms"], true)
        );
    }

    #[test]
    fn scopes_name_lists_and_rooms() {
        let scope = Scope {
            enabled: Some(true),
            lists: Some(vec!["a".into()]),
            rooms: Some(vec!["!r:x".into()]),
        };
        assert!(scope.covers("!s:x", &["a"], false) && !scope.covers("!s:x", &["b"], true));
        assert!(scope.covers("!r:x", &["b"], true) && !scope.covers("!r:x", &["b"], false));
    }

    #[test]
    fn nonsense_and_excess_are_refused() {
        let many = r#"["a","b"],"#.repeat(REQUIRED_STATE_MAX);
        for refused in [
            r#"{"lists":{"a":{"ranges":[[3,2]]}}}"#.to_owned(),
            format!(r#"{{"conn_id":"{}"}}"#, "x".repeat(256)),
            format!(r#"{{"lists":{{"a":{{"required_state":[{many}["a","c"]]}}}}}}"#),
        ] {
            assert!(request(&refused).check().is_err(), "{refused}");
        }
    }
}
