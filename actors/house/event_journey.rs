//! The way of an event through this server: when it came, what was said of it, and whom it has reached. From the log and what actors know.
//!
//! Nothing here reads more the longer a room's history is: single records, a page of members, a page of destinations.

use std::sync::Arc;

use futures_util::future::join_all;
use playhouse_schema::{
    address::{Entity, Family, Position, Sequence, Shard},
    models::memberships,
    port::{EntityRange, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, Verdict, kind},
    },
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    room::{
        RoomAnswer, RoomError, RoomQuery,
        event::RoomEvent,
        inspect::{Inspected, Inspection},
    },
    server::{Outlook, SentEvent},
    user::{UserAnswer, UserError, UserQuery, answer::FeedPlace},
};

/// A page has at most so many users, and so many destinations.
pub const JOURNEY_PAGE_MAX: usize = 100;

/// So many members are looked at for a page of those of this server.
const MEMBERS_MAX: usize = 1_000;

/// So many records behind an event are looked at for what it brought about.
const RECORDS_BEHIND: usize = 16;

/// Which part of a journey is wanted.
#[derive(Clone, Debug)]
pub struct JourneyWish {
    /// Of which event.
    pub event_id: OwnedEventId,
    /// Users after this one.
    pub users_after: String,
    /// Destinations after this one.
    pub servers_after: String,
    /// So many of both at most.
    pub limit: usize,
}

/// What is known of an event's way.
#[derive(Clone, Debug)]
pub struct EventJourney {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The event, as it is recorded.
    pub event: Arc<RoomEvent>,
    /// Where.
    pub shard: Shard,
    /// The position there.
    pub position: Position,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub recorded_ms: u64,
    /// The event that redacted it.
    pub redacted_by: Option<OwnedEventId>,
    /// The record that made the state before it, and whether that was a resolution or came from another server.
    pub state_before: (Sequence, bool),
    /// The state was set anew because of it, by these records; each with the number of keys that changed.
    pub resolutions: Vec<(Sequence, usize)>,
    /// For a state event: it is in force.
    pub in_force: Option<bool>,
    /// It is an end of the event graph.
    pub is_end: bool,
    /// Users of this server that are in the room.
    pub users: Vec<(OwnedUserId, Option<FeedPlace>)>,
    /// Where to go on with users.
    pub users_next: Option<String>,
    /// Destinations in the room now.
    pub servers: Vec<(OwnedServerName, Outlook)>,
    /// Where to go on with destinations.
    pub servers_next: Option<String>,
}

impl EventJourney {
    /// Whether it is for users to see: accepted, and part of the timeline.
    fn is_told(&self) -> bool {
        self.event.verdict == Verdict::Accepted && self.event.placement == Placement::Live
    }
}

impl House {
    /// The way of an event. Refused with `NotFound` when it is not recorded.
    pub async fn event_journey(&self, wish: &JourneyWish) -> Result<EventJourney, HouseError> {
        let mut journey = self.recorded(&wish.event_id).await?;
        let room_id = journey.room_id.clone();
        self.look_behind(&mut journey).await?;
        self.look_at_room(&mut journey).await?;
        let limit = wish.limit.clamp(1, JOURNEY_PAGE_MAX);
        if !journey.is_told() {
            return Ok(journey);
        }
        (journey.users, journey.users_next) =
            self.heard_by(&room_id, (&wish.users_after, limit)).await?;
        let sender = journey.event.pdu.sender.clone();
        if self.is_local(sender.server_name()) {
            (journey.servers, journey.servers_next) =
                self.sent_to(&journey, (&wish.servers_after, limit)).await?;
        }
        Ok(journey)
    }

    /// What the record itself says.
    async fn recorded(&self, event_id: &EventId) -> Result<EventJourney, HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        let stored = stored.ok_or(RoomError::NotFound)?;
        let event = RoomEvent::from_stored(&stored)?.ok_or(RoomError::NotFound)?;
        let room_id = RoomId::parse(stored.entity.name()).map_err(|_| RoomError::NotFound)?;
        let redacted_by = event.redacted_because().and_then(redaction);
        Ok(EventJourney {
            room_id,
            shard: stored.shard,
            position: stored.position,
            recorded_ms: stored.at_ms,
            redacted_by,
            state_before: (event.before, false),
            event,
            resolutions: Vec::new(),
            in_force: None,
            is_end: false,
            users: Vec::new(),
            users_next: None,
            servers: Vec::new(),
            servers_next: None,
        })
    }

    /// What was recorded because of it, and what it rests on.
    async fn look_behind(&self, journey: &mut EventJourney) -> Result<(), HouseError> {
        let entity = Entity::room(journey.room_id.as_str());
        let before = journey.event.before;
        if before > 0 {
            let found = self.store.read_some(&entity, &[before]).await?;
            let is_set = |record: &StoredRecord| {
                record.kind == kind::STATE_SET || record.kind == kind::STATE_COMPLETED
            };
            journey.state_before.1 = found.first().is_some_and(is_set);
        }
        let range = EntityRange {
            from: journey.event.sequence + 1,
            to: journey.event.sequence + RECORDS_BEHIND as u64,
            backwards: false,
            limit: RECORDS_BEHIND,
        };
        for record in self.store.read_entity(&entity, range).await? {
            if record.kind == kind::EVENT {
                break;
            }
            if let Some(RoomRecord::StateSet(set)) = RoomRecord::decode(&record)?
                && set.current
            {
                let resolution = (record.sequence, set.changes.len());
                journey.resolutions.push(resolution);
            }
        }
        Ok(())
    }

    /// What the room says of it now.
    async fn look_at_room(&self, journey: &mut EventJourney) -> Result<(), HouseError> {
        let event = journey.event.clone();
        let graph = match self.inspect_room(&journey.room_id, Inspection::Graph).await {
            Ok(Inspected::Graph(graph)) => graph,
            Ok(_) => return Err(surprise("Graph")),
            // Only what was told of it from outside is recorded.
            Err(HouseError::Room(RoomError::UnknownRoom)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut ends = graph.ends.iter();
        journey.is_end = ends.any(|end| end.event_id == event.pdu.event_id);
        let Some(state_key) = event.pdu.state_key.clone() else {
            return Ok(());
        };
        let asked = Inspection::InForce {
            event_type: event.pdu.event_type.clone(),
            state_key,
        };
        let Inspected::InForce(found) = self.inspect_room(&journey.room_id, asked).await? else {
            return Err(surprise("InForce"));
        };
        let in_force = found.is_some_and(|found| found.event_id == event.pdu.event_id);
        journey.in_force = Some(in_force);
        Ok(())
    }

    /// Asks a room on behalf of who looks after the server.
    pub async fn inspect_room(
        &self,
        room_id: &RoomId,
        asked: Inspection,
    ) -> Result<Inspected, HouseError> {
        match self.room_query(room_id, RoomQuery::Inspect(asked)).await? {
            RoomAnswer::Inspected(told) => Ok(*told),
            _ => Err(surprise("Inspect")),
        }
    }

    /// A page of this server's users in a room, and how far each has heard of it.
    async fn heard_by(
        &self,
        room_id: &RoomId,
        (after, limit): (&str, usize),
    ) -> Result<(Vec<(OwnedUserId, Option<FeedPlace>)>, Option<String>), HouseError> {
        let store = self.models.store();
        let found =
            memberships::of_room(&**store, room_id.as_str(), "join", after, MEMBERS_MAX).await?;
        let mut next = found.last().map(|member| member.user_id.clone());
        next = next.filter(|_| found.len() == MEMBERS_MAX);
        let mut users: Vec<OwnedUserId> = found
            .into_iter()
            .filter_map(|member| UserId::parse(member.user_id).ok())
            .filter(|user_id| self.is_local(user_id.server_name()))
            .collect();
        if users.len() > limit {
            users.truncate(limit);
            next = users.last().map(ToString::to_string);
        }
        let asked = users
            .iter()
            .map(|user_id| self.feed_place(user_id, room_id));
        let places = join_all(asked).await;
        let mut heard = Vec::with_capacity(users.len());
        for (user_id, place) in users.into_iter().zip(places) {
            heard.push((user_id, place?));
        }
        Ok((heard, next))
    }

    async fn feed_place(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
    ) -> Result<Option<FeedPlace>, HouseError> {
        let query = UserQuery::FeedPlace(room_id.to_owned());
        match self.user_query(user_id, query).await {
            Ok(UserAnswer::FeedPlace(place)) => Ok(place),
            Ok(_) => Err(surprise("FeedPlace")),
            // Whoever has gone hears nothing.
            Err(UserError::Deactivated | UserError::UnknownUser) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of the destinations in a room, and how things stand with each.
    async fn sent_to(
        &self,
        journey: &EventJourney,
        (after, limit): (&str, usize),
    ) -> Result<(Vec<(OwnedServerName, Outlook)>, Option<String>), HouseError> {
        let sender = &journey.event.pdu.sender;
        let access = self.room_access(&journey.room_id, sender).await?;
        let mut servers: Vec<OwnedServerName> = access
            .servers
            .into_iter()
            .filter(|server| !self.is_local(server) && server.as_str() > after)
            .collect();
        servers.sort();
        let mut next = None;
        if servers.len() > limit {
            servers.truncate(limit);
            next = servers.last().map(ToString::to_string);
        }
        let event = SentEvent {
            room_id: journey.room_id.clone(),
            shard: journey.shard,
            position: journey.position,
            sequence: journey.event.sequence,
        };
        let asked = servers
            .iter()
            .map(|server| self.outlook(server, Some(event.clone())));
        let outlooks = join_all(asked).await;
        let mut sent = Vec::with_capacity(servers.len());
        for (server, outlook) in servers.into_iter().zip(outlooks) {
            if let Some(outlook) = outlook? {
                sent.push((server, outlook));
            }
        }
        Ok((sent, next))
    }
}

/// The ID of a redaction, as it stands in what it redacted.
fn redaction(text: &str) -> Option<OwnedEventId> {
    let redaction: serde_json::Value = serde_json::from_str(text).ok()?;
    EventId::parse(redaction.get("event_id")?.as_str()?).ok()
}
