use super::{state::MONTH_MS, *};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const START_MS: u64 = 100 * DAY_MS;

fn note(state: &mut ActiveUsers, user_id: &str, limit: Option<u64>, now_ms: u64) -> Option<usize> {
    let decision = state.note(user_id.to_owned(), limit, now_ms).ok()?;
    for record in &decision.records {
        state.take_in(record);
    }
    Some(decision.records.len())
}

fn reserve(state: &mut ActiveUsers, accounts: &[&str]) -> usize {
    let accounts = accounts.iter().map(|name| (*name).to_owned());
    let decision = state.reserve(accounts.collect());
    for record in &decision.records {
        state.take_in(record);
    }
    decision.records.len()
}

#[test]
fn there_is_one_record_for_each_user_and_day() {
    let mut state = ActiveUsers::default();
    assert_eq!(note(&mut state, "@a:b", None, START_MS), Some(1));
    assert_eq!(note(&mut state, "@a:b", None, START_MS + 1), Some(0));
    let next_day = START_MS + DAY_MS;
    assert_eq!(note(&mut state, "@a:b", None, next_day - 1), Some(0));
    assert_eq!(note(&mut state, "@a:b", None, next_day), Some(1));
    assert_eq!(state.count(next_day), 1);
}

#[test]
fn who_is_refused_is_not_active() {
    let mut state = ActiveUsers::default();
    let limit = Some(2);
    for user_id in ["@a:b", "@b:b"] {
        assert_eq!(note(&mut state, user_id, limit, START_MS), Some(1));
    }
    let before = state.clone();
    assert_eq!(note(&mut state, "@c:b", limit, START_MS), None);
    assert_eq!(state, before);
    // Who has a place keeps it.
    let later = START_MS + 10 * DAY_MS;
    assert_eq!(note(&mut state, "@a:b", limit, later), Some(1));
    assert!(!state.fullness(Some("@c:b"), limit, later).has_room);
    assert!(!state.fullness(None, limit, later).has_room);
    assert!(state.fullness(Some("@b:b"), limit, later).has_room);
    assert!(state.fullness(None, None, later).has_room);
}

#[test]
fn places_are_free_again_after_thirty_days() {
    let mut state = ActiveUsers::default();
    let limit = Some(1);
    note(&mut state, "@a:b", limit, START_MS);
    let last = START_MS + MONTH_MS - 1;
    assert_eq!(state.count(last), 1);
    assert_eq!(note(&mut state, "@c:b", limit, last), None);
    assert_eq!(state.count(last + 1), 0);
    assert_eq!(note(&mut state, "@c:b", limit, last + 1), Some(1));
    assert_eq!(state.last_ms("@a:b"), None, "what is too old is forgotten");
    assert_eq!(note(&mut state, "@a:b", limit, last + 2), None);
}

#[test]
fn reserved_accounts_come_first() {
    let mut state = ActiveUsers::default();
    let limit = Some(2);
    assert_eq!(reserve(&mut state, &["@boss:b"]), 1);
    assert_eq!(reserve(&mut state, &["@boss:b"]), 0);
    assert_eq!(note(&mut state, "@a:b", limit, START_MS), Some(1));
    assert_eq!(note(&mut state, "@b:b", limit, START_MS), None);
    assert_eq!(note(&mut state, "@boss:b", limit, START_MS), Some(1));
    let told = state.fullness(None, limit, START_MS);
    assert_eq!((told.count, told.reserved), (2, 1));
    // It is reserved whether its owner comes or not.
    let later = START_MS + MONTH_MS;
    assert_eq!(state.count(later), 1);
    assert_eq!(note(&mut state, "@b:b", limit, later), Some(1));
    assert_eq!(note(&mut state, "@c:b", limit, later), None);
    reserve(&mut state, &[]);
    assert_eq!(note(&mut state, "@c:b", limit, later), Some(1));
}

#[test]
fn snapshots_keep_it() {
    let mut state = ActiveUsers::default();
    reserve(&mut state, &["@boss:b"]);
    note(&mut state, "@a:b", None, START_MS);
    note(&mut state, "@b:b", None, START_MS + 5);
    note(&mut state, "@a:b", None, START_MS + 2 * DAY_MS);
    assert_eq!(ActiveUsers::decode(&state.encode()), Some(state));
}
