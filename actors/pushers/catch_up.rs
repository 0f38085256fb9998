//! Which events a user is to hear of: those that just came, and those that a pusher behind has missed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::{
    address::{Entity, Sequence},
    port::StoredRecord,
    record::{
        codec::Record as _,
        room::{RoomRecord, kind},
    },
};
use ruma::{OwnedRoomId, OwnedUserId};

use super::{
    board::Positions,
    body,
    delivery::{Candidate, Delivery, Halt, Job, Names},
    ledger::{Invite, Ledger, Reading},
    plan::{Target, Way},
    slot::{Batch, Dirty},
};
use crate::{
    room::{RoomAnswer, RoomError, RoomQuery, event::RoomEvent, message::PushFacts, told},
    user::{
        feed::unread::{ReadMarks, notices::Notices, related::Related},
        message::RoomNews,
        push_standing::RoomPositions,
        sync::counts,
    },
};

/// So many events of a room are pushed one by one when they come at once; of more the newest.
pub(super) const SINGLE_MAX: usize = 5;

/// So many unread events of a room are looked at.
const UNREAD_MAX: usize = 50;

/// An event, and the news that brought it if they are at hand.
type Found = (Arc<RoomEvent>, Option<Arc<RoomNews>>);

impl Delivery {
    /// The events that came just now, in their order.
    pub(super) async fn live(
        &self,
        ledger: &mut Ledger,
        batch: &Batch,
        reading: &Reading,
    ) -> Result<Vec<Candidate>, Halt> {
        let mut found = Vec::new();
        for (room_id, dirty) in &batch.rooms {
            ledger.hear(room_id, dirty);
            let from = dirty.first.sequence;
            if let Some(tally) = ledger.tally(reading, room_id).await? {
                let sequences = tally.newest_unread(from, UNREAD_MAX);
                let events = self.events(room_id, &sequences, Some(dirty)).await?;
                let notices = tally.notices(room_id);
                found.extend(self.judged(reading, &notices, events).await?);
            } else if let Some(invite) = ledger.invite(room_id)
                && invite.sequence >= from
            {
                found.extend(self.invited(reading, room_id, invite).await?);
            }
        }
        found.sort_by_key(|one| (one.recorded_ms, one.sequence));
        Ok(found)
    }

    /// The unread events that a pusher has missed, in their order.
    pub(super) async fn behind(
        &self,
        (target, lag): (&Target, &RoomPositions),
        (ledger, reading): (&mut Ledger, &Reading),
    ) -> Result<Vec<Candidate>, Halt> {
        let lag: Positions = lag.iter().copied().collect();
        let now = self.pushing.board().positions();
        ledger.follow_memberships(reading, &now).await?;
        let mut found = Vec::new();
        for room_id in ledger.rooms_after(&lag) {
            let Some(tally) = ledger.tally(reading, &room_id).await? else {
                continue;
            };
            let pushed = target.standing.pushed.get(room_id.as_str());
            let from = pushed.map_or(0, |(pushed, _)| pushed + 1);
            let sequences = tally.newest_unread(from, UNREAD_MAX);
            let events = self.events(&room_id, &sequences, None).await?;
            let notices = tally.notices(&room_id);
            found.extend(self.judged(reading, &notices, events).await?);
        }
        for (room_id, invite) in ledger.invites_after(&lag) {
            found.extend(self.invited(reading, &room_id, invite).await?);
        }
        found.retain(|one| one.position > lag.get(&one.shard).copied().unwrap_or(0));
        found.sort_by_key(|one| (one.recorded_ms, one.sequence));
        Ok(super::delivery::for_target(target, &found))
    }

    /// Events by their numbers.
    async fn events(
        &self,
        room_id: &OwnedRoomId,
        sequences: &[Sequence],
        dirty: Option<&Dirty>,
    ) -> Result<Vec<Found>, Halt> {
        let at_hand = dirty.map(at_hand).unwrap_or_default();
        let missing = sequences.iter().copied();
        let missing: Vec<_> = missing.filter(|one| !at_hand.contains_key(one)).collect();
        let mut read = BTreeMap::new();
        if !missing.is_empty() {
            let entity = Entity::room(room_id.as_str());
            for record in self
                .pushing
                .parts
                .store
                .read_some(&entity, &missing)
                .await?
            {
                if record.kind == kind::EVENT
                    && let Some(event) = RoomEvent::from_stored(&record)?
                {
                    read.insert(record.sequence, event);
                }
            }
        }
        let events = sequences.iter().filter_map(|sequence| {
            if let Some(news) = at_hand.get(sequence) {
                return Some((news.event()?.clone(), Some((*news).clone())));
            }
            Some((read.get(sequence)?.clone(), None))
        });
        Ok(events.collect())
    }

    /// Those events of a joined room that notify, and how.
    async fn judged(
        &self,
        reading: &Reading,
        notices: &Notices,
        events: Vec<Found>,
    ) -> Result<Vec<Candidate>, Halt> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let judge = &reading.judge;
        let alone: Vec<_> = events.iter().map(|(event, _)| event.clone()).collect();
        let room_id = &notices.room_id;
        let related = counts::related_to(&*reading.sources, judge, room_id, &alone).await;
        let related = related.or_else(lenient)?;
        let shard = self.pushing.parts.store.layout();
        let shard = shard.shard_of(&Entity::room(room_id.as_str())).number;
        let mut found = Vec::new();
        for (event, news) in events {
            let notice = match news.as_ref().and_then(|news| news.flat()) {
                Some(flat) => notices.of_flat(judge, (&event, flat), &related),
                None => notices.of(judge, &event, &related),
            };
            let Some(notice) = notice.filter(|notice| !notice.is_read) else {
                continue;
            };
            // What was taken back meanwhile is nobody's news any more.
            if !event.is_visible() || event.redacted_because().is_some() {
                continue;
            }
            found.push(Candidate {
                room_id: room_id.clone(),
                sequence: event.sequence,
                shard,
                position: event.position(),
                recorded_ms: event.recorded_ms(),
                event,
                notice,
                is_invite: false,
            });
        }
        Ok(found)
    }

    /// An invite, if it notifies.
    async fn invited(
        &self,
        reading: &Reading,
        room_id: &OwnedRoomId,
        invite: Invite,
    ) -> Result<Option<Candidate>, Halt> {
        let entity = Entity::room(room_id.as_str());
        let sequence = [invite.sequence];
        let read = self.pushing.parts.store.read_some(&entity, &sequence);
        let Some(record) = read.await?.into_iter().next() else {
            return Ok(None);
        };
        let Some(event) = invite_of(&record)? else {
            return Ok(None);
        };
        let judge = &reading.judge;
        let facts = counts::facts(&*reading.sources, judge, room_id).await;
        let facts = facts.map(Some).or_else(lenient)?;
        // Of a room in which this server is not nothing more is known.
        let facts = facts.unwrap_or(PushFacts {
            joined_count: 0,
            displayname: None,
            power_levels: None,
        });
        let notices = Notices {
            room_id: room_id.clone(),
            facts: Arc::new(facts),
            marks: ReadMarks::default(),
        };
        let notice = notices.of(judge, &event, &Related::default());
        Ok(notice.map(|notice| Candidate {
            room_id: room_id.clone(),
            sequence: invite.sequence,
            shard: invite.shard,
            position: record.position,
            recorded_ms: record.at_ms,
            event,
            notice,
            is_invite: true,
        }))
    }

    /// What the rooms and senders of all that goes out are called.
    pub(super) async fn names(&self, jobs: &[Job]) -> Result<Names, Halt> {
        let mut wanted: BTreeMap<OwnedRoomId, BTreeSet<OwnedUserId>> = BTreeMap::new();
        for candidate in jobs.iter().flat_map(named) {
            let members = wanted.entry(candidate.room_id.clone()).or_default();
            members.insert(candidate.event.pdu.sender.clone());
        }
        let mut names = Names::new();
        for (room_id, members) in wanted {
            let query = RoomQuery::PushNames {
                user_id: self.user_id.clone(),
                members: members.into_iter().collect(),
            };
            match self.pushing.parts.sources.ask_room(&room_id, query).await {
                Ok(RoomAnswer::PushNames(told)) => {
                    names.insert(room_id, *told);
                }
                Ok(_) => {}
                Err(error) => lenient(error)?,
            }
        }
        Ok(names)
    }
}

/// The news of a room by number, without those that later ones redact: these are read as they were left.
pub(super) fn at_hand(dirty: &Dirty) -> BTreeMap<Sequence, &Arc<RoomNews>> {
    let events = dirty.news.iter().filter_map(|news| news.event());
    let redacted: BTreeSet<_> = events
        .filter_map(|event| event.pdu.redacts.as_ref())
        .collect();
    let left = dirty.news.iter().filter(|news| {
        let event = news.event();
        event.is_none_or(|event| !redacted.contains(&event.pdu.event_id))
    });
    left.map(|news| (news.sequence, news)).collect()
}

/// The events of a job whose senders are told by name.
fn named(job: &Job) -> &[Candidate] {
    match job {
        Job::Push { target, pushes, .. } => match &target.way {
            Way::Http(gateway) if !gateway.event_id_only => pushes,
            _ => &[],
        },
        Job::Mail { unread, .. } => unread,
        Job::Later(_) => &[],
    }
}

/// The member event of an invite.
fn invite_of(record: &StoredRecord) -> Result<Option<Arc<RoomEvent>>, Halt> {
    if record.kind == kind::EVENT {
        return Ok(RoomEvent::from_stored(record)?);
    }
    let Some(RoomRecord::MembershipTold(told)) = RoomRecord::decode(record)? else {
        return Ok(None);
    };
    let event = told::event_of((record.sequence, record.position), &told);
    Ok(event.map(Arc::new))
}

/// A room that does not answer now is asked again; one that has no answer is gone on without.
fn lenient<T: Default>(error: RoomError) -> Result<T, Halt> {
    match error {
        RoomError::Unavailable(_) | RoomError::Store(_) => Err(error.into()),
        _ => Ok(T::default()),
    }
}

/// Of rooms with more than so many events only the newest, the newest of high priority, and the newest of those that stand out.
pub(super) fn thinned(mut events: Vec<Candidate>, single_max: usize) -> Vec<Candidate> {
    let mut rooms: BTreeMap<OwnedRoomId, (usize, [Option<Sequence>; 3])> = BTreeMap::new();
    for event in &events {
        let (count, newest) = rooms.entry(event.room_id.clone()).or_default();
        *count += 1;
        for newest in newest.iter_mut().take(1 + weight(event)) {
            *newest = (*newest).max(Some(event.sequence));
        }
    }
    events.retain(|event| {
        rooms.get(&event.room_id).is_none_or(|(count, newest)| {
            *count <= single_max || newest.contains(&Some(event.sequence))
        })
    });
    events
}

/// What is said later does not stand for what weighed more.
fn weight(event: &Candidate) -> usize {
    if event.notice.is_highlight {
        return 2;
    }
    usize::from(body::is_high(&event.event, &event.notice.actions))
}
