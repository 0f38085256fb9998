//! A desk on a clock of its own.

mod locks;
mod trial;

use bytes::Bytes;

use self::locks::lock;
use super::{
    Changed, DeskAnswer, DeskKind, DeskQuery, Key, Locked, OnDesk, Opaque, Put, PutWish, Terms,
    Thing,
    rates::{Rate, Rates},
    recent::Recent,
    things::Things,
};
use crate::kernel::parcel::crossed;

fn value(text: &str) -> Opaque {
    Opaque(Bytes::copy_from_slice(text.as_bytes()))
}

fn wish(name: &str, until_ms: u64, nonce: &str) -> PutWish {
    PutWish {
        key: Key::of(name),
        value: value(name),
        until_ms,
        terms: Terms::default(),
        nonce: nonce.to_owned(),
    }
}

fn only_new(name: &str, until_ms: u64, nonce: &str) -> PutWish {
    PutWish {
        terms: Terms {
            only_new: true,
            never_evicts: true,
            ..Terms::default()
        },
        ..wish(name, until_ms, nonce)
    }
}

fn ask(desk: &mut OnDesk, query: DeskQuery, now_ms: u64) -> DeskAnswer {
    desk.tidy(now_ms);
    desk.answer(DeskKind::Used, query, now_ms)
}

fn put(desk: &mut OnDesk, wish: PutWish, now_ms: u64) -> Put {
    match ask(desk, DeskQuery::Put(wish), now_ms) {
        DeskAnswer::Put(put) => put,
        other => panic!("{other:?}"),
    }
}

fn get(desk: &mut OnDesk, name: &str, now_ms: u64) -> Option<Thing> {
    match ask(desk, DeskQuery::Get(Key::of(name)), now_ms) {
        DeskAnswer::Thing(thing) => thing,
        other => panic!("{other:?}"),
    }
}

fn take(desk: &mut OnDesk, name: &str, nonce: &str) -> Option<Thing> {
    let take = DeskQuery::Take {
        key: Key::of(name),
        nonce: nonce.to_owned(),
    };
    match ask(desk, take, 0) {
        DeskAnswer::Thing(thing) => thing,
        other => panic!("{other:?}"),
    }
}

fn change(desk: &mut OnDesk, if_token: &str, (text, nonce): (&str, &str)) -> Changed {
    let change = DeskQuery::Change {
        key: Key::of("a"),
        if_token: if_token.to_owned(),
        value: value(text),
        nonce: nonce.to_owned(),
    };
    match ask(desk, change, 0) {
        DeskAnswer::Changed(changed) => changed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_spread_over_desks() {
    for kind in DeskKind::ALL {
        let entities: std::collections::BTreeSet<_> = (0..200)
            .map(|number| kind.entity(Key::of(&format!("name {number}"))))
            .collect();
        let is_whole = matches!(kind, DeskKind::Used | DeskKind::Meetings);
        assert_eq!(entities.len(), if is_whole { 1 } else { 16 });
        for entity in &entities {
            assert_eq!(DeskKind::of(entity), Some(kind));
        }
    }
    let strange = playhouse_schema::address::Entity::house("registration");
    assert_eq!(DeskKind::of(&strange), None);
}

#[test]
fn things_end_in_time() {
    let mut desk = OnDesk::default();
    assert_eq!(put(&mut desk, wish("a", 10, "1"), 0), Put::Done);
    assert_eq!(put(&mut desk, wish("b", 20, "2"), 0), Put::Done);
    assert!(get(&mut desk, "a", 9).is_some());
    assert_eq!(get(&mut desk, "a", 10), None);
    assert!(get(&mut desk, "b", 10).is_some());
    assert_eq!(desk.things.next_ms(), Some(20));
    desk.tidy(20);
    assert!(desk.things.is_empty());
    // Answers are remembered a little longer.
    assert!(!desk.is_empty());
    desk.tidy(60_010);
    assert!(desk.is_empty());
}

#[test]
fn where_there_is_no_room_the_oldest_goes() {
    let bounds = DeskKind::Used.bounds();
    let mut things = Things::default();
    for number in 0..bounds.things_max as u64 {
        let name = number.to_string();
        assert_eq!(things.put(wish(&name, 10 + number, ""), bounds), Put::Done);
    }
    // Who rests on what lies there lets nothing go …
    let more = only_new("more", 1, "");
    assert_eq!(things.put(more, bounds), Put::Full);
    assert!(things.get(Key::of("0")).is_some());
    // … others do.
    assert_eq!(things.put(wish("more", 1_000_000, ""), bounds), Put::Done);
    assert_eq!(things.get(Key::of("0")), None);
    assert!(things.get(Key::of("1")).is_some());
    // A narrower bound of who asks.
    let mut few = wish("few", 2_000_000, "");
    few.terms.things_max = Some(2);
    assert_eq!(things.put(few, bounds), Put::Done);
    assert!(things.get(Key::of("more")).is_some() && things.get(Key::of("few")).is_some());
    assert_eq!(things.get(Key::of("19999")), None);
}

#[test]
fn bytes_are_bounded() {
    let bounds = DeskKind::Repeats.bounds();
    let mut things = Things::default();
    let large = |name: &str, until_ms, bytes| PutWish {
        value: Opaque(Bytes::from(vec![0; bytes])),
        ..wish(name, until_ms, name)
    };
    assert_eq!(things.put(large("a", 1, 65_537), bounds), Put::Full);
    for number in 0..100 {
        let put = things.put(large(&number.to_string(), number, 60_000), bounds);
        assert_eq!(put, Put::Done);
    }
    let left = (0..100).filter(|number| things.get(Key::of(&number.to_string())).is_some());
    let left: Vec<u64> = left.collect();
    assert!(left.len() * 60_000 <= bounds.bytes_max && left.len() > 10);
    assert_eq!(left.last(), Some(&99));
    let change = things.change(
        (Key::of("99"), "99"),
        (Opaque(Bytes::from(vec![0; 65_537])), "x".to_owned()),
        bounds,
    );
    assert_eq!(change, Changed::Full);
    for number in left {
        assert!(things.take(Key::of(&number.to_string())).is_some());
    }
    assert!(things.is_empty() && things.next_ms().is_none());
}

#[test]
fn what_grows_on_a_full_desk_finds_room() {
    let bounds = DeskKind::Repeats.bounds();
    let mut things = Things::default();
    let large = |bytes| Opaque(Bytes::from(vec![0; bytes]));
    for number in 0..100_u64 {
        let name = number.to_string();
        let put = PutWish {
            value: large(60_000),
            ..wish(&name, number, &name)
        };
        assert_eq!(things.put(put, bounds), Put::Done);
    }
    let lies = |things: &Things, number: u64| things.get(Key::of(&number.to_string())).is_some();
    let before: Vec<u64> = (0..100).filter(|number| lies(&things, *number)).collect();
    for number in 90..100 {
        let name = number.to_string();
        let place = (Key::of(&name), name.as_str());
        let changed = things.change(place, (large(65_000), "x".to_owned()), bounds);
        assert_eq!(changed, Changed::Done);
    }
    assert!((90..100).all(|number| lies(&things, number)));
    assert!(!lies(&things, before[0]), "the oldest goes");
}

#[test]
fn what_was_seen_must_lie_there() {
    let mut desk = OnDesk::default();
    assert_eq!(change(&mut desk, "1", ("x", "0")), Changed::Gone);
    put(&mut desk, wish("a", 10, "1"), 0);
    assert_eq!(change(&mut desk, "1", ("x", "2")), Changed::Done);
    assert_eq!(change(&mut desk, "1", ("y", "3")), Changed::Overtaken);
    let thing = get(&mut desk, "a", 0).expect("it lies there");
    assert_eq!((thing.value, thing.token), (value("x"), "2".to_owned()));
    // It lasts as long as before.
    assert_eq!(thing.until_ms, 10);
}

#[test]
fn who_asks_twice_hears_the_same() {
    let mut desk = OnDesk::default();
    for _ in 0..2 {
        assert_eq!(put(&mut desk, only_new("a", 10, "1"), 0), Put::Done);
    }
    assert_eq!(put(&mut desk, only_new("a", 10, "2"), 0), Put::Taken);
    for _ in 0..2 {
        assert_eq!(change(&mut desk, "1", ("x", "3")), Changed::Done);
    }
    // Even if somebody else has changed it in between.
    assert_eq!(change(&mut desk, "3", ("y", "4")), Changed::Done);
    assert_eq!(change(&mut desk, "1", ("x", "3")), Changed::Done);
    let thing = get(&mut desk, "a", 0).expect("it lies there");
    assert_eq!(thing.value, value("y"));
    for _ in 0..2 {
        let taken = take(&mut desk, "a", "5");
        assert_eq!(taken.map(|thing| thing.value), Some(value("y")));
    }
    assert_eq!(take(&mut desk, "a", "6"), None);
    let count = |nonce: &str| DeskQuery::Count {
        key: Key::of("b"),
        rate: Rate {
            per_second: 0.001,
            burst: 1,
        },
        nonce: nonce.to_owned(),
    };
    for _ in 0..2 {
        assert_eq!(ask(&mut desk, count("7"), 0), DeskAnswer::Counted(None));
    }
    let more = ask(&mut desk, count("8"), 0);
    assert!(matches!(more, DeskAnswer::Counted(Some(_))));
}

#[test]
fn what_was_just_forgotten_is_still_known_by_its_token() {
    let mut desk = OnDesk::default();
    put(&mut desk, only_new("a", 1_000_000, "1"), 0);
    desk.tidy(60_000);
    assert!(desk.recent.is_empty());
    let again = put(&mut desk, only_new("a", 1_000_000, "1"), 60_000);
    assert_eq!(again, Put::Done);
    let other = put(&mut desk, only_new("a", 1_000_000, "2"), 60_000);
    assert_eq!(other, Put::Taken);
}

#[test]
fn answers_are_remembered_within_bounds() {
    let mut recent = Recent::default();
    for number in 0..10_000 {
        recent.note(number.to_string(), DeskAnswer::Attends, number);
    }
    assert_eq!(recent.get("0"), None);
    assert_eq!(recent.get("9999"), Some(DeskAnswer::Attends));
    let thing = Thing {
        value: Opaque(Bytes::from(vec![0; 60_000])),
        token: String::new(),
        until_ms: 0,
    };
    for number in 0..50 {
        let nonce = format!("large {number}");
        recent.note(nonce, DeskAnswer::Thing(Some(thing.clone())), 10_000);
    }
    assert_eq!(recent.get("9999"), None);
    assert_eq!(recent.get("large 0"), None);
    assert!(recent.get("large 49").is_some());
    recent.forget_old(70_000);
    assert!(recent.is_empty() && recent.next_ms().is_none());
}

#[test]
fn what_began_before_the_desk_is_not_taken() {
    let mut desk = OnDesk {
        begun_ms: 50_000,
        ..OnDesk::default()
    };
    let begun = |begun_ms, nonce: &str| {
        let mut wish = only_new(nonce, 1_000_000, nonce);
        wish.terms.begun_ms = Some(begun_ms);
        wish
    };
    assert_eq!(put(&mut desk, begun(48_000, "1"), 60_000), Put::Forgotten);
    assert_eq!(put(&mut desk, begun(50_000, "2"), 60_000), Put::Done);
    // The desk does not sleep before what has begun can have come to its end.
    desk.tidy(2_000_000);
    assert!(desk.is_empty());
    let attend = DeskQuery::Attend {
        until_ms: 3_000_000,
    };
    assert_eq!(ask(&mut desk, attend, 2_000_000), DeskAnswer::Attends);
    assert!(!desk.is_empty());
    assert_eq!(desk.next_ms(2_000_000), Some(3_000_000));
    desk.tidy(3_000_000);
    assert!(desk.is_empty());
}

#[test]
fn bursts_pass_and_then_the_rate_rules() {
    let mut rates = Rates::default();
    let rate = Rate {
        per_second: 2.0,
        burst: 3,
    };
    let (one, two) = (Key::of("1"), Key::of("2"));
    for _ in 0..3 {
        assert_eq!(rates.count(one, rate, 0), Ok(()));
    }
    assert_eq!(rates.count(one, rate, 0), Err(500));
    assert_eq!(rates.count(two, rate, 0), Ok(()));
    assert_eq!(rates.count(one, rate, 500), Ok(()));
    assert_eq!(rates.count(one, rate, 500), Err(500));
    rates.forget_full(600);
    assert_eq!(rates.count(one, rate, 600), Err(400));
    rates.forget_full(60_000);
    assert!(rates.is_empty());
}

#[test]
fn what_is_asked_and_answered_arrives() {
    crossed(&DeskQuery::Put(only_new("a", 1, "n")));
    crossed(&DeskQuery::Lock(lock("a")));
    crossed(&DeskQuery::Count {
        key: Key::of("a"),
        rate: Rate {
            per_second: 0.1,
            burst: 2,
        },
        nonce: "n".to_owned(),
    });
    crossed(&DeskAnswer::Lock(Locked::Over));
    crossed(&DeskAnswer::Counted(Some(7)));
    let thing = Thing {
        value: value("secret"),
        token: "t".to_owned(),
        until_ms: 7,
    };
    let answer = DeskAnswer::Thing(Some(thing));
    assert_eq!(crossed(&answer), answer);
    // What lies on a desk is never shown.
    assert!(!format!("{answer:?}").contains("secret"));
}
