//! A board of which some destinations are on other nodes: those of a shard come and go together.
//!
//! Each shard has a position of its own in the database. When one comes, the log is read again from there for all that are here; what the others were given
//! before is not for them.

use parking_lot::RwLockReadGuard;
use playhouse_schema::{
    address::{Entity, Family, Position, Shard, ShardNumber},
    record::server::Lag,
};
use ruma::ServerName;

use super::{OutboxBoard, Parts, Place};

/// A destination takes something. As long as this is held its shard does not leave the board.
pub(super) struct Taking<'a> {
    _stays: Option<RwLockReadGuard<'a, Parts>>,
}

impl OutboxBoard {
    /// `Some` when a destination is here, and what lies at a place is news to it.
    pub(super) fn takes(&self, name: &ServerName, place: Option<&Place>) -> Option<Taking<'_>> {
        let Some(parts) = &self.parts else {
            return Some(Taking { _stays: None });
        };
        let parts = parts.read();
        let begun = parts.begun.get(&self.part_of(name))?;
        let is_news = place.is_none_or(|place| place.position > position_in(begun, place.shard));
        is_news.then_some(Taking {
            _stays: Some(parts),
        })
    }

    /// The shard of a destination.
    pub fn part_of(&self, name: &ServerName) -> ShardNumber {
        let entity = Entity::server(name.as_str());
        self.layout.shard_of(&entity).number
    }

    /// Whether destinations may be on other nodes.
    pub fn is_in_parts(&self) -> bool {
        self.parts.is_some()
    }

    /// Whether no destination is here.
    pub fn is_void(&self) -> bool {
        let parts = self.parts.as_ref();
        parts.is_some_and(|parts| parts.read().begun.is_empty())
    }

    /// The destinations of a shard come here.
    pub fn want(&self, number: ShardNumber) {
        if let Some(parts) = &self.parts {
            parts.write().wanted.want(number);
            self.wanted.notify_one();
        }
    }

    /// Destinations have come for which reading cannot begin before this time.
    pub fn put_off(&self, numbers: &[ShardNumber], until_ms: u64) {
        if let Some(parts) = &self.parts {
            parts.write().wanted.put_off(numbers, until_ms);
        }
    }

    /// For those it is time again for which reading could not begin before.
    pub fn want_again(&self, now_ms: u64) {
        if let Some(parts) = &self.parts {
            parts.write().wanted.again(now_ms);
            self.wanted.notify_one();
        }
    }

    /// Waits until destinations have come for which reading has not begun. One at a time may wait.
    pub async fn wanted(&self) -> Vec<ShardNumber> {
        loop {
            let Some(parts) = &self.parts else {
                return std::future::pending().await;
            };
            let wanted = parts.read().wanted.now();
            if !wanted.is_empty() {
                return wanted;
            }
            self.wanted.notified().await;
        }
    }

    /// Begins with the destinations of shards, each with the positions up to which they have everything. From where the log is to be read now.
    pub fn begin(&self, taken: Vec<(ShardNumber, Lag)>) -> Lag {
        let now = self.positions();
        let Some(parts) = &self.parts else {
            return now;
        };
        let mut parts = parts.write();
        for begun in parts.begun.values_mut() {
            *begun = combined(begun, &now, Position::max);
        }
        let mut from = (!parts.begun.is_empty()).then_some(now);
        for (number, at) in taken {
            // It may have left again meanwhile.
            if !parts.wanted.begin(number) {
                continue;
            }
            from = Some(match from {
                Some(from) => combined(&at, &from, Position::min),
                None => at.clone(),
            });
            parts.begun.insert(number, at);
        }
        drop(parts);
        if let Some(from) = &from {
            self.set_positions(from);
        }
        self.positions()
    }

    /// The destinations of a shard leave this node: up to where nothing of theirs is lost. Nothing is taken for them from now on.
    pub fn leave(&self, number: ShardNumber) -> Option<Lag> {
        let settled = self.settled_in(number);
        if let Some(parts) = &self.parts {
            // Nobody is posting any more when this is had, and nobody will.
            let mut parts = parts.write();
            parts.begun.remove(&number);
            parts.wanted.leave(number);
        }
        self.slots.retain(|name, _| self.part_of(name) != number);
        settled
    }

    /// The shards of destinations that are here, and up to where nothing of each is lost with this process.
    pub fn settled_parts(&self) -> Vec<(ShardNumber, Lag)> {
        let Some(parts) = &self.parts else {
            return Vec::new();
        };
        let numbers: Vec<_> = parts.read().begun.keys().copied().collect();
        let settled = numbers.into_iter();
        settled
            .filter_map(|number| Some((number, self.settled_in(number)?)))
            .collect()
    }

    fn settled_in(&self, number: ShardNumber) -> Option<Lag> {
        // Held to the end: were the shard to leave meanwhile, what waits for it would not be seen any more.
        let parts = self.parts.as_ref()?.read();
        let begun = parts.begun.get(&number)?;
        let distributed = combined(begun, &self.positions(), Position::max);
        Some(self.settled_for(distributed, |name| self.part_of(name) == number))
    }

    fn set_positions(&self, to: &Lag) {
        let families = [(&self.rooms, &to.rooms), (&self.users, &to.users)];
        for (positions, to) in families {
            for (number, position) in to {
                if let Some(known) = positions.get(usize::from(*number)) {
                    known.store(*position, std::sync::atomic::Ordering::Release);
                }
            }
        }
    }
}

/// Of two positions of each shard one; the second has all shards.
pub(crate) fn combined(
    one: &Lag,
    other: &Lag,
    choose: impl Fn(Position, Position) -> Position,
) -> Lag {
    let of = |one: &[(ShardNumber, Position)], other: &[(ShardNumber, Position)]| {
        let chosen = other.iter().map(|(number, position)| {
            let found = one.iter().find(|(known, _)| known == number);
            (*number, choose(found.map_or(0, |found| found.1), *position))
        });
        chosen.collect()
    };
    Lag {
        rooms: of(&one.rooms, &other.rooms),
        users: of(&one.users, &other.users),
    }
}

/// Where a shard stands; at 0 when it is absent.
pub(crate) fn position_in(lag: &Lag, shard: Shard) -> Position {
    let of_family = match shard.family {
        Family::Rooms => &lag.rooms,
        _ => &lag.users,
    };
    let found = of_family.iter().find(|(number, _)| *number == shard.number);
    found.map_or(0, |(_, position)| *position)
}

#[cfg(test)]
mod tests {
    use playhouse_schema::address::Layout;
    use ruma::{OwnedRoomId, OwnedServerName};

    use super::*;
    use crate::server::board::Positions;

    fn lag(position: Position) -> Lag {
        Lag {
            rooms: vec![(0, position), (1, 0)],
            users: vec![(0, 0), (1, 0)],
        }
    }

    fn place(position: Position) -> Place {
        let family = Family::Rooms;
        Place {
            shard: Shard { family, number: 0 },
            position,
            sequence: position,
        }
    }

    #[test]
    fn each_shard_is_given_what_it_has_not() {
        let layout = Layout { shards: 2, era: 0 };
        let board = OutboxBoard::in_parts(layout, &Positions::new(), &Positions::new());
        let room_id = OwnedRoomId::try_from("!a:x").expect("a room");
        let names = (0..50).map(|number| format!("s{number}.example"));
        let names = names.map(|name| OwnedServerName::try_from(name).expect("a name"));
        let (ones, others): (Vec<_>, Vec<_>) = names.partition(|name| board.part_of(name) == 1);
        let (one, other) = (&ones[0], &others[0]);
        assert!(board.is_void());
        assert!(!board.post_event(one, &room_id, &place(3)));
        board.want(1);
        assert_eq!(board.begin(vec![(1, lag(3))]), lag(3));
        assert!(!board.post_event(one, &room_id, &place(3)));
        assert!(board.post_event(one, &room_id, &place(5)));
        assert!(!board.post_event(other, &room_id, &place(5)));
        board.distributed(place(7).shard, 7);
        assert_eq!(board.settled_parts(), [(1, lag(4))]);
        // The other shard comes with an earlier position: the first is not given again what it has.
        board.want(0);
        assert_eq!(board.begin(vec![(0, lag(2))]), lag(2));
        assert!(!board.post_event(one, &room_id, &place(6)));
        assert!(board.post_event(other, &room_id, &place(6)));
        assert!(board.post_event(one, &room_id, &place(8)));
        assert_eq!(board.settled_parts(), [(0, lag(2)), (1, lag(4))]);
        assert_eq!(board.leave(1), Some(lag(4)));
        assert!(!board.post_event(one, &room_id, &place(9)));
        assert_eq!(board.settled_parts(), [(0, lag(2))]);
        // What was read of it before it left is not restored.
        let destinations = board.counts().destinations;
        board.restore(one, true, 7);
        assert_eq!(board.counts().destinations, destinations);
        assert!(!board.waits(one));
    }

    #[test]
    fn a_shard_does_not_leave_while_something_is_posted() {
        let layout = Layout { shards: 1, era: 0 };
        let board = OutboxBoard::in_parts(layout, &Positions::new(), &Positions::new());
        let name = OwnedServerName::try_from("a.example").expect("a name");
        board.want(0);
        board.begin(vec![(0, Lag::default())]);
        let parts = board.parts.as_ref().expect("it is in parts");
        let taking = board.takes(&name, None);
        assert!(taking.is_some() && parts.try_write().is_none());
        drop(taking);
        assert!(parts.try_write().is_some());
    }
}
