//! Calls that the user has missed: unread ones that rang here and that no device of the user took.

use std::collections::VecDeque;

use playhouse_schema::address::Sequence;
use ruma::events::TimelineEventType;

use super::Tally;
use crate::room::event::RoomEvent;

/// So many missed calls of a room are counted.
const CALLS_MAX: usize = 100;

/// The calls of a room that were missed, by their number among its records.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(VecDeque<Sequence>);

impl Calls {
    /// An event of somebody else notifies.
    pub(super) fn note(&mut self, event: &RoomEvent) {
        if event.pdu.event_type == TimelineEventType::CallInvite && self.0.len() < CALLS_MAX {
            self.0.push_back(event.sequence);
        }
    }

    /// An event of the user's own: who answers or turns down a call has noticed it, and those before.
    pub(super) fn take(&mut self, event: &RoomEvent) {
        let taken = matches!(
            event.pdu.event_type,
            TimelineEventType::CallAnswer
                | TimelineEventType::CallHangup
                | TimelineEventType::CallReject
        );
        if taken {
            self.0.clear();
        }
    }

    /// Everything up to an event is read.
    pub(super) fn read(&mut self, until: Sequence) {
        self.0.retain(|call| *call > until);
    }
}

impl Tally {
    /// How many calls were missed.
    pub(crate) fn missed_calls(&self) -> u64 {
        self.calls.0.len() as u64
    }
}
