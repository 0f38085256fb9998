//! Given a room, when a command, then records: one file per command.

mod create;
mod membership;
mod parcels;
mod receipt;
mod redact;
mod send_event;
mod whole;

use ruma::RoomVersionId;

/// Versions that differ in something.
const VERSIONS: [RoomVersionId; 8] = [
    RoomVersionId::V1,
    RoomVersionId::V3,
    RoomVersionId::V5,
    RoomVersionId::V6,
    RoomVersionId::V8,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];
