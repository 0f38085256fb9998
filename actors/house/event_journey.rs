//! The way of an event through this server: when it came, what was said of it, and whom it has reached. From the log and what actors know.
//!
//! Nothing here reads more the longer a room's history is: single records, a page of members, a page of destinations.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use playhouse_schema::{
    address::{Entity, Family, Position, Sequence, Shard},
    models::{
        Model as _,
        memberships::{self, Memberships},
    },
    port::{EntityRange, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, Verdict, kind},
    },
};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    events::TimelineEventType,
};

use super::{EventPushes, House, HouseError, surprise};
use crate::{
    pushers::PushedEvent,
    room::{
        RoomAnswer, RoomError, RoomQuery,
        event::RoomEvent,
        inspect::{Inspected, Inspection},
        wire::is_handed_in,
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

/// Of an event after which its room has got more records than so many it is not made out who was there then, and of one in a room that has ever branched
/// neither: that takes the longer the more has changed since, and there the longer the more has ever changed.
const RECORDS_SINCE_MAX: u64 = 500;

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

/// A user of this server who is in the room, and what the user has heard of the event.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Who.
    pub user_id: OwnedUserId,
    /// How far the feed is; `None` while nobody syncs.
    pub place: Option<FeedPlace>,
    /// What pushers have told; `None` when there were none to tell.
    pub pushes: Option<EventPushes>,
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
    pub users: Vec<Listener>,
    /// Where to go on with users.
    pub users_next: Option<String>,
    /// Destinations that it is for: those that were in the room when it came (where that takes long to make out, those that are there now), and whoever it
    /// brings in or out.
    pub servers: Vec<(OwnedServerName, Outlook)>,
    /// Where to go on with destinations.
    pub servers_next: Option<String>,
    /// Who was in the room just after this record has it.
    audience_at: Sequence,
}

impl EventJourney {
    /// Whether it is for users to see: accepted, and part of the timeline.
    fn is_told(&self) -> bool {
        self.event.verdict == Verdict::Accepted && self.event.placement == Placement::Live
    }

    /// Whether other servers have it from `own`: it is of one of its users, or was handed to it to be passed on. A redaction that this server holds may be one
    /// of which others know the target.
    fn is_sent(&self, own: &ServerName) -> bool {
        let pdu = &self.event.pdu;
        let passes = self.event.verdict.has_passed() && self.event.placement == Placement::Live;
        passes && (pdu.sender.server_name() == own || is_handed_in(own, pdu.json()))
    }

    /// The event as those who push see it.
    fn pushed(&self) -> PushedEvent {
        PushedEvent {
            room_id: self.room_id.clone(),
            number: self.shard.number,
            position: self.position,
            sequence: self.event.sequence,
            recorded_ms: self.recorded_ms,
        }
    }
}

impl House {
    /// The way of an event. Refused with `NotFound` when it is not recorded.
    pub async fn event_journey(&self, wish: &JourneyWish) -> Result<EventJourney, HouseError> {
        let mut journey = self.recorded(&wish.event_id).await?;
        self.look_behind(&mut journey).await?;
        self.look_at_room(&mut journey).await?;
        let limit = wish.limit.clamp(1, JOURNEY_PAGE_MAX);
        if journey.is_told() {
            (journey.users, journey.users_next) =
                self.heard_by(&journey, (&wish.users_after, limit)).await?;
        }
        if journey.is_sent(self.env.server_name()) {
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
            audience_at: event.sequence.saturating_sub(1),
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
        if graph.forked || graph.sequence.saturating_sub(event.sequence) > RECORDS_SINCE_MAX {
            journey.audience_at = graph.sequence;
        }
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

    /// A page of this server's users in the room, and what each has heard of the event.
    async fn heard_by(
        &self,
        journey: &EventJourney,
        (after, limit): (&str, usize),
    ) -> Result<(Vec<Listener>, Option<String>), HouseError> {
        let model = Memberships::NAME;
        self.models
            .reached(model, journey.shard, journey.position)
            .await?;
        let store = self.models.store();
        let room_id = journey.room_id.as_str();
        let found = memberships::of_room(&**store, room_id, "join", after, MEMBERS_MAX).await?;
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
        let pushed = journey.pushed();
        let asked = users
            .into_iter()
            .map(|user_id| self.listener(user_id, (&journey.event, &pushed)));
        let heard: Result<Vec<_>, HouseError> = join_all(asked).await.into_iter().collect();
        Ok((heard?, next))
    }

    async fn listener(
        &self,
        user_id: OwnedUserId,
        (event, pushed): (&Arc<RoomEvent>, &PushedEvent),
    ) -> Result<Listener, HouseError> {
        Ok(Listener {
            place: self.feed_place(&user_id, &pushed.room_id).await?,
            pushes: self.pushes_of(&user_id, (event, pushed)).await?,
            user_id,
        })
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

    /// A page of the destinations that an event is for, and how things stand with each.
    async fn sent_to(
        &self,
        journey: &EventJourney,
        (after, limit): (&str, usize),
    ) -> Result<(Vec<(OwnedServerName, Outlook)>, Option<String>), HouseError> {
        let mut servers = self.destinations_of(journey).await?;
        servers.retain(|server| !self.is_local(server) && server.as_str() > after);
        let mut servers: Vec<OwnedServerName> = servers.into_iter().collect();
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

    /// The servers that an event is for: as those know it who send it, where that can be made out at once.
    async fn destinations_of(
        &self,
        journey: &EventJourney,
    ) -> Result<BTreeSet<OwnedServerName>, HouseError> {
        let pdu = &journey.event.pdu;
        let query = RoomQuery::Servers(journey.audience_at);
        let servers = match self.room_query(&journey.room_id, query).await {
            Ok(RoomAnswer::Servers(servers)) => servers,
            Ok(_) => return Err(surprise("Servers")),
            Err(RoomError::UnknownRoom) => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        let mut servers: BTreeSet<_> = servers.into_keys().collect();
        if pdu.event_type != TimelineEventType::RoomMember {
            return Ok(servers);
        }
        let target = pdu
            .state_key
            .as_deref()
            .and_then(|it| UserId::parse(it).ok());
        if let Some(target) = target {
            if self.is_local(pdu.sender.server_name()) {
                servers.insert(target.server_name().to_owned());
            } else {
                // Who handed it over has it.
                servers.remove(target.server_name());
            }
        }
        Ok(servers)
    }
}

/// The ID of a redaction, as it stands in what it redacted.
fn redaction(text: &str) -> Option<OwnedEventId> {
    let redaction: serde_json::Value = serde_json::from_str(text).ok()?;
    EventId::parse(redaction.get("event_id")?.as_str()?).ok()
}
