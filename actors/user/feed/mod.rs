//! The feed: what an awake user has heard of, and the syncs that wait for more.
//!
//! Volatile: it is read again from the store when the user wakes and somebody syncs ([`surroundings`] tells how nothing is missed). From then on
//! it hears of every record that concerns the user, in the order of each shard, and holds for each room the newest position ([`rooms`]). A sync is
//! answered from a view of one moment ([`crate::user::sync`]); a sync that has nothing to tell waits here and costs nothing.
//!
//! Must not know how records are tailed ([`surroundings::Board`]) nor how rooms are stored ([`surroundings::Sources`]).

pub(crate) mod account;
mod account_of_user;
pub(crate) mod home;
mod hooks;
mod load;
pub(crate) mod memory;
pub(crate) mod presence;
pub(crate) mod rooms;
mod serve;
pub(crate) mod sliding;
pub mod surroundings;
pub(crate) mod unread;
pub(crate) mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use playhouse_schema::{
    address::{Position, Sequence, ShardNumber},
    port::StoreError,
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use self::{
    account::Account,
    home::{Home, OwnEar},
    load::Loaded,
    memory::LazyMemory,
    presence::PresenceBook,
    rooms::{Heard, Rooms},
    surroundings::{DeviceChange, Seat},
    wait::{SyncPort, Waiters},
};
use super::{
    message::{Presence, SlidingQuery, SyncQuery, UserSignal},
    sync::{Built, filter::SyncFilter, token::Vector},
};
use crate::user::UserError;

pub(super) use hooks::{answer, committed, signal, woken};
pub use rooms::Membership;

/// So many signals may come while the rooms are being read; with more the reading begins anew.
const EARLY_SIGNALS_MAX: usize = 50_000;

/// So many syncs may wait for the rooms to be read.
const EARLY_SYNCS_MAX: usize = 64;

/// Waits after failed readings, by attempt; after the last the syncs that wait get the error.
const RETRY_WAITS: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(3),
];

/// So many device list changes are held; older ones are read again when asked for.
const DEVICE_CHANGES_MAX: usize = 4_096;

/// How often one's own presence is looked at.
const PRESENCE_EVERY: Duration = Duration::from_secs(20);

/// What the feed's own tasks found out.
#[derive(Debug)]
pub struct FeedSignal(pub(crate) FeedNews);

#[derive(Debug)]
pub(crate) enum FeedNews {
    /// The rooms were read, in this attempt.
    Loaded(u32, Result<Box<Loaded>, StoreError>),
    /// It is time to try again.
    LoadAgain,
    /// A sync's answer is ready.
    Built(Box<Built>),
    /// A sync with a token from the future has waited.
    Ahead(Box<wait::Waiter>, Result<(), UserError>),
    /// Rooms have said what the lists of a sliding sync go by.
    Glimpsed(Box<wait::Waiter>, Box<sliding::Glimpsed>),
}

/// Something that waits for the rooms to be read.
pub(crate) enum Early {
    Sync(SyncQuery, SyncPort),
    Slide(Box<SlidingQuery>, SyncPort),
    Rooms(SyncPort),
    KeyChanges(String, String, SyncPort),
}

#[derive(Default)]
enum Phase {
    /// Nobody has asked yet.
    #[default]
    Cold,
    /// The rooms are being read.
    Loading {
        attempt: u32,
        signals: Vec<UserSignal>,
        early: Vec<Early>,
    },
    /// It hears everything.
    Live {
        /// Kept so that the board goes on announcing.
        _seat: Arc<Seat>,
    },
}

/// See the module's documentation.
#[derive(Default)]
pub struct Feed {
    home: Option<Arc<Home>>,
    phase: Phase,
    /// Where the board announces.
    ear: Option<Arc<OwnEar>>,
    pub(crate) rooms: Rooms,
    /// Rooms in which somebody types.
    pub(crate) typing: BTreeSet<OwnedRoomId>,
    pub(crate) presence: PresenceBook,
    /// The user's own presence changed before the rooms were read in which to announce it.
    unannounced: Option<Arc<Presence>>,
    /// Names this life in tokens.
    pub(crate) life: u32,
    /// Counts typing and presence.
    pub(crate) serial: u64,
    /// The user's newest durable record.
    pub(crate) durable: Sequence,
    pub(crate) devices: DeviceLists,
    pub(crate) memory: LazyMemory,
    waiters: Waiters,
    filters: BTreeMap<String, Arc<SyncFilter>>,
    building: usize,
    presence_timer: bool,
    is_closing: bool,
}

/// Device list changes of users who share a room.
#[derive(Debug, Default)]
pub(crate) struct DeviceLists {
    /// Per shard: changes up to here, and no further back than `from`, are in `changes`.
    pub(crate) known: Vector,
    /// Per shard: changes after this are in `changes`.
    pub(crate) from: Vector,
    changes: BTreeMap<(ShardNumber, Position), OwnedUserId>,
}

impl DeviceLists {
    fn hear(&mut self, (user_id, shard, position): DeviceChange) {
        let known = self.known.entry(shard).or_default();
        *known = position.max(*known);
        self.changes.insert((shard, position), user_id);
        if self.changes.len() > DEVICE_CHANGES_MAX
            && let Some(((shard, position), _)) = self.changes.pop_first()
        {
            self.from.insert(shard, position);
        }
    }

    /// Everything after `after` was read from the store. Too much to be held is read again the next time.
    fn found(&mut self, after: &Vector, changes: Vec<DeviceChange>) {
        if self.changes.len() + changes.len() > DEVICE_CHANGES_MAX {
            return;
        }
        for (user_id, shard, position) in changes {
            self.changes.insert((shard, position), user_id);
        }
        for (shard, from) in &mut self.from {
            *from = after.get(shard).copied().unwrap_or(0).min(*from);
        }
    }

    /// Users whose lists changed after a vector.
    pub(crate) fn after<'a>(&'a self, vector: &'a Vector) -> impl Iterator<Item = &'a OwnedUserId> {
        self.known.iter().flat_map(move |(shard, known)| {
            let after = vector.get(shard).copied().unwrap_or(0);
            let range =
                (*shard, after.saturating_add(1))..=(*shard, (*known).max(after.saturating_add(1)));
            self.changes.range(range).map(|(_, user_id)| user_id)
        })
    }

    /// Whether changes after a vector may be known to the store only.
    pub(crate) fn has_gap_after(&self, vector: &Vector) -> bool {
        self.from
            .iter()
            .any(|(shard, from)| vector.get(shard).copied().unwrap_or(0) < *from)
    }
}

impl Feed {
    /// The actor is awake. Nothing is read until somebody asks.
    pub(crate) fn wake(&mut self, home: Home, account: &dyn Account, durable: Sequence) {
        let [a, b, c, d] = home.env.random_bytes();
        // 0 is what a token says that knows no life.
        self.life = u32::from_be_bytes([a, b, c, d]).max(1) & 0x0fff_ffff;
        self.durable = durable;
        self.presence.woken(account.presence());
        self.home = Some(Arc::new(home));
    }

    /// Whether the operator wants syncs to tell nothing of a room.
    pub(crate) fn is_silent(&self, room_id: &RoomId) -> bool {
        let home = self.home.as_ref();
        home.is_some_and(|home| home.silent_rooms.contains(room_id))
    }

    /// Whether the actor must stay awake for it.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiters.is_empty()
            || self.building > 0
            || matches!(self.phase, Phase::Loading { .. })
            || self.presence.is_present()
    }

    /// Own records have become durable.
    pub(crate) fn committed(&mut self, account: &Arc<dyn Account>, durable: Sequence) {
        self.durable = durable;
        if let Some(presence) = self.presence.kept(account.presence()) {
            self.announce_presence(presence);
        }
        self.serve(account);
    }

    /// Takes in a signal.
    pub(crate) fn hear(&mut self, account: &Arc<dyn Account>, signal: UserSignal) {
        match signal {
            UserSignal::Feed(signal) => self.hear_own(account, signal.0),
            UserSignal::Closing => self.close(account),
            UserSignal::PresenceDue => self.presence_due(account),
            UserSignal::SyncDue(number) => {
                if let Some(mut waiter) = self.waiters.take(number) {
                    waiter.is_last = true;
                    self.start(account, waiter);
                }
            }
            signal => self.hear_announced(account, signal),
        }
    }

    fn hear_announced(&mut self, account: &Arc<dyn Account>, signal: UserSignal) {
        if let Some(ear) = &self.ear {
            ear.heard();
        }
        match &mut self.phase {
            Phase::Cold => {}
            Phase::Loading { signals, .. } => {
                // Beyond the bound the reading is void: `loaded` sees it and begins anew.
                if signals.len() <= EARLY_SIGNALS_MAX {
                    signals.push(signal);
                }
            }
            Phase::Live { .. } if self.ear.as_ref().is_some_and(|ear| ear.is_deaf()) => {
                // Something was missed: what is known is void, tokens are not.
                self.phase = Phase::Cold;
                self.warm_up();
            }
            Phase::Live { .. } => {
                if self.take_in(signal) {
                    self.serve(account);
                }
            }
        }
    }

    /// Takes in news; whether syncs may have something to tell now.
    fn take_in(&mut self, signal: UserSignal) -> bool {
        let Some(home) = self.home.clone() else {
            return false;
        };
        match signal {
            UserSignal::Room(news) => {
                let heard = self.rooms.hear(&home.user_id, &news);
                if heard == Heard::Membership {
                    self.typing.remove(&news.room_id);
                }
                heard != Heard::Nothing
            }
            UserSignal::Typing { room_id, users } => {
                self.serial += 1;
                let somebody = !users.is_empty();
                let known = self.rooms.type_in(&room_id, users, self.serial);
                if known && somebody {
                    self.typing.insert(room_id);
                } else {
                    self.typing.remove(&room_id);
                }
                known
            }
            UserSignal::Presence { user_id, presence } => {
                self.serial += 1;
                self.presence.heard(user_id, presence, self.serial);
                true
            }
            UserSignal::DeviceListChanged {
                user_id,
                shard,
                position,
            } => {
                self.devices.hear((user_id, shard.number, position));
                true
            }
            _ => false,
        }
    }

    fn hear_own(&mut self, account: &Arc<dyn Account>, news: FeedNews) {
        match news {
            FeedNews::Loaded(attempt, Ok(loaded)) => self.loaded(account, attempt, *loaded),
            FeedNews::Loaded(attempt, Err(error)) => self.load_failed(attempt, &error),
            FeedNews::LoadAgain => {
                if let Phase::Loading { attempt, .. } = &self.phase {
                    self.load(*attempt);
                }
            }
            FeedNews::Built(built) => self.finish(account, *built),
            FeedNews::Ahead(waiter, admitted) => self.ahead(account, *waiter, admitted),
            FeedNews::Glimpsed(waiter, glimpsed) => self.glimpsed(account, *waiter, *glimpsed),
        }
    }

    /// Begins to read the rooms if nobody has yet.
    fn warm_up(&mut self) {
        if matches!(self.phase, Phase::Cold) {
            self.phase = Phase::Loading {
                attempt: 0,
                signals: Vec::new(),
                early: Vec::new(),
            };
            self.load(0);
        }
    }

    fn load(&mut self, attempt: u32) {
        let Some(home) = self.home.clone() else {
            return;
        };
        if let Phase::Loading { signals, .. } = &mut self.phase {
            signals.clear();
        }
        let ear = Arc::new(OwnEar::new(home.owner.clone()));
        self.ear = Some(ear.clone());
        let (seat, entered) = home.board.clone().enter(&home.user_id, ear);
        ractor::concurrency::spawn(async move {
            let loaded = load::load(home.clone(), Arc::new(seat), entered).await;
            let loaded = FeedNews::Loaded(attempt, loaded.map(Box::new));
            home.tell(UserSignal::Feed(Box::new(FeedSignal(loaded))));
        });
    }

    fn load_failed(&mut self, attempt: u32, error: &StoreError) {
        tracing::warn!(%error, attempt, "cannot read the rooms of a user");
        let Phase::Loading { attempt, early, .. } = &mut self.phase else {
            return;
        };
        let Some(wait) = RETRY_WAITS.get(*attempt as usize) else {
            for early in early.drain(..) {
                early.refuse(UserError::from(error));
            }
            self.phase = Phase::Cold;
            return;
        };
        *attempt += 1;
        if let Some(home) = self.home.clone() {
            let wait = *wait;
            ractor::concurrency::spawn(async move {
                tokio::time::sleep(wait).await;
                home.tell(UserSignal::Feed(Box::new(FeedSignal(FeedNews::LoadAgain))));
            });
        }
    }

    fn loaded(&mut self, account: &Arc<dyn Account>, of: u32, loaded: Loaded) {
        let Phase::Loading {
            attempt,
            signals,
            early,
        } = &mut self.phase
        else {
            return;
        };
        if *attempt != of {
            return;
        }
        if signals.len() > EARLY_SIGNALS_MAX {
            let error = StoreError::Database("too much happened while reading".into());
            self.load_failed(of, &error);
            return;
        }
        let (signals, early) = (std::mem::take(signals), std::mem::take(early));
        self.phase = Phase::Live { _seat: loaded.seat };
        self.rooms = Rooms::default();
        self.typing.clear();
        self.devices = DeviceLists::default();
        for found in &loaded.rooms {
            self.rooms.found(found);
        }
        self.devices.known.clone_from(&loaded.devices);
        self.devices.from = loaded.devices;
        for (room_id, users) in loaded.current.typing {
            self.take_in(UserSignal::Typing { room_id, users });
        }
        for (user_id, presence) in loaded.current.presence {
            self.take_in(UserSignal::Presence { user_id, presence });
        }
        for signal in signals {
            self.take_in(signal);
        }
        if let Some(presence) = self.unannounced.take() {
            self.announce_presence(presence);
        }
        for early in early {
            self.answer_early(account, early);
        }
        self.serve(account);
    }

    /// Serves what needs the rooms, now or when they are read.
    pub(crate) fn ask(&mut self, account: &Arc<dyn Account>, early: Early) {
        self.warm_up();
        match &mut self.phase {
            Phase::Loading { early: waiting, .. } if waiting.len() < EARLY_SYNCS_MAX => {
                waiting.push(early);
            }
            Phase::Live { .. } => self.answer_early(account, early),
            _ => early.refuse(crate::kernel::Unavailable::Overloaded.into()),
        }
    }

    /// One's own presence.
    pub(crate) fn own_presence(&self) -> Option<Presence> {
        let home = self.home.as_ref()?;
        Some(self.presence.own(home.env.now_ms()))
    }

    fn announce_presence(&mut self, presence: Arc<Presence>) {
        let Some(home) = self.home.clone() else {
            return;
        };
        self.serial += 1;
        self.presence
            .heard(home.user_id.clone(), presence.clone(), self.serial);
        if !matches!(self.phase, Phase::Live { .. }) {
            // Set by hand by somebody who does not sync: whom it concerns must be found out first.
            self.unannounced = Some(presence);
            self.warm_up();
            return;
        }
        let rooms: Vec<_> = self.rooms.joined().cloned().collect();
        home.board
            .announce_presence(&home.user_id, presence, &rooms);
    }

    fn presence_due(&mut self, account: &Arc<dyn Account>) {
        self.presence_timer = false;
        let Some(home) = self.home.clone() else {
            return;
        };
        let now_ms = home.env.now_ms();
        if let Some(presence) = self.presence.due(now_ms, self.waiters.devices()) {
            self.announce_presence(presence);
            self.serve(account);
        }
        self.watch_presence();
    }

    /// Makes sure that the user's going is noticed.
    fn watch_presence(&mut self) {
        if self.presence_timer || !self.presence.is_present() || self.is_closing {
            return;
        }
        if let Some(home) = self.home.clone() {
            self.presence_timer = true;
            ractor::concurrency::spawn(async move {
                tokio::time::sleep(PRESENCE_EVERY).await;
                home.tell(UserSignal::PresenceDue);
            });
        }
    }
}
