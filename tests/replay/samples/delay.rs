//! Records of delayed events.

use playhouse_schema::record::delay::{DelayRecord, Finished, Outcome, Scheduled};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 5;

pub(crate) fn name(record: &DelayRecord) -> &'static str {
    match record {
        DelayRecord::Scheduled(_) => "Scheduled",
        DelayRecord::Restarted { .. } => "Restarted",
        DelayRecord::Departed(_) => "Departed",
        DelayRecord::Finished(_) => "Finished",
        DelayRecord::Forgotten(_) => "Forgotten",
    }
}

pub(crate) fn all() -> Vec<Sample<DelayRecord>> {
    let named = || "05name".to_owned();
    let scheduled = Scheduled {
        delay_id: named(),
        user_id: "@alice:example.org".into(),
        device_id: "DEVICE".into(),
        transaction_id: Some("send:m.room.message/t1".into()),
        room_id: "!room:example.org".into(),
        event_type: "m.room.message".into(),
        state_key: Some(String::new()),
        content: "{\"a\":1}".into(),
        delay_ms: 8_000,
        at_ms: 1_700_000_000_001,
        guest: true,
        sticky_ms: None,
    };
    let sticky = Scheduled {
        sticky_ms: Some(600_000),
        ..scheduled.clone()
    };
    let finished = |outcome| {
        DelayRecord::Finished(Finished {
            delay_id: named(),
            at_ms: 1_700_000_000_003,
            outcome,
        })
    };
    let refused = Outcome::Refused {
        errcode: "M_FORBIDDEN".into(),
        error: "no".into(),
    };
    vec![
        sample("Scheduled", DelayRecord::Scheduled(scheduled)),
        sample("Scheduled/sticky", DelayRecord::Scheduled(sticky)),
        sample(
            "Restarted",
            DelayRecord::Restarted {
                delay_id: named(),
                at_ms: 1_700_000_000_002,
            },
        ),
        sample("Departed", DelayRecord::Departed(vec![named()])),
        sample("Finished/sent", finished(Outcome::Sent("$event".into()))),
        sample("Finished/refused", finished(refused)),
        sample("Finished/cancelled", finished(Outcome::Cancelled)),
        sample("Finished/overtaken", finished(Outcome::Overtaken)),
        sample("Forgotten", DelayRecord::Forgotten(vec![named()])),
    ]
}
