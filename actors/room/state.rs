//! What a room owns, and `apply`: the only way it changes.

use std::{collections::VecDeque, sync::Arc};

use imbl::OrdMap;
use playhouse_schema::{
    address::{Position, Sequence},
    record::room::{EventRecord, Placement, RoomRecord, StateId, StateSet, Verdict},
};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};
use serde::{Deserialize, Serialize};

use super::{
    RoomError,
    auth::allowed::Allowed,
    early::Early,
    ends::Overtaken,
    event::RoomEvent,
    gaps::Gaps,
    parked::ParkedPdus,
    past::Past,
    receipts::{ReceiptKey, Receipts},
    receive::Resets,
    snapshot::Stored,
    sticky::Sticky,
    told::Told,
    transactions::Transactions,
};

/// Type and state key of a state event.
pub type StateKey = (TimelineEventType, String);

/// A state of the room: what is in force under each type and state key. Cheap to clone.
pub type StateMap = OrdMap<StateKey, Arc<RoomEvent>>;

/// So many loose events a room keeps when it is at rest.
const LOOSE_EVENTS_KEPT: usize = 64;

/// How many loose events a room keeps while records are applied: more than any state brings along.
const LOOSE_EVENTS_MAX: usize = 200_000;

/// How many of the newest events a room keeps at hand.
pub(crate) const RECENT_EVENTS_MAX: usize = 64;

/// The end of a branch of the room's event graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extremity {
    /// The event.
    pub event_id: OwnedEventId,
    /// Its depth.
    pub depth: u64,
    /// The state after it.
    pub after: StateId,
}

/// What waits to hear its position.
#[derive(Clone, Debug)]
pub(crate) enum InFlight {
    /// An event.
    Event(Arc<RoomEvent>),
    /// A receipt.
    Receipt(ReceiptKey),
    /// Members that were not known.
    GapsClosed,
}

/// A room's state: a fold of its records. Cheap to clone.
#[derive(Clone)]
pub struct Room {
    /// The room's ID.
    pub room_id: OwnedRoomId,
    /// The number of the newest record.
    pub sequence: Sequence,
    /// The version; `None` before the create event.
    pub version: Option<RoomVersionId>,
    /// The rules of the version.
    pub rules: Option<Arc<RoomVersionRules>>,
    /// The state in force.
    pub current: StateMap,
    /// The record that made the state in force.
    pub current_id: StateId,
    /// The ends of the event graph.
    pub extremities: Vec<Arc<Extremity>>,
    /// What lies before them and has not come.
    pub(crate) overtaken: Overtaken,
    /// Members that are not known yet, and those that were not known for a while.
    pub(crate) gaps: Gaps,
    /// Redactions that came before what they redact.
    pub(crate) early: Early,
    /// The keys that state resolution has changed of late though nothing ruled so.
    pub(crate) resets: Resets,
    /// Events of other servers that cannot be taken in yet.
    pub(crate) parked: ParkedPdus,
    /// The newest live events, oldest first: those that clients may see, and redactions that they may not see, or not yet.
    pub recent: VecDeque<Arc<RoomEvent>>,
    /// Accepted or soft-failed events outside the timeline's end that a later [`StateSet`] may put in force: from federation, by sequence.
    pub loose: OrdMap<Sequence, Arc<RoomEvent>>,
    /// Keys of the state in force whose events are named but not held: only while the log is folded, until `hydrate` has read them.
    pub(crate) absent: OrdMap<StateKey, Sequence>,
    /// Client transactions and the events they made.
    pub transactions: Transactions,
    /// Events that stick to the room, oldest first; some may be over.
    pub(crate) sticky: Sticky,
    /// Receipts in force.
    pub receipts: Receipts,
    /// What other servers told of memberships of local users while none of them was in the room.
    pub told: OrdMap<OwnedUserId, Arc<Told>>,
    /// What was fetched from before this server came in.
    pub past: Arc<Past>,
    /// Listed in the public room list.
    pub public: bool,
    /// Members that have joined.
    pub joined_count: u64,
    /// Users that are invited.
    pub invited_count: u64,
    /// Whether a record other than a plain state event has ever set the state: then a key's history is not just its chain of replacements.
    pub forked: bool,
    /// Bytes of the events held.
    pub held_bytes: usize,
    /// Which kinds of event, by whom, the state in force has allowed already.
    pub(crate) allowed: Allowed,
    /// How often the store has put other bytes in the place of a record since the room woke, whether that is held or not.
    pub(crate) replaced: u64,
    /// Records whose position is not known yet.
    pub(crate) in_flight: OrdMap<Sequence, InFlight>,
    /// What a snapshot names and `hydrate` has to read.
    pub(crate) stored: Option<Arc<Stored>>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.room_id, self.sequence)
    }
}

#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
}

impl Room {
    /// The state before the first record.
    pub(crate) fn nothing(room_id: OwnedRoomId) -> Self {
        Self {
            room_id,
            sequence: 0,
            version: None,
            rules: None,
            current: StateMap::new(),
            current_id: 0,
            extremities: Vec::new(),
            overtaken: Overtaken::default(),
            gaps: Gaps::default(),
            early: Early::default(),
            resets: Resets::default(),
            parked: ParkedPdus::default(),
            recent: VecDeque::new(),
            loose: OrdMap::new(),
            absent: OrdMap::new(),
            transactions: Transactions::default(),
            sticky: Sticky::default(),
            receipts: Receipts::default(),
            told: OrdMap::new(),
            past: Arc::default(),
            public: false,
            joined_count: 0,
            invited_count: 0,
            forked: false,
            held_bytes: 0,
            allowed: Allowed::default(),
            replaced: 0,
            in_flight: OrdMap::new(),
            stored: None,
        }
    }

    /// The rules of its version; an error when there is no such room.
    pub(crate) fn rules(&self) -> Result<&Arc<RoomVersionRules>, RoomError> {
        self.rules.as_ref().ok_or(RoomError::UnknownRoom)
    }

    /// Whether it has a create event.
    pub fn exists(&self) -> bool {
        self.version.is_some()
    }

    /// The state event in force.
    pub fn state_event(
        &self,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Option<&Arc<RoomEvent>> {
        self.current
            .get(&(event_type.to_string().into(), state_key.to_owned()))
    }

    /// The membership in force; `None` for somebody who never was a member of any kind.
    pub fn membership(&self, user_id: &UserId) -> Option<MembershipState> {
        self.state_event(&StateEventType::RoomMember, user_id.as_str())
            .and_then(|event| membership_of(event))
    }

    /// An event that is held in memory, by its ID: one of the newest, or one of the state in force (a walk through it all).
    pub(crate) fn event_at_hand(&self, event_id: &EventId) -> Option<&Arc<RoomEvent>> {
        self.recent_event(event_id).or_else(|| {
            self.current
                .values()
                .find(|event| event.pdu.event_id == event_id)
        })
    }

    /// One of the newest events, by its ID.
    pub(crate) fn recent_event(&self, event_id: &EventId) -> Option<&Arc<RoomEvent>> {
        self.recent
            .iter()
            .rev()
            .find(|event| event.pdu.event_id == event_id)
    }

    /// Takes in one record.
    pub(crate) fn take_in(&mut self, sequence: Sequence, position: Position, record: &RoomRecord) {
        self.sequence = sequence;
        match record {
            RoomRecord::Event(event) => self.take_in_event(sequence, position, event),
            RoomRecord::StateSet(set) => self.take_in_state_set(sequence, set),
            RoomRecord::ReceiptMoved(moved) => self.take_in_receipt(sequence, position, moved),
            RoomRecord::DirectoryVisibilitySet(set) => self.public = set.public,
            RoomRecord::MembershipTold(told) => self.take_in_told(sequence, position, told),
            RoomRecord::EndsForgotten(forgotten) => self.forget_ends(forgotten),
            RoomRecord::PastTaken(taken) => Arc::make_mut(&mut self.past).take_in(taken),
            RoomRecord::Emptied(_) => self.empty_out(),
            RoomRecord::Gone(_) => {}
            RoomRecord::KeysReset(reset) => self.resets.take_in(reset),
            RoomRecord::PduParked(parked) => self.parked.put(sequence, parked),
            RoomRecord::PdusReleased(released) => self.parked.release(released),
            RoomRecord::StatePartial(partial) => self.open_gaps(partial),
            RoomRecord::StateCompleted(completed) => {
                self.close_gaps((sequence, position), completed);
            }
        }
    }

    fn take_in_event(&mut self, sequence: Sequence, position: Position, record: &EventRecord) {
        let Some(event) = RoomEvent::from_record(sequence, position, record) else {
            return;
        };
        let event = Arc::new(event);
        if position == 0 {
            self.in_flight
                .insert(sequence, InFlight::Event(event.clone()));
        }
        if let Some(transaction) = &record.transaction {
            self.transactions
                .remember(transaction.clone(), event.pdu.event_id.clone());
        }
        self.sticky.take_in(&event);
        self.note_early(&event);
        self.parked.note(&event.pdu.event_id, event.placement);
        match (&event.verdict, event.placement) {
            (Verdict::Accepted | Verdict::Held | Verdict::Powerless, Placement::Live) => {
                self.take_in_live(event);
            }
            (Verdict::Accepted, _) | (Verdict::SoftFailed(_), _) if event.pdu.is_state() => {
                // A room that was joined elsewhere knows its create event by its state.
                if self.version.is_none() && event.pdu.event_type == TimelineEventType::RoomCreate {
                    self.take_in_create(&event);
                }
                self.put_loose(event);
            }
            _ => {}
        }
    }

    /// Brings events to hand that records to come will name.
    pub(crate) fn bring(&mut self, companions: &[Arc<RoomEvent>]) {
        for event in companions {
            if !self.loose.contains_key(&event.sequence) {
                self.put_loose(event.clone());
            }
        }
    }

    fn take_in_live(&mut self, event: Arc<RoomEvent>) {
        if event.pdu.event_type == TimelineEventType::RoomCreate {
            self.take_in_create(&event);
        }
        self.overrule_told(&event);
        if event.before == self.current_id {
            self.allowed.remember(&event.pdu);
        }
        let mut after = event.before;
        if let Some(state_key) = &event.pdu.state_key {
            after = event.sequence;
            if event.before == self.current_id {
                self.put_state(
                    (event.pdu.event_type.clone(), state_key.clone()),
                    Some(event.clone()),
                );
                self.current_id = event.sequence;
            } else {
                // On another branch than the state in force it waits for the resolution, which is recorded behind it.
                self.put_loose(event.clone());
            }
        }
        self.extremities
            .retain(|end| !event.pdu.prev_events.iter().any(|id| *id == end.event_id));
        if !self.overtaken.contains(&event.pdu.event_id) {
            self.extremities.push(Arc::new(Extremity {
                event_id: event.pdu.event_id.clone(),
                depth: event.pdu.depth,
                after,
            }));
        }
        self.held_bytes += event.weight_bytes();
        self.recent.push_back(event);
        if self.recent.len() > RECENT_EVENTS_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.held_bytes = self.held_bytes.saturating_sub(oldest.weight_bytes());
        }
    }

    fn put_loose(&mut self, event: Arc<RoomEvent>) {
        self.held_bytes += event.weight_bytes();
        self.loose.insert(event.sequence, event);
        if self.loose.len() > LOOSE_EVENTS_MAX
            && let Some((oldest, _)) = self.loose.get_min().cloned()
            && let Some(dropped) = self.loose.remove(&oldest)
        {
            self.held_bytes = self.held_bytes.saturating_sub(dropped.weight_bytes());
        }
    }

    fn take_in_create(&mut self, event: &RoomEvent) {
        #[derive(Deserialize)]
        struct CreateContent {
            #[serde(default = "first_version")]
            room_version: RoomVersionId,
        }
        fn first_version() -> RoomVersionId {
            RoomVersionId::V1
        }
        let version = event
            .pdu
            .content_as::<CreateContent>()
            .map_or(RoomVersionId::V1, |content| content.room_version);
        self.rules = version.rules().map(Arc::new);
        self.version = Some(version);
    }

    fn take_in_state_set(&mut self, sequence: Sequence, set: &StateSet) {
        self.forked = true;
        if !set.current {
            return;
        }
        self.put_changes(&set.changes);
        self.current_id = sequence;
    }

    /// Lets go of loose events once they are many: whoever needs one later brings it. Not while records are applied, of which the next may name one.
    pub(crate) fn tidy_up(&mut self) {
        if self.loose.len() > LOOSE_EVENTS_KEPT {
            let loose: usize = self.loose.values().map(|event| event.weight_bytes()).sum();
            self.held_bytes = self.held_bytes.saturating_sub(loose);
            self.loose.clear();
        }
    }

    /// An event that is held in memory, by its sequence.
    pub(crate) fn held(&self, sequence: Sequence) -> Option<Arc<RoomEvent>> {
        let recent = self
            .recent
            .iter()
            .rev()
            .find(|event| event.sequence == sequence);
        recent
            .or_else(|| self.loose.get(&sequence))
            .or_else(|| {
                self.current
                    .values()
                    .find(|event| event.sequence == sequence)
            })
            .cloned()
    }

    /// Puts one key of the state in force, or removes it, and keeps the counts.
    pub(crate) fn put_state(&mut self, key: StateKey, event: Option<Arc<RoomEvent>>) {
        self.allowed.forget();
        self.absent.remove(&key);
        if key.0 == TimelineEventType::RoomMember {
            let before = self
                .current
                .get(&key)
                .and_then(|event| membership_of(event));
            let after = event.as_ref().and_then(|event| membership_of(event));
            self.count(before.as_ref(), false);
            self.count(after.as_ref(), true);
        }
        self.held_bytes += event.as_ref().map_or(0, |event| event.weight_bytes());
        let replaced = match event {
            Some(event) => self.current.insert(key, event),
            None => self.current.remove(&key),
        };
        self.held_bytes = self
            .held_bytes
            .saturating_sub(replaced.map_or(0, |event| event.weight_bytes()));
    }

    fn count(&mut self, membership: Option<&MembershipState>, more: bool) {
        let counter = match membership {
            Some(MembershipState::Join) => &mut self.joined_count,
            Some(MembershipState::Invite) => &mut self.invited_count,
            _ => return,
        };
        *counter = if more {
            *counter + 1
        } else {
            counter.saturating_sub(1)
        };
    }

    /// The commit has told where a record landed.
    pub(crate) fn landed(&mut self, sequence: Sequence, position: Position) {
        match self.in_flight.remove(&sequence) {
            Some(InFlight::Event(event)) => event.landed(position),
            Some(InFlight::Receipt(key)) => self.receipts.landed(key, sequence, position),
            Some(InFlight::GapsClosed) => self.gaps.landed(sequence, position),
            None => {}
        }
    }

    /// The ID of an event in memory: the payload of its record does not repeat it.
    pub(crate) fn held_event_id(&self, sequence: Sequence) -> Option<String> {
        let recent = self.recent.iter();
        let mut held = recent
            .chain(self.loose.values())
            .chain(self.current.values());
        held.find(|event| event.sequence == sequence)
            .map(|event| event.pdu.event_id.to_string())
    }

    /// The store put other bytes in the place of an event (redaction).
    pub(crate) fn replace_event(&mut self, sequence: Sequence, record: &EventRecord) {
        let Some(event) = RoomEvent::from_record(sequence, 0, record) else {
            return;
        };
        self.allowed.forget();
        let event = Arc::new(event);
        self.sticky.forget(sequence);
        let mut old_position = 0;
        let mut replace = |old: &mut Arc<RoomEvent>, held_bytes: Option<&mut usize>| {
            old_position = old_position.max(old.position());
            if let Some(held_bytes) = held_bytes {
                *held_bytes = held_bytes.saturating_sub(old.weight_bytes()) + event.weight_bytes();
            }
            *old = event.clone();
        };
        let recent = self
            .recent
            .iter_mut()
            .find(|event| event.sequence == sequence);
        if let Some(recent) = recent {
            replace(recent, Some(&mut self.held_bytes));
        }
        if let Some(loose) = self.loose.get_mut(&sequence) {
            replace(loose, Some(&mut self.held_bytes));
        }
        if let Some(state_key) = &event.pdu.state_key {
            let key = (event.pdu.event_type.clone(), state_key.clone());
            if let Some(current) = self.current.get_mut(&key)
                && current.sequence == sequence
            {
                replace(current, Some(&mut self.held_bytes));
            }
        }
        if let Some(InFlight::Event(waiting)) = self.in_flight.get_mut(&sequence) {
            replace(waiting, None);
        }
        event.landed(old_position);
    }
}

/// The membership that a member event gives its target.
pub(crate) fn membership_of(event: &RoomEvent) -> Option<MembershipState> {
    event
        .pdu
        .content_as::<MemberContent>()
        .map(|content| content.membership)
}
