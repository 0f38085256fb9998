//! Replacing a room by one of another version (client-server API, "Room upgrades").
//!
//! The new room is made whole before the old one points to it. What follows the tombstone (aliases, listing, power levels) is safe to repeat, so a client
//! that repeats the request after a failure gets the same new room, and the rest done.

use std::collections::BTreeSet;

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json, value::RawValue};

use super::{House, HouseError, surprise};
use crate::{
    env::JsonObject,
    room::{
        RoomAnswer, RoomCommand, RoomError, RoomQuery,
        create::prepare,
        message::{MessagesQuery, NewRoom, Preset, Reader, RoomAccess, SendEvent, StateContent},
        numbers::whole_numbers,
    },
};

/// Somebody wants to upgrade a room (client-server API, `POST /rooms/{roomId}/upgrade`).
#[derive(Clone, Debug)]
pub struct UpgradeWish {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who.
    pub user_id: OwnedUserId,
    /// To which version.
    pub version: RoomVersionId,
    /// Creators besides the user, from version 12 on; ignored before.
    pub additional_creators: Vec<OwnedUserId>,
}

/// State that is taken over.
const COPIED: [&str; 9] = [
    "m.room.avatar",
    "m.room.encryption",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.name",
    "m.room.power_levels",
    "m.room.server_acl",
    "m.room.topic",
];

/// Keys of the create event that are the new room's own.
const NOT_COPIED_FROM_CREATE: [&str; 4] = [
    "additional_creators",
    "creator",
    "predecessor",
    "room_version",
];

#[derive(Deserialize)]
struct StateEvent {
    #[serde(rename = "type")]
    event_type: String,
    state_key: String,
    content: Box<RawValue>,
}

#[derive(Deserialize)]
struct Tombstone {
    sender: OwnedUserId,
    content: TombstoneContent,
}

#[derive(Deserialize)]
struct TombstoneContent {
    replacement_room: OwnedRoomId,
}

/// What the new room begins with.
struct Inheritance {
    creation_content: JsonObject,
    power_levels: Option<JsonObject>,
    state: Vec<StateContent>,
}

impl House {
    /// Replaces a room by a new one and gives the new one's ID.
    pub async fn upgrade_room(&self, wish: UpgradeWish) -> Result<OwnedRoomId, HouseError> {
        let old = self.room_access(&wish.room_id, &wish.user_id).await?;
        let new_id = match self.earlier_upgrade(&wish).await? {
            Some(new_id) => new_id,
            None => self.replace_room(&wish, &old).await?,
        };
        self.move_aliases(&wish, &new_id, old.canonical_alias.is_some())
            .await?;
        if old.public {
            self.move_listing(&wish.room_id, &new_id).await?;
        }
        self.close_old_room(&wish).await?;
        Ok(new_id)
    }

    /// The room that an earlier attempt of the same user made.
    async fn earlier_upgrade(&self, wish: &UpgradeWish) -> Result<Option<OwnedRoomId>, HouseError> {
        let tombstone = self
            .state_for_upgrade(wish, StateEventType::RoomTombstone, false)
            .await?;
        let Some(tombstone) =
            tombstone.and_then(|json| serde_json::from_slice::<Tombstone>(&json).ok())
        else {
            return Ok(None);
        };
        let new_id = tombstone.content.replacement_room;
        if tombstone.sender != wish.user_id {
            return Ok(None);
        }
        match self.room_access(&new_id, &wish.user_id).await {
            Ok(access) if access.version == wish.version => Ok(Some(new_id)),
            Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the new room, then lets the old one point to it.
    async fn replace_room(
        &self,
        wish: &UpgradeWish,
        old: &RoomAccess,
    ) -> Result<OwnedRoomId, HouseError> {
        let rules = wish
            .version
            .rules()
            .ok_or_else(|| RoomError::UnsupportedVersion(wish.version.clone()))?;
        let creators_rule = rules.authorization.explicitly_privilege_room_creators;
        let mut inherited = self.inheritance(wish).await?;
        let mut predecessor = json!({ "room_id": wish.room_id });
        if let Some(event_id) = self.last_event(wish).await? {
            predecessor["event_id"] = json!(event_id);
        }
        inherited
            .creation_content
            .insert("predecessor".to_owned(), predecessor);
        let mut creators = BTreeSet::from([wish.user_id.clone()]);
        if creators_rule {
            creators.extend(wish.additional_creators.iter().cloned());
            inherited.creation_content.insert(
                "additional_creators".to_owned(),
                json!(wish.additional_creators),
            );
        }
        let levels = inherited.power_levels.as_ref().map(|old| {
            if creators_rule {
                without_creators(old, &creators)
            } else {
                raised(old, &wish.user_id)
            }
        });
        let preset = if old.join_rule().as_deref() == Some("public") {
            Preset::PublicChat
        } else {
            Preset::PrivateChat
        };
        let request = NewRoom {
            creator: wish.user_id.clone(),
            creator_profile: self.member_profile(&wish.user_id).await?,
            version: wish.version.clone(),
            creation_content: Some(JsonValue::Object(inherited.creation_content).to_string()),
            preset,
            power_level_content_override: levels
                .clone()
                .map(|levels| JsonValue::Object(levels).to_string()),
            alias: None,
            initial_state: inherited.state,
            name: None,
            topic: None,
            invites: Vec::new(),
            is_direct: false,
            public: false,
        };
        let (new_id, create) = prepare(&self.env, request)?;
        self.make_room(&new_id, create).await?;
        let was_creator = old
            .version
            .rules()
            .is_some_and(|rules| rules.authorization.explicitly_privilege_room_creators);
        if let Some(old) = inherited.power_levels
            && !creators_rule
            && !was_creator
            && levels.as_ref() != Some(&old)
        {
            // Only the making needed more power than the user had.
            let event = self.state_event(wish, "m.room.power_levels", &JsonValue::Object(old));
            self.send_event(&new_id, event).await?;
        }
        self.bury(wish, &new_id).await?;
        Ok(new_id)
    }

    /// Lets the old room point to the new one.
    async fn bury(&self, wish: &UpgradeWish, new_id: &RoomId) -> Result<(), HouseError> {
        let content = json!({
            "body": "This room has been replaced",
            "replacement_room": new_id,
        });
        let tombstone = self.state_event(wish, "m.room.tombstone", &content);
        self.send_event(&wish.room_id, tombstone).await?;
        Ok(())
    }

    /// Reads what the new room takes over. Refuses when the user may not send the tombstone.
    async fn inheritance(&self, wish: &UpgradeWish) -> Result<Inheritance, HouseError> {
        let query = RoomQuery::StateForUpgrade {
            user_id: wish.user_id.clone(),
        };
        let RoomAnswer::Events(events) = self.room_query(&wish.room_id, query).await? else {
            return Err(surprise("StateForUpgrade"));
        };
        let create = self
            .state_for_upgrade(wish, StateEventType::RoomCreate, true)
            .await?;
        let mut creation_content = create.and_then(|json| canonical(&json)).unwrap_or_default();
        for key in NOT_COPIED_FROM_CREATE {
            creation_content.remove(key);
        }
        let mut inherited = Inheritance {
            creation_content,
            power_levels: None,
            state: Vec::new(),
        };
        for event in events {
            let Ok(event) = serde_json::from_slice::<StateEvent>(&event) else {
                continue;
            };
            if !event.state_key.is_empty() || !COPIED.contains(&event.event_type.as_str()) {
                continue;
            }
            let Some(content) = canonical(event.content.get().as_bytes()) else {
                continue;
            };
            if event.event_type == "m.room.power_levels" {
                inherited.power_levels = Some(with_integers(content));
            } else {
                inherited.state.push(StateContent {
                    event_type: event.event_type.into(),
                    state_key: event.state_key,
                    content: JsonValue::Object(content).to_string(),
                });
            }
        }
        Ok(inherited)
    }

    async fn state_for_upgrade(
        &self,
        wish: &UpgradeWish,
        event_type: StateEventType,
        content_only: bool,
    ) -> Result<Option<bytes::Bytes>, HouseError> {
        let query = RoomQuery::StateEvent {
            reader: reader(&wish.user_id),
            event_type,
            state_key: String::new(),
            content_only,
        };
        match self.room_query(&wish.room_id, query).await {
            Ok(RoomAnswer::Event(event)) => Ok(Some(event)),
            Ok(_) => Err(surprise("StateEvent")),
            Err(RoomError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest event of the old room that the user sees.
    async fn last_event(&self, wish: &UpgradeWish) -> Result<Option<OwnedEventId>, HouseError> {
        #[derive(Deserialize)]
        struct Named {
            event_id: OwnedEventId,
        }
        let query = RoomQuery::Messages(Box::new(MessagesQuery {
            reader: reader(&wish.user_id),
            from: None,
            to: None,
            backwards: true,
            limit: 1,
            filter: None,
        }));
        let RoomAnswer::Page(page) = self.room_query(&wish.room_id, query).await? else {
            return Err(surprise("Messages"));
        };
        let newest = page.chunk.first();
        Ok(newest
            .and_then(|json| serde_json::from_slice::<Named>(json).ok())
            .map(|named| named.event_id))
    }

    /// Points the old room's aliases of this server to the new one, and moves the canonical alias.
    async fn move_aliases(
        &self,
        wish: &UpgradeWish,
        new_id: &RoomId,
        is_canonical_moved: bool,
    ) -> Result<(), HouseError> {
        for alias in self.local_aliases(&wish.room_id).await? {
            self.repoint_alias(&alias, &wish.room_id, new_id).await?;
        }
        if !is_canonical_moved {
            return Ok(());
        }
        let event_type = StateEventType::RoomCanonicalAlias;
        let Some(content) = self.state_for_upgrade(wish, event_type, true).await? else {
            return Ok(());
        };
        let content = JsonValue::Object(canonical(&content).unwrap_or_default());
        let event = self.state_event(wish, "m.room.canonical_alias", &content);
        unless_forbidden(self.send_event(new_id, event).await)?;
        let event = self.state_event(wish, "m.room.canonical_alias", &json!({}));
        unless_forbidden(self.send_event(&wish.room_id, event).await)
    }

    async fn move_listing(&self, old_id: &RoomId, new_id: &RoomId) -> Result<(), HouseError> {
        for (room_id, public) in [(new_id, true), (old_id, false)] {
            let command = RoomCommand::SetDirectoryVisibility {
                user_id: None,
                public,
            };
            self.room_command(room_id, command).await?;
        }
        Ok(())
    }

    /// Makes the old room one to read, if the user may.
    async fn close_old_room(&self, wish: &UpgradeWish) -> Result<(), HouseError> {
        let levels = self
            .state_for_upgrade(wish, StateEventType::RoomPowerLevels, true)
            .await?;
        let levels = levels.and_then(|json| canonical(&json));
        let Some(levels) = closed(with_integers(levels.unwrap_or_default())) else {
            return Ok(());
        };
        let event = self.state_event(wish, "m.room.power_levels", &JsonValue::Object(levels));
        unless_forbidden(self.send_event(&wish.room_id, event).await)
    }

    fn state_event(&self, wish: &UpgradeWish, event_type: &str, content: &JsonValue) -> SendEvent {
        SendEvent::new(
            wish.user_id.clone(),
            TimelineEventType::from(event_type),
            content.to_string(),
        )
        .with_state_key("")
    }
}

fn reader(user_id: &UserId) -> Reader {
    Reader {
        user_id: user_id.to_owned(),
        device_id: None,
        ignored: Vec::new(),
        forgotten: None,
        sees_all: false,
    }
}

/// A creator's power is not a level: from version 12 on power levels must not list creators.
fn without_creators(levels: &JsonObject, creators: &BTreeSet<OwnedUserId>) -> JsonObject {
    let mut levels = levels.clone();
    if let Some(users) = levels.get_mut("users").and_then(JsonValue::as_object_mut) {
        users.retain(|user_id, _| !creators.iter().any(|creator| creator == user_id.as_str()));
    }
    levels
}

/// Content with whole numbers only: rooms of versions 1 to 5 may have others, which no event of this server can have.
pub(super) fn canonical(content: &[u8]) -> Option<JsonObject> {
    let text = std::str::from_utf8(content).ok()?;
    let whole = whole_numbers(text);
    serde_json::from_str(whole.as_deref().unwrap_or(text)).ok()
}

/// The same levels, with nobody but the powerful able to speak and invite; `None` when it is so already.
fn closed(mut levels: JsonObject) -> Option<JsonObject> {
    let level = |name: &str| levels.get(name).and_then(JsonValue::as_i64).unwrap_or(0);
    let muted = level("users_default").saturating_add(1).max(50);
    let raised = ["events_default", "invite"].map(|name| (name, level(name)));
    if raised.iter().all(|(_, level)| *level >= muted) {
        return None;
    }
    for (name, level) in raised {
        levels.insert(name.to_owned(), json!(level.max(muted)));
    }
    Some(levels)
}

/// Levels as integers: rooms before version 10 may have written them as strings.
pub(super) fn with_integers(levels: JsonObject) -> JsonObject {
    let integer = |value: JsonValue| match value {
        JsonValue::String(text) => text
            .trim()
            .parse::<i64>()
            .map_or(JsonValue::Null, Into::into),
        JsonValue::Object(inner) => JsonValue::Object(with_integers(inner)),
        other => other,
    };
    let levels = levels
        .into_iter()
        .map(|(name, value)| (name, integer(value)));
    levels.filter(|(_, value)| !value.is_null()).collect()
}

/// The same levels, with the maker powerful enough to make the room.
fn raised(levels: &JsonObject, maker: &UserId) -> JsonObject {
    let mut levels = levels.clone();
    let events = levels.get("events").and_then(JsonValue::as_object);
    let demands = events.into_iter().flat_map(|events| events.values());
    let demands = demands.chain(
        ["state_default", "invite", "ban"]
            .iter()
            .filter_map(|name| levels.get(*name)),
    );
    let needed = demands.filter_map(JsonValue::as_i64).fold(100, i64::max);
    let users = levels
        .entry("users")
        .or_insert_with(|| JsonValue::Object(JsonObject::new()));
    if let Some(users) = users.as_object_mut() {
        let own = users.get(maker.as_str()).and_then(JsonValue::as_i64);
        if own.is_none_or(|own| own < needed) {
            users.insert(maker.to_string(), json!(needed));
        }
    }
    levels
}

/// What is only wished for may be forbidden.
fn unless_forbidden<T>(outcome: Result<T, HouseError>) -> Result<(), HouseError> {
    match outcome {
        Ok(_) | Err(HouseError::Room(RoomError::Forbidden(_) | RoomError::BadAlias(_))) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> JsonObject {
        with_integers(canonical(text.as_bytes()).expect("an object"))
    }

    #[test]
    fn levels_of_old_rooms_keep_their_worth() {
        let old = levels(
            r#"{"invite":75.5,"ban":"60","kick":1e300,"events":{"m.room.name":110.9},"users":{"@a:b.c":100.0}}"#,
        );
        let most = (1_i64 << 53) - 1;
        let wanted = json!({
            "invite": 75, "ban": 60, "kick": most, "events": {"m.room.name": 110}, "users": {"@a:b.c": 100},
        });
        assert_eq!(JsonValue::Object(old.clone()), wanted);
        let maker = <&UserId>::try_from("@a:b.c").expect("a user");
        let raised = raised(&old, maker);
        assert_eq!(raised["users"], json!({"@a:b.c": 110}));
        let closed = closed(old).expect("it was open");
        assert_eq!(closed["invite"], 75);
        assert_eq!(closed["events_default"], 50);
    }

    #[test]
    fn what_is_closed_stays_so() {
        let open = levels(r#"{"users_default":60.9,"invite":75.5,"events_default":"60"}"#);
        let closed_now = closed(open).expect("whoever is there may speak");
        assert_eq!(closed_now["events_default"], 61);
        assert_eq!(closed_now["invite"], 75);
        assert_eq!(closed(closed_now), None);
        assert_eq!(
            closed(levels(r#"{"invite":50.5,"events_default":"50"}"#)),
            None
        );
    }
}
