//! What other servers must be sent: reads the log once for all of them and tells the board of each destination where something for it lies.
//!
//! Owns the position up to which nothing is lost with the process. It moves only past what is in a destination's transaction, or behind which a destination
//! is noted to lag ([`crate::server`] tells the whole story). Must not know how anything is sent.

mod audience;
mod newcomers;
mod reading;
mod volatile;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Entity, Family, Position, Shard, ShardNumber},
    models::{
        Model as _,
        destinations::{self, Destinations},
        parked::Parked,
    },
    port::{CursorAdvance, LogStore, StoreError, StoredRecord},
    record::server::Lag,
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, ServerName};
use tokio::{sync::mpsc, time::Instant};

pub use volatile::Ears;

use self::{audience::Audience, volatile::Volatile};
use super::task::{Running, Source, Stop, Stopped, park};
use crate::{
    env::Env,
    kernel::Directory,
    room::{Room, context::Folded},
    server::{
        OutboxBoard, Server, ServerSignal,
        board::{Positions, Receivers},
    },
    writers::TailReader,
};

/// Its name among the cursors.
const NAME: &str = "outboxes";

/// How often the position is stored.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked whom it is time to try again.
const TICK: Duration = Duration::from_millis(200);

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

/// An empty board at the positions from which the follower will go on; the first time these are the ends of the log: nothing before is for anybody.
pub async fn open_board(store: &dyn LogStore) -> Result<Arc<OutboxBoard>, StoreError> {
    let rooms = positions(store, Family::Rooms).await?;
    let users = positions(store, Family::Users).await?;
    Ok(OutboxBoard::new(store.layout(), &rooms, &users))
}

async fn positions(store: &dyn LogStore, family: Family) -> Result<Positions, StoreError> {
    let models = store.models();
    let stored = models.cursors(NAME, family).await?;
    if !stored.is_empty() {
        return Ok(stored.into_iter().collect());
    }
    let heads = store.heads(family).await?;
    let mut first: Positions = (0..store.layout().shards)
        .map(|number| (number, 0))
        .collect();
    first.extend(heads.iter().map(|head| (head.shard.number, head.position)));
    let cursors = first
        .iter()
        .map(|(number, position)| cursor(family, *number, *position));
    models.apply(Vec::new(), cursors.collect()).await?;
    Ok(first)
}

fn cursor(family: Family, number: ShardNumber, position: Position) -> CursorAdvance {
    CursorAdvance {
        name: NAME,
        shard: Shard { family, number },
        from: None,
        position,
    }
}

/// Starts it.
pub fn start((store, tail): Source, parts: Parts, heard: Heard) -> Running {
    let from = parts.board.positions();
    let follower = Follower {
        rooms: tail.follow(Family::Rooms, &from.rooms),
        users: tail.follow(Family::Users, &from.users),
        audience: Audience::new(parts.env.server_name().to_owned()),
        typing: BTreeMap::new(),
        store,
        parts,
        heard: heard.0,
        saved: (Instant::now(), Lag::default()),
    };
    Running::start(|stop| Box::pin(follower.run(stop)))
}

struct Follower {
    store: Arc<dyn LogStore>,
    parts: Parts,
    rooms: TailReader,
    users: TailReader,
    heard: mpsc::Receiver<Volatile>,
    audience: Audience,
    /// Local users that were told to type.
    typing: BTreeMap<OwnedRoomId, Vec<OwnedUserId>>,
    /// When the position was stored, and which.
    saved: (Instant, Lag),
}

/// What woke it.
enum Turn {
    Rooms(Vec<StoredRecord>),
    Users(Vec<StoredRecord>),
    Volatile(Volatile),
    Tick,
}

impl Follower {
    async fn run(mut self, mut stop: Stop) {
        if self.restore(&mut stop).await.is_err() {
            return;
        }
        let mut signal = stop.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let turn = tokio::select! {
                biased;
                () = signal.told() => break,
                _ = ticks.tick() => Turn::Tick,
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
            Turn::Tick => self.tick().await,
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
        }
        self.parts.board.distributed(record.shard, record.position);
    }

    /// Destinations with unfinished business come back on the board.
    async fn restore(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        loop {
            match self.read_destinations(stop).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "cannot read destinations"),
            }
            if !stop.pause(Duration::from_millis(200)).await {
                return Err(Stopped);
            }
        }
    }

    async fn read_destinations(&self, stop: &mut Stop) -> Result<(), StoreError> {
        for head in self.store.heads(Family::Servers).await? {
            while self.parts.models.folded(Destinations::NAME, head.shard) < head.position {
                if !stop.pause(Duration::from_millis(20)).await {
                    return Ok(());
                }
            }
        }
        let models = self.store.models();
        let mut after = String::new();
        loop {
            let page = destinations::unfinished(&*models, &after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after.clone_from(&last.server_name);
            for found in page {
                if let Ok(name) = <&ServerName>::try_from(found.server_name.as_str()) {
                    self.parts.board.restore(name, found.lags, found.next_ms);
                }
            }
        }
    }

    async fn tick(&mut self) {
        let now_ms = self.parts.env.now_ms();
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
        let settled = self.parts.board.settled();
        self.saved.0 = Instant::now();
        if parked.is_empty() && settled == self.saved.1 {
            return;
        }
        let rooms = settled.rooms.iter();
        let rooms = rooms.map(|(number, position)| cursor(Family::Rooms, *number, *position));
        let users = settled.users.iter();
        let users = users.map(|(number, position)| cursor(Family::Users, *number, *position));
        let parked = parked.iter().map(Parked::park).collect();
        let saved = self
            .store
            .models()
            .apply(parked, rooms.chain(users).collect())
            .await;
        match saved {
            Ok(()) => self.saved.1 = settled,
            Err(error) => {
                tracing::warn!(follower = NAME, %error, "cannot store position");
            }
        }
    }

    fn report(&self) {
        let counts = self.parts.board.counts();
        metrics::gauge!("playhouse_outbox_destinations").set(counts.destinations as f64);
        metrics::gauge!("playhouse_outbox_destinations_behind").set(counts.behind as f64);
        metrics::gauge!("playhouse_outbox_destinations_backing_off").set(counts.backing_off as f64);
        metrics::gauge!("playhouse_outbox_waiting").set(counts.waiting as f64);
    }
}
