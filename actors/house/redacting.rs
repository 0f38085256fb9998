//! Redacting everything that a user sent, because an administrator wants it. What is wanted stands in the log: a restart goes on with it, room by room.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use playhouse_schema::record::purge::{PurgeEnded, RedactionMoved, UserRedaction};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    House, HouseError,
    purges::{ID_CHARACTERS, PAUSE, Purger, Trouble, purges},
    surprise,
};
use crate::{
    followers::task::Stop,
    purges::{PurgeAnswer, PurgeCommand, PurgeQuery, RedactionStanding, Tasks},
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{MessagesQuery, Place, Reader, SendEvent},
    },
};

/// So many events are looked at in one page.
const PAGE_EVENTS: usize = 200;

/// So many rooms one wish may name.
const ROOMS_MAX: usize = 10_000;

/// What an administrator wants redacted.
#[derive(Clone, Debug)]
pub struct RedactionWish {
    /// Whose events.
    pub user_id: OwnedUserId,
    /// In which rooms; none for all in which the user is or is banned.
    pub rooms: Vec<OwnedRoomId>,
    /// The reason given.
    pub reason: Option<String>,
    /// At most so many events of each room, the newest.
    pub limit: u64,
    /// The administrator redacts, and not the user.
    pub use_admin: bool,
    /// Only what was sent after this time, milliseconds since the Unix epoch.
    pub after_ms: Option<u64>,
    /// Only what was sent before this time.
    pub before_ms: Option<u64>,
}

/// As much of an event as tells whether it goes.
#[derive(Deserialize)]
struct Sent {
    event_id: OwnedEventId,
    #[serde(rename = "type")]
    event_type: String,
    state_key: Option<String>,
    origin_server_ts: u64,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    unsigned: Unsigned,
}

#[derive(Default, Deserialize)]
struct Content {
    membership: Option<String>,
}

#[derive(Default, Deserialize)]
struct Unsigned {
    redacted_because: Option<Because>,
}

/// What redacted an event already.
#[derive(Deserialize)]
struct Because {
    #[serde(default)]
    sender: String,
    #[serde(default)]
    origin_server_ts: u64,
}

impl Because {
    /// Whether that was done because of what is wanted here: before a restart, or a trouble.
    fn is_of(&self, redaction: &UserRedaction) -> bool {
        [&redaction.user_id, &redaction.by].contains(&&self.sender)
            && self.origin_server_ts >= redaction.at_ms
    }
}

impl Sent {
    /// Messages are meant, and of the state what the user put there on coming in.
    fn is_meant(&self, redaction: &UserRedaction) -> bool {
        let is_of_kind = match &self.state_key {
            None => self.event_type != "m.room.redaction",
            Some(_) => {
                self.event_type == "m.room.member"
                    && self.content.membership.as_deref() == Some("join")
            }
        };
        let at_ms = self.origin_server_ts;
        is_of_kind
            && redaction.after_ms.is_none_or(|after_ms| at_ms >= after_ms)
            && redaction
                .before_ms
                .is_none_or(|before_ms| at_ms <= before_ms)
    }
}

impl House {
    /// Begins to redact everything that a user sent. Gives the name by which to ask how it stands.
    pub async fn begin_redaction(
        &self,
        wish: RedactionWish,
        by: &UserId,
    ) -> Result<String, HouseError> {
        let mut rooms: Vec<String> = wish.rooms.iter().map(ToString::to_string).collect();
        if rooms.is_empty() {
            let known = self.memberships_of(&wish.user_id).await?;
            let known = known.into_iter();
            let there = known.filter(|one| ["join", "ban"].contains(&one.membership.as_str()));
            rooms.extend(there.map(|one| one.room_id));
        }
        if rooms.len() > ROOMS_MAX {
            return Err(HouseError::InvalidParam(
                "too many rooms at once".to_owned(),
            ));
        }
        let id = self.env.random_string(ID_CHARACTERS);
        let command = PurgeCommand::Redact(Box::new(UserRedaction {
            id: id.clone(),
            user_id: wish.user_id.to_string(),
            rooms,
            reason: wish.reason,
            limit: wish.limit,
            use_admin: wish.use_admin,
            after_ms: wish.after_ms,
            before_ms: wish.before_ms,
            by: by.to_string(),
            at_ms: self.env.now_ms(),
        }));
        self.purges.command(purges(), command).await?;
        self.purge_bells.wanted.notify_one();
        Ok(id)
    }

    /// How a redaction of a user's events stands.
    pub async fn redaction(&self, id: &str) -> Result<RedactionStanding, HouseError> {
        let query = PurgeQuery::Redaction(id.to_owned());
        match self.purges.query(purges(), query).await? {
            PurgeAnswer::Redactions(found) => found
                .into_iter()
                .next()
                .ok_or_else(|| surprise("Redaction")),
            _ => Err(surprise("Redaction")),
        }
    }

    /// All purges, deletions of rooms and redactions of users' events that wait, and the ends that are remembered.
    pub async fn tasks(&self) -> Result<Tasks, HouseError> {
        match self.purges.query(purges(), PurgeQuery::Tasks).await? {
            PurgeAnswer::Tasks(tasks) => Ok(*tasks),
            _ => Err(surprise("Tasks")),
        }
    }

    /// Who redacts in a room: the user where that is wanted and possible, else the administrator.
    async fn redacts_as(
        &self,
        room_id: &RoomId,
        redaction: &UserRedaction,
    ) -> Result<OwnedUserId, HouseError> {
        let parse = |name: &str| {
            UserId::parse(name).map_err(|error| HouseError::InvalidParam(error.to_string()))
        };
        let (user_id, by) = (parse(&redaction.user_id)?, parse(&redaction.by)?);
        if redaction.use_admin || !self.is_local(user_id.server_name()) {
            return Ok(by);
        }
        let access = self.room_access(room_id, &user_id).await?;
        let is_joined = access.membership == Some(MembershipState::Join);
        Ok(if is_joined { user_id } else { by })
    }
}

impl Purger {
    /// Does the redactions of users' events that wait, one after the other.
    pub(super) async fn redact_all(&self, stop: &mut Stop) -> Result<(), Trouble> {
        let waiting = self.purges.query(purges(), PurgeQuery::RedactionsWaiting);
        let PurgeAnswer::Redactions(waiting) = waiting.await? else {
            return Err(Trouble::Passing(surprise("RedactionsWaiting").to_string()));
        };
        let mut outcome = Ok(());
        for standing in waiting {
            let error = match self.redact_user(&standing, stop).await {
                Ok(()) => None,
                Err(Trouble::Hopeless(error)) => Some(error),
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
                // The others do not wait for it.
                Err(trouble) => {
                    outcome = Err(trouble);
                    continue;
                }
            };
            let ended = PurgeEnded {
                id: standing.redaction.id,
                error,
                at_ms: self.env.now_ms(),
            };
            let command = PurgeCommand::EndRedaction(ended);
            self.purges.command(purges(), command).await?;
        }
        outcome
    }

    async fn redact_user(
        &self,
        standing: &RedactionStanding,
        stop: &mut Stop,
    ) -> Result<(), Trouble> {
        let house = self.outlet.0.get().and_then(Weak::upgrade);
        let house: Arc<House> =
            house.ok_or_else(|| Trouble::Passing("the house is not open".to_owned()))?;
        let redaction = &standing.redaction;
        let first = usize::try_from(standing.done.rooms_done).unwrap_or(usize::MAX);
        for (index, room) in redaction.rooms.iter().enumerate().skip(first) {
            let failed = match RoomId::parse(room) {
                Ok(room_id) => redact_in_room(&house, (&room_id, redaction), stop).await?,
                Err(error) => vec![(room.clone(), error.to_string())],
            };
            let moved = RedactionMoved {
                id: redaction.id.clone(),
                rooms_done: index as u64 + 1,
                failed,
            };
            let command = PurgeCommand::MoveRedaction(moved);
            self.purges.command(purges(), command).await?;
        }
        Ok(())
    }
}

/// Redacts what a user sent to a room. What could not be redacted is told.
async fn redact_in_room(
    house: &House,
    (room_id, redaction): (&RoomId, &UserRedaction),
    stop: &mut Stop,
) -> Result<Vec<(String, String)>, Trouble> {
    let sender = match house.redacts_as(room_id, redaction).await {
        Ok(sender) => sender,
        Err(HouseError::Room(RoomError::UnknownRoom)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let (mut failed, mut left, mut from) = (Vec::new(), redaction.limit, None);
    loop {
        let (events, next) = page(house, (room_id, redaction), from).await?;
        for sent in events {
            if left == 0 {
                return Ok(failed);
            }
            if let Some(because) = &sent.unsigned.redacted_because {
                // The limit is that of all attempts together.
                left -= u64::from(because.is_of(redaction));
                continue;
            }
            left -= 1;
            let event_id = sent.event_id.to_string();
            let event = redaction_of(sent, (&sender, redaction));
            match house
                .send_event(room_id, event)
                .await
                .map_err(Trouble::from)
            {
                Ok(_) => {}
                Err(Trouble::Hopeless(error)) => failed.push((event_id, error)),
                Err(trouble) => return Err(trouble),
            }
            if stop.is_told() {
                return Err(Trouble::Stopped);
            }
        }
        from = next;
        if from.is_none() {
            return Ok(failed);
        }
        if !stop.pause(PAUSE).await {
            return Err(Trouble::Stopped);
        }
    }
}

/// What of a page of a room's history is meant, the newest first, and where to go on. What is redacted already is among it.
async fn page(
    house: &House,
    (room_id, redaction): (&RoomId, &UserRedaction),
    from: Option<Place>,
) -> Result<(Vec<Sent>, Option<Place>), Trouble> {
    let administrator = UserId::parse(&redaction.by);
    let administrator = administrator.map_err(|error| Trouble::Hopeless(error.to_string()))?;
    let filter = json!({ "senders": [redaction.user_id] });
    let query = RoomQuery::Messages(Box::new(MessagesQuery {
        reader: Reader::administrator(administrator),
        from: from.map(Into::into),
        to: None,
        backwards: true,
        limit: PAGE_EVENTS,
        filter: Some(filter.to_string()),
    }));
    let page = match house.room_query(room_id, query).await? {
        RoomAnswer::Page(page) => *page,
        _ => return Err(Trouble::Passing(surprise("Messages").to_string())),
    };
    let read = |event: &Bytes| serde_json::from_slice::<Sent>(event).ok();
    let events = page.chunk.iter().filter_map(read);
    let meant = events.filter(|sent| sent.is_meant(redaction)).collect();
    // What is older is known to other servers only.
    let next = page.end.filter(|_| !page.wants_past);
    Ok((meant, next))
}

fn redaction_of(sent: Sent, (sender, redaction): (&UserId, &UserRedaction)) -> SendEvent {
    let content = match &redaction.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    SendEvent {
        redacts: Some(sent.event_id),
        ..SendEvent::new(
            sender.to_owned(),
            TimelineEventType::RoomRedaction,
            content.to_string(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> UserRedaction {
        UserRedaction {
            id: String::new(),
            user_id: "@a:b".to_owned(),
            rooms: Vec::new(),
            reason: None,
            limit: 1,
            use_admin: false,
            after_ms: Some(10),
            before_ms: Some(20),
            by: "@boss:b".to_owned(),
            at_ms: 5,
        }
    }

    fn is_meant(event: serde_json::Value) -> bool {
        let sent: Sent = serde_json::from_value(event).expect("an event");
        sent.is_meant(&redaction())
    }

    #[test]
    fn messages_and_joins_of_the_time_are_meant() {
        let message = |at_ms: u64| json!({"event_id": "$e", "type": "m.room.message", "origin_server_ts": at_ms, "content": {"body": "x"}});
        assert!(is_meant(message(10)) && is_meant(message(20)));
        assert!(!is_meant(message(9)) && !is_meant(message(21)));
        let state = |event_type: &str, membership: &str| json!({"event_id": "$e", "type": event_type, "state_key": "@a:b", "origin_server_ts": 15, "content": {"membership": membership}});
        assert!(is_meant(state("m.room.member", "join")));
        assert!(!is_meant(state("m.room.member", "leave")));
        assert!(!is_meant(state("m.room.topic", "join")));
        let redaction = json!({"event_id": "$e", "type": "m.room.redaction", "origin_server_ts": 15, "content": {}});
        assert!(!is_meant(redaction));
    }

    #[test]
    fn what_an_earlier_attempt_did_counts() {
        let is_of = |because: serde_json::Value| {
            let event = json!({
                "event_id": "$e", "type": "m.room.message", "origin_server_ts": 15, "content": {}, "unsigned": {"redacted_because": because}
            });
            let sent: Sent = serde_json::from_value(event).expect("an event");
            let because = sent.unsigned.redacted_because.expect("it is redacted");
            because.is_of(&redaction())
        };
        assert!(is_of(json!({"sender": "@boss:b", "origin_server_ts": 5})));
        assert!(is_of(json!({"sender": "@a:b", "origin_server_ts": 6})));
        assert!(!is_of(json!({"sender": "@a:b", "origin_server_ts": 4})));
        assert!(!is_of(json!({"sender": "@other:b", "origin_server_ts": 6})));
        assert!(!is_of(json!({})));
    }
}
