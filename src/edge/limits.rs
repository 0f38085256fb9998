//! Rate limits per user, address and operation: token buckets in a map of bounded size.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::Instant,
};

use parking_lot::Mutex;
use playhouse_schema::record::user::RateOverride;

use super::failure::Failure;
use crate::config::{Limits, Rate};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Anything: counted for the user, or for the address when there is no session.
    General,
    /// Nothing at all: health checks, discovery.
    Free,
    /// Logins.
    Login,
    /// Registrations.
    Registration,
    /// Mails and text messages sent to prove an address.
    ThirdParty,
    /// Messages and other events.
    Message,
    /// Joins and knocks.
    Join,
    /// Invitations.
    Invite,
    /// New rooms.
    CreateRoom,
    /// Uploads of media.
    Upload,
    /// Delayed events managed without a session.
    DelayedEvent,
    /// Requests of other servers: see [`Limiter::take_server`].
    Peer,
}

/// So many buckets are kept in each part of the map; beyond it full ones are dropped, then all.
const BUCKETS_MAX: usize = 8_192;

/// The map is split, so that threads seldom meet.
const PARTS: usize = 16;

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_ms: u64,
    rate: Rate,
}

impl Bucket {
    fn fill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        let gained = elapsed_ms as f64 / 1000.0 * self.rate.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(self.rate.burst));
        self.filled_ms = now_ms;
    }

    /// Takes a token, or tells when there will be one.
    fn take(&mut self, now_ms: u64) -> Result<(), u64> {
        self.fill(now_ms);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = 1.0 - self.tokens;
        Err((missing / self.rate.per_second * 1000.0).ceil() as u64)
    }

    fn is_full(&self, now_ms: u64) -> bool {
        let mut bucket = *self;
        bucket.fill(now_ms);
        bucket.tokens >= f64::from(self.rate.burst)
    }
}

/// Counts what callers do.
pub(crate) struct Limiter {
    limits: Limits,
    started: Instant,
    hasher: RandomState,
    /// By the hash of class and subject: a collision lets two subjects share a bucket, which is harmless.
    parts: Vec<Mutex<HashMap<u64, Bucket>>>,
}

impl Limiter {
    /// A limiter with the configured rates.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            started: Instant::now(),
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts a request; refuses it when the caller was too fast.
    pub(crate) fn take(
        &self,
        class: Class,
        user: Option<(&str, Option<RateOverride>)>,
        address: IpAddr,
    ) -> Result<(), Failure> {
        if !self.limits.rate_limits || class == Class::Free {
            return Ok(());
        }
        match user {
            // Nothing at all is counted for whom an administrator has freed.
            Some((_, Some(own))) if own.per_second == 0 => Ok(()),
            Some((user, own)) => {
                let own = own.map(|own| Rate::new(f64::from(own.per_second), own.burst.max(1)));
                let general = wider(self.limits.rate_user, own);
                self.count(Class::General, general, user)?;
                match own {
                    Some(own) if class == Class::Message => self.count(class, own, user),
                    _ => self.specific(class, user),
                }
            }
            None => {
                self.count(Class::General, self.limits.rate_address, address)?;
                self.specific(class, address)
            }
        }
    }

    /// Counts something that is known only later, a wrong password for example.
    pub(crate) fn take_for(&self, class: Class, subject: &str) -> Result<(), Failure> {
        if !self.limits.rate_limits {
            return Ok(());
        }
        self.specific(class, subject)
    }

    /// Counts a request of another server: for its address as long as nobody knows who it is, then for its name.
    pub(crate) fn take_server(&self, subject: impl std::hash::Hash) -> Result<(), Failure> {
        if !self.limits.rate_limits {
            return Ok(());
        }
        self.specific(Class::Peer, subject)
    }

    fn specific(&self, class: Class, subject: impl std::hash::Hash) -> Result<(), Failure> {
        let rate = match class {
            Class::General | Class::Free => return Ok(()),
            Class::Peer => self.limits.rate_server,
            Class::Login => self.limits.rate_login,
            Class::Registration => self.limits.rate_registration,
            Class::ThirdParty => self.limits.rate_third_party,
            Class::Message => self.limits.rate_message,
            Class::Join => self.limits.rate_join,
            Class::Invite => self.limits.rate_invite,
            Class::CreateRoom => self.limits.rate_create_room,
            Class::Upload => self.limits.rate_upload,
            Class::DelayedEvent => self.limits.rate_delayed_event,
        };
        self.count(class, rate, subject)
    }

    fn count(
        &self,
        class: Class,
        rate: Rate,
        subject: impl std::hash::Hash,
    ) -> Result<(), Failure> {
        let now_ms = self.started.elapsed().as_millis() as u64;
        let key = self.hasher.hash_one((class, subject));
        self.count_at(key, rate, now_ms).map_err(|retry_after_ms| {
            metrics::counter!("playhouse_rate_limited_total").increment(1);
            Failure::limit_exceeded(retry_after_ms)
        })
    }

    fn count_at(&self, key: u64, rate: Rate, now_ms: u64) -> Result<(), u64> {
        let mut part = self.parts[key as usize % PARTS].lock();
        if part.len() >= BUCKETS_MAX && !part.contains_key(&key) {
            part.retain(|_, bucket| !bucket.is_full(now_ms));
            if part.len() >= BUCKETS_MAX {
                // Under a flood of addresses memory matters more than a few requests too many.
                part.clear();
            }
        }
        let bucket = part.entry(key).or_insert(Bucket {
            tokens: f64::from(rate.burst),
            filled_ms: now_ms,
            rate,
        });
        if bucket.rate != rate {
            // An administrator has just given the user another rate: it begins with a full bucket.
            *bucket = Bucket {
                tokens: f64::from(rate.burst),
                filled_ms: now_ms,
                rate,
            };
        }
        bucket.take(now_ms)
    }
}

/// What bounds everything that a user does must not be narrower than what an administrator allows the user.
fn wider(everybody: Rate, own: Option<Rate>) -> Rate {
    match own {
        Some(own) => Rate::new(
            everybody.per_second.max(own.per_second),
            everybody.burst.max(own.burst),
        ),
        None => everybody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(&Limits::default())
    }

    #[test]
    fn bursts_pass_and_then_the_rate_rules() {
        let limiter = limiter();
        let rate = Rate::new(2.0, 3);
        for _ in 0..3 {
            assert_eq!(limiter.count_at(1, rate, 0), Ok(()));
        }
        assert_eq!(limiter.count_at(1, rate, 0), Err(500));
        assert_eq!(limiter.count_at(2, rate, 0), Ok(()));
        assert_eq!(limiter.count_at(1, rate, 500), Ok(()));
        assert_eq!(limiter.count_at(1, rate, 500), Err(500));
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = limiter();
        for key in 0..(BUCKETS_MAX * PARTS * 2) as u64 {
            let _ = limiter.count_at(key, Rate::new(0.001, 5), 0);
        }
        let kept: usize = limiter.parts.iter().map(|part| part.lock().len()).sum();
        assert!(kept <= BUCKETS_MAX * PARTS);
    }

    #[test]
    fn classes_and_users_are_counted_apart() {
        let limiter = limiter();
        let address = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..limiter.limits.rate_join.burst {
            limiter
                .take(Class::Join, Some(("@a:b", None)), address)
                .unwrap();
        }
        let failure = limiter.take(Class::Join, Some(("@a:b", None)), address);
        assert_eq!(failure.unwrap_err().status(), 429);
        limiter
            .take(Class::Invite, Some(("@a:b", None)), address)
            .unwrap();
        limiter
            .take(Class::Join, Some(("@c:b", None)), address)
            .unwrap();
        let off = Limits {
            rate_limits: false,
            ..Limits::default()
        };
        let limiter = Limiter::new(&off);
        for _ in 0..10_000 {
            limiter.take(Class::Join, None, address).unwrap();
        }
    }

    #[test]
    fn an_administrator_gives_a_user_another_rate() {
        let limiter = limiter();
        let address = IpAddr::from([127, 0, 0, 1]);
        let take = |rate| limiter.take(Class::Message, Some(("@a:b", rate)), address);
        let own = |per_second, burst| Some(RateOverride { per_second, burst });
        let passed = |rate| (0..5_000).take_while(|_| take(rate).is_ok()).count();
        assert_eq!(passed(own(1, 3)), 3);
        let many = limiter.limits.rate_user.burst as usize + 100;
        assert!(passed(own(1, many as u32)) >= many);
        assert_eq!(passed(own(0, 0)), 5_000);
        assert_eq!(passed(own(1, 0)), 1);
        let everybody = limiter.limits.rate_message.burst as usize;
        assert!((everybody..everybody + 50).contains(&passed(None)));
    }
}
