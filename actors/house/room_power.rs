//! What administrators of this server do in rooms by the hand of its users: bring somebody in, give somebody power, join the ends of the event graph.

use playhouse_schema::address::Family;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::{Value as JsonValue, json};

use super::{
    House, HouseError, JoinWish, MemberWish, surprise,
    upgrade::{canonical, with_integers},
};
use crate::{
    env::JsonObject,
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{Reader, SendEvent},
        state::Extremity,
    },
};

/// The power that somebody gets where the one who gives it has power by other means than a level.
const POWER: i64 = 100;

/// So many events are sent at most to join the ends of a graph: each joins some of them.
const JOINING_EVENTS_MAX: usize = 100;

/// So many users are tried who might send them.
const SPEAKERS_MAX: usize = 20;

/// An event that says nothing: it only follows on others.
const DUMMY: &str = "org.matrix.dummy_event";

impl House {
    /// Brings a local user into a room. Where an invite is needed, the administrator invites, if in the room.
    pub async fn bring_in(&self, wish: JoinWish, by: &UserId) -> Result<OwnedRoomId, HouseError> {
        let (room_id, _) = self.room_and_servers(&wish.room, &wish.via).await?;
        self.refuse_blocked(&room_id).await?;
        match self.room_access(&room_id, &wish.user_id).await {
            Ok(access) => {
                let is_open = access.join_rule().as_deref() == Some("public");
                if !is_open
                    && !is_in(access.membership.as_ref())
                    && self.has_joined(&room_id, by).await?
                {
                    let invite = member_wish(&room_id, (by, &wish.user_id));
                    self.invite_unasked(invite).await?;
                }
            }
            Err(HouseError::Room(RoomError::UnknownRoom)) => {}
            Err(error) => return Err(error),
        }
        self.join(wish).await
    }

    /// Gives a user the power of the most powerful user of this server in a room, and an invite where one is needed.
    pub async fn make_room_admin(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        by: &UserId,
    ) -> Result<(), HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        let rulers = self.rulers(room_id).await?;
        let ruler = rulers.first().ok_or_else(|| {
            HouseError::InvalidParam(
                "nobody of this server has the power to give power in this room".to_owned(),
            )
        })?;
        let rules = access.version.rules();
        let has_creators =
            rules.is_some_and(|rules| rules.authorization.explicitly_privilege_room_creators);
        let old = self.power_levels(room_id, by).await?;
        if let Some(levels) = with_power(old, (ruler, user_id), has_creators) {
            let content = JsonValue::Object(levels).to_string();
            let state_key = Some(String::new());
            let event = event(ruler, "m.room.power_levels", (state_key, content));
            self.send_event(room_id, event).await?;
        }
        let is_open = access.join_rule().as_deref() == Some("public");
        if is_open || is_in(access.membership.as_ref()) {
            return Ok(());
        }
        let invite = member_wish(room_id, (ruler, user_id));
        if self.is_local(user_id.server_name()) {
            return self.invite_unasked(invite).await;
        }
        self.invite(invite, false).await
    }

    /// The ends of a room's event graph, the oldest first, each with the time when it came, milliseconds since the Unix epoch.
    pub async fn room_ends(&self, room_id: &RoomId) -> Result<Vec<(Extremity, u64)>, HouseError> {
        let mut timed = Vec::new();
        for end in self.ends(room_id).await? {
            let found = self
                .store
                .find(Family::Rooms, end.event_id.as_str())
                .await?;
            timed.push((end, found.map_or(0, |found| found.at_ms)));
        }
        Ok(timed)
    }

    /// Joins the ends of a room's event graph by events that follow on them, sent by whichever user of this server may. Tells how many are no ends any more.
    pub async fn join_ends(&self, room_id: &RoomId) -> Result<usize, HouseError> {
        let before = self.ends(room_id).await?.len();
        let mut left = before;
        for _ in 0..JOINING_EVENTS_MAX {
            if left <= 1 {
                break;
            }
            self.say_nothing(room_id).await?;
            let now = self.ends(room_id).await?.len();
            // Others may bring more as fast as they go.
            if now >= left {
                break;
            }
            left = now;
        }
        Ok(before.saturating_sub(left))
    }

    /// Sends an event that says nothing.
    async fn say_nothing(&self, room_id: &RoomId) -> Result<(), HouseError> {
        let query = RoomQuery::JoinedMembers { reader: None };
        let RoomAnswer::Joined(joined) = self.room_query(room_id, query).await? else {
            return Err(surprise("JoinedMembers"));
        };
        let local = joined
            .into_iter()
            .map(|(user_id, _)| user_id)
            .filter(|user_id| self.is_local(user_id.server_name()));
        for user_id in local.take(SPEAKERS_MAX) {
            let event = event(&user_id, DUMMY, (None, "{}".to_owned()));
            match self.send_event(room_id, event).await {
                Ok(_) => return Ok(()),
                Err(HouseError::Room(RoomError::Forbidden(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Err(HouseError::InvalidParam(
            "nobody of this server may speak in this room".to_owned(),
        ))
    }

    async fn ends(&self, room_id: &RoomId) -> Result<Vec<Extremity>, HouseError> {
        match self.room_query(room_id, RoomQuery::Ends).await? {
            RoomAnswer::Ends(ends) => Ok(ends),
            _ => Err(surprise("Ends")),
        }
    }

    async fn rulers(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, HouseError> {
        let query = RoomQuery::Rulers(self.env.server_name().to_owned());
        match self.room_query(room_id, query).await? {
            RoomAnswer::Users(rulers) => Ok(rulers),
            _ => Err(surprise("Rulers")),
        }
    }

    async fn has_joined(&self, room_id: &RoomId, user_id: &UserId) -> Result<bool, HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        Ok(access.membership == Some(MembershipState::Join))
    }

    /// The power levels in force, if there are any.
    async fn power_levels(
        &self,
        room_id: &RoomId,
        by: &UserId,
    ) -> Result<Option<JsonObject>, HouseError> {
        let query = RoomQuery::StateEvent {
            reader: Reader::administrator(by.to_owned()),
            event_type: StateEventType::RoomPowerLevels,
            state_key: String::new(),
            content_only: true,
        };
        match self.room_query(room_id, query).await {
            Ok(RoomAnswer::Event(content)) => Ok(canonical(&content).map(with_integers)),
            Ok(_) => Err(surprise("StateEvent")),
            Err(RoomError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether somebody is in a room, or need only come in.
fn is_in(membership: Option<&MembershipState>) -> bool {
    matches!(
        membership,
        Some(MembershipState::Join | MembershipState::Invite)
    )
}

fn member_wish(room_id: &RoomId, (sender, target): (&UserId, &UserId)) -> MemberWish {
    MemberWish {
        room_id: room_id.to_owned(),
        sender: sender.to_owned(),
        target: target.to_owned(),
        reason: None,
        extra_content: None,
        guest: false,
    }
}

fn event(
    sender: &UserId,
    event_type: &str,
    (state_key, content): (Option<String>, String),
) -> SendEvent {
    SendEvent {
        state_key,
        ..SendEvent::new(
            sender.to_owned(),
            TimelineEventType::from(event_type),
            content,
        )
    }
}

/// The levels by which a user has as much power as the one who gives it; `None` when the user has that much already.
fn with_power(
    old: Option<JsonObject>,
    (ruler, user_id): (&UserId, &UserId),
    has_creators: bool,
) -> Option<JsonObject> {
    let is_first = old.is_none();
    let mut levels = old.unwrap_or_default();
    let default = levels.get("users_default").and_then(JsonValue::as_i64);
    let users = levels
        .entry("users".to_owned())
        .or_insert_with(|| json!({}))
        .as_object_mut()?;
    let named = |user_id: &UserId| users.get(user_id.as_str()).and_then(JsonValue::as_i64);
    // Where who made the room rules it for ever, one who rules without being named has made it.
    let unnamed = default.filter(|_| !has_creators);
    let level = named(ruler).or(unnamed).unwrap_or(POWER);
    let had = named(user_id).or(default);
    let has_enough = user_id == ruler || had.is_some_and(|had| had >= level);
    // Without levels who made the room rules it: with levels, only by one of them, or for ever.
    if is_first && !has_creators {
        users.insert(ruler.to_string(), json!(level));
    }
    if has_enough {
        return None;
    }
    users.insert(user_id.to_string(), json!(level));
    Some(levels)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn object(value: JsonValue) -> Option<JsonObject> {
        value.as_object().cloned()
    }

    #[test]
    fn power_is_given_as_it_is_had() {
        let (ruler, user_id) = (user_id!("@ruler:b"), user_id!("@anna:b"));
        let given = |old, has_creators| with_power(old, (ruler, user_id), has_creators);
        let old = object(json!({"users": {"@ruler:b": 90}, "ban": 50}));
        let wanted = object(json!({"users": {"@ruler:b": 90, "@anna:b": 90}, "ban": 50}));
        assert_eq!(given(old, false), wanted);
        assert_eq!(given(wanted, false), None);
        // Nobody loses power by it.
        let more = object(json!({"users": {"@ruler:b": 50, "@anna:b": 90}}));
        assert_eq!(given(more, false), None);
        let all = || object(json!({"users": {}, "users_default": 50}));
        assert_eq!(given(all(), false), None);
        let made = object(json!({"users": {"@anna:b": 100}, "users_default": 50}));
        assert_eq!(given(all(), true), made);
        assert_eq!(with_power(None, (ruler, ruler), false), None);
        let first = object(json!({"users": {"@ruler:b": 100, "@anna:b": 100}}));
        assert_eq!(given(None, false), first);
        let creators = object(json!({"users": {"@anna:b": 100}}));
        assert_eq!(given(None, true), creators);
    }
}
