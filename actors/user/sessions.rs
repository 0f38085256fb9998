//! A cache of sessions, so that a request need not ask the user actor whose token it carries.
//!
//! A session enters with a ticket that was taken before the user was asked. Whatever ends sessions of a user makes the tickets of that user void before
//! it is answered, so no request that begins after a logout was answered finds the session that it ended.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use ruma::UserId;

use super::{message::Session, token::TokenHash};

/// Users share counters of what became void: two users on one counter only cost each other a question to the actor.
const COUNTERS: usize = 1 << 14;
/// The cache's locks.
const STRIPES: usize = 64;

/// The right to cache a session, as long as nothing has ended sessions of the same user.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    counter: usize,
    count: u32,
}

#[derive(Clone)]
struct Cached {
    session: Arc<Session>,
    ticket: Ticket,
}

/// What was used lately, and what was used before that. When the first is full it takes the place of the second.
#[derive(Default)]
struct Stripe {
    young: HashMap<TokenHash, Cached>,
    old: HashMap<TokenHash, Cached>,
}

/// Sessions by the hash of their access token; bounded.
pub struct SessionCache {
    counters: Box<[AtomicU32]>,
    hasher: RandomState,
    stripes: Box<[Mutex<Stripe>]>,
    young_max: usize,
}

impl SessionCache {
    /// A cache for so many sessions.
    pub fn new(sessions_max: usize) -> Self {
        Self {
            counters: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            young_max: (sessions_max / STRIPES / 2).max(1),
        }
    }

    /// To be taken before the user is asked with `Authenticate`.
    pub fn ticket(&self, user_id: &UserId) -> Ticket {
        let counter = self.counter(user_id);
        Ticket {
            counter,
            count: self.counters[counter].load(Ordering::Acquire),
        }
    }

    /// Keeps what the user answered. A session whose first use must be told is not kept.
    pub fn insert(&self, ticket: Ticket, hash: TokenHash, session: Arc<Session>) {
        if session.confirms_refresh {
            return;
        }
        let mut stripe = self.stripe(&hash).lock();
        self.put(&mut stripe, hash, Cached { session, ticket });
    }

    /// The session of a token, unless it has ended or expired, or is not known here.
    pub fn get(&self, hash: &TokenHash, now_ms: u64) -> Option<Arc<Session>> {
        let mut stripe = self.stripe(hash).lock();
        let cached = match stripe.young.get(hash) {
            Some(cached) => cached.clone(),
            None => {
                let cached = stripe.old.remove(hash)?;
                self.put(&mut stripe, hash.clone(), cached.clone());
                cached
            }
        };
        drop(stripe);
        let count = self.counters[cached.ticket.counter].load(Ordering::Acquire);
        let expired = cached
            .session
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms);
        (count == cached.ticket.count && !expired).then_some(cached.session)
    }

    /// Makes void what is cached of a user, and what is on its way into the cache.
    pub fn invalidate(&self, user_id: &UserId) {
        self.counters[self.counter(user_id)].fetch_add(1, Ordering::AcqRel);
    }

    /// Makes void all that is cached, and what is on its way into the cache.
    pub fn clear(&self) {
        for counter in &self.counters {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn counter(&self, user_id: &UserId) -> usize {
        self.hasher.hash_one(user_id.as_str()) as usize % COUNTERS
    }

    fn stripe(&self, hash: &TokenHash) -> &Mutex<Stripe> {
        &self.stripes[usize::from(hash.as_bytes()[0]) % STRIPES]
    }

    fn put(&self, stripe: &mut Stripe, hash: TokenHash, cached: Cached) {
        if stripe.young.len() >= self.young_max {
            stripe.old = std::mem::take(&mut stripe.young);
        }
        stripe.young.insert(hash, cached);
    }
}

impl Default for SessionCache {
    fn default() -> Self {
        Self::new(100_000)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{OwnedUserId, user_id};

    use super::*;

    fn session(user_id: &UserId) -> Arc<Session> {
        Arc::new(Session {
            user_id: OwnedUserId::from(user_id),
            device_id: Some("D".into()),
            admin: false,
            guest: false,
            suspended: false,
            locked: false,
            expires_ms: Some(100),
            valid_until_ms: None,
            shadow_banned: false,
            rate: None,
            confirms_refresh: false,
        })
    }

    #[test]
    fn finds_until_expired_or_void() {
        let cache = SessionCache::new(1000);
        let alice = user_id!("@alice:example.org");
        let hash = TokenHash::of("token");
        cache.insert(cache.ticket(alice), hash.clone(), session(alice));
        assert!(cache.get(&hash, 99).is_some());
        assert!(cache.get(&hash, 100).is_none());
        cache.invalidate(alice);
        assert!(cache.get(&hash, 99).is_none());
        cache.insert(cache.ticket(alice), hash.clone(), session(alice));
        let early = cache.ticket(alice);
        cache.clear();
        assert!(cache.get(&hash, 99).is_none());
        cache.insert(early, hash.clone(), session(alice));
        assert!(cache.get(&hash, 99).is_none());
    }

    #[test]
    fn a_late_answer_is_not_kept() {
        let cache = SessionCache::new(1000);
        let alice = user_id!("@alice:example.org");
        let hash = TokenHash::of("token");
        let ticket = cache.ticket(alice);
        cache.invalidate(alice);
        cache.insert(ticket, hash.clone(), session(alice));
        assert!(cache.get(&hash, 0).is_none());
    }

    #[test]
    fn stays_bounded() {
        let cache = SessionCache::new(128);
        let alice = user_id!("@alice:example.org");
        for number in 0..10_000 {
            let hash = TokenHash::of(&number.to_string());
            cache.insert(cache.ticket(alice), hash, session(alice));
        }
        let kept: usize = cache
            .stripes
            .iter()
            .map(|stripe| {
                let stripe = stripe.lock();
                stripe.young.len() + stripe.old.len()
            })
            .sum();
        assert!(kept <= 128, "{kept}");
    }
}
