//! Long backlogs.

use playhouse_schema::record::room::{EventRecord, Placement, Verdict};
use ruma::{owned_room_id, owned_user_id};

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
    let pdu = format!(
        r#"{{"type":"m.room.message","sender":"@bob:example.org","room_id":"!r:example.org","origin_server_ts":1,"depth":1,"content":{{"msgtype":"m.text","body":"x"}},"n":{sequence}}}"#
    );
    let record = EventRecord {
        event_id: format!("${sequence}"),
        pdu: pdu.into_bytes().into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
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
    tally.read(&judge, &room_id, &events(1, BACKLOG));
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
    tally.read(&judge, &room_id, &events(1, 1_500));
    let partial = Arc::new(tally);
    let facts = || partial.facts.clone();
    let mut next = Tally::begin(&judge, facts(), ReadMarks::default(), Some(&partial));
    assert_eq!(next.read_until(), 1_500);
    next.read(&judge, &room_id, &events(1_501, 1_600));
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
    tally.read(&judge, &room_id, &events(1, 20));
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
    tally.read(&judge, &room_id, &events(1, 20));
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
    tally.read(&silent, &room_id, &events(1, 20));
    assert_eq!(tally.counts().total(), Counts::default());
    unread.replace(tally.into(), (20, true), epoch);
    assert!(unread.settle(&silent, &room_id).is_some());
    assert!(unread.settle(&judge, &room_id).is_none());
}
