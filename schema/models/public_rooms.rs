//! Which rooms are in the public room list.

use super::{Columns, Model, first, number, of_gone, rows, text, truth};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{RoomRecord, kind},
    },
};

const TABLES: [&str; 1] = [
    "CREATE TABLE IF NOT EXISTS public_rooms_1 (room_id {{text}} PRIMARY KEY, public BIGINT NOT NULL)",
];

macro_rules! listing {
    ($place:literal, $order:literal) => {
        concat!(
            "SELECT l.room_id, l.joined, name.value, topic.value, avatar.value, alias.value, guests.value, \
             rule.value, visibility.value, kind.value FROM (SELECT p.room_id AS room_id, \
             (SELECT count(*) FROM memberships_1 m WHERE m.room_id = p.room_id AND m.membership = 'join') AS joined \
             FROM public_rooms_1 p WHERE p.public = 1) l \
             LEFT JOIN room_facts_1 name ON name.room_id = l.room_id AND name.fact = 'name' \
             LEFT JOIN room_facts_1 topic ON topic.room_id = l.room_id AND topic.fact = 'topic' \
             LEFT JOIN room_facts_1 avatar ON avatar.room_id = l.room_id AND avatar.fact = 'avatar' \
             LEFT JOIN room_facts_1 alias ON alias.room_id = l.room_id AND alias.fact = 'alias' \
             LEFT JOIN room_facts_1 guests ON guests.room_id = l.room_id AND guests.fact = 'guests' \
             LEFT JOIN room_facts_1 rule ON rule.room_id = l.room_id AND rule.fact = 'join_rule' \
             LEFT JOIN room_facts_1 visibility ON visibility.room_id = l.room_id AND visibility.fact = 'visibility' \
             LEFT JOIN room_facts_1 kind ON kind.room_id = l.room_id AND kind.fact = 'type' \
             WHERE l.joined > 0 AND (", $place, ") ORDER BY ", $order, " LIMIT $3"
        )
    };
}

pub(super) const SET: &str = "INSERT INTO public_rooms_1 (room_id, public) VALUES ($1, $2) \
     ON CONFLICT (room_id) DO UPDATE SET public = excluded.public";

pub(super) const EMPTY: &str = "DELETE FROM public_rooms_1 WHERE room_id = $1";

pub(super) const LIST: &str = "SELECT room_id FROM public_rooms_1 WHERE public = 1 AND room_id > $1 ORDER BY room_id LIMIT $2";

/// What follows a place in the list of all listed rooms with members, the largest first.
pub(super) const AFTER: &str = listing!(
    "l.joined < $1 OR (l.joined = $1 AND l.room_id > $2)",
    "l.joined DESC, l.room_id"
);

/// What precedes a place in that list, the nearest first.
pub(super) const BEFORE: &str = listing!(
    "l.joined > $1 OR (l.joined = $1 AND l.room_id < $2)",
    "l.joined, l.room_id DESC"
);

pub(super) const LISTED: &str = "SELECT count(*) FROM public_rooms_1 p WHERE p.public = 1 \
     AND EXISTS (SELECT 1 FROM memberships_1 m WHERE m.room_id = p.room_id AND m.membership = 'join')";

pub(super) const GET: &str = "SELECT public FROM public_rooms_1 WHERE room_id = $1";

/// The model.
pub struct PublicRooms;

/// A place in the list, of a room that is or was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The room's joined members.
    pub joined: u64,
    /// The room.
    pub room_id: String,
}

/// A listed room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRoom {
    /// Where it stands.
    pub place: Place,
    /// Name, if any.
    pub name: Option<String>,
    /// Topic, if any.
    pub topic: Option<String>,
    /// Avatar, if any.
    pub avatar_url: Option<String>,
    /// Canonical alias, if any.
    pub canonical_alias: Option<String>,
    /// `guest_access`, if any.
    pub guest_access: Option<String>,
    /// `join_rule`, if any.
    pub join_rule: Option<String>,
    /// `history_visibility`, if any.
    pub history_visibility: Option<String>,
    /// `type` of the create event.
    pub room_type: Option<String>,
}

impl Model for PublicRooms {
    const NAME: &'static str = "public_rooms";
    const TABLE: &'static str = "public_rooms_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.kind == kind::EMPTIED {
            return Ok(vec![of_gone(EMPTY, record)]);
        }
        if record.kind != kind::DIRECTORY_VISIBILITY_SET {
            return Ok(Vec::new());
        }
        let Some(RoomRecord::DirectoryVisibilitySet(set)) = RoomRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        Ok(vec![Statement {
            sql: SET,
            values: vec![text(record.entity.name()), truth(set.public)],
        }])
    }
}

/// Listed rooms by room ID: at most `limit` after `after` (empty for the first).
pub async fn list(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (LIST, values), Columns::text).await
}

/// Whether a room is listed.
pub async fn is_public(store: &dyn ModelStore, room_id: &str) -> Result<bool, StoreError> {
    let public = first(store, (GET, vec![text(room_id)]), Columns::truth).await?;
    Ok(public.unwrap_or(false))
}

/// Listed rooms with members, the largest first: at most `limit` after a place (`None` for the first). Asks this model, `room_facts` and `memberships`.
pub async fn after(
    store: &dyn ModelStore,
    place: Option<&Place>,
    limit: usize,
) -> Result<Vec<ListedRoom>, StoreError> {
    let (joined, room_id) = place.map_or((u64::MAX, ""), |place| (place.joined, &place.room_id));
    let values = vec![number(joined), text(room_id), number(limit as u64)];
    rows(store, (AFTER, values), read).await
}

/// Listed rooms with members before a place, the nearest first: at most `limit`.
pub async fn before(
    store: &dyn ModelStore,
    place: &Place,
    limit: usize,
) -> Result<Vec<ListedRoom>, StoreError> {
    let values = vec![
        number(place.joined),
        text(&place.room_id),
        number(limit as u64),
    ];
    rows(store, (BEFORE, values), read).await
}

/// How many rooms with members are listed.
pub async fn count(store: &dyn ModelStore) -> Result<u64, StoreError> {
    let count = first(store, (LISTED, Vec::new()), Columns::number).await?;
    Ok(count.unwrap_or(0))
}

fn read(columns: &mut Columns) -> Result<ListedRoom, StoreError> {
    Ok(ListedRoom {
        place: Place {
            room_id: columns.text()?,
            joined: columns.number()?,
        },
        name: columns.optional_text()?,
        topic: columns.optional_text()?,
        avatar_url: columns.optional_text()?,
        canonical_alias: columns.optional_text()?,
        guest_access: columns.optional_text()?,
        join_rule: columns.optional_text()?,
        history_visibility: columns.optional_text()?,
        room_type: columns.optional_text()?,
    })
}
