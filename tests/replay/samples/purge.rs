//! Records of history that was taken out of rooms.

use playhouse_schema::record::purge::{
    Deletion, DeletionMoved, DeletionRoom, Purge, PurgeEnded, PurgeProgress, PurgeRecord,
    RedactionMoved, RoomBlockSet, UserRedaction,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 10;

pub(crate) fn name(record: &PurgeRecord) -> &'static str {
    match record {
        PurgeRecord::Begun(_) => "Begun",
        PurgeRecord::Ended(_) => "Ended",
        PurgeRecord::DeletionBegun(_) => "DeletionBegun",
        PurgeRecord::DeletionMoved(_) => "DeletionMoved",
        PurgeRecord::DeletionEnded(_) => "DeletionEnded",
        PurgeRecord::RoomBlockSet(_) => "RoomBlockSet",
        PurgeRecord::RedactionBegun(_) => "RedactionBegun",
        PurgeRecord::RedactionMoved(_) => "RedactionMoved",
        PurgeRecord::RedactionEnded(_) => "RedactionEnded",
        PurgeRecord::Progressed(_) => "Progressed",
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
    let progress = PurgeProgress {
        id: "abc".into(),
        up_to: 7,
        of: 70_000,
        erased: 5,
    };
    let [redaction, redaction_moved, redaction_ended] = redaction();
    vec![
        sample("DeletionBegun", PurgeRecord::DeletionBegun(deletion)),
        sample("DeletionMoved", PurgeRecord::DeletionMoved(moved)),
        sample("DeletionEnded", PurgeRecord::DeletionEnded(deleted)),
        sample("RoomBlockSet", PurgeRecord::RoomBlockSet(block)),
        sample("Begun", PurgeRecord::Begun(begun)),
        sample("Ended", PurgeRecord::Ended(ended)),
        sample("RedactionBegun", redaction),
        sample("RedactionMoved", redaction_moved),
        sample("RedactionEnded", redaction_ended),
        sample("Progressed", PurgeRecord::Progressed(progress)),
    ]
}

/// The redaction of a user's events, from its beginning to its end.
fn redaction() -> [PurgeRecord; 3] {
    let begun = UserRedaction {
        id: "ghi".into(),
        user_id: "@bob:example.org".into(),
        rooms: vec!["!room:example.org".into()],
        reason: Some("spam".into()),
        limit: 1_000,
        use_admin: true,
        after_ms: Some(5),
        before_ms: Some(7),
        by: "@boss:example.org".into(),
        at_ms: 9,
    };
    let moved = RedactionMoved {
        id: "ghi".into(),
        rooms_done: 1,
        failed: vec![("$event".into(), "no".into())],
    };
    let ended = PurgeEnded {
        id: "ghi".into(),
        error: None,
        at_ms: 11,
    };
    [
        PurgeRecord::RedactionBegun(begun),
        PurgeRecord::RedactionMoved(moved),
        PurgeRecord::RedactionEnded(ended),
    ]
}
