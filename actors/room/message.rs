//! Everything a room can be asked.
//!
//! Contents of events travel as JSON text ([`JsonText`]): what a client sent is parsed where it is judged, and what is stored goes out as stored.

use playhouse_schema::address::Sequence;
use ruma::{
    OwnedEventId, OwnedMxcUri, OwnedRoomAliasId, OwnedServerName, OwnedUserId, RoomVersionId,
    events::{
        StateEventType, TimelineEventType, receipt::ReceiptType, room::member::MembershipState,
    },
};
use serde::{Deserialize, Serialize};

use playhouse_schema::record::{
    purge::Purge,
    room::{MembershipTold, Transaction},
};

pub use super::paging::{
    ContextQuery, EventAtQuery, EventFormat, MessagesQuery, Place, RelationsQuery, SliceQuery,
    ThreadsQuery, TimelinePoint,
};
pub use super::query::template::TemplateWish;
pub use super::receive::{Receive, TakeIn};
pub use super::redact::{Redact, RedactionTarget};
pub use super::window::{
    Hero, ReceiptsWanted, RoomFace, RoomGlance, StateWish, ThreadPlace, Window,
};

pub use super::answer::{
    ContextPage, EventAt, FoundEvent, Introduction, MessagesPage, OwnReceipt, PushFacts, PushNames,
    RoomAccess, RoomAnswer, RoomSlice, RoomSummary, SpaceChild,
};

/// A JSON object as text.
pub type JsonText = String;

/// What a room can be told to do. Every repeat with the same transaction is answered from state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RoomCommand {
    /// Begin to exist. Made by [`super::create::prepare`], which also gives the room ID. Answers `Done`.
    Create(Box<CreateRoom>),
    /// Take in an event of a local user: message, state or redaction. Answers `Sent`.
    SendEvent(Box<SendEvent>),
    /// Redact an event, with what the caller read of it in the log. Answers `Sent`.
    Redact(Box<Redact>),
    /// Change somebody's membership. Answers `Sent`.
    ChangeMembership(Box<ChangeMembership>),
    /// Move receipts of one user. Answers `Done`.
    MoveReceipts(Vec<MoveReceipt>),
    /// Record what was weighed, see [`super::receive`]. The room tells itself: it goes to no other node. Answers `Done`.
    #[serde(skip)]
    TakeIn(Box<TakeIn>),
    /// Take out what has expired of these events, as the caller has read them in the log. Answers `Done`.
    Expire(Vec<RedactionTarget>),
    /// Take out what a purge wants gone of these events, as the caller has read them in the log. Answers `Done`.
    Purge(Box<Purge>, Vec<RedactionTarget>),
    /// Count nothing any more of what was recorded: the room is deleted. Answers `Done`.
    Empty,
    /// Replace records, by number, of which nothing counts any more. Answers `Done`.
    Clear(Vec<Sequence>),
    /// Have events of another server wait. Answers `Done`.
    ParkPdus(Box<super::parked::ParkPdus>),
    /// Give up events that wait. Answers `Done`.
    ReleasePdus(Vec<OwnedEventId>),
    /// Remember what another server told of a local user's membership. Answers `Done`.
    Tell(Box<MembershipTold>),
    /// Enter or leave the public room list; the user needs the power to send `m.room.canonical_alias`. Answers `Done`.
    SetDirectoryVisibility {
        /// Who wants it; `None` for the server itself.
        user_id: Option<OwnedUserId>,
        /// Listed from now on.
        public: bool,
    },
}

/// What a command answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RoomReply {
    /// The event that was made, or that an earlier attempt with the same transaction made.
    Sent(OwnedEventId),
    /// It is done.
    Done,
}

/// A room that somebody wants (client-server API, `POST /createRoom`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewRoom {
    /// Who wants it.
    pub creator: OwnedUserId,
    /// The creator's profile.
    pub creator_profile: MemberProfile,
    /// The version.
    pub version: RoomVersionId,
    /// Further keys of the create event's content, as a JSON object. The server's own keys win.
    pub creation_content: Option<JsonText>,
    /// The preset.
    pub preset: Preset,
    /// Overrides of the default power levels' content.
    pub power_level_content_override: Option<JsonText>,
    /// The canonical alias: the caller points it to the room before the command is sent.
    pub alias: Option<OwnedRoomAliasId>,
    /// Further state.
    pub initial_state: Vec<StateContent>,
    /// The name.
    pub name: Option<String>,
    /// The topic.
    pub topic: Option<String>,
    /// Whom to invite, with their profiles.
    pub invites: Vec<(OwnedUserId, MemberProfile)>,
    /// Mark the invites as direct chats.
    pub is_direct: bool,
    /// List it in the public room list.
    pub public: bool,
}

/// A room to be made. Made by [`super::create::prepare`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateRoom {
    /// The signed create event as canonical JSON.
    pub create_pdu: JsonText,
    /// The create event's ID.
    pub create_event_id: OwnedEventId,
    /// Creators besides the sender, from room version 12 on.
    pub additional_creators: Vec<OwnedUserId>,
    /// What is wanted, but for the content of the create event.
    pub wish: NewRoom,
}

/// The presets of `POST /createRoom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preset {
    /// Join rule invite, history shared, guests may join.
    PrivateChat,
    /// As `PrivateChat`, and all invited have the creator's power level.
    TrustedPrivateChat,
    /// Join rule public, history shared, no guests.
    PublicChat,
}

/// A piece of state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateContent {
    /// Event type.
    pub event_type: StateEventType,
    /// State key.
    pub state_key: String,
    /// Content.
    pub content: JsonText,
}

/// What goes from a user's profile into member events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberProfile {
    /// The display name.
    pub displayname: Option<String>,
    /// The avatar.
    pub avatar_url: Option<OwnedMxcUri>,
}

/// An event to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendEvent {
    /// Who sends it.
    pub sender: OwnedUserId,
    /// The event type.
    pub event_type: TimelineEventType,
    /// The state key of a state event.
    pub state_key: Option<String>,
    /// The content.
    pub content: JsonText,
    /// For a redaction: which event.
    pub redacts: Option<OwnedEventId>,
    /// The client's transaction.
    pub transaction: Option<Transaction>,
    /// Another time than now, milliseconds since the Unix epoch (application services).
    pub origin_server_ts: Option<u64>,
    /// It sticks to the room for so long, milliseconds (MSC4354).
    #[serde(default)]
    pub sticky_ms: Option<u64>,
    /// The sender is a guest.
    pub guest: bool,
}

/// A change of membership. Member events with other content go through [`SendEvent`] with the same checks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeMembership {
    /// Who does it.
    pub sender: OwnedUserId,
    /// To whom.
    pub target: OwnedUserId,
    /// What it becomes.
    pub action: MembershipAction,
    /// The reason given.
    pub reason: Option<String>,
    /// The target's profile (join, invite, knock).
    pub profile: MemberProfile,
    /// Further keys of the content, as a JSON object.
    pub extra_content: Option<JsonText>,
    /// A join to a restricted room: a condition of the join rule was found to hold for the target.
    pub restriction_met: bool,
    /// The target is a guest.
    pub guest: bool,
}

/// A kind of change of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembershipAction {
    /// Join; answers with the existing event when already joined with the same profile and no reason.
    Join,
    /// Leave, reject an invite, or retract a knock.
    Leave,
    /// Invite; inviting somebody invited succeeds again.
    Invite {
        /// The invite is to a direct chat.
        is_direct: bool,
    },
    /// Kick; the target must be joined, invited or knocking.
    Kick,
    /// Ban.
    Ban,
    /// Lift a ban.
    Unban,
    /// Knock.
    Knock,
    /// Give the member event of somebody who has joined another profile; refused when not joined. Answers with the existing event when it has that profile.
    RefreshProfile,
}

/// A receipt to be moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MoveReceipt {
    /// Whose; must be joined.
    pub user_id: OwnedUserId,
    /// `m.read` or `m.read.private`.
    pub receipt_type: ReceiptType,
    /// `None` unthreaded, `main`, or a thread root.
    pub thread_id: Option<String>,
    /// Up to this event, which must be in this room. A receipt never moves backwards: such a move is answered `Done` and ignored.
    pub event_id: OwnedEventId,
    /// When it was read, as its user's server says, milliseconds since the Unix epoch; `None` for now. What lies in the future counts as now.
    #[serde(default)]
    pub ts_ms: Option<u64>,
    /// The caller has found the event in the log. Otherwise the room, which does not hold its whole history, refuses with `NotAtHand` what it does not
    /// have in memory.
    pub found: bool,
}

/// Who reads, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reader {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device: events of its own carry their transaction ID.
    pub device_id: Option<String>,
    /// Users whose events are left out of timelines.
    pub ignored: Vec<OwnedUserId>,
    /// Up to which of their member events the user has forgotten the room: who has left and forgotten it reads its history no more.
    pub forgotten: Option<Sequence>,
    /// An administrator of this server looks into the room: neither membership nor history visibility hides anything.
    #[serde(default)]
    pub sees_all: bool,
}

impl Reader {
    /// A user who reads by no device, and ignores nobody.
    pub fn of(user_id: OwnedUserId) -> Self {
        Self {
            user_id,
            device_id: None,
            ignored: Vec::new(),
            forgotten: None,
            sees_all: false,
        }
    }

    /// An administrator of this server, from whom nothing is hidden.
    pub fn administrator(user_id: OwnedUserId) -> Self {
        Self {
            sees_all: true,
            ..Self::of(user_id)
        }
    }
}

/// What a room can be asked. All of it obeys membership and history visibility unless said otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RoomQuery {
    /// What joining and finding the room depend on, whoever asks. Answers `Access`.
    Access {
        /// Whose membership to tell.
        user_id: OwnedUserId,
    },
    /// One event. Answers `Event`.
    Event {
        /// Who reads.
        reader: Reader,
        /// Which.
        event_id: OwnedEventId,
    },
    /// One state event in force, or at the reader's departure. Answers `Event`.
    StateEvent {
        /// Who reads.
        reader: Reader,
        /// Event type.
        event_type: StateEventType,
        /// State key.
        state_key: String,
        /// Only the content.
        content_only: bool,
    },
    /// The state in force, or at the reader's departure. Answers `Events`.
    State {
        /// Who reads.
        reader: Reader,
    },
    /// Member events. Answers `Events`.
    Members {
        /// Who reads.
        reader: Reader,
        /// As of this point of the timeline: a pagination or sync position.
        at: Option<TimelinePoint>,
        /// Only this membership.
        membership: Option<MembershipState>,
        /// Not this membership.
        not_membership: Option<MembershipState>,
    },
    /// Joined members with their profiles. Answers `Joined`.
    JoinedMembers {
        /// Who reads; `None` for the server itself.
        reader: Option<Reader>,
    },
    /// A page of history. Answers `Page`.
    Messages(Box<MessagesQuery>),
    /// An event and what surrounds it. Answers `Context`.
    Context(Box<ContextQuery>),
    /// Single events by their numbers. Answers `Hits`.
    Hits(Box<super::hits::HitsQuery>),
    /// Events that relate to an event. Answers `Page`, without state.
    Relations(Box<RelationsQuery>),
    /// Thread roots, by their newest event. Answers `Page`, without state.
    Threads(Box<ThreadsQuery>),
    /// What a sync shows of the room. Answers `Slice`. Asked by the reader's own user actor.
    Slice(Box<SliceQuery>),
    /// Stripped state for an invited or knocking user. Answers `Events`.
    Stripped {
        /// The invited or knocking user, whose own member event is included.
        user_id: OwnedUserId,
    },
    /// What a room that replaces this one takes over. Answers `Events`: full state events as clients see them.
    StateForUpgrade {
        /// Who upgrades; must have the power to send the tombstone.
        user_id: OwnedUserId,
    },
    /// The rooms in a space, in their order, whoever asks. Answers `Children`.
    Children {
        /// Only those that the space suggests.
        suggested_only: bool,
    },
    /// The event closest to a time. Answers `Found`.
    EventAt(Box<EventAtQuery>),
    /// The receipts in force that a user may see, for the user's own records: `(event, thread)` of that user. Answers `Receipts`.
    OwnReceipts {
        /// Whose.
        user_id: OwnedUserId,
    },
    /// Keep a receipt from another server until what it rests on is known. Answers `Held`: whether there is still something to wait for.
    HoldReceipt(Box<MoveReceipt>),
    /// Whether a user is joined, and where an event is that is in memory, for a read marker. Answers `Marker`.
    Marker {
        /// Whose marker.
        user_id: OwnedUserId,
        /// At which event.
        event_id: OwnedEventId,
    },
    /// What push rules ask about the room. Answers `PushFacts`.
    PushFacts {
        /// Whose rules.
        user_id: OwnedUserId,
    },
    /// What a push says of the room, whoever asks. Answers `PushNames`.
    PushNames {
        /// Whose push.
        user_id: OwnedUserId,
        /// Members whose names are wanted.
        members: Vec<OwnedUserId>,
    },
    /// Those of some events that the reader may see, for push rules on related events. Answers `Live`.
    Related {
        /// Who reads.
        reader: Reader,
        /// Which.
        event_ids: Vec<OwnedEventId>,
    },
    /// What lists of rooms are made by. Asked by the user's own actor. Answers `Glance`.
    Glance {
        /// Who makes the list.
        user_id: OwnedUserId,
    },
    /// Where things stand in a thread. Answers `ThreadPlace`.
    ThreadPlace {
        /// Who reads.
        reader: Reader,
        /// The root.
        root: OwnedEventId,
        /// An event of the thread.
        cause: Option<OwnedEventId>,
    },
    /// Take in events of other servers. Answers `Received`.
    Receive {
        /// The version of a room that is not known yet.
        version: Option<RoomVersionId>,
        /// The events.
        wish: Box<Receive>,
    },
    /// What the room says of a server that brings events. Answers `Gate`.
    Gate {
        /// This server.
        own: OwnedServerName,
        /// The other one.
        peer: OwnedServerName,
    },
    /// Those of some events that are not recorded. Answers `EventIds`.
    Unknown {
        /// The events.
        event_ids: Vec<OwnedEventId>,
        /// No more are looked for when so many are found.
        limit: usize,
    },
    /// The events that precede all that is known of the room and are not known themselves: none when it is known from its beginning. Answers `EventIds`.
    OldEnds,
    /// The ends of the event graph, the oldest first. Answers `Ends`.
    Ends,
    /// Users of a server who have joined, have power by name and may change the power levels: the most powerful first. Answers `Users`.
    Rulers(OwnedServerName),
    /// A member event that another server is to finish. Answers `Event`.
    Template(Box<TemplateWish>),
    /// The event that a change of membership would make, judged and signed but not recorded: another server is to sign it first. Answers `Draft`.
    Draft(Box<ChangeMembership>),
    /// What another server told of a user's membership, whether or not the room is known. Answers `Told`.
    Told(OwnedUserId),
    /// The state resets that were noticed of late. Answers `StateResets`.
    StateResets,
    /// The events of other servers that wait. Answers `ParkedPdus`.
    ParkedPdus,
    /// What is asked by those who look after the server. Answers `Inspected`.
    Inspect(super::inspect::Inspection),
    /// Whether a user may let others into a restricted room. Answers `MayVouch`.
    MayVouch {
        /// Who would vouch.
        user_id: OwnedUserId,
    },
    /// What a server is told of the room into which its user is invited. Answers `Introduction`.
    Introduction,
    /// The room itself, for a task of its own: what it asks itself goes to no other node. Answers `View`.
    #[serde(skip)]
    View,
    /// What another server asks. Answers `Peer`.
    Peer(Box<super::peer::PeerQuery>),
    /// Live events after a sequence, oldest first, for counting unread messages; no visibility check. Answers `Live`.
    LiveAfter {
        /// Events with a higher sequence.
        sequence: Sequence,
        /// At most so many.
        limit: usize,
    },
    /// Who had joined just after a record, by server. Answers `Servers`.
    Servers(Sequence),
    /// Events of a server's users that stick to the room (MSC4354). Answers `Outgoing`.
    Sticky {
        /// Which server.
        origin: OwnedServerName,
        /// Up to this record.
        until: Sequence,
    },
    /// What a server missed. Answers `Outgoing`.
    Outgoing(Box<super::query::outgoing::OutgoingQuery>),
}

/// What a room hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RoomSignal {
    /// A joined user types, for so many milliseconds, or has stopped (0).
    Typing {
        /// Who.
        user_id: OwnedUserId,
        /// For how long.
        timeout_ms: u64,
    },
    /// The time of some typing users may be up.
    TypingExpired,
}
