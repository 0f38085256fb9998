//! The accounts of this server.

use super::{Columns, Model, first, number, rows, text, truth};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS users_1 (
        user_id {{text}} PRIMARY KEY,
        created_ms BIGINT NOT NULL,
        admin BIGINT NOT NULL,
        guest BIGINT NOT NULL,
        deactivated BIGINT NOT NULL,
        displayname {{text}}
    )"];

pub(super) const REGISTER: &str = "INSERT INTO users_1 (user_id, created_ms, admin, guest, deactivated, displayname) \
     VALUES ($1, $2, $3, $4, 0, NULL) \
     ON CONFLICT (user_id) DO UPDATE SET created_ms = excluded.created_ms, admin = excluded.admin, guest = excluded.guest, deactivated = 0";

pub(super) const SET_ADMIN: &str = "UPDATE users_1 SET admin = $1 WHERE user_id = $2";

pub(super) const DEACTIVATE: &str =
    "UPDATE users_1 SET deactivated = 1, displayname = NULL WHERE user_id = $1";

pub(super) const SET_DISPLAYNAME: &str = "UPDATE users_1 SET displayname = $1 WHERE user_id = $2";

pub(super) const LIST: &str = "SELECT user_id, created_ms, admin, guest, deactivated, displayname FROM users_1 \
     WHERE user_id > $1 AND deactivated <= $2 AND guest <= $3 ORDER BY user_id LIMIT $4";

pub(super) const GET: &str = "SELECT user_id, created_ms, admin, guest, deactivated, displayname FROM users_1 WHERE user_id = $1";

pub(super) const COUNT: &str =
    "SELECT count(*) FROM users_1 WHERE deactivated <= $1 AND guest <= $2";

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
    /// Closed for ever.
    pub deactivated: bool,
    /// Its display name.
    pub displayname: Option<String>,
}

/// Which accounts are wanted besides the ordinary ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Including {
    /// Deactivated accounts too.
    pub deactivated: bool,
    /// Guests too.
    pub guests: bool,
}

impl Model for Users {
    const NAME: &'static str = "users";
    const TABLE: &'static str = "users_1";
    const VERSION: u32 = 1;

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
                ],
            ),
            Some(UserRecord::AdminSet(admin)) => (SET_ADMIN, vec![truth(admin), user_id]),
            Some(UserRecord::Deactivated(_)) => (DEACTIVATE, vec![user_id]),
            Some(UserRecord::ProfileFieldSet(field)) if field.name == "displayname" => {
                let name = field
                    .json
                    .and_then(|json| serde_json::from_slice(&json).ok())
                    .map_or(Value::Null, Value::Text);
                (SET_DISPLAYNAME, vec![name, user_id])
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

fn read(columns: &mut Columns) -> Result<User, StoreError> {
    Ok(User {
        user_id: columns.text()?,
        created_ms: columns.number()?,
        admin: columns.truth()?,
        guest: columns.truth()?,
        deactivated: columns.truth()?,
        displayname: columns.optional_text()?,
    })
}

/// Accounts by user ID: at most `limit` after `after` (empty for the first).
pub async fn list(
    store: &dyn ModelStore,
    including: Including,
    after: &str,
    limit: usize,
) -> Result<Vec<User>, StoreError> {
    let values = vec![
        text(after),
        truth(including.deactivated),
        truth(including.guests),
        number(limit as u64),
    ];
    rows(store, (LIST, values), read).await
}

/// One account.
pub async fn get(store: &dyn ModelStore, user_id: &str) -> Result<Option<User>, StoreError> {
    first(store, (GET, vec![text(user_id)]), read).await
}

/// How many accounts there are.
pub async fn count(store: &dyn ModelStore, including: Including) -> Result<u64, StoreError> {
    let values = vec![truth(including.deactivated), truth(including.guests)];
    let count = first(store, (COUNT, values), Columns::number).await?;
    Ok(count.unwrap_or(0))
}
