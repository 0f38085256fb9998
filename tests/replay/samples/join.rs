//! Records of joins that were under way.

use playhouse_schema::record::join::{
    JoinAbandoned, JoinBegun, JoinEnded, JoinProgress, JoinRecord, JoinSent,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 5;

pub(crate) fn name(record: &JoinRecord) -> &'static str {
    match record {
        JoinRecord::Begun(_) => "Begun",
        JoinRecord::Sent(_) => "Sent",
        JoinRecord::Progressed(_) => "Progressed",
        JoinRecord::Abandoned(_) => "Abandoned",
        JoinRecord::Ended(_) => "Ended",
    }
}

pub(crate) fn all() -> Vec<Sample<JoinRecord>> {
    let (room_id, user_id) = ("!room:example.org", "@anna:example.org");
    let begun = JoinBegun {
        room_id: room_id.into(),
        user_id: user_id.into(),
        guest: true,
        at_ms: 1_700_000_000_001,
    };
    let sent = JoinSent {
        room_id: room_id.into(),
        user_id: user_id.into(),
        server: "elsewhere.example".into(),
        room_version: "11".into(),
        event_id: "$join".into(),
        pdu: b"{}".to_vec().into(),
        needs_voucher: true,
        omit_members: true,
        at_ms: 1_700_000_000_002,
    };
    let progress = JoinProgress {
        room_id: room_id.into(),
        user_id: user_id.into(),
        events: 20_000,
        of: 70_000,
    };
    let abandoned = JoinAbandoned {
        room_id: room_id.into(),
        user_id: user_id.into(),
        by: Some("@boss:example.org".into()),
        at_ms: 1_700_000_000_003,
        unwanted: false,
    };
    let unwanted = JoinAbandoned {
        by: None,
        unwanted: true,
        ..abandoned.clone()
    };
    let ended = JoinEnded {
        room_id: room_id.into(),
        user_id: user_id.into(),
        joined: true,
        at_ms: 1_700_000_000_004,
    };
    vec![
        sample("Begun", JoinRecord::Begun(begun)),
        sample("Sent", JoinRecord::Sent(sent)),
        sample("Progressed", JoinRecord::Progressed(progress)),
        sample("Abandoned", JoinRecord::Abandoned(abandoned)),
        sample("Ended", JoinRecord::Ended(ended)),
        sample("Abandoned/2", JoinRecord::Abandoned(unwanted)),
    ]
}
