//! What a room answers to queries.

use bytes::Bytes;
use playhouse_schema::address::Sequence;
use ruma::{
    OwnedEventId, OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId,
    RoomVersionId, events::room::member::MembershipState, push::PushConditionPowerLevelsCtx,
};
use serde::{Deserialize, Serialize};

use super::{
    message::{JsonText, MemberProfile, Place},
    window::{RoomFace, RoomGlance, ThreadPlace},
};

/// What a query answers. Events are complete JSON objects in client form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RoomAnswer {
    /// See [`RoomQuery::Access`].
    Access(Box<RoomAccess>),
    /// One event, or its content.
    Event(Bytes),
    /// Some events.
    Events(Vec<Bytes>),
    /// Joined members.
    Joined(Vec<(OwnedUserId, MemberProfile)>),
    /// A page.
    Page(Box<MessagesPage>),
    /// Surroundings.
    Context(Box<ContextPage>),
    /// Single events.
    Hits(Vec<super::hits::Hit>),
    /// A sync's part.
    Slice(Box<RoomSlice>),
    /// Rooms in a space.
    Children(Vec<SpaceChild>),
    /// The event closest to a time.
    Found(EventAt),
    /// Receipts in force.
    Receipts(Vec<OwnReceipt>),
    /// See [`RoomQuery::HoldReceipt`].
    Held(bool),
    /// See [`RoomQuery::Marker`].
    Marker {
        /// The user is joined.
        joined: bool,
        /// The event's record, if it is in memory: what is not is older.
        at_hand: Option<Sequence>,
    },
    /// See [`RoomQuery::PushFacts`].
    PushFacts(Box<PushFacts>),
    /// See [`RoomQuery::PushNames`].
    PushNames(Box<PushNames>),
    /// See [`RoomQuery::Glance`].
    Glance(Box<RoomGlance>),
    /// See [`RoomQuery::ThreadPlace`].
    ThreadPlace(ThreadPlace),
    /// See [`RoomQuery::Gate`].
    Gate(Box<RoomGate>),
    /// Some events.
    EventIds(Vec<OwnedEventId>),
    /// See [`RoomQuery::Ends`].
    Ends(Vec<super::state::Extremity>),
    /// Some users.
    Users(Vec<OwnedUserId>),
    /// See [`RoomQuery::Receive`].
    Received(super::receive::Fates),
    /// See [`RoomQuery::Draft`]: its ID and the event; `None` when there is nothing to do.
    Draft(Option<(OwnedEventId, Bytes)>),
    /// See [`RoomQuery::MayVouch`].
    MayVouch(bool),
    /// See [`RoomQuery::Introduction`].
    Introduction(Box<Introduction>),
    /// See [`RoomQuery::Told`].
    Told(Option<std::sync::Arc<super::told::Told>>),
    /// State resets, oldest first.
    StateResets(Vec<super::receive::StateReset>),
    /// See [`RoomQuery::ParkedPdus`].
    ParkedPdus(Vec<super::parked::ParkedPdu>),
    /// See [`RoomQuery::Inspect`].
    Inspected(Box<super::inspect::Inspected>),
    /// See [`RoomQuery::View`]: the room and the number of its newest record. A room as a whole never leaves its node.
    #[serde(skip)]
    View(std::sync::Arc<super::Room>, Sequence),
    /// What another server is told.
    Peer(Box<super::peer::PeerAnswer>),
    /// Events themselves, for another actor of this house.
    Live(Vec<std::sync::Arc<super::event::RoomEvent>>),
    /// Joined users by server.
    Servers(std::collections::BTreeMap<OwnedServerName, std::collections::BTreeSet<OwnedUserId>>),
    /// What a server missed.
    Outgoing(super::query::outgoing::Outgoing),
}

pub use super::query::{gate::RoomGate, introduction::Introduction};

/// A room in a space.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpaceChild {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers through which to join it; some of them.
    pub via: Vec<OwnedServerName>,
    /// The `m.space.child` event, stripped but for its time.
    pub event: Bytes,
}

/// An event by its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundEvent {
    /// The event.
    pub event_id: OwnedEventId,
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_ms: u64,
}

/// What is known here of the event closest to a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventAt {
    /// The event, if one is known that the reader may see.
    pub found: Option<FoundEvent>,
    /// Between the time and the event lies a part of the room's past that is not known here: another event, which other servers know, may be closer.
    pub wants_past: bool,
}

/// What push rules ask about a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PushFacts {
    /// Joined members.
    pub joined_count: u64,
    /// The user's display name in the room.
    pub displayname: Option<String>,
    /// Who may notify the whole room.
    #[serde(with = "super::push_facts::carried")]
    pub power_levels: Option<PushConditionPowerLevelsCtx>,
}

/// What a push says of a room and its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushNames {
    /// The room's name, if it has one.
    pub room_name: Option<String>,
    /// Its canonical alias, if it has one.
    pub room_alias: Option<String>,
    /// What some others in it are called, when it has neither.
    pub others: Vec<String>,
    /// What members that were asked for are called, as far as they are called anything.
    pub members: std::collections::BTreeMap<OwnedUserId, String>,
}

/// What joining and finding a room depend on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomAccess {
    /// The version.
    pub version: RoomVersionId,
    /// The asked user's membership.
    pub membership: Option<MembershipState>,
    /// The member event that says so, by its number among the room's records; 0 when there is none.
    pub member_sequence: Sequence,
    /// Content of `m.room.join_rules`, if any.
    pub join_rules: Option<JsonText>,
    /// Rooms whose members may join (restricted).
    pub allowed_rooms: Vec<OwnedRoomId>,
    /// World readable.
    pub world_readable: bool,
    /// Guests may join.
    pub guests_can_join: bool,
    /// Name, if any.
    pub name: Option<String>,
    /// Topic, if any.
    pub topic: Option<String>,
    /// Canonical alias, if any.
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// Avatar, if any.
    pub avatar_url: Option<OwnedMxcUri>,
    /// `type` of the create event.
    pub room_type: Option<String>,
    /// The room that this one replaces.
    pub predecessor: Option<OwnedRoomId>,
    /// Encryption algorithm.
    pub encryption: Option<String>,
    /// Joined members.
    pub joined_count: u64,
    /// Listed publicly.
    pub public: bool,
    /// Whether the asked user may send `m.room.canonical_alias` (moderate aliases).
    pub may_set_aliases: bool,
    /// Servers with joined members.
    pub servers: Vec<OwnedServerName>,
}

/// A page of history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessagesPage {
    /// Where it began.
    pub start: Place,
    /// Where to go on; `None` at the end of what there is.
    pub end: Option<Place>,
    /// The page is short because what is older is not known here, but may be elsewhere.
    pub wants_past: bool,
    /// The events.
    pub chunk: Vec<Bytes>,
    /// Member events for lazy loading.
    pub state: Vec<Bytes>,
}

/// Surroundings of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContextPage {
    /// Where to page backwards from.
    pub start: Place,
    /// Where to page forwards from.
    pub end: Place,
    /// The event itself.
    pub event: Bytes,
    /// What came before, newest first.
    pub events_before: Vec<Bytes>,
    /// What came after.
    pub events_after: Vec<Bytes>,
    /// The state at the last event returned.
    pub state: Vec<Bytes>,
}

/// What a sync shows of one room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RoomSlice {
    /// Timeline events, oldest first; without `room_id`.
    pub timeline: Vec<Bytes>,
    /// Something between `since` and the timeline's first event was left out.
    pub limited: bool,
    /// Just before the timeline's first event.
    pub prev_batch: Sequence,
    /// State events: before the timeline, or after it when `state_after` was asked.
    pub state: Vec<Bytes>,
    /// Members whose events `state` or `timeline` brought, for the memory of lazy loading.
    pub sent_members: Vec<OwnedUserId>,
    /// Heroes, when they or the counts changed in the interval.
    pub summary: Option<RoomSummary>,
    /// Sticky events of the interval that are not over and not in the timeline, oldest first (MSC4354).
    pub sticky: Vec<Bytes>,
    /// The complete `m.receipt` event for receipts moved in the interval, if any.
    pub receipts: Option<Bytes>,
    /// The complete `m.typing` event, when wanted.
    pub typing: Option<Bytes>,
    /// For sliding sync: how the room looks, when that is new or may have changed in the interval.
    pub face: Option<RoomFace>,
    /// For sliding sync: so many events of the timeline, the last ones, are live.
    pub num_live: usize,
    /// The room is encrypted (for device lists).
    pub encrypted: bool,
    /// Members that joined or left in the interval (for device lists).
    pub member_changes: Vec<(OwnedUserId, MembershipState)>,
}

/// Room summary (client-server API, `GET /sync`, RoomSummary).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSummary {
    /// Up to five members to name the room by, when it has no name or canonical alias.
    pub heroes: Vec<OwnedUserId>,
    /// Joined members.
    pub joined_count: u64,
    /// Invited users.
    pub invited_count: u64,
}

/// A receipt of the asking user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnReceipt {
    /// The thread, as in [`MoveReceipt::thread_id`].
    pub thread_id: Option<String>,
    /// The event.
    pub event_id: OwnedEventId,
    /// The event's sequence in the room, when it is known.
    pub sequence: Option<Sequence>,
}
