//! Taking history out of a room because an administrator wants it. State stays, and so do the ends of the graph and the newest event: what comes stands on them.

use playhouse_schema::record::{
    codec::Record as _,
    purge::Purge,
    room::{Placement, RoomRecord},
};
use ruma::ServerName;

use super::{
    Room, RoomReply,
    event::RoomEvent,
    redact::RedactionTarget,
    retention::{emptied, is_emptied, newest},
};
use crate::kernel::Decision;

/// Whether an event is of those that go, looked at alone.
pub(crate) fn goes(event: &RoomEvent, purge: &Purge, own: &ServerName) -> bool {
    let is_old = match event.placement {
        Placement::Live => event.sequence < purge.up_to,
        Placement::Backfilled => u64::from(event.pdu.origin_server_ts.0) < purge.before_ms,
        Placement::Outlier => false,
    };
    let is_foreign = || event.pdu.sender.server_name() != own;
    is_old && !event.pdu.is_state() && !is_emptied(event) && (purge.local_too || is_foreign())
}

/// Judges [`super::RoomCommand::Purge`]: of what the caller has read in the log, that which goes loses its content and its place in the timeline.
pub(super) fn decide(
    room: &Room,
    own: &ServerName,
    purge: &Purge,
    targets: Vec<RedactionTarget>,
) -> Decision<Room> {
    let newest = newest(room);
    let erasures = targets.into_iter().filter_map(|target| {
        let event = RoomEvent::from_record(target.sequence, 0, &target.record)?;
        let is_end = room.end(&event.pdu.event_id).is_some();
        if is_end || newest == Some(event.sequence) || !goes(&event, purge, own) {
            return None;
        }
        let emptied = emptied(room, &event)?;
        Some((target.sequence, RoomRecord::Event(emptied).encode()))
    });
    let erasures = erasures.collect();
    Decision {
        erasures,
        ..Decision::unchanged(RoomReply::Done)
    }
}
