//! Closing the gaps of a state: see [`crate::room::gaps`].

use std::sync::Arc;

use playhouse_schema::record::room::{
    RoomRecord, StateChange, StateCompleted, StateId, StatePartial, Verdict,
};
use ruma::{EventId, OwnedEventId, OwnedServerName, events::TimelineEventType};

use super::{known::LOOKED_UP_AT_ONCE, weigh::Weighing};
use crate::room::{RoomError, event::RoomEvent, query::past::Moment, state::StateMap};

impl Weighing {
    /// The state that was just told by another server has gaps.
    pub(super) fn begin_gaps(
        &mut self,
        first: StateId,
        join: &EventId,
        servers: &[OwnedServerName],
    ) {
        self.push(RoomRecord::StatePartial(StatePartial {
            first,
            join: join.to_string(),
            servers: servers.iter().map(ToString::to_string).collect(),
        }));
    }

    /// Somebody comes back: what was not known of the time before is no matter any more.
    pub(super) fn give_up_gaps(&mut self) {
        if let Some(open) = self.room.partial().cloned() {
            self.push(RoomRecord::StateCompleted(StateCompleted {
                first: open.first,
                changes: Vec::new(),
                replaced: Vec::new(),
            }));
        }
    }

    /// A state that is to be recorded as a difference to the one in force: who is missing in it while there are gaps is not known, and not nobody.
    pub(super) fn with_missing_members(&self, mut state: StateMap) -> StateMap {
        if self.room.partial().is_some() {
            for (key, event) in &self.room.current {
                if key.0 == TimelineEventType::RoomMember && !state.contains_key(key) {
                    state.insert(key.clone(), event.clone());
                }
            }
        }
        state
    }

    /// The members among what authorises an event, where the room may not know them.
    pub(super) fn omitted_members(&self, authorising: Vec<Arc<RoomEvent>>) -> Vec<Arc<RoomEvent>> {
        match self.room.partial() {
            Some(_) => authorising,
            None => Vec::new(),
        }
    }

    /// Resolves the ends of the graph anew, now that their states are whole.
    pub(super) async fn resolve_anew(&mut self) -> Result<(), RoomError> {
        self.settle(false).await
    }

    /// Puts the members of a whole state into the one that has gaps, if it still has them. All of its events are known, or they are left out.
    pub(super) async fn complete(
        &mut self,
        join: &EventId,
        state: &[OwnedEventId],
    ) -> Result<(), RoomError> {
        let partial = self.room.partial().filter(|partial| partial.join == join);
        let Some(partial) = partial.cloned() else {
            return Ok(());
        };
        let told = self.history.state(Moment::State(partial.first)).await?;
        // Every state of the room has the event that made it.
        let made = told.get(&(TimelineEventType::RoomCreate, String::new()));
        if !made.is_some_and(|made| state.contains(&made.pdu.event_id)) {
            return Ok(());
        }
        let (mut changes, mut replaced) = (Vec::new(), Vec::new());
        for (index, event_id) in state.iter().enumerate() {
            if index % LOOKED_UP_AT_ONCE == 0 {
                self.look_up(state.iter().skip(index)).await?;
            }
            let Some(event) = self.find(event_id).await? else {
                continue;
            };
            let Some(state_key) = event.pdu.state_key.clone() else {
                continue;
            };
            let key = (event.pdu.event_type.clone(), state_key);
            // What was told with the join stands: only members were left out.
            let is_missing = key.0 == TimelineEventType::RoomMember && !told.contains_key(&key);
            if !is_missing || matches!(event.verdict, Verdict::Rejected(_)) {
                continue;
            }
            self.accompany(&event);
            let changed = if self.room.current.contains_key(&key) {
                &mut replaced
            } else {
                &mut changes
            };
            changed.push(StateChange {
                event_type: key.0.to_string(),
                state_key: key.1,
                event: Some(event.sequence),
            });
        }
        for list in [&mut changes, &mut replaced] {
            list.sort_by(|a, b| a.state_key.cmp(&b.state_key));
            list.dedup_by(|a, b| a.state_key == b.state_key);
        }
        self.push(RoomRecord::StateCompleted(StateCompleted {
            first: partial.first,
            changes,
            replaced,
        }));
        Ok(())
    }
}
