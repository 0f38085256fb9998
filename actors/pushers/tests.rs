//! What is decided without a house: how long is waited, what goes out.

use std::sync::Arc;

use playhouse_schema::{
    address::{Family, Layout, Position, Shard},
    record::room::{EventRecord, Placement, Verdict},
};
use ruma::{
    OwnedRoomId, OwnedUserId, owned_room_id, owned_user_id,
    push::{Action, Ruleset},
};
use serde_json::{Map, Value, json};

use super::{
    MailSettings, PushBoard,
    board::Positions,
    body::{self, Badge, Told},
    catch_up::{at_hand, thinned},
    delivery::Candidate,
    ledger::{Ledger, is_same},
    mails::{is_given_up, throttle_ms, untold},
    newcomers::History,
    plan::{Gateway, Target, Way, targets},
};
use crate::{
    room::{event::RoomEvent, message::PushNames},
    server::board::Place,
    user::{
        PusherEar as _,
        feed::unread::{Judge, notices::Notice},
        message::{NewsKind, RoomNews},
        push_standing::{Mailed, Standing},
        pushers::{NamedPusher, Pusher, PusherBook},
    },
};

fn event(sequence: u64, event_type: &str) -> Arc<RoomEvent> {
    event_with(sequence, event_type, json!({}))
}

/// An event with further fields.
fn event_with(sequence: u64, event_type: &str, further: Value) -> Arc<RoomEvent> {
    let mut pdu = json!({
        "type": event_type, "sender": "@bert:example.org", "room_id": "!r:example.org", "content": {"body": "hi", "msgtype": "m.text"},
        "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": []
    });
    for (name, value) in further.as_object().unwrap() {
        pdu[name] = value.clone();
    }
    let record = EventRecord {
        event_id: format!("${sequence}"),
        pdu: pdu.to_string().into_bytes().into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
        from: None,
    };
    Arc::new(RoomEvent::from_record(sequence, sequence, &record).unwrap())
}

fn candidate(sequence: u64, is_highlight: bool) -> Candidate {
    Candidate {
        room_id: owned_room_id!("!r:example.org"),
        sequence,
        shard: 0,
        position: sequence,
        recorded_ms: sequence,
        event: event(sequence, "m.room.message"),
        notice: Notice {
            actions: Vec::new(),
            is_highlight,
            is_read: false,
        },
        is_invite: false,
    }
}

/// A pusher that was made at 5,000 ms.
pub(super) fn pusher(json: &Value, standing: Standing) -> NamedPusher {
    NamedPusher {
        app_id: "app".to_owned(),
        pushkey: "key".to_owned(),
        pusher: Pusher {
            json: json.to_string().into(),
            device_id: None,
            at_ms: 5_000,
            number: 7,
            made_ms: 5_000,
            standing: Arc::new(standing),
        },
    }
}

fn book(data: Value, enabled: bool) -> PusherBook {
    let json = json!({
        "kind": "http", "lang": "en", "data": data, "org.matrix.msc3881.enabled": enabled
    });
    PusherBook {
        pushers: vec![pusher(&json, Standing::default())],
        ended: Vec::new(),
    }
}

fn target(format: Option<&str>) -> Target {
    let mut data = json!({"url": "https://push.example.org/_matrix/push/v1/notify", "own": 1});
    if let Some(format) = format {
        data["format"] = json!(format);
    }
    targets(&book(data, true), true).remove(0)
}

fn gateway(target: &Target) -> &Gateway {
    match &target.way {
        Way::Http(gateway) => gateway,
        Way::Mail(_) => panic!("this is no gateway"),
    }
}

fn pushed(target: &Target, event_type: &str, actions: &[Action]) -> Value {
    let event = event(3, event_type);
    let mut names = PushNames::default();
    names
        .members
        .insert(owned_user_id!("@bert:example.org"), "Bert".to_owned());
    let told = Told {
        user_id: ruma::user_id!("@anna:example.org"),
        event: &event,
        room_id: "!r:example.org",
        actions,
        names: Some(&names),
        content: true,
    };
    let badge = Badge {
        unread: 2,
        missed_calls: 0,
    };
    let body = body::of_event(target, gateway(target), &told, badge);
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn pushes_have_the_form_of_the_specification() {
    let sound: Action = serde_json::from_str(r#"{"set_tweak": "sound", "value": "ring"}"#).unwrap();
    let full = target(None);
    let body = pushed(&full, "m.room.message", &[Action::Notify, sound]);
    let expected = json!({"notification": {
        "id": "$3", "event_id": "$3", "room_id": "!r:example.org", "type": "m.room.message", "sender": "@bert:example.org",
        "sender_display_name": "Bert", "prio": "high", "content": {"body": "hi", "msgtype": "m.text"}, "counts": {"unread": 2},
        "devices": [{"app_id": "app", "pushkey": "key", "pushkey_ts": 5, "data": {"own": 1}, "tweaks": {"sound": "ring"}}]
    }});
    assert_eq!(body, expected);
    let short = target(Some("event_id_only"));
    let body = pushed(&short, "m.room.encrypted", &[Action::Notify]);
    let expected = json!({"notification": {
        "event_id": "$3", "room_id": "!r:example.org", "prio": "high", "counts": {"unread": 2},
        "devices": [{"app_id": "app", "pushkey": "key", "pushkey_ts": 5, "data": {"own": 1, "format": "event_id_only"}}]
    }});
    assert_eq!(body, expected);
    let plain = pushed(&short, "m.room.message", &[Action::Notify]);
    assert_eq!(plain["notification"]["prio"], "low");
}

#[test]
fn counts_alone_are_told_even_when_nothing_is_unread() {
    let target = target(None);
    let body = body::of_counts(&target, gateway(&target), Badge::default());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["notification"]["counts"], json!({"unread": 0}));
    assert_eq!(body["notification"]["event_id"], Value::Null);
}

#[test]
fn only_what_is_switched_on_is_pushed_to() {
    let data = json!({"url": "https://push.example.org/_matrix/push/v1/notify"});
    assert_eq!(targets(&book(data.clone(), true), true).len(), 1);
    assert!(targets(&book(data, false), true).is_empty());
    assert!(targets(&book(Value::Object(Map::new()), true), true).is_empty());
}

#[test]
fn of_many_events_the_newest_goes_out() {
    let left = |events: Vec<Candidate>, single_max| -> Vec<u64> {
        let left = thinned(events, single_max);
        left.iter().map(|one| one.sequence).collect()
    };
    let events = vec![candidate(1, false), candidate(2, true), candidate(3, false)];
    assert_eq!(left(events.clone(), 3), [1, 2, 3]);
    assert_eq!(left(events, 2), [2, 3]);
    assert_eq!(left(vec![candidate(1, false), candidate(2, true)], 0), [2]);
}

#[test]
fn what_is_said_later_does_not_stand_for_what_weighed_more() {
    let sound: Action = serde_json::from_str(r#"{"set_tweak": "sound", "value": "ring"}"#).unwrap();
    let mut call = candidate(2, false);
    call.notice.actions = vec![Action::Notify, sound];
    let events = vec![candidate(1, true), call, candidate(3, false)];
    let left = thinned([events, vec![candidate(4, false)]].concat(), 0);
    let left: Vec<u64> = left.iter().map(|one| one.sequence).collect();
    assert_eq!(left, [1, 2, 4]);
}

#[test]
fn mails_grow_rarer_until_a_room_is_quiet() {
    let settings = MailSettings::default();
    let hour = 60 * 60 * 1000;
    let mailed = |throttle_ms| Mailed {
        at_ms: 0,
        newest_ms: 0,
        throttle_ms,
        newest: 0,
    };
    let first = settings.throttle_ms;
    assert_eq!(throttle_ms(&settings, None, hour), first);
    assert_eq!(
        throttle_ms(&settings, Some(&mailed(first)), hour),
        24 * hour
    );
    assert_eq!(
        throttle_ms(&settings, Some(&mailed(24 * hour)), hour),
        24 * hour
    );
    assert_eq!(
        throttle_ms(&settings, Some(&mailed(24 * hour)), 13 * hour),
        first
    );
}

fn anna() -> OwnedUserId {
    owned_user_id!("@anna:example.org")
}

/// A board of two shards with one user on it; everything up to positions of 5 is distributed.
fn board(is_alone: bool) -> Arc<PushBoard> {
    let layout = Layout { shards: 2, era: 0 };
    let board = PushBoard::new(layout, &Positions::from([(0, 5), (1, 5)]), is_alone);
    board.pusher_set(&anna());
    board
}

/// Something happens in a room, and is distributed.
fn happen(board: &PushBoard, room_id: &OwnedRoomId, position: Position) -> bool {
    let family = Family::Rooms;
    let shard = Shard { family, number: 0 };
    let place = Place {
        shard,
        position,
        sequence: position,
    };
    let kind = NewsKind::StateSet;
    let news = RoomNews::new(room_id.clone(), (shard, position), position, kind);
    let wakes = board.post(&anna(), (room_id, &place), (&Arc::new(news), false));
    board.distributed(shard, position);
    wakes
}

/// Somebody says something in a room, and it is distributed.
fn say(board: &PushBoard, room_id: &OwnedRoomId, event: Arc<RoomEvent>) {
    let family = Family::Rooms;
    let shard = Shard { family, number: 0 };
    let sequence = event.sequence;
    let place = Place {
        shard,
        position: sequence,
        sequence,
    };
    let kind = NewsKind::Event {
        event,
        membership: None,
    };
    let news = RoomNews::new(room_id.clone(), (shard, sequence), sequence, kind);
    board.post(&anna(), (room_id, &place), (&Arc::new(news), false));
    board.distributed(shard, sequence);
}

fn at(position: Position) -> Positions {
    Positions::from([(0, position), (1, 5)])
}

#[test]
fn the_position_stays_before_what_is_not_dealt_with() {
    let board = board(true);
    let room_id = owned_room_id!("!r:example.org");
    assert!(happen(&board, &room_id, 7));
    assert!(happen(&board, &room_id, 9));
    assert_eq!(board.settled(), at(6));
    let slot = board.slot(&anna());
    let engaged = slot.engage().expect("nobody delivers");
    assert!(slot.engage().is_none());
    let (batch, from) = slot.take(|| board.positions());
    assert_eq!((batch.rooms.len(), &from), (1, &at(6)));
    assert_eq!(batch.rooms[&room_id].news.len(), 2);
    // Until it is dealt with it counts; what comes meanwhile does not wake anybody.
    assert!(!happen(&board, &room_id, 11));
    assert_eq!(board.settled(), at(6));
    slot.done(0);
    assert_eq!(board.settled(), at(10));
    drop(engaged);
    assert_eq!(board.due(0), [anna()]);
}

#[test]
fn what_could_not_be_dealt_with_comes_again_later() {
    let board = board(true);
    let room_id = owned_room_id!("!r:example.org");
    happen(&board, &room_id, 7);
    let slot = board.slot(&anna());
    let (_, from) = slot.take(|| board.positions());
    slot.put_back(100);
    assert_eq!(board.settled(), at(6));
    assert!(board.due(99).is_empty());
    assert_eq!(board.due(100), [anna()]);
    let (batch, _) = slot.take(|| board.positions());
    assert_eq!(batch.flood, Some(from));
}

#[test]
fn what_is_noted_elsewhere_holds_nothing_up() {
    let board = board(true);
    let room_id = owned_room_id!("!r:example.org");
    happen(&board, &room_id, 7);
    let slot = board.slot(&anna());
    let (batch, _) = slot.take(|| board.positions());
    assert!(!batch.is_empty());
    assert_eq!(board.settled(), at(6));
    slot.let_go();
    assert_eq!(board.settled(), at(7));
    slot.put_back(100);
    assert_eq!(board.settled(), at(7));
    assert_eq!(board.due(100), [anna()]);
}

#[test]
fn too_much_becomes_a_flood() {
    let board = board(true);
    for number in 0..3_000 {
        let room_id = OwnedRoomId::try_from(format!("!r{number}:example.org")).unwrap();
        happen(&board, &room_id, 6 + number);
    }
    assert_eq!(board.settled(), at(5));
    let (batch, from) = board.slot(&anna()).take(|| board.positions());
    assert!(batch.rooms.len() < 2_000);
    assert_eq!((batch.flood, from), (Some(at(5)), at(5)));
}

#[test]
fn users_come_and_go_with_their_shard() {
    let board = board(false);
    let room_id = owned_room_id!("!r:example.org");
    let number = board.part_of(&anna());
    assert!(!happen(&board, &room_id, 6));
    board.want(number);
    assert_eq!(board.begin(vec![(number, at(6))]), at(6));
    // It had that before.
    assert!(!happen(&board, &room_id, 6));
    assert!(happen(&board, &room_id, 7));
    assert_eq!(board.settled_parts(), [(number, at(6))]);
    let slot = board.slot(&anna());
    assert_eq!(board.leave(number), Some(at(6)));
    assert!(slot.is_gone() && slot.engage().is_none());
    assert!(!happen(&board, &room_id, 8));
    assert!(board.settled_parts().is_empty());
}

#[test]
fn who_sets_a_first_pusher_elsewhere_misses_nothing() {
    let board = board(false);
    let room_id = owned_room_id!("!r:example.org");
    let number = board.part_of(&anna());
    // Nobody here pushes to her.
    assert!(!board.heard(&anna(), || at(6)));
    board.strike(&anna());
    board.want(number);
    board.begin(vec![(number, at(6))]);
    assert!(!happen(&board, &room_id, 7));
    assert!(board.heard(&anna(), || at(6)));
    let (batch, from) = board.slot(&anna()).take(|| board.positions());
    assert_eq!((batch.flood, from), (Some(at(6)), at(6)));
    board.slot(&anna()).done(0);
    // Once she is known nothing is looked for.
    assert!(!board.heard(&anna(), || at(6)));
    assert!(board.slot(&anna()).take(|| board.positions()).0.is_empty());
}

#[test]
fn positions_are_told_as_of_a_time() {
    let mut history = History::new(at(1));
    for (now_ms, position) in [(100_000, 2), (101_000, 3), (111_000, 4)] {
        history.note(now_ms, || at(position));
    }
    assert_eq!(history.before(50_000), at(1));
    assert_eq!(history.before(105_000), at(2));
    // The second came too soon after the first to be noted.
    assert_eq!(history.before(115_999), at(2));
    assert_eq!(history.before(116_000), at(4));
}

#[test]
fn a_doubt_is_over_once_the_counts_are_told() {
    let board = board(true);
    let slot = board.slot(&anna());
    let assured = |pushers: &[u64]| slot.assured(&pushers.iter().copied().collect());
    slot.assure(7);
    slot.assure(9);
    assert!(assured(&[7, 8]).into_iter().eq([7]));
    assert!(assured(&[7, 9]).into_iter().eq([7]), "the other was gone");
    slot.put_back(0);
    assert!(assured(&[7]).is_empty());
}

#[test]
fn what_was_taken_back_meanwhile_is_not_at_hand() {
    let board = board(true);
    let room_id = owned_room_id!("!r:example.org");
    let slot = board.slot(&anna());
    say(&board, &room_id, event(7, "m.room.message"));
    say(&board, &room_id, event(8, "m.room.message"));
    let redaction = |sequence, redacts: &str| {
        event_with(sequence, "m.room.redaction", json!({"redacts": redacts}))
    };
    say(&board, &room_id, redaction(9, "$7"));
    let (batch, _) = slot.take(|| board.positions());
    let at_hand = at_hand(&batch.rooms[&room_id]);
    assert_eq!(at_hand.into_keys().collect::<Vec<_>>(), [8, 9]);
    // What comes while the rest goes out is seen too.
    let is_redacted = || slot.is_redacted(&room_id, &event(8, "m.room.message").pdu.event_id);
    assert!(!is_redacted());
    say(&board, &room_id, redaction(10, "$8"));
    assert!(is_redacted());
}

#[test]
fn rules_are_the_same_when_they_say_the_same() {
    let judge = |rules: Ruleset, ignored: &[OwnedUserId]| Judge {
        user_id: anna(),
        rules: Arc::new(rules),
        ignored: Arc::new(ignored.iter().cloned().collect()),
    };
    let defaults = || Ruleset::server_default(&anna());
    let one = judge(defaults(), &[]);
    assert!(is_same(&one, &judge(defaults(), &[])));
    assert!(!is_same(&one, &judge(Ruleset::default(), &[])));
    assert!(!is_same(
        &one,
        &judge(defaults(), &[owned_user_id!("@bert:example.org")])
    ));
}

#[test]
fn a_mailbox_that_refuses_for_long_is_given_up() {
    let failing = |failing_since_ms| Standing {
        failing_since_ms,
        ..Standing::default()
    };
    assert!(!is_given_up(&failing(0), (100, 1_000)));
    assert!(!is_given_up(&failing(901), (100, 1_000)));
    assert!(is_given_up(&failing(900), (100, 1_000)));
}

#[test]
fn what_was_counted_is_remembered_longer_than_what_it_was() {
    let slot = board(true).slot(&anna());
    let judge = Arc::new(Judge {
        user_id: anna(),
        rules: Arc::default(),
        ignored: Arc::default(),
    });
    let keep = || slot.keep_ledger(Box::new(Ledger::of_rooms(judge.clone(), 3)), 1_000);
    keep();
    assert_eq!(slot.age_ledger((1_000, 500), (3, 1)), Some((3, true)));
    assert_eq!(slot.age_ledger((1_001, 500), (3, 1)), Some((3, false)));
    assert_eq!(slot.age_ledger((1_001, 1_001), (3, 1)), None);
    keep();
    // No more users' events are held, and of no more rooms anything is remembered.
    assert_eq!(slot.age_ledger((0, 0), (3, 0)), Some((3, false)));
    assert_eq!(slot.age_ledger((0, 0), (2, 1)), None);
}

#[test]
fn mails_do_not_tell_the_same_twice() {
    let mut target = target(None);
    let events = || vec![candidate(3, false), candidate(4, false)];
    assert_eq!(untold(&target, events()).len(), 2, "no mail has told of it");
    let mailed = Mailed {
        at_ms: 10,
        newest_ms: 3,
        throttle_ms: 1,
        newest: 3,
    };
    let room_id = events()[0].room_id.to_string();
    let mut standing = Standing::clone(&target.standing);
    standing.mailed.insert(room_id, mailed);
    target.standing = Arc::new(standing);
    let left = untold(&target, events());
    assert_eq!(left.iter().map(|one| one.sequence).collect::<Vec<_>>(), [4]);
}
