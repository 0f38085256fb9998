//! What lies on a desk, each until its time.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Changed, DeskBounds, Key, Opaque, Put, PutWish, Thing};

/// So large may one thing be.
const THING_BYTES_MAX: usize = 64 << 10;

/// What one thing takes beside its own bytes.
const THING_BYTES: usize = 160;

/// The things of a desk. What ends first is the oldest: things of a kind last equally long.
#[derive(Debug, Default)]
pub(super) struct Things {
    known: BTreeMap<Key, Lying>,
    /// In the order in which they end; of those that end together what came first.
    ends: BTreeSet<(u64, u64, Key)>,
    bytes: usize,
    serial: u64,
}

#[derive(Debug)]
struct Lying {
    thing: Thing,
    serial: u64,
}

impl Things {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// When the first of them ends.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.ends.first().map(|(until_ms, ..)| *until_ms)
    }

    /// Forgets what is over.
    pub(super) fn forget_old(&mut self, now_ms: u64) {
        while let Some((until_ms, _, key)) = self.ends.first().copied()
            && until_ms <= now_ms
        {
            self.remove(key);
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<Thing> {
        self.known.get(&key).map(|lying| lying.thing.clone())
    }

    /// Puts something there. [`super::message::Terms::begun_ms`] is not looked at.
    pub(super) fn put(&mut self, wish: PutWish, bounds: DeskBounds) -> Put {
        let is_taken = self.known.contains_key(&wish.key);
        if wish.terms.only_new && is_taken {
            return Put::Taken;
        }
        let weight = weight(&wish.value);
        if wish.value.0.len() > THING_BYTES_MAX || weight > bounds.bytes_max {
            return Put::Full;
        }
        self.remove(wish.key);
        let own_max = wish.terms.things_max.map(usize::try_from);
        let own_max = own_max.map_or(usize::MAX, |max| max.unwrap_or(usize::MAX));
        let things_max = bounds.things_max.min(own_max.max(1));
        while self.known.len() >= things_max || self.bytes + weight > bounds.bytes_max {
            if wish.terms.never_evicts || !self.remove_oldest() {
                return Put::Full;
            }
        }
        self.serial += 1;
        self.insert(
            wish.key,
            Lying {
                thing: Thing {
                    value: wish.value,
                    token: wish.nonce,
                    until_ms: wish.until_ms,
                },
                serial: self.serial,
            },
        );
        Put::Done
    }

    /// Puts something else there, if nobody has since. What grows lets others go that end first: else who fills the desk keeps everybody from going on.
    pub(super) fn change(
        &mut self,
        (key, if_token): (Key, &str),
        (value, token): (Opaque, String),
        bounds: DeskBounds,
    ) -> Changed {
        let Some(lying) = self.known.get(&key) else {
            return Changed::Gone;
        };
        if lying.thing.token != if_token {
            return Changed::Overtaken;
        }
        let weight = weight(&value);
        if value.0.len() > THING_BYTES_MAX || weight > bounds.bytes_max {
            return Changed::Full;
        }
        let (until_ms, serial) = (lying.thing.until_ms, lying.serial);
        self.remove(key);
        while self.bytes + weight > bounds.bytes_max && self.remove_oldest() {}
        let thing = Thing {
            value,
            token,
            until_ms,
        };
        self.insert(key, Lying { thing, serial });
        Changed::Done
    }

    pub(super) fn take(&mut self, key: Key) -> Option<Thing> {
        self.remove(key)
    }

    fn insert(&mut self, key: Key, lying: Lying) {
        self.bytes += weight(&lying.thing.value);
        self.ends.insert((lying.thing.until_ms, lying.serial, key));
        self.known.insert(key, lying);
    }

    fn remove(&mut self, key: Key) -> Option<Thing> {
        let lying = self.known.remove(&key)?;
        self.bytes -= weight(&lying.thing.value);
        self.ends.remove(&(lying.thing.until_ms, lying.serial, key));
        Some(lying.thing)
    }

    fn remove_oldest(&mut self) -> bool {
        let oldest = self.ends.first().map(|(_, _, key)| *key);
        oldest.is_some_and(|key| self.remove(key).is_some())
    }
}

fn weight(value: &Opaque) -> usize {
    value.0.len() + THING_BYTES
}
