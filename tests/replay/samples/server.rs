//! Records of remote servers.

use playhouse_schema::record::server::{
    Acknowledged, Departed, EventRun, Failed, Lag, Progress, ServerRecord, ToDeviceRef,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 5;

pub(crate) fn name(record: &ServerRecord) -> &'static str {
    match record {
        ServerRecord::Departed(_) => "Departed",
        ServerRecord::Acknowledged(_) => "Acknowledged",
        ServerRecord::Failed(_) => "Failed",
        ServerRecord::Lagged(_) => "Lagged",
        ServerRecord::CaughtUp(_) => "CaughtUp",
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
    ]
}
