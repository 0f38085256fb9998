//! The accounts of this server.

use super::{
    Columns, Model, first, number, rows, text, truth,
    user_names::{escaped, fold},
};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        user::{DeviceSeen, NamedJson, UserRecord},
    },
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS users_2 (
        user_id {{text}} PRIMARY KEY,
        created_ms BIGINT NOT NULL,
        admin BIGINT NOT NULL,
        guest BIGINT NOT NULL,
        deactivated BIGINT NOT NULL,
        erased BIGINT NOT NULL,
        locked BIGINT NOT NULL,
        shadow_banned BIGINT NOT NULL,
        user_type {{text}},
        displayname {{text}},
        folded {{text}},
        avatar_url {{text}},
        last_seen_ms BIGINT
    )"];

pub(super) const REGISTER: &str = "INSERT INTO users_2 (user_id, created_ms, admin, guest, deactivated, erased, locked, shadow_banned, user_type) \
     VALUES ($1, $2, $3, $4, 0, 0, 0, 0, $5) ON CONFLICT (user_id) DO UPDATE SET created_ms = excluded.created_ms, \
     admin = excluded.admin, guest = excluded.guest, deactivated = 0, user_type = excluded.user_type";

pub(super) const SET_ADMIN: &str = "UPDATE users_2 SET admin = $1 WHERE user_id = $2";

pub(super) const SET_LOCKED: &str = "UPDATE users_2 SET locked = $1 WHERE user_id = $2";

pub(super) const SET_SHADOW_BANNED: &str =
    "UPDATE users_2 SET shadow_banned = $1 WHERE user_id = $2";

pub(super) const SET_TYPE: &str = "UPDATE users_2 SET user_type = $1 WHERE user_id = $2";

pub(super) const DEACTIVATE: &str = "UPDATE users_2 SET deactivated = 1, admin = 0, erased = CASE WHEN $1 = 1 THEN 1 ELSE erased END, \
     displayname = NULL, folded = NULL, avatar_url = NULL WHERE user_id = $2";

pub(super) const REOPEN: &str = "UPDATE users_2 SET deactivated = 0, erased = 0 WHERE user_id = $1";

pub(super) const SET_DISPLAYNAME: &str =
    "UPDATE users_2 SET displayname = $1, folded = $2 WHERE user_id = $3";

pub(super) const SET_AVATAR: &str = "UPDATE users_2 SET avatar_url = $1 WHERE user_id = $2";

pub(super) const SEE: &str =
    "UPDATE users_2 SET last_seen_ms = $1 WHERE user_id = $2 AND COALESCE(last_seen_ms, 0) < $1";

pub(super) const GET: &str = "SELECT user_id, created_ms, admin, guest, deactivated, erased, locked, shadow_banned, user_type, displayname, \
     avatar_url, last_seen_ms FROM users_2 WHERE user_id = $1";

/// Questions that share their condition: what stands before it, and what after.
macro_rules! wanted {
    ($before:literal $(, $after:literal)*) => {
        concat!(
            $before,
            " FROM users_2 WHERE (user_id LIKE $1 ESCAPE '!' OR COALESCE(folded, '') LIKE $2 ESCAPE '!') AND user_id LIKE $3 ESCAPE '!' \
             AND guest <= $4 AND locked <= $5 AND deactivated >= $6 AND deactivated <= $7 AND admin >= $8 AND admin <= $9 \
             AND CAST($10 AS TEXT) NOT LIKE '%,' || COALESCE(user_type, '') || ',%'"
            $(, $after)*
        )
    };
}

/// Sorted by a number and a text, of which one says nothing.
macro_rules! sorted {
    ($direction:literal) => {
        wanted!(
            "SELECT user_id, created_ms, admin, guest, deactivated, erased, locked, shadow_banned, user_type, displayname, \
             avatar_url, last_seen_ms",
            " ORDER BY CASE CAST($11 AS TEXT) WHEN 'is_guest' THEN guest WHEN 'admin' THEN admin WHEN 'deactivated' THEN deactivated \
             WHEN 'shadow_banned' THEN shadow_banned WHEN 'locked' THEN locked WHEN 'creation_ts' THEN created_ms \
             WHEN 'last_seen_ts' THEN COALESCE(last_seen_ms, 0) ELSE 0 END ",
            $direction,
            ", CASE CAST($11 AS TEXT) WHEN 'name' THEN user_id WHEN 'displayname' THEN COALESCE(displayname, '') \
             WHEN 'user_type' THEN COALESCE(user_type, '') WHEN 'avatar_url' THEN COALESCE(avatar_url, '') ELSE '' END ",
            $direction,
            ", user_id LIMIT $12 OFFSET $13"
        )
    };
}

pub(super) const LIST: &str = sorted!("ASC");

pub(super) const LIST_BACKWARDS: &str = sorted!("DESC");

pub(super) const COUNT: &str = wanted!("SELECT count(*)");

/// The model.
pub struct Users;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The full user ID.
    pub user_id: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Server administrator.
    pub admin: bool,
    /// Guest account.
    pub guest: bool,
    /// Closed.
    pub deactivated: bool,
    /// New readers get the user's events in pruned form.
    pub erased: bool,
    /// Locked.
    pub locked: bool,
    /// What the user sends reaches nobody.
    pub shadow_banned: bool,
    /// `bot`, `support` or nothing.
    pub user_type: Option<String>,
    /// Its display name.
    pub displayname: Option<String>,
    /// Its avatar.
    pub avatar_url: Option<String>,
    /// When a device of it was last seen, milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
}

/// Which accounts are wanted. The default: all that are open, not locked and no guest's.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Whose local part or display name holds this.
    pub name: Option<String>,
    /// Whose user ID holds this.
    pub user_id: Option<String>,
    /// Guests too.
    pub guests: bool,
    /// Locked accounts too.
    pub locked: bool,
    /// Those that were closed, those that were not, or both.
    pub deactivated: Which,
    /// Administrators, everybody else, or both.
    pub admins: Option<bool>,
    /// Not those of these types; the empty text stands for no type.
    pub not_types: Vec<String>,
}

/// What holds of the accounts that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// It does not hold.
    #[default]
    Without,
    /// It holds.
    With,
    /// Either.
    Both,
}

impl Which {
    /// The least and the greatest truth value.
    fn bounds(self) -> [Value; 2] {
        [truth(self == Self::With), truth(self != Self::Without)]
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Sorted by this: `name`, `displayname`, `is_guest`, `admin`, `deactivated`, `user_type`, `avatar_url`, `shadow_banned`, `creation_ts`, `last_seen_ts`
    /// or `locked`. What is alike is sorted by user ID.
    pub order_by: String,
    /// The greatest first.
    pub backwards: bool,
    /// After so many.
    pub from: u64,
    /// At most so many.
    pub limit: u64,
}

impl Model for Users {
    const NAME: &'static str = "users";
    const TABLE: &'static str = "users_2";
    const VERSION: u32 = 2;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.entity.prefix() != "user" {
            return Ok(Vec::new());
        }
        let user_id = text(record.entity.name());
        let (sql, values) = match UserRecord::decode(record)? {
            Some(UserRecord::Registered(account)) => (
                REGISTER,
                vec![
                    user_id,
                    number(account.at_ms),
                    truth(account.admin),
                    truth(account.guest),
                    or_null(account.user_type),
                ],
            ),
            Some(UserRecord::AdminSet(admin)) => (SET_ADMIN, vec![truth(admin), user_id]),
            Some(UserRecord::LockSet(locked)) => (SET_LOCKED, vec![truth(locked), user_id]),
            Some(UserRecord::ShadowBanSet(banned)) => {
                (SET_SHADOW_BANNED, vec![truth(banned), user_id])
            }
            Some(UserRecord::UserTypeSet(user_type)) => {
                (SET_TYPE, vec![or_null(user_type), user_id])
            }
            Some(UserRecord::Deactivated(closed)) => {
                (DEACTIVATE, vec![truth(closed.erase), user_id])
            }
            Some(UserRecord::Reopened(_)) => (REOPEN, vec![user_id]),
            Some(UserRecord::DevicesSeen(seen)) => return Ok(see(user_id, &seen)),
            Some(UserRecord::ProfileFieldSet(field)) => return Ok(describe(user_id, &field)),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

fn see(user_id: Value, seen: &[DeviceSeen]) -> Vec<Statement> {
    let newest = seen.iter().map(|seen| seen.at_ms).max();
    let statement = newest.map(|at_ms| Statement {
        sql: SEE,
        values: vec![number(at_ms), user_id],
    });
    statement.into_iter().collect()
}

fn describe(user_id: Value, field: &NamedJson) -> Vec<Statement> {
    let json = field.json.as_deref();
    let told = json.and_then(|json| serde_json::from_slice::<String>(json).ok());
    let told = told.map(|told| told.replace('\0', ""));
    let (sql, values) = match field.name.as_str() {
        "displayname" => {
            let folded = told.as_deref().map(fold);
            (
                SET_DISPLAYNAME,
                vec![or_null(told), or_null(folded), user_id],
            )
        }
        "avatar_url" => (SET_AVATAR, vec![or_null(told), user_id]),
        _ => return Vec::new(),
    };
    vec![Statement { sql, values }]
}

fn or_null(value: Option<String>) -> Value {
    value.map_or(Value::Null, text)
}

fn read(columns: &mut Columns) -> Result<User, StoreError> {
    Ok(User {
        user_id: columns.text()?,
        created_ms: columns.number()?,
        admin: columns.truth()?,
        guest: columns.truth()?,
        deactivated: columns.truth()?,
        erased: columns.truth()?,
        locked: columns.truth()?,
        shadow_banned: columns.truth()?,
        user_type: columns.optional_text()?,
        displayname: columns.optional_text()?,
        avatar_url: columns.optional_text()?,
        last_seen_ms: columns.optional_number()?,
    })
}

impl Wanted {
    fn values(&self) -> Vec<Value> {
        let name = self.name.as_deref();
        let within = |part: Option<&str>| part.map_or_else(String::new, escaped);
        let localpart = name.map_or_else(
            || "%".to_owned(),
            |name| format!("@%{}%:%", escaped(&name.to_lowercase())),
        );
        let folded = name.map(fold);
        let user_id = self.user_id.as_deref().map(str::to_lowercase);
        let mut values = vec![
            text(localpart),
            text(format!("%{}%", within(folded.as_deref()))),
            text(format!("%{}%", within(user_id.as_deref()))),
            truth(self.guests),
            truth(self.locked),
        ];
        values.extend(self.deactivated.bounds());
        values.extend(Which::from(self.admins).bounds());
        values.push(text(match self.not_types.as_slice() {
            [] => String::new(),
            types => format!(",{},", types.join(",")),
        }));
        values
    }
}

impl From<Option<bool>> for Which {
    fn from(wanted: Option<bool>) -> Self {
        match wanted {
            None => Self::Both,
            Some(true) => Self::With,
            Some(false) => Self::Without,
        }
    }
}

/// Accounts that are wanted, sorted.
pub async fn list(
    store: &dyn ModelStore,
    wanted: &Wanted,
    page: &Page,
) -> Result<Vec<User>, StoreError> {
    let mut values = wanted.values();
    values.extend([
        text(page.order_by.as_str()),
        number(page.limit),
        number(page.from),
    ]);
    let sql = if page.backwards { LIST_BACKWARDS } else { LIST };
    rows(store, (sql, values), read).await
}

/// One account.
pub async fn get(store: &dyn ModelStore, user_id: &str) -> Result<Option<User>, StoreError> {
    first(store, (GET, vec![text(user_id)]), read).await
}

/// How many accounts are wanted.
pub async fn count(store: &dyn ModelStore, wanted: &Wanted) -> Result<u64, StoreError> {
    let count = first(store, (COUNT, wanted.values()), Columns::number).await?;
    Ok(count.unwrap_or(0))
}
