//! When each device of the users of this server was last seen; one that never was, since when it is there.

use super::{Columns, Model, first, number, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS device_sightings_1 (
        user_id {{text}} NOT NULL,
        device_id {{text}} NOT NULL,
        seen_ms BIGINT NOT NULL,
        PRIMARY KEY (user_id, device_id)
    )",
    "CREATE INDEX IF NOT EXISTS device_sightings_1_seen ON device_sightings_1 (seen_ms)",
];

pub(super) const SEE: &str = "INSERT INTO device_sightings_1 (user_id, device_id, seen_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id, device_id) DO UPDATE SET seen_ms = excluded.seen_ms WHERE device_sightings_1.seen_ms < excluded.seen_ms";

pub(super) const REMOVE: &str =
    "DELETE FROM device_sightings_1 WHERE user_id = $1 AND device_id = $2";

pub(super) const REMOVE_ALL: &str = "DELETE FROM device_sightings_1 WHERE user_id = $1";

pub(super) const UNSEEN: &str = "SELECT user_id, device_id, seen_ms FROM device_sightings_1 \
     WHERE seen_ms < $1 AND (user_id > $2 OR (user_id = $2 AND device_id > $3)) ORDER BY user_id, device_id LIMIT $4";

pub(super) const IN_ROOM: &str = "SELECT count(*) FROM memberships_1 m JOIN device_sightings_1 d ON d.user_id = m.user_id \
     WHERE m.room_id = $1 AND m.membership = 'join'";

/// The model.
pub struct DeviceSightings;

/// A device that was not seen for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Whose.
    pub user_id: String,
    /// Which.
    pub device_id: String,
    /// When it was last seen, milliseconds since the Unix epoch.
    pub seen_ms: u64,
}

impl Model for DeviceSightings {
    const NAME: &'static str = "device_sightings";
    const TABLE: &'static str = "device_sightings_1";
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
            Some(UserRecord::DeviceAdded(device)) => {
                let values = vec![user_id, text(device.device_id), number(record.at_ms)];
                (SEE, values)
            }
            Some(UserRecord::DevicesSeen(seen)) => {
                let statements = seen.into_iter().map(|seen| Statement {
                    sql: SEE,
                    values: vec![user_id.clone(), text(seen.device_id), number(seen.at_ms)],
                });
                return Ok(statements.collect());
            }
            Some(UserRecord::DeviceRemoved(device_id)) => (REMOVE, vec![user_id, text(device_id)]),
            Some(UserRecord::Deactivated(_)) => (REMOVE_ALL, vec![user_id]),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

/// Devices that were not seen since a time, by user and device ID: at most `limit` after a device.
pub async fn unseen(
    store: &dyn ModelStore,
    since_ms: u64,
    (after_user, after_device): (&str, &str),
    limit: usize,
) -> Result<Vec<Unseen>, StoreError> {
    let values = vec![
        number(since_ms),
        text(after_user),
        text(after_device),
        number(limit as u64),
    ];
    let read = |columns: &mut Columns| {
        Ok(Unseen {
            user_id: columns.text()?,
            device_id: columns.text()?,
            seen_ms: columns.number()?,
        })
    };
    rows(store, (UNSEEN, values), read).await
}

/// How many devices of users of this server are in a room. Asks this model and `memberships`.
pub async fn in_room(store: &dyn ModelStore, room_id: &str) -> Result<u64, StoreError> {
    let count = first(store, (IN_ROOM, vec![text(room_id)]), Columns::number).await?;
    Ok(count.unwrap_or(0))
}
