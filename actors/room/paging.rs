//! What queries for parts of a timeline say.

use playhouse_schema::address::{Position, Sequence};
use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::message::{JsonText, Reader, Window};

/// A point in a room's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimelinePoint {
    /// Just after the record with this sequence (0: the beginning). Written in pagination tokens as `t<sequence>`.
    Sequence(Sequence),
    /// Just after this position in the room's shard: what a sync token says about it.
    Position(Position),
    /// Just before this record of the room's past, from before this server came in. Written in pagination tokens as `h<sequence>`.
    Past(Sequence),
}

/// A place between events where a page ends and another may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// See [`TimelinePoint::Sequence`].
    Live(Sequence),
    /// See [`TimelinePoint::Past`].
    Past(Sequence),
}

impl From<Place> for TimelinePoint {
    fn from(place: Place) -> Self {
        match place {
            Place::Live(sequence) => TimelinePoint::Sequence(sequence),
            Place::Past(sequence) => TimelinePoint::Past(sequence),
        }
    }
}

/// A page of history (client-server API, `GET /rooms/{roomId}/messages`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessagesQuery {
    /// Who reads.
    pub reader: Reader,
    /// Where to begin; `None` is the end (backwards) or the beginning (forwards).
    pub from: Option<TimelinePoint>,
    /// Where to stop.
    pub to: Option<TimelinePoint>,
    /// Newest first instead of oldest first.
    pub backwards: bool,
    /// At most so many events, 1 to 1,000.
    pub limit: usize,
    /// A `RoomEventFilter`, as JSON.
    pub filter: Option<JsonText>,
}

/// Surroundings of an event (client-server API, `GET /rooms/{roomId}/context/{eventId}`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContextQuery {
    /// Who reads.
    pub reader: Reader,
    /// Which event.
    pub event_id: OwnedEventId,
    /// At most so many events around it, 0 to 100.
    pub limit: usize,
    /// A `RoomEventFilter`, as JSON.
    pub filter: Option<JsonText>,
}

/// Events that relate to an event (client-server API, `GET /rooms/{roomId}/relations/{eventId}`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelationsQuery {
    /// Who reads.
    pub reader: Reader,
    /// To which event.
    pub event_id: OwnedEventId,
    /// Only this kind of relation.
    pub rel_type: Option<String>,
    /// Only this type of event.
    pub event_type: Option<String>,
    /// Where to begin; `None` is the end (backwards) or the beginning (forwards).
    pub from: Option<TimelinePoint>,
    /// Where to stop.
    pub to: Option<TimelinePoint>,
    /// Newest first instead of oldest first.
    pub backwards: bool,
    /// At most so many events, 1 to 100.
    pub limit: usize,
    /// Events that relate to it through others, too.
    pub recurse: bool,
}

/// The threads of a room (client-server API, `GET /rooms/{roomId}/threads`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThreadsQuery {
    /// Who reads.
    pub reader: Reader,
    /// Only threads in which the reader has written.
    pub participated: bool,
    /// Threads whose newest event is not newer than this record.
    pub from: Option<Sequence>,
    /// At most so many roots, 1 to 100.
    pub limit: usize,
}

/// A time (client-server API, `GET /rooms/{roomId}/timestamp_to_event`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventAtQuery {
    /// Who reads.
    pub reader: Reader,
    /// Milliseconds since the Unix epoch.
    pub ts_ms: u64,
    /// The last event until then instead of the first from then on.
    pub backwards: bool,
}

/// What a sync wants of one room: everything in the half-open interval after `since` up to and including `until`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SliceQuery {
    /// Who reads.
    pub reader: Reader,
    /// The last position that was delivered; `None` wants the room as new to the client (initial sync, newly joined, or `full_state`'s state).
    pub since: Option<Position>,
    /// Up to this position in the shard.
    pub until: Position,
    /// The room filter (`RoomFilter`) as JSON.
    pub filter: Option<JsonText>,
    /// The complete state, although `since` is given.
    pub full_state: bool,
    /// State at the end of the timeline instead of at its start (`use_state_after`).
    pub state_after: bool,
    /// Lazy loading without redundant members: member events the client already has.
    pub known_members: Vec<OwnedUserId>,
    /// Typing users are wanted.
    pub typing: bool,
    /// The form of timeline and state.
    pub format: EventFormat,
    /// For sliding sync: what it wants instead of what the filter says. State is told as of the end of the timeline.
    pub window: Option<Box<Window>>,
}

/// The form in which events are told (`event_format` of a filter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventFormat {
    /// As clients know them.
    #[default]
    Client,
    /// As servers exchange them, with the event ID, which the bytes lack from room version 3 on.
    Federation,
}
