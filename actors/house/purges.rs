//! Taking history out of rooms because administrators want it: what is asked for stands in the log, so that a restart goes on with it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Entity, Family, Sequence},
    port::{EntityRange, LogStore, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        purge::{Purge, PurgeEnded, PurgeProgress},
        room::{Placement, RoomRecord, kind},
    },
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, UserId};
use tokio::sync::Notify;

use super::{House, HouseError, delays::HouseOutlet, surprise};
use crate::{
    env::Env,
    followers::{
        models::Models,
        task::{Running, Stop},
    },
    kernel::Directory,
    purges::{BlockBoard, PurgeAnswer, PurgeCommand, PurgeError, PurgeQuery, Purges},
    room::{Room, RoomCommand, RoomError, event::RoomEvent, purge::goes, redact::RedactionTarget},
    user::UserError,
};

/// So many records are read and replaced at once: each costs a note in the same transaction.
pub(super) const PAGE_RECORDS: usize = 200;

/// A short while, in which nobody notices that something is being done.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// After so many records it is noted how far a room was gone through: a restart goes on from there.
const NOTED_RECORDS: Sequence = 5_000;

/// The pause after each page of records, so that in a second no more than so many are replaced.
pub(super) fn pause_at(records_per_second: u64) -> Duration {
    Duration::from_millis(PAGE_RECORDS as u64 * 1_000 / records_per_second.max(1))
}

/// What failed is tried again after so long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The names of purges have so many characters.
pub(super) const ID_CHARACTERS: usize = 16;

/// What an administrator wants taken out of a room.
#[derive(Clone, Debug)]
pub struct PurgeWish {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Up to where: what the event itself is stays.
    pub up_to: PurgeEnd,
    /// Events of this server's users too, which may be nowhere else.
    pub local_too: bool,
}

/// Up to where history goes.
#[derive(Clone, Debug)]
pub enum PurgeEnd {
    /// What is older than an event.
    Event(OwnedEventId),
    /// What came here before a time, milliseconds since the Unix epoch.
    Time(u64),
}

impl House {
    /// Begins to take history out of a room, when what was wanted of it before is done. Gives the name by which to ask how it stands. Refused with
    /// `PurgeError::TooMany` while too many wait.
    pub async fn begin_purge(&self, wish: PurgeWish, by: &UserId) -> Result<String, HouseError> {
        let (up_to, before_ms) = match &wish.up_to {
            PurgeEnd::Event(event_id) => self.purge_end_at(&wish.room_id, event_id).await?,
            PurgeEnd::Time(before_ms) => (
                self.first_since(&wish.room_id, *before_ms).await?,
                *before_ms,
            ),
        };
        let id = self.env.random_string(ID_CHARACTERS);
        let command = PurgeCommand::Begin(Purge {
            id: id.clone(),
            room_id: wish.room_id.to_string(),
            up_to,
            before_ms,
            local_too: wish.local_too,
            by: by.to_string(),
            at_ms: self.env.now_ms(),
        });
        self.purges.command(purges(), command).await?;
        self.purge_bells.wanted.notify_one();
        Ok(id)
    }

    /// How a purge stands: active, or at its end.
    pub async fn purge_standing(&self, id: &str) -> Result<PurgeAnswer, HouseError> {
        let query = PurgeQuery::Standing(id.to_owned());
        Ok(self.purges.query(purges(), query).await?)
    }

    /// How far a purge has come, or what a deletion takes out of the log; `None` before the first records are done, and after the last.
    pub async fn purge_progress(&self, id: &str) -> Result<Option<PurgeProgress>, HouseError> {
        let query = PurgeQuery::Progress(id.to_owned());
        match self.purges.query(purges(), query).await? {
            PurgeAnswer::Progress(progress) => Ok(progress),
            _ => Err(surprise("Progress")),
        }
    }

    /// Where an event stands in the log of its room, and when it was sent.
    async fn purge_end_at(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<(Sequence, u64), HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        let stored = stored.ok_or(RoomError::NotFound)?;
        if stored.entity != Entity::room(room_id.as_str()) {
            return Err(HouseError::InvalidParam(
                "the event is of another room".to_owned(),
            ));
        }
        let event = event(&stored).ok_or(RoomError::NotFound)?;
        let sent_ms = event.pdu.origin_server_ts.0.into();
        match event.placement {
            Placement::Live => Ok((stored.sequence, sent_ms)),
            // It is older than everything that came by itself.
            Placement::Backfilled => Ok((0, sent_ms)),
            Placement::Outlier => Err(RoomError::NotFound.into()),
        }
    }

    /// The first record of a room that was written at a time or later. Time goes on from record to record.
    async fn first_since(&self, room_id: &RoomId, at_ms: u64) -> Result<Sequence, HouseError> {
        let entity = Entity::room(room_id.as_str());
        let heads = self
            .store
            .entity_heads(std::slice::from_ref(&entity))
            .await?;
        let head = heads.into_iter().flatten().next();
        let head = head.ok_or(RoomError::UnknownRoom)?.sequence;
        let (mut low, mut high) = (1, head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let range = EntityRange {
                from: middle,
                to: head,
                backwards: false,
                limit: 1,
            };
            let found = self.store.read_entity(&entity, range).await?;
            match found.first() {
                Some(record) if record.at_ms < at_ms => low = record.sequence + 1,
                _ => high = middle,
            }
        }
        if low == 1 {
            return Err(RoomError::NotFound.into());
        }
        Ok(low)
    }
}

pub(super) fn purges() -> Entity {
    Entity::house("purges")
}

/// A record as an event.
pub(super) fn event(stored: &StoredRecord) -> Option<RoomEvent> {
    if stored.kind != kind::EVENT {
        return None;
    }
    let RoomRecord::Event(record) = RoomRecord::decode(stored).ok()?? else {
        return None;
    };
    RoomEvent::from_record(stored.sequence, stored.position, &record)
}

/// Rung when a purge or a deletion is wanted, and when a deletion has come to its end.
#[derive(Default)]
pub(super) struct PurgeBells {
    pub(super) wanted: Notify,
    pub(super) ended: Notify,
}

/// What does the purges that wait, one after the other, without the house: it ends before that does.
#[derive(Clone)]
pub(super) struct Purger {
    pub(super) rooms: Arc<Directory<Room>>,
    pub(super) purges: Arc<Directory<Purges>>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) models: Arc<Models>,
    pub(super) env: Env,
    pub(super) bells: Arc<PurgeBells>,
    pub(super) board: Arc<BlockBoard>,
    pub(super) outlet: Arc<HouseOutlet>,
    /// After each page of records.
    pub(super) pause: Duration,
}

/// How far a room was gone through.
pub(super) struct Course {
    pub(super) done: PurgeProgress,
    /// As far as that is noted.
    noted: Sequence,
}

/// Why a purge does not come to its end.
pub(super) enum Trouble {
    /// Told to stop: it goes on after the next start.
    Stopped,
    /// It can never be done.
    Hopeless(String),
    /// It is to be tried again.
    Passing(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<PurgeError> for Trouble {
    fn from(error: PurgeError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<HouseError> for Trouble {
    fn from(error: HouseError) -> Self {
        match error {
            HouseError::Room(error) => error.into(),
            HouseError::Purge(error) => error.into(),
            HouseError::Store(error) | HouseError::Broken(error) => Self::Passing(error),
            HouseError::User(UserError::Unavailable(_))
            | HouseError::Lagging(_)
            | HouseError::Busy => Self::Passing(error.to_string()),
            error => Self::Hopeless(error.to_string()),
        }
    }
}

impl From<RoomError> for Trouble {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Unavailable(_) | RoomError::Store(_) | RoomError::Broken(_) => {
                Self::Passing(error.to_string())
            }
            error => Self::Hopeless(error.to_string()),
        }
    }
}

impl Purger {
    /// Starts it.
    pub(super) fn start(self) -> Running {
        Running::start(|stop| Box::pin(self.run(stop)))
    }

    async fn run(self, mut stop: Stop) {
        // The house opens around it.
        while self.outlet.0.get().is_none() {
            if !stop.pause(PAUSE).await {
                return;
            }
        }
        loop {
            let left = match self.do_all(&mut stop).await {
                Ok(left) => left,
                Err(Trouble::Stopped) => return,
                Err(Trouble::Hopeless(error) | Trouble::Passing(error)) => {
                    tracing::warn!(%error, "cannot take history out of a room, will try again");
                    RETRY_AFTER
                }
            };
            let mut told = stop.clone();
            tokio::select! {
                () = told.told() => return,
                () = self.bells.wanted.notified() => {}
                // It may have been asked for on another node.
                () = self.board.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Does what waits. Tells how long there is nothing more to do.
    async fn do_all(&self, stop: &mut Stop) -> Result<Duration, Trouble> {
        let purged = self.purge_all(stop).await;
        if let Err(Trouble::Stopped) = purged {
            return Err(Trouble::Stopped);
        }
        let redacted = self.redact_all(stop).await;
        if let Err(Trouble::Stopped) = redacted {
            return Err(Trouble::Stopped);
        }
        // Deletions do not wait for a purge that fails.
        let left = self.delete_all(stop).await?;
        purged.and(redacted).map(|()| left)
    }

    async fn purge_all(&self, stop: &mut Stop) -> Result<(), Trouble> {
        let waiting = self.purges.query(purges(), PurgeQuery::Waiting).await?;
        let PurgeAnswer::Waiting(waiting) = waiting else {
            return Err(Trouble::Passing(surprise("Waiting").to_string()));
        };
        let mut outcome = Ok(());
        let mut held = BTreeSet::new();
        for purge in waiting {
            // What was wanted first of a room is done first.
            if held.contains(&purge.room_id) {
                continue;
            }
            let error = match self.carry_out(&purge, stop).await {
                Ok(count) => {
                    tracing::info!(room_id = purge.room_id, count, "history taken out");
                    None
                }
                Err(Trouble::Hopeless(error)) => Some(error),
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
                // The other rooms do not wait for it.
                Err(trouble) => {
                    held.insert(purge.room_id);
                    outcome = Err(trouble);
                    continue;
                }
            };
            let ended = PurgeEnded {
                id: purge.id,
                error,
                at_ms: self.env.now_ms(),
            };
            self.purges
                .command(purges(), PurgeCommand::End(ended))
                .await?;
        }
        outcome
    }

    /// Goes through the records of a room. What an earlier attempt has done since it was last noted costs only the reading.
    async fn carry_out(&self, purge: &Purge, stop: &mut Stop) -> Result<u64, Trouble> {
        let entity = Entity::room(&purge.room_id);
        let mut course = self.course(&purge.id, &entity).await?;
        loop {
            let range = EntityRange {
                from: course.done.up_to + 1,
                to: Sequence::MAX >> 1,
                backwards: false,
                limit: PAGE_RECORDS,
            };
            let page = self.store.read_entity(&entity, range).await?;
            let Some(last) = page.last().map(|record| record.sequence) else {
                break;
            };
            let targets: Vec<_> = page
                .iter()
                .filter_map(|record| self.target(record, purge))
                .collect();
            let count = targets.len();
            if count > 0 {
                let command = RoomCommand::Purge(Box::new(purge.clone()), targets);
                self.rooms.command(entity.clone(), command).await?;
            }
            self.come_to(&mut course, (last, count), stop).await?;
        }
        // Also when there was nothing left to do: who did it may have ended before this.
        self.scrub().await?;
        Ok(course.done.erased)
    }

    /// Leaves nothing on disk of what is gone. What is derived of it goes a little later, and must have gone before.
    pub(super) async fn scrub(&self) -> Result<(), Trouble> {
        self.models
            .all_caught_up()
            .await
            .map_err(HouseError::from)?;
        self.store.scrub().await?;
        Ok(())
    }

    /// How far a room was gone through, as it was noted.
    pub(super) async fn course(&self, id: &str, entity: &Entity) -> Result<Course, Trouble> {
        let query = PurgeQuery::Progress(id.to_owned());
        let PurgeAnswer::Progress(noted) = self.purges.query(purges(), query).await? else {
            return Err(Trouble::Passing(surprise("Progress").to_string()));
        };
        let heads = self.store.entity_heads(std::slice::from_ref(entity));
        let head = heads.await?.into_iter().flatten().next();
        let done = noted.unwrap_or(PurgeProgress {
            id: id.to_owned(),
            up_to: 0,
            of: head.map_or(0, |head| head.sequence),
            erased: 0,
        });
        Ok(Course {
            noted: done.up_to,
            done,
        })
    }

    /// A page of a room is done. Notes that now and then, and lets others have their turn.
    pub(super) async fn come_to(
        &self,
        course: &mut Course,
        (up_to, erased): (Sequence, usize),
        stop: &mut Stop,
    ) -> Result<(), Trouble> {
        course.done.up_to = up_to;
        course.done.erased += erased as u64;
        if course.done.up_to - course.noted >= NOTED_RECORDS {
            course.noted = course.done.up_to;
            let command = PurgeCommand::Progress(course.done.clone());
            self.purges.command(purges(), command).await?;
        }
        let goes_on = erased == 0 || stop.pause(self.pause).await;
        if !goes_on || stop.is_told() {
            return Err(Trouble::Stopped);
        }
        Ok(())
    }

    fn target(&self, stored: &StoredRecord, purge: &Purge) -> Option<RedactionTarget> {
        let found = event(stored)?;
        if !goes(&found, purge, self.env.server_name()) {
            return None;
        }
        let RoomRecord::Event(record) = RoomRecord::decode(stored).ok()?? else {
            return None;
        };
        Some(RedactionTarget {
            sequence: stored.sequence,
            record,
        })
    }
}
