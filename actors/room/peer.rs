//! What other servers can ask of a room (server-server API). All of it obeys the room's server ACL and, where events are told, its history visibility.

use bytes::Bytes;
use ruma::{OwnedEventId, OwnedServerName, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};

use super::answer::FoundEvent;

/// A question of another server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerQuery {
    /// Which server asks.
    pub server: OwnedServerName,
    /// What.
    pub question: PeerQuestion,
}

/// What another server can ask. But for `Standing`, `Event` and `Handed` it must have a joined user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerQuestion {
    /// How the server stands to the room; never refused. Answers `Standing`.
    Standing,
    /// One event. Answers `Events` with that one.
    Event {
        /// Which.
        event_id: OwnedEventId,
    },
    /// The state before an event, and its auth chain. Answers `State`.
    State {
        /// Before which.
        event_id: OwnedEventId,
    },
    /// The same by IDs. Answers `StateIds`.
    StateIds {
        /// Before which.
        event_id: OwnedEventId,
    },
    /// The auth chain of an event. Answers `Events`.
    AuthChain {
        /// Of which.
        event_id: OwnedEventId,
    },
    /// Events and what precedes them, the newest first. Answers `Events`.
    Backfill {
        /// Where to begin; these are told too.
        from: Vec<OwnedEventId>,
        /// At most so many events.
        limit: usize,
    },
    /// What lies between events. Answers `Events`, the oldest first.
    MissingEvents(MissingEvents),
    /// The event closest to a time. Answers `Found`.
    EventAt {
        /// Milliseconds since the Unix epoch.
        ts_ms: u64,
        /// The last event until then instead of the first from then on.
        backwards: bool,
    },
    /// The ends of the event graph (MSC4370). Answers `Ids`.
    Extremities,
    /// What a server is told for a member event that it handed over and that was taken in. Its users need not be joined. Refused when the room's rules did
    /// not allow the event. Answers `Handed`.
    Handed {
        /// The event.
        event_id: OwnedEventId,
        /// What for.
        handshake: Handshake,
    },
}

/// A server that is not in a room needs one that is to bring its user in, or out again (server-server API, "Joining Rooms", "Knocking upon a room",
/// "Leaving Rooms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handshake {
    /// The user joins.
    Join {
        /// Most member events need not be told.
        omit_members: bool,
    },
    /// The user knocks.
    Knock,
    /// The user leaves, rejects an invite or retracts a knock.
    Leave,
}

impl Handshake {
    /// What the user's membership becomes.
    pub fn membership(self) -> MembershipState {
        match self {
            Handshake::Join { .. } => MembershipState::Join,
            Handshake::Knock => MembershipState::Knock,
            Handshake::Leave => MembershipState::Leave,
        }
    }
}

/// What a server is told for its member event. Events are in the form servers exchange.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Handed {
    /// The event as it was taken in, with this server's signature.
    pub event: Bytes,
    /// For a join the state before the event; for a knock what helps to recognise the room.
    pub state: Vec<Bytes>,
    /// For a join: what authorises these events, and what that, and so on.
    pub auth_chain: Vec<Bytes>,
    /// Member events are left out.
    pub members_omitted: bool,
    /// For a join: the servers that were in the room before.
    pub servers: Vec<OwnedServerName>,
}

/// A gap in what another server has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissingEvents {
    /// What it has already: neither these nor what only they lead to is told.
    pub earliest: Vec<OwnedEventId>,
    /// Whose predecessors it wants.
    pub latest: Vec<OwnedEventId>,
    /// At most so many events.
    pub limit: usize,
    /// No event with a lower depth.
    pub min_depth: u64,
}

/// What another server is told. Events are in the form servers exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PeerAnswer {
    /// See [`PeerQuestion::Standing`].
    Standing(PeerStanding),
    /// Some events.
    Events(Vec<Bytes>),
    /// A state.
    State {
        /// The events in force.
        pdus: Vec<Bytes>,
        /// What authorises them, and what that, and so on.
        auth_chain: Vec<Bytes>,
    },
    /// A state by IDs.
    StateIds {
        /// The events in force.
        pdu_ids: Vec<OwnedEventId>,
        /// What authorises them, and what that, and so on.
        auth_chain_ids: Vec<OwnedEventId>,
    },
    /// The event closest to a time.
    Found(FoundEvent),
    /// Some events by IDs.
    Ids(Vec<OwnedEventId>),
    /// See [`PeerQuestion::Handed`].
    Handed(Box<Handed>),
}

/// How a server stands to a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStanding {
    /// A user of it is joined.
    pub joined: bool,
    /// A user of it is invited.
    pub invited: bool,
    /// The room's server ACL lets it take part.
    pub admitted: bool,
    /// So many events are in force.
    pub state_events: u64,
}
