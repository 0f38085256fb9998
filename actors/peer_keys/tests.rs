//! Which keys are believed, and for how long.

use std::collections::BTreeMap;

use super::{known::*, *};
use crate::kernel::parcel::{crossed, pack};

const DAY: u64 = 24 * 60 * 60 * 1_000;
const NOW: u64 = 1_700_000_000_000;

fn heard(
    in_use: &[(&str, u8)],
    valid_until_ts: u64,
    retired: &[(&str, u8, u64)],
    is_direct: bool,
) -> HeardKeys {
    let in_use = in_use.iter();
    let retired = retired.iter();
    HeardKeys {
        in_use: in_use
            .map(|(name, key)| ((*name).to_owned(), vec![*key; 32]))
            .collect(),
        valid_until_ts,
        retired: retired
            .map(|(name, key, until)| ((*name).to_owned(), (vec![*key; 32], *until)))
            .collect(),
        published: format!("{valid_until_ts}"),
        is_direct,
    }
}

#[test]
fn a_key_is_believed_for_a_week_at_most() {
    let mut known = KnownKeys::default();
    known.learn(&heard(&[("a", 1)], NOW + 100 * DAY, &[], true), NOW);
    assert!(known.valid("a", 0).is_some());
    assert!(known.valid("a", NOW).is_some());
    assert!(known.valid("a", NOW + 7 * DAY).is_some());
    assert_eq!(known.valid("a", NOW + 7 * DAY + 1), None);
    assert_eq!(known.valid("b", 0), None);
    let mut short = KnownKeys::default();
    short.learn(&heard(&[("a", 1)], NOW - 5, &[], true), NOW);
    assert_eq!(short.valid("a", NOW), None);
    assert!(short.valid("a", NOW - 5).is_some());
}

#[test]
fn a_retired_key_answers_for_what_it_signed() {
    let mut known = KnownKeys::default();
    known.learn(&heard(&[("a", 1)], NOW + DAY, &[], true), NOW);
    let rotated = heard(&[("b", 2)], NOW + DAY, &[("a", 1, NOW - 10)], true);
    known.learn(&rotated, NOW);
    assert!(known.valid("a", NOW - 10).is_some());
    assert_eq!(known.valid("a", NOW - 9), None);
    assert!(known.valid("a", 0).is_some());
    assert!(known.valid("b", NOW).is_some());
    // A notary that slept does not revive it.
    known.learn(&heard(&[("a", 1)], NOW + DAY, &[], false), NOW);
    assert_eq!(known.valid("a", NOW), None);
    // Nor replaces a key, which the server itself may.
    known.learn(&heard(&[("b", 9)], NOW + DAY, &[], false), NOW);
    assert_eq!(known.valid("b", NOW), Some([2; 32].as_slice()));
    known.learn(&heard(&[("b", 9)], NOW + DAY, &[], true), NOW);
    assert_eq!(known.valid("b", NOW), Some([9; 32].as_slice()));
}

#[test]
fn what_is_not_mentioned_any_more_stays_known() {
    let mut known = KnownKeys::default();
    known.learn(&heard(&[("a", 1)], NOW + DAY, &[], true), NOW);
    known.learn(&heard(&[("b", 2)], NOW + 3 * DAY, &[], true), NOW + 2 * DAY);
    assert!(known.valid("a", NOW + DAY).is_some());
    assert_eq!(known.valid("a", NOW + 2 * DAY), None);
}

#[test]
fn memory_is_bounded() {
    let mut known = KnownKeys::default();
    let names: Vec<String> = (0..200).map(|index| format!("old{index}")).collect();
    let retired: Vec<_> = names
        .iter()
        .zip(0u64..)
        .map(|(name, index)| (name.as_str(), 1, index))
        .collect();
    known.learn(&heard(&[("a", 1)], NOW, &retired, true), NOW);
    assert_eq!(known.keys.len(), KEYS_MAX);
    assert!(known.keys.contains_key("a"));
    assert!(known.keys.contains_key("old199"));
}

#[test]
fn only_news_are_recorded() {
    let mut peer = PeerKeys::default();
    let mut tell = |heard: &HeardKeys, at: u64| {
        let decision = peer.judge(heard, at).unwrap();
        for record in &decision.records {
            peer.take_in(record);
        }
        decision.records.len()
    };
    assert_eq!(tell(&heard(&[("a", 1)], NOW + DAY, &[], true), NOW), 1);
    assert_eq!(tell(&heard(&[("a", 1)], NOW + DAY + 60, &[], true), NOW), 0);
    assert_eq!(tell(&heard(&[("a", 1)], NOW + 2 * DAY, &[], true), NOW), 1);
    let (rotated, gone) = (
        heard(&[("b", 1)], NOW + DAY, &[("a", 1, NOW)], true),
        heard(&[], NOW + DAY, &[("a", 1, NOW)], true),
    );
    assert_eq!(tell(&rotated, NOW), 1);
    assert_eq!(tell(&rotated, NOW), 0);
    assert_eq!(tell(&gone, NOW), 0);
    assert_eq!(peer.known.keys.len(), 2);
    let huge = HeardKeys {
        published: "x".repeat(PUBLISHED_BYTES_MAX + 1),
        in_use: BTreeMap::new(),
        ..gone
    };
    assert_eq!(peer.judge(&huge, NOW).err(), Some(PeerKeysError::TooLarge));
}

#[test]
fn keys_arrive_as_byte_strings() {
    let told = heard(&[("a", 200), ("b", 201)], NOW, &[("c", 202, NOW)], true);
    let LearnKeys(arrived) = crossed(&LearnKeys(told.clone()));
    assert_eq!(arrived, told);
    let mut known = KnownKeys::default();
    known.learn(&told, NOW);
    assert_eq!(crossed(&known), known);
    // Three keys of 32 bytes, each of them above 127, which would be two bytes in a list of numbers.
    assert!(pack(&told).unwrap().len() < 250);
    assert!(pack(&known).unwrap().len() < 340);
    crossed(&KeysQuery);
    crossed(&PeerKeysError::TooLarge);
}
