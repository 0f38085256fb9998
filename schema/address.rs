//! Where a record lives: families, shards, entities, places.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::chain;

/// The number of bits of a [`Place`] that hold the position within the shard.
const POSITION_BITS: u32 = 48;

/// One of the three families of shards. Each has its own shard map and its own writer pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// Room events, receipts, aliases.
    Rooms,
    /// Accounts, devices, keys, key backups, account data, to-device messages, media metadata, e-mail addresses.
    Users,
    /// Remote servers and what belongs to this server itself.
    Servers,
}

impl Family {
    /// All families, in a fixed order.
    pub const ALL: [Family; 3] = [Family::Rooms, Family::Users, Family::Servers];

    /// The family's name in table and file names.
    pub fn name(self) -> &'static str {
        match self {
            Family::Rooms => "rooms",
            Family::Users => "users",
            Family::Servers => "servers",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A shard number within its family, below [`Layout::shards`].
pub type ShardNumber = u16;

/// A position within a shard: the first record of a shard has position 1, and there are no gaps.
pub type Position = u64;

/// A number within an entity: the first record of an entity has sequence 1, and there are no gaps.
pub type Sequence = u64;

/// A shard of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// The family.
    pub family: Family,
    /// The number within the family.
    pub number: ShardNumber,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family, self.number)
    }
}

/// Shard and position in one integer: the primary key of a log table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(i64);

impl Place {
    /// Joins a shard number (below 64, see [`Layout`]) and a position.
    pub fn new(shard: ShardNumber, position: Position) -> Self {
        Self((i64::from(shard) << POSITION_BITS) | (position & ((1 << POSITION_BITS) - 1)) as i64)
    }

    /// Reads back what a database column holds.
    pub fn from_column(column: i64) -> Self {
        Self(column)
    }

    /// As a database column.
    pub fn column(self) -> i64 {
        self.0
    }

    /// The shard number.
    pub fn shard(self) -> ShardNumber {
        (self.0 >> POSITION_BITS) as ShardNumber
    }

    /// The position within the shard.
    pub fn position(self) -> Position {
        (self.0 & ((1 << POSITION_BITS) - 1)) as Position
    }
}

/// How many shards each family has. Fixed when the database is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Shards in each family, 1 to 64.
    pub shards: ShardNumber,
    /// Which life of the log it is: 0 for one that was never restored from a backup, and another number after each time. Positions that the life before had
    /// given are given again, for something else: whoever was told one then must not be believed now.
    #[serde(default)]
    pub era: u32,
}

impl Layout {
    /// The most shards a family may have: they are the unit of tokens, which must stay short.
    pub const SHARDS_MAX: ShardNumber = 64;

    /// The shard of an entity. Stable for ever: it decides where records are found.
    pub fn shard_of(self, entity: &Entity) -> Shard {
        let digest = chain::digest(entity.as_str().as_bytes());
        let number = u64::from_be_bytes(
            digest[..8]
                .try_into()
                .expect("a SHA-256 digest has 32 bytes"),
        );
        Shard {
            family: entity.family(),
            number: (number % u64::from(self.shards)) as ShardNumber,
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self { shards: 16, era: 0 }
    }
}

/// Something that owns state and writes records: `room:!id`, `alias:#name`, `user:@id`, `backup:@id`, `media:id`, `threepid:digest`, `server:name`, `keys:name`, `peer_user:@id` or `house:topic`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entity(Arc<str>);

impl Entity {
    /// A room, by its room ID.
    pub fn room(room_id: &str) -> Self {
        Self(format!("room:{room_id}").into())
    }

    /// A room alias, with its leading `#`.
    pub fn alias(alias: &str) -> Self {
        Self(format!("alias:{alias}").into())
    }

    /// A local user, by the full user ID.
    pub fn user(user_id: &str) -> Self {
        Self(format!("user:{user_id}").into())
    }

    /// The key backups of a local user, by the full user ID.
    pub fn backup(user_id: &str) -> Self {
        Self(format!("backup:{user_id}").into())
    }

    /// A piece of media of this server, by its media ID.
    pub fn media(media_id: &str) -> Self {
        Self(format!("media:{media_id}").into())
    }

    /// An e-mail address or a phone number, by a digest of it.
    pub fn threepid(digest: &str) -> Self {
        Self(format!("threepid:{digest}").into())
    }

    /// A remote server, by its server name.
    pub fn server(server_name: &str) -> Self {
        Self(format!("server:{server_name}").into())
    }

    /// What is known of a remote server's keys, by its server name.
    pub fn peer_keys(server_name: &str) -> Self {
        Self(format!("keys:{server_name}").into())
    }

    /// What is known of another server's user, by the full user ID.
    pub fn peer_user(user_id: &str) -> Self {
        Self(format!("peer_user:{user_id}").into())
    }

    /// A topic of this server itself, for example `registration`.
    pub fn house(topic: &str) -> Self {
        Self(format!("house:{topic}").into())
    }

    /// Reads back what [`Entity::as_str`] gave. `None` when the prefix is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, _) = text.split_once(':')?;
        matches!(
            prefix,
            "room"
                | "alias"
                | "user"
                | "backup"
                | "media"
                | "threepid"
                | "server"
                | "keys"
                | "peer_user"
                | "house"
        )
        .then(|| Self(text.into()))
    }

    /// The whole name with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its prefix.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }

    /// The prefix: `room`, `user` and so on.
    pub fn prefix(&self) -> &str {
        self.0.split_once(':').map_or("", |(prefix, _)| prefix)
    }

    /// The family whose shards hold this entity.
    pub fn family(&self) -> Family {
        match self.prefix() {
            "room" | "alias" => Family::Rooms,
            "user" | "backup" | "media" | "threepid" | "peer_user" => Family::Users,
            _ => Family::Servers,
        }
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_splits_again() {
        let place = Place::new(63, (1 << 48) - 1);
        assert_eq!((place.shard(), place.position()), (63, (1 << 48) - 1));
        assert!(place.column() > 0);
    }

    #[test]
    fn shards_never_move() {
        let layout = Layout::default();
        assert_eq!(
            layout.shard_of(&Entity::room("!a:example.org")).number,
            layout.shard_of(&Entity::room("!a:example.org")).number
        );
        assert_eq!(
            layout.shard_of(&Entity::user("@a:example.org")).family,
            Family::Users
        );
    }
}
