//! What users' pushers have told of an event, or why not yet: a part of its journey.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Entity, Sequence},
    port::{EntityRange, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        user::{PUSHED, PUSHES_SETTLED, UserRecord},
    },
};
use ruma::UserId;

use super::{House, HouseError};
use crate::{
    pushers::{PushFate, PushedEvent, Signs, left_for},
    room::event::RoomEvent,
    user::{UserError, feed::unread::ReadMarks, push_standing::EndedPusher, pushers::NamedPusher},
};

/// So many of a user's records are looked at for pushes of an event.
const RECORDS_MAX: usize = 128;

/// The clocks of nodes differ by less.
const CLOCKS_APART_MS: u64 = 5_000;

/// What a user's pushers have told of an event.
#[derive(Clone, Debug)]
pub struct EventPushes {
    /// The push rules in force notify of it.
    pub notifies: bool,
    /// The user's pushers.
    pub pushers: Vec<(NamedPusher, PushFate)>,
    /// Those that ended after it, and not by their user.
    pub ended: Vec<EndedPusher>,
}

impl House {
    /// What a user's pushers have told of an event; `None` when there were none to tell.
    pub(super) async fn pushes_of(
        &self,
        user_id: &UserId,
        (event, place): (&Arc<RoomEvent>, &PushedEvent),
    ) -> Result<Option<EventPushes>, HouseError> {
        let book = match self.pusher_book(user_id).await {
            Ok(book) => book,
            // Whose account is closed has no pushers.
            Err(HouseError::User(UserError::Deactivated | UserError::UnknownUser)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut ended = book.ended;
        ended.retain(|ended| ended.at_ms >= place.recorded_ms);
        if book.pushers.is_empty() && ended.is_empty() {
            return Ok(None);
        }
        let notifies = self.notifies(user_id, (event, place)).await?;
        // Where nothing was taken since, nothing is noted.
        let since_ms = place.recorded_ms.saturating_sub(CLOCKS_APART_MS);
        let mut standings = book.pushers.iter().map(|named| &named.pusher.standing);
        let pushed = if standings.any(|standing| standing.success_ms >= since_ms) {
            self.pushes_noted(user_id, place, notifies).await?
        } else {
            BTreeMap::new()
        };
        let board = self.pushes.as_ref().map(|pushes| &**pushes.board());
        let left = left_for(&*self.store, board, user_id, place).await?;
        let settings = self.config.pushes.as_ref();
        let settings = settings.filter(|settings| settings.enabled);
        let fate = |named: &NamedPusher| {
            let pushed_ms = pushed.get(&named.pusher.number).copied();
            let signs = Signs {
                notifies,
                pushed_ms,
                left,
                mails: settings.is_some_and(|settings| settings.postman.mails()),
            };
            match PushFate::of(named, place, signs) {
                // Nobody pushes here.
                PushFate::Unread | PushFate::Waiting if settings.is_none() => PushFate::Off,
                fate => fate,
            }
        };
        let pushers = book.pushers.into_iter().map(|named| {
            let fate = fate(&named);
            (named, fate)
        });
        Ok(Some(EventPushes {
            notifies,
            pushers: pushers.collect(),
            ended,
        }))
    }

    /// Whether the push rules in force notify of an event.
    async fn notifies(
        &self,
        user_id: &UserId,
        (event, place): (&Arc<RoomEvent>, &PushedEvent),
    ) -> Result<bool, HouseError> {
        let judge = self.judge_for(user_id).await?;
        let unread = ReadMarks::default();
        let notices = self.notices(&judge, &place.room_id, unread).await?;
        let notice = self.judge(&judge, &notices, event).await?;
        Ok(notice.is_some())
    }

    /// When pushers told of an event, by their numbers: as the user has recorded it since.
    async fn pushes_noted(
        &self,
        user_id: &UserId,
        place: &PushedEvent,
        notifies: bool,
    ) -> Result<BTreeMap<Sequence, u64>, HouseError> {
        let mut noted = BTreeMap::new();
        let since_ms = place.recorded_ms.saturating_sub(CLOCKS_APART_MS);
        let records = self.records_since(user_id, since_ms).await?;
        for record in records {
            if ![PUSHED, PUSHES_SETTLED].contains(&record.kind) {
                continue;
            }
            let (pusher, at_ms) = match UserRecord::decode(&record)? {
                Some(UserRecord::Pushed(pushed)) => {
                    let mut rooms = pushed.rooms.iter();
                    let is_told = rooms.any(|(room_id, sequence)| {
                        room_id == place.room_id.as_str() && *sequence == place.sequence
                    });
                    if !is_told {
                        continue;
                    }
                    (pushed.pusher, pushed.at_ms)
                }
                Some(UserRecord::PushesSettled(settled)) => {
                    let mut rooms = settled.mailed.iter();
                    let is_told = rooms.any(|room| {
                        let is_newest = room.newest == place.sequence;
                        // A mail tells what notifies, up to there.
                        let is_among = notifies && room.newest > place.sequence;
                        room.room_id == place.room_id.as_str() && (is_newest || is_among)
                    });
                    if !is_told {
                        continue;
                    }
                    (settled.pusher, settled.at_ms)
                }
                _ => continue,
            };
            noted.entry(pusher).or_insert(at_ms);
        }
        Ok(noted)
    }

    /// The first of a user's records since a time, the oldest first: at most [`RECORDS_MAX`].
    async fn records_since(
        &self,
        user_id: &UserId,
        since_ms: u64,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let entity = Entity::user(user_id.as_str());
        let heads = self.store.entity_heads(std::slice::from_ref(&entity));
        let head = heads.await?.into_iter().next().flatten();
        let last = head.map_or(0, |head| head.sequence);
        let newest = EntityRange {
            from: 1,
            to: last,
            backwards: true,
            limit: RECORDS_MAX,
        };
        let mut newest = self.store.read_entity(&entity, newest).await?;
        let oldest = newest.last();
        if oldest.is_none_or(|record| record.at_ms < since_ms || record.sequence == 1) {
            newest.reverse();
            return Ok(newest);
        }
        // It was long ago: by halving.
        let (mut below, mut above) = (0, last + 1);
        while below + 1 < above {
            let middle = below + (above - below) / 2;
            let found = self.store.read_some(&entity, &[middle]).await?;
            if found.first().is_none_or(|record| record.at_ms < since_ms) {
                below = middle;
            } else {
                above = middle;
            }
        }
        let range = EntityRange {
            from: above,
            to: last,
            backwards: false,
            limit: RECORDS_MAX,
        };
        self.store.read_entity(&entity, range).await
    }
}
