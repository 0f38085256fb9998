//! What joining and finding a room depend on, whoever asks.

use std::collections::BTreeSet;

use ruma::{
    OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedServerName, UInt, UserId,
    events::{StateEventType, room::member::MembershipState},
    room::{JoinRuleSummary, RestrictedSummary, RoomSummary},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    super::{
        auth::power::Power,
        error::RoomError,
        message::RoomAccess,
        state::{Room, membership_of},
    },
    members::member_events,
    visibility::visibility_now,
};

/// So many servers are named at most.
const SERVERS_MAX: usize = 1_000;

#[derive(Default, Deserialize)]
struct JoinRules {
    #[serde(default)]
    allow: Vec<AllowRule>,
}

#[derive(Deserialize)]
struct AllowRule {
    #[serde(rename = "type")]
    rule_type: Option<String>,
    room_id: Option<String>,
}

/// Answers what there is to know.
pub(super) fn access(room: &Room, user_id: &UserId) -> Result<RoomAccess, RoomError> {
    let version = room.version.clone().ok_or(RoomError::UnknownRoom)?;
    let membership = room.membership(user_id);
    let member = room.state_event(&StateEventType::RoomMember, user_id.as_str());
    let join_rules = room.state_event(&StateEventType::RoomJoinRules, "");
    let guest_access: Option<String> = text(room, &StateEventType::RoomGuestAccess, "guest_access");
    Ok(RoomAccess {
        version,
        join_rules: join_rules.map(|event| event.pdu.content_json().to_owned()),
        allowed_rooms: join_rules
            .and_then(|event| event.pdu.content_as())
            .map(allowed_rooms)
            .unwrap_or_default(),
        world_readable: visibility_now(room)
            == ruma::events::room::history_visibility::HistoryVisibility::WorldReadable,
        guests_can_join: guest_access.as_deref() == Some("can_join"),
        name: text(room, &StateEventType::RoomName, "name"),
        topic: text(room, &StateEventType::RoomTopic, "topic"),
        canonical_alias: canonical_alias(room),
        avatar_url: avatar(room),
        room_type: room_type(room),
        predecessor: predecessor(room),
        encryption: text(room, &StateEventType::RoomEncryption, "algorithm"),
        joined_count: room.joined_count,
        public: room.public,
        may_set_aliases: membership == Some(MembershipState::Join)
            && may_send_state(room, user_id, &StateEventType::RoomCanonicalAlias),
        membership,
        member_sequence: member.map_or(0, |event| event.sequence),
        servers: servers(room),
    })
}

impl RoomAccess {
    /// What the room says of who may join; `None` when it says nothing.
    pub fn join_rule(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Rules {
            join_rule: String,
        }
        let rules: Rules = serde_json::from_str(self.join_rules.as_deref()?).ok()?;
        Some(rules.join_rule)
    }

    /// What the room says of itself to those who may see it from outside.
    pub fn into_summary(self, room_id: OwnedRoomId) -> RoomSummary {
        let join_rule = self.join_rule();
        let allowed = self.allowed_rooms;
        // Rules that are missing or not known let in who is invited.
        let join_rule = match join_rule.as_deref() {
            Some("public") => JoinRuleSummary::Public,
            Some("knock") => JoinRuleSummary::Knock,
            Some("private") => JoinRuleSummary::Private,
            Some("restricted") => JoinRuleSummary::Restricted(RestrictedSummary::new(allowed)),
            Some("knock_restricted") => {
                JoinRuleSummary::KnockRestricted(RestrictedSummary::new(allowed))
            }
            _ => JoinRuleSummary::Invite,
        };
        let mut summary = RoomSummary::new(
            room_id,
            join_rule,
            self.guests_can_join,
            UInt::new_saturating(self.joined_count),
            self.world_readable,
        );
        summary.canonical_alias = self.canonical_alias;
        summary.name = self.name;
        summary.topic = self.topic;
        summary.avatar_url = self.avatar_url;
        summary.room_type = self.room_type.map(Into::into);
        summary.encryption = self.encryption.map(Into::into);
        summary.room_version = Some(self.version);
        summary
    }
}

/// One field of a state event's content, unless it is missing or something else.
fn text<T: DeserializeOwned>(room: &Room, event_type: &StateEventType, field: &str) -> Option<T> {
    let event = room.state_event(event_type, "")?;
    let mut content: serde_json::Map<String, serde_json::Value> = event.pdu.content_as()?;
    let value = content.remove(field)?;
    if value.as_str().is_none_or(str::is_empty) {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// Whether the power levels let somebody send state of a type. Membership is not looked at.
pub(super) fn may_send_state(room: &Room, user_id: &UserId, event_type: &StateEventType) -> bool {
    Power::of(room).is_ok_and(|power| power.of_user(user_id) >= power.needed_for_state(event_type))
}

/// The name in force, if there is one.
pub(super) fn name(room: &Room) -> Option<String> {
    text(room, &StateEventType::RoomName, "name")
}

/// The avatar in force, if there is one.
pub(super) fn avatar(room: &Room) -> Option<OwnedMxcUri> {
    text(room, &StateEventType::RoomAvatar, "url")
}

/// The canonical alias in force, if there is one.
pub(super) fn canonical_alias(room: &Room) -> Option<OwnedRoomAliasId> {
    text(room, &StateEventType::RoomCanonicalAlias, "alias")
}

/// `type` of the create event.
pub(super) fn room_type(room: &Room) -> Option<String> {
    text(room, &StateEventType::RoomCreate, "type")
}

/// `predecessor` of the create event.
fn predecessor(room: &Room) -> Option<OwnedRoomId> {
    #[derive(Deserialize)]
    struct Content {
        predecessor: Option<Predecessor>,
    }
    #[derive(Deserialize)]
    struct Predecessor {
        room_id: OwnedRoomId,
    }
    let create = room.state_event(&StateEventType::RoomCreate, "")?;
    let content: Content = create.pdu.content_as()?;
    Some(content.predecessor?.room_id)
}

fn allowed_rooms(rules: JoinRules) -> Vec<OwnedRoomId> {
    let rooms = rules
        .allow
        .into_iter()
        .filter(|rule| rule.rule_type.as_deref() == Some("m.room_membership"))
        .filter_map(|rule| OwnedRoomId::try_from(rule.room_id?).ok());
    rooms.collect()
}

/// The servers with joined members. A server is asked about only until one of its members is found.
fn servers(room: &Room) -> Vec<OwnedServerName> {
    let mut servers = BTreeSet::new();
    for event in member_events(&room.current) {
        let user_id = event
            .pdu
            .state_key
            .as_deref()
            .and_then(|user_id| <&UserId>::try_from(user_id).ok());
        if let Some(user_id) = user_id
            && !servers.contains(user_id.server_name())
            && membership_of(event) == Some(MembershipState::Join)
        {
            servers.insert(user_id.server_name().to_owned());
            if servers.len() >= SERVERS_MAX {
                break;
            }
        }
    }
    servers.into_iter().collect()
}
