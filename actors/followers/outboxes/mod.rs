//! What other servers must be sent: reads the log once for all of them and tells the board of each destination where something for it lies.
//!
//! Owns the position up to which nothing is lost with the process. It moves only past what is in a destination's transaction, or behind which a destination
//! is noted to lag ([`crate::server`] tells the whole story). Must not know how anything is sent.

mod again;
mod audience;
mod newcomers;
mod positions;
mod reading;
mod volatile;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use playhouse_schema::{
    address::{Entity, Family, Position, Shard, ShardNumber},
    models::{
        Model as _,
        destinations::{self, Destinations},
        parked::Parked,
    },
    port::{Head, LogStore, Statement, StoreError, StoredRecord},
    record::server::{Lag, Owed},
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, ServerName};
use tokio::{sync::mpsc, time::Instant};

pub use volatile::Ears;

use self::{audience::Audience, volatile::Volatile};
use super::{
    lookout::Lookout,
    task::{Running, Source, Stop, Stopped, numbered, park},
};
use crate::{
    env::Env,
    kernel::Directory,
    room::{Room, context::Folded},
    server::{
        OutboxBoard, Server, ServerSignal,
        board::{Receivers, combined},
    },
    writers::{Tail, TailReader},
};

/// Its name among the cursors.
pub const NAME: &str = "outboxes";

/// How often the position is stored.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// Where a shard of destinations has left it is stored within this time, or stays as it was: the shard is served nowhere before.
const LEFT_WITHIN: Duration = Duration::from_secs(1);

/// How often it is looked whom it is time to try again.
const TICK: Duration = Duration::from_millis(200);

/// Those of a shard are read when the model tells of them as they are, or tried again later: it is waited so long, and nobody is told of anything meanwhile, …
const FOLDED_WITHIN: Duration = Duration::from_millis(200);

/// … and then tried again after so many milliseconds, …
const AGAIN_MS: u64 = 200;

/// … or after so many, when one of several databases did not answer: that takes time, which the shards of the others lose.
const AWAY_MS: u64 = 5_000;

/// So many destinations are read at once at the start.
const PAGE: usize = 1_000;

/// What it needs of the house.
pub struct Parts {
    /// The rooms.
    pub rooms: Arc<Directory<Room>>,
    /// The destinations.
    pub servers: Arc<Directory<Server>>,
    /// What waits for whom.
    pub board: Arc<OutboxBoard>,
    /// How far the read models are.
    pub models: Arc<dyn Folded>,
    /// The clock, and who we are.
    pub env: Env,
}

/// The ears, to be given to rooms and users before the follower is started, and what they heard.
pub struct Heard(mpsc::Receiver<Volatile>);

/// Where rooms and users tell what is in no log.
pub fn ears(own: OwnedServerName) -> (Ears, Heard) {
    let (ears, heard) = volatile::ears(own);
    (ears, Heard(heard))
}

/// An empty board at the positions from which the follower will go on; the first time these are the ends of the log: nothing before is for anybody. Where there
/// are other nodes nobody is on it yet.
pub async fn open_board(
    store: &dyn LogStore,
    is_alone: bool,
) -> Result<Arc<OutboxBoard>, StoreError> {
    let rooms = positions::of_all(store, Family::Rooms).await?;
    let users = positions::of_all(store, Family::Users).await?;
    let open = if is_alone {
        OutboxBoard::new
    } else {
        OutboxBoard::in_parts
    };
    Ok(open(store.layout(), &rooms, &users))
}

/// The destinations of a shard leave this node; what reads for them elsewhere goes on where they are.
pub async fn leave(store: &dyn LogStore, board: &OutboxBoard, number: ShardNumber) {
    let Some(settled) = board.leave(number) else {
        return;
    };
    let stored = positions::advance_within(store, (part(number), &settled), LEFT_WITHIN);
    if let Err(error) = stored.await {
        // It was stored a moment ago, too: whoever goes on there goes on from that.
        tracing::warn!(follower = NAME, number, %error, "cannot store position");
    }
}

/// The name of one shard's destinations among the cursors.
fn part(number: ShardNumber) -> &'static str {
    numbered(NAME, number)
}

/// Starts it.
pub fn start((store, tail): Source, parts: Parts, heard: Heard) -> Running {
    let from = parts.board.positions();
    let follower = Follower {
        rooms: tail.follow(Family::Rooms, &from.rooms),
        users: tail.follow(Family::Users, &from.users),
        lookout: Lookout::new(tail.clone(), NAME),
        tail,
        audience: Audience::new(parts.env.server_name().to_owned()),
        typing: BTreeMap::new(),
        store,
        parts,
        heard: heard.0,
        saved: (Instant::now(), BTreeMap::new()),
        again: None,
        told: BTreeMap::new(),
    };
    Running::start(|stop| Box::pin(follower.run(stop)))
}

struct Follower {
    store: Arc<dyn LogStore>,
    tail: Arc<Tail>,
    parts: Parts,
    rooms: TailReader,
    users: TailReader,
    heard: mpsc::Receiver<Volatile>,
    audience: Audience,
    /// Local users that were told to type.
    typing: BTreeMap<OwnedRoomId, Vec<OwnedUserId>>,
    /// When the positions were stored, and what the database has by all that is known here.
    saved: (Instant, BTreeMap<&'static str, Lag>),
    /// What is known of what is parked.
    lookout: Lookout,
    /// While something parked is read: what it means for whom. Nothing of it goes onto the board.
    again: Option<BTreeMap<OwnedServerName, Owed>>,
    /// What is parked still although some destinations have been told: by its place, which ones.
    told: BTreeMap<(Shard, Position), BTreeSet<OwnedServerName>>,
}

/// What woke it.
enum Turn {
    Rooms(Vec<StoredRecord>),
    Users(Vec<StoredRecord>),
    Volatile(Volatile),
    Tick,
    /// Destinations have come here.
    Begin(Vec<ShardNumber>),
}

impl Follower {
    async fn run(mut self, mut stop: Stop) {
        if !self.parts.board.is_in_parts() && self.restore(&mut stop, None).await.is_err() {
            return;
        }
        let board = self.parts.board.clone();
        let mut signal = stop.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let turn = tokio::select! {
                biased;
                () = signal.told() => break,
                _ = ticks.tick() => Turn::Tick,
                numbers = board.wanted() => Turn::Begin(numbers),
                records = self.rooms.next() => Turn::Rooms(records),
                records = self.users.next() => Turn::Users(records),
                Some(volatile) = self.heard.recv() => Turn::Volatile(volatile),
            };
            if self.take(turn, &mut stop).await.is_err() {
                return;
            }
        }
        self.save(Vec::new()).await;
    }

    async fn take(&mut self, turn: Turn, stop: &mut Stop) -> Result<(), Stopped> {
        match turn {
            Turn::Tick => {
                self.tick().await;
                if Instant::now() >= self.lookout.due() {
                    self.retry(stop).await?;
                }
            }
            Turn::Begin(numbers) => self.begin(&numbers, stop).await?,
            Turn::Volatile(_) if self.parts.board.is_void() => {}
            // Nobody is here for whom it could be.
            Turn::Rooms(records) | Turn::Users(records) if self.parts.board.is_void() => {
                for record in &records {
                    self.parts.board.distributed(record.shard, record.position);
                }
            }
            Turn::Volatile(volatile) => self.pass_on(volatile).await,
            Turn::Rooms(records) => {
                for record in &records {
                    let read = self.read_room(record, stop).await?;
                    self.distributed(record, read).await;
                }
            }
            Turn::Users(records) => {
                for record in &records {
                    let read = self.read_user(record, stop).await?;
                    self.distributed(record, read).await;
                }
            }
        }
        Ok(())
    }

    async fn distributed(&mut self, record: &StoredRecord, read: Result<(), StoreError>) {
        if let Err(error) = read {
            self.save(vec![park(NAME, record, &error)]).await;
            self.lookout.note();
        }
        self.parts.board.distributed(record.shard, record.position);
    }

    /// Destinations of shards have come to this node: what they have not been sent yet is read.
    async fn begin(&mut self, numbers: &[ShardNumber], stop: &mut Stop) -> Result<(), Stopped> {
        let numbers = &self.ready(numbers, stop).await?[..];
        if numbers.is_empty() {
            return Ok(());
        }
        let mut taken = Vec::new();
        for number in numbers {
            let stored = self.position_of(*number, stop).await?;
            self.saved.1.insert(part(*number), stored.own);
            taken.push((*number, stored.at));
        }
        let from = self.parts.board.begin(taken);
        self.rooms = self.tail.follow(Family::Rooms, &from.rooms);
        self.users = self.tail.follow(Family::Users, &from.users);
        // It is known as of what was read last; what is read now may lie before it.
        self.audience = Audience::new(self.parts.env.server_name().to_owned());
        // Whoever had them may have parked something.
        self.lookout.note();
        self.restore(stop, Some(numbers)).await
    }

    /// Those of these shards of whose destinations the model tells what was recorded before now. The others are tried again later.
    async fn ready(
        &self,
        numbers: &[ShardNumber],
        stop: &mut Stop,
    ) -> Result<Vec<ShardNumber>, Stopped> {
        let known = self.store.known_heads(Family::Servers).await;
        let known = known.inspect_err(|error| tracing::warn!(%error, "cannot read heads"));
        let away_ms = if known.is_ok() { AWAY_MS } else { AGAIN_MS };
        let mut heads = known.map(|known| known.heads).unwrap_or_default();
        heads.retain(|head| numbers.contains(&head.shard.number));
        let deadline = Instant::now() + FOLDED_WITHIN;
        let mut ready = Vec::new();
        for head in &heads {
            if self.is_folded(head, Some(deadline), stop).await? {
                ready.push(head.shard.number);
            }
        }
        let now_ms = self.parts.env.now_ms();
        let (mut late, mut away) = (Vec::new(), Vec::new());
        for number in numbers.iter().filter(|number| !ready.contains(number)) {
            let is_known = heads.iter().any(|head| head.shard.number == *number);
            let to = if is_known { &mut late } else { &mut away };
            to.push(*number);
        }
        self.parts.board.put_off(&late, now_ms + AGAIN_MS);
        self.parts.board.put_off(&away, now_ms + away_ms);
        Ok(ready)
    }

    /// Waits, until a time if there is one, for the model to contain a shard up to a position. Whether it does.
    async fn is_folded(
        &self,
        head: &Head,
        until: Option<Instant>,
        stop: &mut Stop,
    ) -> Result<bool, Stopped> {
        let models = &self.parts.models;
        while models.folded(Destinations::NAME, head.shard) < head.position {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(false);
            }
            models.urge(Destinations::NAME, Family::Servers);
            if !stop.pause(Duration::from_millis(20)).await {
                return Err(Stopped);
            }
        }
        Ok(true)
    }

    async fn position_of(
        &self,
        number: ShardNumber,
        stop: &mut Stop,
    ) -> Result<positions::Stored, Stopped> {
        loop {
            match positions::of_part(&*self.store, part(number)).await {
                Ok(position) => return Ok(position),
                Err(error) => tracing::warn!(follower = NAME, %error, "cannot read positions"),
            }
            if !stop.pause(Duration::from_millis(200)).await {
                return Err(Stopped);
            }
        }
    }

    /// Destinations with unfinished business come back on the board: all of them, or those of some shards.
    async fn restore(
        &mut self,
        stop: &mut Stop,
        only: Option<&[ShardNumber]>,
    ) -> Result<(), Stopped> {
        loop {
            match self.read_destinations(stop, only).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "cannot read destinations"),
            }
            if !stop.pause(Duration::from_millis(200)).await {
                return Err(Stopped);
            }
        }
    }

    async fn read_destinations(
        &self,
        stop: &mut Stop,
        only: Option<&[ShardNumber]>,
    ) -> Result<(), StoreError> {
        let is_meant = |number: ShardNumber| only.is_none_or(|only| only.contains(&number));
        if only.is_none() {
            for head in self.store.heads(Family::Servers).await? {
                if self.is_folded(&head, None, stop).await.is_err() {
                    return Ok(());
                }
            }
        }
        let models = self.store.models();
        let board = &self.parts.board;
        let mut after = String::new();
        loop {
            let page = destinations::unfinished(&*models, &after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after.clone_from(&last.server_name);
            for found in page {
                if let Ok(name) = <&ServerName>::try_from(found.server_name.as_str())
                    && is_meant(board.part_of(name))
                {
                    board.restore(name, found.lags, found.next_ms);
                }
            }
        }
    }

    async fn tick(&mut self) {
        let now_ms = self.parts.env.now_ms();
        self.parts.board.want_again(now_ms);
        for name in self.parts.board.due(now_ms) {
            self.nudge(&name);
        }
        if self.saved.0.elapsed() >= SAVE_EVERY {
            self.save(Vec::new()).await;
            self.report();
        }
    }

    fn nudge(&self, name: &ServerName) {
        let entity = Entity::server(name.as_str());
        self.parts.servers.signal(&entity, ServerSignal::Nudge);
    }

    fn nudge_all(&self, receivers: Receivers) {
        for name in receivers {
            self.nudge(&name);
        }
    }

    async fn save(&mut self, parked: Vec<Parked>) {
        let parked: Vec<_> = parked.iter().map(Parked::park).collect();
        self.saved.0 = Instant::now();
        let saved = if self.parts.board.is_in_parts() {
            self.save_parts(parked).await
        } else {
            self.save_all(parked).await
        };
        if let Err(error) = saved {
            tracing::warn!(follower = NAME, %error, "cannot store position");
        }
    }

    async fn save_all(&mut self, parked: Vec<Statement>) -> Result<(), StoreError> {
        let settled = self.parts.board.settled();
        let has_moved = self.saved.1.get(NAME) != Some(&settled);
        if parked.is_empty() && !has_moved {
            return Ok(());
        }
        let cursors = positions::cursors(NAME, &settled).filter(|_| has_moved);
        let models = self.store.models();
        models.apply(parked, cursors.collect()).await?;
        self.saved.1.insert(NAME, settled);
        Ok(())
    }

    /// Stores the positions of the shards that are here, each from where it was: for a moment another node may take one for its own, too.
    async fn save_parts(&mut self, parked: Vec<Statement>) -> Result<(), StoreError> {
        let settled = self.parts.board.settled_parts().into_iter();
        let settled: Vec<_> = settled.map(|(number, lag)| (part(number), lag)).collect();
        let nowhere = Lag::default();
        let steps = settled.iter().flat_map(|(name, lag)| {
            let from = self.saved.1.get(name).unwrap_or(&nowhere);
            positions::steps(name, from, lag)
        });
        let steps: Vec<_> = steps.collect();
        if parked.is_empty() && steps.is_empty() {
            return Ok(());
        }
        let models = self.store.models();
        match models.apply(parked.clone(), steps).await {
            Ok(()) => {
                for (name, lag) in settled {
                    let known = self.saved.1.entry(name).or_default();
                    *known = combined(known, &lag, Position::max);
                }
                Ok(())
            }
            Err(StoreError::Overtaken(_)) => {
                self.lookout.note();
                for (name, _) in settled {
                    let stored = positions::stored(&*self.store, name).await?;
                    self.saved.1.insert(name, stored);
                }
                models.apply(parked, Vec::new()).await
            }
            Err(error) => Err(error),
        }
    }

    fn report(&self) {
        let counts = self.parts.board.counts();
        metrics::gauge!("playhouse_outbox_destinations").set(counts.destinations as f64);
        metrics::gauge!("playhouse_outbox_destinations_behind").set(counts.behind as f64);
        metrics::gauge!("playhouse_outbox_destinations_backing_off").set(counts.backing_off as f64);
        metrics::gauge!("playhouse_outbox_waiting").set(counts.waiting as f64);
        let reach = self.parts.board.reach(self.parts.env.now_ms());
        metrics::gauge!("playhouse_outbox_destinations_reached").set(reach.reached as f64);
        metrics::gauge!("playhouse_outbox_destinations_failing").set(reach.failing as f64);
    }
}
