//! Pushing: what users are notified of goes to their push gateways and mailboxes.
//!
//! # How nothing is lost, and nothing sent twice
//! The log of the rooms is the queue. A [`follower`] reads it once for all users of this node who have pushers, and puts *references* onto the [`board`]: in
//! memory, bounded, gone with the process. Its own durable position never passes something of which a user's pushers still have to hear, so a restart reads
//! that again. Two things let go of it: it is dealt with, or the pusher is noted to lag behind positions of the log (a record of the user:
//! [`Standing`](crate::user::push_standing::Standing)). That happens at a failure, and for mails, which gather what there is to tell.
//!
//! Every push that a gateway took is a record of the user at once. So a process that ends sends again only what was on its way at that moment, which no one can
//! tell from what never arrived; gateways know by the event ID that they have it.
//!
//! A pusher that lags costs a record for each attempt (rarer and rarer) and nothing for each event. When its time comes the user's unread events after the lag
//! are judged again, and of each room the newest goes out: nobody wants a night's messages one by one in the morning.
//!
//! # Who pushes
//! Where there are several nodes, each pushes to the users of some shards: the node that serves the shard, or, if that is not for pushing, one that is. What is
//! asked of users and rooms goes to where they are; only that somebody without pushers sets one has to be heard of: see [`newcomers`]. While a shard changes hands
//! two nodes may push for a moment. What one has pushed is a record of the user, which the other asks for before each round.
//!
//! # Counts
//! What gateways are told of unread things is folded from the log by the same code as the counts of a sync ([`ledger`]), and is kept only in memory.
//!
//! Must not know HTTP nor mail: both are behind [`Postman`].

mod audience;
mod board;
mod body;
mod catch_up;
mod delivery;
mod follower;
mod http;
mod ledger;
mod mails;
mod newcomers;
mod plan;
mod port;
mod positions;
mod prospect;
mod restore;
mod slot;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use playhouse_schema::port::LogStore;
use ruma::OwnedUserId;
use tokio::{sync::Semaphore, time::Instant};

pub use board::{PushBoard, PushCounts};
pub use follower::start;
pub use port::{
    Digest, DigestMessage, DigestRoom, NoPostman, Postman, Push, PushTaken, PushTrouble,
};
pub use positions::{NAME, forget as forget_positions, leave, open_board};
pub use prospect::{Left, PushFate, PushedEvent, Signs, left_for};

use crate::{
    env::Env,
    followers::models::Models,
    kernel::Directory,
    room::Room,
    server::Lanes,
    user::{User, feed::surroundings::Sources},
};

/// So many users' notifications are judged at once.
const JUDGING_MAX: usize = 16;

/// So many mails are on their way at once.
const MAILING_MAX: usize = 8;

/// A delivery that can end does so in less.
const ENDING: Duration = Duration::from_secs(2);

/// What the operator wants.
#[derive(Clone)]
pub struct PushSettings {
    /// Pushes are sent. Where they are not, what happens is left alone for good.
    pub enabled: bool,
    /// Who brings pushes over.
    pub postman: Arc<dyn Postman>,
    /// Gateways are told what messages say.
    pub include_content: bool,
    /// The count of unread things is that of rooms, not of messages.
    pub group_unread_count_by_room: bool,
    /// Pushes wait for a random time up to this, milliseconds: nobody can tell by the time who wrote.
    pub jitter_ms: u64,
    /// The first wait after a failure, milliseconds; it doubles.
    pub retry_wait_ms: u64,
    /// The longest wait between attempts, milliseconds.
    pub retry_wait_max_ms: u64,
    /// What could not be pushed for so long, milliseconds, is given up.
    pub give_up_ms: u64,
    /// So many requests may be on their way at once to gateways that answered the last one.
    pub requests_max: usize,
    /// How often mails are sent.
    pub mails: MailSettings,
}

/// How often mails are sent.
#[derive(Clone, Copy, Debug)]
pub struct MailSettings {
    /// An event must be unread for so long, milliseconds.
    pub delay_ms: u64,
    /// The first wait between mails that tell of the same room, milliseconds.
    pub throttle_ms: u64,
    /// The wait grows by this factor with each mail …
    pub throttle_factor: u64,
    /// … up to so many milliseconds, …
    pub throttle_max_ms: u64,
    /// … and begins anew when the room was quiet for so long, milliseconds.
    pub throttle_reset_ms: u64,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            delay_ms: 10 * 60 * 1000,
            throttle_ms: 10 * 60 * 1000,
            throttle_factor: 144,
            throttle_max_ms: 24 * 60 * 60 * 1000,
            throttle_reset_ms: 12 * 60 * 60 * 1000,
        }
    }
}

impl PushSettings {
    /// The defaults, with this postman.
    pub fn new(postman: Arc<dyn Postman>) -> Self {
        Self {
            enabled: true,
            postman,
            include_content: true,
            group_unread_count_by_room: true,
            jitter_ms: 0,
            retry_wait_ms: 1_000,
            retry_wait_max_ms: 60 * 60 * 1000,
            give_up_ms: 24 * 60 * 60 * 1000,
            requests_max: 64,
            mails: MailSettings::default(),
        }
    }
}

/// What pushing needs of the house.
pub struct Parts {
    /// Clock, randomness, identity.
    pub env: Env,
    /// The log.
    pub store: Arc<dyn LogStore>,
    /// How far the read models are.
    pub models: Arc<Models>,
    /// The rooms.
    pub rooms: Arc<Directory<Room>>,
    /// The users.
    pub users: Arc<Directory<User>>,
    /// What counts are read from.
    pub sources: Arc<dyn Sources>,
    /// What waits for whom.
    pub board: Arc<PushBoard>,
    /// What the operator wants.
    pub settings: PushSettings,
}

/// Pushing, as all of its parts share it.
pub struct Pushing {
    parts: Parts,
    lanes: Lanes,
    judging: Semaphore,
    mailing: Semaphore,
}

impl Pushing {
    /// Everything together; nothing begins yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            lanes: Lanes::new(parts.settings.requests_max),
            judging: Semaphore::new(JUDGING_MAX),
            mailing: Semaphore::new(MAILING_MAX),
            parts,
        })
    }

    /// What waits for whom.
    pub fn board(&self) -> &Arc<PushBoard> {
        &self.parts.board
    }

    /// Lets a delivery run for a user, unless one does.
    fn nudge(self: &Arc<Self>, user_id: &OwnedUserId) {
        let slot = self.parts.board.slot(user_id);
        if let Some(engaged) = slot.engage() {
            delivery::start(self.clone(), user_id.clone(), engaged);
        }
    }

    /// Ends what is on its way; it goes on from there in the next life.
    pub async fn close(&self, within: Duration) {
        let deadline = Instant::now() + within.min(ENDING);
        let board = &self.parts.board;
        board.close();
        while board.is_delivering() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        board.cut_off();
    }

    /// What is on its way is given up now.
    pub fn cut_off(&self) {
        self.parts.board.cut_off();
    }
}
