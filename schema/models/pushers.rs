//! Who is pushed to under which key: of several users with the same key only one may stay. And for whom something waits.

use super::{Model, number, rows, text, truth};
use crate::{
    address::{Family, Sequence},
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS pushers_2 (
        user_id {{text}} NOT NULL,
        app_id {{text}} NOT NULL,
        pushkey {{text}} NOT NULL,
        device_id {{text}} NOT NULL,
        number BIGINT NOT NULL,
        waits BIGINT NOT NULL,
        next_ms BIGINT NOT NULL,
        PRIMARY KEY (user_id, app_id, pushkey)
    )",
    "CREATE INDEX IF NOT EXISTS pushers_2_key ON pushers_2 (app_id, pushkey)",
];

pub(super) const SET: &str = "INSERT INTO pushers_2 (user_id, app_id, pushkey, device_id, number, waits, next_ms) VALUES ($1, $2, $3, $4, $5, 0, 0) \
     ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET device_id = excluded.device_id, next_ms = 0";

pub(super) const REMOVE: &str =
    "DELETE FROM pushers_2 WHERE user_id = $1 AND app_id = $2 AND pushkey = $3";

pub(super) const REMOVE_OF_DEVICE: &str =
    "DELETE FROM pushers_2 WHERE user_id = $1 AND device_id = $2";

pub(super) const REMOVE_OF_USER: &str = "DELETE FROM pushers_2 WHERE user_id = $1";

pub(super) const WAITS: &str =
    "UPDATE pushers_2 SET waits = $1, next_ms = $2 WHERE user_id = $3 AND number = $4";

pub(super) const WAITING: &str = "SELECT user_id, MIN(next_ms) FROM pushers_2 WHERE waits = 1 AND user_id > $1 \
     GROUP BY user_id ORDER BY user_id LIMIT $2";

pub(super) const OWNERS: &str =
    "SELECT user_id FROM pushers_2 WHERE app_id = $1 AND pushkey = $2 ORDER BY user_id LIMIT 100";

pub(super) const ALL_OWNERS: &str =
    "SELECT DISTINCT user_id FROM pushers_2 WHERE user_id > $1 ORDER BY user_id LIMIT $2";

pub(super) const LIST: &str = "SELECT user_id, app_id, pushkey, device_id FROM pushers_2 \
     WHERE (user_id, app_id, pushkey) > ($1, $2, $3) ORDER BY user_id, app_id, pushkey LIMIT $4";

/// The model.
pub struct Pushers;

/// A pusher, by what tells it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPusher {
    /// Whose.
    pub user_id: String,
    /// The application.
    pub app_id: String,
    /// The key under which the application is reached.
    pub pushkey: String,
    /// The device that set it, if that is known.
    pub device_id: Option<String>,
}

impl Model for Pushers {
    const NAME: &'static str = "pushers";
    const TABLE: &'static str = "pushers_2";
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
            Some(UserRecord::PusherSet(pusher)) => (
                SET,
                vec![
                    user_id,
                    text(pusher.app_id),
                    text(pusher.pushkey),
                    // No device is called nothing.
                    text(pusher.device_id.unwrap_or_default()),
                    number(record.sequence),
                ],
            ),
            Some(UserRecord::PushFailed(failed)) => {
                (WAITS, waits(true, failed.next_ms, (user_id, failed.pusher)))
            }
            Some(UserRecord::PushesWait(wait)) => (WAITS, waits(true, 0, (user_id, wait.pusher))),
            Some(UserRecord::PushesSettled(settled)) => {
                (WAITS, waits(false, 0, (user_id, settled.pusher)))
            }
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

fn waits(waits: bool, next_ms: u64, (user_id, pusher): (Value, Sequence)) -> Vec<Value> {
    vec![truth(waits), number(next_ms), user_id, number(pusher)]
}

/// All pushers, by user, application and key: at most `limit` after another.
pub async fn list(
    store: &dyn ModelStore,
    after: &ListedPusher,
    limit: usize,
) -> Result<Vec<ListedPusher>, StoreError> {
    let values = vec![
        text(&*after.user_id),
        text(&*after.app_id),
        text(&*after.pushkey),
        number(limit as u64),
    ];
    rows(store, (LIST, values), |columns| {
        let (user_id, app_id) = (columns.text()?, columns.text()?);
        Ok(ListedPusher {
            user_id,
            app_id,
            pushkey: columns.text()?,
            device_id: Some(columns.text()?).filter(|device_id| !device_id.is_empty()),
        })
    })
    .await
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

/// The users for one of whose pushers something waits, each with the time before which nothing is tried: at most `limit` after `after`.
pub async fn waiting(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, u64)>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (WAITING, values), |columns| {
        Ok((columns.text()?, columns.number()?))
    })
    .await
}
