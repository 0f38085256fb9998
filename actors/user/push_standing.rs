//! How things stand with a pusher: what it was pushed, since when it fails, what waits for it. Whoever pushes tells the user, and goes on from here after a
//! restart.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Position, Sequence, ShardNumber},
    record::user::{PushFailed, Pushed, PusherRejected, PushesSettled, PushesWait, UserRecord},
};
use serde::{Deserialize, Serialize};

use super::{error::UserError, message::UserReply, state::User};
use crate::{env::Env, kernel::Decision};

/// What was pushed is remembered for so long after: nobody reads the log again from further back.
const PUSHED_KEPT_MS: u64 = 10 * 60 * 1000;

/// Of so many rooms it is remembered.
const PUSHED_MAX: usize = 1_000;

/// What mails told of a room is remembered for so long: afterwards nothing is held back because of it.
const MAILED_KEPT_MS: u64 = 48 * 60 * 60 * 1000;

/// Of so many rooms it is remembered.
const MAILED_MAX: usize = 1_000;

/// So many pushers that were removed by others than their user are remembered.
const ENDED_MAX: usize = 20;

/// A reason has at most so many characters.
const REASON_CHARS_MAX: usize = 300;

/// Positions of the rooms' shards.
pub type RoomPositions = Vec<(ShardNumber, Position)>;

/// How things stand with a pusher.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Rooms, each with the event up to which all was pushed, and when that was, milliseconds since the Unix epoch.
    pub pushed: BTreeMap<String, (Sequence, u64)>,
    /// The count of unread things that the gateway was told last; `None` when it was told none.
    pub unread: Option<u64>,
    /// The last success, milliseconds since the Unix epoch; 0 when there was none.
    pub success_ms: u64,
    /// The first failure since then; 0 when there was none.
    pub failing_since_ms: u64,
    /// Failures since the last success.
    pub failures: u64,
    /// No attempt is made before this time.
    pub next_ms: u64,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// What lies after these positions waits; `None` when nothing does.
    pub lag: Option<Arc<RoomPositions>>,
    /// What mails told of rooms.
    pub mailed: BTreeMap<String, Mailed>,
    /// The count of missed calls that the gateway was told last.
    #[serde(default)]
    pub missed_calls: u64,
}

/// The last mail that told of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailed {
    /// When it was sent, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The newest of what it told, by when it was recorded.
    pub newest_ms: u64,
    /// The next one comes no sooner than so much later.
    pub throttle_ms: u64,
    /// The number of the newest event that it told.
    #[serde(default)]
    pub newest: Sequence,
}

/// A pusher that was removed by others than its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedPusher {
    /// The application.
    pub app_id: String,
    /// The key under which the application was reached.
    pub pushkey: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Why.
    pub reason: String,
}

/// What whoever pushes has to tell. Times are filled in by the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PushNote {
    /// A gateway took pushes.
    Pushed(Pushed),
    /// An attempt failed.
    Failed(PushFailed),
    /// Something waits.
    Waits(PushesWait),
    /// Nothing waits any more.
    Settled(PushesSettled),
    /// The pusher must end.
    Rejected {
        /// Which.
        pusher: Sequence,
        /// Why.
        reason: String,
    },
}

impl PushNote {
    fn pusher(&self) -> Sequence {
        match self {
            PushNote::Pushed(Pushed { pusher, .. })
            | PushNote::Failed(PushFailed { pusher, .. })
            | PushNote::Waits(PushesWait { pusher, .. })
            | PushNote::Settled(PushesSettled { pusher, .. })
            | PushNote::Rejected { pusher, .. } => *pusher,
        }
    }
}

/// Judges what is told of a pusher. Of one that is gone nothing is kept.
pub(super) fn decide(user: &User, note: PushNote, env: &Env) -> Result<Decision<User>, UserError> {
    user.open()?;
    let number = note.pusher();
    let mut pushers = user.pushers.iter();
    let Some(((app_id, pushkey), pusher)) = pushers.find(|(_, pusher)| pusher.number == number)
    else {
        return Ok(Decision::unchanged(UserReply::Done));
    };
    let at_ms = env.now_ms();
    let waits = pusher.standing.lag.is_some();
    let record = match note {
        PushNote::Pushed(pushed) => UserRecord::Pushed(Pushed { at_ms, ..pushed }),
        PushNote::Failed(failed) => UserRecord::PushFailed(PushFailed {
            at_ms,
            reason: shortened(&failed.reason),
            // What waits already waits from further back.
            lag: failed.lag.filter(|_| !waits),
            ..failed
        }),
        PushNote::Waits(_) if waits => return Ok(Decision::unchanged(UserReply::Done)),
        PushNote::Waits(wait) => UserRecord::PushesWait(wait),
        PushNote::Settled(_) if !waits => return Ok(Decision::unchanged(UserReply::Done)),
        PushNote::Settled(settled) => UserRecord::PushesSettled(PushesSettled { at_ms, ..settled }),
        PushNote::Rejected { reason, .. } => UserRecord::PusherRejected(PusherRejected {
            app_id: app_id.clone(),
            pushkey: pushkey.clone(),
            at_ms,
            reason: shortened(&reason),
        }),
    };
    Ok(Decision::new(vec![record], UserReply::Done))
}

fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

impl Standing {
    fn succeed(&mut self, at_ms: u64) {
        self.success_ms = at_ms;
        self.failing_since_ms = 0;
        self.failures = 0;
        self.next_ms = 0;
        self.reason = None;
    }

    fn push(&mut self, pushed: &Pushed) {
        self.succeed(pushed.at_ms);
        self.unread = Some(pushed.unread);
        self.missed_calls = pushed.missed_calls;
        for (room_id, sequence) in &pushed.rooms {
            let known = self.pushed.get(room_id).map_or(0, |(known, _)| *known);
            let upto = (known.max(*sequence), pushed.at_ms);
            self.pushed.insert(room_id.clone(), upto);
        }
        // What waits may have been pushed long ago: until nothing waits all of it is kept.
        if self.lag.is_none() {
            let kept_ms = pushed.at_ms.saturating_sub(PUSHED_KEPT_MS);
            self.pushed.retain(|_, (_, at_ms)| *at_ms >= kept_ms);
        }
        while self.pushed.len() > PUSHED_MAX {
            let oldest = self.pushed.iter().min_by_key(|(_, (_, at_ms))| *at_ms);
            let Some(oldest) = oldest.map(|(room_id, _)| room_id.clone()) else {
                return;
            };
            self.pushed.remove(&oldest);
        }
    }

    fn fail(&mut self, failed: &PushFailed) {
        if self.failures == 0 {
            self.failing_since_ms = failed.at_ms;
        }
        self.failures += 1;
        self.next_ms = failed.next_ms;
        self.reason = Some(failed.reason.clone());
        if let Some(lag) = &failed.lag {
            self.lag = Some(Arc::new(lag.clone()));
        }
    }

    fn settle(&mut self, settled: &PushesSettled) {
        self.lag = None;
        if settled.mailed.is_empty() {
            self.failing_since_ms = 0;
            self.failures = 0;
            self.next_ms = 0;
            self.reason = None;
            return;
        }
        self.succeed(settled.at_ms);
        for room in &settled.mailed {
            let mailed = Mailed {
                at_ms: settled.at_ms,
                newest_ms: room.newest_ms,
                throttle_ms: room.throttle_ms,
                newest: room.newest,
            };
            self.mailed.insert(room.room_id.clone(), mailed);
        }
        let kept_ms = settled.at_ms.saturating_sub(MAILED_KEPT_MS);
        self.mailed.retain(|_, mailed| mailed.at_ms >= kept_ms);
        while self.mailed.len() > MAILED_MAX {
            let oldest = self.mailed.iter().min_by_key(|(_, mailed)| mailed.at_ms);
            let Some(oldest) = oldest.map(|(room_id, _)| room_id.clone()) else {
                return;
            };
            self.mailed.remove(&oldest);
        }
    }
}

impl User {
    pub(super) fn fold_pushes(&mut self, record: &UserRecord) {
        match record {
            UserRecord::Pushed(pushed) => {
                self.change_standing(pushed.pusher, |standing| standing.push(pushed));
            }
            UserRecord::PushFailed(failed) => {
                self.change_standing(failed.pusher, |standing| standing.fail(failed));
            }
            UserRecord::PushesWait(wait) => self.change_standing(wait.pusher, |standing| {
                standing.lag = Some(Arc::new(wait.lag.clone()));
            }),
            UserRecord::PushesSettled(settled) => {
                self.change_standing(settled.pusher, |standing| standing.settle(settled));
            }
            UserRecord::PusherRejected(rejected) => {
                let key = (rejected.app_id.clone(), rejected.pushkey.clone());
                self.pushers.remove(&key);
                self.ended_pushers.push_back(EndedPusher {
                    app_id: rejected.app_id.clone(),
                    pushkey: rejected.pushkey.clone(),
                    at_ms: rejected.at_ms,
                    reason: rejected.reason.clone(),
                });
                if self.ended_pushers.len() > ENDED_MAX {
                    self.ended_pushers.pop_front();
                }
            }
            _ => {}
        }
    }

    fn change_standing(&mut self, number: Sequence, change: impl FnOnce(&mut Standing)) {
        let mut pushers = self.pushers.iter();
        let found = pushers.find(|(_, pusher)| pusher.number == number);
        let Some(key) = found.map(|(key, _)| key.clone()) else {
            return;
        };
        if let Some(pusher) = self.pushers.get_mut(&key) {
            change(Arc::make_mut(&mut pusher.standing));
        }
    }
}
