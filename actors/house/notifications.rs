//! What a user was notified about, newest first, read from the log when somebody asks: it costs nobody anything before.
//!
//! The newest records of all joined rooms are gone through in the order of their times, and judged by the push rules in force, as the unread counts are.

use std::{
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use playhouse_schema::{
    address::{Entity, Sequence},
    models::{Model as _, memberships, memberships::Memberships},
    port::{EntityRange, StoredRecord},
    record::room::{Placement, kind},
};
use ruma::{OwnedRoomId, RoomId, UserId, push::Action};

use super::{House, HouseError, surprise};
use crate::{
    room::{RoomAnswer, RoomQuery, event::RoomEvent, hits::HitsQuery, message::Reader},
    user::{
        UserAnswer, UserQuery,
        feed::unread::{
            Judge, ReadMarks,
            notices::{Notice, Notices},
            related::{self, Related},
        },
        sync::counts::marks_of,
    },
};

/// So many rooms are gone through.
const ROOMS_MAX: usize = 2_000;

/// So many rooms are read at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// So many records one read of a room brings.
const PAGE_RECORDS: usize = 32;

/// So many records are judged for one page; the next one goes on.
const EXAMINED_MAX: usize = 5_000;

/// A place among the notifications: that of a record. Later ones are greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotificationPlace {
    /// When it was written.
    pub at_ms: u64,
    /// In which room.
    pub room_id: OwnedRoomId,
    /// Its number there.
    pub sequence: Sequence,
}

/// Which notifications are wanted.
#[derive(Clone, Debug)]
pub struct NotificationsWish {
    /// Only those before this place.
    pub before: Option<NotificationPlace>,
    /// At most so many, 1 to 500.
    pub limit: usize,
    /// Only those that highlight.
    pub highlights: bool,
}

/// An event that a user was notified about.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Where it stands.
    pub place: NotificationPlace,
    /// What was to be done.
    pub actions: Vec<Action>,
    /// The user has read it since.
    pub read: bool,
    /// The event.
    pub event: Bytes,
}

/// Some notifications.
#[derive(Clone, Debug, Default)]
pub struct NotificationsPage {
    /// The newest first.
    pub notifications: Vec<Notification>,
    /// Where to go on; `None` at the end.
    pub next: Option<NotificationPlace>,
}

/// Records of one room, from the newest back.
struct Walk {
    room_id: OwnedRoomId,
    entity: Entity,
    /// The user's stay began with this record.
    stay: Sequence,
    /// Records up to this one are not read yet.
    left: Sequence,
    page: VecDeque<StoredRecord>,
    notices: Option<Notices>,
}

impl Walk {
    /// The place of the next record.
    fn place(&self) -> Option<NotificationPlace> {
        self.page.front().map(|record| NotificationPlace {
            at_ms: record.at_ms,
            room_id: self.room_id.clone(),
            sequence: record.sequence,
        })
    }
}

impl House {
    /// What a user was notified about.
    pub async fn notifications(
        &self,
        user_id: &UserId,
        wish: NotificationsWish,
    ) -> Result<NotificationsPage, HouseError> {
        let judge = self.judge_for(user_id).await?;
        let walks = self.begin_walks(user_id, wish.before.as_ref()).await?;
        let (found, next) = self.walk(&judge, walks, &wish).await?;
        let notifications = self.told(&judge, found).await?;
        Ok(NotificationsPage {
            notifications,
            next,
        })
    }

    /// Joined rooms, each with the newest records before a place.
    async fn begin_walks(
        &self,
        user_id: &UserId,
        before: Option<&NotificationPlace>,
    ) -> Result<Vec<Walk>, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let rooms = memberships::of_user(&**self.models.store(), user_id.as_str()).await?;
        let joined = rooms.into_iter().filter(|room| room.membership == "join");
        let mut walks: Vec<_> = joined
            .filter_map(|room| {
                Some(Walk {
                    entity: Entity::room(&room.room_id),
                    room_id: RoomId::parse(&room.room_id).ok()?,
                    stay: room.since_sequence,
                    left: 0,
                    page: VecDeque::new(),
                    notices: None,
                })
            })
            .take(ROOMS_MAX)
            .collect();
        let entities: Vec<_> = walks.iter().map(|walk| walk.entity.clone()).collect();
        let heads = self.store.entity_heads(&entities).await?;
        for (walk, head) in walks.iter_mut().zip(heads) {
            walk.left = head.map_or(0, |head| head.sequence);
        }
        let begun = walks.into_iter().map(|mut walk| async move {
            if let Some(before) = before {
                self.skip(&mut walk, before).await?;
            }
            self.turn_page(&mut walk).await?;
            Ok::<_, HouseError>(walk)
        });
        let begun: Vec<_> = stream::iter(begun).buffered(ROOMS_AT_ONCE).collect().await;
        begun.into_iter().collect()
    }

    /// Goes back to the newest record before a place, by halving.
    async fn skip(&self, walk: &mut Walk, before: &NotificationPlace) -> Result<(), HouseError> {
        let (mut below, mut above) = (walk.stay, walk.left + 1);
        while below + 1 < above {
            let middle = below + (above - below) / 2;
            let found = self.store.read_some(&walk.entity, &[middle]).await?;
            let is_before = found.first().is_none_or(|record| {
                let place = (record.at_ms, &walk.room_id, record.sequence);
                place < (before.at_ms, &before.room_id, before.sequence)
            });
            if is_before {
                below = middle;
            } else {
                above = middle;
            }
        }
        walk.left = below;
        Ok(())
    }

    /// Reads the next records of a room, if none is at hand.
    async fn turn_page(&self, walk: &mut Walk) -> Result<(), HouseError> {
        while walk.page.is_empty() && walk.left > walk.stay {
            let range = EntityRange {
                from: walk.stay + 1,
                to: walk.left,
                backwards: true,
                limit: PAGE_RECORDS,
            };
            let page = self.store.read_entity(&walk.entity, range).await?;
            let last = page.last().map_or(0, |record| record.sequence);
            walk.left = last.saturating_sub(1);
            let events = page.into_iter().filter(|record| record.kind == kind::EVENT);
            walk.page = events.collect();
        }
        Ok(())
    }

    /// Goes through the records of all rooms, the newest first.
    async fn walk(
        &self,
        judge: &Judge,
        mut walks: Vec<Walk>,
        wish: &NotificationsWish,
    ) -> Result<(Vec<Found>, Option<NotificationPlace>), HouseError> {
        let next_of = |index: usize, walk: &Walk| walk.place().map(|place| (place, index));
        let mut order: BinaryHeap<_> = walks
            .iter()
            .enumerate()
            .filter_map(|(index, walk)| next_of(index, walk))
            .collect();
        let (mut found, mut examined, mut last) = (Vec::new(), 0, None);
        while let Some((place, index)) = order.pop() {
            if found.len() >= wish.limit || examined >= EXAMINED_MAX {
                return Ok((found, last));
            }
            examined += 1;
            let walk = &mut walks[index];
            if let Some(record) = walk.page.pop_front() {
                let notice = self.judge_record(judge, walk, &record).await?;
                let wanted = notice.filter(|notice| notice.is_highlight || !wish.highlights);
                found.extend(wanted.map(|notice| (place.clone(), notice)));
            }
            last = Some(place);
            self.turn_page(walk).await?;
            order.extend(next_of(index, walk));
        }
        Ok((found, None))
    }

    async fn judge_record(
        &self,
        judge: &Judge,
        walk: &mut Walk,
        record: &StoredRecord,
    ) -> Result<Option<Notice>, HouseError> {
        let Some(event) = RoomEvent::from_stored(record)? else {
            return Ok(None);
        };
        if !event.is_visible() || event.placement != Placement::Live {
            return Ok(None);
        }
        if walk.notices.is_none() {
            let marks = self.read_marks(judge, walk).await?;
            walk.notices = Some(self.notices(judge, &walk.room_id, marks).await?);
        }
        let Some(notices) = &walk.notices else {
            return Ok(None);
        };
        self.judge(judge, notices, &event).await
    }

    /// The push rules of a user that are in force.
    pub(super) async fn judge_for(&self, user_id: &UserId) -> Result<Judge, HouseError> {
        let query = UserQuery::Judging;
        let UserAnswer::Judging(rules, ignored) = self.user_query(user_id, query).await? else {
            return Err(surprise("Judging"));
        };
        Ok(Judge {
            user_id: user_id.to_owned(),
            rules,
            ignored,
        })
    }

    /// Whether and how a user is notified about an event of a room.
    pub(super) async fn judge(
        &self,
        judge: &Judge,
        notices: &Notices,
        event: &Arc<RoomEvent>,
    ) -> Result<Option<Notice>, HouseError> {
        let related = self.related(judge, &notices.room_id, event).await?;
        Ok(notices.of(judge, event, &related))
    }

    /// What push rules look at besides an event.
    async fn related(
        &self,
        judge: &Judge,
        room_id: &RoomId,
        event: &Arc<RoomEvent>,
    ) -> Result<Related, HouseError> {
        let Some(query) = related::question(judge, std::iter::once(event)) else {
            return Ok(Related::default());
        };
        match self.room_query(room_id, query).await? {
            RoomAnswer::Live(related) => Ok(Related::new(&related)),
            _ => Err(surprise("Related")),
        }
    }

    /// What a room's notifications depend on.
    pub(super) async fn notices(
        &self,
        judge: &Judge,
        room_id: &RoomId,
        marks: ReadMarks,
    ) -> Result<Notices, HouseError> {
        let user_id = judge.user_id.clone();
        let query = RoomQuery::PushFacts { user_id };
        let RoomAnswer::PushFacts(facts) = self.room_query(room_id, query).await? else {
            return Err(surprise("PushFacts"));
        };
        Ok(Notices {
            room_id: room_id.to_owned(),
            facts: Arc::from(facts),
            marks,
        })
    }

    /// Up to where the user has read a room.
    async fn read_marks(&self, judge: &Judge, walk: &Walk) -> Result<ReadMarks, HouseError> {
        let user_id = judge.user_id.clone();
        let query = RoomQuery::OwnReceipts { user_id };
        match self.room_query(&walk.room_id, query).await? {
            RoomAnswer::Receipts(receipts) => Ok(marks_of(receipts, walk.stay)),
            _ => Err(surprise("OwnReceipts")),
        }
    }

    /// The events of notifications as the user sees them. What was redacted meanwhile is told as redacted, what may not be seen is left out.
    async fn told(
        &self,
        judge: &Judge,
        found: Vec<Found>,
    ) -> Result<Vec<Notification>, HouseError> {
        let mut by_room: BTreeMap<OwnedRoomId, Vec<Sequence>> = BTreeMap::new();
        for (place, _) in &found {
            let sequences = by_room.entry(place.room_id.clone()).or_default();
            sequences.push(place.sequence);
        }
        let mut events = BTreeMap::new();
        for (room_id, sequences) in by_room {
            let query = HitsQuery {
                reader: Reader {
                    user_id: judge.user_id.clone(),
                    device_id: None,
                    ignored: judge.ignored.iter().cloned().collect(),
                    forgotten: None,
                    sees_all: false,
                },
                sequences,
                filter: None,
                redacted: true,
                around: None,
            };
            for hit in self.hits(&room_id, query).await? {
                events.insert((room_id.clone(), hit.sequence), hit.event);
            }
        }
        let told = found.into_iter().filter_map(|(place, notice)| {
            let event = events.remove(&(place.room_id.clone(), place.sequence))?;
            Some(Notification {
                place,
                actions: notice.actions,
                read: notice.is_read,
                event,
            })
        });
        Ok(told.collect())
    }
}

/// A notification, without its event.
type Found = (NotificationPlace, Notice);
