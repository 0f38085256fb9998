//! Records of the push gateway.

use playhouse_schema::record::gateway::{
    AcceptedPush, EndedPush, GatewayRecord, PostponedPush, PushOutcome,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 4;

pub(crate) fn name(record: &GatewayRecord) -> &'static str {
    match record {
        GatewayRecord::Accepted(_) => "Accepted",
        GatewayRecord::Postponed(_) => "Postponed",
        GatewayRecord::Ended(_) => "Ended",
        GatewayRecord::Told { .. } => "Told",
    }
}

pub(crate) fn all() -> Vec<Sample<GatewayRecord>> {
    let named = || "0af3ebbc-0d2a-4e5e-8a53-35d8e7f1c0de".to_owned();
    let accepted = AcceptedPush {
        push_id: named(),
        device: "00112233445566778899aabbccddeeff".into(),
        digest: Some("ffeeddccbbaa99887766554433221100".into()),
        app_id: "org.example.app".into(),
        pushkey: "key".into(),
        data: "{}".into(),
        notification: "{\"event_id\":\"$e\"}".into(),
        at_ms: 1_700_000_000_001,
        expires_ms: 1_700_000_900_001,
        counts: None,
        trace: String::new(),
    };
    let counts = AcceptedPush {
        digest: None,
        ..accepted.clone()
    };
    let emptied = accepted.emptied();
    let traced = AcceptedPush {
        counts: Some("{\"counts\":{\"unread\":2}}".into()),
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        ..accepted.clone()
    };
    let ended = |outcome| {
        GatewayRecord::Ended(EndedPush {
            push_id: named(),
            at_ms: 1_700_000_000_003,
            outcome,
        })
    };
    let reason = || "Unregistered".to_owned();
    let rejected = PushOutcome::Rejected {
        reason: reason(),
        told: true,
    };
    vec![
        sample("Accepted", GatewayRecord::Accepted(accepted)),
        sample("Accepted/counts", GatewayRecord::Accepted(counts)),
        sample("Accepted/emptied", GatewayRecord::Accepted(emptied)),
        sample("Accepted/2", GatewayRecord::Accepted(traced)),
        sample(
            "Postponed",
            GatewayRecord::Postponed(PostponedPush {
                push_id: named(),
                attempts: 2,
                not_before_ms: 1_700_000_000_002,
                reason: "503".into(),
            }),
        ),
        sample("Ended/delivered", ended(PushOutcome::Delivered)),
        sample("Ended/rejected", ended(rejected)),
        sample(
            "Ended/refused",
            ended(PushOutcome::Refused { reason: reason() }),
        ),
        sample("Ended/expired", ended(PushOutcome::Expired)),
        sample("Ended/superseded", ended(PushOutcome::Superseded)),
        sample("Ended/needless", ended(PushOutcome::Needless)),
        sample(
            "Told",
            GatewayRecord::Told {
                device: "00112233445566778899aabbccddeeff".into(),
            },
        ),
    ]
}
