//! Long backlogs, and rules that look at related events.

use playhouse_schema::{
    address::{Family, Shard},
    record::room::{EventRecord, Placement, Verdict},
};
use ruma::{
    owned_room_id, owned_user_id,
    push::{Action, HighlightTweakValue, NewConditionalPushRule, NewPushRule, Tweak},
};
use serde_json::{Value, json};

use super::*;

const BACKLOG: u64 = 5 * SINGLE_MAX as u64;

fn judge() -> Judge {
    let user_id = owned_user_id!("@alice:example.org");
    Judge {
        rules: Arc::new(Ruleset::server_default(&user_id)),
        ignored: Arc::default(),
        user_id,
    }
}

fn event(sequence: Sequence) -> Arc<RoomEvent> {
    said(
        sequence,
        "@bob:example.org",
        &json!({"msgtype": "m.text", "body": "x"}),
    )
}

fn said(sequence: Sequence, sender: &str, content: &Value) -> Arc<RoomEvent> {
    let pdu = format!(
        r#"{{"type":"m.room.message","sender":"{sender}","room_id":"!r:example.org","origin_server_ts":1,"depth":1,"content":{content},"n":{sequence}}}"#
    );
    let record = EventRecord {
        event_id: format!("${sequence}"),
        pdu: pdu.into_bytes().into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
        from: None,
    };
    Arc::new(RoomEvent::from_record(sequence, sequence, &record).unwrap())
}

fn events(from: Sequence, to: Sequence) -> Vec<Arc<RoomEvent>> {
    (from..=to).map(event).collect()
}

fn empty(judge: &Judge) -> Tally {
    let facts = PushFacts {
        joined_count: 3,
        displayname: None,
        power_levels: None,
    };
    Tally::begin(judge, Arc::new(facts), ReadMarks::default(), None)
}

fn receipt(sequence: Sequence) -> ReceiptNews {
    ReceiptNews {
        user_id: owned_user_id!("@alice:example.org"),
        event_id: OwnedEventId::try_from(format!("${sequence}")).unwrap(),
        thread_id: None,
        ts_ms: 0,
        is_private: false,
    }
}

fn unread(tally: &Tally) -> u64 {
    tally.counts().total().notifications
}

#[test]
fn a_long_backlog_is_counted_to_the_end() {
    let room_id = owned_room_id!("!r:example.org");
    let judge = judge();
    let mut tally = empty(&judge);
    tally.read(&judge, &room_id, &events(1, BACKLOG), &Related::default());
    assert_eq!(unread(&tally), BACKLOG);
    assert!(tally.counted.len() <= SINGLE_MAX);
    // A receipt among the single events clears the sums; what is left is exact.
    assert!(tally.clear(&receipt(BACKLOG - 7)));
    assert_eq!(unread(&tally), 7);
    assert_eq!(tally.marks.all, BACKLOG - 7);
    // One that is not at hand cannot be told from the tally.
    assert!(!tally.clear(&receipt(3)));
}

#[test]
fn a_reading_goes_on_where_it_stopped_unless_receipts_moved() {
    let room_id = owned_room_id!("!r:example.org");
    let judge = judge();
    let mut tally = empty(&judge);
    tally.read(&judge, &room_id, &events(1, 1_500), &Related::default());
    let partial = Arc::new(tally);
    let facts = || partial.facts.clone();
    let mut next = Tally::begin(&judge, facts(), ReadMarks::default(), Some(&partial));
    assert_eq!(next.read_until(), 1_500);
    next.read(&judge, &room_id, &events(1_501, 1_600), &Related::default());
    assert_eq!(unread(&next), 1_600);
    let marks = ReadMarks {
        all: 1_590,
        ..ReadMarks::default()
    };
    let anew = Tally::begin(&judge, facts(), marks, Some(&partial));
    assert_eq!((anew.read_until(), unread(&anew)), (1_590, 0));
}

#[test]
fn what_was_counted_outlives_a_change_of_facts() {
    let room_id = owned_room_id!("!r:example.org");
    let judge = judge();
    let mut tally = empty(&judge);
    tally.read(&judge, &room_id, &events(1, 20), &Related::default());
    let mut unread = Unread::default();
    unread.replace(tally.into(), (20, true), 0);
    assert!(unread.partial().is_none() && unread.settle(&judge, &room_id).is_some());
    unread.forget();
    assert!(unread.settle(&judge, &room_id).is_none());
    let partial = unread.partial().unwrap();
    assert_eq!(partial.read_until(), 20);
    // A reading that began before is told for what it is worth, but kept only when it is complete and of this epoch.
    unread.replace(partial.clone(), (20, true), 0);
    assert!(unread.settle(&judge, &room_id).is_none());
    unread.replace(partial, (20, true), 1);
    assert!(unread.settle(&judge, &room_id).is_some());
}

#[test]
fn other_rules_judge_anew() {
    let room_id = owned_room_id!("!r:example.org");
    let judge = judge();
    let mut tally = empty(&judge);
    tally.read(&judge, &room_id, &events(1, 20), &Related::default());
    let mut unread = Unread::default();
    unread.replace(tally.into(), (20, true), 0);
    let mut rules = Ruleset::clone(&judge.rules);
    let master = (ruma::push::RuleKind::Override, ".m.rule.master");
    rules.set_enabled(master.0, master.1, true).unwrap();
    let silent = Judge {
        rules: Arc::new(rules),
        ..judge.clone()
    };
    assert!(unread.settle(&silent, &room_id).is_none());
    assert!(unread.partial().is_none());
    let epoch = unread.epoch();
    let mut tally = empty(&silent);
    tally.read(&silent, &room_id, &events(1, 20), &Related::default());
    assert_eq!(tally.counts().total(), Counts::default());
    unread.replace(tally.into(), (20, true), epoch);
    assert!(unread.settle(&silent, &room_id).is_some());
    assert!(unread.settle(&judge, &room_id).is_none());
}

fn reply(to: &str) -> Value {
    json!({"m.in_reply_to": {"event_id": to}})
}

/// In a thread, and a reply for those who do not know threads.
fn threaded(root: &str, to: &str) -> Value {
    json!({
        "rel_type": "m.thread", "event_id": root,
        "is_falling_back": true, "m.in_reply_to": {"event_id": to},
    })
}

fn relating(sequence: Sequence, relates_to: &Value) -> Arc<RoomEvent> {
    let content = json!({"msgtype": "m.text", "body": "y", "m.relates_to": relates_to});
    said(sequence, "@bob:example.org", &content)
}

/// Somebody with a rule that highlights what relates to such events.
fn looking(fields: &Value) -> Judge {
    let mut condition = json!({"kind": "im.nheko.msc3664.related_event_match"});
    let object = condition.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    let condition = serde_json::from_str(&condition.to_string()).unwrap();
    let highlight = Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes));
    let actions = vec![Action::Notify, highlight];
    let rule = NewConditionalPushRule::new("related".to_owned(), vec![condition], actions);
    let judge = judge();
    let mut rules = Ruleset::clone(&judge.rules);
    let rule = NewPushRule::Override(rule);
    rules.insert(rule, None, None).unwrap();
    Judge {
        rules: Arc::new(rules),
        ..judge
    }
}

fn replies_to_own() -> Value {
    json!({"rel_type": "m.in_reply_to", "key": "sender", "pattern": "@alice:example.org"})
}

/// Whether an event highlights that relates to something. The first event is the user's own, the second somebody else's.
fn highlights(fields: &Value, relates_to: &Value) -> bool {
    let judge = looking(fields);
    let content = json!({"msgtype": "m.text", "body": "the cake is here"});
    let known = [
        said(1, "@alice:example.org", &content),
        said(2, "@bob:example.org", &content),
    ];
    let events = [relating(3, relates_to)];
    let mut tally = empty(&judge);
    let room_id = owned_room_id!("!r:example.org");
    tally.read(&judge, &room_id, &events, &Related::new(&known));
    let counts = tally.counts().total();
    assert_eq!(counts.notifications, 1);
    counts.highlights == 1
}

#[test]
fn conditions_look_at_related_events() {
    let own = replies_to_own();
    assert!(highlights(&own, &reply("$1")));
    for other in [reply("$2"), reply("$9"), threaded("$1", "$2"), json!(5)] {
        assert!(!highlights(&own, &other), "{other}");
    }
    let mut fallbacks = own;
    assert!(!highlights(&fallbacks, &threaded("$2", "$1")));
    fallbacks["include_fallbacks"] = json!(true);
    assert!(highlights(&fallbacks, &threaded("$2", "$1")));
    let thread = threaded("$2", "$1");
    for (fields, meets) in [
        (json!({"rel_type": "m.thread"}), true),
        (json!({"rel_type": "m.annotation"}), false),
        (json!({"rel_type": "m.thread", "key": "sender"}), false),
        (
            json!({"rel_type": "m.thread", "key": "room_id", "pattern": "!r*"}),
            true,
        ),
        (
            json!({"rel_type": "m.thread", "key": "content.body", "pattern": "cake"}),
            true,
        ),
        (
            json!({"rel_type": "m.thread", "key": "content.body", "pattern": "cak"}),
            false,
        ),
        (json!({"key": "sender", "pattern": "*"}), false),
    ] {
        assert_eq!(highlights(&fields, &thread), meets, "{fields}");
    }
}

#[test]
fn the_room_is_asked_only_for_what_rules_look_at() {
    let asked = |judge: &Judge, relates_to: &Value| match related::question(
        judge,
        [relating(3, relates_to)].iter(),
    ) {
        Some(crate::room::RoomQuery::Related { event_ids, .. }) => event_ids,
        Some(other) => panic!("{other:?}"),
        None => Vec::new(),
    };
    let looking = looking(&replies_to_own());
    let own = OwnedEventId::try_from("$1".to_owned()).unwrap();
    assert_eq!(asked(&looking, &threaded("$2", "$1")), [own]);
    assert!(asked(&looking, &json!({"rel_type": "m.thread", "event_id": "$2"})).is_empty());
    assert!(asked(&judge(), &threaded("$2", "$1")).is_empty());
}

#[test]
fn news_that_relate_to_something_are_read_from_the_room() {
    let room_id = owned_room_id!("!r:example.org");
    let judge = looking(&replies_to_own());
    let news = |event: Arc<RoomEvent>| {
        let shard = Shard {
            family: Family::Rooms,
            number: 0,
        };
        let sequence = event.sequence;
        let kind = NewsKind::Event {
            event,
            membership: None,
        };
        Arc::new(RoomNews::new(
            room_id.clone(),
            (shard, sequence),
            sequence,
            kind,
        ))
    };
    let mut tally = empty(&judge);
    tally.read(&judge, &room_id, &events(1, 2), &Related::default());
    let mut held = Unread::default();
    held.replace(tally.into(), (2, true), 0);
    held.hear(&news(event(3)));
    assert_eq!(unread(&held.settle(&judge, &room_id).unwrap()), 3);
    held.hear(&news(relating(4, &reply("$1"))));
    assert!(held.settle(&judge, &room_id).is_none());
    let partial = held.partial().unwrap();
    assert_eq!((partial.read_until(), unread(&partial)), (3, 3));
}
