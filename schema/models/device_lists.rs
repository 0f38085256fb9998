//! When each user's devices or keys last changed in a way that others must hear of: local users, and those of other servers as far as their servers tell.

use super::{
    Columns, Model, first,
    memberships::{may_be_joined, stay},
    number, rows, text,
};
use crate::{
    address::{Family, Position, ShardNumber},
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS device_lists_1 (
        user_id {{text}} PRIMARY KEY,
        shard BIGINT NOT NULL,
        position BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS device_lists_1_position ON device_lists_1 (shard, position)",
];

pub(super) const SET: &str = "INSERT INTO device_lists_1 (user_id, shard, position) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id) DO UPDATE SET shard = excluded.shard, position = excluded.position";

pub(super) const SHARED: &str = "SELECT DISTINCT d.user_id, d.shard, d.position FROM device_lists_1 d \
     JOIN memberships_1 theirs ON theirs.user_id = d.user_id AND theirs.membership = 'join' \
     JOIN memberships_1 own ON own.room_id = theirs.room_id AND own.membership = 'join' \
     WHERE d.shard = $1 AND d.position > $2 AND d.position <= $3 AND own.user_id = $4 ORDER BY d.position";

pub(super) const OF_USER: &str =
    "SELECT user_id, shard, position FROM device_lists_1 WHERE user_id = $1";

/// Of each user it is looked in one common room after the other, and no further once somebody of the server is joined there.
pub(super) const OF_SERVER: &str = concat!(
    "SELECT d.user_id, d.shard, d.position FROM device_lists_1 d \
     WHERE d.shard = $1 AND d.position > $2 AND d.position <= $3 AND d.user_id LIKE $4 \
     AND EXISTS (SELECT 1 FROM memberships_1 m CROSS JOIN server_rooms_1 s WHERE m.user_id = d.user_id AND m.membership = 'join' \
     AND s.room_id = m.room_id AND s.server_name = $5 AND ",
    may_be_joined!(),
    ") ORDER BY d.position LIMIT $6"
);

/// The model.
pub struct DeviceLists;

/// A change of a user's device list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceListChange {
    /// Whose.
    pub user_id: String,
    /// The user's shard.
    pub shard: ShardNumber,
    /// The position of the newest change.
    pub position: Position,
}

/// Whether a record changes a device list, and of whom. Cheap for those that do not: they are not decoded.
pub fn changed_by(record: &StoredRecord) -> Result<bool, StoreError> {
    if record.entity.prefix() == "peer_user" {
        return Ok(KINDS_OF_PEERS.contains(&record.kind));
    }
    let concerned = record.entity.prefix() == "user" && KINDS.contains(&record.kind);
    if !concerned {
        return Ok(false);
    }
    Ok(match UserRecord::decode(record)? {
        // Signatures on the keys of others are no change of one's own list.
        Some(UserRecord::SignaturesAdded(keys)) => {
            let own = record.entity.name();
            keys.iter().any(|key| key.user_id == own)
        }
        Some(UserRecord::Erased) | None => false,
        Some(_) => true,
    })
}

/// Kinds of records that may change a device list: closed account, devices added, renamed and removed, device keys, cross-signing keys, signatures.
const KINDS: [crate::record::Kind; 7] = [502, 506, 507, 508, 517, 521, 522];

/// The same of other servers' users: a device, the cross-signing keys, something unknown. What was fetched is no change.
const KINDS_OF_PEERS: [crate::record::Kind; 3] = [831, 832, 833];

impl Model for DeviceLists {
    const NAME: &'static str = "device_lists";
    const TABLE: &'static str = "device_lists_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if !changed_by(record)? {
            return Ok(Vec::new());
        }
        Ok(vec![Statement {
            sql: SET,
            values: vec![
                text(record.entity.name()),
                number(record.shard.number.into()),
                number(record.position),
            ],
        }])
    }
}

/// Users who share a joined room with this one and whose newest change lies in a shard after one position and not after another.
pub async fn of_neighbours(
    store: &dyn ModelStore,
    user_id: &str,
    shard: ShardNumber,
    (after, until): (Position, Position),
) -> Result<Vec<DeviceListChange>, StoreError> {
    let values = vec![
        number(shard.into()),
        number(after),
        number(until),
        text(user_id),
    ];
    rows(store, (SHARED, values), read).await
}

/// Users of our own server who share a room with somebody of another one, and whose newest change lies in a shard after one position and not after another.
pub async fn of_neighbours_of_server(
    store: &dyn ModelStore,
    (own, server_name, shard): (&str, &str, ShardNumber),
    (after, until): (Position, Position),
    limit: usize,
) -> Result<Vec<DeviceListChange>, StoreError> {
    let values = vec![
        number(shard.into()),
        number(after),
        number(until),
        text(format!("%:{own}")),
        text(server_name),
        number(limit as u64),
    ];
    rows(store, (OF_SERVER, values), read).await
}

/// The newest change of one user.
pub async fn of_user(
    store: &dyn ModelStore,
    user_id: &str,
) -> Result<Option<DeviceListChange>, StoreError> {
    first(store, (OF_USER, vec![text(user_id)]), read).await
}

fn read(columns: &mut Columns) -> Result<DeviceListChange, StoreError> {
    Ok(DeviceListChange {
        user_id: columns.text()?,
        shard: columns.number()? as ShardNumber,
        position: columns.number()?,
    })
}
