//! The list of rooms in the order wanted, with how many are in each.

use super::super::{
    Columns, first, number, rows, text, truth,
    user_names::{escaped, fold},
};
use crate::port::{ModelStore, StoreError, Value};

/// The condition, with its places: folded name, alias, room ID, bounds of being public, bounds of being empty. Nobody is looked for where these let all in.
macro_rules! wanted {
    ($name:literal, $alias:literal, $id:literal, $public:literal, ($least:literal, $most:literal)) => {
        concat!(
            " WHERE (COALESCE(r.folded, '') LIKE ",
            $name,
            " ESCAPE '!' OR COALESCE(r.folded_alias, '') LIKE ",
            $alias,
            " ESCAPE '!' OR r.room_id = ",
            $id,
            ") AND r.public BETWEEN ",
            $public,
            " AND (CAST(",
            $least,
            " AS BIGINT) < CAST(",
            $most,
            " AS BIGINT) OR CASE WHEN EXISTS (SELECT 1 FROM memberships_1 m WHERE m.room_id = r.room_id AND m.membership = 'join') \
             THEN 0 ELSE 1 END = CAST(",
            $least,
            " AS BIGINT))"
        )
    };
}

/// A room with its counts; the first place is the pattern of this server's users.
macro_rules! room {
    () => {
        "SELECT p.room_id, p.version, p.creator, p.federatable, p.room_type, p.public, p.name, p.alias, p.encryption, p.join_rules, \
         p.guest_access, p.history_visibility, \
         (SELECT count(*) FROM memberships_1 m WHERE m.room_id = p.room_id AND m.membership = 'join'), \
         (SELECT count(*) FROM memberships_1 m WHERE m.room_id = p.room_id AND m.membership = 'join' AND m.user_id LIKE $1 ESCAPE '!'), \
         p.state_events + (SELECT count(*) FROM memberships_1 m WHERE m.room_id = p.room_id)"
    };
}

/// The whole list. Counts are made for the page only, unless it is sorted by one.
macro_rules! list {
    ($first:literal, $direction:literal, $second:literal) => {
        concat!(
            room!(),
            " FROM (SELECT r.*, ROW_NUMBER() OVER (ORDER BY ",
            $first,
            $direction,
            $second,
            $direction,
            ", r.room_id ",
            $direction,
            ") AS place FROM rooms_1 r",
            wanted!("$3", "$4", "$5", "$6 AND $7", ("$8", "$9")),
            " ORDER BY place LIMIT $10 OFFSET $11) p ORDER BY p.place"
        )
    };
}

/// By what is said of a room.
macro_rules! by_column {
    ($direction:literal) => {
        list!(
            "CASE CAST($2 AS TEXT) WHEN 'federatable' THEN r.federatable WHEN 'public' THEN r.public ELSE 0 END ",
            $direction,
            ", CASE CAST($2 AS TEXT) WHEN 'name' THEN COALESCE(r.name, '') WHEN 'canonical_alias' THEN COALESCE(r.alias, '') \
             WHEN 'version' THEN r.version WHEN 'creator' THEN r.creator WHEN 'encryption' THEN COALESCE(r.encryption, '') \
             WHEN 'join_rules' THEN COALESCE(r.join_rules, '') WHEN 'guest_access' THEN COALESCE(r.guest_access, '') \
             WHEN 'history_visibility' THEN COALESCE(r.history_visibility, '') ELSE '' END "
        )
    };
}

/// By how many there are of something.
macro_rules! by_count {
    ($direction:literal) => {
        list!(
            "CASE CAST($2 AS TEXT) \
             WHEN 'joined_members' THEN (SELECT count(*) FROM memberships_1 m WHERE m.room_id = r.room_id AND m.membership = 'join') \
             WHEN 'joined_local_members' THEN (SELECT count(*) FROM memberships_1 m WHERE m.room_id = r.room_id AND m.membership = 'join' \
             AND m.user_id LIKE $1 ESCAPE '!') \
             ELSE r.state_events + (SELECT count(*) FROM memberships_1 m WHERE m.room_id = r.room_id) END ",
            $direction,
            ", r.room_id "
        )
    };
}

/// Rising, and falling.
pub(in crate::models) const BY_COLUMN: [&str; 2] = [by_column!("ASC"), by_column!("DESC")];

/// Rising, and falling.
pub(in crate::models) const BY_COUNT: [&str; 2] = [by_count!("ASC"), by_count!("DESC")];

pub(in crate::models) const COUNT: &str = concat!(
    "SELECT count(*) FROM rooms_1 r",
    wanted!("$1", "$2", "$3", "$4 AND $5", ("$6", "$7"))
);

pub(in crate::models) const GET: &str = concat!(room!(), " FROM rooms_1 p WHERE p.room_id = $2");

pub(in crate::models) const NAMES: &str = "SELECT name, alias FROM rooms_1 WHERE room_id = $1";

/// Which rooms are wanted, in what order.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// This server.
    pub server_name: String,
    /// Whose name or alias has this in it, or whose ID this is.
    pub term: Option<String>,
    /// Only those in the public list, or only the others.
    pub public: Option<bool>,
    /// Only those without joined members, or only the others.
    pub empty: Option<bool>,
    /// Sorted by this: `name`, `canonical_alias`, `joined_members`, `joined_local_members`, `version`, `creator`, `encryption`, `federatable`, `public`,
    /// `join_rules`, `guest_access`, `history_visibility` or `state_events`. What is alike is sorted by room ID.
    pub order_by: String,
    /// The greatest first.
    pub falling: bool,
    /// After so many.
    pub from: u64,
    /// At most so many.
    pub limit: u64,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its ID.
    pub room_id: String,
    /// Its version.
    pub version: String,
    /// Who made it.
    pub creator: String,
    /// Users of other servers may come in.
    pub federatable: bool,
    /// `type` of the create event.
    pub room_type: Option<String>,
    /// In the public list.
    pub public: bool,
    /// Name, if any.
    pub name: Option<String>,
    /// Canonical alias, if any.
    pub alias: Option<String>,
    /// Encryption algorithm, if any.
    pub encryption: Option<String>,
    /// `join_rule`, if any.
    pub join_rules: Option<String>,
    /// `guest_access`, if any.
    pub guest_access: Option<String>,
    /// `history_visibility`, if any.
    pub history_visibility: Option<String>,
    /// Joined members.
    pub joined: u64,
    /// Joined members of this server.
    pub joined_local: u64,
    /// State events in force.
    pub state_events: u64,
}

impl Wanted {
    fn conditions(&self) -> Vec<Value> {
        let term = self.term.as_deref();
        let folded = term.map(|term| escaped(&fold(term)));
        let name = folded
            .as_ref()
            .map_or_else(|| "%".to_owned(), |term| format!("%{term}%"));
        let alias = folded.map_or_else(|| "%".to_owned(), |term| format!("#%{term}%:%"));
        let mut values = vec![
            text(name),
            text(alias),
            text(term.unwrap_or_default().replace('\0', "")),
        ];
        for bound in [self.public, self.empty] {
            values.extend([truth(bound == Some(true)), truth(bound != Some(false))]);
        }
        values
    }
}

/// The users of a server.
fn users_of(server_name: &str) -> Value {
    text(format!("%:{}", escaped(server_name)))
}

/// A page of the rooms that are wanted, and how many there are in all. Asks this model and `memberships`.
pub async fn find(
    store: &dyn ModelStore,
    wanted: &Wanted,
) -> Result<(Vec<Listed>, u64), StoreError> {
    let counts = ["joined_members", "joined_local_members", "state_events"];
    let lists = match counts.contains(&wanted.order_by.as_str()) {
        true => BY_COUNT,
        false => BY_COLUMN,
    };
    let conditions = wanted.conditions();
    let total = first(store, (COUNT, conditions.clone()), Columns::number).await?;
    let mut values = vec![
        users_of(&wanted.server_name),
        text(wanted.order_by.as_str()),
    ];
    values.extend(conditions);
    values.extend([number(wanted.limit), number(wanted.from)]);
    let sql = lists[usize::from(wanted.falling)];
    let found = rows(store, (sql, values), read).await?;
    Ok((found, total.unwrap_or(0)))
}

/// One room. Asks this model and `memberships`.
pub async fn get(
    store: &dyn ModelStore,
    server_name: &str,
    room_id: &str,
) -> Result<Option<Listed>, StoreError> {
    let values = vec![users_of(server_name), text(room_id)];
    first(store, (GET, values), read).await
}

/// A room's name and canonical alias.
pub type Names = (Option<String>, Option<String>);

/// What a room is called, if it is known here.
pub async fn names(store: &dyn ModelStore, room_id: &str) -> Result<Option<Names>, StoreError> {
    let values = vec![text(room_id.replace('\0', ""))];
    first(store, (NAMES, values), |columns| {
        Ok((columns.optional_text()?, columns.optional_text()?))
    })
    .await
}

fn read(columns: &mut Columns) -> Result<Listed, StoreError> {
    Ok(Listed {
        room_id: columns.text()?,
        version: columns.text()?,
        creator: columns.text()?,
        federatable: columns.truth()?,
        room_type: columns.optional_text()?,
        public: columns.truth()?,
        name: columns.optional_text()?,
        alias: columns.optional_text()?,
        encryption: columns.optional_text()?,
        join_rules: columns.optional_text()?,
        guest_access: columns.optional_text()?,
        history_visibility: columns.optional_text()?,
        joined: columns.number()?,
        joined_local: columns.number()?,
        state_events: columns.number()?,
    })
}
