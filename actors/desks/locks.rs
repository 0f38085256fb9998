//! Who waits for whom: locks with a number of places, given in the order in which they were asked for.
//!
//! A courtesy and no safety: a lock ends with its lease, and with the desk. Whoever holds one asks for it again and again, and so has it back when the desk has
//! begun another life.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Key, LockWish, Locked};

/// So many locks are held or waited for.
const LOCKS_MAX: usize = 4_096;

/// So many may wait for one, whatever is wished.
const LINE_MAX: usize = 1_024;

/// Who was told to ask again keeps the place in the line so long.
const ABSENCE_MS: u64 = 5_000;

/// What is to be told to whom.
pub(super) type Said<P> = Vec<(P, Locked)>;

/// The locks of a desk. `P` is the way to somebody who waits.
pub(super) struct Locks<P> {
    known: BTreeMap<Key, Lock<P>>,
    /// Nothing runs out before this.
    next_ms: Option<u64>,
}

struct Lock<P> {
    holders: Vec<Holder>,
    line: VecDeque<Waiter<P>>,
}

struct Holder {
    name: String,
    share: u32,
    until_ms: u64,
}

struct Waiter<P> {
    wish: LockWish,
    /// The answer is due, or there is none to be given and the place is lost.
    until_ms: u64,
    port: Option<P>,
}

impl<P> Default for Locks<P> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            next_ms: None,
        }
    }
}

impl<P> Locks<P> {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// When something may run out.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// Somebody wants a lock, or wants to keep it.
    pub(super) fn ask(&mut self, wish: LockWish, port: P, now_ms: u64) -> Said<P> {
        let key = wish.key;
        if !self.known.contains_key(&key) && self.known.len() >= LOCKS_MAX {
            return vec![(port, Locked::Full)];
        }
        let lock = self.known.entry(key).or_insert_with(Lock::new);
        let mut said = lock.tidy(now_ms);
        lock.ask(wish, port, now_ms, &mut said);
        said.extend(lock.give(now_ms));
        self.look_after(key);
        said
    }

    /// Somebody does not want a lock any more.
    pub(super) fn free(&mut self, key: Key, holder: &str, now_ms: u64) -> Said<P> {
        let Some(lock) = self.known.get_mut(&key) else {
            return Vec::new();
        };
        lock.holders.retain(|held| held.name != holder);
        let mut said = Vec::new();
        if let Some(place) = lock.place_of(holder)
            && let Some(gone) = lock.line.remove(place)
        {
            said.extend(gone.port.map(|port| (port, Locked::Over)));
        }
        said.extend(lock.give(now_ms));
        self.look_after(key);
        said
    }

    /// Forgets a lock that nobody wants, and notes when something of another runs out.
    fn look_after(&mut self, key: Key) {
        let next_ms = self.known.get(&key).and_then(Lock::next_ms);
        if next_ms.is_none() {
            self.known.remove(&key);
        }
        self.next_ms = [self.next_ms, next_ms].into_iter().flatten().min();
    }

    /// Ends what has run out.
    pub(super) fn tidy(&mut self, now_ms: u64) -> Said<P> {
        if self.next_ms.is_none_or(|next_ms| now_ms < next_ms) {
            return Vec::new();
        }
        let mut said = Vec::new();
        for lock in self.known.values_mut() {
            said.extend(lock.tidy(now_ms));
        }
        self.known.retain(|_, lock| !lock.is_idle());
        self.next_ms = self.known.values().filter_map(Lock::next_ms).min();
        said
    }
}

impl<P> Lock<P> {
    fn new() -> Self {
        Self {
            holders: Vec::new(),
            line: VecDeque::new(),
        }
    }

    fn is_idle(&self) -> bool {
        self.holders.is_empty() && self.line.is_empty()
    }

    fn next_ms(&self) -> Option<u64> {
        let held = self.holders.iter().map(|holder| holder.until_ms);
        let waiting = self.line.iter().map(|waiter| waiter.until_ms);
        held.chain(waiting).min()
    }

    fn place_of(&self, holder: &str) -> Option<usize> {
        let mut line = self.line.iter();
        line.position(|waiter| waiter.wish.holder == holder)
    }

    fn has_room(&self, wish: &LockWish) -> bool {
        let taken: u64 = self.holders.iter().map(|held| u64::from(held.share)).sum();
        self.holders.is_empty() || taken + u64::from(wish.share) <= u64::from(wish.places)
    }

    /// Answers at once, or puts into the line.
    fn ask(&mut self, wish: LockWish, port: P, now_ms: u64, said: &mut Said<P>) {
        let mut holders = self.holders.iter_mut();
        if let Some(held) = holders.find(|held| held.name == wish.holder) {
            held.until_ms = now_ms + wish.lease_ms;
            said.push((port, Locked::Granted));
            return;
        }
        if let Some(place) = self.place_of(&wish.holder)
            && let Some(waiter) = self.line.get_mut(place)
        {
            // The one who asks again has not heard, and will not hear, the answer to the first question.
            let first = waiter.port.replace(port);
            waiter.until_ms = now_ms + wish.wait_ms;
            waiter.wish = wish;
            said.extend(first.map(|first| (first, Locked::Waiting)));
            return;
        }
        let line_max = LINE_MAX.min(wish.line_max as usize);
        if self.line.is_empty() && self.has_room(&wish) {
            self.hold(&wish, now_ms);
            said.push((port, Locked::Granted));
        } else if wish.wait_ms == 0 {
            said.push((port, Locked::Busy));
        } else if self.line.len() >= line_max {
            said.push((port, Locked::Full));
        } else {
            self.line.push_back(Waiter {
                until_ms: now_ms + wish.wait_ms,
                port: Some(port),
                wish,
            });
        }
    }

    fn hold(&mut self, wish: &LockWish, now_ms: u64) {
        self.holders.push(Holder {
            name: wish.holder.clone(),
            share: wish.share,
            until_ms: now_ms + wish.lease_ms,
        });
    }

    /// Gives the lock to those who are first in the line.
    fn give(&mut self, now_ms: u64) -> Said<P> {
        let mut said = Vec::new();
        while let Some(first) = self.line.front()
            && self.has_room(&first.wish)
            && let Some(first) = self.line.pop_front()
        {
            // Who is just asking again finds that it holds.
            self.hold(&first.wish, now_ms);
            said.extend(first.port.map(|port| (port, Locked::Granted)));
        }
        said
    }

    /// Ends what has run out, and tells those who have waited long enough.
    fn tidy(&mut self, now_ms: u64) -> Said<P> {
        let mut said = Vec::new();
        self.holders.retain(|held| now_ms < held.until_ms);
        self.line
            .retain(|waiter| waiter.port.is_some() || now_ms < waiter.until_ms);
        for waiter in &mut self.line {
            if waiter.until_ms <= now_ms {
                said.extend(waiter.port.take().map(|port| (port, Locked::Waiting)));
                waiter.until_ms = now_ms + ABSENCE_MS;
            }
        }
        said.extend(self.give(now_ms));
        said
    }
}
