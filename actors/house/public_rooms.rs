//! The public room list.

use playhouse_schema::models::{
    Model as _,
    memberships::Memberships,
    public_rooms::{self, ListedRoom, Place, PublicRooms},
    room_facts::RoomFacts,
};

use super::{House, HouseError};

/// So many rooms are looked at with one question.
const BATCH: usize = 256;

/// Which part of the public room list somebody wants.
#[derive(Clone, Debug, Default)]
pub struct ListWish {
    /// Only rooms whose name, topic or canonical alias holds this.
    pub term: Option<String>,
    /// Only rooms of these types (`None`: of no type); empty for all.
    pub room_types: Vec<Option<String>>,
    /// Where to begin.
    pub from: Option<ListToken>,
    /// At most so many rooms.
    pub limit: usize,
}

/// A place in the list, and which way to go from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListToken {
    place: Place,
    backwards: bool,
}

/// A page of the public room list, the largest rooms first.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// The rooms.
    pub rooms: Vec<ListedRoom>,
    /// What follows.
    pub next: Option<ListToken>,
    /// What precedes.
    pub previous: Option<ListToken>,
    /// How many rooms are listed, whatever was wanted.
    pub listed: u64,
}

impl ListToken {
    /// Reads what [`ListToken::write`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (way, place) = text.split_at_checked(1)?;
        let (joined, room_id) = place.split_once('~')?;
        Some(Self {
            backwards: match way {
                "p" => true,
                "n" => false,
                _ => return None,
            },
            place: Place {
                joined: joined.parse().ok()?,
                room_id: room_id.to_owned(),
            },
        })
    }

    /// The token as text.
    pub fn write(&self) -> String {
        let way = if self.backwards { 'p' } else { 'n' };
        format!("{way}{}~{}", self.place.joined, self.place.room_id)
    }

    fn at(room: Option<&ListedRoom>, backwards: bool) -> Option<Self> {
        let place = room?.place.clone();
        Some(Self { place, backwards })
    }
}

impl ListWish {
    fn wants(&self, room: &ListedRoom, term: &str) -> bool {
        let texts = [&room.name, &room.topic, &room.canonical_alias];
        let found = || {
            texts
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(term))
        };
        (self.room_types.is_empty() || self.room_types.contains(&room.room_type))
            && (term.is_empty() || found())
    }
}

impl House {
    /// A page of this server's public room list.
    pub async fn public_rooms(&self, wish: ListWish) -> Result<ListPage, HouseError> {
        for model in [PublicRooms::NAME, RoomFacts::NAME, Memberships::NAME] {
            self.models.caught_up(model).await?;
        }
        let store = &**self.models.store();
        let (mut rooms, more) = self.collect_rooms(&wish).await?;
        let backwards = wish.from.as_ref().is_some_and(|from| from.backwards);
        if backwards {
            rooms.reverse();
        }
        let (further, before) = if backwards {
            (true, more)
        } else {
            (more, wish.from.is_some())
        };
        Ok(ListPage {
            next: ListToken::at(rooms.last().filter(|_| further), false),
            previous: ListToken::at(rooms.first().filter(|_| before), true),
            rooms,
            listed: public_rooms::count(store).await?,
        })
    }

    /// The wanted rooms in the direction of the token, and whether there are more of them.
    async fn collect_rooms(&self, wish: &ListWish) -> Result<(Vec<ListedRoom>, bool), HouseError> {
        let store = &**self.models.store();
        let term = wish.term.as_deref().unwrap_or_default().to_lowercase();
        let mut place = wish.from.as_ref().map(|from| from.place.clone());
        let backwards = wish.from.as_ref().is_some_and(|from| from.backwards);
        let mut rooms = Vec::new();
        loop {
            let batch = match &place {
                Some(place) if backwards => public_rooms::before(store, place, BATCH).await?,
                place => public_rooms::after(store, place.as_ref(), BATCH).await?,
            };
            let is_last = batch.len() < BATCH;
            place = batch.last().map(|room| room.place.clone());
            for room in batch {
                if !wish.wants(&room, term.trim()) {
                    continue;
                }
                if rooms.len() == wish.limit {
                    return Ok((rooms, true));
                }
                rooms.push(room);
            }
            if is_last {
                return Ok((rooms, false));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_written() {
        for text in ["n7~!a~b:c", "p0~!x"] {
            assert_eq!(ListToken::parse(text).expect("a token").write(), text);
        }
        for text in ["", "x7~!a", "n7", "n~!a", "né~", "é"] {
            assert_eq!(ListToken::parse(text), None, "{text}");
        }
    }
}
