//! Who is pushed to under which key: of several users with the same key only one may stay.

use super::{Model, number, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS pushers_1 (
        user_id {{text}} NOT NULL,
        app_id {{text}} NOT NULL,
        pushkey {{text}} NOT NULL,
        device_id {{text}} NOT NULL,
        PRIMARY KEY (user_id, app_id, pushkey)
    )",
    "CREATE INDEX IF NOT EXISTS pushers_1_key ON pushers_1 (app_id, pushkey)",
];

pub(super) const SET: &str = "INSERT INTO pushers_1 (user_id, app_id, pushkey, device_id) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET device_id = excluded.device_id";

pub(super) const REMOVE: &str =
    "DELETE FROM pushers_1 WHERE user_id = $1 AND app_id = $2 AND pushkey = $3";

pub(super) const REMOVE_OF_DEVICE: &str =
    "DELETE FROM pushers_1 WHERE user_id = $1 AND device_id = $2";

pub(super) const REMOVE_OF_USER: &str = "DELETE FROM pushers_1 WHERE user_id = $1";

pub(super) const OWNERS: &str =
    "SELECT user_id FROM pushers_1 WHERE app_id = $1 AND pushkey = $2 ORDER BY user_id LIMIT 100";

pub(super) const ALL_OWNERS: &str =
    "SELECT DISTINCT user_id FROM pushers_1 WHERE user_id > $1 ORDER BY user_id LIMIT $2";

/// The model.
pub struct Pushers;

impl Model for Pushers {
    const NAME: &'static str = "pushers";
    const TABLE: &'static str = "pushers_1";
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
            Some(UserRecord::PusherSet(pusher)) => (
                SET,
                vec![
                    user_id,
                    text(pusher.app_id),
                    text(pusher.pushkey),
                    // No device is called nothing.
                    text(pusher.device_id.unwrap_or_default()),
                ],
            ),
            Some(UserRecord::PusherRemoved(pusher)) => (
                REMOVE,
                vec![user_id, text(pusher.app_id), text(pusher.pushkey)],
            ),
            Some(UserRecord::PusherRejected(pusher)) => (
                REMOVE,
                vec![user_id, text(pusher.app_id), text(pusher.pushkey)],
            ),
            Some(UserRecord::DeviceRemoved(device_id)) => {
                (REMOVE_OF_DEVICE, vec![user_id, text(device_id)])
            }
            Some(UserRecord::Deactivated(_)) => (REMOVE_OF_USER, vec![user_id]),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

/// The users that have a pusher with this key.
pub async fn owners(
    store: &dyn ModelStore,
    app_id: &str,
    pushkey: &str,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(app_id), text(pushkey)];
    rows(store, (OWNERS, values), |columns| columns.text()).await
}

/// The users that have any pusher: at most `limit` after `after`.
pub async fn all_owners(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (ALL_OWNERS, values), |columns| columns.text()).await
}
