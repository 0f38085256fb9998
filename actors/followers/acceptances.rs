//! Invites that are accepted for their users, as the operator wants it.
//!
//! Each is tried when it is heard. What fails and may succeed later is parked, so that it outlives a restart, and tried again at growing intervals until
//! it succeeds, is refused for good, or is too old.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use playhouse_schema::{
    address::{Family, Position, Shard},
    models::parked::Parked,
    port::{StoreError, StoredRecord},
};
use ruma::{OwnedServerName, events::room::member::MembershipState};
use tokio::time::Instant;

use super::{
    lookout::Lookout,
    member_events::{self, MemberEvent},
    task::{Handled, Handler, PROGRAM, Running, Source, Stop, Stopped, follow_from_now},
};
use crate::env::Env;

/// The follower's name among the cursors and among what is parked.
pub const NAME: &str = "acceptances";

/// So many are on the way at once.
const AT_ONCE: usize = 16;

/// The records that follow wait so long for an invite; the attempt itself goes on.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// What is parked is looked through so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The wait after the first failure and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));

/// Why an invite was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// Trying again may help, while the invite is no older than this.
    Passing(String, Duration),
    /// It will not be.
    Final(String),
}

/// What accepts.
pub trait Host: Send + Sync + 'static {
    /// Whether invites like this are accepted.
    fn wants(&self, invite: &MemberEvent) -> bool;

    /// Accepts an invite if it still stands.
    fn accept(&self, invite: MemberEvent) -> BoxFuture<'static, Result<(), NotAccepted>>;
}

/// Starts it, for what happens from now on.
pub async fn start(
    source: Source,
    host: Arc<dyn Host>,
    env: &Env,
) -> Result<[Running; 2], StoreError> {
    let acceptances = Acceptances {
        host,
        server_name: env.server_name().to_owned(),
    };
    let again = Again {
        store: source.0.clone(),
        env: env.clone(),
        host: acceptances.host.clone(),
        server_name: acceptances.server_name.clone(),
        lookout: Lookout::new(source.1.clone(), NAME),
        due: BTreeMap::new(),
    };
    let follower = follow_from_now(source, NAME, Family::Rooms, acceptances).await?;
    let again = Running::start(|stop| Box::pin(again.run(stop)));
    Ok([follower, again])
}

struct Acceptances {
    host: Arc<dyn Host>,
    server_name: OwnedServerName,
}

impl Handler for Acceptances {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        _stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            let invites: Vec<_> = records
                .iter()
                .filter_map(|record| Some((record, invite_of(record, &self.server_name)?)))
                .filter(|(_, invite)| self.host.wants(invite))
                .collect();
            let acted = !invites.is_empty();
            let attempts = invites.into_iter().map(|(record, invite)| {
                let attempt = self.host.accept(invite.clone());
                async move {
                    let why = match tokio::time::timeout(ATTEMPT_MAX, attempt).await {
                        Ok(Ok(())) => return None,
                        Ok(Err(NotAccepted::Final(why))) => {
                            tell(&invite, &why);
                            return None;
                        }
                        Ok(Err(NotAccepted::Passing(why, _))) => why,
                        Err(_) => "it takes long".to_owned(),
                    };
                    Some(Parked::new(NAME, record, PROGRAM, &why))
                }
            });
            let attempts: Vec<_> = attempts.collect();
            let outcomes = stream::iter(attempts).buffered(AT_ONCE);
            let outcomes: Vec<Option<Parked>> = outcomes.collect().await;
            Ok(Handled {
                acted,
                parked: outcomes.into_iter().flatten().collect(),
            })
        })
    }
}

fn invite_of(record: &StoredRecord, server_name: &OwnedServerName) -> Option<MemberEvent> {
    member_events::read(record, server_name)
        .filter(|event| event.membership == MembershipState::Invite)
}

fn tell(invite: &MemberEvent, why: &str) {
    let MemberEvent {
        room_id, user_id, ..
    } = invite;
    tracing::info!(%room_id, %user_id, why, "an invite is not accepted by itself");
}

/// Tries again what is parked.
struct Again {
    store: Arc<dyn playhouse_schema::port::LogStore>,
    env: Env,
    host: Arc<dyn Host>,
    server_name: OwnedServerName,
    lookout: Lookout,
    /// When the next attempt is due, and the wait after it.
    due: BTreeMap<(Shard, Position), (Instant, Duration)>,
}

impl Again {
    async fn run(mut self, mut stop: Stop) {
        while !stop.is_told() {
            if let Err(error) = self.look(&mut stop).await {
                tracing::warn!(%error, "cannot read which invites wait");
            }
            if !stop.pause(LOOK_EVERY).await {
                return;
            }
        }
    }

    async fn look(&mut self, stop: &mut Stop) -> Result<(), StoreError> {
        let parked = self.lookout.look_at_all(&*self.store).await?;
        let known: Vec<_> = parked.iter().map(|one| (one.shard, one.position)).collect();
        self.due.retain(|place, _| known.contains(place));
        let now = Instant::now();
        let is_due = |one: &Parked| {
            let due = self.due.get(&(one.shard, one.position));
            due.is_none_or(|(due, _)| *due <= now)
        };
        let mut due: Vec<_> = parked.into_iter().filter(is_due).collect();
        while !due.is_empty() && !stop.is_told() {
            let rest = due.split_off(due.len().min(AT_ONCE));
            let attempts = std::mem::replace(&mut due, rest).into_iter();
            let attempts: Vec<_> = attempts.map(|one| self.attempt(one)).collect();
            let outcomes = futures_util::future::join_all(attempts).await;
            for (one, is_done) in outcomes {
                self.settle(&one, is_done).await?;
            }
        }
        Ok(())
    }

    async fn settle(&mut self, one: &Parked, is_done: bool) -> Result<(), StoreError> {
        let place = (one.shard, one.position);
        if is_done {
            self.due.remove(&place);
            let models = self.store.models();
            return models.apply(vec![one.release()], Vec::new()).await;
        }
        let (first, longest) = WAITS;
        let wait = self.due.get(&place).map_or(first, |(_, wait)| *wait);
        let next = (Instant::now() + wait, (wait * 2).min(longest));
        self.due.insert(place, next);
        Ok(())
    }

    /// Tries once more; whether nothing is left to be tried.
    async fn attempt(&self, one: Parked) -> (Parked, bool) {
        let record = match one.record(&*self.store).await {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, "cannot read a parked invite");
                return (one, false);
            }
        };
        let invite = record.and_then(|record| invite_of(&record, &self.server_name));
        let Some(invite) = invite.filter(|invite| self.host.wants(invite)) else {
            return (one, true);
        };
        let why = match self.host.accept(invite.clone()).await {
            Ok(()) => return (one, true),
            Err(NotAccepted::Final(why)) => why,
            Err(NotAccepted::Passing(why, patience)) => {
                let age = self.env.now_ms().saturating_sub(invite.at_ms);
                if Duration::from_millis(age) < patience {
                    return (one, false);
                }
                why
            }
        };
        tell(&invite, &why);
        (one, true)
    }
}
