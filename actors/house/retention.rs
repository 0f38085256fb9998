//! Expired events are taken out of the log, little by little.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Entity, Sequence},
    models::retention::rooms_after,
    port::{EntityRange, LogStore, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, kind},
    },
};
use ruma::RoomId;

use crate::{
    env::Env,
    followers::{
        models::Models,
        task::{Running, Stop},
    },
    kernel::Directory,
    room::{
        Room, RoomCommand, RoomError,
        event::RoomEvent,
        redact::RedactionTarget,
        retention::{RetentionSettings, is_emptied},
    },
};

/// So many rooms are looked up at once.
const PAGE_ROOMS: usize = 100;

/// So many records are read and replaced at once: each costs a note in the same transaction.
const PAGE_RECORDS: usize = 200;

/// Of so many rooms it is remembered how far they were looked through. Others are looked through from the beginning: what was done before costs only the
/// reading.
const PLACES_MAX: usize = 100_000;

/// What looks for expired events.
#[derive(Clone)]
pub(super) struct Sweeper {
    pub(super) rooms: Arc<Directory<Room>>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) models: Arc<Models>,
    pub(super) env: Env,
    pub(super) settings: RetentionSettings,
    /// After each page of records.
    pub(super) pause: Duration,
}

/// Why a sweep ends early.
enum Trouble {
    /// Told to stop.
    Stopped,
    /// The store or a room failed.
    Failed(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<RoomError> for Trouble {
    fn from(error: RoomError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Sweeper {
    /// Starts it; `None` when nothing ever expires.
    pub(super) fn start(self) -> Option<Running> {
        self.settings.enabled.then(|| {
            Running::start(|stop| {
                Box::pin(async move {
                    self.run(stop).await;
                })
            })
        })
    }

    async fn run(self, mut stop: Stop) {
        let every = Duration::from_millis(self.settings.sweep_every_ms.max(1));
        let mut places = BTreeMap::new();
        // Whoever did this before may have ended before the freed space was seen to.
        let mut is_scrubbed = false;
        while stop.pause(every).await {
            match self.sweep(&mut places, is_scrubbed, &mut stop).await {
                Ok(count) => {
                    is_scrubbed = true;
                    if count > 0 {
                        tracing::info!(count, "expired events taken out");
                    }
                }
                Err(Trouble::Stopped) => return,
                Err(Trouble::Failed(error)) => {
                    is_scrubbed = false;
                    tracing::warn!(%error, "cannot take out expired events, will try again");
                }
            }
        }
    }

    /// Goes through all rooms once and tells how many events it had taken out.
    async fn sweep(
        &self,
        places: &mut BTreeMap<String, Sequence>,
        is_scrubbed: bool,
        stop: &mut Stop,
    ) -> Result<u64, Trouble> {
        let models = self.store.models();
        let all = self.settings.concerns_all();
        let (mut after, mut count) = (String::new(), 0);
        loop {
            let page = rooms_after(&*models, &after, all, PAGE_ROOMS).await?;
            let Some(last) = page.last().cloned() else {
                break;
            };
            for room_id in page {
                if let Ok(id) = RoomId::parse(&room_id) {
                    let from = places.get(&room_id).copied().unwrap_or(0) + 1;
                    let (done, until) = self.sweep_room(&id, from, stop).await?;
                    count += done;
                    if places.len() >= PLACES_MAX {
                        places.clear();
                    }
                    places.insert(room_id, until);
                }
            }
            after = last;
        }
        if count > 0 || !is_scrubbed {
            let caught_up = self.models.all_caught_up().await;
            caught_up.map_err(|error| Trouble::Failed(error.to_string()))?;
            self.store.scrub().await?;
        }
        Ok(count)
    }

    /// Has taken out what has expired in a room. Tells how many events may have been, and up to where it need not be looked again.
    async fn sweep_room(
        &self,
        room_id: &RoomId,
        mut from: Sequence,
        stop: &mut Stop,
    ) -> Result<(u64, Sequence), Trouble> {
        let entity = Entity::room(room_id.as_str());
        // Nothing expires sooner, whatever the room says.
        let youngest_ms = self.settings.min_ms.unwrap_or(0);
        let before_ms = self.env.now_ms().saturating_sub(youngest_ms);
        let (mut count, mut kept) = (0, None);
        loop {
            let range = EntityRange {
                from,
                to: Sequence::MAX >> 1,
                backwards: false,
                limit: PAGE_RECORDS,
            };
            let mut page = self.store.read_entity(&entity, range).await?;
            let is_last = page.len() < PAGE_RECORDS
                || page.last().is_some_and(|last| last.at_ms >= before_ms);
            page.retain(|record| record.at_ms < before_ms);
            let targets: Vec<_> = page.iter().filter_map(target).collect();
            let next = page.last().map_or(from, |last| last.sequence + 1);
            if !targets.is_empty() {
                let (erased, left) = self.expire(&entity, targets).await?;
                count += erased;
                kept = kept.or(left);
                if !stop.pause(self.pause).await {
                    return Err(Trouble::Stopped);
                }
                // Time goes on from event to event: what comes after is younger still.
                if erased == 0 {
                    return Ok((count, kept.unwrap_or(next) - 1));
                }
            }
            if is_last {
                return Ok((count, kept.unwrap_or(next) - 1));
            }
            from = next;
        }
    }

    /// Lets the room judge some events. Tells how many it had taken out, and which is the first that it kept.
    async fn expire(
        &self,
        entity: &Entity,
        targets: Vec<RedactionTarget>,
    ) -> Result<(u64, Option<Sequence>), Trouble> {
        let sequences: Vec<_> = targets.iter().map(|target| target.sequence).collect();
        let command = RoomCommand::Expire(targets);
        self.rooms.command(entity.clone(), command).await?;
        let after = self.store.read_some(entity, &sequences).await?;
        let left: Vec<_> = after.iter().filter_map(target).collect();
        let erased = sequences.len().saturating_sub(left.len()) as u64;
        Ok((erased, left.first().map(|target| target.sequence)))
    }
}

/// A record as an event that may expire and is still whole.
fn target(stored: &StoredRecord) -> Option<RedactionTarget> {
    if stored.kind != kind::EVENT {
        return None;
    }
    let RoomRecord::Event(record) = RoomRecord::decode(stored).ok()?? else {
        return None;
    };
    let event = RoomEvent::from_record(stored.sequence, stored.position, &record)?;
    let may_expire =
        record.placement == Placement::Live && !event.pdu.is_state() && !is_emptied(&event);
    may_expire.then_some(RedactionTarget {
        sequence: stored.sequence,
        record,
    })
}
