use playhouse_schema::record::room::EventRecord;
use ruma::RoomVersionId;
use serde_json::json;

use super::*;
use crate::room::{message::Preset, testing::Stage};

fn recorded(
    (sequence, made_ms): (Sequence, u64),
    sticky: &serde_json::Value,
    verdict: Verdict,
) -> Arc<RoomEvent> {
    let pdu = json!({
        "type": "m.x", "sender": "@bob:localhost", "room_id": "!r:x.org", "content": {}, "depth": 1,
        "origin_server_ts": made_ms, "msc4354_sticky": sticky,
    });
    let record = EventRecord {
        event_id: format!("$e{sequence}"),
        pdu: pdu.to_string().into_bytes().into(),
        before: 0,
        replaces: None,
        verdict,
        placement: Placement::Live,
        transaction: None,
        from: None,
    };
    Arc::new(RoomEvent::from_record(sequence, sequence, &record).unwrap())
}

fn event(sequence: Sequence, made_ms: u64, sticky: &serde_json::Value) -> Arc<RoomEvent> {
    recorded((sequence, made_ms), sticky, Verdict::Accepted)
}

fn sequences(sticky: &Sticky, now_ms: u64, span: (Sequence, Sequence)) -> Vec<Sequence> {
    let lasting = sticky.lasting(now_ms, span);
    lasting.iter().map(|event| event.sequence).collect()
}

#[test]
fn events_stick_for_an_hour_at_most() {
    let now_ms = 10_000_000;
    let sticks = |made_ms, duration: serde_json::Value| {
        event(1, made_ms, &json!({ "duration_ms": duration })).sticky_ttl_ms(now_ms)
    };
    assert_eq!(sticks(now_ms - 1_000, json!(3_000)), Some(2_000));
    assert_eq!(sticks(now_ms - 3_000, json!(3_000)), None);
    assert_eq!(sticks(now_ms, json!(u64::MAX)), Some(DURATION_MAX_MS));
    // A clock that goes before gives no more time.
    assert_eq!(sticks(now_ms + 1_000, json!(3_000)), Some(3_000));
    let early = event(1, u64::MAX >> 12, &json!({ "duration_ms": 3_000 }));
    early.note_recorded(now_ms - 1_000);
    assert_eq!(early.sticky_ttl_ms(now_ms), Some(2_000));
    assert_eq!(early.sticky_ttl_ms(now_ms + 2_000), None);
    for nonsense in [json!(-1), json!("1"), json!(null), json!(1.5)] {
        assert_eq!(sticks(now_ms, nonsense), None);
    }
    assert_eq!(event(1, now_ms, &json!([])).sticky_ttl_ms(now_ms), None);
}

#[test]
fn the_newest_are_remembered_and_redacted_ones_forgotten() {
    let mut sticky = Sticky::default();
    for sequence in 1..=EVENTS_MAX as u64 + 2 {
        let duration = if sequence == 5 { 0 } else { 10 };
        sticky.take_in(&event(sequence, 100, &json!({ "duration_ms": duration })));
    }
    sticky.forget(4);
    assert_eq!(sequences(&sticky, 105, (0, 7)), [3, 6, 7]);
    assert_eq!(sequences(&sticky, 110, (0, 7)), [0; 0]);
    assert_eq!(sticky.stored().len(), EVENTS_MAX - 1);
    let weight: usize = sticky.events().map(|event| event.weight_bytes()).sum();
    assert_eq!(sticky.weight_bytes(), weight);
    sticky.let_go(110);
    assert_eq!((sticky.stored().len(), sticky.weight_bytes()), (0, 0));
}

#[test]
fn what_the_state_forbade_is_told_once_it_does_not() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let now_ms = stage.env.now_ms();
    let failed = |reason: &str| Verdict::SoftFailed(reason.to_owned());
    let lasting = json!({ "duration_ms": 600_000 });
    let doubtful = recorded((100, now_ms), &lasting, failed("not in the room"));
    let refused = recorded((101, now_ms), &lasting, failed(&refused("spam")));
    stage.room.sticky.take_in(&doubtful);
    stage.room.sticky.take_in(&refused);
    stage.room.settle_sticky(now_ms);
    assert_eq!(sequences(&stage.room.sticky, now_ms, (0, 200)), [0; 0]);
    assert_eq!(stage.room.sticky.stored(), [(100, 0)]);
    let before = stage.room.sequence;
    let is_settled = |room: &Room, now_ms: u64| room.sticky.is_settled(now_ms, room.current_id);
    assert!(is_settled(&stage.room, now_ms + 599_999));
    assert!(!is_settled(&stage.room, now_ms + 600_000));
    stage.join("bob").unwrap();
    assert!(!is_settled(&stage.room, now_ms));
    stage.room.settle_sticky(now_ms);
    let joined = stage.room.current_id;
    assert_eq!(stage.room.sticky.stored(), [(100, joined)]);
    assert_eq!(
        sequences(&stage.room.sticky, now_ms, (before, joined)),
        [100]
    );
    assert_eq!(sequences(&stage.room.sticky, now_ms, (joined, 200)), [0; 0]);
    stage.room.settle_sticky(now_ms + 600_000);
    assert!(stage.room.sticky.stored().is_empty());
}
