//! Records of a room.

use playhouse_schema::record::room::{
    DirectoryVisibilitySet, EndsForgotten, EventRecord, Gone, KeyReset, KeysReset, MembershipTold,
    PastTaken, PduParked, PdusReleased, Placement, ReceiptMoved, RoomEmptied, RoomRecord,
    StateChange, StateCompleted, StatePartial, StateSet, Transaction, Verdict,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 14;

pub(crate) fn name(record: &RoomRecord) -> &'static str {
    match record {
        RoomRecord::Event(_) => "Event",
        RoomRecord::StateSet(_) => "StateSet",
        RoomRecord::ReceiptMoved(_) => "ReceiptMoved",
        RoomRecord::DirectoryVisibilitySet(_) => "DirectoryVisibilitySet",
        RoomRecord::MembershipTold(_) => "MembershipTold",
        RoomRecord::EndsForgotten(_) => "EndsForgotten",
        RoomRecord::PastTaken(_) => "PastTaken",
        RoomRecord::Emptied(_) => "Emptied",
        RoomRecord::Gone(_) => "Gone",
        RoomRecord::StatePartial(_) => "StatePartial",
        RoomRecord::StateCompleted(_) => "StateCompleted",
        RoomRecord::KeysReset(_) => "KeysReset",
        RoomRecord::PduParked(_) => "PduParked",
        RoomRecord::PdusReleased(_) => "PdusReleased",
    }
}

const CREATE: &str = r#"{"auth_events":[],"content":{"room_version":"11"},"depth":1,"hashes":{"sha256":"x"},"origin_server_ts":1,"prev_events":[],"room_id":"!room:example.org","sender":"@alice:example.org","signatures":{},"state_key":"","type":"m.room.create"}"#;

const MESSAGE: &str = r#"{"auth_events":["$create"],"content":{"body":"hello","msgtype":"m.text"},"depth":2,"hashes":{"sha256":"x"},"origin_server_ts":2,"prev_events":["$create"],"room_id":"!room:example.org","sender":"@alice:example.org","signatures":{},"type":"m.room.message"}"#;

const REDACTION: &str = r#"{"auth_events":["$create"],"content":{"redacts":"$message"},"depth":3,"hashes":{"sha256":"x"},"origin_server_ts":3,"prev_events":["$create"],"room_id":"!room:example.org","sender":"@bob:example.com","signatures":{},"type":"m.room.redaction"}"#;

const INVITE: &str = r#"{"auth_events":["$create"],"content":{"membership":"invite"},"depth":3,"hashes":{"sha256":"x"},"origin_server_ts":3,"prev_events":["$message"],"room_id":"!room:example.org","sender":"@alice:example.org","signatures":{},"state_key":"@bob:example.com","type":"m.room.member"}"#;

const NAME: &str = r#"{"content":{"name":"a room"},"sender":"@alice:example.org","state_key":"","type":"m.room.name"}"#;

fn event(event_id: &str, pdu: &str) -> EventRecord {
    EventRecord {
        event_id: event_id.into(),
        pdu: pdu.as_bytes().to_vec().into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
        from: None,
    }
}

/// A redaction that waits for its target, and one that its sender has not the power to make.
fn redactions() -> [EventRecord; 2] {
    let held = EventRecord {
        before: 1,
        verdict: Verdict::Held,
        ..event("$held", REDACTION)
    };
    let powerless = EventRecord {
        before: 1,
        verdict: Verdict::Powerless,
        placement: Placement::Backfilled,
        ..event("$powerless", REDACTION)
    };
    [held, powerless]
}

/// A message of ours, one that came late and failed softly, one that was rejected, and one that another server than its own has brought.
fn other_events() -> [EventRecord; 4] {
    let sent = EventRecord {
        before: 1,
        transaction: Some(Transaction {
            user_id: "@alice:example.org".into(),
            device_id: "PHONE".into(),
            transaction_id: "send/1".into(),
        }),
        ..event("$message", MESSAGE)
    };
    let soft_failed = EventRecord {
        before: 1,
        replaces: Some(1),
        verdict: Verdict::SoftFailed("not now".into()),
        placement: Placement::Backfilled,
        ..event("$late", MESSAGE)
    };
    let rejected = EventRecord {
        verdict: Verdict::Rejected("not at all".into()),
        placement: Placement::Outlier,
        ..event("$bad", MESSAGE)
    };
    let relayed = EventRecord {
        from: Some("relay.example".into()),
        ..event("$relayed", MESSAGE)
    };
    [sent, soft_failed, rejected, relayed]
}

fn told() -> MembershipTold {
    MembershipTold {
        event_id: "$invite".into(),
        pdu: INVITE.as_bytes().to_vec().into(),
        room_version: "11".into(),
        stripped: vec![NAME.as_bytes().to_vec().into()],
    }
}

/// A reset, an event that waits, and one that does not any more.
fn others() -> (KeysReset, PduParked, PdusReleased) {
    let reset = KeysReset {
        at_ms: 1_700_000_000_003,
        cause: "$cause".into(),
        ends: vec!["$end".into()],
        keys: vec![KeyReset {
            event_type: "m.room.topic".into(),
            state_key: String::new(),
            old: Some("$new".into()),
            new: None,
        }],
    };
    let parked = PduParked {
        event_id: "$parked".into(),
        origin: "example.com".into(),
        at_ms: 1_700_000_000_004,
        lacks: vec!["$lacking".into()],
        for_members: true,
        pdu: b"{}".to_vec().into(),
    };
    let released = PdusReleased {
        event_ids: vec!["$other".into()],
    };
    (reset, parked, released)
}

pub(crate) fn all() -> Vec<Sample<RoomRecord>> {
    let [sent, soft_failed, rejected, relayed] = other_events();
    let [held, powerless] = redactions();
    let change = |state_key: &str, event| StateChange {
        event_type: "m.room.member".into(),
        state_key: state_key.into(),
        event,
    };
    let set = StateSet {
        base: 1,
        changes: vec![change("@a:b", None), change("@c:d", Some(300))],
        current: false,
    };
    let moved = ReceiptMoved {
        user_id: "@alice:example.org".into(),
        receipt_type: "m.read".into(),
        thread_id: Some("main".into()),
        event_id: "$message".into(),
        ts_ms: 1_700_000_000_001,
    };
    let visible = DirectoryVisibilitySet { public: true };
    let forgotten = EndsForgotten {
        ends: vec!["$left".into()],
    };
    let past = PastTaken {
        first: 7,
        last: 9,
        ends: vec!["$older".into()],
    };
    let emptied = RoomEmptied {
        at_ms: 1_700_000_000_002,
    };
    let partial = StatePartial {
        first: 2,
        join: "$join".into(),
        servers: vec!["example.com".into()],
    };
    let completed = StateCompleted {
        first: 2,
        changes: vec![change("@e:f", Some(7))],
        replaced: vec![change("@g:h", Some(8))],
    };
    let (reset, parked, released) = others();
    vec![
        // First, so that something is left for the snapshot.
        sample("Emptied", RoomRecord::Emptied(emptied)),
        sample("Gone", RoomRecord::Gone(Gone {})),
        sample("Event", RoomRecord::Event(event("$create", CREATE))),
        sample("Event/sent", RoomRecord::Event(sent)),
        sample("Event/soft-failed", RoomRecord::Event(soft_failed)),
        sample("Event/rejected", RoomRecord::Event(rejected)),
        sample("StateSet", RoomRecord::StateSet(set)),
        sample("ReceiptMoved", RoomRecord::ReceiptMoved(moved)),
        sample(
            "DirectoryVisibilitySet",
            RoomRecord::DirectoryVisibilitySet(visible),
        ),
        sample("MembershipTold", RoomRecord::MembershipTold(told())),
        sample("EndsForgotten", RoomRecord::EndsForgotten(forgotten)),
        sample("PastTaken", RoomRecord::PastTaken(past)),
        sample("StatePartial", RoomRecord::StatePartial(partial)),
        sample("StateCompleted", RoomRecord::StateCompleted(completed)),
        sample("Event/held", RoomRecord::Event(held)),
        sample("Event/powerless", RoomRecord::Event(powerless)),
        sample("Event/2", RoomRecord::Event(relayed)),
        sample("KeysReset", RoomRecord::KeysReset(reset)),
        sample("PduParked", RoomRecord::PduParked(parked)),
        sample("PdusReleased", RoomRecord::PdusReleased(released)),
    ]
}
