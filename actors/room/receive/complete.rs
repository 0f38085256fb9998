//! Closing the gaps of a state: see [`crate::room::gaps`].

use std::sync::Arc;

use playhouse_schema::record::room::{
    RoomRecord, StateChange, StateCompleted, StatePartial, Verdict,
};
use ruma::{EventId, OwnedEventId, OwnedServerName, events::TimelineEventType};

use super::weigh::Weighing;
use crate::room::{RoomError, event::RoomEvent, query::past::Moment};

impl Weighing {
    /// The state that was just told by another server has gaps. When it is whole instead, older gaps stay what they are, and are no matter any more.
    pub(super) fn begin_gaps(
        &mut self,
        first: u64,
        join: &EventId,
        servers: Option<&[OwnedServerName]>,
    ) {
        if let Some(servers) = servers {
            self.push(RoomRecord::StatePartial(StatePartial {
                first,
                join: join.to_string(),
                servers: servers.iter().map(ToString::to_string).collect(),
            }));
        } else if let Some(open) = self.room.partial().cloned() {
            self.push(RoomRecord::StateCompleted(StateCompleted {
                first: open.first,
                changes: Vec::new(),
                replaced: Vec::new(),
            }));
        }
    }

    /// The members among what authorises an event, where the room may not know them.
    pub(super) fn omitted_members(&self, authorising: Vec<Arc<RoomEvent>>) -> Vec<Arc<RoomEvent>> {
        match self.room.partial() {
            Some(_) => authorising,
            None => Vec::new(),
        }
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
        for event_id in state {
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
