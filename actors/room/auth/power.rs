//! Who may do what: the power levels in force.

use std::collections::HashSet;

use ruma::{
    Int, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};

use crate::room::{Room, RoomError, pdu::Pdu, state::StateMap};

/// The power of creators before there is a power levels event.
const CREATOR_POWER_DEFAULT: i32 = 100;

/// The power levels in force, read as the authorisation rules read them.
pub(crate) struct Power<'a> {
    event: Option<RoomPowerLevelsEvent<&'a Pdu>>,
    creators: HashSet<OwnedUserId>,
    rules: &'a AuthorizationRules,
}

impl<'a> Power<'a> {
    /// Of a room's state in force.
    pub(crate) fn of(room: &'a Room) -> Result<Self, RoomError> {
        Self::of_state(room.rules()?, &room.current)
    }

    /// Of any state of a room.
    pub(crate) fn of_state(
        rules: &'a RoomVersionRules,
        state: &'a StateMap,
    ) -> Result<Self, RoomError> {
        let rules = &rules.authorization;
        let create = event_of(state, &StateEventType::RoomCreate).ok_or(RoomError::UnknownRoom)?;
        let creators = RoomCreateEvent::new(create)
            .creators(rules)
            .map_err(RoomError::Forbidden)?;
        let event =
            event_of(state, &StateEventType::RoomPowerLevels).map(RoomPowerLevelsEvent::new);
        Ok(Self {
            event,
            creators,
            rules,
        })
    }

    /// The power of a user; no power when the event does not tell.
    pub(crate) fn of_user(&self, user_id: &UserId) -> UserPowerLevel {
        if self.rules.explicitly_privilege_room_creators && self.creators.contains(user_id) {
            return UserPowerLevel::Infinite;
        }
        let level = match &self.event {
            Some(event) => event
                .user_power_level(user_id, self.rules)
                .unwrap_or_default(),
            None if self.creators.contains(user_id) => CREATOR_POWER_DEFAULT.into(),
            None => Int::default(),
        };
        level.into()
    }

    /// The power that an act needs.
    pub(crate) fn needed_for(&self, act: RoomPowerLevelsIntField) -> Int {
        let default = act.default_value();
        self.event.as_ref().map_or(default, |event| {
            event
                .get_as_int_or_default(act, self.rules)
                .unwrap_or(default)
        })
    }

    /// The power that sending a state event needs.
    pub(crate) fn needed_for_state(&self, event_type: &StateEventType) -> Int {
        let default = RoomPowerLevelsIntField::StateDefault.default_value();
        let event_type = TimelineEventType::from(event_type.to_string());
        self.event.as_ref().map_or(default, |event| {
            event
                .event_power_level(&event_type, Some(""), self.rules)
                .unwrap_or(default)
        })
    }

    /// Whether a user may do an act.
    pub(crate) fn allows(&self, user_id: &UserId, act: RoomPowerLevelsIntField) -> bool {
        self.of_user(user_id) >= self.needed_for(act)
    }

    /// Users that the event names or that created the room, and might have more power than others.
    pub(crate) fn named_users(&self) -> Vec<&UserId> {
        let named = self
            .event
            .as_ref()
            .and_then(|event| event.users(self.rules).ok().flatten());
        let mut users: Vec<&UserId> = self.creators.iter().map(|user_id| &**user_id).collect();
        users.extend(
            named
                .into_iter()
                .flat_map(|users| users.keys())
                .map(|user_id| &**user_id),
        );
        users.sort();
        users.dedup();
        users
    }
}

fn event_of<'a>(state: &'a StateMap, event_type: &StateEventType) -> Option<&'a Pdu> {
    let event = state.get(&(event_type.to_string().into(), String::new()))?;
    Some(&event.pdu)
}
