//! A page of history (client-server API, `GET /rooms/{roomId}/messages`).

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use playhouse_schema::{address::Sequence, record::room::Placement};
use ruma::{OwnedEventId, OwnedUserId, events::StateEventType};

use super::{
    super::{
        error::RoomError,
        message::{MessagesPage, MessagesQuery, Place, TimelinePoint},
        past::Stretch,
        state::Room,
    },
    View,
    filter::EventFilter,
    past::Moment,
    scroll::Scroll,
    timeline::{Gather, Shown},
    visibility::{Standing, member_key},
};

/// The most events of one page.
const LIMIT_MAX: usize = 1_000;

/// Answers a page.
pub(super) async fn messages(
    view: &mut View,
    query: &MessagesQuery,
) -> Result<MessagesPage, RoomError> {
    let room = view.room().clone();
    let filter = EventFilter::parse(query.filter.as_deref(), &room.room_id)?;
    let (mut sight, standing) = view.sight(&query.reader).await?;
    let end = match &standing {
        Standing::Departed(departure) => departure.sequence,
        _ => view.history.last,
    };
    let part = Part::of(view, query, end).await?;
    let scroll = part.scroll(&room, end);
    let limit = query
        .limit
        .min(filter.limit.unwrap_or(LIMIT_MAX))
        .clamp(1, LIMIT_MAX);
    let mut gather = Gather {
        sight: &mut sight,
        filter: &filter,
        ignored: &query.reader.ignored,
    };
    let gathered = gather.pick(&mut view.history, scroll, limit, false).await?;
    let mut next = gathered
        .stopped_at
        .map(|sequence| part.after(&room, sequence));
    let mut wants_past = false;
    if next.is_none() && part.ends_in_the_unknown(&room) {
        wants_past = gathered.shown.len() < limit;
        next = Some(room.past.oldest().map_or(Place::Live(0), Place::Past));
    }
    // Nothing of a room that began here stands before its first record.
    let is_over =
        next == Some(Place::Live(0)) && !wants_past && room.past.is_empty() && !has_past(&room);
    let state = if filter.lazy_load_members {
        senders(view, &gathered.shown, query.backwards).await?
    } else {
        Vec::new()
    };
    let form = view.form(&room, Some(&query.reader));
    Ok(MessagesPage {
        start: part.from,
        end: next.filter(|_| !is_over),
        wants_past,
        chunk: view
            .history
            .write_bundled(&form, &mut sight, &gathered.shown)
            .await?,
        state,
    })
}

/// Whether a room has a past that is not recorded with its timeline: its create event came with a join.
fn has_past(room: &Room) -> bool {
    let create = room.state_event(&StateEventType::RoomCreate, "");
    create.is_some_and(|create| create.placement != Placement::Live)
}

/// Whether a room has a past of which not all is known here.
pub(super) fn lacks_past(room: &Room) -> bool {
    has_past(room) && !room.past.is_whole()
}

/// The events that precede all that is known of a room and are not known.
pub(super) async fn old_ends(view: &View) -> Result<Vec<OwnedEventId>, RoomError> {
    let room = view.room();
    if !has_past(room) {
        return Ok(Vec::new());
    }
    if !room.past.is_empty() {
        return Ok(room.past.ends().to_vec());
    }
    let mut scroll = Scroll::forwards(1, view.history.last);
    while !scroll.is_done() {
        if let Some(first) = scroll.next(&view.history).await?.first() {
            return Ok(first.pdu.prev_events.clone());
        }
    }
    Ok(Vec::new())
}

/// The part of a room's timeline that a page may show.
struct Part {
    backwards: bool,
    from: Place,
    to: Option<Place>,
}

impl Part {
    async fn of(view: &View, query: &MessagesQuery, end: Sequence) -> Result<Self, RoomError> {
        let place = async |point| match point {
            TimelinePoint::Past(sequence) => Ok(Place::Past(sequence)),
            point => view.history.resolve(point).await.map(Place::Live),
        };
        let from = match query.from {
            Some(point) => place(point).await?,
            None if query.backwards => Place::Live(end),
            None => {
                let oldest = view.room().past.oldest();
                oldest.map_or(Place::Live(0), Place::Past)
            }
        };
        let to = match query.to {
            Some(point) => Some(place(point).await?),
            None => None,
        };
        Ok(Self {
            backwards: query.backwards,
            from,
            to,
        })
    }

    fn scroll(&self, room: &Room, end: Sequence) -> Scroll {
        if self.backwards {
            self.back(room, end)
        } else {
            self.on(room, end)
        }
    }

    fn back(&self, room: &Room, end: Sequence) -> Scroll {
        let (high, past) = match self.from {
            Place::Live(from) => (from.min(end), room.past.all()),
            Place::Past(sequence) => (0, room.past.older_than(sequence)),
        };
        match self.to {
            Some(Place::Live(to)) => Scroll::backwards(to + 1, high),
            Some(Place::Past(to)) => {
                let excluded = room.past.older_than(to);
                Scroll::backwards(1, high).with_past(without(past, &excluded))
            }
            None => Scroll::backwards(1, high).with_past(past),
        }
    }

    fn on(&self, room: &Room, end: Sequence) -> Scroll {
        let (low, past) = match self.from {
            Place::Live(from) => (from + 1, VecDeque::new()),
            Place::Past(sequence) => (1, room.past.newer_from(sequence)),
        };
        match self.to {
            Some(Place::Live(to)) => Scroll::forwards(low, to.min(end)).with_past(past),
            Some(Place::Past(to)) => {
                let excluded = room.past.newer_from(to);
                Scroll::forwards(1, 0).with_past(without(past, &excluded))
            }
            None => Scroll::forwards(low, end).with_past(past),
        }
    }

    /// Where to go on behind a record. A live token stands just after a record, so going back continues before the last one seen, and going on after it; one of
    /// the past stands just before its record.
    fn after(&self, room: &Room, sequence: Sequence) -> Place {
        match (room.past.contains(sequence), self.backwards) {
            (true, true) => Place::Past(sequence),
            (true, false) => room
                .past
                .after(sequence)
                .map_or(Place::Live(0), Place::Past),
            (false, true) => Place::Live(sequence - 1),
            (false, false) => Place::Live(sequence),
        }
    }

    /// Whether, behind all that there was to look at, there may be more that only other servers know.
    fn ends_in_the_unknown(&self, room: &Room) -> bool {
        self.backwards && self.to.is_none() && lacks_past(room)
    }
}

/// Some stretches without those parts of them that are among others.
fn without(stretches: VecDeque<Stretch>, others: &VecDeque<Stretch>) -> VecDeque<Stretch> {
    let cut = |(first, last): Stretch| {
        let inside = others
            .iter()
            .find(|(low, high)| *low <= last && first <= *high);
        match inside {
            None => Some((first, last)),
            Some((low, _)) if first < *low => Some((first, low - 1)),
            Some((_, high)) if *high < last => Some((high + 1, last)),
            Some(_) => None,
        }
    };
    stretches.into_iter().filter_map(cut).collect()
}

/// The member events of the senders of some events, as of the newest of them.
async fn senders(
    view: &mut View,
    shown: &[Shown],
    backwards: bool,
) -> Result<Vec<Bytes>, RoomError> {
    let newest = if backwards {
        shown.first()
    } else {
        shown.last()
    };
    let Some(newest) = newest else {
        return Ok(Vec::new());
    };
    let moment = view.history.after_event(&newest.event);
    let senders = shown.iter().map(|shown| shown.event.pdu.sender.clone());
    members_at(view, moment, senders.collect()).await
}

/// The member events of some users at a moment.
pub(super) async fn members_at(
    view: &mut View,
    moment: Moment,
    users: BTreeSet<OwnedUserId>,
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let mut members = Vec::with_capacity(users.len());
    for user_id in users {
        let member = view.history.value(moment, &member_key(&user_id)).await?;
        members.extend(member.map(|event| view.form(&room, None).state(&event)));
    }
    Ok(members)
}
