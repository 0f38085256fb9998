//! Records of history that was taken out of rooms.

use playhouse_schema::record::purge::{
    Deletion, DeletionMoved, DeletionRoom, Purge, PurgeEnded, PurgeRecord, RoomBlockSet,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 6;

pub(crate) fn name(record: &PurgeRecord) -> &'static str {
    match record {
        PurgeRecord::Begun(_) => "Begun",
        PurgeRecord::Ended(_) => "Ended",
        PurgeRecord::DeletionBegun(_) => "DeletionBegun",
        PurgeRecord::DeletionMoved(_) => "DeletionMoved",
        PurgeRecord::DeletionEnded(_) => "DeletionEnded",
        PurgeRecord::RoomBlockSet(_) => "RoomBlockSet",
    }
}

pub(crate) fn all() -> Vec<Sample<PurgeRecord>> {
    let begun = Purge {
        id: "abc".into(),
        room_id: "!room:example.org".into(),
        up_to: 70_000,
        before_ms: 1_700_000_000_001,
        local_too: true,
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_002,
    };
    let ended = PurgeEnded {
        id: "abc".into(),
        error: Some("no such room".into()),
        at_ms: 1_700_000_000_003,
    };
    let deletion = Deletion {
        id: "def".into(),
        room_id: "!room:example.org".into(),
        by: Some("@boss:example.org".into()),
        at_ms: 1_700_000_000_004,
        due_ms: 1_700_000_000_005,
        purge: true,
        force_purge: false,
        new_room: Some(DeletionRoom {
            creator: "@boss:example.org".into(),
            name: "Hall".into(),
            message: "come here".into(),
        }),
    };
    let moved = DeletionMoved {
        id: "def".into(),
        new_room_id: Some("!hall:example.org".into()),
        kicked: vec!["@anna:example.org".into()],
        failed: vec!["@bert:example.org".into()],
        aliases: vec!["#room:example.org".into()],
        emptied: true,
    };
    let deleted = PurgeEnded {
        id: "def".into(),
        error: None,
        at_ms: 1_700_000_000_006,
    };
    let block = RoomBlockSet {
        room_id: "!room:example.org".into(),
        blocked: true,
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_007,
    };
    vec![
        sample("DeletionBegun", PurgeRecord::DeletionBegun(deletion)),
        sample("DeletionMoved", PurgeRecord::DeletionMoved(moved)),
        sample("DeletionEnded", PurgeRecord::DeletionEnded(deleted)),
        sample("RoomBlockSet", PurgeRecord::RoomBlockSet(block)),
        sample("Begun", PurgeRecord::Begun(begun)),
        sample("Ended", PurgeRecord::Ended(ended)),
    ]
}
