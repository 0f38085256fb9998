//! What push rules ask about a room: its size, the reader's name in it, and who may notify everybody.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{
    Int, OwnedUserId, UserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
    },
    power_levels::NotificationPowerLevels,
    push::PushConditionPowerLevelsCtx,
    room_version_rules::{AuthorizationRules, RoomPowerLevelsRules},
    state_res::Event as _,
};
use serde::{Deserialize, Serialize};

use super::{Room, message::PushFacts};

#[derive(Deserialize)]
struct MemberName {
    displayname: Option<String>,
}

#[derive(Deserialize)]
struct CreateContent {
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

/// Who may notify everybody, as it goes from node to node: ruma's type has no form of its own.
#[derive(Serialize, Deserialize)]
struct Levels {
    users: BTreeMap<OwnedUserId, Int>,
    users_default: Int,
    room: Int,
    privileged_creators: Option<BTreeSet<OwnedUserId>>,
}

impl From<&PushConditionPowerLevelsCtx> for Levels {
    fn from(levels: &PushConditionPowerLevelsCtx) -> Self {
        let creators = levels.rules.privileged_creators.as_ref();
        Self {
            users: levels.users.clone(),
            users_default: levels.users_default,
            room: levels.notifications.room,
            privileged_creators: creators.map(|creators| creators.iter().cloned().collect()),
        }
    }
}

impl From<Levels> for PushConditionPowerLevelsCtx {
    fn from(levels: Levels) -> Self {
        let mut notifications = NotificationPowerLevels::new();
        notifications.room = levels.room;
        let mut rules = RoomPowerLevelsRules::new(&AuthorizationRules::V1, []);
        rules.privileged_creators = levels
            .privileged_creators
            .map(|creators| creators.into_iter().collect());
        Self::new(levels.users, levels.users_default, notifications, rules)
    }
}

/// For `serde(with = …)`.
pub(super) mod carried {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Levels, PushConditionPowerLevelsCtx};

    pub(in crate::room) fn serialize<S: Serializer>(
        levels: &Option<PushConditionPowerLevelsCtx>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        levels.as_ref().map(Levels::from).serialize(serializer)
    }

    pub(in crate::room) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PushConditionPowerLevelsCtx>, D::Error> {
        Ok(Option::<Levels>::deserialize(deserializer)?.map(Into::into))
    }
}

/// The facts of this moment.
pub(crate) fn push_facts(room: &Room, user_id: &UserId) -> PushFacts {
    let displayname = room
        .state_event(&StateEventType::RoomMember, user_id.as_str())
        .and_then(|event| event.pdu.content_as::<MemberName>())
        .and_then(|content| content.displayname);
    PushFacts {
        joined_count: room.joined_count,
        displayname,
        power_levels: power_levels(room).map(Into::into),
    }
}

fn power_levels(room: &Room) -> Option<RoomPowerLevels> {
    let rules = room.rules.as_ref()?;
    let create = room.state_event(&StateEventType::RoomCreate, "")?;
    let additional = create
        .pdu
        .content_as::<CreateContent>()
        .map(|content| content.additional_creators)
        .unwrap_or_default();
    let creators = std::iter::once(create.pdu.sender.clone()).chain(additional);
    let source = room
        .state_event(&StateEventType::RoomPowerLevels, "")
        .and_then(|event| {
            let content = event.pdu.content().get();
            serde_json::from_str::<RoomPowerLevelsEventContent>(content).ok()
        })
        .map_or(RoomPowerLevelsSource::None, RoomPowerLevelsSource::Original);
    Some(RoomPowerLevels::new(source, &rules.authorization, creators))
}
