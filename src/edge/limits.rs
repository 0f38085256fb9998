//! Rate limits per user, address and operation: token buckets in a map of bounded size.
//!
//! Where there are several nodes, what is rare is counted at desks for all of them together ([`Class::is_rare`]). Of everything else each node permits the
//! whole rate: so much of it comes that another node is not to be asked each time.

use std::{
    collections::HashMap,
    fmt::Display,
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    time::Instant,
};

use parking_lot::Mutex;
use playhouse_actors::{
    desks::rates::{self, Bucket},
    house::Desks,
};
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

impl Class {
    /// Whether so little of it is permitted that it matters where it is counted.
    fn is_rare(self) -> bool {
        match self {
            Class::Login
            | Class::Registration
            | Class::ThirdParty
            | Class::Join
            | Class::Invite
            | Class::CreateRoom
            | Class::Upload
            | Class::DelayedEvent => true,
            Class::General | Class::Free | Class::Message | Class::Peer => false,
        }
    }
}

/// So many buckets are kept in each part of the map; beyond it full ones are dropped, then all.
const BUCKETS_MAX: usize = 8_192;

/// The map is split, so that threads seldom meet.
const PARTS: usize = 16;

/// Counts what callers do.
pub(crate) struct Limiter {
    limits: Limits,
    started: Instant,
    hasher: RandomState,
    /// By the hash of class and subject: a collision lets two subjects share a bucket, which is harmless.
    parts: Vec<Mutex<HashMap<u64, Bucket>>>,
    /// Where other nodes count too, if there are any.
    desks: Option<Desks>,
}

impl Limiter {
    /// A limiter with the configured rates.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            started: Instant::now(),
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            desks: None,
        }
    }

    /// The same among other nodes.
    pub(crate) fn among(limits: &Limits, desks: &Desks) -> Self {
        Self {
            desks: (!desks.is_alone()).then(|| desks.clone()),
            ..Self::new(limits)
        }
    }

    /// Counts a request; refuses it when the caller was too fast.
    pub(crate) async fn take(
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
                    _ => self.specific(class, user).await,
                }
            }
            None => {
                self.count(Class::General, self.limits.rate_address, address)?;
                self.specific(class, address).await
            }
        }
    }

    /// Counts something that is known only later, a wrong password for example.
    pub(crate) async fn take_for(&self, class: Class, subject: &str) -> Result<(), Failure> {
        if !self.limits.rate_limits {
            return Ok(());
        }
        self.specific(class, subject).await
    }

    /// Counts a request of another server: for its address as long as nobody knows who it is, then for its name.
    pub(crate) fn take_server(&self, subject: impl Hash) -> Result<(), Failure> {
        if !self.limits.rate_limits {
            return Ok(());
        }
        self.count(Class::Peer, self.limits.rate_server, subject)
    }

    async fn specific(&self, class: Class, subject: impl Hash + Display) -> Result<(), Failure> {
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
        let Some(desks) = self.desks.as_ref().filter(|_| class.is_rare()) else {
            return self.count(class, rate, subject);
        };
        let name = format!("{class:?} {subject}");
        match desks.count(&name, of_desks(rate)).await {
            Ok(None) => Ok(()),
            Ok(Some(retry_after_ms)) => Err(too_fast(retry_after_ms)),
            // Nobody is kept from the server by a count that does not answer.
            Err(error) => {
                tracing::warn!(?class, %error, "counted by this node alone");
                self.count(class, rate, subject)
            }
        }
    }

    fn count(&self, class: Class, rate: Rate, subject: impl Hash) -> Result<(), Failure> {
        let now_ms = self.started.elapsed().as_millis() as u64;
        let key = self.hasher.hash_one((class, subject));
        self.count_at(key, rate, now_ms).map_err(too_fast)
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
        let rate = of_desks(rate);
        let bucket = part.entry(key);
        let bucket = bucket.or_insert_with(|| Bucket::new(rate, now_ms));
        // An administrator may just have given the user another rate: it begins with a full bucket.
        bucket.take(rate, now_ms)
    }
}

fn of_desks(rate: Rate) -> rates::Rate {
    rates::Rate {
        per_second: rate.per_second,
        burst: rate.burst,
    }
}

fn too_fast(retry_after_ms: u64) -> Failure {
    metrics::counter!("playhouse_rate_limited_total").increment(1);
    Failure::limit_exceeded(retry_after_ms)
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
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    /// Its time has not begun yet and stands still until then: a machine that stalls gives nobody more.
    fn limiter() -> Limiter {
        Limiter {
            started: Instant::now() + Duration::from_secs(86_400),
            ..Limiter::new(&Limits::default())
        }
    }

    /// On one node nobody is waited for.
    fn take(
        limiter: &Limiter,
        class: Class,
        user: Option<(&str, Option<RateOverride>)>,
    ) -> Result<(), Failure> {
        let address = IpAddr::from([127, 0, 0, 1]);
        let taken = limiter.take(class, user, address);
        taken.now_or_never().expect("counted here")
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
        for _ in 0..limiter.limits.rate_join.burst {
            take(&limiter, Class::Join, Some(("@a:b", None))).unwrap();
        }
        let failure = take(&limiter, Class::Join, Some(("@a:b", None)));
        assert_eq!(failure.unwrap_err().status(), 429);
        take(&limiter, Class::Invite, Some(("@a:b", None))).unwrap();
        take(&limiter, Class::Join, Some(("@c:b", None))).unwrap();
        let off = Limits {
            rate_limits: false,
            ..Limits::default()
        };
        let limiter = Limiter::new(&off);
        for _ in 0..10_000 {
            take(&limiter, Class::Join, None).unwrap();
        }
    }

    #[test]
    fn an_administrator_gives_a_user_another_rate() {
        let limiter = limiter();
        let take = |rate| take(&limiter, Class::Message, Some(("@a:b", rate)));
        let own = |per_second, burst| Some(RateOverride { per_second, burst });
        let passed = |rate| (0..5_000).take_while(|_| take(rate).is_ok()).count();
        assert_eq!(passed(own(1, 3)), 3);
        let many = limiter.limits.rate_user.burst as usize + 100;
        assert_eq!(passed(own(1, many as u32)), many);
        assert_eq!(passed(own(0, 0)), 5_000);
        assert_eq!(passed(own(1, 0)), 1);
        let everybody = limiter.limits.rate_message.burst as usize;
        assert_eq!(passed(None), everybody);
    }
}
