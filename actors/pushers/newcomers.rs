//! Who sets a pusher while the user is on another node: there the user's actor tells the board, here the log of the users does, a little later.
//!
//! What counts is changed there, too.
//!
//! What happened in between is looked for by the positions that the rooms had reached when the pusher was set.

use std::{collections::VecDeque, sync::Arc};

use playhouse_schema::{
    address::{Family, Shard},
    models::{Model as _, pushers::Pushers},
    port::StoredRecord,
    record::{
        room::may_hold,
        user::{ACCOUNT_DATA_SET, PUSHER_SET},
    },
};
use ruma::{OwnedUserId, UserId};

use super::{
    Pushing,
    board::{Positions, PushBoard},
    delivery::CLOCKS_APART_MS,
    follower::AGAIN,
    positions::NAME,
};
use crate::{
    followers::task::{Stop, Stopped},
    room::context::Folded as _,
    user::PusherEar as _,
    writers::{Tail, TailReader},
};

/// How far the rooms are is noted so often …
const NOTED_EVERY_MS: u64 = 10_000;

/// … and so many times.
const NOTED_MAX: usize = 60;

/// See the module's documentation.
pub(super) struct Newcomers {
    users: TailReader,
    history: History,
}

/// How far the rooms were, and when, the oldest first.
pub(super) struct History(VecDeque<(u64, Positions)>);

impl Newcomers {
    /// Reads from the end of the log: who has pushers by now is told by the read model. Insists.
    pub(super) async fn open(
        pushing: &Pushing,
        tail: &Arc<Tail>,
        stop: &mut Stop,
    ) -> Result<Self, Stopped> {
        loop {
            match pushing.parts.store.known_heads(Family::Users).await {
                Ok(known) => {
                    let heads = known.heads.iter();
                    let heads = heads.map(|head| (head.shard.number, head.position));
                    // Of a shard that does not tell how far it is, what the read model contains is no news.
                    let silent = known.silent.iter().map(|number| {
                        let (family, number) = (Family::Users, *number);
                        let shard = Shard { family, number };
                        (number, pushing.parts.models.folded(Pushers::NAME, shard))
                    });
                    let from: Vec<_> = heads.chain(silent).collect();
                    return Ok(Self {
                        users: tail.follow(Family::Users, &from),
                        history: History::new(pushing.board().positions()),
                    });
                }
                Err(error) => tracing::warn!(follower = NAME, %error, "cannot read heads"),
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
    }

    /// The next records of users. May be given up and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Vec<StoredRecord> {
        self.users.next().await
    }

    /// Notes how far the rooms are.
    pub(super) fn note(&mut self, now_ms: u64, board: &PushBoard) {
        self.history.note(now_ms, || board.positions());
    }

    /// Tells the board of those who have set a pusher, or rules; for whom a delivery should begin.
    pub(super) fn tell(&self, board: &PushBoard, records: &[StoredRecord]) -> Vec<OwnedUserId> {
        let mut due = Vec::new();
        for record in records {
            let is_of_interest = record.kind == PUSHER_SET || may_set_rules(record);
            if !is_of_interest || record.entity.prefix() != "user" {
                continue;
            }
            let Ok(user_id) = UserId::parse(record.entity.name()) else {
                continue;
            };
            if record.kind != PUSHER_SET {
                board.rules_changed(&user_id);
            } else if board.heard(&user_id, || self.history.before(record.at_ms)) {
                due.push(user_id);
            }
        }
        due
    }
}

fn may_set_rules(record: &StoredRecord) -> bool {
    let may_hold = |text| may_hold(&record.payload, text);
    record.kind == ACCOUNT_DATA_SET && (may_hold("m.push_rules") || may_hold("m.ignored_user_list"))
}

impl History {
    /// At first these were the positions, and long before.
    pub(super) fn new(first: Positions) -> Self {
        Self(VecDeque::from([(0, first)]))
    }

    /// Notes how far the rooms are, unless that was done just now.
    pub(super) fn note(&mut self, now_ms: u64, at: impl FnOnce() -> Positions) {
        let last = self.0.back();
        if last.is_some_and(|(noted_ms, _)| now_ms < noted_ms + NOTED_EVERY_MS) {
            return;
        }
        self.0.push_back((now_ms, at()));
        if self.0.len() > NOTED_MAX {
            self.0.pop_front();
        }
    }

    /// Positions that the rooms had reached before a time, by whichever node's clock; the oldest where that is too long ago.
    pub(super) fn before(&self, at_ms: u64) -> Positions {
        let until_ms = at_ms.saturating_sub(CLOCKS_APART_MS);
        let mut newest_first = self.0.iter().rev();
        let found = newest_first.find(|(noted_ms, _)| *noted_ms <= until_ms);
        let found = found.or(self.0.front());
        found.map(|(_, at)| at.clone()).unwrap_or_default()
    }
}
