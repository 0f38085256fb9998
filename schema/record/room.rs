//! Records of a room.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Kind, codec::Record};
use crate::address::Sequence;

/// The state of a room at some point, by the record that made it: 0 is the empty state; otherwise the sequence of an accepted state event
/// (state = the event's `before`, with the event put in) or of a [`RoomRecord::StateSet`].
pub type StateId = Sequence;

/// What happens in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RoomRecord {
    /// An event was accepted (or judged, see [`Verdict`]).
    #[serde(rename = "e")]
    Event(EventRecord),
    /// The state was resolved: forward extremities with different states met, or a join brought the state of a remote room.
    #[serde(rename = "s")]
    StateSet(StateSet),
    /// A user's receipt moved.
    #[serde(rename = "r")]
    ReceiptMoved(ReceiptMoved),
    /// The room entered or left the public room list.
    #[serde(rename = "d")]
    DirectoryVisibilitySet(DirectoryVisibilitySet),
    /// Another server told of a local user's membership, of a room in which nobody of this server is.
    #[serde(rename = "m")]
    MembershipTold(MembershipTold),
    /// What this server knew as the ends of the event graph is void: nobody of it was in the room any more, and somebody comes back.
    #[serde(rename = "v")]
    EndsForgotten(EndsForgotten),
    /// Events from before this server came into the room were fetched.
    #[serde(rename = "b")]
    PastTaken(PastTaken),
    /// An administrator had the room deleted: nothing of what was recorded before counts any more, and all of it is replaced by [`RoomRecord::Gone`].
    #[serde(rename = "x")]
    Emptied(RoomEmptied),
    /// What stands in the place of a record of a room that was deleted. Never appended as such.
    #[serde(rename = "g")]
    Gone(Gone),
    /// What the server that let somebody in told of the state leaves out the members (server-server API, `send_join`, `omit_members`).
    #[serde(rename = "p")]
    StatePartial(StatePartial),
    /// The members that were left out are known.
    #[serde(rename = "w")]
    StateCompleted(StateCompleted),
    /// State resolution changed keys of the state in force though nothing that had come ruled so: operators are told.
    #[serde(rename = "k")]
    KeysReset(KeysReset),
    /// An event of another server cannot be taken in yet, and waits. Replaced by [`RoomRecord::Gone`] when it waits no more.
    #[serde(rename = "q")]
    PduParked(PduParked),
    /// Events that waited are given up.
    #[serde(rename = "u")]
    PdusReleased(PdusReleased),
}

impl Record for RoomRecord {
    fn kind(&self) -> Kind {
        match self {
            RoomRecord::Event(_) => kind::EVENT,
            RoomRecord::StateSet(_) => kind::STATE_SET,
            RoomRecord::ReceiptMoved(_) => kind::RECEIPT_MOVED,
            RoomRecord::DirectoryVisibilitySet(_) => kind::DIRECTORY_VISIBILITY_SET,
            RoomRecord::MembershipTold(_) => kind::MEMBERSHIP_TOLD,
            RoomRecord::EndsForgotten(_) => kind::ENDS_FORGOTTEN,
            RoomRecord::PastTaken(_) => kind::PAST_TAKEN,
            RoomRecord::Emptied(_) => kind::EMPTIED,
            RoomRecord::Gone(_) => kind::GONE,
            RoomRecord::StatePartial(_) => kind::STATE_PARTIAL,
            RoomRecord::StateCompleted(_) => kind::STATE_COMPLETED,
            RoomRecord::KeysReset(_) => kind::KEYS_RESET,
            RoomRecord::PduParked(_) => kind::PDU_PARKED,
            RoomRecord::PdusReleased(_) => kind::PDUS_RELEASED,
        }
    }

    fn key(&self) -> Option<&str> {
        match self {
            RoomRecord::Event(event) => Some(&event.event_id),
            _ => None,
        }
    }

    fn restore_key(&mut self, key: &str) {
        if let RoomRecord::Event(event) = self {
            event.event_id = key.to_owned();
        }
    }
}

/// Whether the event of a record may hold this text (plain ASCII, a type or a key), told from the record's bytes: nearly all events need not be decoded to
/// know that they do not. What does not even begin like a record may hold anything: whoever decodes it finds the damage.
pub fn may_hold(payload: &[u8], text: &str) -> bool {
    // MessagePack has an enum's variant with content as a map of one entry.
    if payload.first() != Some(&0x81) {
        return true;
    }
    // A sender may have escaped any letter.
    let find = |text: &str| memchr::memmem::find(payload, text.as_bytes()).is_some();
    find(text) || find("\\u")
}

/// Kinds of room records.
pub mod kind {
    use super::Kind;

    /// [`super::RoomRecord::Event`].
    pub const EVENT: Kind = 100;
    /// [`super::RoomRecord::StateSet`].
    pub const STATE_SET: Kind = 101;
    /// [`super::RoomRecord::ReceiptMoved`].
    pub const RECEIPT_MOVED: Kind = 102;
    /// [`super::RoomRecord::DirectoryVisibilitySet`].
    pub const DIRECTORY_VISIBILITY_SET: Kind = 103;
    /// [`super::RoomRecord::MembershipTold`].
    pub const MEMBERSHIP_TOLD: Kind = 104;
    /// [`super::RoomRecord::EndsForgotten`].
    pub const ENDS_FORGOTTEN: Kind = 105;
    /// [`super::RoomRecord::PastTaken`].
    pub const PAST_TAKEN: Kind = 106;
    /// [`super::RoomRecord::Emptied`].
    pub const EMPTIED: Kind = 107;
    /// [`super::RoomRecord::Gone`].
    pub const GONE: Kind = 108;
    /// [`super::RoomRecord::StatePartial`].
    pub const STATE_PARTIAL: Kind = 109;
    /// [`super::RoomRecord::StateCompleted`].
    pub const STATE_COMPLETED: Kind = 110;
    /// [`super::RoomRecord::KeysReset`].
    pub const KEYS_RESET: Kind = 111;
    /// [`super::RoomRecord::PduParked`].
    pub const PDU_PARKED: Kind = 112;
    /// [`super::RoomRecord::PdusReleased`].
    pub const PDUS_RELEASED: Kind = 113;
}

/// An event and the verdict on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The event ID. It is the record's key, and stands nowhere else in the log.
    #[serde(skip)]
    pub event_id: String,
    /// The PDU as received, or as canonical JSON when it was made here. After a redaction: the pruned PDU with `unsigned.redacted_because`.
    pub pdu: ByteBuf,
    /// The state of the room before the event.
    pub before: StateId,
    /// For a state event: the event in force before it under the same type and state key, by its sequence. Walking these gives a key's history.
    pub replaces: Option<Sequence>,
    /// Whether it counts.
    pub verdict: Verdict,
    /// Where it belongs.
    pub placement: Placement,
    /// The client's transaction that made it.
    pub transaction: Option<Transaction>,
    /// The server that brought it, where that is not the sender's.
    #[serde(default)]
    pub from: Option<String>,
}

/// What the checks on receipt of a PDU said (server-server API, "Checks performed on receipt of a PDU").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// All checks passed.
    #[serde(rename = "a")]
    Accepted,
    /// Failed only against the current state: kept, not shown, not an extremity.
    #[serde(rename = "f")]
    SoftFailed(String),
    /// Failed its authorisation: kept with the reason, never shown.
    #[serde(rename = "r")]
    Rejected(String),
    /// A redaction that passed all checks before its target was known: not shown, until the target comes and this is replaced by [`Verdict::Accepted`].
    #[serde(rename = "h")]
    Held,
    /// A redaction that passed all checks, of an event that its sender may not redact: never shown.
    #[serde(rename = "n")]
    Powerless,
}

impl Verdict {
    /// Whether all checks were passed: such an event is part of the room's graph, be it shown or not.
    pub fn has_passed(&self) -> bool {
        matches!(self, Verdict::Accepted | Verdict::Held | Verdict::Powerless)
    }
}

/// Where an event belongs in the room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// At the end of the timeline: followers act on it.
    #[serde(rename = "l")]
    Live,
    /// Older history that was fetched later.
    #[serde(rename = "b")]
    Backfilled,
    /// Known because of the state or an auth chain; not in the timeline.
    #[serde(rename = "o")]
    Outlier,
}

/// The client's transaction behind an event (client-server API, "Transaction identifiers").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Transaction {
    /// Who sent it.
    pub user_id: String,
    /// From which device; empty for an application service without one.
    pub device_id: String,
    /// The transaction ID, preceded by the endpoint (`send`, `redact`), what else its path names (`:` and the event type or event ID) and a slash.
    pub transaction_id: String,
}

/// A state of the room, as a difference to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateSet {
    /// The state it differs from.
    pub base: StateId,
    /// What changed, sorted; `None` removes a key.
    pub changes: Vec<StateChange>,
    /// Whether it is the room's current state from here on.
    pub current: bool,
}

/// One changed key of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Event type.
    pub event_type: String,
    /// State key.
    pub state_key: String,
    /// The event that is now in force: its sequence in this room's records.
    pub event: Option<Sequence>,
}

/// A receipt moved (client-server API, "Receipts").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptMoved {
    /// Whose.
    pub user_id: String,
    /// `m.read` or `m.read.private`.
    pub receipt_type: String,
    /// `None` unthreaded, `main`, or a thread root.
    pub thread_id: Option<String>,
    /// Up to this event.
    pub event_id: String,
    /// When, milliseconds since the Unix epoch.
    pub ts_ms: u64,
}

/// The room entered or left the public room list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryVisibilitySet {
    /// Listed from here on.
    pub public: bool,
}

/// A local user's membership of a room in which nobody of this server is: an invite that came, a knock that was made, or the end of either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipTold {
    /// The event ID. It is no event of the room's records: another record may bring it as such.
    pub event_id: String,
    /// The member event.
    pub pdu: ByteBuf,
    /// The room's version.
    pub room_version: String,
    /// What the other server told of the room: stripped state events, without the member event.
    pub stripped: Vec<ByteBuf>,
}

/// Ends of the event graph that count no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndsForgotten {
    /// Their event IDs.
    pub ends: Vec<String>,
}

/// The events of a stretch of the room's past, oldest first, stand among the records before this one; each later stretch is older than those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTaken {
    /// The first record of the stretch. Records of it that are no backfilled events were needed to judge these.
    pub first: Sequence,
    /// The last one.
    pub last: Sequence,
    /// The IDs of the events that precede it; none when it begins with the room.
    pub ends: Vec<String>,
}

/// The room was deleted. It may be joined again later, from other servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEmptied {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {}

/// A state that another server told, by which somebody came into the room, has gaps: of the members only those are in it that authorise other state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePartial {
    /// The [`StateSet`] that holds it.
    pub first: StateId,
    /// The ID of the member event by which somebody came in. What is missing is of the state before it.
    pub join: String,
    /// The servers in the room, as the other server told them.
    pub servers: Vec<String>,
}

/// A state that had gaps has none any more, and neither has any that came of it: between the state and what it differs from stand these changes now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCompleted {
    /// The [`StateSet`] that had gaps.
    pub first: StateId,
    /// What is in force since it came in, and still is: sorted.
    pub changes: Vec<StateChange>,
    /// What was in force then, and has been replaced since: sorted.
    pub replaced: Vec<StateChange>,
}

/// Keys of the state in force that changed, with the arrival of one event, though nothing that had come ruled so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysReset {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The ID of the event with whose arrival they changed.
    pub cause: String,
    /// The IDs of the ends of the event graph then; of many only some.
    pub ends: Vec<String>,
    /// The keys; of many only some.
    pub keys: Vec<KeyReset>,
}

/// A key of the state in force that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReset {
    /// Its type.
    pub event_type: String,
    /// Its state key.
    pub state_key: String,
    /// The ID of the event that was in force.
    pub old: Option<String>,
    /// The ID of the event that is.
    pub new: Option<String>,
}

/// An event of another server that cannot be taken in yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PduParked {
    /// The event ID. Not the record's key: nobody is to find the event by it.
    pub event_id: String,
    /// The server that brought it.
    pub origin: String,
    /// Since when it waits, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The IDs of the events that it rests on and that were not known.
    pub lacks: Vec<String>,
    /// The members of the room were not known.
    pub for_members: bool,
    /// The PDU as it was checked.
    pub pdu: ByteBuf,
}

/// Events wait no more, though they were not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PdusReleased {
    /// Their event IDs.
    pub event_ids: Vec<String>,
}
