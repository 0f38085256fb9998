//! Records of remote servers.

use playhouse_schema::record::{
    room::ReceiptMoved,
    server::{
        Acknowledged, Departed, EventRun, Failed, Lag, Owed, Progress, ServerRecord, ToDeviceRef,
    },
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 6;

pub(crate) fn name(record: &ServerRecord) -> &'static str {
    match record {
        ServerRecord::Departed(_) => "Departed",
        ServerRecord::Acknowledged(_) => "Acknowledged",
        ServerRecord::Failed(_) => "Failed",
        ServerRecord::Lagged(_) => "Lagged",
        ServerRecord::CaughtUp(_) => "CaughtUp",
        ServerRecord::Owed(_) => "Owed",
    }
}

pub(crate) fn all() -> Vec<Sample<ServerRecord>> {
    let departed = Departed {
        transaction_id: "abc".into(),
        at_ms: 1_700_000_000_000,
        events: vec![EventRun {
            room_id: "!r:example.org".into(),
            sequences: vec![5, 7],
        }],
        to_device: vec![ToDeviceRef {
            user_id: "@alice:example.org".into(),
            sequence: 9,
        }],
        edus: vec![b"{}".to_vec().into()],
        progress: Progress {
            rooms: vec![("!r:example.org".into(), 11)],
            users: vec![(3, 12)],
        },
        done: Lag::default(),
        owed: 0,
    };
    let lag = Lag {
        rooms: vec![(0, 4), (1, 0)],
        users: vec![(0, 6)],
    };
    let departed_done = Departed {
        done: Lag {
            rooms: vec![(2, 11)],
            users: vec![(3, 12)],
        },
        ..departed.clone()
    };
    let departed_owed = Departed {
        owed: 1,
        ..departed_done.clone()
    };
    vec![
        sample("Departed", ServerRecord::Departed(departed)),
        sample(
            "Acknowledged",
            ServerRecord::Acknowledged(Acknowledged {
                at_ms: 1_700_000_000_001,
            }),
        ),
        sample(
            "Failed",
            ServerRecord::Failed(Failed {
                at_ms: 1_700_000_000_002,
                next_ms: 1_700_000_000_500,
            }),
        ),
        sample("Lagged", ServerRecord::Lagged(lag.clone())),
        sample("CaughtUp", ServerRecord::CaughtUp(None)),
        sample("CaughtUp/partly", ServerRecord::CaughtUp(Some(lag))),
        sample("Departed/2", ServerRecord::Departed(departed_done)),
        sample("Owed", ServerRecord::Owed(owed())),
        sample("Departed/3", ServerRecord::Departed(departed_owed)),
    ]
}

/// What a record means that was read too late.
fn owed() -> Owed {
    Owed {
        record: ("rooms".into(), 2, 11),
        events: vec![EventRun {
            room_id: "!r:example.org".into(),
            sequences: vec![5],
        }],
        to_device: vec![ToDeviceRef {
            user_id: "@alice:example.org".into(),
            sequence: 9,
        }],
        devices: vec![("@alice:example.org".into(), 10)],
        arrivals: vec!["@alice:example.org".into()],
        receipts: vec![(
            "!r:example.org".into(),
            ReceiptMoved {
                user_id: "@alice:example.org".into(),
                receipt_type: "m.read".into(),
                thread_id: None,
                event_id: "$event".into(),
                ts_ms: 1_700_000_000_000,
            },
        )],
    }
}
