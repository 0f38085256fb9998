//! What the edges of all nodes must see and nobody writes down ([`crate::desks`]): put on a desk, looked up, changed, taken, counted, and waited for.
//!
//! What goes onto a desk is packed here, and unpacked when it comes back; what a node of another version put there and this one cannot read is as good as gone.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::task::AbortHandle;

use super::{House, HouseError, surprise};
use crate::{
    desks::{
        Changed, Desk, DeskAnswer, DeskKind, DeskQuery, Key, LockWish, Locked, Opaque, Put,
        PutWish, Terms, Thing, rates::Rate,
    },
    env::Env,
    kernel::{Directory, Unavailable, parcel},
};

/// A lock falls free when its holder was not heard of for so long.
const LEASE_MS: u64 = 15_000;

/// The holder is heard of so often.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// One question for a lock is answered within this time; then it is asked again.
const WAIT_MS: u64 = 10_000;

/// Who counts does not wait longer.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

/// A nonce has so many characters.
const NONCE_CHARS: usize = 20;

/// The way to the desks. Cheap to clone.
#[derive(Clone)]
pub struct Desks {
    actors: Arc<Directory<Desk>>,
    env: Env,
    runtime: tokio::runtime::Handle,
}

/// Something that lies on a desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// What it is.
    pub value: T,
    /// What tells it from what lay there before.
    pub token: String,
    /// It ends then, milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// What a lock is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// So many places are wanted.
    pub share: u32,
    /// Of so many.
    pub all: u32,
    /// So many may wait.
    pub line_max: u32,
}

impl Places {
    /// For one at a time.
    pub const ONE: Places = Places {
        share: 1,
        all: 1,
        line_max: u32::MAX,
    };
}

/// A lock that is held on all nodes until this is dropped. Where there is no other node it is nothing: what is local has locks of its own.
#[must_use]
pub struct Held {
    _holding: Option<Holding>,
}

impl Held {
    /// Nothing is held anywhere.
    pub fn nothing() -> Self {
        Self { _holding: None }
    }
}

/// Gives the lock back, or the place in the line, whichever way this ends.
struct Holding {
    desks: Desks,
    wish: LockWish,
    renewal: Option<AbortHandle>,
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
        let (desks, key) = (self.desks.clone(), self.wish.key);
        let holder = std::mem::take(&mut self.wish.holder);
        self.desks.runtime.spawn(async move {
            let unlock = DeskQuery::Unlock { key, holder };
            if let Err(error) = desks.ask(DeskKind::Turns, key, unlock).await {
                tracing::debug!(%error, "a lock was not given back, it ends by itself");
            }
        });
    }
}

impl House {
    /// What lies on desks.
    pub fn desks(&self) -> &Desks {
        &self.desks
    }
}

impl Desks {
    /// To be called on the runtime of the actors.
    pub(super) fn new(actors: Arc<Directory<Desk>>, env: &Env) -> Self {
        Self {
            actors,
            env: env.clone(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    pub(super) async fn close(&self, within: Duration) {
        self.actors.close(within).await;
    }

    /// Whether there is no other node.
    pub fn is_alone(&self) -> bool {
        self.actors.is_alone()
    }

    /// Puts something there until some time. What became of it, and its token.
    pub async fn put<T: Serialize>(
        &self,
        (kind, name): (DeskKind, &str),
        (value, until_ms): (&T, u64),
        terms: Terms,
    ) -> Result<(Put, String), HouseError> {
        let (key, token) = (Key::of(name), self.nonce());
        let put = DeskQuery::Put(PutWish {
            key,
            value: packed(value)?,
            until_ms,
            terms,
            nonce: token.clone(),
        });
        match self.ask(kind, key, put).await? {
            DeskAnswer::Put(put) => Ok((put, token)),
            _ => Err(surprise("Put")),
        }
    }

    /// What lies there.
    pub async fn get<T: DeserializeOwned>(
        &self,
        kind: DeskKind,
        name: &str,
    ) -> Result<Option<Found<T>>, HouseError> {
        let key = Key::of(name);
        match self.ask(kind, key, DeskQuery::Get(key)).await? {
            DeskAnswer::Thing(thing) => Ok(thing.and_then(unpacked::<T>)),
            _ => Err(surprise("Get")),
        }
    }

    /// Puts something in the place of what was seen there. What became of it, and the new token.
    pub async fn change<T: Serialize>(
        &self,
        (kind, name): (DeskKind, &str),
        if_token: &str,
        value: &T,
    ) -> Result<(Changed, String), HouseError> {
        let (key, token) = (Key::of(name), self.nonce());
        let change = DeskQuery::Change {
            key,
            if_token: if_token.to_owned(),
            value: packed(value)?,
            nonce: token.clone(),
        };
        match self.ask(kind, key, change).await? {
            DeskAnswer::Changed(changed) => Ok((changed, token)),
            _ => Err(surprise("Change")),
        }
    }

    /// Takes what lies there. Of several who ask, one gets it.
    pub async fn take<T: DeserializeOwned>(
        &self,
        kind: DeskKind,
        name: &str,
    ) -> Result<Option<T>, HouseError> {
        let (key, nonce) = (Key::of(name), self.nonce());
        match self.ask(kind, key, DeskQuery::Take { key, nonce }).await? {
            DeskAnswer::Thing(thing) => Ok(thing.and_then(unpacked::<T>).map(|found| found.value)),
            _ => Err(surprise("Take")),
        }
    }

    /// Counts something; `Some`: it happens too often, and may happen again in so many milliseconds.
    pub async fn count(&self, name: &str, rate: Rate) -> Result<Option<u64>, HouseError> {
        let (key, nonce) = (Key::of(name), self.nonce());
        let entity = DeskKind::Rates.entity(key);
        let count = DeskQuery::Count { key, rate, nonce };
        match self
            .actors
            .query_within(entity, count, COUNT_WITHIN)
            .await?
        {
            DeskAnswer::Counted(again_ms) => Ok(again_ms),
            _ => Err(surprise("Count")),
        }
    }

    /// Sees to it that the desk of a name remembers from now on, until some time.
    pub async fn attend(
        &self,
        (kind, name): (DeskKind, &str),
        until_ms: u64,
    ) -> Result<(), HouseError> {
        let attend = DeskQuery::Attend { until_ms };
        self.ask(kind, Key::of(name), attend).await?;
        Ok(())
    }

    /// Waits for a lock among all nodes; refused with `Busy` when too many wait already. Of no use among those who wait on this node: they are to have had
    /// their turn here before.
    pub async fn lock(&self, name: &str, places: Places) -> Result<Held, HouseError> {
        if self.is_alone() {
            return Ok(Held::nothing());
        }
        let mut holding = Holding {
            desks: self.clone(),
            wish: LockWish {
                key: Key::of(name),
                holder: self.nonce(),
                share: places.share,
                places: places.all,
                line_max: places.line_max,
                lease_ms: LEASE_MS,
                wait_ms: WAIT_MS,
            },
            renewal: None,
        };
        loop {
            match self.ask_for_lock(&holding.wish).await? {
                Locked::Granted => break,
                Locked::Waiting => {}
                Locked::Busy | Locked::Full => return Err(HouseError::Busy),
                Locked::Over => return Err(Unavailable::Stopped.into()),
            }
        }
        let renewal = renew(self.clone(), holding.wish.clone());
        holding.renewal = Some(self.runtime.spawn(renewal).abort_handle());
        Ok(Held {
            _holding: Some(holding),
        })
    }

    async fn ask_for_lock(&self, wish: &LockWish) -> Result<Locked, HouseError> {
        let lock = DeskQuery::Lock(wish.clone());
        match self.ask(DeskKind::Turns, wish.key, lock).await? {
            DeskAnswer::Lock(locked) => Ok(locked),
            _ => Err(surprise("Lock")),
        }
    }

    async fn ask(
        &self,
        kind: DeskKind,
        key: Key,
        query: DeskQuery,
    ) -> Result<DeskAnswer, Unavailable> {
        self.actors.query(kind.entity(key), query).await
    }

    fn nonce(&self) -> String {
        self.env.random_string(NONCE_CHARS)
    }
}

/// Keeps a lock, and has it back from a desk that has forgotten it.
async fn renew(desks: Desks, wish: LockWish) {
    let wish = LockWish { wait_ms: 0, ..wish };
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match desks.ask_for_lock(&wish).await {
            Ok(Locked::Granted) => {}
            Ok(Locked::Over) => return,
            // It is a courtesy: who has begun goes on.
            Ok(_) => tracing::debug!("a lock was lost to another node"),
            Err(error) => tracing::debug!(%error, "a lock cannot be kept"),
        }
    }
}

fn packed<T: Serialize>(value: &T) -> Result<Opaque, HouseError> {
    let packed = parcel::pack(value);
    packed
        .map(Opaque)
        .map_err(|error| HouseError::Broken(error.to_string()))
}

fn unpacked<T: DeserializeOwned>(thing: Thing) -> Option<Found<T>> {
    let value = parcel::unpack(&thing.value.0);
    let value = value.inspect_err(|error| {
        tracing::warn!(%error, "what lies on a desk cannot be read");
    });
    Some(Found {
        value: value.ok()?,
        token: thing.token,
        until_ms: thing.until_ms,
    })
}
