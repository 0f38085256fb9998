//! Received events, each in its place: predecessors, the state before it, the rules.
//!
//! Works on a copy of the room that takes in what is weighed under provisional numbers, so that a whole list can be weighed before any of it is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::{
    address::Sequence,
    record::room::{
        EndsForgotten, EventRecord, PastTaken, Placement, RoomRecord, StateId, StateSet,
        Transaction, Verdict,
    },
};
use ruma::{
    EventId, OwnedEventId, OwnedServerName, RoomVersionId, events::TimelineEventType,
    room_version_rules::RoomVersionRules,
};

use super::{
    Fate, PROVISIONAL, ReceivedEvent, Role, TakeIn, ends::is_in_graph, known::LOOKED_UP_AT_ONCE,
    memory::Remembered, merge, recommend::Word, resets::StateReset, verdict,
};
use crate::room::{
    Room, RoomError,
    event::RoomEvent,
    gaps::with_members,
    pdu::Pdu,
    query::{history::History, past::Moment},
    state::{StateKey, StateMap},
};

/// So many events that precede a stretch of the past are remembered: fetching goes on there.
const PAST_ENDS_MAX: usize = 20;

/// Some events being weighed.
pub(super) struct Weighing {
    /// The room with what has been weighed so far.
    pub(super) room: Room,
    /// States that were merged, and what into.
    pub(super) merged: BTreeMap<Arc<BTreeSet<StateId>>, StateId>,
    /// The states after the ends, once somebody has asked for them.
    pub(super) afters: Option<Arc<BTreeSet<StateId>>>,
    pub(super) history: History,
    pub(super) rules: Arc<RoomVersionRules>,
    /// Events that were looked up or weighed.
    pub(super) found: BTreeMap<OwnedEventId, Arc<RoomEvent>>,
    /// Events that were looked up, and are not known unless they have been weighed since.
    pub(super) unknown: BTreeSet<OwnedEventId>,
    pub(super) states: BTreeMap<StateId, StateMap>,
    /// States that an earlier weighing has read.
    pub(super) remembered: Arc<Remembered>,
    pub(super) records: Vec<RoomRecord>,
    pub(super) erasures: Vec<(Sequence, bytes::Bytes)>,
    companions: BTreeMap<Sequence, Arc<RoomEvent>>,
    /// The outcome depends on which ends the graph has.
    pub(super) depends_on_ends: bool,
    /// The state in force is known to be the resolution of the states after the ends.
    pub(super) is_settled: bool,
    /// The event that is weighed brings the room's whole state.
    pub(super) is_arriving: bool,
    /// Keys of the state under which something has come that is part of the graph.
    pub(super) news: BTreeSet<StateKey>,
    /// Keys of the state in force that have changed without a reason.
    pub(super) resets: Vec<StateReset>,
    /// The servers in the room, where the state that is told leaves out members.
    pub(super) told_servers: Option<Vec<OwnedServerName>>,
    /// What the backfilled events name as their predecessors.
    before_past: BTreeSet<OwnedEventId>,
}

impl Weighing {
    /// Begins. `version` is for a room that is not known yet.
    pub(super) fn new(
        history: History,
        version: Option<&RoomVersionId>,
    ) -> Result<Self, RoomError> {
        let room = Room::clone(&history.room);
        let rules = match (&room.rules, version) {
            (Some(rules), _) => rules.clone(),
            (None, Some(version)) => {
                let unsupported = || RoomError::UnsupportedVersion(version.clone());
                Arc::new(version.rules().ok_or_else(unsupported)?)
            }
            (None, None) => return Err(RoomError::UnknownRoom),
        };
        Ok(Self {
            room,
            history,
            rules,
            merged: BTreeMap::new(),
            afters: None,
            found: BTreeMap::new(),
            unknown: BTreeSet::new(),
            states: BTreeMap::new(),
            remembered: Arc::default(),
            records: Vec::new(),
            erasures: Vec::new(),
            companions: BTreeMap::new(),
            depends_on_ends: false,
            is_settled: false,
            is_arriving: false,
            news: BTreeSet::new(),
            resets: Vec::new(),
            told_servers: None,
            before_past: BTreeSet::new(),
        })
    }

    /// What is to be recorded; `None` when nothing is.
    pub(super) fn finish(self) -> Option<TakeIn> {
        let weighed = &self.history.room;
        let extremities = self.depends_on_ends.then(|| weighed.extremities.clone());
        (!self.records.is_empty()).then(|| TakeIn {
            records: self.records,
            erasures: self.erasures,
            current_id: weighed.current_id,
            extremities,
            companions: self.companions.into_values().collect(),
            early: weighed.early.clone(),
        })
    }

    /// What was weighed is a stretch of the room's past: notes where it lies and what precedes it. Nothing, when nothing of it is new.
    pub(super) async fn end_past(&mut self) -> Result<(), RoomError> {
        let is_past = |record: &RoomRecord| matches!(record, RoomRecord::Event(event) if event.placement == Placement::Backfilled);
        if !self.records.iter().any(is_past) {
            return Ok(());
        }
        let mut ends = Vec::new();
        for event_id in std::mem::take(&mut self.before_past) {
            let found = self.find(&event_id).await?;
            let is_known = found.is_some_and(|event| event.placement != Placement::Outlier);
            if !is_known && ends.len() < PAST_ENDS_MAX {
                ends.push(event_id.to_string());
            }
        }
        self.push(RoomRecord::PastTaken(PastTaken {
            first: PROVISIONAL,
            last: PROVISIONAL + self.records.len() as u64 - 1,
            ends,
        }));
        Ok(())
    }

    /// Weighs one event.
    pub(super) async fn weigh(&mut self, received: ReceivedEvent) -> Result<Fate, RoomError> {
        let ReceivedEvent { pdu, role } = received;
        if let Some(known) = self.find(&pdu.event_id).await?
            && (known.placement != Placement::Outlier || matches!(role, Role::Outlier))
        {
            // Who sends it again hears the same again.
            return Ok(match &known.verdict {
                Verdict::Rejected(reason) => Fate::Rejected(reason.clone()),
                _ => Fate::Known,
            });
        }
        let word = Word::of(&role);
        if let Some(earlier) = self.repeated(&word) {
            return Ok(Fate::Repeats(earlier));
        }
        let from = pdu.carrier().map(ToString::to_string);
        let pdu = pdu.into_pdu();
        let authorising = match self.authorising(&pdu).await? {
            Ok(events) => events,
            Err(auth_events) => {
                let prev_events = Vec::new();
                return Ok(Fate::Wanting {
                    prev_events,
                    auth_events,
                });
            }
        };
        let (placement, before) = match role {
            Role::Outlier => (Placement::Outlier, Ok(0)),
            Role::Next | Role::NotRecommended(_) | Role::Own(_) => {
                (Placement::Live, self.state_before(&pdu).await?)
            }
            Role::Past => (Placement::Backfilled, self.state_before(&pdu).await?),
            Role::Given { state, placement } => {
                let given = self.given(&state, placement).await?;
                if let (Ok(first), Some(servers)) = (&given, self.told_servers.take()) {
                    self.begin_gaps(*first, &pdu.event_id, &servers);
                }
                (placement, given)
            }
        };
        let before = match before {
            Ok(before) => before,
            Err(fate) => return Ok(fate),
        };
        let by_auth_events = verdict::by_auth_events(&self.rules, &pdu, &authorising);
        let verdict = if placement == Placement::Outlier {
            by_auth_events.map_or_else(Verdict::Rejected, |()| Verdict::Accepted)
        } else {
            let members = self.omitted_members(authorising);
            let authorised = by_auth_events.map(|()| members);
            self.judge(&pdu, (placement, before), authorised).await?
        };
        let verdict = match self.with_recommendation(&pdu, &word, verdict) {
            Ok(verdict) => verdict,
            Err(fate) => return Ok(fate),
        };
        let source = (word.transaction(), from);
        self.record(pdu, (placement, before), (verdict, source))
            .await
    }

    /// A state.
    pub(super) async fn state(&mut self, id: StateId) -> Result<StateMap, RoomError> {
        if id == self.room.current_id {
            return Ok(self.room.current.clone());
        }
        let remembered = || self.remembered.state(id);
        if let Some(state) = self.states.get(&id).or_else(remembered) {
            return Ok(state.clone());
        }
        let state = self.history.state(Moment::State(id)).await?;
        self.states.insert(id, state.clone());
        Ok(state)
    }

    /// Records a state as a difference to the one in force; answers its ID.
    pub(super) fn state_as_set(
        &mut self,
        state: StateMap,
        current: bool,
    ) -> Result<StateId, RoomError> {
        let state = self.with_missing_members(state);
        let changes = merge::changes(&self.room.current, &state);
        if changes.is_empty() && !current {
            return Ok(self.room.current_id);
        }
        for change in &changes {
            let key = (
                TimelineEventType::from(change.event_type.as_str()),
                change.state_key.clone(),
            );
            if let Some(event) = state.get(&key) {
                self.accompany(event);
            }
        }
        let set = StateSet {
            base: self.room.current_id,
            changes,
            current,
        };
        let id = self.push(RoomRecord::StateSet(set));
        self.states.insert(id, state);
        Ok(id)
    }

    pub(super) fn accompany(&mut self, event: &Arc<RoomEvent>) {
        self.room.bring(std::slice::from_ref(event));
        if event.sequence < PROVISIONAL {
            self.companions.insert(event.sequence, event.clone());
        }
    }

    /// Takes in a record under a provisional number.
    pub(super) fn push(&mut self, record: RoomRecord) -> Sequence {
        let sequence = PROVISIONAL + self.records.len() as u64;
        self.room.take_in(sequence, sequence, &record);
        // A state leaves the ends as they are.
        if !matches!(record, RoomRecord::StateSet(_)) {
            self.afters = None;
        }
        self.records.push(record);
        sequence
    }

    /// The events that authorise an event, the create event among them; otherwise those that are missing.
    async fn authorising(
        &mut self,
        pdu: &Pdu,
    ) -> Result<Result<Vec<Arc<RoomEvent>>, Vec<OwnedEventId>>, RoomError> {
        let mut wanted = pdu.auth_events.clone();
        let is_create = pdu.event_type == TimelineEventType::RoomCreate;
        if self.rules.authorization.room_create_event_id_as_room_id && !is_create {
            // From version 12 on the room's ID names the create event, and no event does.
            let create = format!("${}", &self.room.room_id.as_str()[1..]);
            let create = EventId::parse(create)
                .map_err(|error| RoomError::InvalidRoomState(error.to_string()))?;
            wanted.push(create);
        }
        let at_hand = self.at_hand(pdu, &wanted);
        let mut events = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for event_id in wanted {
            let held = at_hand.iter().find(|event| event.pdu.event_id == event_id);
            let event = match held {
                Some(event) => Some(event.clone()),
                None => self.find(&event_id).await?,
            };
            match event {
                Some(event) => events.push(event),
                None => missing.push(event_id),
            }
        }
        Ok(if missing.is_empty() {
            Ok(events)
        } else {
            Err(missing)
        })
    }

    /// The state before an event, from its predecessors.
    async fn state_before(&mut self, pdu: &Pdu) -> Result<Result<StateId, Fate>, RoomError> {
        let mut ids = BTreeSet::new();
        let mut missing = Vec::new();
        for event_id in &pdu.prev_events {
            // What happened on the other branches since may have driven the event out of memory.
            if let Some(end) = self.room.end(event_id) {
                ids.insert(end.after);
                continue;
            }
            match self.find(event_id).await? {
                Some(event) if event.placement != Placement::Outlier => {
                    ids.insert(state_after(&event));
                }
                _ => missing.push(event_id.clone()),
            }
        }
        if !missing.is_empty() {
            return Ok(Err(Fate::Wanting {
                prev_events: missing,
                auth_events: Vec::new(),
            }));
        }
        let first = ids.first().copied().unwrap_or(0);
        Ok(Ok(if ids.len() > 1 {
            self.merged(&ids).await?
        } else {
            first
        }))
    }

    /// A state that another server told.
    async fn given(
        &mut self,
        event_ids: &[OwnedEventId],
        placement: Placement,
    ) -> Result<Result<StateId, Fate>, RoomError> {
        let mut state = StateMap::new();
        let mut missing = Vec::new();
        for (index, event_id) in event_ids.iter().enumerate() {
            if index % LOOKED_UP_AT_ONCE == 0 {
                self.look_up(event_ids.iter().skip(index)).await?;
            }
            match self.find(event_id).await? {
                Some(event) if matches!(event.verdict, Verdict::Rejected(_)) => {}
                Some(event) => {
                    if let Some(state_key) = event.pdu.state_key.clone() {
                        state.insert((event.pdu.event_type.clone(), state_key), event);
                    }
                }
                None => missing.push(event_id.clone()),
            }
        }
        if !missing.is_empty() {
            return Ok(Err(Fate::Wanting {
                prev_events: Vec::new(),
                auth_events: missing,
            }));
        }
        self.is_arriving = placement == Placement::Live;
        if self.is_arriving {
            self.give_up_gaps();
        }
        if placement == Placement::Live && !self.room.extremities.is_empty() {
            let ends = self.room.extremities.iter();
            let ends = ends.map(|end| end.event_id.to_string()).collect();
            self.depends_on_ends = true;
            self.push(RoomRecord::EndsForgotten(EndsForgotten { ends }));
        }
        // The first state of a room is in force at once.
        let is_first = self.room.extremities.is_empty();
        self.state_as_set(state, is_first).map(Ok)
    }

    async fn judge(
        &mut self,
        pdu: &Pdu,
        (placement, before): (Placement, StateId),
        authorised: Result<Vec<Arc<RoomEvent>>, String>,
    ) -> Result<Verdict, RoomError> {
        let members = match authorised {
            Ok(members) => members,
            Err(reason) => return Ok(Verdict::Rejected(reason)),
        };
        let state = with_members(&self.state(before).await?, &members);
        if let Err(reason) = verdict::by_state(&self.rules, pdu, &state) {
            return Ok(Verdict::Rejected(reason));
        }
        if placement == Placement::Live
            && before != self.room.current_id
            && verdict::by_state(
                &self.rules,
                pdu,
                &with_members(&self.room.current, &members),
            )
            .is_err()
            && let Err(reason) = self.judge_by_all(pdu, before, &members).await?
        {
            return Ok(Verdict::SoftFailed(reason));
        }
        Ok(Verdict::Accepted)
    }

    async fn record(
        &mut self,
        pdu: Pdu,
        (placement, before): (Placement, StateId),
        (verdict, (transaction, from)): (Verdict, (Option<Transaction>, Option<String>)),
    ) -> Result<Fate, RoomError> {
        let place = (placement, before);
        let (pdu, verdict) = self.mind_redactions(pdu, place, verdict).await?;
        let fate = match &verdict {
            Verdict::SoftFailed(reason) => Fate::SoftFailed(reason.clone()),
            Verdict::Rejected(reason) => Fate::Rejected(reason.clone()),
            Verdict::Accepted | Verdict::Held | Verdict::Powerless => Fate::Accepted,
        };
        let state = if placement == Placement::Outlier {
            StateMap::new()
        } else {
            self.state(before).await?
        };
        let key = pdu
            .state_key
            .clone()
            .map(|key| (pdu.event_type.clone(), key));
        let replaced = key.as_ref().and_then(|key| state.get(key));
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            pdu: pdu.json().to_vec().into(),
            before,
            replaces: replaced.map(|event| event.sequence),
            verdict,
            placement,
            transaction,
            from,
        };
        let sequence = PROVISIONAL + self.records.len() as u64;
        let Some(event) = RoomEvent::from_record(sequence, sequence, &record) else {
            return Ok(Fate::Rejected("malformed".to_owned()));
        };
        let event = Arc::new(event);
        self.found.insert(pdu.event_id.clone(), event.clone());
        // What only authorises others, or is history, changes nothing by having come.
        if is_in_graph(&event)
            && let Some(key) = &key
        {
            self.news.insert(key.clone());
        }
        let in_force = (self.room.current_id, self.room.current.clone());
        self.push(RoomRecord::Event(record));
        if placement == Placement::Backfilled {
            self.before_past.extend(pdu.prev_events.iter().cloned());
        }
        if let Some(key) = key
            && placement != Placement::Outlier
            && !matches!(fate, Fate::Rejected(_))
        {
            self.states
                .insert(sequence, state.update(key, event.clone()));
            self.depends_on_ends = true;
        }
        self.place(&event, in_force).await?;
        Ok(fate)
    }
}

/// The state after an event.
fn state_after(event: &RoomEvent) -> StateId {
    let counts = event.pdu.is_state() && !matches!(event.verdict, Verdict::Rejected(_));
    if counts { event.sequence } else { event.before }
}
