//! Until when accounts hold, and whom nobody has warned yet. Guests are not among them.

use super::{Columns, Model, number, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS validity_1 (
        user_id {{text}} PRIMARY KEY,
        until_ms BIGINT NOT NULL,
        mailed_ms BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS validity_1_until ON validity_1 (until_ms)",
];

pub(super) const REGISTER: &str = "INSERT INTO validity_1 (user_id, until_ms, mailed_ms) VALUES ($1, 0, 0) \
     ON CONFLICT (user_id) DO UPDATE SET until_ms = 0, mailed_ms = 0";

pub(super) const SET: &str =
    "UPDATE validity_1 SET until_ms = $1, mailed_ms = 0 WHERE user_id = $2";

pub(super) const MAIL: &str = "UPDATE validity_1 SET mailed_ms = $1 WHERE user_id = $2";

pub(super) const DELETE: &str = "DELETE FROM validity_1 WHERE user_id = $1";

pub(super) const ENDLESS: &str =
    "SELECT user_id FROM validity_1 WHERE until_ms = 0 AND user_id > $1 ORDER BY user_id LIMIT $2";

pub(super) const DUE: &str = "SELECT user_id, until_ms FROM validity_1 \
     WHERE until_ms > 0 AND until_ms <= $1 AND mailed_ms <> until_ms AND user_id > $2 ORDER BY user_id LIMIT $3";

/// The model.
pub struct Validity;

impl Model for Validity {
    const NAME: &'static str = "validity";
    const TABLE: &'static str = "validity_1";
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
            Some(UserRecord::Registered(account)) if !account.guest => (REGISTER, vec![user_id]),
            Some(UserRecord::ValiditySet(set)) => (SET, vec![number(set.until_ms), user_id]),
            Some(UserRecord::RenewalMailed(mailed)) => {
                (MAIL, vec![number(mailed.until_ms), user_id])
            }
            Some(UserRecord::Deactivated(_)) => (DELETE, vec![user_id]),
            Some(UserRecord::Reopened(account)) if !account.guest => (REGISTER, vec![user_id]),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

/// Accounts of which nobody has said yet when they end, by user ID: at most `limit` after `after`.
pub async fn endless(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (ENDLESS, values), Columns::text).await
}

/// Accounts that end until then and whose users were not mailed of that end, by user ID: at most `limit` after `after`, each with its end.
pub async fn due(
    store: &dyn ModelStore,
    until_ms: u64,
    (after, limit): (&str, usize),
) -> Result<Vec<(String, u64)>, StoreError> {
    let values = vec![number(until_ms), text(after), number(limit as u64)];
    let read = |columns: &mut Columns| Ok((columns.text()?, columns.number()?));
    rows(store, (DUE, values), read).await
}
