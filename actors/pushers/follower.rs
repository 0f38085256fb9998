//! What each record means for users' pushers: reads the log of the rooms once for all of them and tells the board of each user what concerns the user.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use playhouse_schema::{
    address::{Family, Position, Sequence, ShardNumber},
    models::{Model as _, parked::Parked, pushers::Pushers},
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{RoomRecord, kind, may_hold},
    },
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use tokio::time::Instant;

use super::{
    Pushing,
    audience::Audience,
    board::Positions,
    newcomers::Newcomers,
    positions::{self, NAME, part},
    restore,
};
use crate::{
    followers::{
        feeds::read_news,
        task::{Running, Stop, Stopped, park},
    },
    server::board::Place,
    user::message::{NewsKind, RoomNews},
    writers::{Tail, TailReader},
};

/// How often the position is stored.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked for whom it is time to try again.
const TICK: Duration = Duration::from_millis(200);

/// What could not be read is read again so much later.
pub(super) const AGAIN: Duration = Duration::from_millis(200);

/// Whether a database is there again that was away is looked for so much later, milliseconds.
const AWAY_MS: u64 = 5_000;

/// Starts it.
pub fn start(tail: Arc<Tail>, pushing: Arc<Pushing>) -> Running {
    let from = pushing.board().positions();
    let follower = Follower {
        rooms: follow(&tail, &from),
        newcomers: None,
        tail,
        audience: Audience::new(pushing.parts.env.server_name().to_owned()),
        pushing,
        saved: (Instant::now(), BTreeMap::new()),
    };
    Running::start(|stop| Box::pin(follower.run(stop)))
}

fn follow(tail: &Arc<Tail>, from: &Positions) -> TailReader {
    let from: Vec<_> = from.iter().map(|(number, at)| (*number, *at)).collect();
    tail.follow(Family::Rooms, &from)
}

/// What users have done, where that must be looked for.
async fn heard(newcomers: &mut Option<Newcomers>) -> Vec<StoredRecord> {
    match newcomers {
        Some(newcomers) => newcomers.next().await,
        None => std::future::pending().await,
    }
}

struct Follower {
    pushing: Arc<Pushing>,
    tail: Arc<Tail>,
    rooms: TailReader,
    /// Where users may be on other nodes.
    newcomers: Option<Newcomers>,
    audience: Audience,
    /// When the positions were stored, and which.
    saved: (Instant, BTreeMap<&'static str, Positions>),
}

/// What woke it.
enum Turn {
    Rooms(Vec<StoredRecord>),
    Users(Vec<StoredRecord>),
    Tick,
    /// Users of shards are pushed to from here.
    Begin(Vec<ShardNumber>),
}

impl Follower {
    async fn run(mut self, mut stop: Stop) {
        let board = self.pushing.board().clone();
        if self.prepare(&mut stop).await.is_err() {
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
                numbers = board.wanted() => Turn::Begin(numbers),
                records = heard(&mut self.newcomers) => Turn::Users(records),
                records = self.rooms.next() => Turn::Rooms(records),
            };
            if self.take(turn, &mut stop).await.is_err() {
                return;
            }
        }
        self.save(Vec::new()).await;
    }

    /// Whom it pushes to: everybody, or those for whom it is asked to begin later.
    async fn prepare(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        self.begin_after_heads(stop).await?;
        if self.pushing.board().is_in_parts() {
            let newcomers = Newcomers::open(&self.pushing, &self.tail, stop).await?;
            self.newcomers = Some(newcomers);
            return Ok(());
        }
        restore::restore(&self.pushing, None, stop).await
    }

    async fn take(&mut self, turn: Turn, stop: &mut Stop) -> Result<(), Stopped> {
        match turn {
            Turn::Tick => self.tick().await,
            Turn::Begin(numbers) => self.begin(&numbers, stop).await?,
            Turn::Users(records) => {
                if let Some(newcomers) = &self.newcomers {
                    let due = newcomers.tell(self.pushing.board(), &records);
                    due.iter().for_each(|user_id| self.pushing.nudge(user_id));
                }
            }
            Turn::Rooms(records) => {
                for record in &records {
                    if let Err(error) = self.read(record, stop).await? {
                        self.save(vec![park(NAME, record, &error)]).await;
                    }
                    let board = self.pushing.board();
                    board.distributed(record.shard, record.position);
                }
                metrics::counter!("playhouse_follower_records_total", "follower" => NAME)
                    .increment(records.len() as u64);
            }
        }
        Ok(())
    }

    /// Users of shards are pushed to from here now: what their pushers have not heard of yet is read.
    async fn begin(&mut self, numbers: &[ShardNumber], stop: &mut Stop) -> Result<(), Stopped> {
        let numbers = &self.ready(numbers).await[..];
        if numbers.is_empty() {
            return Ok(());
        }
        self.begin_after_heads(stop).await?;
        // Who has pushers must be known before the first record is read for them.
        restore::restore(&self.pushing, Some(numbers), stop).await?;
        let mut taken = Vec::new();
        for number in numbers {
            taken.push((*number, self.position_of(*number, stop).await?));
        }
        let from = self.pushing.board().begin(taken);
        self.rooms = follow(&self.tail, &from);
        // It is known as of what was read last; what is read now may lie before it.
        self.audience = Audience::new(self.pushing.parts.env.server_name().to_owned());
        Ok(())
    }

    /// Those of these shards of which it is known by now who has pushers. The others are tried again later.
    async fn ready(&self, numbers: &[ShardNumber]) -> Vec<ShardNumber> {
        let parts = &self.pushing.parts;
        let fold = (Pushers::NAME, Family::Users);
        let (ready, wait_ms) = match parts.models.caught_up_in(fold, numbers).await {
            Ok(ready) => (ready, AWAY_MS),
            Err(error) => {
                tracing::warn!(follower = NAME, %error, "cannot tell who has pushers");
                (Vec::new(), AGAIN.as_millis() as u64)
            }
        };
        let mut late = numbers.to_vec();
        late.retain(|number| !ready.contains(number));
        let until_ms = parts.env.now_ms() + wait_ms;
        self.pushing.board().put_off(&late, until_ms);
        ready
    }

    /// Tells the board what was recorded before now.
    async fn begin_after_heads(&self, stop: &mut Stop) -> Result<(), Stopped> {
        loop {
            match self.pushing.parts.store.known_heads(Family::Rooms).await {
                Ok(known) => {
                    let heads = known.heads.iter();
                    let heads = heads.map(|head| (head.shard.number, head.position));
                    // Where nobody tells, anything may be older than this process.
                    let silent = known.silent.iter();
                    let silent = silent.map(|number| (*number, Position::MAX));
                    let heads: Positions = heads.chain(silent).collect();
                    self.pushing.board().begin_after(&heads);
                    return Ok(());
                }
                Err(error) => tracing::warn!(follower = NAME, %error, "cannot read heads"),
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
    }

    async fn position_of(
        &self,
        number: ShardNumber,
        stop: &mut Stop,
    ) -> Result<Positions, Stopped> {
        loop {
            match positions::of_part(&*self.pushing.parts.store, number).await {
                Ok(position) => return Ok(position),
                Err(error) => tracing::warn!(follower = NAME, %error, "cannot read positions"),
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
    }

    async fn tick(&mut self) {
        let now_ms = self.pushing.parts.env.now_ms();
        self.pushing.board().want_again(now_ms);
        for user_id in self.pushing.board().due(now_ms) {
            self.pushing.nudge(&user_id);
        }
        if let Some(newcomers) = &mut self.newcomers {
            newcomers.note(now_ms, self.pushing.board());
        }
        if self.saved.0.elapsed() >= SAVE_EVERY {
            self.save(Vec::new()).await;
            let counts = self.pushing.board().counts();
            metrics::gauge!("playhouse_push_users").set(counts.users as f64);
            metrics::gauge!("playhouse_push_users_busy").set(counts.busy as f64);
            metrics::gauge!("playhouse_push_users_lagging").set(counts.lagging as f64);
        }
    }

    async fn save(&mut self, parked: Vec<Parked>) {
        let board = self.pushing.board();
        let settled: BTreeMap<_, _> = if board.is_in_parts() {
            let parts = board.settled_parts().into_iter();
            parts.map(|(number, at)| (part(number), at)).collect()
        } else {
            BTreeMap::from([(NAME, board.settled())])
        };
        self.saved.0 = Instant::now();
        let changed = settled
            .iter()
            .filter(|(name, at)| self.saved.1.get(*name) != Some(*at));
        let cursors: Vec<_> = changed
            .flat_map(|(name, at)| positions::cursors(name, at))
            .collect();
        if parked.is_empty() && cursors.is_empty() {
            return;
        }
        let parked = parked.iter().map(Parked::park).collect();
        let models = self.pushing.parts.store.models();
        match models.apply(parked, cursors).await {
            Ok(()) => self.saved.1 = settled,
            Err(error) => tracing::warn!(follower = NAME, %error, "cannot store position"),
        }
    }

    /// Takes in a record.
    async fn read(
        &mut self,
        record: &StoredRecord,
        stop: &mut Stop,
    ) -> Result<Result<(), StoreError>, Stopped> {
        let is_of_interest = matches!(
            record.kind,
            kind::EVENT
                | kind::STATE_SET
                | kind::STATE_COMPLETED
                | kind::RECEIPT_MOVED
                | kind::MEMBERSHIP_TOLD
                | kind::EMPTIED
        );
        if !is_of_interest || record.entity.prefix() != "room" {
            return Ok(Ok(()));
        }
        let Ok(room_id) = RoomId::parse(record.entity.name()) else {
            return Ok(Ok(()));
        };
        if self.concerns_nobody(record, &room_id) {
            return Ok(Ok(()));
        }
        if record.kind == kind::EMPTIED {
            return Ok(self.read_end(record, &room_id));
        }
        match read_news(room_id.clone(), record) {
            Ok(Some(news)) => self.distribute(record, Arc::new(news), stop).await?,
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    /// Whether a record need not be decoded: it can be news for nobody's pushers, and brings nobody in or out.
    fn concerns_nobody(&self, record: &StoredRecord, room_id: &RoomId) -> bool {
        let board = self.pushing.board();
        if board.is_void() {
            // Whoever gets a pusher later asks the rooms as they are then.
            return !self.audience.knows(room_id) || record.kind == kind::RECEIPT_MOVED;
        }
        record.kind == kind::EVENT
            && self.audience.knows(room_id)
            && !self
                .audience
                .of(room_id)
                .any(|user| board.is_enrolled(user))
            && !may_hold(&record.payload, "m.room.member")
    }

    /// A room was deleted.
    fn read_end(&mut self, record: &StoredRecord, room_id: &OwnedRoomId) -> Result<(), StoreError> {
        RoomRecord::decode(record)?;
        let place = (record.shard, record.position);
        let news = RoomNews::new(room_id.clone(), place, record.sequence, NewsKind::StateSet);
        let users = self.audience.forget(room_id);
        self.post(record, &Arc::new(news), &users, true);
        Ok(())
    }

    async fn distribute(
        &mut self,
        record: &StoredRecord,
        news: Arc<RoomNews>,
        stop: &mut Stop,
    ) -> Result<(), Stopped> {
        let room_id = &news.room_id;
        match &news.kind {
            NewsKind::Receipt(receipt) => {
                let users = BTreeSet::from([receipt.user_id.clone()]);
                self.post(record, &news, &users, false);
            }
            NewsKind::StateSet => {
                let mut users = self.audience.forget(room_id);
                self.learn(room_id, record.sequence, stop).await?;
                users.extend(self.audience.of(room_id).cloned());
                self.post(record, &news, &users, true);
            }
            NewsKind::Event { event, membership } => {
                if record.kind == kind::EVENT {
                    let before = record.sequence.saturating_sub(1);
                    self.learn(room_id, before, stop).await?;
                }
                let sender = &event.pdu.sender;
                // What somebody says is no news to them; but that somebody takes a call is to the other devices.
                let is_news =
                    event.pdu.is_state() || event.pdu.event_type.to_string().starts_with("m.call.");
                let board = self.pushing.board();
                let concerned = self.audience.of(room_id).filter(|user_id| {
                    board.is_enrolled(user_id) && (is_news || *user_id != sender)
                });
                let users: BTreeSet<_> = concerned.cloned().collect();
                let (users, moved) = match membership {
                    Some((target, to)) => self.moved((room_id, target, to), users),
                    None => (users, None),
                };
                self.post(record, &news, &users, false);
                if let Some(target) = moved {
                    self.post(record, &news, &BTreeSet::from([target]), true);
                }
            }
        }
        Ok(())
    }

    /// Somebody's membership changed: if it is one of our users, whom it concerns most of all.
    fn moved(
        &mut self,
        (room_id, target, to): (&RoomId, &UserId, &MembershipState),
        mut users: BTreeSet<OwnedUserId>,
    ) -> (BTreeSet<OwnedUserId>, Option<OwnedUserId>) {
        self.audience.changed(room_id, target, to);
        if !self.audience.is_own(target) {
            return (users, None);
        }
        users.remove(target);
        (users, Some(target.to_owned()))
    }

    fn post(
        &self,
        record: &StoredRecord,
        news: &Arc<RoomNews>,
        users: &BTreeSet<OwnedUserId>,
        moves: bool,
    ) {
        let place = Place {
            shard: record.shard,
            position: record.position,
            sequence: record.sequence,
        };
        let board = self.pushing.board();
        for user_id in users {
            if board.post(user_id, (&news.room_id, &place), (news, moves)) {
                self.pushing.nudge(user_id);
            }
        }
    }

    /// Learns who is in a room; insists.
    async fn learn(
        &mut self,
        room_id: &OwnedRoomId,
        after: Sequence,
        stop: &mut Stop,
    ) -> Result<(), Stopped> {
        let rooms = self.pushing.parts.rooms.clone();
        while let Err(error) = self.audience.learn(&rooms, room_id, after).await {
            tracing::warn!(%room_id, %error, "cannot learn whom to push to");
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
        Ok(())
    }
}
