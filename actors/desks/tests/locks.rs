//! Who waits for whom.

use crate::desks::{Key, LockWish, Locked, locks::Locks};

pub(super) fn lock(holder: &str) -> LockWish {
    LockWish {
        key: Key::of("lock"),
        holder: holder.to_owned(),
        share: 1,
        places: 1,
        line_max: 3,
        lease_ms: 100,
        wait_ms: 50,
    }
}

#[test]
fn who_came_first_is_first() {
    let mut locks = Locks::default();
    assert_eq!(locks.ask(lock("a"), 1, 0), [(1, Locked::Granted)]);
    assert!(locks.ask(lock("b"), 2, 1).is_empty());
    assert!(locks.ask(lock("c"), 3, 2).is_empty());
    assert!(locks.ask(lock("d"), 4, 3).is_empty());
    assert_eq!(locks.ask(lock("e"), 5, 4), [(5, Locked::Full)]);
    let impatient = LockWish {
        wait_ms: 0,
        ..lock("f")
    };
    assert_eq!(locks.ask(impatient, 6, 4), [(6, Locked::Busy)]);
    // Who does not want it any more is passed over.
    assert_eq!(locks.free(Key::of("lock"), "c", 5), [(3, Locked::Over)]);
    assert_eq!(locks.free(Key::of("lock"), "a", 6), [(2, Locked::Granted)]);
    assert!(locks.free(Key::of("lock"), "a", 7).is_empty());
    assert_eq!(locks.free(Key::of("lock"), "b", 8), [(4, Locked::Granted)]);
    assert!(locks.free(Key::of("lock"), "d", 9).is_empty());
    assert!(locks.is_empty());
}

#[test]
fn a_lock_is_asked_for_twice() {
    let mut locks = Locks::default();
    locks.ask(lock("a"), 1, 0);
    assert_eq!(locks.ask(lock("a"), 2, 0), [(2, Locked::Granted)]);
    locks.ask(lock("b"), 3, 0);
    locks.ask(lock("c"), 4, 0);
    // The place in the line is the same; the question before is answered, if anybody still hears it.
    assert_eq!(locks.ask(lock("b"), 5, 1), [(3, Locked::Waiting)]);
    assert_eq!(locks.free(Key::of("lock"), "a", 2), [(5, Locked::Granted)]);
}

#[test]
fn leases_and_patience_run_out() {
    let mut locks = Locks::default();
    locks.ask(lock("a"), 1, 0);
    locks.ask(lock("b"), 2, 10);
    locks.ask(lock("c"), 3, 20);
    assert!(locks.tidy(59).is_empty());
    // Told to ask again, and the place is kept.
    assert_eq!(locks.tidy(60), [(2, Locked::Waiting)]);
    assert_eq!(locks.tidy(70), [(3, Locked::Waiting)]);
    assert!(locks.ask(lock("b"), 4, 80).is_empty());
    // The holder was not heard of.
    assert_eq!(locks.tidy(100), [(4, Locked::Granted)]);
    // The next one is not there: who asks again in time finds the lock.
    assert!(locks.free(Key::of("lock"), "b", 110).is_empty());
    assert_eq!(locks.ask(lock("c"), 5, 120), [(5, Locked::Granted)]);
    // Kept as long as it is asked for.
    for now_ms in [200, 290, 380] {
        assert_eq!(locks.ask(lock("c"), 6, now_ms), [(6, Locked::Granted)]);
    }
    assert!(locks.tidy(479).is_empty());
    assert!(!locks.is_empty());
    assert!(locks.tidy(480).is_empty());
    assert!(locks.is_empty() && locks.next_ms().is_none());
}

#[test]
fn who_stays_away_loses_the_place() {
    let mut locks = Locks::default();
    let patient = LockWish {
        lease_ms: 100_000,
        ..lock("a")
    };
    locks.ask(patient, 1, 0);
    locks.ask(lock("b"), 2, 0);
    assert_eq!(locks.tidy(50), [(2, Locked::Waiting)]);
    locks.tidy(5_050);
    locks.ask(lock("c"), 3, 5_060);
    let given = locks.free(Key::of("lock"), "a", 5_070);
    assert_eq!(given, [(3, Locked::Granted)]);
}

#[test]
fn many_share_a_lock() {
    let share = |holder: &str, share| LockWish {
        share,
        places: 2,
        ..lock(holder)
    };
    let mut locks = Locks::default();
    assert_eq!(locks.ask(share("a", 1), 1, 0), [(1, Locked::Granted)]);
    assert_eq!(locks.ask(share("b", 1), 2, 0), [(2, Locked::Granted)]);
    assert!(locks.ask(share("c", 2), 3, 0).is_empty());
    // Nobody overtakes who wants it alone.
    assert!(locks.free(Key::of("lock"), "a", 1).is_empty());
    assert!(locks.ask(share("d", 1), 4, 1).is_empty());
    assert_eq!(locks.free(Key::of("lock"), "b", 2), [(3, Locked::Granted)]);
    assert_eq!(locks.free(Key::of("lock"), "c", 3), [(4, Locked::Granted)]);
}
