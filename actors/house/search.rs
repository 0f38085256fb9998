//! Searching the messages of all rooms that somebody is or was in.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use playhouse_schema::models::{
    Model as _,
    memberships::Memberships,
    message_search::{self, After, FoundEvent, MessageSearch, NAMES_MAX, Order, Wanted},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use super::{House, HouseError, surprise};
use crate::{
    room::{
        RoomAnswer, RoomError, RoomQuery,
        hits::{Around, Hit, HitsQuery},
        message::{JsonText, Reader},
    },
    user::{UserAnswer, UserQuery},
};

/// So many found events are looked at for one page.
const EXAMINED_MAX: usize = 2_000;

/// So many rooms are asked at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// What somebody looks for.
#[derive(Clone, Debug)]
pub struct SearchWish {
    /// Who.
    pub user_id: OwnedUserId,
    /// The device, which is told the transactions of its own events.
    pub device_id: Option<String>,
    /// The words.
    pub term: String,
    /// Which fields; all when there are none.
    pub fields: Vec<&'static str>,
    /// Only in these rooms, and those that they replaced.
    pub rooms: Option<BTreeSet<String>>,
    /// Not in these rooms.
    pub not_rooms: BTreeSet<String>,
    /// Only of these senders.
    pub senders: Option<BTreeSet<String>>,
    /// What else is wanted: a `RoomEventFilter` as JSON, without its rooms.
    pub filter: Option<JsonText>,
    /// In which order.
    pub order: Order,
    /// After what the last page ended with.
    pub after: After,
    /// At most so many.
    pub limit: usize,
    /// What is wanted around each.
    pub around: Option<Around>,
    /// The state of the rooms in which something is found.
    pub state: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct SearchPage {
    /// In the order asked.
    pub found: Vec<(FoundEvent, Hit)>,
    /// Where to go on; `None` at the end.
    pub next: Option<After>,
    /// How many there are in all, roughly.
    pub count: u64,
    /// The state of rooms, if that was asked for.
    pub state: BTreeMap<OwnedRoomId, Vec<Bytes>>,
}

impl House {
    /// Looks for messages.
    pub async fn search(&self, wish: SearchWish) -> Result<SearchPage, HouseError> {
        for model in [Memberships::NAME, MessageSearch::NAME] {
            // While the index is built for the first time there is less to find, and no use in waiting.
            if self.models.caught_up(model).await.is_err() {
                tracing::warn!(model, "a search goes by what is there");
            }
        }
        let rooms = match &wish.rooms {
            Some(rooms) => Some(self.with_replaced(rooms, &wish.user_id).await?),
            None => None,
        };
        let mut search = Search {
            house: self,
            wish: &wish,
            rooms,
            readers: BTreeMap::new(),
        };
        let mut page = search.page().await?;
        if wish.state {
            page.state = search.states(&page).await?;
        }
        Ok(page)
    }

    /// Rooms, and those that they replaced, as far as a question may name them.
    async fn with_replaced(
        &self,
        rooms: &BTreeSet<String>,
        user_id: &OwnedUserId,
    ) -> Result<BTreeSet<String>, HouseError> {
        let mut all = rooms.clone();
        let mut left: Vec<String> = rooms.iter().cloned().collect();
        while let Some(room_id) = left.pop() {
            if all.len() >= NAMES_MAX {
                break;
            }
            let Ok(room_id) = OwnedRoomId::try_from(room_id) else {
                continue;
            };
            match self.room_access(&room_id, user_id).await {
                Ok(access) => {
                    let replaced = access.predecessor.map(String::from);
                    left.extend(replaced.filter(|replaced| all.insert(replaced.clone())));
                }
                Err(HouseError::Room(RoomError::UnknownRoom) | HouseError::Unreachable(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

/// One search under way.
struct Search<'a> {
    house: &'a House,
    wish: &'a SearchWish,
    rooms: Option<BTreeSet<String>>,
    readers: BTreeMap<OwnedRoomId, Reader>,
}

/// Names for a question, when they are few enough to be named in it.
fn few(names: Option<&BTreeSet<String>>) -> Vec<&str> {
    let names = names.filter(|names| names.len() <= NAMES_MAX);
    names
        .map(|names| names.iter().map(String::as_str).collect())
        .unwrap_or_default()
}

impl Search<'_> {
    async fn page(&mut self) -> Result<SearchPage, HouseError> {
        let (wish, rooms) = (self.wish, self.rooms.clone());
        let (rooms, senders) = (few(rooms.as_ref()), few(wish.senders.as_ref()));
        let is_empty = |names: Option<&BTreeSet<String>>| names.is_some_and(BTreeSet::is_empty);
        if is_empty(self.rooms.as_ref()) || is_empty(wish.senders.as_ref()) {
            return Ok(SearchPage::default());
        }
        let wanted = Wanted {
            term: &wish.term,
            user_id: wish.user_id.as_str(),
            fields: &wish.fields,
            rooms: &rooms,
            senders: &senders,
        };
        let store = &**self.house.models.store();
        let mut page = SearchPage::default();
        let (mut after, mut examined) = (wish.after, 0);
        // One more than is wanted tells whether there is more.
        let at_once = (wish.limit + 1).max(50);
        'pages: loop {
            let some = message_search::find(store, &wanted, (wish.order, after), at_once).await?;
            examined += some.len();
            let is_last = some.len() < at_once;
            let mut hits = self.ask(&some, None).await?;
            for event in some {
                let place = After::from(&event);
                if let Some(hit) = hits.remove(&(event.room_id.clone(), event.sequence)) {
                    if page.found.len() >= wish.limit {
                        page.next = Some(after);
                        break 'pages;
                    }
                    page.found.push((event, hit));
                }
                after = place;
            }
            if is_last {
                break;
            }
            if examined >= EXAMINED_MAX {
                page.next = Some(after);
                break;
            }
        }
        page.count = if page.next.is_none() && wish.after == After::BEGINNING {
            page.found.len() as u64
        } else {
            message_search::count(store, &wanted).await?
        };
        if let Some(around) = wish.around {
            self.surround(&mut page, around).await?;
        }
        Ok(page)
    }

    /// Fetches what is around the events of a page.
    async fn surround(&mut self, page: &mut SearchPage, around: Around) -> Result<(), HouseError> {
        let events: Vec<_> = page.found.iter().map(|(event, _)| event.clone()).collect();
        let mut hits = self.ask(&events, Some(around)).await?;
        for (event, hit) in &mut page.found {
            if let Some(found) = hits.remove(&(event.room_id.clone(), event.sequence)) {
                *hit = found;
            }
        }
        Ok(())
    }

    /// Those of some found events that are wanted and may be seen, by room and number.
    async fn ask(
        &mut self,
        events: &[FoundEvent],
        around: Option<Around>,
    ) -> Result<BTreeMap<(String, u64), Hit>, HouseError> {
        let mut by_room: BTreeMap<OwnedRoomId, Vec<u64>> = BTreeMap::new();
        for event in events.iter().filter(|event| self.may_fit(event)) {
            if let Ok(room_id) = RoomId::parse(&event.room_id) {
                by_room.entry(room_id).or_default().push(event.sequence);
            }
        }
        let mut questions = Vec::with_capacity(by_room.len());
        for (room_id, sequences) in by_room {
            let query = HitsQuery {
                reader: self.reader(&room_id).await?,
                sequences,
                filter: self.wish.filter.clone(),
                redacted: false,
                around,
            };
            questions.push((room_id, query));
        }
        let house = self.house;
        let answers = questions.into_iter().map(|(room_id, query)| async move {
            let hits = house.hits(&room_id, query).await?;
            Ok::<_, HouseError>((room_id, hits))
        });
        let answers: Vec<_> = stream::iter(answers)
            .buffered(ROOMS_AT_ONCE)
            .collect()
            .await;
        let mut found = BTreeMap::new();
        for answer in answers {
            let (room_id, hits) = answer?;
            for hit in hits {
                found.insert((room_id.to_string(), hit.sequence), hit);
            }
        }
        Ok(found)
    }

    fn may_fit(&self, event: &FoundEvent) -> bool {
        let fits = |names: Option<&BTreeSet<String>>, name: &String| {
            names.is_none_or(|names| names.contains(name))
        };
        fits(self.rooms.as_ref(), &event.room_id)
            && fits(self.wish.senders.as_ref(), &event.sender)
            && !self.wish.not_rooms.contains(&event.room_id)
    }

    async fn reader(&mut self, room_id: &OwnedRoomId) -> Result<Reader, HouseError> {
        if let Some(reader) = self.readers.get(room_id) {
            return Ok(reader.clone());
        }
        let wish = self.wish;
        let query = UserQuery::Reading(room_id.clone());
        let UserAnswer::Reading(ignored, forgotten) =
            self.house.user_query(&wish.user_id, query).await?
        else {
            return Err(surprise("Reading"));
        };
        let reader = Reader {
            user_id: wish.user_id.clone(),
            device_id: wish.device_id.clone(),
            ignored,
            forgotten,
            sees_all: false,
        };
        self.readers.insert(room_id.clone(), reader.clone());
        Ok(reader)
    }

    async fn states(
        &mut self,
        page: &SearchPage,
    ) -> Result<BTreeMap<OwnedRoomId, Vec<Bytes>>, HouseError> {
        let rooms = page.found.iter().map(|(event, _)| event.room_id.as_str());
        let rooms: BTreeSet<&str> = rooms.collect();
        let mut states = BTreeMap::new();
        for room_id in rooms.into_iter().filter_map(|id| RoomId::parse(id).ok()) {
            let query = RoomQuery::State {
                reader: self.reader(&room_id).await?,
            };
            match self.house.room_query(&room_id, query).await? {
                RoomAnswer::Events(events) => states.insert(room_id, events),
                _ => return Err(surprise("State")),
            };
        }
        Ok(states)
    }
}

impl House {
    /// Events of a room by their numbers; none of a room that the reader may not look into.
    pub(super) async fn hits(
        &self,
        room_id: &RoomId,
        query: HitsQuery,
    ) -> Result<Vec<Hit>, HouseError> {
        match self
            .room_query(room_id, RoomQuery::Hits(Box::new(query)))
            .await
        {
            Ok(RoomAnswer::Hits(hits)) => Ok(hits),
            Ok(_) => Err(surprise("Hits")),
            Err(RoomError::Forbidden(_) | RoomError::UnknownRoom) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
